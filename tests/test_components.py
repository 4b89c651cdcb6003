"""Connected components, against a flood fill."""

import numpy as np
import pytest

from inference.components import MOST_RUNS, enlarged, labelled, reduced


def flooded(solid: np.ndarray) -> np.ndarray:
    """Components by flood fill, in the order of their first pixels."""
    numbers, count = np.zeros(solid.shape, int), 0
    for start in map(tuple, np.argwhere(solid)):
        if numbers[start]:
            continue
        count += 1
        numbers[start], waiting = count, [start]
        while waiting:
            row, column = waiting.pop()
            for near in ((row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)):
                inside = 0 <= near[0] < solid.shape[0] and 0 <= near[1] < solid.shape[1]
                if inside and solid[near] and not numbers[near]:
                    numbers[near] = count
                    waiting.append(near)
    return numbers


@pytest.mark.parametrize("density", [0.1, 0.3, 0.45, 0.8])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (30, 40)])
def test_the_components_are_those_of_a_flood_fill(density: float, shape: tuple[int, int]):
    solid = np.random.default_rng(3).random(shape) < density
    ours, theirs = labelled(solid)[0], flooded(solid)
    assert (ours > 0).tolist() == solid.tolist()
    pairs = set(zip(ours[solid].tolist(), theirs[solid].tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) == theirs.max()


def test_noise_is_given_up():
    noise = np.random.default_rng(0).random((400, 400)) < 0.5
    assert np.count_nonzero(np.diff(noise.astype(int), axis=1) == 1) > MOST_RUNS
    assert labelled(noise) is None


def test_a_mask_made_smaller_and_large_again_still_covers_it():
    solid = np.random.default_rng(1).random((31, 47)) < 0.1
    again = enlarged(reduced(solid, 4), 4)[:31, :47]
    assert again[solid].all()
    assert reduced(solid, 1) is solid
