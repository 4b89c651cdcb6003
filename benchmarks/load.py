"""python -m benchmarks.load [--clients 100] [--rate 1] [--seconds 60] [--servers 1] [--retrain [only]] [--usual-seconds 8] [--json]

Many people drawing at once: websocket clients that speak Streamlit's protocol, each sending a drawing at a fixed rate and
waiting for the end of the rerun that answers it. With --retrain once more while a retrain is at work, whose epochs are counted from before the
pages are opened; with --retrain only that alone. Then the same load on benchmarks/usual_page.py. With --servers 2 every other client is at a second server, as a proxy would share them out (deploy/nginx.conf,
which is not between them here). They draw from SETTLE seconds after the last page was opened and the first few drawings had the
process started that answers a crowd. The servers' memory is looked at all the while: its growth is from a sixth of the time on to the end.
The processor time of an answer has in it what the open pages take; --rate 0.05 tells these apart (benchmarks/campus.py).

The drawings are recorded from Chromium, frame by frame, and sent again with the ids of each client's own session. Like
a browser, a client also asks for the parts of a page that refresh themselves. A latency counts from the moment that its
drawing was due, so that a server which falls behind cannot hide it by slowing its clients down.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.common import INKLING, USUAL, Server, chromium, draw_stroke, hardware, open_page, parser, show, summary
from jobs import queue, runs
from jobs.config import RunConfig

STROKES_A_DRAWING = 3  # recorded: the drawing after one, two and three strokes, over and over
SETTLE = 8.0  # seconds, in which a server has done with the opened pages
LOOKS = 2.0  # seconds between two looks at the server's memory
WARM = 1 / 6  # of the time, after which memory should stay as it is
EPOCHS = 500  # of the retrain beside them
ANSWER_TIMEOUT = 30.0  # seconds without an answer that count as an error
# The element that holds a drawing's answer and a text in it, so that an empty rerun is not taken for one.
ANSWERS = {INKLING["script"]: ("html", 'data-testid="answer"'), USUAL["script"]: ("heading", "Prediction")}


def record_drawings(server: Server) -> list[BackMsg]:
    """What Chromium sends after each of a few strokes."""
    frames: list[bytes] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(frame)))
        open_page(page, server)
        page.wait_for_timeout(1500)
        reports = []
        for number in range(STROKES_A_DRAWING):
            frames.clear()
            draw_stroke(page, number)
            page.wait_for_timeout(1500)
            sent = [BackMsg.FromString(frame) for frame in frames]
            reports.append(next(each for each in sent if each.HasField("rerun_script") and not each.rerun_script.is_auto_rerun))
    for report in reports:
        del report.rerun_script.cached_message_hashes[:]  # a client here keeps nothing
    return reports


@dataclass
class Tally:
    """What all clients of one run saw."""

    began: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)  # ms
    errors: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)  # MB, every LOOKS seconds
    # Seconds of processor time that the servers had while they drew, and what answers beside them.
    cpu: np.ndarray = field(default_factory=lambda: np.zeros(2))


class Client:
    """One visitor with a session of their own."""

    def __init__(self, socket: ClientConnection, script: str, drawings: list[BackMsg]) -> None:
        self.socket, self.script, self.drawings = socket, script, drawings
        self.canvas = self.fragment = ""
        self.timers: dict[str, asyncio.Task] = {}
        self.answered = asyncio.Event()
        self.answer_seen = False
        self.last = drawings[0]
        self.exceptions = 0

    async def open(self) -> None:
        """Loads the page and learns its canvas."""
        self.reader = asyncio.create_task(self._read())
        first = BackMsg()
        first.rerun_script.widget_states.SetInParent()
        first.rerun_script.context_info.CopyFrom(self.drawings[0].rerun_script.context_info)
        self.answer_seen = True  # the page itself is what is waited for
        await self._ask(first)
        if not self.canvas:
            raise RuntimeError(f"{self.script} sent no canvas")

    async def draw(self, number: int) -> None:
        """Sends one drawing and returns when the rerun that answers it has ended."""
        message = BackMsg.FromString(self.drawings[number % len(self.drawings)].SerializeToString())
        message.rerun_script.fragment_id = self.fragment
        for widget in message.rerun_script.widget_states.widgets:
            if widget.HasField("json_value"):
                widget.id = self.canvas
        self.last, self.answer_seen = message, False
        await self._ask(message)

    async def close(self) -> None:
        """Leaves."""
        for task in (self.reader, *self.timers.values()):
            task.cancel()
        await self.socket.close()

    async def _ask(self, message: BackMsg) -> None:
        self.answered.clear()
        await self.socket.send(message.SerializeToString())
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await self.answered.wait()

    async def _read(self) -> None:
        async for frame in self.socket:
            message = ForwardMsg.FromString(frame)
            kind = message.WhichOneof("type")
            if kind == "delta":
                self._read_delta(message)
            elif kind == "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            elif kind == "script_finished" and self.answer_seen:
                self.answered.set()

    def _read_delta(self, message: ForwardMsg) -> None:
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        expected, text = ANSWERS[self.script]
        if kind == "bidi_component":
            self.canvas, self.fragment = element.bidi_component.id, message.delta.fragment_id
        elif kind == "exception":
            self.exceptions += 1
        elif kind == expected and text in element.html.body + element.heading.body:
            self.answer_seen = True

    def _start_timer(self, fragment: str, interval: float) -> None:
        if fragment in self.timers:
            self.timers[fragment].cancel()
        self.timers[fragment] = asyncio.create_task(self._refresh(fragment, interval))

    async def _refresh(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            message = BackMsg.FromString(self.last.SerializeToString())
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
            await self.socket.send(message.SerializeToString())


async def load(servers: list[Server], drawings: list[BackMsg], clients: int, rate: float, seconds: float) -> Tally:
    """Opens all clients, one after the other, lets them draw and closes them."""
    tally, opened = Tally(), []
    try:
        for _, server in zip(range(clients), itertools.cycle(servers), strict=False):
            url = f"ws://localhost:{server.port}/_stcore/stream"
            client = Client(await connect(url, subprotocols=["streamlit"], max_size=None), server.page["script"], drawings)
            opened.append(client)
            await client.open()
        await _begin_to_draw(servers, opened)
        await asyncio.sleep(SETTLE)
        began = tally.began = time.perf_counter() + 0.2
        tally.cpu -= np.sum([each.cpu() for each in servers], axis=0)
        watch = asyncio.create_task(_watch(servers, tally))
        await asyncio.gather(
            *(_draw_often(each, tally, began + k / clients / rate, 1 / rate, began + seconds) for k, each in enumerate(opened))
        )
        tally.cpu += np.sum([each.cpu() for each in servers], axis=0)
        watch.cancel()
    finally:
        for client in opened:
            await client.close()
    tally.errors.extend("exception on the page" for client in opened for _ in range(client.exceptions))
    return tally


async def _begin_to_draw(servers: list[Server], opened: list[Client]) -> None:
    """A few at once, until what a crowd has started is there: it is not what an answer takes."""
    for number in range(50):
        if all(server.page is not INKLING or server.has_answerer() for server in servers):
            return
        await asyncio.gather(*(client.draw(number) for client in opened[: 4 * len(servers)]))


async def _watch(servers: list[Server], tally: Tally) -> None:
    while True:
        tally.memory.append(sum(each.rss() for each in servers))
        await asyncio.sleep(LOOKS)


async def _draw_often(client: Client, tally: Tally, due: float, period: float, end: float) -> None:
    number = 0
    while due < end and time.perf_counter() < end:  # what is still waiting at the end shows as due and not answered
        await asyncio.sleep(due - time.perf_counter())
        try:
            await client.draw(number)
        except (TimeoutError, ConnectionClosed) as error:
            tally.errors.append(type(error).__name__)
            return
        tally.latencies.append((time.perf_counter() - due) * 1000)
        tally.ended = time.perf_counter()
        number += 1
        due += period


def start_retrain(runs_folder: str) -> Path:
    """A retrain of LeNet-5 that goes on for longer than any load, at work when this returns."""
    os.environ["INKLING_RUNS"] = runs_folder
    run = queue.start(RunConfig(epochs=EPOCHS, threads=runs.page_friendly_threads(), publish="load"))
    while not runs.status(run).steps:
        if not runs.status(run).is_active:
            raise SystemExit(f"the retrain ended: {(run / 'log.txt').read_text()}")
        time.sleep(0.2)
    return run


def measure(page: dict[str, str], clients: int, rate: float, seconds: float, retrain: bool = False, count: int = 1) -> dict[str, object]:
    """One row of the table. count: of servers, whose memory and processor time are added up."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(page)) for _ in range(count)]
        recorded = [record_drawings(server) for server in servers]  # which also has each load what a drawing needs
        drawings = recorded[0]
        before = sum(each.rss() for each in servers)
        run = start_retrain(servers[0].scratch.name) if retrain else None
        trained = runs.status(run).progress if run else 0.0
        gc.collect()
        gc.freeze()  # the clients' own collections would count as the server's latency
        tally = asyncio.run(load(servers, drawings, clients, rate, seconds))
        warm, peak = tally.memory[int(len(tally.memory) * WARM)], max(tally.memory)
        growth = tally.memory[-1] / warm - 1
        if run:
            trained = (runs.status(run).progress - trained) * EPOCHS
            runs.cancel(run)
            while runs.is_alive(run):
                time.sleep(0.1)
    figure = summary(tally.latencies)
    return {
        "due": clients * round(rate * seconds),
        "n": figure["n"],
        "answers/s": figure["n"] / max(tally.ended - tally.began, 1e-9),
        **{f"{key} ms": figure[key] for key in ("median", "std", "p95", "p99")},
        "CPU ms an answer": float(tally.cpu[0]) * 1000 / max(1, figure["n"]),
        "and beside the server": float(tally.cpu[1]) * 1000 / max(1, figure["n"]),
        "errors": len(tally.errors),
        "RSS before MB": before,
        "most MB": peak,
        "growth": f"{growth:.1%}",
        **({"epochs trained": round(trained, 2)} if run else {}),
    } | ({"kinds": ", ".join(sorted(set(tally.errors)))} if tally.errors else {})


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--clients", type=int, default=100, help="clients at once (default: 100)")
    arguments.add_argument("--rate", type=float, default=1.0, help="drawings a second of each (default: 1)")
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long they draw (default: 60)")
    arguments.add_argument("--servers", type=int, default=1, help="Inkling's servers that share them (default: 1)")
    arguments.add_argument(
        "--retrain", nargs="?", const="too", choices=("too", "only"), help="once more while a retrain is at work, or only that"
    )
    arguments.add_argument("--usual-seconds", type=float, default=8.0, help="how long on the usual page, 0 to leave it out (default: 8)")
    options = arguments.parse_args()
    rows = []
    asked = options.clients, options.rate, options.seconds
    if options.retrain != "only":
        rows.append({"page": "Inkling", **measure(INKLING, *asked, count=options.servers)})
    if options.retrain:
        rows.append({"page": "beside a retrain", **measure(INKLING, *asked, retrain=True, count=options.servers)})
    if options.usual_seconds:
        rows.append({"page": "usual", **measure(USUAL, options.clients, options.rate, options.usual_seconds)})
        rows[-1]["usual/Inkling"] = rows[-1]["median ms"] / rows[0]["median ms"]
    title = f"{options.clients} clients, {options.rate:g} drawings a second each, {options.seconds:g} s, servers: {options.servers}"
    notes = []
    if options.usual_seconds and rows[-1]["n"] < rows[-1]["due"]:
        notes.append("The usual page fell behind: its latencies grow for as long as the load lasts, so compare answers/s, not the ratio.")
    show(title, rows, hardware("streamlit", "torch", "onnxruntime", "websockets"), options.json, notes)


if __name__ == "__main__":
    main()
