"""What of a photo is the garment: GrabCut (Rother, Kolmogorov and Blake 2004) of OpenCV, which parts two mixtures of colours along edges.

OpenCV is imported when the first photo on uneven ground comes; drawings and catalogue pictures on plain ground do not need it.
"""

import functools

import numpy as np
from PIL import Image

from inference.ink import border
from inference.opencv import opencv

SIDE = 192  # pixels of the longest side that it works on; chosen with what follows on 500 training photos (EXPERIMENTS.md)
MARGIN = 0.02  # of the shorter side: what certainly is ground
STEPS = 4
PLAIN, MOSTLY = 16.0, 0.9  # a ground is plain where so much of the border is so near to its middle colour
LEAST = 0.01  # of the picture
CRUMB = 0.02  # of the largest piece: smaller ones are none
DEEP = (0.02, 0.4)  # of the side: bands are no less and no more
SOFT_EDGE = 2  # pixels where a band and a picture are mixed
STRAIGHT = 0.95  # of a band's length: a picture begins behind it


def is_plain(colours: np.ndarray) -> bool:
    """Whether colours [H, W, 3], 0 to 255, have one colour around them, so that distance from it tells what stands before it."""
    edge = border(colours)
    return bool((np.abs(edge - np.median(edge, axis=0)).max(axis=1) < PLAIN).mean() > MOSTLY)


def between_bands(colours: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a picture without bands of one shade at opposite sides, such as a film's or a print's, where a picture
    begins all along behind each.

    A garment on plain ground stays as it is: it does not begin all along. colours: float32 [H, W, 3], 0 to 255.
    """
    sides = [np.rot90(colours, turns) for turns in range(4)]  # top, right, bottom, left: each with its own edge as the first row
    depths = [_depth(side) for side in sides]
    top, right, bottom, left = kept = [depth if depths[(at + 2) % 4] else 0 for at, depth in enumerate(depths)]
    height, width = colours.shape[:2]
    inner = colours[top : height - bottom, left : width - right]
    if not inner.size:  # they meet: there is nothing between them
        return 0, 0, width, height
    for turns, (side, depth) in enumerate(zip(sides, kept, strict=True)):
        begins = np.abs(np.rot90(inner, turns)[0] - np.median(side[0], axis=0)).max(axis=1) > PLAIN
        if depth and begins.mean() < STRAIGHT:
            return 0, 0, width, height
    return left, top, width - right, height - bottom


def _depth(rows: np.ndarray) -> int:
    """How many rows from the first on are of its middle shade, and those mixed with what comes behind; 0 where they make no band. rows: [H, W, 3]."""
    shade = np.median(rows[0], axis=0)

    def differs(part: np.ndarray) -> np.ndarray:
        return (np.abs(part - shade).max(axis=-1) > PLAIN).mean(axis=-1) > 1 - MOSTLY

    if differs(rows[0]):  # as in most photos: the rest need not be looked at
        return 0
    deep = int(differs(rows[: int(DEEP[1] * len(rows)) + 1]).argmax())
    return deep + SOFT_EDGE if DEEP[0] * len(rows) <= deep <= DEEP[1] * len(rows) else 0


def cut_out(colours: np.ndarray, whole: bool = False) -> tuple[np.ndarray, np.ndarray] | None:
    """The picture at a working size, float32 [h, w, 3], and its largest foreground piece, bool [h, w]; None where there is hardly any.

    colours: float32 [H, W, 3], 0 to 255, of at least 2x2 pixels. whole: the other pieces too, such as the second shoe of a pair, but for crumbs.
    """
    small = Image.fromarray(colours.astype(np.uint8))
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small)
    pieces = _pieces(pixels.tobytes(), *pixels.shape[:2])
    return None if pieces is None else (pixels.astype(np.float32), pieces > 0 if whole else pieces == 1)


@functools.lru_cache(maxsize=4)  # two networks see the same photo, one after the other
def _pieces(content: bytes, height: int, width: int) -> np.ndarray | None:
    """The foreground of a picture, uint8 [height, width, 3] as bytes: int32 [height, width], 1 in its largest piece, 2 in the others but for
    crumbs, else 0; None as in `cut_out`."""
    cv2 = opencv()
    pixels = np.frombuffer(content, np.uint8).reshape(height, width, 3)
    margin = max(1, round(MARGIN * min(height, width)))
    if min(height, width) < 3 * margin:
        return None
    mask = np.full((height, width), cv2.GC_BGD, np.uint8)
    mask[margin:-margin, margin:-margin] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)  # its mixtures begin at random: the same picture is to get the same answer
    try:
        cv2.grabCut(
            np.ascontiguousarray(pixels[:, :, ::-1]), mask, None, np.zeros((1, 65)), np.zeros((1, 65)), STEPS, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error:  # one of the two got no pixel
        return None
    inside = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(inside)
    if count < 2:
        return None
    areas = facts[1:, cv2.CC_STAT_AREA]
    if areas.max() < LEAST * height * width:
        return None
    kinds = np.where(areas >= CRUMB * areas.max(), 2, 0)
    kinds[areas.argmax()] = 1
    return np.concatenate([[0], kinds])[pieces]
