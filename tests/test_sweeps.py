"""Tables as data, and the file of their results."""

import json
import multiprocessing
import os

import pytest

from jobs import sweeps, tables
from jobs.sweeps import SweepError


@pytest.fixture(autouse=True)
def own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "experiments"))


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_every_cell_of_a_sweep_is_a_configuration_of_its_own(name):
    sweep = tables.find(name)
    cells = list(sweep.cells())
    assert sweep.name == name
    assert len(cells) == sweep.seeds * len(sweep.rows) * len(sweep.columns) == len({cell.key for cell in cells})
    assert all(len(row.references) in (0, len(sweep.columns)) for row in sweep.rows)


def test_r1a_holds_the_sources_figures_in_their_places():
    sweep = tables.find("r1a")
    (cell,) = [
        cell for cell in sweep.cells(1)
        if (cell.config.lr, cell.config.batch_size, cell.config.pooling, cell.config.activation) == (0.01, 400, "avg", "relu")
    ]  # fmt: skip
    assert sweep.reference(cell.row, cell.column) == 0.5757
    assert (cell.config.epochs, cell.config.optimizer, cell.config.momentum, cell.config.network) == (5, "sgd", 0.0, "lenet5-1998")


def test_a_cells_key_ignores_where_it_is_computed_but_not_its_seed():
    first, *_ = tables.find("r1a").cells()
    config = first.config.to_dict()
    changed = {name: type(first.config)(**config | {name: value}) for name, value in (("threads", 1), ("publish", "x"), ("seed", 7))}
    assert sweeps.key_of(changed["threads"]) == sweeps.key_of(changed["publish"]) == first.key
    assert sweeps.key_of(changed["seed"]) != first.key


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_no_two_runs_of_a_cell_have_a_network_in_common(name):
    cells = list(tables.find(name).cells(3))
    for row, column in {(cell.row, cell.column) for cell in cells}:
        networks = [sweeps.key_of(each) for cell in cells if (cell.row, cell.column) == (row, column) for each in sweeps.alone(cell.config)]
        assert len(networks) == len(set(networks))


def test_a_sweep_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(SweepError, match="there is no sweep 'r9'; there are systems, r1a"):
        tables.find("r9")


def test_a_cell_is_written_once_and_a_torn_line_is_passed_over():
    assert sweeps.read_results("r1a") == {}
    assert sweeps.append_result("r1a", {"cell": "a", "test_accuracy": 0.5})
    with sweeps.results_path("r1a").open("a") as file:
        file.write('{"cell": "torn", "test_acc')
    assert sweeps.append_result("r1a", {"cell": "b", "test_accuracy": 0.6})
    assert not sweeps.append_result("r1a", {"cell": "a", "test_accuracy": 0.7})
    assert {key: result["test_accuracy"] for key, result in sweeps.read_results("r1a").items()} == {"a": 0.5, "b": 0.6}


def test_a_result_that_a_full_disk_cuts_off_is_not_taken_for_written(monkeypatch):
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:9]))
        with pytest.raises(OSError, match="No space left on device"):
            sweeps.append_result("r1a", {"cell": "a", "test_accuracy": 0.5})
    assert sweeps.append_result("r1a", {"cell": "a", "test_accuracy": 0.5})
    assert list(sweeps.read_results("r1a")) == ["a"]


def _meet_at(barrier) -> None:
    global _all_are_there
    _all_are_there = barrier


def _append_often(number: int) -> int:
    _all_are_there.wait(60)
    return sum(sweeps.append_result("r1a", {"cell": str(cell), "by": number}) for cell in range(40))


def test_two_sweeps_at_once_never_double_a_cell():
    spawn = multiprocessing.get_context("spawn")  # a fork of what has threads is a warning from Python 3.12 on
    with spawn.Pool(3, _meet_at, (spawn.Barrier(3),)) as pool:
        added = pool.map(_append_often, range(3), chunksize=1)
    lines = sweeps.results_path("r1a").read_text().splitlines()
    assert sum(added) == len(lines) == len({json.loads(line)["cell"] for line in lines}) == 40
