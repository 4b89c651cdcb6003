"""Imports from the app: an uploaded zip goes to `python -m training data --images` as a child process, line by line.

The app may not import training, and a child that a hostile zip brings down takes nothing with it.
"""

import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator

from jobs.runs import ROOT
from models.datasets import DATASETS, OWN_NAME
from models.errors import InklingError

HOW_FAR = re.compile(r"(\d+) of (\d+) files")
PATIENCE = 5.0  # seconds that a child which was asked to end gets to clear up


class ImportFailed(InklingError):
    """The pictures did not become a data set. The message is the child's own sentence."""


def name_of(title: str) -> str:
    """What a data set of this title is called in commands and paths: 'Meine Häuser' -> 'meine-hauser'. Raises ImportFailed."""
    if not title.isprintable():
        raise ImportFailed(f"the name is {title!r}, which has characters that cannot be shown; leave them out")
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    if not OWN_NAME.fullmatch(name):
        raise ImportFailed(f"the name is {title!r}; give one with at least one letter a-z or digit, such as scenes")
    if name in DATASETS:
        raise ImportFailed(f"{name} is the name of a data set that came with Inkling; give another one, such as my {name}")
    return name


def import_zip(content: bytes | memoryview, name: str, title: str, side: int, grey: bool) -> Iterator[tuple[int, int]]:
    """Makes a data set of a zip's bytes, and meanwhile yields how many files are done, of how many.

    The temporary file, which has no name, so that it goes with its processes however they end, is gone and the child has ended when this
    generator ends or is closed. Raises ImportFailed.
    """
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        path = f"/dev/fd/{file.fileno()}"
        command = [sys.executable, "-m", "training", "data", "--images", path, "--name", name, f"--title={title}", "--size", str(side)]
        child = subprocess.Popen(
            [*command, "--grey"] if grey else command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(file.fileno(),),
        )
        last = ""
        try:
            for line in child.stdout:
                if match := HOW_FAR.fullmatch(line.strip()):
                    yield int(match[1]), int(match[2])
                last = line.strip() or last
            if child.wait() != 0:
                raise ImportFailed(
                    last if child.returncode == 1 and last else "The import ended without a word; try it with fewer pictures."
                )
        finally:
            _end(child)


def _end(child: subprocess.Popen) -> None:
    child.stdout.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
