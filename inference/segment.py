"""Several digits in one picture: where one ends and the next begins.

The ink falls apart into pieces, connected ones and parts of wide ones. Every run of neighbouring pieces that may be a digit is shown
to the network in one batch, and the division whose digits are together the most probable is taken: over-segmentation
and dynamic programming (Bengio, LeCun et al. 1995; LeCun et al. 1998, section VI).
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from inference.components import labelled, reduced
from inference.ink import Ink
from inference.prepare import Prepared, bounds, prepare_ink

MOST_DIGITS = 12
MOST_PIECES = 30  # beyond it a picture is no number
MOST_COMPONENTS = 120  # dust included
WORKING_SIDE = 320  # pixels: pieces are looked for at this size
MOST_TOGETHER = 8  # pieces in one digit
# What is improbable of writing, as probabilities: to divide what is connected, to take two high pieces with a gap between for one
# digit, that a digit is much lower than another, and that a low piece is no part of any.
CUT, ACROSS, LOW, STRAY = 0.005, 0.05, 0.1, 0.005
USUAL, TOO_WIDE = 1.1, 10.0  # a digit wider than USUAL times its height is less probable by exp(-TOO_WIDE) a height more
WIDEST = 2.0  # of a digit of several pieces, times its height
WIDEST_GAP = 0.3  # inside a digit, times the tallest piece's height
HIGH, LOWEST = 0.6, 0.3  # what is usual of a digit, and what is possible, times the tallest piece's height
NEAR = 0.05  # a piece too low for a digit is part of one that is no farther away, times the tallest piece's height
DUST = 0.1  # pieces smaller than this, times the tallest, are none
LINE = 1.2, 0.45  # pieces wider and lower than this, times the tallest's height, are lines over, under or around a number
HALF_HIGH, APART = 0.35, 0.08  # as high, and as far from its neighbour, is a digit of its own, times the tallest's height
MARK = 0.05  # smaller pieces, times the tallest, are no points
ROWS = "The digits stand in more than one row; show one row alone."
MARKS = "Beside the digits stands something that is none, such as a point or a dash; only the digits are shown."
WIDE = 0.95  # pieces wider than this, times the tallest's height, may be several digits that touch
CLOSEST_CUTS = 0.22  # times the tallest's height
MOST_CUTS = 6
MOST_CUT = 4  # digits in what a gate is asked about: of more, 28 pixels show too little

Box = Sequence[int]  # left, top, right, bottom
Probabilities = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Division:
    """The digits of a number, left to right. count: how many there are, which may be more than MOST_DIGITS. doubt: why they are no whole
    number, as a sentence; empty where they are. cut: what is connected and was cut into two to MOST_CUT of them, each as a whole."""

    digits: tuple[Prepared, ...]
    count: int
    doubt: str = ""
    cut: tuple[Prepared, ...] = ()


def divide(ink: Ink, inverted: bool, probabilities: Probabilities) -> Division | None:
    """The digits that the ink is of; None where it is one digit, or no number. One digit behind a dash is told as a number that has a doubt.

    probabilities: as Classifier.probabilities, of pixels uint8 [N, 1, 28, 28].
    """
    factor = -(-max(ink.frame) // WORKING_SIDE)
    found = ink.connected if factor == 1 and ink.connected else labelled(reduced(ink.solid, factor))
    pieces = None if found is None else find_pieces(*found)
    if pieces is None or not 1 < pieces.max() <= MOST_PIECES:
        return None
    boxes = [bounds(pieces == number) for number in range(1, pieces.max() + 1)]
    tallest = max(bottom - top for _, top, _, bottom in boxes)
    groups = [(first, last) for first in range(len(boxes)) for last in range(first, min(first + MOST_TOGETHER, len(boxes)))]
    groups = [group for group in groups if _may_be_one(boxes[group[0] : group[1] + 1], tallest)]
    large = np.kron(pieces, np.ones((factor, factor), pieces.dtype))[: ink.solid.shape[0], : ink.solid.shape[1]] if factor > 1 else pieces
    shown = {group: _part(ink, inverted, (large > group[0]) & (large <= group[1] + 1)) for group in groups}
    shown = {group: prepared for group, prepared in shown.items() if prepared is not None}
    told = probabilities(np.stack([prepared.pixels for prepared in shown.values()])[:, None]).max(1) if shown else ()
    numbers, _ = found
    of = [set(np.unique(numbers[pieces == at])) for at in range(1, len(boxes) + 1)]  # the components that each piece is of
    connected = [bool(one & other) for one, other in pairwise(of)]
    high = [bottom - top >= HIGH * tallest for _, top, _, bottom in boxes]
    has_gap = [not is_one and _are_two(*pair, tallest) for is_one, pair in zip(connected, pairwise(boxes), strict=True)]
    logs = {}
    for (first, last), probability in zip(shown, told, strict=True):
        gaps = sum(has_gap[first:last])
        cut = first > 0 and connected[first - 1]
        left, top, right, bottom = _around(boxes[first : last + 1])
        wide = max(0.0, (right - left) / (bottom - top) - USUAL)
        low = bottom - top < HIGH * tallest
        costs = gaps * np.log(ACROSS) + cut * np.log(CUT) + low * np.log(LOW) - TOO_WIDE * wide
        logs[first, last] = float(np.log(max(probability, 1e-6)) + costs)
    strays = {at for at in range(len(boxes)) if not high[at]}
    best = _most_probable(logs, strays, len(boxes))
    if not best:
        return None
    places = [_around(boxes[first : last + 1]) for first, last in best]
    if len(best) == 1 and not _has_marks([box for box in found[1].tolist() if not _holds(places[0], box)] + places, places, tallest):
        return None
    doubt = ROWS if _stand_in_rows(places) else MARKS if _has_marks(found[1].tolist(), places, tallest) else ""
    whole = [_part(ink, inverted, (large > first) & (large <= last + 1)) for first, last in _cut(best, connected)]
    return Division(
        digits=tuple(shown[group] for group in best[:MOST_DIGITS]), count=len(best), doubt=doubt, cut=tuple(filter(None, whole))
    )


def _cut(digits: list[tuple[int, int]], connected: list[bool]) -> list[tuple[int, int]]:
    """The first and last pieces of what is connected and was cut into several digits, up to MOST_CUT."""
    found: list[list[tuple[int, int]]] = []
    for first, last in digits:
        if found and first == found[-1][-1][1] + 1 and connected[first - 1]:
            found[-1].append((first, last))
        else:
            found.append([(first, last)])
    return [(each[0][0], each[-1][1]) for each in found if 1 < len(each) <= MOST_CUT]


def _are_two(one: Box, other: Box, tallest: int) -> bool:
    """Whether neighbours that nothing connects are hardly of one digit: both are high, or neither is low and they stand well apart."""
    lower = min(one[3] - one[1], other[3] - other[1])
    return lower >= HIGH * tallest or (lower > HALF_HIGH * tallest and other[0] - one[2] > APART * tallest)


def _stand_in_rows(digits: list[Box]) -> bool:
    """Whether a digit stands over another, with nothing of both at one height."""
    return any(
        upper[3] <= lower[1] and min(upper[2], lower[2]) - max(upper[0], lower[0]) > 0.5 * min(upper[2] - upper[0], lower[2] - lower[0])
        for upper, lower in permutations(digits, 2)
    )


def _has_marks(pieces: list[Box], digits: list[Box], tallest: int) -> bool:
    """Whether a point, a comma, a colon, a dash or a plus stands free between two digits, or a dash before the first."""
    high = [each for each in pieces if each[3] - each[1] >= HIGH * tallest]
    for piece in pieces:
        left, top, right, bottom = piece
        if bottom - top >= HIGH * tallest or max(right - left, bottom - top) < MARK * tallest:
            continue
        if any(digit[3] - digit[1] < HIGH * tallest and _holds(digit, piece) for digit in digits):  # it is of a low digit
            continue
        before, after = (
            [each for each in high if each[2] + NEAR * tallest <= left],
            [each for each in high if each[0] - NEAR * tallest >= right],
        )
        if not after or len(before) + len(after) < len(high):
            continue
        beside = max(before, key=lambda each: each[2]) if before else min(after, key=lambda each: each[0])
        at = ((top + bottom) / 2 - beside[1]) / (beside[3] - beside[1])  # 0: level with the digit's top, 1: with its foot
        is_dash = right - left > 2 * (bottom - top) and 0.2 * tallest < right - left < 1.2 * tallest
        if 0.35 < at < 1.3 if before else is_dash and 0.25 < at < 0.75:
            return True
    return False


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and inner[2] <= outer[2] and outer[1] <= inner[1] and inner[3] <= outer[3]


def find_pieces(numbers: np.ndarray, boxes: np.ndarray) -> np.ndarray | None:
    """Numbers the pieces of what `labelled` gives from left to right: int32 [H, W], 0 where there is none; None of one piece, and of what is no writing."""
    if not 0 < len(boxes) <= MOST_COMPONENTS:
        return None
    found = sorted((tuple(box), number) for number, box in enumerate(boxes.tolist(), 1))
    tallest = max(bottom - top for (_, top, _, bottom), _ in found)
    pieces, kept = np.zeros_like(numbers), []
    for box, number in found:
        left, top, right, bottom = box
        is_line = right - left > LINE[0] * tallest and bottom - top < LINE[1] * tallest
        if max(right - left, bottom - top) < DUST * tallest or is_line:
            continue
        over = next((other for other in kept if _is_part_of(box, other[0], tallest)), None)
        cuts = _cuts((numbers == number)[:, left:right].sum(0), tallest) if over is None else []
        if over is not None:
            over[1].append(number)
            over[0][:] = [min(over[0][0], left), min(over[0][1], top), max(over[0][2], right), max(over[0][3], bottom)]
        else:
            kept.append(([*box], [number], [left + cut for cut in cuts]))
    if len(kept) == 1 and not kept[0][2]:
        return None  # one digit, as most pictures are
    at = 0
    for _, members, cuts in sorted(kept, key=lambda each: each[0][0] + each[0][2]):
        mask = np.isin(numbers, members)
        for left, right in zip([0, *cuts], [*cuts, mask.shape[1]], strict=True):
            part = mask[:, left:right]
            if part.any():
                at += 1
                pieces[:, left:right][part] = at
    return pieces


def _is_part_of(box: tuple[int, int, int, int], other: list[int], tallest: int) -> bool:
    """Whether a low piece stands over, under or in another, as the upper stroke of a five does, or is too low for a digit and near one."""
    if _holds(other, box):  # the inner ring of a zero gone round twice
        return True
    shared = min(box[2], other[2]) - max(box[0], other[0])
    apart = max(-shared, max(box[1], other[1]) - min(box[3], other[3]))
    lower = min(box[3] - box[1], other[3] - other[1])
    if lower < LOWEST * tallest and apart < NEAR * tallest:
        return True
    return shared >= 0.5 * min(box[2] - box[0], other[2] - other[0]) and lower < 0.6 * tallest


def _cuts(thickness: np.ndarray, tallest: int) -> list[int]:
    """Columns at which a wide piece may fall apart: where it is thinnest, thickness being the ink of each column."""
    reach = max(2, round(CLOSEST_CUTS * tallest))
    if len(thickness) < WIDE * tallest or len(thickness) < 2 * reach:
        return []
    smooth = np.convolve(np.pad(thickness, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    cuts: list[int] = []
    for column in np.argsort(smooth[reach:-reach], kind="stable") + reach:
        if smooth[column] > 0.5 * tallest or len(cuts) == MOST_CUTS:
            break
        if all(abs(column - cut) >= reach for cut in cuts):
            cuts.append(int(column))
    return sorted(cuts)


def _may_be_one(boxes: list[tuple[int, int, int, int]], tallest: int) -> bool:
    left, top, right, bottom = _around(boxes)
    height = bottom - top
    if height < LOWEST * tallest:
        return False
    reached, gap = boxes[0][2], 0
    for box in boxes[1:]:
        gap, reached = max(gap, box[0] - reached), max(reached, box[2])
    return len(boxes) == 1 or (right - left <= WIDEST * height and gap <= WIDEST_GAP * tallest)


def _around(boxes: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _part(ink: Ink, inverted: bool, inside: np.ndarray) -> Prepared | None:
    solid = ink.solid & inside
    part = dataclasses.replace(ink, values=np.where(inside, ink.values, 0), solid=solid, connected=None)
    return prepare_ink(part, inverted) if solid.any() else None


def _most_probable(logs: dict[tuple[int, int], float], strays: set[int], count: int) -> list[tuple[int, int]] | None:
    """The division of pieces 0 to count - 1 with the highest sum of its groups' logarithms; a stray may be left out at a price."""
    best: list[tuple[float, list[tuple[int, int]]] | None] = [(0.0, [])] + [None] * count
    for end in range(1, count + 1):
        if end - 1 in strays and best[end - 1] is not None:
            best[end] = best[end - 1][0] + np.log(STRAY), best[end - 1][1]
        for first in range(max(0, end - MOST_TOGETHER), end):
            before, group = best[first], (first, end - 1)
            if before is None or group not in logs:
                continue
            score = before[0] + logs[group]
            if best[end] is None or score > best[end][0]:
                best[end] = score, [*before[1], group]
    return best[count][1] if best[count] else None
