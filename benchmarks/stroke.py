"""python -m benchmarks.stroke [--strokes 30] [--json]

From a stroke to its answer, in headless Chromium with real mouse strokes on the Draw page, beside benchmarks/usual_page.py
in the same run, the two taking turns. Each stroke starts on a cleared canvas.

report: from the websocket frame with the drawing leaving the browser to the new answer standing in the DOM. Target: 60 ms.
mouse-up: from the button's release to the same; the canvas waits a fixed time of its own in between.
On the usual page only the heading counts: its chart is drawn later still.
"""

import base64

from playwright.sync_api import Page, TimeoutError
from streamlit.proto.BackMsg_pb2 import BackMsg

from benchmarks.common import INKLING, USUAL, Server, chromium, draw_stroke, hardware, open_page, parser, show, summary

TARGET = 60  # ms, report to answer
SETTLE = 400  # ms between two strokes: what a person takes at the very least
WARM_UP = 3  # strokes that are not counted

# All times are the page's own clock. A stale answer that is taken off, and an answer that comes, both change the marked elements;
# only a change that leaves one standing counts.
WATCH = """
(selector) => {
  const watch = window.__watch = {sends: [], up: 0, answers: []};
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(data.buffer || data);
    watch.sends.push({at: performance.now(), text: btoa(bytes.reduce((all, byte) => all + String.fromCharCode(byte), ''))});
    return send.call(this, data);
  };
  addEventListener('pointerup', () => { watch.up = performance.now(); }, true);
  let last = '';
  new MutationObserver(() => {
    const now = [...document.querySelectorAll(selector)].map((each) => each.innerHTML).join();
    if (now !== last && now) watch.answers.push(performance.now());
    last = now;
  }).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
}
"""


def open_watched(page: Page, server: Server) -> None:
    """Opens the page with the watch in place before any of its own scripts."""
    page.add_init_script(f"({WATCH})({server.page['answer']!r})")
    open_page(page, server)
    page.wait_for_timeout(2 * SETTLE)


def time_stroke(page: Page, server: Server, number: int) -> dict[str, float] | None:
    """Draws one stroke, waits for its answer, clears. None when no answer came within ten seconds."""
    page.evaluate("() => { __watch.sends = []; __watch.answers = []; }")
    draw_stroke(page, number)
    try:
        page.wait_for_function("() => __watch.answers.length", timeout=10_000)
    except TimeoutError:
        open_page(page, server)
        return None
    watch = page.evaluate("() => __watch")
    report = next(each["at"] for each in watch["sends"] if each["at"] >= watch["up"] and is_report(base64.b64decode(each["text"])))
    page.wait_for_timeout(SETTLE)
    page.locator(server.page["clear"]).locator("visible=true").first.click()
    page.locator(server.page["ready"]).first.wait_for()
    page.wait_for_timeout(SETTLE)
    return {"report": watch["answers"][0] - report, "mouse-up": watch["answers"][0] - watch["up"]}


def is_report(frame: bytes) -> bool:
    """Whether an outgoing frame is a drawing's report, and not the timer of a part that refreshes itself."""
    message = BackMsg.FromString(frame)
    return message.WhichOneof("type") == "rerun_script" and not message.rerun_script.is_auto_rerun


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--strokes", type=int, default=30, help="strokes counted on each page (default: 30)")
    options = arguments.parse_args()
    times: dict[str, list[dict[str, float]]] = {"Inkling": [], "usual": []}
    lost = dict.fromkeys(times, 0)
    with chromium() as browser, Server(INKLING) as inkling, Server(USUAL) as usual:
        # Playwright waits by evaluating text in the page, which the policy of Inkling's server forbids.
        pairs = [(name, browser.new_page(bypass_csp=True), server) for name, server in (("Inkling", inkling), ("usual", usual))]
        for _, page, server in pairs:
            open_watched(page, server)
        for number in range(WARM_UP + options.strokes):
            for name, page, server in pairs:
                page.bring_to_front()  # Chromium draws a page in the background less often
                measured = time_stroke(page, server, number)
                if measured is None:
                    lost[name] += 1
                elif number >= WARM_UP:
                    times[name].append(measured)
    rows, notes = [], [f"{count} strokes on the {name} page got no answer" for name, count in lost.items() if count]
    for span in ("report", "mouse-up"):
        figures = {name: summary([each[span] for each in measured]) for name, measured in times.items()}
        ratio = figures["usual"]["median"] / figures["Inkling"]["median"]
        for name, figure in figures.items():
            rows.append(
                {
                    "span": f"{span} to answer",
                    "page": name,
                    "n": figure["n"],
                    **{f"{key} ms": figure[key] for key in ("median", "std", "p95")},
                }
            )
        rows[-1]["usual/Inkling"] = ratio
        if span == "report":
            verdict = "met" if figures["Inkling"]["median"] <= TARGET else "missed"
            notes.append(f"target: report to answer {TARGET} ms (median): {verdict}")
    show("stroke to answer", rows, hardware("streamlit", "torch", "onnxruntime"), options.json, notes)


if __name__ == "__main__":
    main()
