"""ui/uploads.py: how many bytes of files one open page may have on the server."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from ui import uploads

MB = 2**20


class Server:
    """A server that has never read to the end of a file, until it is told to. statuses: what it answered, in order."""

    def __init__(self) -> None:
        self.limit, self.go, self.statuses = uploads.UploadLimit(self.answer), asyncio.Event(), []

    async def answer(self, scope, receive, send) -> None:
        await self.go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def request(self, path: str, size: int | None, method: str = "PUT", chunked: bool = False) -> None:
        async def send(message) -> None:
            self.statuses += [message["status"]] if message["type"] == "http.response.start" else []

        headers = [] if size is None else [(b"content-length", str(size).encode())]
        headers += [(b"transfer-encoding", b"chunked")] if chunked else []
        await self.limit({"type": "http", "method": method, "path": path, "headers": headers}, None, send)


def told_by(work: Coroutine[None, None, list[int]]) -> list[int]:
    """In a thread of its own: where tests of the page came before, Playwright's loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture
def files(monkeypatch):
    """What the server keeps; page A has 250 MB."""
    found = MemoryUploadedFileManager("/_stcore/upload_file")
    found.add_file("A", UploadedFileRec(file_id="1", name="a.png", type="image/png", data=bytes(250 * MB)))
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=found))
    return found


@pytest.mark.parametrize(("size", "status"), [(50 * MB, 204), (50 * MB + 1, 413), (None, 413)])
def test_a_file_that_makes_them_too_many_is_refused_before_it_is_read(files, size, status):
    async def upload() -> list[int]:
        server = Server()
        server.go.set()
        await server.request("/_stcore/upload_file/A/2", size)
        await server.request("/_stcore/upload_file/B/3", 100 * MB)  # another page
        await server.request("/_stcore/upload_file/A/1", 100 * MB, "DELETE")
        return server.statuses

    assert told_by(upload()) == [status, 204, 204]


@pytest.mark.parametrize(("count", "file_id", "status"), [(399, "b" * 36, 204), (400, "b" * 36, 413), (1, "b" * 65, 413)])
def test_files_without_end_and_names_without_end_are_refused_though_they_are_empty(files, count, file_id, status):
    for number in range(count):
        files.add_file("C", UploadedFileRec(file_id=str(number), name="", type="", data=b""))

    async def upload() -> list[int]:
        server = Server()
        server.go.set()
        await server.request(f"/_stcore/upload_file/C/{file_id}", 0)
        return server.statuses

    assert told_by(upload()) == [status]


def test_chunks_of_any_length_are_not_believed_to_be_as_few_bytes_as_is_said_beside_them(files):
    async def upload() -> list[int]:
        server = Server()
        server.go.set()
        await server.request("/_stcore/upload_file/A/2", 1, chunked=True)
        return server.statuses

    assert told_by(upload()) == [413]


def test_what_is_uploaded_stays_in_memory_while_it_comes():
    import asgi

    assert asgi.MultiPartParser.spool_max_size > st.get_option("server.maxUploadSize") * MB


def test_files_that_are_still_coming_count_too_and_no_more_when_they_have_come_or_were_taken_away(files):
    async def upload() -> list[int]:
        server = Server()
        coming = [asyncio.create_task(server.request(f"/_stcore/upload_file/A/{number}", 20 * MB)) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        coming[1].cancel()
        await asyncio.wait(coming[1:2])
        fourth = asyncio.create_task(server.request("/_stcore/upload_file/A/5", 20 * MB))
        await asyncio.sleep(0)
        server.go.set()
        await asyncio.gather(coming[0], coming[2], fourth)
        files.remove_file("A", "1")
        await server.request("/_stcore/upload_file/A/6", 100 * MB)
        assert not server.limit.coming
        return server.statuses

    assert told_by(upload()) == [413, 204, 204, 204]


def test_files_of_a_page_that_is_left_or_of_an_emptied_uploader_are_forgotten(files, monkeypatch):
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: SimpleNamespace(session_id="A"))
    monkeypatch.setattr(st, "session_state", {})
    for page in ("upload", "upload"):
        uploads.forget_but_of(page)
        assert len(uploads._files("A")) == 1
    uploads.forget_but_of("models")
    assert uploads._files("A") == []
