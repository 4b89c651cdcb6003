"""A head of Ray that is made up, and what the tests of retrains on a cluster share."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jobs import locks, queue, site
from jobs.config import RunConfig

PATIENCE = 120.0  # seconds


def point_at(monkeypatch, folder: Path, address: str, artefacts: str = "") -> None:
    (folder / "inkling.toml").write_text(
        f'mode = "local"\n[ray]\naddress = "{address}"\npython = "{sys.executable}"\nartefacts = "{artefacts}"\n'
    )
    monkeypatch.setenv(site.VARIABLE, str(folder / "inkling.toml"))


def until(is_true: Callable[[], bool], *said: object) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < give_up, said
        time.sleep(0.1)


class Head:
    """Says what Ray's head would say: a job has the next of these states each time it is asked for, and the last one for ever."""

    def __init__(self, *states: str | None) -> None:
        self.states, self.asked = list(states), []
        self.refusal: tuple[int, str] | None = None
        head = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*head.say(self.path))

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                head.asked.append((self.path, json.loads(content) if content else None))
                if head.refusal is None and self.path == "/api/jobs/":
                    head.submit(head.asked[-1][1])
                self._answer(*(head.refusal or (200, {})))

            def _answer(self, code: int, content: object) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        self.address = f"http://localhost:{self.server.server_port}"

    def submit(self, content: dict) -> None:
        """A job that was accepted."""

    def say(self, path: str) -> tuple[int, object]:
        """The answer to a question after a job: code and content."""
        said = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return (404 if said is None else 200), {"status": said}

    def __enter__(self) -> "Head":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def submitted(self) -> list[dict]:
        return [content for path, content in self.asked if path == "/api/jobs/"]


def queued(monkeypatch, folder: Path, head: Head, config: RunConfig, artefacts: str = "") -> Path:
    """A run with a place in the queue, whose process this one is."""
    point_at(monkeypatch, folder, head.address, artefacts)
    with monkeypatch.context() as nothing:
        nothing.setattr(queue.subprocess, "Popen", lambda *_, **__: None)
        run = queue.start(config, owner="ada")
    queue._children.clear()
    locks.acquire(run)
    return run


class Node(Head):
    """A head that starts each job as a process of this machine, with nothing of this process's folders.

    home: where the process keeps its temporary files.
    """

    def __init__(self, home: Path) -> None:
        super().__init__("PENDING")
        self.home, self.jobs = home, {}

    def submit(self, content: dict) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
        variables |= content["runtime_env"]["env_vars"] | {"INKLING_DATA": "sample", "TMPDIR": str(self.home)}
        with (self.home / "log.txt").open("ab") as log:
            command = ["sh", "-c", content["entrypoint"]]
            self.jobs[content["submission_id"]] = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)

    def say(self, path: str) -> tuple[int, object]:
        if path.endswith("/logs"):
            return 200, {"logs": (self.home / "log.txt").read_text()}
        job = self.jobs.get(path.rpartition("/")[2])
        if job is None:
            return 404, {}
        return 200, {"status": {None: "RUNNING", 0: "SUCCEEDED"}.get(job.poll(), "FAILED")}

    def lose(self) -> None:
        """Kills what is at work."""
        for job in self.jobs.values():
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()

    def __exit__(self, *error: object) -> None:
        self.lose()
        super().__exit__(*error)
