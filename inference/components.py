"""Connected components of a mask, by runs of its rows."""

import numpy as np

MOST_RUNS = 12_000  # of ink in all rows: beyond it it is noise


def label(solid: np.ndarray) -> np.ndarray | None:
    """Connected components of a mask, diagonals included: int32 [H, W] of 1, 2, ...; 0 outside. None beyond MOST_RUNS runs."""
    height, width = solid.shape
    steps = np.diff(np.pad(solid.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    if len(rows) > MOST_RUNS:
        return None
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    firsts = np.searchsorted(rows, np.arange(height + 1))
    for row in range(1, height):
        above, here = firsts[row - 1], firsts[row]
        while above < firsts[row] and here < firsts[row + 1]:
            if starts[above] <= ends[here] and starts[here] <= ends[above]:
                parents[root(here)] = root(above)
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(run) for run in range(len(rows))], np.int32)
    _, numbers = np.unique(roots, return_inverse=True)
    labels = np.zeros((height, width), np.int32)
    for row, start, end, number in zip(rows, starts, ends, numbers, strict=True):
        labels[row, start:end] = number + 1
    return labels


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
