"""Zips that mean harm, from Python's own writer and a knife: a generator with a seed. tests/test_bad_zips.py feeds it to the importer."""

import functools
import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tests.bad_uploads import KINDS as PICTURES

Members = dict[str, bytes]
EACH = 10  # pictures a class, the fewest that an import takes
PATHS = (
    "../evil.png", "cats/../../evil.png", "/etc/cron.d/evil", "//server/share/evil.png", "C:\\evil.png", "c:/evil.png", "..\\..\\evil.png",
    "cats\\..\\evil.png", "cats/./../../evil.png", "./../evil.png", "cats/a\x00.png", "\x00", "..", "cats/..", "/",
)  # fmt: skip
LABELS = (
    "con",
    "x" * 300,
    "\u202egnp",
    "a\nb",
    "\t",
    "<b>cats</b>",
    "=1+1",
    "CATS",
    "cats ",
    "ca\u0308ts",
    "..hidden",
    "%2e%2e",
    "🙂",
    "a" * 61,
)


@functools.lru_cache
def _good() -> Members:
    draw = np.random.default_rng(0)
    members = {}
    for label in ("cats", "dogs"):
        for number in range(EACH):
            buffer = io.BytesIO()
            Image.fromarray(draw.integers(0, 256, (12, 12), dtype=np.uint8)).save(buffer, "PNG")
            members[f"{label}/{number}.png"] = buffer.getvalue()
    return members


def packed(members: Members, packing: int = zipfile.ZIP_DEFLATED, **attributes: int) -> bytes:
    """A zip of these members. attributes: of the last one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for at, (name, content) in enumerate(members.items(), 1):
            member = zipfile.ZipInfo("x")
            member.filename, member.compress_type = name, packing  # ZipInfo itself would tidy the name up
            for attribute, value in attributes.items() if at == len(members) else ():
                setattr(member, attribute, value)
            archive.writestr(member, content)
    return buffer.getvalue()


def path_trick(draw: random.Random) -> bytes:
    """A member that wants to lie elsewhere."""
    return packed(_good() | {draw.choice(PATHS): b"evil"})


def link(draw: random.Random) -> bytes:
    """A symbolic link, a pipe, a device or a socket."""
    kind = draw.choice([stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
    target = draw.choice([b"/etc/passwd", b"../../app.py", b"/dev/zero", b"."])
    return packed(_good() | {"cats/link.png": target}, create_system=3, external_attr=(kind | 0o777) << 16)


def bomb(draw: random.Random) -> bytes:
    """A thousand to one, once or in many members."""
    count = draw.choice([1, 3])
    return packed(_good() | {f"cats/bomb{at}.png": bytes(20_000_000 // count) for at in range(count)})


def nested(draw: random.Random) -> bytes:
    """A zip in a zip in a zip."""
    inner = packed(_good())
    for _ in range(draw.randint(1, 6)):
        inner = packed({"cats/inner.zip": inner, "dogs/1.zip": inner} | (_good() if draw.random() < 0.5 else {}))
    return inner


def lie(draw: random.Random) -> bytes:
    """Another size, checksum, packing, place or flag than the member has, in the directory at the end."""
    content = bytearray(packed(_good()))
    entries = [at for at in range(len(content) - 46) if content[at : at + 4] == b"PK\x01\x02"]
    at = draw.choice(entries)
    offset, layout = draw.choice([(16, "<I"), (20, "<I"), (24, "<I"), (10, "<H"), (8, "<H"), (42, "<I"), (28, "<H"), (38, "<I")])
    value = draw.choice([0, 1, 12, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
    struct.pack_into(layout, content, at + offset, value & (0xFFFF if layout == "<H" else 0xFFFFFFFF))
    return bytes(content)


def overlapping(draw: random.Random) -> bytes:
    """All members are one and the same place in the file (Fifield, A better zip bomb, 2019)."""
    content = bytearray(packed({"cats/0.png": bytes(900_000)} | {f"dogs/{at}.png": b"x" for at in range(30)}))
    entries = [at for at in range(len(content) - 46) if content[at : at + 4] == b"PK\x01\x02"]
    for at in entries[1:]:
        content[at + 16 : at + 28] = content[entries[0] + 16 : entries[0] + 28]
        content[at + 42 : at + 46] = content[entries[0] + 42 : entries[0] + 46]
    return bytes(content)


def flipped(draw: random.Random) -> bytes:
    """Bits turned, most of them in the directory."""
    content = bytearray(packed(_good()))
    directory = content.find(b"PK\x01\x02")
    for _ in range(draw.randint(1, 30)):
        content[draw.randrange(directory if draw.random() < 0.7 else 0, len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def cut_off(draw: random.Random) -> bytes:
    """Broken off, or with its start missing."""
    content = packed(_good())
    at = draw.randrange(len(content))
    return content[:at] if draw.random() < 0.7 else content[at:]


def other_packing(draw: random.Random) -> bytes:
    """bzip2 or LZMA, which may take any memory, or a password."""
    if draw.random() < 0.3:
        content = bytearray(packed(_good()))
        for at in range(len(content) - 46):
            if content[at : at + 4] == b"PK\x01\x02":
                content[at + 8] |= 1  # encrypted
        return bytes(content)
    return packed(_good(), draw.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))


def crowd(draw: random.Random) -> bytes:
    """Thousands of empty members, of folders, or of classes."""
    count = draw.choice([3_000, 8_000])
    return packed(draw.choice([{f"cats/{at}": b"" for at in range(count)}, {f"{at}/1.png": b"" for at in range(count)}, {f"cats/{at}/": b"" for at in range(count)}]), zipfile.ZIP_STORED)  # fmt: skip


def label_trick(draw: random.Random) -> bytes:
    """Classes of strange names."""
    labels = dict(zip(("cats", "dogs"), draw.sample(LABELS, 2), strict=True))
    return packed({f"{labels[name.split('/')[0]]}/{name.split('/')[1]}": content for name, content in _good().items()})


def bad_pictures(draw: random.Random) -> bytes:
    """Good pictures with bad ones among them, or bad ones alone."""
    kinds = [kind for name, kind in PICTURES.items() if name != "bomb"]
    bad = {f"{draw.choice(['cats', 'dogs'])}/bad{at}.png": draw.choice(kinds)(draw) for at in range(draw.randint(1, 20))}
    return packed((_good() if draw.random() < 0.7 else {}) | bad)


def no_zip(draw: random.Random) -> bytes:
    """Something else of that name."""
    return draw.choice([b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18, draw.randbytes(3000), b"Rar!\x1a\x07\0", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08" + bytes(50), bytes(70_000)])  # fmt: skip


ALL = (path_trick, link, bomb, nested, lie, overlapping, flipped, cut_off, other_packing, crowd, label_trick, bad_pictures, no_zip)
KINDS: dict[str, Callable[[random.Random], bytes]] = {each.__name__: each for each in ALL}
WEIGHTS = (14, 8, 4, 5, 16, 3, 12, 8, 5, 3, 8, 10, 6)


def corpus(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Kind and bytes of `count` bad zips: the same ones for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        (kind,) = draw.choices(list(KINDS), WEIGHTS)
        yield kind, KINDS[kind](draw)
