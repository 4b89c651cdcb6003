"""Tells how a run goes: events for the app, and for the terminal a bar, or plain lines where there is none."""

import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jobs import events
from jobs.config import ConfigError, RunConfig

FASTEST = 0.3  # seconds between two step events at the start of a run
MOST_STEPS = 400  # step events of a long run, about: their pace slows down as the run grows

TITLES = {
    "train_loss": "loss/train, epoch",
    "val_loss": "loss/validation",
    "val_accuracy": "accuracy/validation",
    "test_accuracy": "accuracy/test",
}  # of TensorBoard's charts


class Progress:
    """Reports of one run; a context manager that closes its bar.

    images: of an epoch. board: folder for TensorBoard's event files, one below it a member; none are written when None.
    Raises ConfigError when the package tensorboard is wanted and missing.
    """

    def __init__(self, folder: Path, config: RunConfig, images: int, board: Path | None = None) -> None:
        self.folder, self.config, self.images = folder, config, images
        self.total = images * config.epochs * config.members
        self.writers = [_writer(board / f"network-{member + 1}") for member in range(config.members)] if board else []
        self.began = self.reported = time.monotonic()
        self.bar = tqdm(total=self.total, unit="image", unit_scale=True, disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        for writer in self.writers:
            writer.close()

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
        self._draw(member, epoch * self.images + seen, {"loss/train, batch": loss, "lr": lr})

    def epoch(self, **facts: Any) -> None:
        """Appends an epoch event, and to the log a line."""
        done = (facts["member"] * self.config.epochs + facts["epoch"]) * self.images
        events.append(self.folder, "epoch", progress=round(done / self.total, 5), **facts)
        self._move(done, f"val accuracy {facts['val_accuracy']:.2%}")
        curves = {TITLES[name]: value for name, value in facts.items() if name in TITLES}
        self._draw(facts["member"], facts["epoch"] * self.images, curves)
        member = f"network {facts['member'] + 1}/{self.config.members}, " if self.config.members > 1 else ""
        line = (
            f"{member}epoch {facts['epoch']}/{self.config.epochs}: train loss {facts['train_loss']:.4f}, "
            f"val loss {facts['val_loss']:.4f}, val accuracy {facts['val_accuracy']:.2%}, {facts['seconds']:.1f} s"
        )
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def held_back(self, member: int, share: float, before: float, val_loss: float, val_accuracy: float) -> None:
        """Appends what share of a fine-tuned network's way from its start was kept, the validation accuracy of that start (before), and
        what it has now."""
        facts = {"share": share, "before": before, "val_loss": val_loss, "val_accuracy": val_accuracy}
        events.append(self.folder, "held_back", member=member, **facts)
        tqdm.write(f"kept {share:.0%} of the way from the network it started from", file=sys.stdout)

    def _draw(self, member: int, images_seen: int, curves: dict[str, float]) -> None:
        if self.writers:
            for title, value in curves.items():
                self.writers[member].add_scalar(title, value, images_seen)

    def _move(self, done: int, note: str) -> None:
        self.bar.update(done - self.bar.n)
        self.bar.set_postfix_str(note)


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard needs the package tensorboard, which is not installed; add it with: pip install tensorboard"
        ) from None
    return SummaryWriter(str(folder))
