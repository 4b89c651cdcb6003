"""What lies around handwriting in a photo, scan or screenshot, and is none: a shadow's edge, frames, toolbars, fingers. The table under a
sheet and a scan's black border are taken off before (sheets.py).

All of it is told from the handwriting by where it lies and by its outline, never by what it looks like.
"""

from typing import NamedTuple

import numpy as np

from inference.opencv import opencv

LOOKED_AT = 256  # pixels of the longest side of the copy that shadows are looked for in
STROKE = 0.14  # of the shorter side: no stroke is as wide
DARKEST = 128.0  # of 255: what is darker is not lit up further, since texture of a dark table would be with it
WIDE = 0.06  # of the shorter side, from the middle to the rim: what the edge cuts off and is as wide is no stroke
FREE = 0.08  # of the shorter side: as high is what lies free in a picture in which other things are cut off
ALIKE = (0.6, 1.6)  # heights of digits of one number, times each other
# What is larger than what lies free by the first factor, and lies along the edge with less than the second share of its length, is a stroke.
LARGER, ALONG = 2.5, 0.4
NEAR = 0.1  # of its height: the bar of a 5 is as near
FLAT = 5, 0.3  # a line is wider than so many times its height, and lower than this, times the highest piece
HIGH = 0.6  # times the highest: a digit, not a part of one
# An icon or a cursor is smaller than the largest piece by the first factor, and farther from all large ones than the second times its height.
SMALL, FAR = 0.25, 0.25
FRAME, THIN = 0.88, 0.35  # a frame fills this share of the rectangle around it, and is itself less than this share of what it encloses
# A box or a ring around a digit: its shorter side, times the picture's; how high what is in it is, times its own height; how much of the
# rectangle around it a ring fills, an ellipse's share being 0.785; and how near the ring's middle what is in it has its own, times its height.
# A ring is no narrower than the last, times its height: a zero that is struck through mostly is.
BOX, IN_BOX, RING, MIDDLE, ROUND = 0.1, (0.3, 0.85), 0.74, 0.2, 0.87
SURE = 0.5  # of the threshold: what is as dark in a ring is written there
# A toolbar's icons fill so much of their boxes, are smaller than this times what is written, and at least so many.
FILLED, SMALLER, ICONS = 0.75, 0.5, 3
MOST_PIECES = 400  # noise has more
MOST_FRAMES = 24  # lines that are looked at, and cells of each


def flattened(dark: np.ndarray) -> np.ndarray:
    """How much darker each place is than what lies around it beyond a stroke's width, as a share of that, 0 to 255, float32 [H, W].

    A morphological closing fills what is narrow and keeps every edge of what is wide, such as a shadow's, where a smooth surface cuts corners.
    dark: uint8 [H, W], dark as high.
    """
    cv2 = opencv()
    bright = cv2.GaussianBlur(255 - dark, (0, 0), 1.0)
    kernel = np.ones((max(3, int(STROKE * min(dark.shape))),) * 2, np.uint8)
    around = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    return np.clip((around - bright) / np.maximum(around, DARKEST) * 255, 0, 255)


class _Pieces(NamedTuple):
    """The pieces of a mask. boxes: int [N, 4], left, top, right, bottom; areas: int [N]; is_cut: bool [N], whether the picture's edge cuts it off."""

    numbers: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_cut: np.ndarray

    @property
    def heights(self) -> np.ndarray:
        return self.boxes[:, 3] - self.boxes[:, 1]

    @property
    def widths(self) -> np.ndarray:
        return self.boxes[:, 2] - self.boxes[:, 0]

    def away(self, at: int) -> np.ndarray:
        """Pixels from the box of one piece to that of each, int [N]; 0 or less where they overlap."""
        left, top, right, bottom = self.boxes.T
        return np.maximum.reduce([left[at] - right, left - right[at], top[at] - bottom, top - bottom[at]])

    def without(self, gone: np.ndarray) -> np.ndarray:
        """The mask without some of them."""
        return np.concatenate([[False], ~gone])[self.numbers]


def _pieces(solid: np.ndarray) -> _Pieces:
    _, numbers, facts, _ = opencv().connectedComponentsWithStats(solid.view(np.uint8), connectivity=8)
    left, top, across, down, areas = facts[1:].T.astype(int)
    height, width = solid.shape
    edge = max(2, min(height, width) // 100)
    is_cut = (left < edge) | (top < edge) | (left + across > width - edge) | (top + down > height - edge)
    return _Pieces(numbers, np.stack([left, top, left + across, top + down], axis=1), areas, is_cut)


def cut_off(solid: np.ndarray) -> tuple[int, int]:
    """How many pixels are of things that the picture's edge cuts off and that are wider than strokes, and how high what lies free is: 0 where
    nothing high does."""
    found, side = _pieces(solid), min(solid.shape)
    high = int(found.heights[~found.is_cut].max(initial=0))
    high = high if high >= FREE * side else 0
    if not found.is_cut.any():
        return 0, high
    factor = -(-max(solid.shape) // (LOOKED_AT // 2))
    cut = found.without(~found.is_cut)[::factor, ::factor]
    widest = opencv().distanceTransform(np.pad(cut, 1).view(np.uint8), opencv().DIST_L2, 3).max()
    return (int(found.areas[found.is_cut].sum()) if widest >= WIDE * min(cut.shape) else 0), high


def without_surroundings(solid: np.ndarray) -> np.ndarray:
    """The mask without what the picture's edge cuts off, and small things far from all large ones; as it is where nothing high lies free."""
    found, side = _pieces(solid), min(solid.shape)
    if not 1 < len(found.boxes) <= MOST_PIECES:
        return solid
    is_free = ~found.is_cut
    high = int(found.heights[is_free].max(initial=0))
    if high < FREE * side:
        return solid
    highest = int(np.flatnonzero(is_free)[found.heights[is_free].argmax()])
    # A large stroke that reaches the edge, and a small one beside it, are one digit.
    is_stroke = (np.maximum(found.heights, found.widths) > LARGER * high) & (
        _contact(found) < ALONG * np.maximum(found.heights, found.widths)
    )
    gone = (found.is_cut & ~is_stroke & ~_of_a_number_with(found, highest)) | _row_of_icons(found, high)
    sizes = np.maximum(found.heights, found.widths)
    largest = sizes[~gone].max()
    # An underline, an answer line, a phone's bar to swipe: as long as a digit is high, and no part of one that it lies below or far from.
    is_flat = (found.widths > FLAT[0] * found.heights) & (found.heights < FLAT[1] * high)
    is_below = found.boxes[:, 1] > found.boxes[~gone & (found.heights >= HIGH * high), 3].max(initial=0)
    gone |= is_flat & is_below & (found.widths > 0.5 * high)
    large = np.flatnonzero(~gone & (sizes >= SMALL * largest) & ~is_flat)
    for at in np.flatnonzero(~gone & ((sizes < SMALL * largest) | is_flat)) if len(large) else ():
        gone[at] = found.away(at)[large].min() > FAR * max(high, found.heights[large].max())
    return found.without(gone) if gone.any() else solid


def _contact(found: _Pieces) -> np.ndarray:
    """Pixels of the picture's outermost rows and columns that each piece has, int [N]."""
    rim = np.concatenate([found.numbers[0], found.numbers[-1], found.numbers[:, 0], found.numbers[:, -1]])
    return np.bincount(rim, minlength=len(found.boxes) + 1)[1:]


def _of_a_number_with(found: _Pieces, at: int) -> np.ndarray:
    """Which pieces may be digits beside one that lies free, or parts of it, although the picture's edge cuts them off: bool [N]."""
    (_, top, _, bottom), high = found.boxes[at], int(found.heights[at])
    level = np.minimum(found.boxes[:, 3], bottom) - np.maximum(found.boxes[:, 1], top) > 0.5 * np.minimum(found.heights, high)
    is_digit = level & (found.heights > ALIKE[0] * high) & (found.heights < ALIKE[1] * high) & (found.widths < 1.3 * high)
    is_digit &= ~_in_corners(found)  # a wedge of the table beside a turned sheet is as high as a digit, and as a 1 as sure
    return is_digit | ((found.away(at) < NEAR * high) & (np.maximum(found.heights, found.widths) < ALIKE[1] * high))


def _in_corners(found: _Pieces) -> np.ndarray:
    """Which pieces have a corner of the picture: bool [N]."""
    near = max(2, min(found.numbers.shape) // 100)
    ends = (slice(None, near), slice(-near, None))
    there = np.unique(np.concatenate([found.numbers[rows, columns].ravel() for rows in ends for columns in ends]))
    return np.isin(np.arange(1, len(found.boxes) + 1), there)


def _row_of_icons(found: _Pieces, high: int) -> np.ndarray:
    """Which pieces are small filled rectangles, three or more of them level with each other: a toolbar's. bool [N]."""
    filled = found.areas > FILLED * found.widths * found.heights
    blocks = np.flatnonzero(filled & (np.maximum(found.widths, found.heights) < SMALLER * high))
    middles = (found.boxes[blocks, 1] + found.boxes[blocks, 3]) / 2
    level = np.abs(middles[:, None] - middles) < found.heights[blocks] / 2
    is_icon = np.zeros(len(found.boxes), bool)
    is_icon[blocks[level.sum(1) >= ICONS]] = True
    return is_icon


def find_frames(ink: np.ndarray, level: float, pale: float) -> np.ndarray:
    """Thin lines that close a rectangle around writing, such as a picture's frame, a form's boxes or a table's lines, or rings drawn around it:
    bool [H, W]. The picture's edge may be one of a rectangle's sides.

    ink: float32 [H, W], 0 to 255; level: its threshold; pale: from where on it may be a pencil's in a printed box.
    """
    found, cv2 = _pieces(ink > level), opencv()
    frames, least = np.zeros(ink.shape, bool), BOX * min(ink.shape)
    is_thin = found.areas < THIN * found.widths * found.heights
    for at in np.flatnonzero((np.minimum(found.widths, found.heights) > least) & is_thin)[:MOST_FRAMES]:
        left, top, right, bottom = box = found.boxes[at]
        place = slice(top, bottom), slice(left, right)
        lines = _up_to_the_edge((found.numbers[place] == at + 1).view(np.uint8), box, ink.shape)
        _, cells, facts, _ = cv2.connectedComponentsWithStats(1 - lines, connectivity=4)
        written = np.where(cv2.dilate(lines, np.ones((7, 7), np.uint8)) > 0, 0, ink[place])
        is_large = found.widths[at] > 0.5 * ink.shape[1] and found.heights[at] > 0.5 * ink.shape[0]
        high_enough = FREE * min(ink.shape) if is_large else 0
        large = 1 + np.flatnonzero(facts[1:, 2:4].min(1) > least)[:MOST_FRAMES]
        closed = [inside for cell in large if _is_closed(inside := cells == cell, box, ink.shape)]
        if any(_is_around_writing(inside, written, (pale, SURE * level), high_enough) for inside in closed):
            frames[place] |= (lines > 0) & ~_written_into(closed, lines, 0.6 * least)
    return frames


def _up_to_the_edge(lines: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A piece's lines, uint8 [h, w], in its box, each of which ends at the picture's edge where it almost does: what they enclose would leak out there."""
    near = max(2, min(shape) // 100)
    for at, (line, end) in enumerate(zip((lines.T, lines, lines.T[::-1], lines[::-1]), (0, 0, *shape[::-1]), strict=True)):
        if abs(box[at] - end) <= near < len(line):
            line[:near] |= line[near]
    return lines


def _written_into(cells: list[np.ndarray], lines: np.ndarray, high: float) -> np.ndarray:
    """What is written in rectangular cells, bool [h, w] each, and touches their lines, uint8 [h, w], where it is higher than so many pixels: bool [h, w]."""
    cv2 = opencv()
    within = np.zeros_like(lines)
    for cell in cells:
        hull = cv2.convexHull(_outline(cell))
        if _share_of_rectangle(hull) >= FRAME:  # a stroke that reaches in dents the cell, not its hull
            shape = np.zeros_like(lines)
            cv2.drawContours(shape, [hull], -1, 1, -1)
            within |= cv2.erode(shape, np.ones((5, 5), np.uint8)) & lines
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(within, connectivity=8)
    return np.concatenate([[False], facts[1:, 3] > high])[numbers]


def _outline(cell: np.ndarray) -> np.ndarray:
    """The outer contour of a mask, bool [h, w], as OpenCV has it."""
    contours, _ = opencv().findContours(cell.view(np.uint8), opencv().RETR_EXTERNAL, opencv().CHAIN_APPROX_SIMPLE)
    return max(contours, key=opencv().contourArea)


def _share_of_rectangle(contour: np.ndarray) -> float:
    """How much of the smallest rectangle around a contour it fills: 1 a rectangle, 0.785 an ellipse."""
    width, height = opencv().minAreaRect(contour)[1]
    return opencv().contourArea(contour) / max(1.0, width * height)


def _is_closed(cell: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether a part of a box, bool [h, w], reaches none of its sides, but for one that is the picture's edge."""
    reaches = np.array([cell[:, 0].any(), cell[0].any(), cell[:, -1].any(), cell[-1].any()])
    is_edge = np.abs(box - (0, 0, *shape[::-1])) <= max(2, min(shape) // 100)
    return int(reaches.sum()) <= 1 and not (reaches & ~is_edge).any()


def _is_around_writing(cell: np.ndarray, written: np.ndarray, levels: tuple[float, float], high_enough: float) -> bool:
    """Whether a cell, bool [h, w], is a rectangle or a ring with something written in it, float32 [h, w].

    levels: from where on it counts, in a rectangle and in a ring: what is left of ruled paper in a zero is paler. high_enough: pixels of height
    that are enough, 0 where writing has to fill its share of the cell.
    """
    cv2 = opencv()
    outer = _outline(cell)
    left, top, width, height = cv2.boundingRect(outer)
    share = _share_of_rectangle(outer)
    if share < RING or (share < FRAME and width < ROUND * height):
        return False
    inside = cell & (written > levels[share < FRAME])
    _, _, facts, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    boxes = facts[1:, :4]
    if not high_enough:
        boxes = boxes[boxes[:, 3] < IN_BOX[1] * height]  # what is higher is the soft rim of the lines
    highest = int(boxes[:, 3].max(initial=0))
    boxes = boxes[boxes[:, 3] > 0.5 * highest]
    if highest < 3:
        return False
    top_of_all, bottom_of_all = boxes[:, 1].min(), (boxes[:, 1] + boxes[:, 3]).max()
    if share >= FRAME:
        return highest > (high_enough or IN_BOX[0] * height) and (bottom_of_all - top_of_all < IN_BOX[1] * height or high_enough > 0)
    # A ring: what stands in its middle and away from it is in no zero that is struck through or gone round twice.
    off = boxes[:, 0].min() + (boxes[:, 0] + boxes[:, 2]).max() - 2 * left - width, top_of_all + bottom_of_all - 2 * top - height
    return max(map(abs, off)) < 2 * MIDDLE * height and IN_BOX[0] * height < highest and bottom_of_all - top_of_all < IN_BOX[1] * height
