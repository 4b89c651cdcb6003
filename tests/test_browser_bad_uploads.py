"""Bad uploads through a real server: every one is answered or named, and its memory comes back.

INKLING_BAD_UPLOADS=1000 python -m pytest -s tests/test_browser_bad_uploads.py    # as many as that, and prints the memory
"""

import os
import resource
import time
from pathlib import Path

from playwright.sync_api import Browser, expect

from jobs.runs import ROOT
from tests.bad_uploads import corpus
from tests.browser import Visitor, free_port, server

A_VISIT = 40  # files: as many as the page answers at once
COUNT = int(os.environ.get("INKLING_BAD_UPLOADS", "240"))
MOST_MB = 50
SAMPLE = sorted((ROOT / "ui" / "samples" / "mnist").glob("*.png"))[0]


def megabytes(port: int) -> float:
    """What the server on a port holds in memory."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"--server.port\0{port}\0" in (process / "cmdline").read_text():
                return int((process / "statm").read_text().split()[1]) * resource.getpagesize() / 2**20
        except OSError:
            continue  # it ended meanwhile
    raise AssertionError(f"nothing serves port {port}")


def visit(browser: Browser, url: str, files: list[tuple[str, str, bytes]]) -> None:
    """Uploads files, waits until each has its row, and leaves."""
    visitor = Visitor(browser, f"{url}/upload")
    chosen = [
        {"name": name.replace("\0", "") or "nameless", "mimeType": "application/octet-stream", "buffer": content}
        for _, name, content in files
    ]
    visitor.page.locator("input[type=file]").set_input_files(chosen)
    rows = visitor.page.locator("[data-testid=answer], .ink-empty, .ink-error")
    expect(rows).to_have_count(len(files), timeout=60_000)
    expect(visitor.page.get_by_text("Traceback")).to_have_count(0)
    assert visitor.complaints == []
    visitor.page.context.close()


def test_every_bad_upload_gets_its_row_and_the_memory_of_the_server_comes_back(browser: Browser, tmp_path: Path):
    port = free_port()
    with server(tmp_path, port) as url:
        files = list(corpus(COUNT))
        visitor = Visitor(browser, f"{url}/upload")
        visitor.page.locator("input[type=file]").set_input_files(SAMPLE)
        expect(visitor.page.get_by_test_id("answer")).to_be_visible()
        visitor.page.wait_for_timeout(4000)  # what loads once does so while somebody looks at a page
        before = 0.0
        while megabytes(port) > before:
            before = megabytes(port)
            visitor.page.wait_for_timeout(2000)
        visitor.page.context.close()
        for at in range(0, len(files), A_VISIT):
            visit(browser, url, files[at : at + A_VISIT])
        give_up = time.monotonic() + 20  # a page that was left is forgotten a moment later
        while megabytes(port) - before >= MOST_MB and time.monotonic() < give_up:
            time.sleep(0.5)
        after = megabytes(port)
        print(f"{len(files)} bad uploads took the server from {before:.0f} to {after:.0f} MB")
        assert after - before < MOST_MB
