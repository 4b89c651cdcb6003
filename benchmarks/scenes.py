"""What lies around a sheet in people's pictures: benchmarks/papers.py puts handwriting into it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Random = np.random.Generator


def on_table(sheet: Image.Image, random: Random) -> Image.Image:
    """A photo of a sheet, turned by up to 8 degrees, that ends within the picture at one to four sides; grain of wood beyond it."""
    side = sheet.width
    margins = np.where(random.permutation(4) < random.integers(1, 5), random.uniform(0.05, 0.3, 4), 0) * side
    left, top, right, bottom = (int(each) for each in margins)
    size = (side + left + right, side + top + bottom)
    grain = Image.fromarray(random.normal(128, 60, (size[1], 8)).clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    table = np.asarray(grain).astype(np.float32) * random.uniform(0.05, 0.2) + random.uniform(20, 160)
    shape = Image.new("L", size)
    beyond = (left or -side, top or -side, size[0] - right if right else 2 * size[0], size[1] - bottom if bottom else 2 * size[1])
    middle, angle = np.array(size) / 2, np.radians(random.uniform(-8, 8))
    corners = np.array([(beyond[x], beyond[y]) for x, y in ((0, 1), (2, 1), (2, 3), (0, 3))]) - middle
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    ImageDraw.Draw(shape).polygon([tuple(each) for each in corners @ turn.T + middle], fill=255)
    paper = Image.fromarray(np.pad(np.asarray(sheet), ((top, bottom), (left, right)), mode="reflect"))
    shown = np.asarray(Image.composite(paper, Image.fromarray(table.clip(0, 255).astype(np.uint8)), shape)).astype(np.float32)
    return _grained(shown, random)


def with_black_border(sheet: Image.Image, random: Random) -> Image.Image:
    """A scan whose lid was open: black at one to four sides."""
    deep = np.where(random.permutation(4) < random.integers(1, 5), random.uniform(0.01, 0.08, 4), 0) * sheet.width
    left, top, right, bottom = deep.astype(int)
    shown = np.pad(np.asarray(sheet), ((top, bottom), (left, right)), constant_values=int(random.uniform(0, 30)))
    return _grained(shown.astype(np.float32), random)


def in_a_shadow(sheet: Image.Image, random: Random) -> Image.Image:
    """The shadow of a hand or a phone over a part of it."""
    side, shadow = sheet.width, Image.new("L", sheet.size, 255)
    x, y, wide, high = random.uniform(0, side), random.choice([-0.1, 1.1]) * side, *random.uniform((0.3, 0.4), (0.6, 0.8)) * side
    ImageDraw.Draw(shadow).ellipse((x - wide, y - high, x + wide, y + high), fill=int(random.uniform(125, 190)))
    soft = shadow.filter(ImageFilter.GaussianBlur(side * random.uniform(0.01, 0.05)))
    return _grained(np.asarray(sheet) * (np.asarray(soft) / np.float32(255)), random)


def by_flash(sheet: Image.Image, random: Random) -> Image.Image:
    """Light that falls off to all sides."""
    far = np.hypot(*np.meshgrid(*(np.linspace(-1, 1, sheet.width),) * 2)).astype(np.float32)
    return _grained(np.asarray(sheet) * np.clip(1.1 - random.uniform(0.25, 0.45) * far**2, 0.1, 1), random)


def in_window(drawing: Image.Image, random: Random) -> Image.Image:
    """A screenshot with a toolbar above the drawing, or a line around it."""
    width, height = drawing.size
    if random.random() < 0.5:
        found = drawing.copy()
        ImageDraw.Draw(found).rectangle(
            (1, 1, width - 2, height - 2), outline=int(random.integers(0, 130)), width=int(random.integers(1, 4))
        )
        return found
    bar = int(random.integers(40, 70))
    found = Image.new("L", (width, height + bar), 235)
    found.paste(drawing, (0, bar))
    for left in range(8, width - 30, 34):
        ImageDraw.Draw(found).rectangle((left, 10, left + 20, 30), fill=int(random.integers(40, 220)))
    return found


def in_box(drawing: Image.Image, random: Random) -> Image.Image:
    """A photo of a printed form: the drawing, anywhere on a larger sheet, turned by up to 4 degrees, in a box or a ring of any shade of ink."""
    width, height = drawing.size
    rows, columns = (np.flatnonzero((np.asarray(drawing) < 128).any(axis)) for axis in (1, 0))
    at = int(random.uniform(0.1, 0.9) * width), int(random.uniform(0.1, 0.9) * height)
    left, top, right, bottom = columns[0] + at[0], rows[0] + at[1], columns[-1] + at[0], rows[-1] + at[1]
    high = max(right - left, bottom - top)
    found = Image.new("L", (2 * width, 2 * height), 255)
    found.paste(drawing, at)
    line = {"outline": int(random.integers(0, 120)), "width": max(1, int(random.uniform(0.01, 0.05) * high))}
    if random.random() < 0.5:
        margins = random.uniform(0.12, 0.6, 4) * high
        ImageDraw.Draw(found).rectangle((left - margins[0], top - margins[1], right + margins[2], bottom + margins[3]), **line)
    else:
        radius = np.hypot(right - left, bottom - top) / 2 * random.uniform(1.15, 1.6)
        x, y, down = (left + right) / 2, (top + bottom) / 2, radius * random.uniform(0.9, 1.1)
        ImageDraw.Draw(found).ellipse((x - radius, y - down, x + radius, y + down), **line)
    turned = found.rotate(random.uniform(-4, 4), Image.Resampling.BILINEAR, fillcolor=255)
    soft = np.asarray(turned.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.2)))).astype(np.float32)
    light = 1 + random.uniform(-0.15, 0.15) * np.linspace(-1, 1, soft.shape[1])
    return _grained(soft * random.uniform(0.7, 0.97) * light, random)


def on_nothing(sheet: Image.Image, random: Random) -> Image.Image:
    """A card that was cut out: nothing around it; as `decode` returns it."""
    margin = int(sheet.width * random.uniform(0.05, 0.25))
    found = Image.new("LA", (sheet.width + 2 * margin,) * 2)
    found.paste(Image.merge("LA", (sheet, Image.new("L", sheet.size, 255))), (margin, margin))
    return found.convert("RGBA")


def _grained(values: np.ndarray, random: Random) -> Image.Image:
    return Image.fromarray((values + random.normal(0, random.uniform(1, 4), values.shape)).clip(0, 255).astype(np.uint8))
