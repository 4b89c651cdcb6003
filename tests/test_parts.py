"""inference/parts.py: files that are made of more parts than any program writes."""

import re
import time

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
    assert "over 100,000 blocks" in complaint(gif[:-1] + b"!\xfe" + b"\1a" * 500_000 + b"\0;")
    assert time.process_time() - start < 1
    assert (
        decode(png[:33] + png_chunk(b"prVt", b"") * 1000 + png[33:]).size == decode(gif[:-1] + b"!\xfe\1a\0" * 1000 + b";").size == (60, 40)
    )
