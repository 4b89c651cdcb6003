"""ui/visitor.py: what strangers may do, asked where it is done. Signing in itself: test_browser_public.py."""

import json
import os
import time
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.context import StreamlitHeaders
from streamlit.testing.v1 import AppTest

from jobs import events, queue, runs, site
from jobs.config import RunConfig
from models import datasets
from tests import shapes
from ui import panel, problems, retrain, visitor

PUBLIC = 'mode = "public"\nallowed = ["ada@school.example"]\n'


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv(site.VARIABLE, str(tmp_path / "inkling.toml"))
    (tmp_path / "inkling.toml").write_text(PUBLIC)
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def sign_in(monkeypatch):
    """Makes the visitor somebody."""

    def sign_in(**claims: object) -> None:
        claims = {"is_logged_in": True, "iat": time.time(), "email_verified": True, **claims}
        monkeypatch.setattr(visitor, "has_provider", lambda: True)
        monkeypatch.setattr(type(st.user), "to_dict", lambda self: claims)

    return sign_in


def refusal(act: str = "retrain") -> str:
    with pytest.raises(visitor.NotAllowed) as caught:
        visitor.demand(act)
    return str(caught.value)


def test_on_ones_own_machine_everything_is_allowed(folders, monkeypatch):
    (folders / "inkling.toml").write_text('mode = "local"\n')
    monkeypatch.setattr(st, "get_option", {"server.address": "localhost", "server.allowedHosts": ["localhost", "127.0.0.1"]}.get)
    assert not visitor.is_public()
    for act in visitor.DOING:
        visitor.demand(act)
    visitor.demand_retrain(1e9)
    assert visitor.granted() is None
    for _ in range(2000):
        visitor.count("drawings", "answers_per_minute")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "inkling.example", "", None])
def test_a_server_bound_to_more_than_this_machine_is_public_whatever_the_file_says(folders, monkeypatch, address):
    (folders / "inkling.toml").write_text('mode = "local"\n')
    monkeypatch.setattr(st, "get_option", {"server.address": address, "server.allowedHosts": ["localhost"]}.get)
    assert visitor.is_public()


@pytest.mark.parametrize("names", [["localhost", "inkling.example"], ["*"], ["*.example"], [], None])
def test_a_server_that_answers_to_other_names_as_behind_a_proxy_is_public_too(folders, monkeypatch, names):
    (folders / "inkling.toml").write_text('mode = "local"\n')
    monkeypatch.setattr(st, "get_option", {"server.address": "localhost", "server.allowedHosts": names}.get)
    assert visitor.is_public()


@pytest.mark.parametrize(
    ("peer", "headers", "public"),
    [
        (None, {"Host": "localhost:8501"}, False),  # as Streamlit tells of 127.0.0.1 and ::1
        ("127.0.0.2", {"Host": "localhost:8501"}, False),
        ("192.0.2.7", {"Host": "localhost:8501", "Origin": "http://localhost:8501"}, True),
        ("fd00::7", {"Host": "localhost:8501"}, True),
        *((None, {"Host": "localhost:8501", name: "127.0.0.1"}, True) for name in visitor.PROXIED),
        (None, {}, True),  # who sent a click and closed the page
    ],
)
def test_who_comes_from_elsewhere_is_a_stranger_whatever_the_server_is_bound_to(folders, monkeypatch, peer, headers, public):
    (folders / "inkling.toml").write_text('mode = "local"\n')
    monkeypatch.setattr(st, "get_option", {"server.address": "localhost", "server.allowedHosts": ["localhost", "127.0.0.1"]}.get)
    monkeypatch.setattr(type(st.context), "ip_address", peer)
    monkeypatch.setattr(type(st.context), "headers", StreamlitHeaders(headers.items()))
    assert visitor.is_public() is public


@pytest.mark.parametrize("text", ["mode = ", None])
def test_settings_that_cannot_be_read_let_nobody_do_more(folders, monkeypatch, text):
    (folders / "inkling.toml").write_text(text) if text else (folders / "inkling.toml").unlink()
    assert visitor.is_public()
    monkeypatch.setattr(visitor, "_is_at_home", lambda: False)
    assert refusal() == "Retraining is off until this server's settings are mended."  # strangers hear no path and no address
    monkeypatch.setattr(visitor, "_is_at_home", lambda: True)
    assert refusal().startswith(f"Retraining is off until this server's settings are mended: {folders}")
    visitor.count("drawings", "answers_per_minute")  # drawing goes on


def test_settings_that_cannot_be_read_do_not_take_the_page_from_who_is_signed_in(folders, sign_in):
    sign_in(email="ada@school.example")
    (folders / "inkling.toml").write_text("mode = ")
    app = AppTest.from_string("from ui import sidebar, history; sidebar.show(); history.page()", default_timeout=60).run()
    assert not app.exception
    assert not visitor.may_act()


def own_runs(count: int) -> list[Path]:
    """Runs that the visitor queued; no process holds them."""
    found = []
    for _ in range(count):
        folder, lock = runs.create(RunConfig())
        events.append(folder, "queued", owner=visitor.owner())
        os.close(lock)
        found.append(folder)
    return found


def test_resuming_counts_as_one_more_retrain(sign_in, monkeypatch):
    sign_in(email="ada@school.example")
    own = own_runs(3)
    monkeypatch.setattr(queue, "active_runs", lambda: own[:2])
    monkeypatch.setattr(queue, "resume", lambda *facts: pytest.fail("it was resumed"))
    monkeypatch.setattr(st, "session_state", {})
    panel.resume(own[2])
    assert "a visitor may have 2" in problems.told(f"retrain-problem-{own[2].name}")


@pytest.mark.parametrize("act", ["start", "resume"])
def test_of_two_clicks_at_one_moment_each_counts(sign_in, monkeypatch, act):
    """The other one takes its place after this one was let in, and before it is queued."""
    sign_in(email="ada@school.example")
    own = own_runs(3)

    def meanwhile(*facts: object) -> None:
        monkeypatch.setattr(queue, "active_runs", lambda: own[:2])
        demand, _ = facts[-2:]
        demand()
        pytest.fail("it was queued")

    monkeypatch.setattr(queue, act, meanwhile)
    monkeypatch.setattr(st, "session_state", {})
    with problems.telling("start"):
        retrain.begin(RunConfig(), "lenet5") if act == "start" else panel.resume(own[2])
    assert "a visitor may have 2" in problems.told("start" if act == "start" else f"retrain-problem-{own[2].name}")


def test_what_went_wrong_on_a_click_outlives_the_refreshes_and_then_goes(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    assert problems.told("where") is None
    with problems.telling("where"):
        raise PermissionError("no room; make some")
    assert [problems.told("where") for _ in range(3)] == ["no room; make some"] * 3
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + problems.READING)
    assert problems.told("where") is None


def test_what_goes_right_on_the_next_click_is_no_problem_any_more(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    with problems.telling("where"):
        raise PermissionError("no room; make some")
    with problems.telling("where"):
        pass
    assert problems.told("where") is None


def test_without_a_provider_nobody_may():
    assert refusal() == "Retraining is off on this server: nobody can sign in here."
    assert refusal("delete") == "Deleting is off on this server: nobody can sign in here."


def test_who_is_not_signed_in_is_told_to(sign_in):
    sign_in(is_logged_in=False)
    assert refusal() == "Retraining is for people on this server's list: sign in first."


def test_who_is_not_on_the_list_is_told_so(sign_in):
    sign_in(email="ben@school.example")
    assert refusal("import").endswith("and ben@school.example is not on it: ask who runs the server.")


def test_who_is_on_the_list_may(sign_in):
    sign_in(email="Ada@school.example")
    visitor.demand("retrain")
    assert visitor.may_act()


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": None}, {"email_verified": "false"}, {"email": None}, {"iat": 0.0}, {"iat": None}],
)
def test_an_address_that_the_provider_does_not_vouch_for_or_an_old_one_counts_for_nothing(sign_in, claims):
    sign_in(**{"email": "ada@school.example", **claims})
    assert visitor.address() == ""
    assert "sign in first" in refusal()


def test_a_provider_that_does_not_say_what_it_verified_is_trusted_where_the_site_says_so(sign_in, folders):
    (folders / "inkling.toml").write_text(PUBLIC + "require_verified_email = false\n")
    sign_in(email="ada@school.example", email_verified=None)
    assert visitor.may_act()
    sign_in(email="ada@school.example", email_verified=False)
    assert not visitor.may_act()


def test_signing_in_again_counts_however_old_the_session_with_the_provider_is(sign_in):
    sign_in(email="ada@school.example", auth_time=time.time() - 1_000_000)
    assert visitor.may_act()


def test_being_signed_in_ends_by_itself(sign_in, folders):
    (folders / "inkling.toml").write_text(PUBLIC + "sign_in_hours = 2\n")
    sign_in(email="ada@school.example", iat=time.time() - 2 * 3600 + 60)
    assert visitor.may_act()
    sign_in(email="ada@school.example", iat=time.time() - 2 * 3600 - 60)
    assert not visitor.may_act()


def test_a_run_belongs_to_who_queued_it_and_its_files_do_not_say_who(sign_in):
    sign_in(email="ada@school.example")
    folder, _ = runs.create(RunConfig())
    events.append(folder, "queued", owner=visitor.owner())
    visitor.demand_run(folder)
    assert "ada" not in (folder / "events.jsonl").read_text()
    site.path().write_text('mode = "public"\nallowed = ["@school.example"]\n')
    sign_in(email="ben@school.example")
    with pytest.raises(visitor.NotAllowed, match="is somebody else's retrain: only they may cancel, resume or delete it"):
        visitor.demand_run(folder)


def test_a_run_that_was_deleted_meanwhile_is_gone_and_nobody_elses(sign_in):
    sign_in(email="ada@school.example")
    with pytest.raises(visitor.NotAllowed, match=r"^20261128-090000-mnist-fc is not there any more: it was deleted meanwhile\.$"):
        visitor.demand_run(runs.runs_folder() / "20261128-090000-mnist-fc")


def test_a_retrain_that_would_take_too_long_is_refused_before_it_starts(sign_in):
    sign_in(email="ada@school.example")
    visitor.demand_retrain(3600)
    with pytest.raises(
        visitor.NotAllowed, match="expected to take 2\xa0h\xa00\xa0min, and one may take 1\xa0h\xa00\xa0min here: choose fewer epochs"
    ):
        visitor.demand_retrain(7200)
    assert visitor.granted() == 3 * 3600  # and stopped then


def test_a_visitor_has_two_places_in_the_queue_and_others_have_theirs(sign_in, monkeypatch):
    sign_in(email="ada@school.example")
    own = own_runs(2)
    monkeypatch.setattr(queue, "active_runs", lambda: own)
    with pytest.raises(visitor.NotAllowed, match="2 of your retrains are at work or waiting, and a visitor may have 2"):
        visitor.demand_retrain(1)
    site.path().write_text('mode = "public"\nallowed = ["@school.example"]\n')
    sign_in(email="ben@school.example")
    visitor.demand_retrain(1)


def test_more_drawings_a_minute_than_allowed_are_told_when_to_go_on(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    site.path().write_text(PUBLIC + "[limits]\nanswers_per_minute = 3\n")
    for _ in range(3):
        visitor.count("drawings", "answers_per_minute")
    with pytest.raises(visitor.NotAllowed, match=r"^More than 3 drawings a minute from one visitor: try again in (59|60) s\.$"):
        visitor.count("drawings", "answers_per_minute")
    now = time.monotonic()
    monkeypatch.setattr(visitor.time, "monotonic", lambda: now + 61)
    visitor.count("drawings", "answers_per_minute")


@pytest.mark.parametrize("name", ["draw", "upload", "models", "history", "corrections", "own_images", "experiments"])
def test_a_public_page_without_a_provider_offers_a_stranger_nothing_but_looking(name):
    app = AppTest.from_string(f"from ui import sidebar, {name}; sidebar.show(); {name}.page()", default_timeout=60).run()
    assert not app.exception
    keys = [button.key for button in app.button]
    assert not [
        key
        for key in keys
        if key.startswith(("retrain-go", "own-import", "own-delete", "models-delete", "corrections-delete", "corrections-retrain"))
    ]
    assert "A public page" in "".join(each.value for each in app.caption)


def test_strangers_are_not_sent_to_a_form_that_they_do_not_have(sign_in, tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    script = "from ui import {0}, sidebar; sidebar.show(); {0}.page()"
    for email, is_known in (("eve@elsewhere.example", False), ("ada@school.example", True)):
        sign_in(email=email)
        for name in ("draw", "upload", "models"):
            app = AppTest.from_string(script.format(name), default_timeout=60).run()
            shown = "".join(str(each.proto.body) for each in app.get("html"))
            assert "No network for MNIST digits yet" in shown
            assert ("Start training" in shown, "retrain one below" in shown) == (is_known, is_known)
        app = AppTest.from_string(script.format("experiments"), default_timeout=60)
        app.query_params |= {"sweep": "r1a", "cells": "0.0"}
        keys = [button.key for button in app.run().button]
        assert not app.exception
        assert ("experiments-retrain-r1a-0.0" in keys) is is_known


def test_the_form_itself_refuses_too(monkeypatch):
    """A click that a browser sends without having been shown the button."""
    started = []
    monkeypatch.setattr(queue, "start", lambda *facts: started.append(facts) or runs.runs_folder() / "started")
    with pytest.raises(visitor.NotAllowed):
        retrain.begin(RunConfig(), "lenet5")
    assert started == []


def test_pictures_and_file_names_of_own_data_sets_are_for_those_on_the_list_alone(sign_in, tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=32, channels=3)
    path = tmp_path / "datasets" / "ants" / datasets.FACTS
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"skipped": 1, "reasons": [{"file": "anna/passport.pdf", "reason": "no picture"}]})
    )
    page = AppTest.from_string("from ui import own_images; own_images.page()", default_timeout=60)
    for email, pictures in (("eve@elsewhere.example", 0), ("ada@school.example", 12)):
        sign_in(email=email)
        page.run()
        assert not page.exception
        shown = "".join(str(each.proto.body) for each in page.get("html"))
        assert "Ants" in shown
        assert bool(shown.count("<img")) is bool(pictures)
        assert len(page.dataframe) == bool(pictures)


def test_a_run_whose_data_set_was_deleted_can_be_seen_and_deleted(folders, monkeypatch):
    (folders / "inkling.toml").write_text('mode = "local"\n')
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    folder, lock = runs.create(RunConfig(publish="mine"))
    os.close(lock)
    events.append(folder, "queued", owner="")
    events.append(folder, "cancelled")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"dataset": "gone"}))
    page = AppTest.from_string("from ui import history; history.page()", default_timeout=60).run()
    assert "its pictures are not here any more" in "".join(str(each.proto.body) for each in page.get("html"))
    page.button(key=f"history-delete-{folder.name}").click().run()
    assert not page.exception
    assert not folder.exists()


def test_a_cancel_that_cannot_be_written_down_is_told_or_reaches_the_process_all_the_same(folders, monkeypatch):
    folder, lock = runs.create(RunConfig())
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(visitor, "demand_run", lambda run: None)
    monkeypatch.setattr(runs.Path, "touch", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied", str(self))))
    panel.cancel(folder)
    assert "cannot be read or written (Permission denied); mend its rights" in problems.told(f"retrain-problem-{folder.name}")
    os.close(lock)
