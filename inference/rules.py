"""The lines of ruled and grid paper, taken out of what is written on it."""

import numpy as np

STEEPEST = 0.06  # rise of a line over its length: 3.4 degrees
SLOPES = 25
VISIBLE = 0.15  # of the darkest ink: from here on it may be a line
COVERED = 0.7  # share of a line that is ink
SHORTEST = 0.12  # of the picture's width: of a tilted line that leaves it at the top or bottom
THICKEST = 0.03  # of the picture's height
LIGHTER = 1.6  # ink this many times as dark as a line is a stroke that runs along it


def without_rules(ink: np.ndarray) -> np.ndarray:
    """The ink, float32 [H, W] from 0 (paper) on, without lines from edge to edge; strokes that cross them stay whole.

    A picture of nothing but lines stays as it is: it may be a one.
    """
    if min(ink.shape) < 64:
        return ink
    least = max(10.0, VISIBLE * float(ink.max()))
    plain = _without_level_rules(_without_level_rules(ink, least).T, least).T
    return plain if (plain > least).any() else ink


def edge_depth(side: int) -> int:
    """How near to a picture's edge a line has to come that leaves it there, in pixels."""
    return max(2, side // 50)


def _without_level_rules(ink: np.ndarray, least: float) -> np.ndarray:
    height, width = ink.shape
    edge = edge_depth(width)
    if not ((ink[:, :edge] > least).any() and (ink[:, -edge:] > least).any()):
        return ink
    solid = np.pad(ink > least, ((1, 1), (0, 0)))  # what lies beyond the picture is read as its empty frame
    thick = solid.copy()  # a line of one pixel is met although its slope is known in steps
    thick[1:] |= solid[:-1]
    thick[:-1] |= solid[1:]
    columns = np.arange(width)
    fewer = columns[:: max(1, width // 160)]  # enough to see a line by

    def rows_at(slope: float, columns: np.ndarray) -> np.ndarray:
        return np.arange(height)[:, None] + np.rint(slope * (columns - width / 2)).astype(int) + 1

    def covered(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        inside = ((rows > 0) & (rows <= height)).sum(1)
        shares = thick[np.clip(rows, 0, height + 1), columns].sum(1) / np.maximum(inside, 1)
        return np.where(inside >= SHORTEST * len(columns), shares, 0)

    slope = max(np.linspace(-STEEPEST, STEEPEST, SLOPES), key=lambda slope: float((covered(rows_at(slope, fewer), fewer) ** 4).sum()))
    rows = rows_at(slope, columns)
    found = rows[covered(rows, columns) > COVERED]
    if not any(row[0] > 0 and row[-1] <= height and row[0] <= height and row[-1] > 0 for row in found):
        return ink  # none goes from edge to edge
    on_line = np.zeros_like(solid)
    for beside in (-1, 0, 1):
        on_line[np.clip(found + beside, 0, height + 1), columns] = True
    on_line &= solid
    numbers = _run_numbers(solid)
    lengths = np.where(solid, np.bincount(numbers.ravel())[numbers], 0)
    thickness = float(np.median(lengths[on_line]))
    if thickness > max(THICKEST * height, 3):
        return ink
    # Whole runs go, so that no rim of a line stays; longer runs are strokes that cross it.
    framed = np.pad(ink, ((1, 1), (0, 0)))
    thin = solid & (lengths <= 1.5 * thickness + 1)
    gone = np.isin(numbers, np.unique(numbers[on_line & thin])) & thin
    gone &= framed < LIGHTER * float(np.median(framed[on_line])) if gone.any() else gone
    framed[gone] = 0
    return framed[1:-1]


def _run_numbers(framed: np.ndarray) -> np.ndarray:
    """A number for each upright run of set pixels, int32 [H, W], 0 outside. framed: the first and last row are empty."""
    begins = framed.copy()
    begins[1:] &= ~framed[:-1]
    return np.where(framed, np.cumsum(begins.T.ravel(), dtype=np.int32).reshape(framed.T.shape).T, 0)
