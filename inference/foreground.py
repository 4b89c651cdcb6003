"""What of a photo is the garment: GrabCut (Rother, Kolmogorov and Blake 2004) of OpenCV, which parts two mixtures of colours along edges.

OpenCV is imported when the first photo on uneven ground comes; drawings and catalogue pictures on plain ground do not need it.
"""

import numpy as np
from PIL import Image

from inference.ink import border
from inference.opencv import opencv

SIDE = 192  # pixels of the longest side that it works on; chosen with what follows on 500 training photos (EXPERIMENTS.md)
MARGIN = 0.02  # of the shorter side: what certainly is ground
STEPS = 4
PLAIN, MOSTLY = 16.0, 0.9  # a ground is plain where so much of the border is so near to its middle colour
LEAST = 0.01  # of the picture


def is_plain(colours: np.ndarray) -> bool:
    """Whether colours [H, W, 3], 0 to 255, have one colour around them, so that distance from it tells what stands before it."""
    edge = border(colours)
    return bool((np.abs(edge - np.median(edge, axis=0)).max(axis=1) < PLAIN).mean() > MOSTLY)


def cut_out(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The picture at a working size, float32 [h, w, 3], and its largest foreground piece, bool [h, w]; None where there is hardly any.

    colours: float32 [H, W, 3], 0 to 255, of at least 2x2 pixels.
    """
    cv2 = opencv()

    small = Image.fromarray(colours.astype(np.uint8))
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small)
    height, width = pixels.shape[:2]
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
    return pixels.astype(np.float32), pieces == 1 + int(areas.argmax())
