"""Why a network says what it says: what its answer loses when a part of the picture is covered (Zeiler & Fergus 2013, arXiv:1311.2901)."""

import numpy as np

from inference.classify import Classifier
from inference.ink import border

SHARE = 0.2  # of the shorter side: what a patch covers
FINEST, COARSE = 3, 2  # steps from one patch to the next in its side, in small pictures and in others
SMALL = 64 * 64  # pixels
MOST_TOGETHER = 20 * 224 * 224  # pixels in one batch: all patches of small pictures, twenty of a photo
LEAST = 1e-6  # probability


def occlusion(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """How much each pixel speaks for the network's answer: float32 [H, W], the mean fall of log(probability) over the patches that cover it.

    pixels: uint8 [H, W] or [H, W, 3], as prepared. Above 0 what is there speaks for the answer, below 0 against it. The patches are a
    third of their side apart (half of it in pictures beyond 64x64), coloured as the picture's border is, and go to the network in one
    batch, as far as memory allows.
    """
    height, width = pixels.shape[:2]
    finest = FINEST if height * width <= SMALL else COARSE
    side = max(3, round(SHARE * min(height, width)))
    tops, lefts = (_steps(size, side, finest) for size in (height, width))
    ground = np.median(border(pixels), axis=0).astype(np.uint8)
    covered = np.repeat(pixels[None], 1 + len(tops) * len(lefts), axis=0)
    places = [(top, left) for top in tops for left in lefts]
    for each, (top, left) in zip(covered[1:], places, strict=True):
        each[top : top + side, left : left + side] = ground
    batch = covered[:, None] if pixels.ndim == 2 else covered.transpose(0, 3, 1, 2)
    chunk = max(1, MOST_TOGETHER // (height * width))
    probabilities = np.concatenate(
        [classifier.probabilities(np.ascontiguousarray(batch[at : at + chunk])) for at in range(0, len(batch), chunk)]
    )
    logs = np.log(probabilities[:, probabilities[0].argmax()].clip(LEAST))
    falls, times = np.zeros((2, height, width), np.float32)
    for (top, left), log in zip(places, logs[1:], strict=True):
        falls[top : top + side, left : left + side] += logs[0] - log
        times[top : top + side, left : left + side] += 1
    return falls / times


def _steps(size: int, side: int, share: int) -> list[int]:
    """Where patches begin along one side, the first and the last flush with the picture's ends."""
    count = max(2, -(-(size - side) // max(1, side // share)) + 1)
    return np.rint(np.linspace(0, size - side, count)).astype(int).tolist()
