"""The base of every error that is told to people as one sentence, without a traceback; and what a command does whose reader has gone."""

import contextlib
import os
import sys


class InklingError(Exception):
    """Its message names the value or file, the limit or fault, and the fix."""


def reader_left() -> int:
    """After a BrokenPipeError, when who reads a command's output has seen enough, as head has: the command's exit status.

    What is left to be written at the end has a place to go to.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
