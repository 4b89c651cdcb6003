"""Retrains stand back while people wait for answers, and go on all the same."""

import contextlib
import os
import time
from types import SimpleNamespace

import pytest

from jobs import giving_way, runs
from tests import tiny
from training import fit
from ui import serving


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """A clock that only sleeping moves; what is slept is in the list."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path))
    monkeypatch.setattr(giving_way, "_gives_way", True)
    monkeypatch.setattr(giving_way, "_marked", -giving_way.EVERY)
    slept = []
    now = time.time()
    tells = {"time": lambda: now + sum(slept), "monotonic": lambda: sum(slept), "sleep": slept.append}
    monkeypatch.setattr(giving_way, "time", SimpleNamespace(**tells))
    return slept


def marked(seconds_ago):
    giving_way.mark().touch()
    then = giving_way.time.time() - seconds_ago
    os.utime(giving_way.mark(), (then, then))


def test_a_step_waits_until_nobody_has_waited_for_a_while(clock):
    marked(seconds_ago=0.0)
    giving_way.wait()
    assert sum(clock) == pytest.approx(giving_way.FRESH, abs=giving_way.LOOKS)


@pytest.mark.parametrize("seconds_ago", [giving_way.FRESH, 3600.0, -3600.0])
def test_a_mark_that_is_old_or_from_the_future_holds_nothing_up(clock, seconds_ago):
    marked(seconds_ago)
    giving_way.wait()
    assert clock == []


def test_nothing_is_held_up_without_a_mark(clock):
    giving_way.wait()
    assert clock == []


def test_a_crowd_that_never_ends_lets_a_step_through(clock, monkeypatch):
    monkeypatch.setattr(giving_way, "_is_asked", lambda: True)
    giving_way.wait()
    assert sum(clock) == pytest.approx(giving_way.LONGEST, abs=giving_way.LOOKS)


def test_what_a_training_stood_back_is_not_counted_as_its_work(clock, monkeypatch):
    monkeypatch.setattr(giving_way, "_is_asked", lambda: True)
    began = giving_way.seconds_at_work()
    giving_way.wait()
    clock.append(3.0)  # a step
    assert giving_way.seconds_at_work() - began == pytest.approx(3.0)


@pytest.mark.parametrize(("cores", "gives_way"), [(2, True), (giving_way.FEW_CORES, True), (16, False)])
def test_where_there_are_many_cores_niceness_is_enough(monkeypatch, cores, gives_way):
    monkeypatch.setattr(runs, "cores", lambda: cores)
    monkeypatch.setattr(giving_way, "_gives_way", False)
    monkeypatch.setattr(giving_way.os, "nice", lambda niceness: None)
    monkeypatch.setattr(giving_way.Path, "write_text", lambda path, text: None)
    giving_way.begin()
    assert giving_way._gives_way is gives_way


def test_a_process_that_was_not_started_by_a_page_gives_no_way(clock, monkeypatch):
    monkeypatch.setattr(giving_way, "_gives_way", False)
    marked(seconds_ago=0.0)
    giving_way.wait()
    assert clock == []


def test_one_answer_at_work_leaves_no_mark_and_two_do(clock, monkeypatch):
    monkeypatch.setattr(serving.answerer, "start", lambda: None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving.answering())
        assert not giving_way.mark().exists()
        stack.enter_context(serving.answering())
        assert giving_way.mark().exists()


def test_a_server_marks_at_most_ten_times_a_second(clock):
    giving_way.ask()
    giving_way.mark().unlink()
    giving_way.ask()
    assert not giving_way.mark().exists()
    clock.append(giving_way.EVERY)
    giving_way.ask()
    assert giving_way.mark().exists()


def test_a_folder_that_is_not_there_is_not_made_and_costs_no_answer(clock, monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "missing"))
    giving_way.ask()
    assert not (tmp_path / "missing").exists()


def test_every_step_of_a_training_asks_first(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(giving_way, "wait", lambda: asked.append(1))
    data = tiny.dataset(tmp_path / "data")
    config = tiny.config(epochs=2)
    fit.fit(config, tmp_path, data)
    assert len(asked) == 2 * (len(data.train) // config.batch_size)
