"""Processes that help a training hold nothing of it, and go when it goes."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from jobs.runs import ROOT

DRAWS = """
import fcntl, os, sys, time
from pathlib import Path
from training import pictures

def show(items, random):
    Path(sys.argv[2], str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    lock = open(sys.argv[1], "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    pictures.CHUNK = 1
    pictures.in_parts(show, [0] * 4)
"""


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_that_draw_hold_no_lock_of_a_run_that_is_killed_and_go(tmp_path):
    lock, script, helpers = tmp_path / "lock", tmp_path / "draws.py", tmp_path / "helpers"
    script.write_text(DRAWS)
    helpers.mkdir()
    draws = subprocess.Popen([sys.executable, str(script), str(lock), str(helpers)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    end = time.monotonic() + 60
    while not any(helpers.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    at_work = [int(path.name) for path in helpers.iterdir()]
    assert at_work
    assert all(map(is_there, at_work))
    draws.kill()
    draws.wait()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    while any(map(is_there, at_work)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_there, at_work))
