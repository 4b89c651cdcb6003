"""One run: trains the members of a configuration, checkpoint by checkpoint, and publishes the result if asked to.

The training images live on the device as uint8; a batch is one gather, its augmentation one batched call.
"""

import contextlib
import functools
import math
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs import events, giving_way, runs
from jobs.config import ConfigError, RunConfig
from jobs.runs import CANCELLED, Cancelled
from models import shelf
from models.errors import InklingError
from training import checkpoint
from training.augmentation import AUGMENTATIONS
from training.by_hand import descend
from training.corrected import corrected, hold_back, reminders, repeated
from training.data import Dataset, OwnDataset, Split, digest
from training.memory import keep_memory
from training.networks import build, count_parameters
from training.optimization import CAPTURABLE, Step, build_optimizer, epoch_plan, loss_function, mean_squared_weights
from training.progress import Progress
from training.published import SHA256, demand_same_images, demand_unchanged, sha256s, start_weights
from training.redrawn import fingerprint, redrawn
from training.replay import Replayed, arithmetic, fault, is_on
from training.teaching import soft_labels, views, views_each

CHUNK = 250  # images at once where nothing is learned from them

Tensors = tuple[Tensor, Tensor]  # pixels uint8 [N, C, H, W], labels int64 [N] or a teacher's probabilities float [N, classes]


class Pruned(InklingError):
    """What was called after an epoch wants no further one."""


class Diverged(InklingError):
    """The loss stopped being a number. The message names the lr that it had, and what to try."""


def choose_device(config: RunConfig) -> torch.device:
    """The device of a run; one that torch cannot compute on is passed over with a warning. Raises ConfigError when CUDA is asked for and
    there is none that works."""
    if config.device == "cuda" and config.network == "softmax":
        raise ConfigError("device is cuda but NumPy trains softmax, on the processor; use --device auto or cpu")
    if config.device == "cpu" or config.network == "softmax":
        return torch.device("cpu")
    wrong = fault()
    if wrong and config.device == "cuda":
        raise ConfigError(f"device is cuda but {wrong}; use --device auto or cpu")
    if wrong and torch.cuda.is_available():
        warnings.warn(f"{wrong}; the processor trains in its place", RuntimeWarning, stacklevel=2)
    return torch.device("cpu" if wrong else "cuda")


def uses_bfloat16(config: RunConfig, device: torch.device) -> bool:
    """Whether forward passes run under bfloat16 autocast; by itself only on a GPU that has it in hardware (Ampere and later)."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.precision == "bfloat16"


def member_path(folder: Path, member: int) -> Path:
    """The checkpoint of one member (0-based)."""
    return folder / f"member-{member}.safetensors"


def new_network(config: RunConfig, device: torch.device) -> nn.Module:
    """A network on its device, in the memory layout that convolutions are fastest in."""
    return build(config).to(device=device, memory_format=torch.channels_last)


AfterEpoch = Callable[[dict[str, Any]], None]


def fit(
    config: RunConfig,
    folder: Path,
    data: Dataset | OwnDataset,
    tests_each_epoch: bool = False,
    board: Path | None = None,
    after_epoch: AfterEpoch | None = None,
) -> list[nn.Module]:
    """Trains every member that `folder` holds no finished checkpoint of, and returns them all in evaluation mode.

    tests_each_epoch: epoch events also tell the accuracy on the test images, for curves that a source gives; nothing
    depends on it. board: see Progress. after_epoch: called with the facts of each epoch's event (member, epoch,
    val_accuracy and so on) once its checkpoint is written; what it raises, such as Pruned, ends the run. Appends step and
    epoch events to the run. Raises Diverged on a loss that is not finite, Cancelled on SIGTERM or ^C, ConfigError where `folder` holds
    checkpoints that learned from other data, or of a start or teacher that is another network by now.
    """
    device = choose_device(config)
    keep_memory()
    torch.set_num_threads(config.threads or runs.cores())
    train, validation = to_device(data.train, device), to_device(data.validation, device)
    test = to_device(data.test, device) if tests_each_epoch else None
    about = {"device": device_name(device), "parameters": count_parameters(build(config))} | _learned_from(config, folder, data)
    events.append(folder, "started", pid=os.getpid(), began=runs.began(os.getpid()), host=socket.gethostname(), **about)
    # `cancel` leaves its mark before it looks for the pid in the started event: whichever came first, one sees the other.
    if (folder / runs.CANCEL).exists():
        raise Cancelled(CANCELLED)
    if config.redrawn:
        events.append(folder, "redrawing")
        train = _with(redrawn("train", data), train)
    if config.corrections:
        told = corrected(folder, config.dataset)
        events.append(folder, "corrections", count=len(told))
        train = _with(repeated(told, len(data.train)), train)
        if not config.redrawn and (others := reminders(config.dataset)):
            train = _with(others, train)
    with arithmetic(device), stopped_by_signal() as should_stop, Progress(folder, config, len(train[1]), board) as progress:
        if config.teacher and not _is_trained(config, folder):
            train = _taught(config, folder, train[0], should_stop)
        kind = HandMember if config.network == "softmax" else Member
        return [
            # each made when its turn comes: it seeds
            kind(config, number, folder, device, should_stop, progress).train(train, validation, test, after_epoch)
            for number in range(config.members)
        ]


def _learned_from(config: RunConfig, folder: Path, data: Dataset | OwnDataset) -> dict[str, Any]:
    """What the started event tells of data, start and teacher; of the latter two, what they were when the run began.

    Raises ConfigError where the folder's checkpoints have learned from other data, or start or teacher may have learned from what measures.
    """
    told: dict[str, Any] = {}
    if any(member_path(folder, number).exists() for number in range(config.members)):  # otherwise the run begins anew
        for event in events.read(folder):
            told |= event if event["kind"] == "started" else {}
    facts = {
        "data": data.origin, "is_sample": data.is_sample, "train_images": len(data.train), "train_sha256": digest(data.train),
        **({"redrawn": fingerprint("train", data)} if config.redrawn else {}),
    }  # fmt: skip
    for name in (config.start_from, config.teacher):
        if name and (card := shelf.find_card(config.dataset, name)):
            demand_same_images(card, facts["train_sha256"])
    if told and told.get("redrawn", facts.get("redrawn")) != facts.get("redrawn"):
        raise ConfigError(
            f"{folder} began with digits that were drawn anew by another version of Inkling; go on with that one, or start a new run"
        )
    if any(told.get(name, facts[name]) != facts[name] for name in facts if name != "data"):
        now = f"{len(data.train):,}" if told["train_images"] != len(data.train) else "others, as many"
        raise ConfigError(
            f"{folder} began with the {told['train_images']:,} training images of {told['data']}, and {data.origin} has {now}; give it the data that it began with, by --data, or start a new run"
        )
    return facts | sha256s(config) | {key: told[key] for key in SHA256.values() if key in told}


def _is_trained(config: RunConfig, folder: Path) -> bool:
    """Whether every network has all its epochs behind it, so that nothing is left but to publish them."""
    paths = [member_path(folder, number) for number in range(config.members)]
    return all(path.exists() and checkpoint.load(path, build(config)) >= config.epochs for path in paths)


def _with(more: Split, train: Tensors) -> Tensors:
    return tuple(torch.cat(pair) for pair in zip(train, to_device(more, train[0].device), strict=True))


def _taught(config: RunConfig, folder: Path, pixels: Tensor, should_stop: Callable[[], bool]) -> Tensors:
    demand_unchanged(config, "teacher", folder)
    events.append(folder, "teaching")
    pixels = views(config, pixels)
    if (labels := soft_labels(config, pixels, should_stop)) is None:
        raise Cancelled(CANCELLED)
    return pixels, labels


class Member:
    """Trains one network of a run."""

    def __init__(
        self, config: RunConfig, number: int, folder: Path, device: torch.device, should_stop: Callable[[], bool], progress: Progress
    ) -> None:
        self.config, self.number, self.device = config, number, device
        self.path = member_path(folder, number)
        self.should_stop, self.progress = should_stop, progress
        torch.manual_seed(config.seed + number)
        self.network = new_network(config, device)
        if config.start_from and not self.path.exists():
            self.network.load_state_dict(self.start)
        self.is_captured = is_on(device) and config.optimizer in CAPTURABLE and config.schedule != "two_stage"
        self.optimizer = build_optimizer(config, self.network.parameters(), device if self.is_captured else None)
        self.views = views_each(config)
        self.augment = AUGMENTATIONS[config.augmentation if self.views == 1 else "none"]
        bfloat16 = uses_bfloat16(config, device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=not self.is_captured)
        self.replayed: Replayed | None = None

    @functools.cached_property
    def start(self) -> dict[str, Tensor]:
        """The weights that `start_from` has for this network. From a checkpoint a run goes on without them, but for holding back."""
        demand_unchanged(self.config, "start_from", self.path.parent)
        return start_weights(self.config, self.number)

    def train(self, train: Tensors, validation: Tensors, test: Tensors | None = None, after_epoch: AfterEpoch | None = None) -> nn.Module:
        """Trains from where the checkpoint stands to the last epoch. test: measured after each epoch, where given."""
        done = checkpoint.load(self.path, self.network, self.optimizer) if self.path.exists() else 0
        for epoch in range(done, self.config.epochs):
            began = giving_way.seconds_at_work()
            train_loss = self._epoch(epoch, *train)
            val_loss, val_accuracy = self._validate(*validation)
            tested = {"test_accuracy": round(self._validate(*test)[1], 5)} if test else {}
            facts = {
                "member": self.number,
                "epoch": epoch + 1,
                "train_loss": round(train_loss, 5),
                "val_loss": round(val_loss, 5),
                "val_accuracy": round(val_accuracy, 5),
                "seconds": round(giving_way.seconds_at_work() - began, 2),
                **tested,
            }
            self.progress.epoch(**facts)
            checkpoint.save(self.path, self.network, self.optimizer, epoch + 1)
            if after_epoch:
                after_epoch(facts)
        self.replayed = None  # its graph holds memory of the device, and this network, which holds it
        if self.config.corrections and self.config.start_from and done <= self.config.epochs:
            self._hold_back(*validation)
        if self.should_stop():  # told in the last step or after it: all is trained, and nothing is published
            raise Cancelled(CANCELLED)
        return self.network.eval()

    def _hold_back(self, pixels: Tensor, labels: Tensor) -> None:
        """Gives up as much of what was learned from corrections as validation accuracy asks for."""
        learned = {name: each.clone() for name, each in self.network.state_dict().items()}
        self.network.load_state_dict(self.start)
        before = self._validate(pixels, labels)[1]
        self.network.load_state_dict(learned)
        share = hold_back(self.network, self.start, lambda: before - self._validate(pixels, labels)[1])
        # Told first: killed in between, a resumed run holds back and tells it again, where otherwise nobody would have been told.
        loss, accuracy = self._validate(pixels, labels)
        told = {"before": round(before, 5), "val_loss": round(loss, 5), "val_accuracy": round(accuracy, 5)}
        self.progress.held_back(member=self.number, share=share, **told)
        checkpoint.save(
            self.path, self.network, self.optimizer, self.config.epochs + 1
        )  # one more: a run that is resumed now is held back already

    def _epoch(self, epoch: int, pixels: Tensor, labels: Tensor) -> float:
        count, seen = len(labels) // self.views, 0
        plan, order = epoch_plan(self.config, epoch, count), torch.randperm(count)
        if self.views > 1:  # one view of each image
            order += count * torch.randint(self.views, (count,))
        order = order.to(self.device)
        total = torch.zeros((), device=self.device)
        self.network.train()
        for number, step in enumerate(plan, 1):
            if self.should_stop():
                raise Cancelled(CANCELLED)
            if self.device.type == "cpu":
                giving_way.wait()
            self._set_lr(step.lr)
            batch = order[seen : seen + step.batch_size]
            loss = self._replay(batch, pixels, labels, step) if self.is_captured else self._on(batch, pixels, labels, step)
            total += loss
            seen += step.batch_size
            if self.progress.is_due():  # the only synchronisation with the device inside an epoch
                if (self.path.parent / runs.CANCEL).exists():  # asked for on another machine, which cannot send a signal
                    raise Cancelled(CANCELLED)
                self._check_finite(float(loss), epoch, number, step)
                self.progress.step(member=self.number, epoch=epoch, seen=seen, loss=float(loss), lr=step.lr)
        mean = float(total) / len(plan)
        self._check_finite(mean, epoch, len(plan), plan[-1])
        return mean

    def _set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if self.is_captured:
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _on(self, batch: Tensor, pixels: Tensor, labels: Tensor, step: Step) -> Tensor:
        return self._step(self.augment(pixels[batch].float() / 255), labels[batch], step)

    def _replay(self, batch: Tensor, pixels: Tensor, labels: Tensor, step: Step) -> Tensor:
        """`_on` as a CUDA graph: every step reads the batch from the same place, and all steps are alike."""
        if self.replayed is None:
            self.batch = batch.clone()
            self.replayed = Replayed(lambda: self._on(self.batch, pixels, labels, step), self.device)
        self.batch.copy_(batch)
        return self.replayed()

    def _step(self, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Changes the weights by one batch and returns its mean loss, without any penalty."""
        with self.autocast:
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = loss_function(self.config, logits.float(), labels)
        self.optimizer.zero_grad()
        (loss + step.penalty / len(labels) * mean_squared_weights(self.network) if step.penalty else loss).backward()
        self.optimizer.step()
        return loss.detach()

    def _check_finite(self, loss: float, epoch: int, number: int, step: Step) -> None:
        if not math.isfinite(loss):
            lr = self.config.lr
            what = f"lr {lr:g}; try a lower one, such as {lr / 10:g}"
            if self.config.schedule == "two_stage":
                what = f"the two_stage schedule, at its lr {step.lr:g}; try another schedule, such as one_cycle"
            raise Diverged(f"the loss became {loss} in epoch {epoch + 1} by step {number} with {what}")

    def _validate(self, pixels: Tensor, labels: Tensor) -> tuple[float, float]:
        """Mean cross entropy and accuracy."""
        self.network.eval()
        with self.autocast:
            logits = predict_logits(self.network, pixels)
        loss = nn.functional.cross_entropy(logits, labels)
        return float(loss), float((logits.argmax(1) == labels).float().mean())


class HandMember(Member):
    """Trains softmax regression with the gradient of by_hand.py; NumPy changes the layer's own weights in place."""

    scaled: np.ndarray | None = None  # all images as the layer sees them, float32 [N, features]

    def _on(self, batch: Tensor, pixels: Tensor, labels: Tensor, step: Step) -> Tensor:
        if self.config.augmentation != "none":
            return super()._on(batch, pixels, labels, step)
        if self.scaled is None:  # once, in place of once an image and epoch: batches of one make that dear
            self.scaled = self._scale_all(pixels)
        rows = batch.numpy()
        return self._descend(self.scaled[rows], labels.numpy()[rows], step)

    def _step(self, images: Tensor, labels: Tensor, step: Step) -> Tensor:
        return self._descend(self._scale(images), labels.numpy(), step)

    def _scale_all(self, pixels: Tensor) -> np.ndarray:
        """A chunk at a time: as floats all images are large enough to be there once only."""
        scaled = np.empty((len(pixels), pixels[0].numel()), np.float32)
        for part, chunk in zip(np.split(scaled, range(CHUNK, len(scaled), CHUNK)), pixels.split(CHUNK), strict=True):
            part[:] = self._scale(chunk.float() / 255)
        return scaled

    def _scale(self, images: Tensor) -> np.ndarray:
        return self.network[0](images).flatten(1).numpy()

    def _descend(self, images: np.ndarray, labels: np.ndarray, step: Step) -> Tensor:
        layer = self.network[1][1]
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        return torch.tensor(descend(weight, bias, images, labels, step.lr, self.config.weight_decay))


def to_device(split: Split, device: torch.device) -> Tensors:
    """A split as tensors: pixels uint8 [N, C, H, W], labels int64 [N]."""
    return torch.from_numpy(np.require(split.pixels, requirements=["C", "W"])).to(device), torch.from_numpy(split.labels).to(device)


@torch.inference_mode()
def predict_logits(network: nn.Module, pixels: Tensor, batch_size: int = CHUNK) -> Tensor:
    """Logits float32 [N, classes] of a network in evaluation mode."""
    parts = [network((chunk.float() / 255).contiguous(memory_format=torch.channels_last)).float() for chunk in pixels.split(batch_size)]
    return torch.cat(parts)


def device_name(device: torch.device) -> str:
    """What the run computes on, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    count = torch.get_num_threads()
    return f"CPU, {count} thread{'s' if count > 1 else ''}"


@contextlib.contextmanager
def stopped_by_signal() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM and ^C only raise a flag, so that no file is left half written. Yields the flag's reader.

    Python hands signals to the main thread alone: in any other the flag stays down, and who made the thread ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:  # a second ^C means now
            sys.exit(128 + number)
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
