"""inference/parts.py: files that are made of more parts than any program writes."""

import re
import struct
import time
import zlib

import pytest
from PIL import Image

from inference import decode as decode_module
from inference.decode import decode
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
