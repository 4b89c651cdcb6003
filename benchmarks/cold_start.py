"""python -m benchmarks.cold_start [--starts 5] [--json]

From starting the process, as the Makefile does, to the first page that can be drawn on: the canvas is there and so is the
empty state beside it. Chromium runs already. Beside benchmarks/usual_page.py, the two taking turns. Target: 2 s.

One start each with no module compiled, as right after an installation, goes before and is shown on its own.
"""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.common import INKLING, USUAL, Server, chromium, hardware, open_page, parser, show, summary

TARGET = 2.0  # s


def time_start(browser: Browser, page_under_test: dict[str, str], bytecode: Path) -> dict[str, float]:
    """Seconds from the process's start to the server's first answer and to the page, and the memory then."""
    with browser.new_context() as context:  # an empty cache each time
        page = context.new_page()
        with Server(page_under_test, bytecode) as server:
            listening = time.perf_counter() - server.began
            open_page(page, server)
            return {"listening": listening, "interactive": time.perf_counter() - server.began, "rss": server.rss()}


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--starts", type=int, default=5, help="starts counted of each page (default: 5)")
    options = arguments.parse_args()
    pages = {"Inkling": INKLING, "usual": USUAL}
    with tempfile.TemporaryDirectory(prefix="inkling-bytecode-") as folder, chromium() as browser:
        first = {name: time_start(browser, page, Path(folder, name)) for name, page in pages.items()}
        starts: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for _ in range(options.starts):
            for name, page in pages.items():
                starts[name].append(time_start(browser, page, Path(folder, name)))
    rows = []
    for span in ("listening", "interactive"):
        for name, measured in starts.items():
            figure = summary([each[span] for each in measured])
            rows.append(
                {
                    "span": f"start to {span}",
                    "page": name,
                    "n": figure["n"],
                    **{f"{key} s": figure[key] for key in ("median", "std", "p95")},
                }
            )
            rows[-1]["first start s"] = first[name][span]
            rows[-1]["RSS MB"] = summary([each["rss"] for each in measured])["median"] if span == "interactive" else ""
        rows[-1]["usual/Inkling"] = rows[-1]["median s"] / rows[-2]["median s"]
    inkling = rows[-2]["median s"]
    notes = [f"target: start to interactive {TARGET:g} s (median): {'met' if inkling <= TARGET else 'missed'}"]
    show("cold start", rows, hardware("streamlit", "torch", "torchvision", "onnxruntime"), options.json, notes)


if __name__ == "__main__":
    main()
