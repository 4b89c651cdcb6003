"""Connected components of a mask, by OpenCV."""

import numpy as np

from inference.opencv import opencv

MOST_RUNS = 12_000  # of ink in all rows: beyond it it is noise


def labelled(solid: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Connected components of a mask, diagonals included: int32 [H, W] of 1, 2, ..., 0 outside; and their boxes, int32 [N, 4] of left, top,
    right and bottom, the latter two beyond it. None beyond MOST_RUNS runs.
    """
    runs = np.count_nonzero(solid[:, 0]) + np.count_nonzero(solid[:, 1:] > solid[:, :-1])
    if runs > MOST_RUNS:
        return None
    _, numbers, facts, _ = opencv().connectedComponentsWithStats(np.ascontiguousarray(solid).view(np.uint8), connectivity=8)
    boxes = facts[1:, :4]
    boxes[:, 2:] += boxes[:, :2]
    return numbers, boxes


def reduced(solid: np.ndarray, factor: int) -> np.ndarray:
    """The mask made smaller; a pixel is set where any of the factor x factor that it stands for is."""
    if factor == 1:
        return solid
    height, width = (-(-side // factor) * factor for side in solid.shape)
    framed = np.zeros((height, width), bool)
    framed[: solid.shape[0], : solid.shape[1]] = solid
    return framed.reshape(height // factor, factor, width // factor, factor).any((1, 3))


def enlarged(mask: np.ndarray, factor: int) -> np.ndarray:
    """The mask with every pixel factor x factor large."""
    return mask if factor == 1 else mask.repeat(factor, 0).repeat(factor, 1)
