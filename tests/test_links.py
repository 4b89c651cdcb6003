"""Settings as links, and links from anybody."""

import dataclasses

import pytest

from jobs import links, tables
from jobs.config import RunConfig
from jobs.recipes import RECIPES


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_every_cell_comes_back_from_its_link(name):
    for cell in tables.find(name).cells(1):
        config, complaint = links.read_config(links.write_config(cell.config))
        assert complaint == ""
        assert config == dataclasses.replace(cell.config, seed=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_its_link(name):
    config, complaint = links.read_config(links.write_config(RECIPES[name].config))
    assert complaint == ""
    assert config == dataclasses.replace(RECIPES[name].config, seed=0)


def test_a_link_is_short_and_says_nothing_of_the_machine():
    texts = links.write_config(RunConfig(lr=0.1, threads=3, publish="x", seed=9, device="cpu", start_from="fc"))
    assert texts == {"dataset": "mnist", "lr": "0.1"}


def test_an_address_without_settings_has_none():
    assert links.read_config({"sweep": "r1a", "cells": "0.0", "utm_source": "x"}) == (None, "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lr", "fast"), ("lr", "nan"), ("lr", "1e99"), ("lr", ""), ("batch_size", "2.5"), ("epochs", "-1"), ("epochs", "9" * 5000),
        ("network", "<script>"), ("hidden", "1-x"), ("hidden", "0"), ("batch_norm", "maybe"), ("dataset", "../etc"), ("channels", "a"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_left_out_with_one_sentence_and_the_rest_is_used(name, text):
    config, complaint = links.read_config({"activation": "tanh", name: text})
    assert config == RunConfig(activation="tanh")
    assert complaint.startswith(f"The link asks for what is no setting: {name}=")
    assert len(complaint) < 200


def test_settings_that_do_not_go_together_are_all_left_out():
    config, complaint = links.read_config({"network": "softmax", "optimizer": "adam"})
    assert config is None
    assert "do not go together: network is softmax with optimizer adam" in complaint
    config, complaint = links.read_config({"network": "lenet5", "channels": "8-16"})
    assert config is None
    assert "three convolutions" in complaint


def test_a_link_cannot_name_what_a_run_is_called_or_starts_from():
    assert links.read_config({"publish": "fc", "start_from": "fc", "seed": "4", "threads": "64"}) == (None, "")


def test_cells_that_a_table_does_not_have_are_named():
    assert links.read_cells("r1a", "0.1,2.3,0.1") == (["0.1", "2.3"], "")
    assert links.read_cells("r1a", "") == ([], "")
    places, complaint = links.read_cells("r1a", "0.1,9.9,x")
    assert places == ["0.1"]
    assert complaint == "The link names cells that R1a: SGD does not have: 9.9, x."
    assert len(links.read_cells("r1a", ",".join(f"{row}.{column}" for row in range(4) for column in range(6)))[0]) == links.MOST_CELLS
