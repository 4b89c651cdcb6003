"""Strokes -> pictures, and what a thick pen wrote drawn again with a finer one: a canvas knows the way its pen went.

A pen too thick for what it writes closes loops, which no preparation of the picture opens again.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from inference.opencv import opencv

SUPERSAMPLED = 3
BITS = 4  # of a coordinate behind its point, as OpenCV takes them
WIDEST = 0.1  # of a pen, times the height of what it wrote (EXPERIMENTS.md, "Pens")
FINEST = 2.0  # pixels

Stroke = tuple[np.ndarray, float]  # float [P, 2] of x and y along the pen's way, and the pen's width, in pixels


def drawn(strokes: Sequence[Stroke], size: tuple[int, int]) -> Image.Image:
    """Bright on black, mode L of width and height `size`, as a canvas draws strokes: round ends and joints, soft edges."""
    picture = np.zeros(size[::-1], np.uint8)
    left, top, right, bottom = _window(strokes, size)  # the rest stays black
    if left < right and top < bottom:
        picture[top:bottom, left:right] = _drawn([(points - (left, top), pen) for points, pen in strokes], (right - left, bottom - top))
    return Image.fromarray(picture)


def _window(strokes: Sequence[Stroke], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what the strokes can reach of a picture."""
    low = np.min([points.min(0) - pen for points, pen in strokes], axis=0)
    high = np.max([points.max(0) + pen for points, pen in strokes], axis=0)
    left, top = np.clip(np.floor(low), 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 0, size).astype(int).tolist()
    return left, top, right, bottom


def _drawn(strokes: Sequence[Stroke], size: tuple[int, int]) -> np.ndarray:
    cv2 = opencv()
    pixels = np.zeros((size[1] * SUPERSAMPLED, size[0] * SUPERSAMPLED), np.uint8)
    for points, pen in strokes:
        line = np.rint(points * (SUPERSAMPLED << BITS)).astype(np.int32)
        line = line if len(line) > 1 else line.repeat(2, axis=0)  # of one point OpenCV draws nothing
        width = max(1, round(pen * SUPERSAMPLED) - 1)  # and lines a pixel wider than it is told
        cv2.polylines(pixels, [line], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_8, shift=BITS)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def with_finer_pens(strokes: Sequence[Stroke]) -> list[Stroke]:
    """The same strokes with pens no wider than fits the height of what is written; a blot, no larger than its pen, stays one."""
    extent = np.ptp(np.concatenate([points for points, _ in strokes]), axis=0)
    if max(extent) < max(pen for _, pen in strokes):
        return list(strokes)
    most = max(FINEST, WIDEST * float(extent[1]))  # of the height: a number is as wide as it is long
    return [(points, min(pen, most)) for points, pen in strokes]
