"""What visitors may do, and how much, is asked where it is done: a button that is not shown stops nobody."""

import os
import shutil
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import asgi
from corrections import store
from jobs import events, queue, runs, site
from jobs.config import RunConfig
from models import datasets, shelf
from tests import shapes
from tests.test_app import html_of
from tests.test_visitor import PUBLIC, folders, own_runs, sign_in
from ui import corrections, history, models, own_images, panel, retrain, tell, upload, visitor
from ui.refreshes import Refreshes
from ui.uploads import UploadLimit

__all__ = ["folders", "sign_in"]


@pytest.mark.parametrize("who", [{"is_logged_in": False}, {"email": "eve@elsewhere.example"}])
def test_rights_are_asked_where_the_act_is_done(sign_in, monkeypatch, tmp_path, who):
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=8, channels=1)
    sign_in(email="ada@school.example")
    (run,) = own_runs(1)
    events.append(run, "cancelled")
    card, about, done = shelf.load_card("mnist", "small"), datasets.info("ants"), []
    for place, name in (
        (runs, "cancel"),
        (runs, "remove"),
        (queue, "resume"),
        (shelf, "remove"),
        (shelf, "remove_all"),
        (datasets, "remove"),
        (store, "remove"),
        (store, "remove_left_over"),
        (store, "remove_all"),
        (store, "keep_all"),
        (own_images, "import_zip"),
    ):
        monkeypatch.setattr(place, name, lambda *facts, name=name, **more: done.append(name) or iter(()))
    monkeypatch.setattr(own_images.serving, "corrections", lambda: None)
    monkeypatch.setattr(st, "session_state", {})
    sign_in(**who)
    for act, what in ((panel.cancel, run), (panel.resume, run), (panel._delete, card), (history._delete, run), (models._remove, card)):
        act(what)
    corrections._remove(None, [])
    corrections._remove_left_over(None)
    own_images._delete(about, "2026-01-01T00:00:00Z")
    own_images._import(SimpleNamespace(getbuffer=lambda: b""), "Bees", 64, False)
    with pytest.raises(visitor.NotAllowed):
        tell._store(card, [])
    assert done == []


def test_another_one_on_the_list_has_no_power_over_a_run_and_does_not_see_it(sign_in, monkeypatch):
    site.path().write_text('mode = "public"\nallowed = ["@school.example"]\n')
    sign_in(email="ada@school.example")
    run, lock = runs.create(RunConfig(publish="mine"))
    os.close(lock)
    events.append(run, "queued", owner=visitor.owner())
    events.append(run, "failed", message="the loss became nan")
    sign_in(email="ben@school.example")
    done = []
    for place, name in ((runs, "cancel"), (runs, "remove"), (queue, "resume")):
        monkeypatch.setattr(place, name, lambda *facts, name=name: done.append(name))
    with monkeypatch.context() as bare:
        bare.setattr(st, "session_state", {})
        for act in (panel.cancel, panel.resume, history._delete):
            act(run)
    assert done == []
    for script in ("from ui import history; history.page()", "from ui import panel; panel.forget(); panel.show()"):
        page = AppTest.from_string(script, default_timeout=60).run()
        assert "the loss became nan" not in html_of(page)
        assert not [button.key for button in page.button if run.name in button.key]


def test_a_stranger_is_offered_no_deleting(sign_in, monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=8, channels=1)
    (tmp_path / "models" / "mnist").mkdir(parents=True)
    for ending in ("onnx", "json"):
        shutil.copy(runs.ROOT / "models" / "mnist" / f"fc.{ending}", tmp_path / "models" / "mnist" / f"mine.{ending}")
    script = "from ui import models, own_images; models.page(); own_images.page()"
    for email, is_known in (("eve@elsewhere.example", False), ("ada@school.example", True)):
        sign_in(email=email)
        page = AppTest.from_string(script, default_timeout=60).run()
        assert not page.exception
        keys = {button.key for button in page.button}
        assert ({"models-delete-sure-mine", "own-delete-ants"} <= keys, any("delete" in key for key in keys)) == (is_known, is_known)


def test_what_waits_is_one_of_a_visitors_retrains(sign_in, monkeypatch):
    sign_in(email="ada@school.example")
    places = [queue.Place(run=run, number=1, owner="", seconds=1.0, devices=()) for run in own_runs(2)]
    monkeypatch.setattr(queue, "waiting", lambda: places)
    with pytest.raises(visitor.NotAllowed, match="2 of your retrains are at work or waiting"):
        visitor.demand_retrain(1)


def test_the_queue_ends_where_the_site_says(sign_in, monkeypatch):
    site.path().write_text(PUBLIC + "[limits]\nqueue = 3\n")
    sign_in(email="ada@school.example")
    asked = []
    monkeypatch.setattr(queue, "start", lambda *facts: asked.append(facts[2:4]) or runs.runs_folder() / "x")
    monkeypatch.setattr(queue, "resume", lambda *facts: asked.append(facts[2]))
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "rerun", lambda: None)
    retrain.begin(RunConfig(), "lenet5")
    (run,) = own_runs(1)
    panel.resume(run)
    assert asked == [(visitor.owner(), 3), 3]


def drawn_too_often() -> None:
    from unittest.mock import patch

    from tests.test_app import drawn_one
    from ui import canvas, draw, visitor

    too_many = patch.object(visitor, "count", side_effect=lambda what, limit: (_ for _ in ()).throw(visitor.NotAllowed(f"{what} {limit}")))
    with too_many, patch.object(canvas, "draw", return_value=True), patch.object(canvas, "drawing", return_value=drawn_one()):
        draw.page()


def test_drawings_are_counted():
    page = html_of(AppTest.from_function(drawn_too_often, default_timeout=60).run())
    assert "drawings answers_per_minute" in page
    assert 'data-testid="answer"' not in page


def test_the_server_has_its_limits():
    assert [each.cls for each in asgi.app._user_middleware] == [asgi.SecurityHeaders, UploadLimit, Refreshes]


def test_two_retrains_of_one_second_have_a_name_each(sign_in, monkeypatch):
    sign_in(email="ada@school.example")
    names = []
    monkeypatch.setattr(queue, "start", lambda config, *facts: names.append(config.publish) or runs.runs_folder() / "x")
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "rerun", lambda: None)
    monkeypatch.setattr(retrain.time, "strftime", lambda form: "261101-120000")
    for _ in range(2):
        retrain.begin(RunConfig(), "lenet5")
    assert len(set(names)) == 2
    assert not set(names) & set(shelf.SHIPPED)


def test_a_spreadsheet_runs_no_name():
    for name in ("=cmd|'/c calc'!A1.csv", "+1", "-1", "@x", "\t=1"):
        assert upload._harmless(name) == "'" + name
    assert upload._harmless("a=b") == "a=b"


def test_the_name_of_a_picture_is_no_markup():
    shown = upload._original("<img src=x onerror=alert(1)>.png", "data:,", SimpleNamespace(prepared=SimpleNamespace(box=None)))
    assert "<img src=x" not in shown
