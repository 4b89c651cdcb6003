"""Headless Chromium on the real page: what the browser tests share."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from benchmarks.common import CHROMIUM_FLAGS as FLAGS
from jobs.runs import ROOT
from ui.pens import PENS

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
PATIENCE = 30_000  # milliseconds: far beyond what anything takes, for slow machines
expect.set_options(timeout=PATIENCE)

# Strokes as a hand draws them, in the canvas's 320x320 pixels.
DIGITS = {
    "7": [[(85, 80), (215, 78), (190, 130), (160, 190), (140, 250)]],
    "1": [[(160, 60), (160, 260)]],
    "4": [[(120, 70), (100, 170), (215, 170)], [(185, 70), (180, 260)]],
}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@contextmanager
def server(
    folder: Path, port: int | None = None, options: Sequence[str] = (), before: Sequence[str] = (), **environment: str
) -> Iterator[str]:
    """Inkling's page in a process of its own, with shelf and runs in `folder`; yields its address. options: of Streamlit; before: the command."""
    port = port or free_port()
    shelf = folder / "models"
    shutil.copytree(ROOT / "models", shelf, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*-[0-9]*-[0-9]*.*"), dirs_exist_ok=True)
    settings = {
        "INKLING_MODELS": str(shelf),
        "INKLING_RUNS": str(folder / "runs"),
        "INKLING_DATA": "sample",
        "INKLING_DATASETS": str(folder / "datasets"),
        "INKLING_CORRECTIONS": f"sqlite:///{folder / 'corrections.sqlite3'}",
    } | environment
    if "--secrets.files" not in options:  # those of .streamlit are of a school that signs in, and keeps corrections in a real database
        options = ["--secrets.files", str(folder / "secrets.toml"), *options]
    log = (folder / "server.log").open("ab")
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "ui", "--server.port", str(port), *options],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until_healthy(f"http://localhost:{port}", process)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()
    assert_quiet((folder / "server.log").read_text())


def wait_until_healthy(url: str, process: subprocess.Popen) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer within 60 s")


def assert_quiet(log: str) -> None:
    """A server that did its work says nothing but its address."""
    # Authlib, which Streamlit signs in with, says of its own import that its httpx is an old one.
    heard = [line for line in log.splitlines() if "AuthlibDeprecationWarning" not in line]
    lines = [line for line in heard if re.search(r"warning|error|traceback|deprecat|unexpected", line, re.IGNORECASE)]
    assert not lines, lines


class Visitor:
    """A page with an ear on its console."""

    def __init__(self, browser: Browser, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.page: Page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)
        self.page.get_by_test_id("stMainBlockContainer").wait_for()

    def _hear(self, message: ConsoleMessage) -> None:
        # A visitor who comes by a page's own address makes Streamlit look for its server below that address first: two
        # 404s before it finds it, in every Streamlit app, and nothing that an app could change.
        is_search_for_server = re.search(
            r"/(upload|models|experiments|retrains|corrections|own-images)/_stcore/(health|host-config)$", message.location["url"]
        )
        if message.type in ("error", "warning") and not is_search_for_server:
            self.complaints.append(f"{message.text} {message.location['url']}")

    def draw(self, strokes: list[list[tuple[int, int]]], scale: float = 1.0, move: tuple[int, int] = (0, 0)) -> None:
        """Draws with mouse paths on the canvas."""
        canvas = self.page.locator("canvas.upper-canvas")
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        expect(canvas).to_have_count(1)  # while one page gives way to another, both may be there
        canvas.wait_for()
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        for stroke in strokes:
            points = [(box["x"] + x * scale + move[0], box["y"] + y * scale + move[1]) for x, y in stroke]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*point, steps=6)
            self.page.mouse.up()

    def pick_pen(self, pen: str) -> None:
        """Takes one of the canvas's pens, from the finest to the thickest."""
        self.page.locator(".st-key-draw-pen button").nth(list(PENS).index(pen)).click()

    def glyph(self) -> str:
        """The large answer of the Draw page."""
        return self.page.get_by_test_id("answer").locator(".ink-glyph").inner_text()

    def open(self, name: str) -> None:
        """Goes to another page by its link."""
        self.page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests."""
    assert CHROMIUM, "Chromium is missing; install it with: apt-get install chromium (make test does)"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the tests that leave nothing behind."""
    with server(tmp_path_factory.mktemp("server")) as url:
        yield url
