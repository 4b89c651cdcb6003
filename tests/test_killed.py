"""kill -9 at random moments: nothing half-written is read as whole, and the resumed run ends with the weights of an unbroken one."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from jobs import events, runs
from jobs.config import RunConfig
from jobs.runs import ROOT
from models import shelf

KILLS = 20
CONFIG = RunConfig(network="fc", hidden=(32,), epochs=6, batch_size=64, threads=1, publish="killed")

# Imports torch once and forks for every life of a run, so that many moments of it can be its last. Is told a folder and after how many
# seconds to kill, and tells how it ended.
LIVES = """
import json, os, signal, sys, time
from pathlib import Path
import torch, torch._dynamo, torch.onnx._internal.exporter._core, onnxscript  # the seconds that a life would begin with
from jobs import runs
from training import data, export, fit
from training.__main__ import main
torch.set_num_threads(1)
for line in sys.stdin:
    folder, delay = json.loads(line)
    lock = runs.hold(Path(folder))
    child, began = os.fork(), time.monotonic()
    if child == 0:
        log = os.open(folder + "/log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        os._exit(main(["fit", "--run", folder]))
    os.close(lock)
    pid = status = 0
    while not pid and (delay is None or time.monotonic() - began < delay):
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.001)
    lived = time.monotonic() - began
    if not pid:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), lived]), flush=True)
"""


@pytest.fixture(autouse=True)
def folders(workshop, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return workshop


def new_run() -> Path:
    folder, lock = runs.create(CONFIG)
    os.close(lock)
    return folder


class Lives:
    """The process that LIVES is of."""

    def __enter__(self) -> "Lives":
        self.process = subprocess.Popen([sys.executable, "-c", LIVES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def live(self, folder: Path, seconds: float | None = None) -> tuple[int, float]:
        """Lets a run live that long, or to its end: its exit code and how long it lived."""
        self.process.stdin.write(json.dumps([str(folder), seconds]) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def look_at(folder: Path) -> None:
    """What is on disk after a kill is whole, or is not there."""
    told = events.read(folder)
    status = runs.status(folder)
    is_over = bool(told) and told[-1]["kind"] == "done"
    assert status.state == ("done" if is_over else "crashed")
    if (folder / "member-0.safetensors").exists():
        load_file(folder / "member-0.safetensors")
    for card in shelf.list_cards("mnist"):
        card.read_graph()  # compares its sha256
        assert card.facts["test"]["n"] == 500


def weights(folder: Path) -> dict[str, bytes]:
    return {name: each.tobytes() for name, each in load_file(folder / "member-0.safetensors").items() if name.startswith("network.")}


def take_from_shelf() -> tuple[str, dict[str, bytes]]:
    """The sha256 of the published graph, which is then deleted, and the weights of the newest run."""
    card = shelf.load_card("mnist", "killed")
    shelf.remove(card)
    return card.sha256, weights(runs.list_runs()[0])


def test_a_run_killed_at_random_moments_ends_with_the_weights_of_an_unbroken_one(folders):
    draw, killed = random.Random(0), 0
    with Lives() as lives:
        code, seconds = lives.live(new_run())
        assert code == 0
        unbroken = take_from_shelf()
        broken = new_run()
        while killed < KILLS:
            code, _ = lives.live(broken, draw.uniform(0, 1.1 * seconds))
            look_at(broken)
            if code == 0:  # it was quicker than the kill
                assert take_from_shelf() == unbroken
                broken = new_run()
            else:
                assert code == -9
                killed += 1
        if runs.status(broken).state != "done":  # killed after its last word
            assert lives.live(broken)[0] == 0
    assert runs.status(broken).state == "done"
    assert take_from_shelf() == unbroken
    assert list((folders / "models" / "mnist").iterdir()) == []


def test_a_run_outlives_the_server_that_started_it(folders):
    server = "import os, signal\nfrom jobs import queue\nfrom jobs.config import RunConfig\n"
    server += "queue.start(RunConfig(network='fc', hidden=(8,), threads=1, publish='orphan'))\nos.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", server], cwd=ROOT).returncode == -9
    (run,) = runs.list_runs()
    give_up = time.monotonic() + 90
    while runs.status(run).is_active and time.monotonic() < give_up:
        time.sleep(0.1)
    assert runs.status(run).state == "done"
    assert shelf.load_card("mnist", "orphan").read_graph()
