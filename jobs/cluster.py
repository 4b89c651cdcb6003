"""Retrains on a Ray cluster, by Ray's own job interface (its REST API), which asks for no Ray on the app's machine.

With an address under [ray] in inkling.toml, the process that a retrain waits in (jobs/queue.py) trains nothing itself: when its turn comes it submits a job,
which trains in the run's folder, and follows it. So progress, cancelling, queue and history are as they are without Ray: they are in the
folder, which every node sees at the same path. A job that ends without a word, as when its node is lost, is submitted again and
goes on from the checkpoint; when the head does not answer, it is asked again until it does.

The job holds a lock of its own in the folder, so that a run goes on when the app's machine is lost, and no second job begins beside it.

With an address for artefacts, nodes need not see the folder: see jobs/artefacts.py. A job has no lock there; the box knows whose it is.
"""

import contextlib
import http.client
import json
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs import artefacts, events, queue, runs, site
from jobs.artefacts import Box
from models.errors import InklingError

LOOKS = 0.5  # seconds between two questions to the head
ANSWER = 10.0  # seconds that the head has for an answer
RECOVERY = 60.0  # seconds that a head may answer with faults of its own before it has refused
STOPPING = 30.0  # seconds that a job has to end by itself when it is cancelled
TRIES = 4  # of a job that ends without a word
OVER = ("STOPPED", "SUCCEEDED", "FAILED")  # as Ray names it
PASSED_ON = "INKLING_"  # variables of the server that a job gets too
CORRECTIONS = "INKLING_CORRECTIONS"  # address of their database, with its password: only to a job that learns from them
# Not these of them to a job that shares no folder: they name the server's, and corrections travel with it.
PLACES = ("INKLING_DATA", "INKLING_DATASETS", "INKLING_MODELS", "INKLING_RUNS", "INKLING_SITE", CORRECTIONS)
MOST_SAID, MOST_LOG = 2**24, 2**18  # bytes of an answer of the head; characters of a job's log


class ClusterError(InklingError):
    """Ray's head refused something. The message says what, why and what to do."""


def follow(folder: Path) -> int:
    """Has a run trained by the cluster when it is its turn and returns when it has ended: 0, or 1 when it was not trained to its end."""
    box = artefacts.box(folder)
    while queue.own_place_if_first(folder) is None:
        if (folder / runs.CANCEL).exists():
            return _cancelled(folder)
        time.sleep(queue.LOOKS)
    slot = None
    for _ in range(TRIES):
        job = f"inkling-{folder.name}-{time.time_ns()}"
        if box and not _until_answered(folder, lambda job=job: _pack(box, folder, job)):
            return _cancelled(folder)
        if _ending(folder) == "done":  # while nobody followed it
            break
        _submit(folder, job, box)
        if slot is None:
            if not _wait_until_at_work(folder, job):
                _stop_in(box, job)
                return _cancelled(folder)
            slot = queue.take_slot(folder)
            queue.leave(folder)  # after it: who counts the runs that wait or are at work misses none
            if not _ending(folder):  # a short one may be over before the head answers
                events.append(folder, "turn", device=queue.RAY)
        _wait_until_over(folder, job, box)
        if not _ending(folder) and (folder / runs.CANCEL).exists():
            _stop_in(box, job)
            events.append(folder, "cancelled")
        if _ending(folder):
            break
        print(f"the job {job} ended without a word", flush=True)
    queue.leave(folder)
    if slot is not None:
        os.close(slot)
    if box and _ending(folder):
        take_away(box)
    if _ending(folder) == "done":
        artefacts.forget_corrections(folder)
    return int(_ending(folder) != "done")


def _pack(box: Box, folder: Path, job: str) -> None:
    """`artefacts.pack`, after which a run that an earlier job ended while nobody followed it waits again, as it did when it was asked for."""
    asked = events.read(folder)[-1]
    artefacts.pack(box, folder, job)
    if _ending(folder) not in (None, "done"):
        events.append(folder, **{name: value for name, value in asked.items() if name != "time"})


def _stop_in(box: Box | None, job: str) -> None:
    """Tells a job through its box to stop, for the head may not answer."""
    if box:
        with contextlib.suppress(OSError):
            box.write(artefacts.CANCEL, job.encode())


def take_away(box: Box) -> None:
    """Takes the box away; what resists for good stays there, and harms nobody."""
    for _ in range(TRIES):
        try:
            box.remove()
            return
        except (OSError, InklingError) as error:
            print(f"{box.address} could not be taken away ({error})", flush=True)
            time.sleep(LOOKS)


def _until_answered(folder: Path, act: Callable[[], None]) -> bool:
    """Acts on a box until its address answers. Whether it did before the run was cancelled or deleted. Raises NotWritten where this machine's disk is at fault."""
    told = ""
    while True:
        try:
            act()
            return True
        except OSError as error:
            if error.errno in artefacts.LOCAL_FAULTS:
                raise runs.NotWritten(runs.sentence(error, folder)) from None
            if told != str(error):
                told = str(error)
                print(f"the address of the artefacts does not answer ({told}); it is asked again until it does", flush=True)
            if not folder.exists() or (folder / runs.CANCEL).exists():
                return False
            time.sleep(LOOKS)


def _ending(folder: Path) -> str | None:
    told = [event["kind"] for event in events.read(folder)]  # none of a run that was deleted
    while told and told[-1] == "turn":  # the job may have ended while that was being written
        told.pop()
    return told[-1] if told and told[-1] in events.ENDINGS else None


def _cancelled(folder: Path) -> int:
    queue.leave(folder)
    events.append(folder, "cancelled")
    return 1


def _wait_until_at_work(folder: Path, job: str) -> bool:
    """Whether it came to that: not when it is cancelled before."""
    while _state(folder, job) == "PENDING":
        if (folder / runs.CANCEL).exists():
            _stop(job)
            return False
        time.sleep(LOOKS)
    return True


def _wait_until_over(folder: Path, job: str, box: Box | None) -> None:
    cancelled_at = None
    while _state(folder, job) not in (*OVER, None):
        if box and folder.exists():
            with contextlib.suppress(OSError):
                artefacts.take_home(box, folder)
        if (folder / runs.CANCEL).exists():  # the job looks for that mark itself, and ends with a checkpoint
            cancelled_at = cancelled_at or time.monotonic()
            _stop_in(box, job)
            if time.monotonic() - cancelled_at > STOPPING:
                _stop(job)
                break
        time.sleep(LOOKS)
    if box and folder.exists():
        _until_answered(folder, lambda: artefacts.take_home(box, folder))
        _keep_log(folder, job)


def _keep_log(folder: Path, job: str) -> None:
    """Adds what a job wrote on its node to the run's log."""
    with (
        contextlib.suppress(OSError, ValueError, KeyError, TypeError),
        (folder / "log.txt").open("a", encoding="utf-8", errors="replace") as log,
    ):
        log.write(_ask("GET", f"{job}/logs")["logs"][-MOST_LOG:])


def _submit(folder: Path, job: str, box: Box | None) -> None:
    """Submits the training of a folder under this id, again and again until the head answers. Raises ClusterError."""
    here = site.read()
    where = ["--far", box.address, job] if box else ["--job", str(folder)]
    command = shlex.join([here.ray_python, "-m", "training", "fit", *where])
    log = "" if box else f" >> {shlex.quote(str(folder / 'log.txt'))} 2>&1"
    kept_back = PLACES if box else () if runs.read_config(folder).corrections else (CORRECTIONS,)
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON) and name not in kept_back}
    request = {
        "entrypoint": f"cd {shlex.quote(str(runs.ROOT))} && exec {command}{log}",
        "submission_id": job,
        "runtime_env": {"env_vars": {**variables, "PYTHONUNBUFFERED": "1", "RAY_USAGE_STATS_ENABLED": "0"}},
        "metadata": {"run": folder.name},
        "entrypoint_num_cpus": here.ray_cpus,
        "entrypoint_num_gpus": here.ray_gpus,
    }
    give_up = time.monotonic() + RECOVERY
    while True:
        try:
            _ask("POST", "", request)
            return
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode(errors="replace").strip().splitlines() or [error.reason]
            if "already exists" in " ".join(said):  # an answer of the head was lost
                return
            if error.code >= 500 and time.monotonic() < give_up and not (folder / runs.CANCEL).exists():  # a head that is just starting
                time.sleep(LOOKS)
                continue
            raise ClusterError(
                f"Ray at {here.ray_address} refused the job (HTTP {error.code}: {said[-1][:200]}); mend [ray] in inkling.toml, or the cluster"
            ) from None
        except OSError:
            if (folder / runs.CANCEL).exists():
                return
            time.sleep(LOOKS)


def _state(folder: Path, job: str) -> str | None:
    """What Ray says of a job, as soon as the head answers; None when it knows of none, as after its restart, or does not answer and the run is cancelled."""
    while True:
        try:
            return _ask("GET", job)["status"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
        except (OSError, KeyError, TypeError):  # it said something else
            pass
        if (folder / runs.CANCEL).exists():
            return None
        time.sleep(LOOKS)


def _stop(job: str) -> None:
    with contextlib.suppress(OSError):  # it is not there, or over
        _ask("POST", f"{job}/stop")


def _ask(method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
    """One request of Ray's job interface (docs.ray.io, Ray Jobs REST API). Raises OSError: a job outlives an inkling.toml that is being edited,
    and a head that says something else for a while."""
    try:
        request = urllib.request.Request(
            f"{site.read().ray_address.rstrip('/')}/api/jobs/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER) as answer:
            return json.loads(answer.read(MOST_SAID) or b"null")
    except (site.SiteError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from None
