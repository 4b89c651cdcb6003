"""What is made of results: means, verdicts, noise scales, epochs of convergence."""

import dataclasses
import json
import math
import os

import pytest

from jobs import summary, sweeps, tables
from jobs.config import RunConfig
from jobs.summary import Outcome
from tests.measured import measure, result


@pytest.fixture(autouse=True)
def own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "experiments"))


def outcome(*accuracies: float | None, reference: float | None = 0.95) -> Outcome:
    runs = tuple({"test_accuracy": accuracy, "error": ""} for accuracy in accuracies)
    return Outcome(
        sweep="r1a", row=0, column=0, title="a cell", config=RunConfig(), recipe="r1-lenet5", reference=reference, wanted=3, runs=runs
    )  # fmt: skip


def test_a_cell_has_the_mean_and_the_sample_deviation_of_its_seeds():
    measure("r1a", [(0, 0)])
    first, *others = summary.read_outcomes(tables.find("r1a"))
    assert first.title == "average, tanh, lr 0.1, batch 40"
    assert (first.n, first.state, first.wanted) == (3, "measured", 3)
    assert first.mean == pytest.approx(0.9872)
    assert first.std == pytest.approx(0.0004)
    assert first.difference == pytest.approx(0.001)
    assert (first.seconds, first.parameters, first.devices) == (7.5, 60_000, ("CPU, 2 threads",))
    assert {each.state for each in others} == {"missing"}
    assert len(others) == 23


def test_more_seeds_than_the_sweep_asks_for_all_count():
    sweep = tables.find("r7-loss")
    for cell in sweep.cells(12):
        sweeps.append_result(sweep.name, result(cell, 0.9))
    sweeps.append_result(sweep.name, result(list(sweep.cells(20))[-1], 0.9))
    assert [each.n for each in summary.read_outcomes(sweep)] == [12, 12, 13]


def test_seeds_that_nobody_measured_cost_nothing(monkeypatch):
    sweep, keys = tables.find("r7-loss"), []
    results = {cell.key: result(cell, 0.9) for cell in sweep.cells()}
    monkeypatch.setattr(sweeps, "key_of", lambda config, key_of=sweeps.key_of: keys.append(config) or key_of(config))
    assert [each.n for each in summary.outcomes(sweep, results)] == [sweep.seeds] * 3
    assert len(keys) == 3 * sweep.seeds
    summary.outcomes(sweep, results | {"of another table": {}})
    assert len(keys) <= 3 * (2 * sweep.seeds + summary.SEEDS_AT_WORK)


def test_a_file_that_grew_is_read_again_and_one_that_did_not_is_not(monkeypatch):
    sweep = tables.find("r7-batch")
    measure("r7-batch", [(0, 0)])
    assert [each.n for each in summary.read_outcomes(sweep)] == [1, *[0] * 7]
    read = sweeps.read_results
    reads = []
    monkeypatch.setattr(sweeps, "read_results", lambda name: reads.append(name) or read(name))
    assert [each.n for each in summary.read_outcomes(sweep)] == [1, *[0] * 7]
    assert reads == []
    measure("r7-batch", [(0, 1)])
    assert [each.n for each in summary.read_outcomes(sweep)] == [1, 1, *[0] * 6]


@pytest.mark.parametrize(
    ("accuracies", "reference", "verdict"),
    [
        ([0.9549], 0.95, "reproduced"),  # within half a point
        ([0.9551], 0.95, "differs"),
        ([0.9930], 0.9950, "reproduced"),  # within half of its error
        ([0.9920], 0.9950, "differs"),  # half a point is as much as it gets wrong
        ([0.93, 0.96, 0.99], 0.90, "reproduced"),  # within three standard deviations, 9 points
        ([0.959, 0.96, 0.961], 0.95, "differs"),
        ([0.0875], 0.1309, "reproduced"),  # both guess
        ([0.20], 0.1309, "differs"),
        ([None], 0.1032, "reproduced"),  # diverged where the source guessed
        ([None], 0.98, "differs"),
        ([None, 0.98], 0.98, "reproduced"),
        ([], 0.98, "missing"),
        ([0.5], None, "none"),
    ],
)
def test_a_figure_is_reproduced_by_a_stated_rule(accuracies, reference, verdict):
    assert outcome(*accuracies, reference=reference).verdict == verdict


def test_a_run_that_diverged_has_no_accuracy_and_says_why():
    measure("r1b", [(1, 1)], diverged=[(1, 0)])
    cells = {each.place: each for each in summary.read_outcomes(tables.find("r1b"))}
    assert (cells["1.0"].state, cells["1.0"].mean, cells["1.0"].n) == ("diverged", None, 0)
    assert "the loss became nan" in cells["1.0"].errors[0]
    assert cells["1.1"].errors == ()


def test_figures_that_are_no_numbers_count_as_missing():
    assert outcome(math.nan, 0.5).accuracies == (0.5,)
    assert outcome("0.5", True).accuracies == ()
    run = {"epochs": [{"epoch": 1, "train_loss": math.inf, "val_loss": 1.5}, {"epoch": "2"}, "not an epoch"]}
    assert summary.epochs_of(run) == [
        {"member": 0, "epoch": 1, "train_loss": None, "val_loss": 1.5, "val_accuracy": None, "test_accuracy": None}
    ]
    assert summary.epochs_of({"epochs": None}) == []


def test_a_result_that_lacks_everything_but_its_cell_breaks_nothing():
    sweep = tables.find("r7-loss")
    path = sweeps.results_path(sweep.name)
    path.parent.mkdir()
    path.write_text(json.dumps({"cell": next(sweep.cells()).key}) + "\n")
    first = summary.read_outcomes(sweep)[0]
    assert (first.state, first.n, first.seconds, first.parameters) == ("diverged", 0, None, None)


def test_the_noise_scale_is_lr_over_batch_and_momentum_counts_tenfold():
    sgd = RunConfig(optimizer="sgd", momentum=0.0, lr=0.1, batch_size=400)
    assert summary.noise_scale(sgd) == pytest.approx(13.5)
    assert summary.noise_scale(dataclasses.replace(sgd, lr=0.01, batch_size=40)) == pytest.approx(13.5)
    assert summary.noise_scale(dataclasses.replace(sgd, momentum=0.9)) == pytest.approx(135)
    assert summary.noise_scale(dataclasses.replace(sgd, momentum=0.9, optimizer="adam")) == pytest.approx(13.5)


def test_gaps_compare_the_two_batch_sizes_of_a_row_only():
    measure("r1a", [(0, column) for column in range(6)], away=0.0)
    at_scale, at_lr = summary.gaps(summary.read_outcomes(tables.find("r1a")))
    assert sorted(round(gap, 4) for gap in at_scale) == [0.0046, 0.0651]  # 94.41 and 94.87, 78.97 and 72.46
    assert len(at_lr) == 3


def test_a_run_has_converged_at_the_first_epoch_within_a_tenth_of_a_point_of_its_best():
    assert summary.convergence_epoch([0.90, 0.979, 0.95, 0.98, 0.9795]) == 2
    assert summary.convergence_epoch([0.90, 0.9789, 0.95, 0.98]) == 4
    assert summary.convergence_epoch([0.5]) == 1
    assert summary.convergence_epoch([]) is None
    assert summary.convergence_epoch([value / 100 for value in tables.R3_CURVE]) == 26


def test_cuts_without_end_differ_from_a_few():
    few, without_end = RunConfig(schedule="step", step_cuts=1), RunConfig(schedule="step")
    assert summary.changes(few, without_end) == {"step_cuts": 1}
    assert summary.changes(without_end, few) == {"step_cuts": 0}
    assert summary.changes(RunConfig(), few) == {"schedule": "one_cycle"}


def test_the_settings_that_matter_leave_out_what_the_network_does_not_look_at():
    matter = summary.settings_that_matter(RunConfig(network="mixpool", channels=(32, 64, 128), schedule="two_stage"))
    assert {"channels", "hidden", "dropout"} <= set(matter)
    assert not {"lr", "batch_size", "pooling", "momentum", "step_every", "seed", "threads", "publish"} & set(matter)


def test_what_a_cell_changes_of_its_recipe_is_told_in_words():
    cells = {each.place: each for each in summary.outcomes(tables.find("r1a"), {})}
    assert summary.in_words(summary.changes_of_recipe(cells["3.5"])) == "activation relu · pooling max · lr 0.001 · batch 400"
    assert summary.changes_of_recipe(cells["0.2"]) == {}


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_titles_tell_the_cells_of_a_table_apart_and_settings_find_their_cell_again(name):
    cells = summary.outcomes(tables.find(name), {})
    assert len({each.title for each in cells}) == len(cells)
    assert summary.name_of(dataclasses.replace(cells[-1].config, seed=5, threads=1, publish="x"), name) == summary.full_title(cells[-1])


def test_settings_of_no_cell_have_no_name():
    assert summary.name_of(RunConfig(lr=0.123)) == ""


def test_every_note_is_about_a_row_or_a_cell_that_there_is():
    for sweep, row, *column in tables.NOTES:
        table = tables.find(sweep)
        assert row in {each.recipe or each.title for each in table.rows}
        assert not column or column[0] in {each.title for each in table.columns}


def test_a_cells_note_comes_before_its_rows(monkeypatch):
    monkeypatch.setattr(tables, "NOTES", {("r1a", "max, tanh"): "the row", ("r1a", "max, tanh", "lr 0.1, batch 40"): "the cell"})
    assert [tables.note("r1a", 1, column) for column in (0, 1)] == ["the cell", "the row"]
    assert tables.note("r1a", 0, 0) == ""


def test_results_that_cannot_be_read_count_as_none(monkeypatch):
    monkeypatch.setenv("INKLING_EXPERIMENTS", os.devnull)
    assert {each.state for each in summary.read_outcomes(tables.find("r7-loss"))} == {"missing"}
