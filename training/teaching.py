"""What a run learns from a published network, its teacher, in place of the labels: its answers to the training images, or to views of them."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jobs.config import ConfigError, RunConfig
from models import shelf
from training.augmentation import AUGMENTATIONS
from training.data import cache_folder
from training.kept import kept
from training.published import card_of, network

CHUNK = 250  # images that are changed, or that a teacher sees, at once
MOST_BYTES = 4 * 2**30  # of the views of all images, which are kept on the device


def views_each(config: RunConfig) -> int:
    """How many views of each training image there are: one without a teacher to ask about them, or where all would be the same."""
    return config.teacher_views if config.teacher and config.augmentation != "none" else 1


def views(config: RunConfig, pixels: Tensor) -> Tensor:
    """Training images uint8 [N, C, H, W] as they are, then as often as `config.teacher_views` says as its augmentation changes them:
    uint8 [teacher_views * N, C, H, W]. The same ones every time, so that a run that is resumed learns from those it began with.

    A teacher that is asked about the very picture that its student sees teaches more than one asked about the picture as it was (Beyer et
    al. 2022, arXiv:2106.05237); a few views, drawn and answered once, cost a fraction of new ones every epoch. Raises ConfigError.
    """
    count, size = views_each(config), pixels.numel()
    if count * size > MOST_BYTES:
        raise ConfigError(
            f"teacher_views is {count}, which makes {count * size / 2**30:.1f} GB of pictures; at most {MOST_BYTES // 2**30} GB are kept: give {max(1, MOST_BYTES // size)} or fewer"
        )
    augment = AUGMENTATIONS[config.augmentation]
    drawn = [pixels]
    with torch.random.fork_rng(devices=[pixels.device] if pixels.is_cuda else []):
        torch.manual_seed(config.seed)
        for _ in range(count - 1):
            drawn += [(augment(chunk.float() / 255) * 255).round().to(torch.uint8) for chunk in pixels.split(CHUNK)]
    return torch.cat(drawn) if count > 1 else pixels


@torch.inference_mode()
def soft_labels(config: RunConfig, pixels: Tensor, should_stop: Callable[[], bool]) -> Tensor | None:
    """What `config.teacher` answers to images uint8 [N, C, H, W]: its probabilities at the configuration's temperature, float32
    [N, classes]; None when it was told to stop before the end. Raises ConfigError and ShelfError.

    With one view of each, an image that is augmented later keeps the answer to the image as it is. Answers take minutes: they are kept on
    disk for the next run that learns from the same teacher and images, or goes on doing so.
    """
    card = card_of(config, "teacher")
    answers = kept(_path(card, pixels), partial(_answers, card, pixels, should_stop))
    if answers is None:
        return None
    return torch.softmax(torch.from_numpy(answers["logits"]).to(pixels.device) / config.teacher_temperature, dim=1)


def _answers(card: shelf.Card, pixels: Tensor, should_stop: Callable[[], bool]) -> dict[str, np.ndarray] | None:
    """The "logits", float32 [N, classes], before any temperature; None when it was told to stop before the end."""
    teacher = network(card).to(device=pixels.device, memory_format=torch.channels_last)
    precise = card.facts["config"]["precision"] != "bfloat16"
    parts = []
    for chunk in pixels.split(CHUNK):
        if should_stop():
            return None
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=not precise):
            parts.append(teacher.average_logits((chunk.float() / 255).contiguous(memory_format=torch.channels_last)).float())
    return {"logits": torch.cat(parts).cpu().numpy()}


def _path(card: shelf.Card, pixels: Tensor) -> Path:
    """Where a teacher's answers to these very pixels are kept: about 30 MB for six views of 120,000 images."""
    digest = hashlib.sha256(card.sha256.encode())
    digest.update(pixels.cpu().numpy())
    return cache_folder() / f"answers-{card.dataset}-{digest.hexdigest()[:16]}.npz"
