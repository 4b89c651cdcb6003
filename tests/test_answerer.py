"""ui/answerer.py: the process that answers drawings beside the server, and what the server does without it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Pipe
from pathlib import Path

import numpy as np
import pytest

from inference.classify import Answer
from jobs.runs import ROOT
from models import shelf
from tests.test_app import html_of, read_of_a_drawing, run_page
from tests.test_faults import PATIENCE, until
from ui import answerer, drawings, serving
from ui.answerer import Answerer

NAMES = ("small", "fc", "lenet5")


def told(*strokes: list[tuple[int, int]]) -> str:
    """As a canvas tells lines from point to point."""
    paths = [[["M", *points[0]], *(["L", *point] for point in points[1:])] for points in strokes]
    return json.dumps([{"path": path, "strokeWidth": 20, "stroke": "#ffffff"} for path in paths])


ONE = told([(160, 60), (160, 260)])
ELEVEN = told([(110, 60), (110, 260)], [(220, 60), (220, 260)])
SCRIBBLE = told([(40 + 7 * (at * 37 % 35), 40 + 7 * (at * 53 % 35)) for at in range(40)])


def cards(*names: str) -> list[shelf.Card]:
    return [shelf.load_card("mnist", name) for name in names or NAMES]


def is_at_work(pid: int) -> bool:
    try:
        return b"ui.answerer" in Path(f"/proc/{pid}/cmdline").read_bytes()  # which nobody may have taken notice of since it ended
    except FileNotFoundError:
        return False


def is_ready(process: Answerer) -> bool:
    return process._connection is not None


@pytest.fixture
def started(monkeypatch):
    """An answerer whose process has loaded what it needs."""
    monkeypatch.setattr(answerer, "AGAIN", 0.0)
    process = Answerer()
    process.start()
    until(lambda: is_ready(process))
    yield process
    if running := process._process:
        running.kill()
        until(lambda: process._process is None)


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch) -> Path:
    shutil.copytree(ROOT / "models" / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    return tmp_path / "mnist"


def same(one: Answer, other: Answer) -> bool:
    of_both = zip((one, *one.digits), (other, *other.digits), strict=True)
    return (one.label, one.reason, one.stranger, one.probability) == (other.label, other.reason, other.stranger, other.probability) and all(
        np.array_equal(a.prepared.pixels, b.prepared.pixels) and np.array_equal(a.probabilities, b.probabilities) for a, b in of_both
    )


def test_it_says_what_the_server_would_say(started):
    for drawing, label in ((ONE, "1"), (ELEVEN, "11"), (SCRIBBLE, None)):
        by_process, by_server = started.ask(drawing, cards()), drawings.answers(drawing, cards())
        assert by_process[0].label == label
        assert len(by_process) == len(by_server) == 3
        assert all(map(same, by_process, by_server))
    (blank,) = started.ask(told([(-90, -90), (-80, -80)]), cards())  # beyond the canvas
    assert blank.prepared.is_blank


def test_many_threads_each_get_their_own_answer(started):
    seen = []

    def ask(drawing: str, label: str) -> None:
        for _ in range(20):
            seen.append((label, started.ask(drawing, cards())[0].label))

    threads = [threading.Thread(target=ask, args=each) for each in ((ONE, "1"), (ELEVEN, "11")) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert all(asked == answered for asked, answered in seen)


def publish_as_lenet5(mnist: Path) -> None:
    for ending in ("json", "onnx"):
        (mnist / f"lenet5.{ending}").unlink()
        shutil.copy(mnist / f"small.{ending}", mnist / f"lenet5.{ending}")


def test_a_network_that_was_published_anew_answers_as_soon_as_the_server_knows_it(mnist, started):
    old = cards()
    before = started.ask(ONE, old)
    publish_as_lenet5(mnist)
    small, _, same_as_before = started.ask(ONE, old)  # as the page shows it still
    assert np.array_equal(same_as_before.probabilities, before[2].probabilities)
    _, _, anew = started.ask(ONE, cards())
    assert np.array_equal(anew.probabilities, small.probabilities)
    assert not np.array_equal(anew.probabilities, before[2].probabilities)


def test_where_it_knows_a_newer_network_than_the_page_the_server_answers(mnist, started, monkeypatch):
    monkeypatch.setattr(serving, "answerer", started)
    old = cards()
    expected = drawings.answers(ONE, old)
    publish_as_lenet5(mnist)
    assert started.ask(ONE, old) is None
    assert all(map(same, serving.answers(ONE, old), expected))


def test_where_the_first_network_is_none_the_server_looks_for_itself(mnist, started, monkeypatch):
    monkeypatch.setattr(serving, "answerer", started)
    shutil.copy(mnist / "fc.json", mnist / "mine.json")
    (mnist / "mine.onnx").write_bytes(b"not a graph")
    known = cards("mine", "small")
    (error,) = started.ask(ONE, known)
    assert isinstance(error, shelf.ShelfError)
    shutil.copy(mnist / "fc.onnx", mnist / "mine.onnx")
    monkeypatch.setattr(started, "ask", lambda *asked: [error])  # as where it alone cannot read the file
    assert [each.label for each in serving.answers(ONE, known)] == ["1", "1"]


def test_one_damaged_network_leaves_the_others_answers(mnist):
    (mnist / "fc.onnx").write_bytes(b"not a graph")
    small, damaged, lenet5 = drawings.answers(ONE, cards())
    assert (small.label, lenet5.label) == ("1", "1")
    assert "fc.onnx is not the file its card describes" in str(damaged)


def test_killed_it_costs_no_answer_and_is_started_anew(started, monkeypatch):
    monkeypatch.setattr(serving, "answerer", started)
    first = started._process.pid
    os.kill(first, signal.SIGKILL)
    assert serving.answers(ONE, cards())[0].label == "1"
    until(lambda: started._process is None)
    started.start()
    until(lambda: is_ready(started))
    assert started._process.pid != first
    assert started.ask(ONE, cards())[0].label == "1"


def test_stuck_it_is_ended_and_the_server_answers(started, monkeypatch):
    monkeypatch.setattr(answerer, "PATIENCE", 0.2)
    monkeypatch.setattr(serving, "answerer", started)
    process = started._process
    os.kill(process.pid, signal.SIGSTOP)
    assert serving.answers(ELEVEN, cards())[0].label == "11"
    until(lambda: process.poll() is not None)


@pytest.mark.parametrize("odd", ["[]", "no JSON", '[{"path": [["M", 1]], "strokeWidth": "x", "stroke": "#ffffff"}]'])
def test_what_a_browser_made_up_ends_nothing(started, odd):
    assert started.ask(odd, cards()) is None
    assert started.ask(ONE, cards())[0].label == "1"


def test_until_it_is_ready_the_server_answers_and_it_is_started_once(monkeypatch):
    began, ready = [], threading.Event()

    class Loading:
        """A process and its end of the pipe, which says nothing for a while."""

        def recv(self) -> None:
            ready.wait(PATIENCE)
            raise EOFError

        wait = close = lambda self: None

    monkeypatch.setattr(answerer, "_started", lambda: began.append(1) or (Loading(), Loading()))
    process = Answerer()
    assert process.ask(ONE, cards()) is None
    for _ in range(3):
        process.start()
        assert process.ask(ONE, cards()) is None
    assert began == [1]
    ready.set()
    until(lambda: process._process is None)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")])
def test_what_cannot_be_started_costs_no_answer_and_leaves_no_crowd_behind(monkeypatch, error):
    monkeypatch.setattr(serving, "answerer", Answerer())
    children = []
    if isinstance(error, OSError):
        monkeypatch.setattr(answerer, "Pipe", lambda: (_ for _ in ()).throw(error))
    else:
        start = answerer._started
        monkeypatch.setattr(answerer, "_started", lambda: children.append(start()) or children[0])
        monkeypatch.setattr(answerer.threading, "Thread", lambda **facts: (_ for _ in ()).throw(error))
    with serving.answering(), serving.answering():
        assert serving.answers(ONE, cards())[0].label == "1"
    assert not serving.is_crowded()
    assert serving.answerer._process is None
    assert all(process.returncode is not None for process, _ in children)


def test_a_drawing_that_the_sockets_cannot_hold_is_the_servers(started):
    long = told([(60 + at % 200, 160) for at in range(12_000)])
    assert len(long) > answerer.LONGEST
    assert started.ask(long, cards()) is None
    assert started.ask(ONE, cards())[0].label == "1"


def test_half_an_answer_is_never_taken_for_the_next_one(started):
    connection = started._connection

    class Failing:
        send, poll = connection.send, connection.poll

        def recv(self) -> None:
            raise MemoryError

    process, started._connection = started._process, Failing()
    assert started.ask(ONE, cards()) is None
    assert started.ask(ELEVEN, cards()) is None
    until(lambda: process.poll() is not None)


def test_one_that_ends_at_once_is_not_started_again_and_again(monkeypatch):
    monkeypatch.setattr(answerer.sys, "executable", "/bin/false")
    process = Answerer()
    process.start()
    until(lambda: process._process is None)
    process.start()
    assert process._process is None
    process._began -= answerer.AGAIN
    monkeypatch.setattr(answerer.sys, "executable", "/missing")  # as where there is no memory for another process
    process.start()
    assert process._process is None
    assert process.ask(ONE, cards()) is None


def test_it_ends_when_nobody_asks():
    ours, theirs = Pipe()
    answering = threading.Thread(target=answerer.serve, args=(theirs, 0.1))
    answering.start()
    assert ours.recv() == "ready"
    ours.send((ONE, "mnist", [answerer._name(card) for card in cards()]))
    assert ours.poll(PATIENCE)
    assert ours.recv()[0].label == "1"
    answering.join(PATIENCE)
    assert not answering.is_alive()


@pytest.mark.parametrize("waits", [False, True])
def test_it_ends_with_its_server_while_it_loads_and_while_it_waits(waits: bool):
    script = (
        "import time; from ui.answerer import Answerer; a = Answerer(); a.start(); print(a._process.pid, flush=True)\n"
        f"while {waits} and a._connection is None: time.sleep(0.01)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(server.stdout.readline())
    assert server.stdout.readline() == "ready\n"
    until(lambda: is_at_work(child))
    server.kill()
    server.wait()
    server.stdout.close()
    until(lambda: not is_at_work(child))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A shelf that is named by a path relative to where the server was started; its MNIST folder."""
    shutil.copytree(ROOT / "models" / "mnist", tmp_path / "shelf" / "mnist")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKLING_MODELS", "shelf")
    return tmp_path / "shelf" / "mnist"


def test_a_shelf_at_a_relative_path_is_the_same_for_both(elsewhere, started):
    publish_as_lenet5(elsewhere)
    small, lenet5 = started.ask(ONE, cards("small", "lenet5"))
    assert np.array_equal(small.probabilities, lenet5.probabilities)


def test_a_network_that_is_gone_is_no_fault_of_the_process(mnist, started, capfd):
    known = cards()
    shutil.copy(mnist / "fc.json", mnist / "mine.json")
    gone = cards("mine")
    (mnist / "mine.json").unlink()
    assert started.ask(ONE, gone) is None
    assert started.ask(ONE, known)[0].label == "1"
    assert "Traceback" not in capfd.readouterr().err


def test_in_a_crowd_the_page_says_which_network_was_not_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(
        serving, "answers", lambda told, cards: asked.append([card.name for card in cards]) or drawings.answers(told, cards)
    )
    monkeypatch.setattr(serving.answerer, "start", lambda: None)
    for is_crowded in (False, True):
        monkeypatch.setattr(serving, "is_crowded", lambda is_crowded=is_crowded: is_crowded)
        page = html_of(run_page(read_of_a_drawing))
        assert ("others draw too" in page) is is_crowded
    assert asked == [["small", "fc", "lenet5", "ensemble"], ["small", "fc", "lenet5"]]
