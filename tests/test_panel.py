"""ui/panel.py: how often a page looks at the retrains, and what of them is drawn."""

import dataclasses
import itertools
import os
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from jobs import events, news, queue, runs
from jobs.config import RunConfig
from ui import panel, visitor


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch):
    """Opens so many pages that each look once; the last one's session stays."""
    monkeypatch.setattr(panel, "_pages", {})
    monkeypatch.setattr(panel, "_numbers", itertools.count())

    def open_pages(count: int, *names: str) -> float:
        now = panel.Look(moment=0.0, root=Path(), active=tuple(map(Path, names)), places=(), begins=(0.0,), ended=(), problem="")
        for _ in range(count):
            monkeypatch.setattr(st, "session_state", {})
            found = panel._pace(now)
        return found

    return open_pages


@pytest.mark.parametrize("names", [(), ("run",)])
def test_a_few_pages_look_often_and_many_share_ten_looks_a_second(pages, names):
    assert pages(1, *names) == (panel.LIVE if names else panel.IDLE)
    assert 5 <= 30 / pages(29, *names) <= 10


@pytest.mark.parametrize("names", [(), ("run",)])
def test_a_class_seldom_looks_by_itself_whatever_is_at_work(pages, names):
    assert pages(panel.CLASS, *names) < panel.SELDOM
    assert pages(1, *names) == panel.SELDOM


def test_a_page_that_is_drawn_on_looks_in_its_turn_when_there_are_other_retrains(pages, monkeypatch):
    pages(40)
    look = panel.Look(moment=0.0, root=Path(), active=(Path("run"),), places=(), begins=(0.0,), ended=(), problem="")
    monkeypatch.setattr(panel, "look", lambda: look)
    clock = [panel.time.monotonic()]
    monkeypatch.setattr(panel.time, "monotonic", lambda: clock[0])
    assert not panel.is_behind()  # it shows none at all
    clock[0] += 40 * panel.SHARE
    assert not panel.is_behind()
    st.session_state["retrain-names"] = ()
    assert not panel.is_behind()  # 39 others come first
    clock[0] += 38 * panel.SHARE
    assert not panel.is_behind()
    clock[0] += 2 * panel.SHARE
    assert panel.is_behind()
    st.session_state["retrain-names"] = look.names
    assert not panel.is_behind()
    assert "retrain-behind" not in st.session_state


@pytest.mark.parametrize(("count", "runs_again"), [(2, True), (panel.CLASS + 1, False)])
def test_a_page_of_a_class_does_not_run_again_as_a_whole_for_the_retrains_of_others(pages, monkeypatch, count: int, runs_again: bool):
    again = []
    pages(count)
    st.session_state |= {"retrain-names": (("run",), ()), "retrain-pace": panel.SELDOM if count > panel.CLASS else panel.IDLE}
    look = panel.Look(moment=0.0, root=Path(), active=(), places=(), begins=(0.0,), ended=(), problem="")
    monkeypatch.setattr(panel, "look", lambda: look)
    monkeypatch.setattr(st, "rerun", lambda: again.append(True))
    panel._panel()
    assert bool(again) is runs_again
    assert st.session_state["retrain-names"] == ()


def test_the_page_that_started_a_retrain_goes_on_looking_often_while_it_is_at_work(pages):
    assert pages(20, "run") > panel.LIVE
    panel.follow(Path("runs/run"))
    look = panel.Look(moment=0.0, root=Path(), active=(Path("run"),), places=(), begins=(0.0,), ended=(), problem="")
    assert panel._pace(look) == panel.LIVE
    assert panel._pace(dataclasses.replace(look, active=(Path("another"),))) > panel.LIVE
    assert panel._pace(dataclasses.replace(look, active=())) == panel.IDLE


def test_a_page_that_is_gone_has_no_share(pages, monkeypatch):
    assert pages(100) == panel.SELDOM
    moment = panel.time.monotonic() + panel.GONE + 1
    monkeypatch.setattr(panel.time, "monotonic", lambda: moment)
    assert pages(1) == panel.IDLE


def ended(count: int) -> list[Path]:
    """Runs that ended, with a learning curve each; the newest first, as the page has them."""
    for _ in range(count):
        folder, lock = runs.create(RunConfig(epochs=2, publish="mine"))
        events.append(folder, "queued", owner="")
        events.append(folder, "started", pid=1, train_images=40, epochs=2, members=1, is_sample=False, device="cpu", threads=1)
        for x in (0.5, 1.0, 1.5):
            events.append(folder, "step", member=0, x=x, loss=1 / x, progress=x / 2)
        for epoch in (1, 2):
            events.append(folder, "epoch", member=0, epoch=epoch, val_loss=0.5, val_accuracy=0.4 * epoch)
        events.append(folder, "done")
        os.close(lock)
    return runs.list_runs()


def test_news_of_a_run_are_found_however_many_younger_ones_wait(places):
    (done,) = ended(1)
    locks = [runs.create(RunConfig())[1] for _ in range(12)]
    assert [folder for folder, _ in news.ended_lately([])] == [done]
    for lock in locks:
        os.close(lock)


def test_runs_that_ended_long_ago_are_not_looked_at_each_time_and_one_that_is_resumed_is_news_again(places, monkeypatch):
    new, old, other = ended(3)
    for path in (old, old / events.FILE, other, other / events.FILE):
        os.utime(path, (1e9, 1e9))
    looked_at = []
    monkeypatch.setattr(news.runs, "is_alive", lambda folder: looked_at.append(folder))
    for _ in range(3):
        assert [folder for folder, _ in news.ended_lately([])] == [new]
    assert [looked_at.count(folder) for folder in (old, other)] == [1, 1]
    events.append(old, "done")  # it was resumed meanwhile
    assert [folder for folder, _ in news.ended_lately([])] == [new]
    assert {folder for folder, _ in news.ended_lately([old])} == {old, new}  # within the millisecond: in either order
    events.append(other, "done")
    monkeypatch.setattr(news, "_looked_at", news.time.monotonic() - news.AGAIN)
    assert {folder for folder, _ in news.ended_lately([])} == {other, old, new}


def test_what_ended_in_the_time_to_come_is_no_news(places, monkeypatch):
    """Where the clock was set back by a day."""
    ended(1)
    now = news.time.time()
    monkeypatch.setattr(news.time, "time", lambda: now - 24 * 3600)
    assert news.ended_lately([]) == []
    monkeypatch.setattr(news.time, "time", lambda: now - 10)  # another server's clock is a little ahead
    assert len(news.ended_lately([])) == 1


def test_a_folder_of_runs_that_cannot_be_read_is_told_in_a_sentence(places, monkeypatch):
    (places / "file").write_text("no folder")
    monkeypatch.setenv("INKLING_RUNS", str(places / "file"))
    assert panel.look().problem.startswith("The folder of retrains cannot be read")
    assert panel.look().names == ()


def test_a_run_that_is_deleted_while_somebody_looks_is_passed_over(places, monkeypatch):
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    found = [*ended(1), places / "20260101-000000-gone"]
    monkeypatch.setattr(runs, "list_runs", lambda without=(): found)
    assert [folder for folder, _ in news.ended_lately([])] == found[:1]
    monkeypatch.setattr(panel, "config_of", lambda run: RunConfig())
    page = AppTest.from_string("from ui import history; history.page()", default_timeout=60).run()
    assert not page.exception
    assert len([each for each in page.button if each.label == "Delete"]) == 1


def test_each_button_of_the_news_is_of_one_run(places, monkeypatch):
    """While somebody looks another run may end, whose news take the place: a click must not be taken for one of its."""
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    (first,) = ended(1)
    events.append(first, "failed", message="the loss became nan")
    page = AppTest.from_string("from ui import panel; panel.forget(); panel.show()", default_timeout=60).run()
    before = {each.key for each in page.button}
    (second,) = set(ended(1)) - {first}
    events.append(second, "failed", message="the loss became nan")
    after = {each.key for each in page.run().button}
    assert len(before) == len(after) == 2
    assert not before & after


def test_who_waits_for_a_retrain_hears_of_its_end_while_another_is_at_work(places, monkeypatch):
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    (own,) = ended(1)
    events.append(own, "failed", message="the loss became nan")
    other, lock = runs.create(RunConfig())
    monkeypatch.setattr(queue, "active_runs", lambda: [other])
    page = AppTest.from_string("from ui import panel; panel.forget(); panel.show()", default_timeout=60).run()
    assert not said(page, "The loss became nan.")
    page.session_state["retrain-followed"] = {own.name}
    assert said(page.run(), "The loss became nan.")
    os.close(lock)


def test_the_failure_of_a_command_is_told_where_it_was_given_alone(places, monkeypatch):
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    (run,) = ended(1)
    events.append(run, "failed", message="the loss became nan")
    page = AppTest.from_string("from ui import panel; panel.forget(); panel.show()", default_timeout=60)
    assert said(page.run(), "The loss became nan.")
    monkeypatch.setattr(runs, "owner", lambda folder: None)
    assert not said(page.run(), "The loss became nan.")


def test_what_was_dismissed_is_no_news_to_the_next_visit_until_the_run_says_more(places, monkeypatch):
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    (run,) = ended(1)
    events.append(run, "failed", message="the loss became nan")
    monkeypatch.setattr(panel, "_pages", {})  # where others look too, it is dismissed for this visit alone
    visits = [AppTest.from_string("from ui import panel; panel.forget(); panel.show()", default_timeout=60) for _ in range(2)]
    visits[0].run().button(key=f"retrain-dismiss-{run.name}").click().run()
    assert not said(visits[1].run(), "The loss became nan.")
    events.append(run, "failed", message="the disk is full")
    monkeypatch.setattr(news, "_looked_at", news.time.monotonic() - news.AGAIN)  # a minute later
    assert said(visits[1].run(), "The disk is full.")


def said(page: AppTest, words: str) -> bool:
    assert not page.exception
    return any(words in str(each.proto.body) for each in page.get("html"))


def test_the_retrains_page_draws_the_curves_of_the_runs_that_are_opened_alone(places, monkeypatch):
    monkeypatch.setattr(visitor, "is_public", lambda: False)
    drawn, draw = [], panel._drawn
    monkeypatch.setattr(panel, "_drawn", lambda key, *facts: drawn.append(key) or draw(key, *facts))
    newest, *_ = ended(3)
    page = AppTest.from_string("from ui import history; history.page()", default_timeout=60).run()
    assert not page.exception
    assert len([each for each in page.button if each.label == "Delete"]) == 3
    assert drawn == []
    page.session_state[f"history-curves-{newest.name}"] = True
    page.run()
    assert not page.exception
    assert drawn == [f"history-{newest.name}"] * 2
    assert len(page.get("vega_lite_chart")) + len(page.get("arrow_vega_lite_chart")) == 2


def test_a_chart_is_drawn_once_a_moment_and_what_nobody_looks_at_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(panel, "MOST_SPECS", 3)
    monkeypatch.setattr(panel, "_specs", {})
    drawn = []

    class Chart:
        def to_dict(self) -> dict:
            return {"number": len(drawn)}

    def chart(steps: list, total_epochs: int) -> Chart:
        drawn.append(steps[-1]["run"])
        return Chart()

    def look_at(run: str, time: float = 1.0) -> dict:
        return panel._drawn(run, chart, [{"time": time, "run": run}], 2)

    assert [look_at(run)["number"] for run in "abcab"] == [1, 2, 3, 1, 2]
    look_at("d")
    look_at("a")
    look_at("b")
    assert drawn == ["a", "b", "c", "d"]
    for moment in range(10):
        look_at("a", moment)
    assert look_at("b")["number"] == 2
    assert len(panel._specs) == 3
