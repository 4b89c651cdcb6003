"""Processes that help a training, and go when it goes."""

import multiprocessing
import os
import threading


def follow_parent() -> None:
    """Has this process end when the one that began it does, however that ends: killed, it could not tell its children. Called once in each."""
    threading.Thread(target=_follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def _follow(parent: multiprocessing.Process) -> None:
    parent.join()
    os._exit(1)
