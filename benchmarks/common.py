"""What the benchmarks share: the server under test, the browser, strokes, statistics and the hardware line."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
PORTS = range(8650, 8691)
STARTUP_TIMEOUT = 90.0  # seconds: a first start compiles every module, and torch is large
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

# The two pages under test, and where each shows that it is ready, its answer, and its Clear button.
INKLING = {
    "script": "app.py",
    "module": "ui",
    "ready": "[data-testid=empty]",
    "answer": "[data-testid=answer], [data-testid=bars]",
    "clear": ".st-key-draw-clear button",
}
USUAL = {
    "script": "benchmarks/usual_page.py",
    "module": "streamlit run benchmarks/usual_page.py --runner.postScriptGC true",  # Streamlit's default
    "ready": "[data-testid=stAlert]",
    "answer": "[data-testid=stHeading]",
    "clear": ".st-key-clear button",
}

# Strokes as corners in fractions of the canvas: a one, a seven, a zero, an L, a two. They are answered differently.
STROKES = (
    ((0.5, 0.15), (0.5, 0.85)),
    ((0.25, 0.2), (0.75, 0.2), (0.45, 0.85)),
    ((0.5, 0.15), (0.75, 0.35), (0.75, 0.65), (0.5, 0.85), (0.25, 0.65), (0.25, 0.35), (0.5, 0.15)),
    ((0.35, 0.15), (0.35, 0.8), (0.75, 0.8)),
    ((0.3, 0.3), (0.5, 0.15), (0.7, 0.3), (0.3, 0.8), (0.75, 0.8)),
)


class Server:
    """A page served as its users start it, with a runs folder of its own. A context manager."""

    def __init__(self, page: dict[str, str], bytecode: Path | None = None) -> None:
        """bytecode: where compiled modules are kept; without it every start shares a folder beside the temporary files."""
        self.page, self.port = page, free_port()
        self.url = f"http://localhost:{self.port}"
        self.bytecode = bytecode or Path(tempfile.gettempdir()) / "inkling-benchmark-bytecode"

    def __enter__(self) -> "Server":
        self.scratch = tempfile.TemporaryDirectory(prefix="inkling-benchmark-")
        environment = {**os.environ, "INKLING_RUNS": self.scratch.name, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(self.bytecode)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # containers set it; then every start compiles every module
        self.log = Path(self.scratch.name, "server.log").open("wb")
        self.began = time.perf_counter()
        command = [sys.executable, "-m", *self.page["module"].split(), "--server.port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.scratch.cleanup()

    def _wait_until_healthy(self) -> None:
        while time.perf_counter() - self.began < STARTUP_TIMEOUT:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.page['script']} ended at once:\n{Path(self.log.name).read_text()}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                return
            time.sleep(0.01)
        raise SystemExit(f"{self.page['script']} did not answer within {STARTUP_TIMEOUT:.0f} s")

    def _processes(self) -> list[Path]:
        """Folders in /proc of the server and of the process that answers beside it; retrains are not counted."""
        own, beside = Path(f"/proc/{self.process.pid}"), []
        for children in own.glob("task/*/children"):
            with contextlib.suppress(OSError):  # one that has just ended
                beside += [Path("/proc", pid) for pid in children.read_text().split()]
        return [own, *(each for each in beside if self._answers(each))]

    def _answers(self, process: Path) -> bool:
        with contextlib.suppress(OSError):
            return b"ui.answerer" in (process / "cmdline").read_bytes()
        return False

    def rss(self) -> float:
        """Resident memory of the server, in MB, with what answers beside it."""
        return sum(map(_rss, self._processes()))

    def has_answerer(self) -> bool:
        """Whether a crowd has had the process started that answers beside the server."""
        return len(self._processes()) > 1

    def cpu(self) -> tuple[float, float]:
        """Seconds of processor time that the server has had, and what answers beside it."""
        own, *beside = map(_cpu, self._processes())
        return own, sum(beside)


def _rss(process: Path) -> float:
    with contextlib.suppress(OSError, IndexError):  # it has just ended
        return int((process / "status").read_text().split("VmRSS:")[1].split()[0]) / 1024
    return 0.0


def _cpu(process: Path) -> float:
    with contextlib.suppress(OSError, IndexError):
        facts = (process / "stat").read_text().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def free_port() -> int:
    """The first port of the benchmarks' range that nobody listens on."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("localhost", port))
                return port
    raise SystemExit(f"no free port from {PORTS[0]} to {PORTS[-1]}")


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """The system's Chromium, headless, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise SystemExit("no Chromium here; install one with: ./install.sh chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(page: "Page", server: Server) -> None:
    """Goes to the page and returns when it can be drawn on.

    Looks every hundredth of a second: Playwright's own waiting looks every half second, which would be in the figure.
    """
    page.goto(server.url, wait_until="commit")
    give_up = time.perf_counter() + STARTUP_TIMEOUT
    for sought in ("canvas", server.page["ready"]):
        while not page.locator(sought).last.is_visible():
            if time.perf_counter() > give_up:
                raise SystemExit(f"{server.page['script']} showed no {sought} within {STARTUP_TIMEOUT:.0f} s")
            page.wait_for_timeout(10)


def draw_stroke(page: "Page", number: int, steps: int = 4) -> None:
    """Draws one stroke with the mouse; each number draws another shape or place."""
    corners = STROKES[number % len(STROKES)]
    box = page.locator("canvas").last.bounding_box()
    jitter = (number // len(STROKES)) % 7 * 0.008  # so that no two drawings are equal
    points = [(box["x"] + (x + jitter) * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=steps)
    page.mouse.up()


def summary(values: Sequence[float]) -> dict[str, float]:
    """n, median, standard deviation, 95th and 99th percentile."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0, "median": float("nan"), "std": float("nan"), "p95": float("nan"), "p99": float("nan")}
    return {
        "n": len(ordered),
        "median": statistics.median(ordered),
        "std": statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
        "p95": _percentile(ordered, 0.95),
        "p99": _percentile(ordered, 0.99),
    }


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def hardware(*packages: str) -> str:
    """CPU, cores, what else was at work, and the versions of Python and the packages."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    versions = "".join(f", {name} {_version(name)}" for name in packages)
    return f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}{versions}"


def _version(name: str) -> str:
    """Of an installed package. onnxruntime is installed under that name or, for GPUs, as onnxruntime-gpu."""
    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-gpu")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def show(title: str, rows: list[dict[str, Any]], machine: str, as_json: bool, notes: Sequence[str] = ()) -> None:
    """Prints rows as an aligned table under a title, or everything as one JSON object."""
    if as_json:
        print(json.dumps({"benchmark": title, "hardware": machine, "rows": rows, "notes": list(notes)}))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    print(f"\n{title}\n{machine}")
    for row in cells:
        print(
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    for note in notes:
        print(note)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def parser(document: str) -> argparse.ArgumentParser:
    """A parser that tells a script's docstring, with --json."""
    made = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return made
