"""Tells how a run goes: events for the app, and for the terminal a bar, or plain lines where there is none."""

import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jobs import events
from jobs.config import RunConfig

FASTEST = 0.3  # seconds between two step events at the start of a run
MOST_STEPS = 400  # step events of a long run, about: their pace slows down as the run grows


class Progress:
    """Reports of one run; a context manager that closes its bar."""

    def __init__(self, folder: Path, config: RunConfig, images: int) -> None:
        self.folder, self.config, self.images = folder, config, images
        self.total = images * config.epochs * config.members
        self.began = self.reported = time.monotonic()
        self.bar = tqdm(total=self.total, unit="image", unit_scale=True, disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def is_due(self) -> bool:
        """Whether it is time for a step report."""
        now = time.monotonic()
        return now - self.reported >= max(FASTEST, (now - self.began) / MOST_STEPS)

    def step(self, member: int, epoch: int, seen: int, loss: float, lr: float) -> None:
        """Appends a step event and moves the bar. seen: images of this epoch that were trained on."""
        self.reported = time.monotonic()
        done = (member * self.config.epochs + epoch) * self.images + seen
        self._move(done, f"loss {loss:.3f}")
        x = round(epoch + seen / self.images, 4)
        events.append(self.folder, "step", member=member, x=x, loss=round(loss, 5), lr=round(lr, 8), progress=round(done / self.total, 5))

    def epoch(self, **facts: Any) -> None:
        """Appends an epoch event, and to the log a line."""
        done = (facts["member"] * self.config.epochs + facts["epoch"]) * self.images
        events.append(self.folder, "epoch", progress=round(done / self.total, 5), **facts)
        self._move(done, f"val accuracy {facts['val_accuracy']:.2%}")
        member = f"network {facts['member'] + 1}/{self.config.members}, " if self.config.members > 1 else ""
        line = (
            f"{member}epoch {facts['epoch']}/{self.config.epochs}: train loss {facts['train_loss']:.4f}, "
            f"val loss {facts['val_loss']:.4f}, val accuracy {facts['val_accuracy']:.2%}, {facts['seconds']:.1f} s"
        )
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def _move(self, done: int, note: str) -> None:
        self.bar.update(done - self.bar.n)
        self.bar.set_postfix_str(note)
