"""python -m benchmarks.campus --cpu 1:MS 0.1:MS [--beside MS] [--retrain-seconds 40] [--rate 0.3] [--json]

Where the next limit is: a simulation of many people on one or more servers, and of the queue for retrains, from figures that were
measured. cpu: what benchmarks.load prints as "CPU ms an answer" at two rates, such as 1 and 0.1 drawings a second: what a page takes
that is only open is told from what a drawing takes by that. beside: what it prints as "and beside the server", at 1 a second. retrain-seconds:
how long one retrain is at work on a device.

A server is one Python process, which sees to one drawing after the other, with a second one beside it, which answers one after the other:
people draw at moments of their own (a Poisson process), a drawing waits in both for those before it, and the pages that are open take their
share of the server first. Each has a core to itself. docs/campus.md has what was measured beside it.
"""

import heapq
import random

import numpy as np

from benchmarks.common import parser, show

DRAWINGS = 200_000  # simulated for each row
MEDIAN_MS, P99_MS = 50.0, 500.0  # what an answer may take
SERVERS = (1, 2, 4, 8)
SEED = 0
SIMULATED = "simulated, not measured"


def drawing_and_page(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Milliseconds of a drawing, and of an open page a second, from (rate, milliseconds an answer) twice: ms = drawing + page / rate."""
    (rate, taken), (other_rate, other_taken) = first, second
    page = (other_taken - taken) / (1 / other_rate - 1 / rate)
    return taken - page / rate, page


def answers(
    clients: float, rate: float, drawing: float, page: float, beside: float = 0.0, count: int = DRAWINGS, seed: int = SEED
) -> np.ndarray:
    """Milliseconds that `count` answers of one server take; infinite when it falls behind. drawing, page and beside: ms, see above."""
    left = 1 - clients * page / 1000  # of a second of the processor, for drawings
    if left <= 0 or clients * rate * drawing / 1000 >= left or clients * rate * beside / 1000 >= 1:
        return np.full(count, np.inf)
    drawn = np.cumsum(np.random.default_rng(seed).exponential(1000 / (clients * rate), count))
    return _ends(_ends(drawn, beside), drawing / left) - drawn


def _ends(begins: np.ndarray, service: float) -> np.ndarray:
    """When each ends that takes `service` and waits for those before it (Lindley's recursion, unrolled). begins: when each comes, in order."""
    before = service * np.arange(len(begins))
    return np.maximum.accumulate(begins - before) + before + service


def most_clients(rate: float, drawing: float, page: float, beside: float = 0.0) -> int:
    """The most people that one server answers within MEDIAN_MS and P99_MS."""
    low, high = 1, 100_000
    while low < high:
        middle = (low + high + 1) // 2
        taken = answers(middle, rate, drawing, page, beside, DRAWINGS // 4)
        if np.isfinite(taken[0]) and np.median(taken) <= MEDIAN_MS and np.percentile(taken, 99) <= P99_MS:
            low = middle
        else:
            high = middle - 1
    return low


def waits(an_hour: float, seconds: float, devices: int, count: int = 20_000, seed: int = SEED) -> list[float]:
    """Seconds that retrains wait for one of the devices, when so many are asked for an hour, at any moment."""
    draw, free, now, found = random.Random(seed), [0.0] * devices, 0.0, []
    for _ in range(count):
        now += draw.expovariate(an_hour / 3600)
        begins = max(now, heapq.heappop(free))
        heapq.heappush(free, begins + seconds)
        found.append(begins - now)
    return found


def main() -> None:
    """Simulates and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--cpu", nargs=2, required=True, metavar="RATE:MS", help="processor time of an answer at two rates")
    arguments.add_argument(
        "--beside", type=float, default=0.0, metavar="MS", help="processor time of an answer beside the server (default: 0)"
    )
    arguments.add_argument("--retrain-seconds", type=float, default=40.0, help="one retrain on one device (default: 40)")
    arguments.add_argument("--rate", type=float, default=0.3, help="drawings a second of each person (default: 0.3)")
    options = arguments.parse_args()
    costs = *drawing_and_page(*(tuple(map(float, each.split(":"))) for each in options.cpu)), options.beside
    found_costs = f"A drawing takes {costs[0]:.2f} ms of the server's processor time and {costs[2]:.2f} ms beside it, an open page {costs[1]:.2f} ms a second."
    rows = [
        {"servers, two cores each": count, "people": count * most_clients(options.rate, *costs), "people at 1 a second": count * most_clients(1.0, *costs)}
        for count in SERVERS
    ]  # fmt: skip
    show(f"The most people with {MEDIAN_MS:.0f} ms in the middle and {P99_MS:.0f} ms at the 99th percentile, at {options.rate:g} drawings a second each", rows, SIMULATED, options.json, [found_costs])  # fmt: skip
    rows = []
    for clients in (25, 50, 100, 150, 200, 300):
        taken = answers(clients, options.rate, *costs)
        told = ("falls behind",) * 2 if np.isinf(taken[0]) else (float(np.median(taken)), float(np.percentile(taken, 99)))
        rows.append({f"people, {options.rate:g} drawings a second": clients, "median ms": told[0], "p99 ms": told[1]})
    show("One server", rows, SIMULATED, options.json)
    rows = []
    for devices in (1, 2, 4):
        most = 3600 / options.retrain_seconds * devices
        for share in (0.5, 0.8, 0.95):
            found = waits(share * most, options.retrain_seconds, devices)
            rows.append({"devices": devices, "retrains an hour": share * most, "busy": f"{share:.0%}", "wait, mean s": float(np.mean(found)), "p95 s": float(np.percentile(found, 95))})  # fmt: skip
    show(f"The queue, {options.retrain_seconds:g} s a retrain", rows, SIMULATED, options.json)


if __name__ == "__main__":
    main()
