"""What strangers upload: a generator of bad files, from real encoders, with a seed. tests/test_bad_uploads.py feeds it to the app's decoder."""

import functools
import io
import random
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
Bytes = Callable[[random.Random], bytes]

# Every format that Pillow can write here, with modes that it takes; those that Inkling reads come more often.
READ = {
    "PNG": ("L", "RGB", "RGBA", "P", "1", "I;16", "LA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L"),
    "BMP": ("RGB", "L", "1", "P"),
    "TIFF": ("RGB", "L", "I;16", "F", "CMYK"),
    "HEIF": ("RGB", "RGBA"),
}
OTHER = {
    "PPM": ("RGB", "L", "1"),
    "TGA": ("RGB", "RGBA"),
    "ICO": ("RGBA",),
    "ICNS": ("RGBA",),
    "PCX": ("RGB", "L"),
    "SGI": ("RGB", "L"),
    "EPS": ("RGB", "L"),
    "PDF": ("RGB", "L"),
    "JPEG2000": ("RGB", "L"),
    "MSP": ("1",),
    "XBM": ("1",),
    "SPIDER": ("F",),
    "DDS": ("RGBA", "RGB"),
    "AVIF": ("RGB",),
}
NAMES = (
    "7.png", "photo.jpg.exe", "../../etc/passwd", "..\\..\\boot.ini", "C:\\x.png", "/dev/zero", "a\x00.png", "<img src=x onerror=alert(1)>.png", "=cmd|'/c calc'!A1.csv",
    "con", "nul.png", "x" * 300 + ".png", "\u202egnp.exe", "%2e%2e%2f.png", ".htaccess", "", " ", "🙂.heic",
)  # fmt: skip


def encoded(draw: random.Random, format: str, modes: tuple[str, ...]) -> bytes:
    """A small picture by Pillow's own encoder; noise, so that every byte of it matters."""
    size = draw.choice([(1, 1), (28, 28), (64, 40), (3, 200)])
    mode = draw.choice(modes)
    count = size[0] * size[1]
    image = Image.frombytes("RGB", size, draw.randbytes(3 * count)).convert("I" if mode == "I;16" else mode)
    buffer = io.BytesIO()
    dates = (
        dict.fromkeys(("creationDate", "modDate"), time.gmtime(0)) if format == "PDF" else {}
    )  # of now they would make another file each time
    try:
        (image.convert("I;16") if mode == "I;16" else image).save(buffer, format, **dates)
    except (OSError, ValueError, KeyError):  # not every size or build
        if format not in READ:
            return b"P1 no such encoder"
        image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def any_encoded(draw: random.Random) -> bytes:
    """A picture of a format that Inkling reads."""
    format = draw.choice(list(READ))
    return encoded(draw, format, READ[format])


def other_format(draw: random.Random) -> bytes:
    """A picture of a format that it does not read, whatever its name says."""
    format = draw.choice(list(OTHER))
    return encoded(draw, format, OTHER[format])


def flipped(draw: random.Random) -> bytes:
    """One to forty bits turned, half of the time in the header."""
    content = bytearray(any_encoded(draw))
    reach = min(len(content), 64) if draw.random() < 0.5 else len(content)
    for _ in range(draw.randint(1, 40)):
        content[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return bytes(content)


def cut_off(draw: random.Random) -> bytes:
    """Broken off anywhere."""
    content = any_encoded(draw)
    return content[: draw.randrange(len(content))]


def stuttering(draw: random.Random) -> bytes:
    """A part of it written twice, left out, or replaced by another picture's."""
    content, other = any_encoded(draw), any_encoded(draw)
    start, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    middle = draw.choice([content[start:end] * 2, b"", other[: end - start], bytes(end - start), b"\xff" * (end - start)])
    return content[:start] + middle + content[end:]


def polyglot(draw: random.Random) -> bytes:
    """Two kinds of file in one."""
    picture, zipped = any_encoded(draw), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr(zipfile.ZipInfo("../../evil.py"), "import os")  # the date of now would make another file each time
    script = b"<script>alert(1)</script>"
    return draw.choice(
        [
            picture + zipped.getvalue(), zipped.getvalue() + picture, b"%PDF-1.4\n" + picture, picture + b"\n%%EOF", script + picture, picture + script,
            b"GIF89a/*" + script + b"*/=1;", b"MZ" + picture, b"#!/bin/sh\nrm -rf /\n" + picture, any_encoded(draw) + picture,
        ]
    )  # fmt: skip


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@functools.lru_cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count))


def bomb(draw: random.Random) -> bytes:
    """A small file that claims, or holds, a huge picture, in every format that is read."""
    side = draw.choice([5_001, 10_000, 30_000, 65_500])
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = _zeros(draw.choice([64, 10_000_000]))
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    text = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    text += _chunk(b"zTXt", b"a\0\0" + _zeros(80_000_000)) + _chunk(b"IDAT", zlib.compress(bytes(72))) + _chunk(b"IEND", b"")
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
        + bytes(6)
        + b","
        + struct.pack("<HHHHB", 0, 0, side, side, 0)
        + b"\x02\x02\x4c\x01\x00;"
    )
    bmp = b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    entries = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, 1),
        (278, 4, side),
        (279, 4, 9),
    ]
    tiff = (
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    )
    tiff = (tiff + bytes(4)).ljust(200, b"\0") + zlib.compress(bytes(9))
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + struct.pack("<I", 16_000)[:3] * 2
    jpeg = bytearray(encoded(draw, "JPEG", ("L",)))
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    heic = bytearray(encoded(draw, "HEIF", ("RGB",)))
    at = heic.find(b"ispe")
    heic[at + 8 : at + 16] = struct.pack(">II", side, side)
    return draw.choice([png, text, gif, bmp, tiff, webp, bytes(jpeg), bytes(heic)])


def frames(draw: random.Random) -> bytes:
    """More frames than anybody needs."""
    return _animation(draw.choice(["GIF", "TIFF"]))


@functools.lru_cache
def _animation(format: str) -> bytes:
    buffer = io.BytesIO()
    more = [Image.new("P", (2, 2), at % 250 + 1) for at in range(140)]
    Image.new("P", (2, 2)).save(buffer, format, save_all=True, append_images=more)
    return buffer.getvalue()


def repeating(draw: random.Random) -> bytes:
    """A part that decoders walk through one by one, over and over: scans and comments of a JPEG, chunks of a PNG, frames and blocks of a GIF."""
    jpeg, png, gif = (_plain(format) for format in ("JPEG", "PNG", "GIF"))
    scan, frame = jpeg[jpeg.rfind(b"\xff\xda") : -2], gif[gif.index(b",") : -1]
    count = draw.choice([30, 3_000, 300_000])
    return draw.choice(
        [
            jpeg[:-2] + scan * min(count, 30_000) + jpeg[-2:], jpeg[:2] + b"\xff\xfe\x00\x02" * count + jpeg[2:], jpeg[:2] + b"\xff\xfe\x00\x02a" * count + jpeg[2:],
            png[:33] + _chunk(b"prVt", b"") * count + png[33:], png[:33] + _chunk(b"IDAT", b"") * count + png[33:], gif[:-1] + frame * count + b";",
            gif[: -len(frame) - 1] + b"!\xfe" + b"\1a" * count + b"\0" + frame + b";", gif[: -len(frame) - 1] + b"!\xfe\0" * count + frame + b";",
        ]
    )  # fmt: skip


@functools.lru_cache
def _plain(format: str) -> bytes:
    """Of one colour, so that each of its parts is small; a JPEG is large and sent in several scans."""
    buffer = io.BytesIO()
    Image.new("L", (4000, 3000) if format == "JPEG" else (2, 2), 90).save(buffer, format, progressive=True)
    return buffer.getvalue()


def nonsense(draw: random.Random) -> bytes:
    """No file at all, or one of other trades."""
    return draw.choice(
        [
            b"", b"\0", draw.randbytes(draw.randint(1, 4000)), b"hello", b"<svg onload='alert(1)'/>", b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
            b"PK\x03\x04" + bytes(40), b"\x7fELF" + bytes(100), b"%!PS\n(/etc/passwd) run", b"\x80\x04\x95cposix\nsystem\n.", b"BEGIN:VCARD", bytes(100_000),
            b"P6 99999 99999 255\n", b"push graphic-context\nfill 'url(https://example.com/x)'", b"RIFF\xff\xff\xff\xffWEBP", b"\xff\xd8\xff" * 1000,
        ]
    )  # fmt: skip


KINDS: dict[str, Bytes] = {
    each.__name__: each for each in (flipped, cut_off, stuttering, polyglot, bomb, other_format, frames, repeating, nonsense)
}
WEIGHTS = (30, 15, 15, 12, 10, 10, 2, 4, 6)


def corpus(count: int, seed: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """Kind, file name and bytes of `count` bad uploads: the same ones for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        (kind,) = draw.choices(list(KINDS), WEIGHTS)
        yield kind, draw.choice(NAMES), KINDS[kind](draw)
