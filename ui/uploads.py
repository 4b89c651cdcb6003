"""How much one open page may upload: Streamlit ends each file, and takes any number of them."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

MOST_UPLOADED = 300 * 2**20  # bytes of files of an open page, which the server keeps in memory until it is closed
MOST_KEPT = 400  # of them, empty ones too: each takes its name, and a look at every upload
UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/(.*)")
LONGEST_ID = 64  # characters of what the browser calls a file; Streamlit gives it 36

Message = MutableMapping[str, Any]


class UploadLimit:
    """ASGI middleware that refuses a file which would make those of one open page too many bytes, before it is read. asgi.py has it."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self.coming: Counter[str] = Counter()  # bytes by session, announced and not stored yet

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        found = UPLOAD.search(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if not found:
            await self.app(scope, receive, send)
            return
        session, size = found[1], _announced(scope)
        files = _files(session)
        is_too_many = len(files) >= MOST_KEPT or len(found[2]) > LONGEST_ID
        if is_too_many or sum(len(each.data) for each in files) + self.coming[session] + size > MOST_UPLOADED:
            refusal = f"The files of one page end at {MOST_UPLOADED // 2**20} MB and {MOST_KEPT} files: take some away, or reload the page"
            await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": refusal.encode()})
            return
        self.coming[session] += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.coming[session] -= size
            if not self.coming[session]:
                del self.coming[session]


def forget_but_of(page: str) -> None:
    """Forgets the files of this open page once it shows another of its pages: the uploaders of the one before are gone, with what they had."""
    if st.session_state.setdefault("uploads-page", page) != page:
        st.session_state["uploads-page"] = page
        forget()


def forget() -> None:
    """Forgets the files of this open page: called where its uploaders are emptied too."""
    if runtime.exists() and (context := get_script_run_ctx()):
        runtime.get_instance().uploaded_file_mgr.remove_session_files(context.session_id)


def _announced(scope: Message) -> int:
    """How long a request says it is; as long as Streamlit lets one be where it does not say, or says one thing and comes in chunks of any length."""
    headers = dict(scope["headers"])
    length = b"" if b"transfer-encoding" in headers else headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else st.get_option("server.maxUploadSize") * 2**20


def _files(session: str) -> list[Any]:
    """The files that an open page has uploaded."""
    return list(runtime.get_instance().uploaded_file_mgr.file_storage.get(session, {}).values())
