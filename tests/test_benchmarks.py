"""What the benchmarks count."""

import dataclasses
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from benchmarks import common, numbers, sweep
from inference.classify import Answer
from jobs import tables


def digit(value: int, declined: bool = False) -> Answer:
    probabilities = np.eye(10, dtype=np.float32)[value]
    return Answer(label=None if declined else str(value), probability=1.0, probabilities=probabilities)


@pytest.mark.parametrize(
    ("digits", "label", "judged"),
    [
        ((digit(4), digit(2)), "42", (True, True, True)),
        ((digit(4), digit(2, declined=True)), None, (False, True, True)),
        ((digit(4), digit(3)), "43", (False, False, True)),
        ((digit(4), digit(2), digit(1)), "421", (False, False, False)),
        ((), "4", (False, False, False)),
    ],
)
def test_a_number_that_is_declined_is_not_answered_right(digits, label, judged):
    number = dataclasses.replace(digit(4), label=label, probabilities=None, digits=digits)
    assert numbers.judged(number, "42") == judged


@pytest.mark.parametrize("installed", ["onnxruntime", "onnxruntime-gpu"])
def test_onnxruntime_is_found_by_either_of_its_names(monkeypatch, installed):
    def only(name: str) -> str:
        if name != installed:
            raise PackageNotFoundError(name)
        return "1.30"

    monkeypatch.setattr(common, "version", only)
    assert common.hardware("onnxruntime").endswith(", onnxruntime 1.30")


@pytest.mark.parametrize(
    ("table", "named"), [("systems", "schedule, members, mirrored, augmentation, teacher, precision"), ("r7-schedule", "schedule")]
)
def test_tables_that_the_textbook_cannot_fill_are_refused(table, named):
    assert f"({named})" in sweep.refusal(tables.find(table))


@pytest.mark.parametrize("table", ["r1a", "r1b", "r7-parts"])
def test_tables_of_a_constant_lr_are_compared(table):
    assert sweep.refusal(tables.find(table)) == ""


def test_a_run_that_diverged_is_in_neither_mean():
    inkling, textbook = sweep.compared((2.0, {"a": 0.9, "b": None}), (6.0, {"a": 0.8, "b": 0.1}))
    assert (inkling["mean val accuracy"], textbook["mean val accuracy"]) == ("90.00%", "80.00%")
    assert (inkling["left out"], textbook["n runs"], textbook["textbook/Inkling"]) == (1, 2, 3.0)
    assert sweep.compared((2.0, {"a": None}), (6.0, {"a": 0.1}))[0]["mean val accuracy"] == "-"
