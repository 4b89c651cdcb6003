"""The retrain form with settings that were given to it, and what it says of a data set that is gone."""

import os

import pytest
from streamlit.testing.v1 import AppTest

from jobs import queue, runs
from jobs.config import RunConfig
from jobs.runs import ROOT
from tests import tiny
from tests.test_app import html_of
from training import export, fit
from ui import settings

FURTHER = RunConfig(channels=(32, 64, 256), batch_norm=True, dropout=0.2, start_from="lenet5", corrections=True, lr=0.001)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path) -> AppTest:
    """A page whose form has the settings of a run that went on from a network, and corrections."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.session_state[settings.GIVEN] = settings.Given(title="a retrain", config=FURTHER)
    return app.run()


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path) -> AppTest:
    """A page whose chosen network is softmax regression by hand."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    config = tiny.config(network="softmax", optimizer="sgd", momentum=0.0)
    folder, lock = runs.create(config, tmp_path / "runs" / "20260101-000000-softmax")
    os.close(lock)
    data = tiny.dataset(tmp_path / "data")
    fit.fit(config, folder, data)
    export.publish([folder], "softmax", data)
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def asked(app: AppTest) -> RunConfig:
    assert not app.exception
    return app.session_state["retrain-asked"]


def test_given_settings_of_a_run_that_went_on_from_a_network_say_so_and_go_on_from_it(app):
    assert app.button_group(key="retrain-start").value == "given"
    assert "Trains lenet5 further, as given." in [each.value for each in app.caption]
    assert "retrain-architecture" not in {each.key for each in app.selectbox}
    assert (asked(app).start_from, asked(app).corrections, asked(app).channels) == ("lenet5", True, (32, 64, 256))


def test_from_scratch_means_from_scratch_whatever_was_given(app):
    app.button_group(key="retrain-start").set_value("scratch").run()
    assert (asked(app).start_from, asked(app).corrections, asked(app).channels) == ("", False, (32, 64, 256))
    app.selectbox(key="retrain-architecture").set_value("fc").run()
    assert (asked(app).start_from, asked(app).corrections, asked(app).network) == ("", False, "fc")


def test_the_chosen_network_can_be_gone_on_from_in_place_of_the_given_one(app):
    app.selectbox(key="sidebar-network-mnist").set_value("fc").run()
    app.button_group(key="retrain-start").set_value("chosen").run()
    assert (asked(app).start_from, asked(app).network, asked(app).corrections) == ("fc", "fc", False)


def test_who_changes_to_a_network_that_no_run_goes_on_from_starts_anew_with_what_is_usual_there(places):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.selectbox(key="sidebar-network-mnist").set_value("lenet5").run()
    app.button_group(key="retrain-start").set_value("chosen").run()
    assert app.select_slider(key="retrain-lr-chosen").value == 0.0005
    app.selectbox(key="sidebar-network-mnist").set_value("ensemble").run()
    assert not app.exception
    assert app.button_group(key="retrain-start-anew").value == "scratch"
    assert app.select_slider(key="retrain-lr-scratch").value == 0.004


def test_softmax_by_hand_is_gone_on_from_with_the_optimizer_that_it_knows(by_hand, monkeypatch):
    queued = []

    def start(config, *others) -> None:
        queued.append((config.network, config.optimizer, config.momentum, config.lr))
        raise queue.Full("enough")

    monkeypatch.setattr(queue, "start", start)
    by_hand.button_group(key="retrain-start").set_value("chosen").run()
    assert by_hand.selectbox(key="retrain-optimizer-by-hand").options == ["SGD without momentum"]
    by_hand.button(key="retrain-go").click().run()
    by_hand.button_group(key="retrain-start").set_value("scratch").run()
    by_hand.button(key="retrain-go").click().run()
    assert not by_hand.exception
    assert queued == [("softmax", "sgd", 0.0, 0.02), ("lenet5", "adam", 0.9, 0.004)]


def test_a_number_of_epochs_that_cannot_be_is_told_and_nothing_is_trained_in_its_place(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.number_input[0].set_value(100_000).run()
    assert "epochs is 100000; it must be" in html_of(app)
    (go,) = (button for button in app.button if button.label == "Start training")
    assert go.disabled
    app.number_input[0].set_value(2).run()
    assert "This cannot be trained" not in html_of(app)
    (go,) = (button for button in app.button if button.label == "Start training")
    assert not go.disabled


def test_what_of_a_link_cannot_be_used_is_told_on_the_page_that_it_leads_to(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["lr"] = "abc"
    app.query_params["epochs"] = "-3"
    assert "Not all of the link could be used" in html_of(app.run())
