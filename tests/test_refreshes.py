"""A page's own refreshes: left out while a run of it is at work, and only then."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from ui import refreshes
from ui.refreshes import Refreshes


def asked(name: str, is_auto: bool = False) -> dict:
    message = BackMsg()
    message.rerun_script.query_string = name
    message.rerun_script.is_auto_rerun = is_auto
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


def end(how: int = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY) -> dict:
    message = ForwardMsg()
    message.script_finished = how
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def other() -> dict:
    message = ForwardMsg()
    message.delta.new_element.html.body = "an answer"
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def heard(*steps: dict, kind: str = "websocket") -> list:
    """What the app hears of the browser's messages while it sends the others in between: runs by name, others whole."""
    told, app_sends = [], []

    async def app(scope, receive, send) -> None:
        app_sends.append(send)
        while (message := await receive())["type"] != "websocket.disconnect":
            back = BackMsg.FromString(message.get("bytes") or b"") if message.get("bytes") != b"\xff" else BackMsg()
            told.append(back.rerun_script.query_string if back.WhichOneof("type") == "rerun_script" else message)

    async def send(message: dict) -> None:
        pass

    async def play() -> None:
        incoming: asyncio.Queue[dict] = asyncio.Queue()
        at_work = asyncio.create_task(Refreshes(app)({"type": kind}, incoming.get, send))
        for step in [{"type": "websocket.connect"}, *steps, {"type": "websocket.disconnect"}]:
            if step["type"] == "websocket.send":
                await app_sends[0](step)
            else:
                incoming.put_nowait(step)
            for _ in range(5):
                await asyncio.sleep(0)
        await at_work

    with ThreadPoolExecutor(1) as pool:  # the main thread has Playwright's loop
        pool.submit(asyncio.run, play()).result()
    return told[1:]  # without the connection


def test_a_refresh_is_left_out_while_a_run_is_at_work_and_heard_before_and_after():
    steps = [
        asked("before", True),
        end(),
        asked("stroke"),
        asked("lost", True),
        other(),
        asked("lost too", True),
        end(),
        asked("after", True),
    ]
    assert heard(*steps) == ["before", "stroke", "after"]


def test_a_run_that_ends_early_for_the_next_one_is_no_end():
    steps = [asked("stroke"), asked("next"), end(ForwardMsg.FINISHED_EARLY_FOR_RERUN), asked("lost", True)]
    assert heard(*steps, end(ForwardMsg.FINISHED_SUCCESSFULLY), asked("after", True)) == ["stroke", "next", "after"]


def test_strokes_are_never_left_out():
    assert heard(asked("refresh", True), asked("one"), asked("two"), end(), asked("three")) == ["refresh", "one", "two", "three"]


def test_a_run_that_never_tells_its_end_holds_nothing_up_for_long(monkeypatch):
    monkeypatch.setattr(refreshes, "LONGEST", 0.0)
    assert heard(asked("stroke"), asked("refresh", True)) == ["stroke", "refresh"]


@pytest.mark.parametrize("message", [{"type": "websocket.receive", "bytes": b"\xff"}, {"type": "websocket.receive", "text": "hello"}])
def test_what_is_no_request_for_a_run_goes_through_as_it_is(message):
    assert heard(asked("stroke"), message, end(), asked("refresh", True)) == ["stroke", message, "refresh"]


def test_other_protocols_are_not_looked_at():
    assert heard(asked("stroke"), asked("refresh", True), kind="http") == ["stroke", "refresh"]
