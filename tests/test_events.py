"""jobs/events.py: whole events come back in order, whatever a killed writer left behind."""

import time

import pytest

from jobs import events


def write(folder, content: bytes) -> None:
    with (folder / events.FILE).open("ab") as file:
        file.write(content)


def kinds(folder) -> list[str]:
    return [event["kind"] for event in events.read(folder)]


def test_a_run_that_said_nothing_has_no_events(tmp_path):
    assert events.read(tmp_path) == []


def test_events_are_read_in_the_order_they_were_appended(tmp_path):
    for number in range(5):
        events.append(tmp_path, "step", number=number)
    events.append(tmp_path, "done")
    assert [event.get("number") for event in events.read(tmp_path)] == [0, 1, 2, 3, 4, None]
    assert kinds(tmp_path)[-1] == "done"


def test_an_event_carries_its_facts_and_the_present_time(tmp_path):
    before = time.time()
    events.append(tmp_path, "epoch", val_accuracy=0.5, note="naïve\nline")
    (event,) = events.read(tmp_path)
    assert before - 0.001 <= event.pop("time") <= time.time() + 0.001
    assert event == {"kind": "epoch", "val_accuracy": 0.5, "note": "naïve\nline"}


def test_an_event_takes_one_line(tmp_path):
    events.append(tmp_path, "failed", message="first\nsecond")
    events.append(tmp_path, "done")
    assert (tmp_path / events.FILE).read_bytes().count(b"\n") == 2


def test_a_half_written_last_line_is_ignored(tmp_path):
    events.append(tmp_path, "started")
    write(tmp_path, b'{"kind": "step", "ti')
    assert kinds(tmp_path) == ["started"]


def test_a_line_cut_inside_a_letter_is_ignored(tmp_path):
    events.append(tmp_path, "started")
    write(tmp_path, '{"kind": "é'.encode()[:-1])
    assert kinds(tmp_path) == ["started"]


def test_an_event_after_a_torn_line_is_not_lost(tmp_path):
    events.append(tmp_path, "started")
    write(tmp_path, b'{"kind": "step", "ti')
    events.append(tmp_path, "failed")
    events.append(tmp_path, "started")
    assert kinds(tmp_path) == ["started", "failed", "started"]


def test_a_whole_event_without_its_line_end_is_kept_and_so_is_the_next(tmp_path):
    write(tmp_path, b'{"kind": "started", "time": 1}')
    events.append(tmp_path, "done")
    assert kinds(tmp_path) == ["started", "done"]


@pytest.mark.parametrize(
    "line",
    [b"[1, 2]", b"7", b"null", b'"kind time"', b'{"kind": "step"}', b'{"time": 1}', b"{}", b"", b"\xff\xfe", b"Traceback:"],
)
def test_a_line_that_is_no_event_is_ignored(tmp_path, line):
    events.append(tmp_path, "started")
    write(tmp_path, line + b"\n")
    events.append(tmp_path, "done")
    assert kinds(tmp_path) == ["started", "done"]


def test_a_line_nested_without_end_is_no_event(tmp_path):
    write(tmp_path, b"[" * 100_000 + b"\n")
    assert events.first(tmp_path) is None
    assert events.read(tmp_path) == []


def test_appending_never_rewrites_what_was_there(tmp_path):
    events.append(tmp_path, "started")
    before = (tmp_path / events.FILE).read_bytes()
    events.append(tmp_path, "done")
    assert (tmp_path / events.FILE).read_bytes().startswith(before)
