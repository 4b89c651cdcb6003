"""inference/parts.py: files that are made of more parts than any program writes."""

import re
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from inference import decode as decode_module
from inference.decode import MAX_FRAMES, decode
from tests.test_decode import complaint, corner_picture, encoded, png_chunk


def many_scans(count: int) -> bytes:
    """A JPEG that sends the last of its scans again and again; behind its end something that looks like more of them."""
    content = encoded(Image.new("L", (64, 64), 90), "JPEG", progressive=True)
    at = content.rindex(b"\xff\xda")
    return content[:-2] + content[at:-2] * count + content[-2:] + b"\xff\xda\x00\x02" * 50


def test_a_jpeg_of_more_scans_than_any_program_writes_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch):
    assert decode(many_scans(30)).size == (64, 64)
    monkeypatch.setattr(decode_module, "_upright_and_small", lambda image: pytest.fail("it was decoded"))
    assert re.match(r"The picture has 4\d scans, more than the 40 allowed; save it", complaint(many_scans(40)))
    assert "over 2,000 segments" in complaint(many_scans(3000))
    assert "over 2,000 segments" in complaint(b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2001 + many_scans(0)[2:])


def test_a_png_of_very_many_chunks_and_a_gif_of_very_many_blocks_are_refused_at_once():
    png, gif = encoded(corner_picture()), encoded(corner_picture("P"), "GIF")
    start = time.process_time()
    assert "over 20,000 chunks" in complaint(png[:33] + png_chunk(b"prVt", b"") * 500_000 + png[33:])
    assert "over 100,000 blocks" in complaint(gif[:-1] + b"!\xfe\0" * 500_000 + b";")
    assert "over 100,000 blocks" in complaint(gif[:-1] + b"!\xfe" + b"\1a" * 5_000_000 + b"\0;")
    assert time.process_time() - start < 1
    assert (
        decode(png[:33] + png_chunk(b"prVt", b"") * 1000 + png[33:]).size == decode(gif[:-1] + b"!\xfe\1a\0" * 1000 + b";").size == (60, 40)
    )


def test_a_jpeg_that_is_filled_up_between_its_segments_is_refused_at_once():
    jpeg = encoded(Image.new("L", (64, 64), 90), "JPEG")
    start = time.process_time()
    for content in (b"\xff\xd8" + b"\xff" * 5_000_000, b"\xff\xd8" + b"\xff" * 5_000_000 + jpeg[2:], b"\xff\xd8" + bytes(5_000_000)):
        assert "over 1,000 bytes between its segments" in complaint(content)
    assert time.process_time() - start < 1
    assert decode(b"\xff\xd8" + b"\xff" * 900 + jpeg[2:]).size == (64, 64)
    assert decode(jpeg + b"\xff" * 5_000_000).size == (64, 64)  # behind its end a camera may hang on what it likes


def tiled(side: int) -> bytes:
    """A grey TIFF of 16x16 pixels in one deflated tile, which is larger than the picture."""
    tile = zlib.compress(bytes(min(side, 1024) ** 2))  # of a huge one too few pixels: it is not to be decoded
    entries = [
        (256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (284, 1), (322, side), (323, side), (324, 8 + 2 + 12 * 11 + 4), (325, len(tile)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + tile


def test_a_small_tiff_in_a_huge_tile_is_refused_before_the_decoder_makes_room_for_it(monkeypatch: pytest.MonkeyPatch):
    assert decode(tiled(64)).size == (16, 16)
    monkeypatch.setattr(decode_module, "_upright_and_small", lambda image: pytest.fail("it was decoded"))
    assert re.match(r"The picture comes in tiles of 1,074 megapixels, more than the \d+ allowed; save it", complaint(tiled(32768)))


def test_a_tiff_whose_tiles_are_as_wide_as_a_text_is_refused_before_the_text_is_repeated():
    """Pillow gives tags in the type that a file declares, and "A" * 2,000,000,000 are two gigabytes."""
    entries = [(256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 148), (277, 3, 1), (278, 4, 8), (279, 4, 64)]
    entries += [(322, 2, int.from_bytes(b"AAA\0", "little")), (323, 4, 2_000_000_000)]
    directory = b"".join(struct.pack("<HHII", tag, kind, 4 if kind == 2 else 1, value) for tag, kind, value in entries)
    content = (b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)).ljust(148, b"\0") + bytes(64)
    tracemalloc.start()
    try:
        told = complaint(content)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert told == "The picture is damaged (the side of its tiles is a str, not a number); save or download it again."


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("block", [b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0none at all", b"\0"])
def test_a_damaged_block_of_what_the_camera_knew_costs_no_picture(format: str, block: bytes):
    assert np.array_equal(decode(encoded(corner_picture("RGB"), format, exif=block)), decode(encoded(corner_picture("RGB"), format)))


@pytest.mark.parametrize("size", [(25_000_000, 1), (1, 65_536)])
def test_a_side_longer_than_any_program_writes_is_refused_before_it_is_decoded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    assert decode(encoded(Image.new("L", (65_535, 1)))).size == (512, 1)
    monkeypatch.setattr(decode_module, "_upright_and_small", lambda image: pytest.fail("it was decoded"))
    assert f"{size[0]}x{size[1]} pixels, a side of more than the 65,535 allowed" in complaint(encoded(Image.new("L", size)))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_of_every_format_is_counted(format: str):
    def animated(count: int) -> bytes:
        frames = [Image.new("RGB", (8, 8), (number * 97 % 256, 255 - number, number % 2 * 255)) for number in range(count)]
        return encoded(frames[0], format, save_all=True, append_images=frames[1:])

    assert decode(animated(MAX_FRAMES)).size == (8, 8)
    assert f"{MAX_FRAMES + 1} frames, more than the {MAX_FRAMES} allowed" in complaint(animated(MAX_FRAMES + 1))
