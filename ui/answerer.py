"""A process that answers drawings beside the server, once several people wait: Python lets a server's threads work one at a time.

Half of what an answer takes is finding ink and asking networks, in short pieces between which a thread waits for Python's lock again. A
process of its own needs none of the server's, and the other core has something to do. It is started by the first crowd, answers from then on,
and ends by itself after IDLE seconds in which nobody drew, or with its server, however that ends. Without it the server answers by itself.

What passes between the two is pickled: a socket pair that nobody else has an end of.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from inference.classify import Answer
from inference.sessions import MOST_CLASSIFIERS
from models import shelf
from models.shelf import Card, ShelfError
from ui import drawings

ROOT = Path(__file__).parent.parent
IDLE = 600.0  # seconds without a drawing, after which it ends: it takes 150 MB
PATIENCE = 10.0  # seconds that an answer may take; one to noise takes a third of one
AGAIN = 30.0  # seconds from one start to the next, where it ends at once
LONGEST = 100_000  # characters of a drawing, which the sockets' buffer holds: to one that is stuck, sending more would never end
A_STROKE = '[{"path": [["M", 160, 60], ["L", 160, 260]], "strokeWidth": 20, "stroke": "#ffffff"}]'

Answers = list[Answer | ShelfError]
Name = tuple[str, str, float]  # of a network, its sha256, and below which probability it declines: which of those called so


class Answerer:
    """The server's end. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._process: subprocess.Popen | None = None
        self._began = -AGAIN

    def start(self) -> None:
        """Starts the process where there is none; `ask` says None until it is ready. Where it cannot be started, nothing happens."""
        if not self._may_start():  # looked at without the lock, which is held for as long as an answer takes
            return
        with self._lock:
            if not self._may_start():
                return
            self._began = time.monotonic()
            with contextlib.suppress(OSError, RuntimeError):  # no memory, no descriptors, no threads: the server answers
                self._process, connection = _started()
                threading.Thread(target=self._watch, args=(self._process, connection), name="answerer", daemon=True).start()
                return
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def _may_start(self) -> bool:
        return self._process is None and time.monotonic() - self._began >= AGAIN

    def ask(self, told: str, cards: Sequence[Card]) -> Answers | None:
        """What `drawings.answers` says; None where the process is not there, failed at it, or has other networks of these names."""
        if len(told) > LONGEST:
            return None
        with self._lock:
            # Whatever happens, half an answer must not be taken for the next one's: it is used again only after a whole one.
            connection, self._connection = self._connection, None
            if connection is None:
                return None
            try:
                connection.send((told, cards[0].dataset, [_name(card) for card in cards]))
                if connection.poll(PATIENCE):
                    answers = connection.recv()
                    self._connection = connection
                    return answers
            except Exception:  # it ended, or is of another version of these files
                pass
            self._process.kill()
            return None

    def _watch(self, process: subprocess.Popen, connection: Connection) -> None:
        """From a process's start to its end."""
        with contextlib.suppress(OSError, EOFError):
            connection.recv()  # it has loaded what it needs
            with self._lock:
                self._connection = connection
        process.wait()
        with self._lock:
            self._connection = self._process = None
        connection.close()


def _started() -> tuple[subprocess.Popen, Connection]:
    """The process and the server's end. Raises OSError."""
    ours, theirs = Pipe()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with theirs:
        command = [sys.executable, "-m", "ui.answerer", str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, pass_fds=(theirs.fileno(),)), ours


def _name(card: Card) -> Name:
    return card.name, card.sha256, card.decline_below


def serve(connection: Connection, idle: float = IDLE) -> None:
    """The process's end: answers until nobody asked for `idle` seconds, or the server has ended."""
    with contextlib.suppress(OSError, EOFError):
        connection.send("ready")
        while connection.poll(idle):
            told, dataset, names = connection.recv()
            try:
                answers = drawings.answers(told, [_card(dataset, name) for name in names])
            except ShelfError:  # one is not there any more, or another by now: the server knows which the page shows
                answers = None
            except Exception:  # whatever a browser made up, which the server meets once more, or a fault of this process alone
                traceback.print_exc()
                answers = None
            connection.send(answers)


@functools.lru_cache(maxsize=MOST_CLASSIFIERS)
def _card(dataset: str, name: Name) -> Card:
    """Raises ShelfError where there is none, or another one of that name."""
    card = shelf.load_card(dataset, name[0])
    if _name(card) != name:
        raise ShelfError(f"{name[0]} was published anew")
    return card


def _load() -> None:
    """What an answer needs, before the first one waits for it."""
    cards = [shelf.find_card("mnist", name) for name in (shelf.USUAL["mnist"], "fc", "lenet5")]
    drawings.answers(A_STROKE, [card for card in cards if card])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, for the server; this process ends with it
    with contextlib.suppress(Exception):  # what goes wrong is told of when somebody asks
        _load()
    serve(Connection(int(sys.argv[1])))
