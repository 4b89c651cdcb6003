"""The server: Streamlit's own on app.py, with headers that tell browsers what the page may do and an end to uploads. `python -m ui` starts it."""

import base64
import contextlib
import ctypes
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import streamlit
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from streamlit.starlette import App

from ui.refreshes import Refreshes
from ui.uploads import UploadLimit

M_ARENA_MAX = -8  # glibc's malloc.h

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


def _share_arenas() -> None:
    """Has glibc allocate from two pools in place of eight a core: every script runs in a thread of its own, and what one has freed in its
    pool no other one uses. 1,000 uploads leave 15 MB less. Elsewhere than on glibc nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)


def _inline_scripts() -> str:
    """The digests of the scripts that stand in Streamlit's own page, whatever its version: these may run, and no other inline one."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_bytes()
    found = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in found)


# What people upload stays in memory while it comes, as it does afterwards: Starlette would put all above 1 MB into a file meanwhile, on a disk
# that may be full. UploadLimit and maxUploadSize say how much that can be.
MultiPartParser.spool_max_size = 2**30

# What the page loads, and from where: itself, its websocket too. Inline styles are Streamlit's, blob: is the canvas's code, data: what the camera's picture is fetched as.
POLICY = {
    "default-src": "'self'",
    "script-src": f"'self' {_inline_scripts()} blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "media-src": "'self' blob:",
    "connect-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware that adds HEADERS to every answer that has not set them itself."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in present]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


_share_arenas()
app = App(Path(__file__).parent / "app.py", middleware=[Middleware(SecurityHeaders), Middleware(UploadLimit), Middleware(Refreshes)])
