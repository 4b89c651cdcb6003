"""Numbers whose digits touch, so that a gate can tell them from letters: both fall apart into what may be digits (inference/segment.py).

On the features that the gate has of a picture, a small head says how likely it is a number of several digits.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from training import hands, pictures
from training.strokes import Glyph, bend, fitted, loosened

COUNTS = {"train": 12_000, "validation": 1_500}
OF_A_KIND = 12_000  # pictures of each kind of the gate's, at most, that are no numbers
DIGITS_EACH, SHARES = (2, 3, 4), (0.55, 0.3, 0.15)
GAPS = -0.12, 0.03  # between two digits, times their height: most overlap
HEIGHTS, SHIFTS = (0.85, 1.15), (-0.1, 0.1)  # of digits beside each other, times the usual one
HURRIED = 0.3  # share of the numbers; see strokes.loosened
HIDDEN, EPOCHS, BATCH_SIZE, LR, WEIGHT_DECAY, DROPOUT = 64, 30, 256, 0.002, 0.02, 0.2
LOST = 0.02  # share of numbers whose digits touch that may be taken for none


def number(known: list[tuple[str, Glyph]], random: np.random.Generator) -> tuple[str, list[np.ndarray]]:
    """Two to four digits of different hands that touch or nearly do, and their strokes. known: as `hands.glyphs`."""
    written, strokes, left = "", [], 0.0
    for _ in range(random.choice(DIGITS_EACH, p=SHARES)):
        digit, glyph = known[random.integers(len(known))]
        high, down = random.uniform(*HEIGHTS), random.uniform(*SHIFTS)
        left += random.uniform(*GAPS) if written else 0.0
        strokes += [stroke * high + (left, down) for stroke in bend(glyph, random)]
        left = max(float(stroke[:, 0].max()) for stroke in strokes)
        written += digit
    return written, fitted(strokes)


def make(part: str, count: int) -> np.ndarray:
    """Such numbers in the hands of a part ("train" or "validation"), drawn and prepared as what people send: uint8 [count, 28, 28]."""
    known, random = hands.glyphs(part, "0123456789"), np.random.default_rng(3)
    glyphs = [number(known, random)[1] for _ in range(count)]
    glyphs = [loosened(glyph, random) if random.random() < HURRIED else glyph for glyph in glyphs]
    return pictures.in_parts(partial(pictures.seen, dataset="mnist", strength=0.0), glyphs, pictures.SEEDS[part])


def train(numbers: Tensor, others: Tensor) -> nn.Module:
    """The head, in evaluation mode: features, float [N, F] -> how likely each is of a number, float [N]. It learns from features of both."""
    features, are_numbers = torch.cat([numbers, others]), torch.arange(len(numbers) + len(others)) < len(numbers)
    mean, std = features.mean(0), features.std(0) + 1e-3
    head = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(head.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    features = (features - mean) / std
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(features)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(head(features[batch])[:, 0], are_numbers[batch].float()).backward()
            optimizer.step()
    with torch.no_grad():  # what it was shown is what a graph has
        head[0].weight /= std
        head[0].bias -= head[0].weight @ mean
    return nn.Sequential(head[0], nn.ReLU(), head[3], nn.Sigmoid(), nn.Flatten(0)).eval()
