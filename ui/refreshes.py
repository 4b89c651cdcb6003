"""Keeps a page's own refreshes out of the moment in which another run of it ends.

Streamlit makes a new runner for what is asked between a run's last look for requests and its last message, and from then on ignores what the
old one still says (streamlit/streamlit#9921): the answer to a stroke is lost, three to six times in 180,000 strokes of a class. Refreshes come
again by themselves, so that one of these can be left out.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from google.protobuf.message import DecodeError
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

LONGEST = 10.0  # seconds after which a run that has not told its end is no longer waited for: it may have been refused
SHORT = 1024  # bytes, more than the message of a run's end has; what is longer is not looked at

Message = MutableMapping[str, Any]


class Refreshes:
    """ASGI middleware that leaves out the automatic reruns that arrive while a run of the same page is at work."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        began: float | None = None  # of the run at work

        async def receive_others() -> Message:
            nonlocal began
            while True:
                message = await receive()
                asked = _asked(message.get("bytes"))
                if asked is None:
                    return message
                is_at_work = began is not None and time.monotonic() - began < LONGEST
                if asked.is_auto_rerun and is_at_work:
                    continue
                began = time.monotonic()
                return message

        async def send_and_look(message: Message) -> None:
            nonlocal began
            if _tells_an_end(message.get("bytes")):
                began = None
            await send(message)

        await self.app(scope, receive_others, send_and_look)


def _asked(content: bytes | None) -> Any:
    """The request for a run that a browser's message is; None where it is another."""
    message = BackMsg()
    try:
        message.ParseFromString(content or b"")
    except DecodeError:  # Streamlit says what is wrong with it
        return None
    return message.rerun_script if message.WhichOneof("type") == "rerun_script" else None


def _tells_an_end(content: bytes | None) -> bool:
    if not content or len(content) > SHORT:
        return False
    message = ForwardMsg.FromString(content)
    # A run that ended early for another one is no end: that one is at work.
    return message.WhichOneof("type") == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
