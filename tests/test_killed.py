"""kill -9 at random moments: nothing half-written is read as whole, and the resumed run ends with the weights of an unbroken one."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from jobs import events, queue, runs
from jobs.config import RunConfig
from jobs.runs import ROOT
from models import shelf

KILLS = 21  # of a trainer, of a server, of both together: a third each
CONFIG = RunConfig(network="fc", hidden=(32,), epochs=6, batch_size=64, threads=1, publish="killed")

# Imports torch once and forks for every life, so that many moments of it can be its last: a server, which queues a run, and from
# it the run's trainer. Is told a run's folder, or none for a new one, who is to be killed, and after how many seconds of whose life.
LIVES = """
import contextlib, json, os, signal, subprocess, sys, time
from pathlib import Path
import torch, torch._dynamo, torch.onnx._internal.exporter._core, onnxscript  # the seconds that a life would begin with
from jobs import queue, runs
from jobs.config import RunConfig
from training import data, export, fit
from training.__main__ import main
torch.set_num_threads(1)
config = RunConfig.from_json(sys.argv[1])

class Trainer:  # in place of a process that imports torch anew
    def __init__(self, command, stdout, **_):
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(stdout.fileno(), 1), os.dup2(stdout.fileno(), 2)
            os._exit(main(command[3:]))

def serve(folder, victim, delay):
    os.setpgid(0, 0)
    queue.subprocess.Popen = Trainer
    began = time.monotonic()
    queue.resume(Path(folder)) if folder else queue.start(config)
    (trainer,) = queue._children
    while victim != "trainer" or time.monotonic() - began < delay:
        pid, status = os.waitpid(trainer.pid, os.WNOHANG)
        if pid:
            os._exit(os.waitstatus_to_exitcode(status))
        time.sleep(0.001)
    os.kill(trainer.pid, signal.SIGKILL)
    os._exit(9)

for line in sys.stdin:
    folder, victim, delay = json.loads(line)
    server, began = os.fork(), time.monotonic()
    if server == 0:
        serve(folder, victim, delay)
    with contextlib.suppress(OSError):  # the server does so too: it may not have come to it when it is killed
        os.setpgid(server, server)
    pid = status = 0
    while not pid and (victim not in ("server", "both") or time.monotonic() - began < delay):
        pid, status = os.waitpid(server, os.WNOHANG)
        time.sleep(0.001)
    lived = time.monotonic() - began
    if not pid:
        (os.killpg if victim == "both" else os.kill)(server, signal.SIGKILL)
        os.waitpid(server, 0)
    code = os.waitstatus_to_exitcode(status) if pid else 9
    print(json.dumps([code, lived]), flush=True)
"""


@pytest.fixture(autouse=True)
def folders(workshop, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return workshop


class Lives:
    """The process that LIVES is of."""

    def __enter__(self) -> "Lives":
        command = [sys.executable, "-c", LIVES, json.dumps(CONFIG.to_dict())]
        # A session of its own, since the trainers lower the priority of their whole session.
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        return self

    def live(self, folder: Path | None = None, victim: str | None = None, seconds: float | None = None) -> tuple[int, float]:
        """Lets a run be queued and live that long, or to its end: the exit code, 9 if somebody was killed, and how long it lived."""
        self.process.stdin.write(json.dumps([folder and str(folder), victim, seconds]) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def newest() -> Path | None:
    return next(iter(runs.list_runs()), None)


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
    """The sha256 of the published graph and the weights of its run; both are then deleted."""
    card, run = shelf.load_card("mnist", "killed"), newest()
    found = card.sha256, weights(run)
    shelf.remove(card)
    runs.remove(run)
    return found


def test_runs_whose_trainer_server_or_both_are_killed_at_random_moments_end_with_the_weights_of_an_unbroken_one(folders):
    draw, killed, seen = random.Random(0), 0, {"trainer": 0, "server": 0, "both": 0}
    with Lives() as lives:
        code, seconds = lives.live()
        assert code == 0
        unbroken = take_from_shelf()
        while killed < KILLS:
            victim = tuple(seen)[killed % 3]
            # Queueing takes a server a few milliseconds: every other kill of one is meant for these.
            longest = 0.02 if victim != "trainer" and killed % 2 else 1.1 * seconds
            is_new = newest() is None
            code, lived = lives.live(newest(), victim, draw.uniform(0, longest))
            if code == 0 and is_new:  # how long a whole life is changes with what else the machine does
                seconds = lived
            if (run := newest()) is None:  # the server was gone before it had begun with it
                seen[victim] += 1
                killed += 1
                continue
            give_up = time.monotonic() + (60 if victim == "server" else 5)
            while runs.is_alive(run):  # without its server the trainer goes on
                assert time.monotonic() < give_up
                time.sleep(0.01)
            look_at(run)
            if runs.status(run).state == "done":
                assert take_from_shelf() == unbroken
            if code == 9:
                seen[victim] += 1
                killed += 1
        if newest() is not None:
            assert lives.live(newest())[0] == 0
            assert take_from_shelf() == unbroken
    assert list((folders / "models" / "mnist").iterdir()) == []
    assert queue.waiting() == []
    # What a killed server had begun with is cleared away after an hour: tests/test_scratch.py.
    assert [each.name for each in (folders / "runs").iterdir() if not each.name.startswith((".queue", ".device-", ".inkling-new-"))] == []
