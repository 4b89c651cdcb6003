"""Fine-tunes the photo network: its later blocks and its layer of groups learn from photos that look different each time.

A linear layer on what ImageNet left is the start, so that the first steps do not spoil the blocks below it (Kumar et al. 2022,
arXiv:2202.10054). All but COMPOSED and COARSE was chosen on a third of the training photos; these two were set once, together, and kept since
the photos held out were read no worse and small garments better (EXPERIMENTS.md, "Accuracy").
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from inference.foreground import cut_out, is_plain
from training.efficientnet import SIDE, scaled
from training.photo_pictures import GROUPS, Photos, ground

EPOCHS, LR, WEIGHT_DECAY = 6, 5e-4, 0.02
WARM_UP = 0.15  # of the steps
PHOTOS, COMPOSED, OTHERS = 24, 6, 3  # in each batch
COUNT_OF_THE_REST = 0.5  # how much a picture that is no photo counts beside one
BALANCE = 0.5  # a group counts by its size to the power of -0.5: neither as often as it was photographed, nor as all others
LABEL_SMOOTHING, DROPOUT, LARGEST_GRADIENT = 0.1, 0.2, 1.0
GROUND_SWAPPED = 0.25  # share of the photos that get another ground
COARSE, COARSE_SIDES = 0.3, (48, 128)  # share of the pictures that are seen as if they came with so few pixels, as catalogues' do
PART = (0.1, 0.9)  # of a picture: a garment that is less or more was not cut out well


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What is learned from. pixels: uint8 [N, 3, S, S]; groups: int64 [N]; inside: uint8 [N, S, S], 255 in the garment, 0 everywhere where it
    is not known."""

    pixels: Tensor
    groups: Tensor
    inside: Tensor | None = None


def outlines(photos: Photos) -> np.ndarray:
    """Where the garments are, for Pictures.inside: uint8 [N, S, S]. A photo on plain ground is left alone."""
    found = np.zeros((len(photos.pixels), *photos.pixels.shape[2:]), np.uint8)
    for number, pixels in enumerate(tqdm(photos.pixels, desc="cutting garments out", leave=False)):
        colours = pixels.transpose(1, 2, 0).astype(np.float32)
        parts = None if is_plain(colours) else cut_out(colours)
        if parts is not None and PART[0] < parts[1].mean() < PART[1]:
            small = torch.from_numpy(parts[1]).float()[None, None] * 255
            found[number] = F.interpolate(small, size=found.shape[1:], mode="bilinear", align_corners=False)[0, 0].numpy()
    return found


def tune(early: nn.Module, late: nn.Module, groups: nn.Linear, photos: Pictures, composed: Pictures, others: Pictures, seed: int) -> None:
    """Trains `late` and `groups` in place; `early` and all batch statistics stay as they are.

    photos: each is seen once an epoch; composed, others: drawn at random beside them.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    steps_an_epoch = math.ceil(len(photos.groups) / PHOTOS)
    weights = [each for each in late.parameters() if each.dim() > 1]
    rest = [*(each for each in late.parameters() if each.dim() == 1), *groups.parameters()]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}], lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=EPOCHS * steps_an_epoch, pct_start=WARM_UP)
    early.eval(), late.eval()
    balance = balanced(photos.groups)
    for epoch in range(EPOCHS):
        order = torch.from_numpy(random.permutation(len(photos.groups)))
        for chosen in tqdm(order.split(PHOTOS), desc=f"tuning, epoch {epoch + 1}/{EPOCHS}", leave=False):
            images, labels = _batch(chosen, photos, composed, others, random)
            counts = balance[labels]
            counts[len(chosen) :] *= COUNT_OF_THE_REST
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    below = early(scaled(images).contiguous(memory_format=torch.channels_last))
                features = late(below)
            each = F.cross_entropy(groups(F.dropout(features.float(), DROPOUT)), labels, reduction="none", label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            ((each * counts).sum() / counts.sum()).backward()
            nn.utils.clip_grad_norm_(late.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()


def balanced(groups: Tensor) -> Tensor:
    """How much a picture of each group counts, float [groups]: by its group's size to the power of -BALANCE, 1 on average over those given.

    A group of which there is none, as bags, counts as the others do on average.
    """
    sizes = torch.bincount(groups, minlength=len(GROUPS)).float()
    counts = sizes.clamp_min(1) ** -BALANCE
    counts = counts / counts[groups].mean()
    return torch.where(sizes > 0, counts, counts[sizes > 0].mean())


def _batch(chosen: Tensor, photos: Pictures, composed: Pictures, others: Pictures, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images float [N, 3, SIDE, SIDE], 0 to 255, and their groups."""
    images, labels = [], []
    some = (torch.from_numpy(random.integers(0, len(each.groups), count)) for each, count in ((composed, COMPOSED), (others, OTHERS)))
    for pictures, which in ((photos, chosen), *zip((composed, others), some, strict=True)):
        pixels = pictures.pixels[which].float()
        if pictures.inside is not None:
            pixels = _on_other_grounds(pixels, pictures.inside[which], random)
        images.append(_another_light(_coarser(_another_view(pixels, random), random), random))
        labels.append(pictures.groups[which])
    return torch.cat(images), torch.cat(labels)


def _on_other_grounds(pixels: Tensor, inside: Tensor, random: np.random.Generator) -> Tensor:
    """Some of the photos with their garment on another ground; those whose garment is not known stay as they are."""
    for number in np.flatnonzero(random.random(len(pixels)) < GROUND_SWAPPED):
        if inside[number].any():
            other = torch.from_numpy(np.ascontiguousarray(ground(random).transpose(2, 0, 1))).float()[None]
            cover = inside[number].float() / 255
            other = F.interpolate(other, size=pixels.shape[2:], mode="bilinear", align_corners=False)[0]
            pixels[number] = pixels[number] * cover + other * (1 - cover)
    return pixels


def _another_view(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """From elsewhere: [N, 3, S, S] -> [N, 3, SIDE, SIDE]. Nearer by up to 1/0.6 or farther by 1.15, turned by 7 degrees (standard deviation),
    15 % wider or narrower, mirrored; what comes in is the edge's colour."""
    count = len(pixels)

    def drawn(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).float()

    angle, zoom = drawn(random.normal(0, 0.12, count)), drawn(np.exp(random.uniform(math.log(0.6), math.log(1.15), count)))
    aspect, mirrored = drawn(np.exp(random.uniform(-0.15, 0.15, count))), drawn(random.choice((-1.0, 1.0), count))
    room = (1 - zoom).abs().clamp_min(0.05)
    across, down = (drawn(random.uniform(-1, 1, count)) * room for _ in range(2))
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack([zoom * aspect * cos * mirrored, -zoom * sin, across], 1)
    bottom = torch.stack([zoom * sin * mirrored, zoom / aspect * cos, down], 1)
    grid = F.affine_grid(torch.stack([top, bottom], 1), [count, 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _coarser(images: Tensor, random: np.random.Generator) -> Tensor:
    """Some of the images, float [N, 3, SIDE, SIDE], as if enlarged from few pixels."""
    for number in np.flatnonzero(random.random(len(images)) < COARSE):
        side = int(random.integers(*COARSE_SIDES))
        small = F.interpolate(images[number : number + 1], size=(side, side), mode="area")
        images[number] = F.interpolate(small, size=images.shape[2:], mode="bicubic", align_corners=False)[0].clamp(0, 255)
    return images


def _another_light(images: Tensor, random: np.random.Generator) -> Tensor:
    """Brighter or darker, of more or less contrast and colour, of warmer or colder light; a tenth without colours."""
    count = len(images)

    def factor(spread: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(np.exp(random.normal(0, spread, (count, channels, 1, 1)))).float()

    gain, contrast, colour = factor(0.2) * factor(0.06, 3), factor(0.2), factor(0.25)
    colour[torch.from_numpy(random.random(count) < 0.1)] = 0
    mean, grey = images.mean((1, 2, 3), keepdim=True), images.mean(1, keepdim=True)
    images = grey + (images - grey) * colour
    return ((images - mean) * contrast + mean * gain).clamp(0, 255)
