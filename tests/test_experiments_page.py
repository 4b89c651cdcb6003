"""The Experiments page and the retrain form that it fills, through Streamlit's AppTest."""

import dataclasses
import os
import re

import pytest
from streamlit.testing.v1 import AppTest

from jobs import queue, runs, summary, tables
from jobs.config import RunConfig
from jobs.recipes import RECIPES
from jobs.summary import Outcome
from tests.measured import measure
from ui import experiments, visitor


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "experiments"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations that Start training was pressed for; nothing is trained."""
    configs: list[RunConfig] = []
    monkeypatch.setattr(queue, "start", lambda config, *facts: configs.append(config) or runs.runs_folder() / "started")
    return configs


def whole_page() -> None:
    from ui import experiments, settings, sidebar

    sidebar.show(settings.EXPERIMENTS)
    settings.show_complaints("experiments")
    experiments.page()


def visit(**query: str) -> AppTest:
    app = AppTest.from_function(whole_page, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def html_of(app: AppTest) -> str:
    assert not app.exception
    return "".join(str(each.proto.body) for each in app.get("html"))


def words_of(app: AppTest) -> str:
    return html_of(app) + "".join(each.value for each in app.caption)


def cell(sweep: str, row: int, column: int) -> Outcome:
    return next(each for each in summary.outcomes(tables.find(sweep), {}) if each.place == f"{row}.{column}")


def retrain(app: AppTest, sweep: str, place: str) -> AppTest:
    """Presses Retrain with these settings on a cell that is chosen."""
    return app.button(key=f"experiments-retrain-{sweep}-{place}").click().run()


def form(app: AppTest, kind: str, name: str):
    """A widget of the retrain form: each filling of the form gives it a new number behind its key."""
    return next(each for each in getattr(app, kind) if re.fullmatch(rf"retrain-{name}(-\d+)?", each.key or ""))


def same_settings(config: RunConfig, other: RunConfig) -> bool:
    return dataclasses.replace(config, seed=0, threads=0, publish="") == dataclasses.replace(other, seed=0, threads=0, publish="")


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_a_table_of_which_nothing_is_measured_says_so_and_how_to_measure_it(name):
    app = visit(sweep=name)
    cells = len(summary.outcomes(tables.find(name), {}))
    assert f"0 of {cells} cells measured" in html_of(app)
    assert f"<code>python -m training sweep {name}</code>" in html_of(app)
    assert "did not reproduce" not in html_of(app)


@pytest.mark.parametrize("name", tables.SWEEPS)
def test_a_whole_table_has_its_picture_and_the_curves_of_a_cell(name):
    measure(name)
    app = visit(sweep=name, cells="0.0")
    assert "cells measured" not in html_of(app)
    assert len(app.get("vega_lite_chart")) >= (3 if name == "systems" else 4)
    assert 'data-testid="legend"' in html_of(app)
    assert cell(name, 0, 0).title in html_of(app)


def test_a_table_that_is_half_measured_says_how_far_it_is():
    measure("r1a", [(0, 0), (0, 1)], diverged=[(3, 3)])
    app = visit(sweep="r1a", cells="0.0,3.3,2.2")
    assert "3 of 24 cells measured, 9 of 72 runs" in html_of(app)
    assert "diverged" in html_of(app)
    assert "the loss became nan in epoch 1" in html_of(app)
    assert "not measured" in html_of(app)


def test_the_systems_are_shown_with_what_did_not_reproduce_and_that_no_reason_is_known():
    measure("systems", away=0.02)
    page = html_of(visit())
    for name in tables.SYSTEMS:
        assert f"<b>{name.split('-')[0].upper()}</b>" in page
    with_figure = [name for name in tables.SYSTEMS if RECIPES[name].reference is not None]
    assert page.count('<span class="ink-verdict differs">') == len(with_figure) == len(tables.SYSTEMS) - 1  # no ResNet's
    assert "No reason found yet." in page
    assert "94.68 %" in page  # 92.68 of the source and the two points
    assert "n = 3" in page
    assert "60,000" in page


def test_the_rule_is_stated_and_a_reason_that_is_known_stands_beside_the_figure(monkeypatch):
    monkeypatch.setitem(tables.NOTES, ("r7-loss", "Adam", "mse"), "A reason <b>found</b>.")
    measure("r7-loss", away=-0.01)
    words = words_of(visit(sweep="r7-loss"))
    assert "0.5 points" in words
    assert "50 % of the source's error" in words
    assert "3 of our standard deviations" in words
    assert "A reason &lt;b&gt;found&lt;/b&gt;." in words
    assert "3 of 3 figures" in words


def test_several_cells_are_laid_over_each_other_and_the_address_says_which():
    measure("r7-lr")
    app = visit(sweep="r7-lr")
    app.multiselect(key="experiments-cells-r7-lr").set_value(["0.1", "0.3"]).run()
    assert html_of(app).count('data-testid="cell"') == 2
    assert app.query_params["sweep"] == "r7-lr"
    assert app.query_params["cells"] == "0.1,0.3"


def test_a_link_to_a_table_names_the_data_set_too_but_the_first():
    app = visit(sweep="r7-lr", data="Clothing")
    assert app.button_group(key="data").value == "fashion-mnist"
    app.selectbox(key="experiments-sweep").set_value("r1a").run()
    assert dict(app.query_params) == {"sweep": "r1a", "data": "Clothing"}
    app.button_group(key="data").set_value("mnist").run()
    assert dict(app.query_params) == {"sweep": "r1a"}


def test_a_chosen_cell_is_there_again_after_a_look_at_another_table():
    app = visit(sweep="r7-lr", cells="0.2")
    app.selectbox(key="experiments-sweep").set_value("r1a").run()
    assert "cells" not in app.query_params
    app.selectbox(key="experiments-sweep").set_value("r7-lr").run()
    assert app.multiselect(key="experiments-cells-r7-lr").value == ["0.2"]


@pytest.mark.parametrize(
    ("sweep", "row", "column"),
    [("r1a", 2, 5), ("r1b", 3, 0), ("r1c", 2, 1), ("r2", 0, 2), ("r3", 0, 0), ("systems", 4, 0), ("systems", 5, 0), ("systems", 6, 0),
     ("r7-schedule", 1, 4), ("r7-loss", 0, 1), ("r7-batch", 0, 7), ("r7-parts", 7, 0)],
)  # fmt: skip
def test_what_runs_is_the_cell_with_every_setting(sweep, row, column, started):
    place = f"{row}.{column}"
    wanted = cell(sweep, row, column)
    app = retrain(visit(sweep=sweep, cells=place), sweep, place)
    assert wanted.title in html_of(app)
    assert app.button_group(key="data").value == wanted.config.dataset
    assert form(app, "selectbox", "optimizer").value == wanted.config.optimizer
    assert form(app, "select_slider", "lr-scratch").value == wanted.config.lr
    assert form(app, "select_slider", "batch-size").value == wanted.config.batch_size
    assert form(app, "number_input", "epochs").value == wanted.config.epochs
    app.button(key="retrain-go").click().run()
    (config,) = started
    assert same_settings(config, wanted.config)
    assert (config.threads, config.publish.split("-")[0]) == (
        runs.page_friendly_threads(),
        "ensemble" if config.members > 1 else config.network.split("-")[0],
    )


def test_settings_given_while_a_run_is_at_work_can_be_queued(monkeypatch, started):
    folder, lock = runs.create(RunConfig())
    monkeypatch.setattr(queue, "active_runs", lambda: [folder])
    try:
        measure("r1a")
        app = retrain(visit(sweep="r1a", cells="0.2"), "r1a", "0.2")
        assert app.button(key="retrain-go").label == "Queue training"
        assert "after 1 other." in words_of(app)
        app.button(key="retrain-go").click().run()
        assert len(started) == 1
    finally:
        os.close(lock)


def test_a_setting_changed_in_the_form_is_told_and_the_others_are_kept(started):
    wanted = cell("r1a", 1, 0).config
    app = retrain(visit(sweep="r1a", cells="1.0"), "r1a", "1.0")
    form(app, "number_input", "epochs").set_value(2).run()
    assert "Changed since: epochs." in html_of(app)
    app.button(key="retrain-go").click().run()
    assert same_settings(started[0], dataclasses.replace(wanted, epochs=2))


def test_another_architecture_drops_the_given_layers_and_keeps_the_given_training(started):
    app = retrain(visit(sweep="r7-parts", cells="5.0"), "r7-parts", "5.0")
    form(app, "selectbox", "architecture").set_value("fc").run()
    app.button(key="retrain-go").click().run()
    assert (started[0].network, started[0].dropout, started[0].init) == ("fc", 0.0, "xavier")
    assert started[0].schedule == "constant"


def test_back_to_defaults_leaves_the_form_as_it_was(started):
    app = visit(sweep="r1a", cells="1.0")
    app.button(key="retrain-go").click().run()
    app = retrain(app, "r1a", "1.0")
    assert "lr" in app.query_params
    app.button(key="retrain-back").click().run()
    assert "Settings of" not in html_of(app)
    assert "lr" not in app.query_params
    app.button(key="retrain-go").click().run()
    assert same_settings(*started)


def test_settings_that_do_not_go_together_are_refused_with_their_reason(started):
    app = retrain(visit(sweep="r2", cells="0.0"), "r2", "0.0")
    form(app, "selectbox", "optimizer").set_value("adam").run()
    assert app.button(key="retrain-go").disabled
    assert started == []
    assert "its gradient is written by hand for sgd" in html_of(app)


def test_a_link_opens_the_same_table_cells_and_settings_for_somebody_else(started):
    first = retrain(visit(sweep="r7-schedule", cells="1.4,0.0"), "r7-schedule", "1.4")
    form(first, "select_slider", "batch-size").set_value(64).run()
    link = dict(first.query_params)
    second = visit(**link)
    assert second.selectbox(key="experiments-sweep").value == "r7-schedule"
    assert second.multiselect(key="experiments-cells-r7-schedule").value == ["1.4", "0.0"]
    assert "a shared link" in html_of(second)
    for app in (first, second):
        app.button(key="retrain-go").click().run()
    assert same_settings(*started)
    assert dict(second.query_params) == link


def test_a_link_keeps_its_settings_for_who_has_yet_to_sign_in(started, monkeypatch):
    link = {"sweep": "r3", "dataset": "mnist", "network": "fc", "lr": "0.05", "epochs": "7"}
    monkeypatch.setattr(visitor, "may_act", lambda: False)
    app = visit(**link).run()
    assert "a shared link" in words_of(app).lower()
    assert (app.query_params["lr"], app.query_params["epochs"]) == ("0.05", "7")


def test_a_link_with_a_cells_own_settings_says_whose_they_are():
    app = retrain(visit(sweep="r1a", cells="1.0"), "r1a", "1.0")
    again = visit(**dict(app.query_params))
    assert "Settings of <b>R1a: max, tanh, lr 0.1, batch 40</b>" in html_of(again)


def test_the_forms_own_settings_are_in_the_link_too_and_the_untouched_form_is_not():
    app = visit()
    assert set(app.query_params) == set()
    form(app, "number_input", "epochs").set_value(7).run()
    assert app.query_params["epochs"] == "7"
    assert form(visit(dataset="mnist", lr="0.004", epochs="7"), "number_input", "epochs").value == 7


def test_the_way_back_leads_to_the_first_table_and_forward_again():
    app = visit()
    app.selectbox(key="experiments-sweep").set_value("r1a").run()
    assert app.query_params["sweep"] == "r1a"
    app.query_params.clear()  # the browser's way back
    app.run()
    assert app.selectbox(key="experiments-sweep").value == "systems"
    assert set(app.query_params) == set()
    app.query_params["sweep"] = "r1a"
    app.run()
    assert app.selectbox(key="experiments-sweep").value == "r1a"
    app.selectbox(key="experiments-sweep").set_value("r7-lr").run()
    assert app.query_params["sweep"] == "r7-lr"


@pytest.mark.parametrize(("echo", "wanted"), [(60.0, "systems"), (0.0, "r1a")])
def test_what_a_widget_still_tells_after_the_way_back_is_no_choice(monkeypatch, echo, wanted):
    app = visit()
    app.selectbox(key="experiments-sweep").set_value("r1a").run()
    monkeypatch.setattr(experiments, "ECHO", echo)
    app.query_params.clear()
    app.run()
    app.selectbox(key="experiments-sweep").set_value("r1a").run()  # as the sidebar's panel does, a moment too late
    assert app.selectbox(key="experiments-sweep").value == wanted
    assert dict(app.query_params) == ({} if wanted == "systems" else {"sweep": "r1a"})


def test_the_way_back_to_other_cells_of_a_table_is_not_undone_by_an_echo(monkeypatch):
    monkeypatch.setattr(experiments, "ECHO", 60.0)
    app = visit(sweep="r7-lr", cells="0.1")
    app.multiselect(key="experiments-cells-r7-lr").set_value(["0.1", "0.3"]).run()
    assert app.query_params["cells"] == "0.1,0.3"
    app.query_params["cells"] = "0.1"
    app.run()
    app.multiselect(key="experiments-cells-r7-lr").set_value(["0.1", "0.3"]).run()
    assert app.multiselect(key="experiments-cells-r7-lr").value == ["0.1"]
    app.multiselect(key="experiments-cells-r7-lr").set_value(["0.2"]).run()
    assert app.query_params["cells"] == "0.2"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"sweep": "<b>r9</b>"}, "There is no table &#x27;&lt;b&gt;r9&lt;/b&gt;&#x27;"),
        ({"sweep": "r1a", "cells": "0.0,7.7"}, "The link names cells that R1a: SGD does not have: 7.7."),
        ({"lr": "fast"}, "The link asks for what is no setting: lr=fast."),
        ({"network": "softmax", "optimizer": "adam"}, "do not go together"),
    ],
)
def test_a_link_that_asks_for_the_impossible_gets_one_sentence(query, sentence):
    app = visit(**query)
    assert sentence in html_of(app)
    assert html_of(app).count('role="alert"') == 1
    app.selectbox(key="experiments-sweep").set_value("r7-lr").run()
    assert 'role="alert"' not in html_of(app)


def test_the_noise_scale_is_drawn_over_both_tables_and_explained():
    measure("r1a")
    measure("r1b", [(0, 0), (0, 3)])
    words = words_of(visit(sweep="r1b"))
    assert "ten times the batch acts like a tenth of the learning rate" in words
    assert "points apart on average" in words


def test_the_epoch_of_convergence_is_defined_and_told():
    measure("r3")
    words = words_of(visit(sweep="r3"))
    assert "the first whose accuracy is within 0.1 points of the run's best" in words
    assert "ours: 10, 10, 10" in words
    assert "converges at 26" in words
