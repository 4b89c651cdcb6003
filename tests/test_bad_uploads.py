"""A thousand bad uploads: each is one sentence or a small picture, in time, and the memory comes back."""

import collections
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.classify import answer_bytes, load_classifier
from inference.decode import WORKING_SIDE, UnreadableImage, decode
from jobs.runs import ROOT
from models import shelf
from tests.bad_uploads import KINDS, corpus

COUNT = 1000
LONGEST = 2.0  # seconds of processor time
MOST_MB = 50
# As the server meets them: one process, one after the other, its memory looked at before and after.
SERVER = """
import gc, json, resource, sys, time
from pathlib import Path
from inference.decode import UnreadableImage, decode
from tests.bad_uploads import corpus
def megabytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
files = list(corpus(int(sys.argv[1])))
for _, _, content in corpus(60, seed=1):  # what loads once: plug-ins, tables
    try: decode(content)
    except UnreadableImage: pass
before, slowest = megabytes(), (0.0, "")
for kind, _, content in files:
    began = time.process_time()
    try: decode(content)
    except UnreadableImage: pass
    slowest = max(slowest, (time.process_time() - began, kind))
print(json.dumps({"before": before, "after": megabytes(), "slowest": slowest}))
"""


def outcome(content: bytes) -> Image.Image | str:
    try:
        return decode(content)
    except UnreadableImage as error:
        return str(error)


def sentence(message: str) -> bool:
    return message.endswith(".") and message[:1].isupper() and message.isprintable() and len(message) < 300 and "Traceback" not in message


@pytest.fixture(scope="module")
def files() -> list[tuple[str, str, bytes]]:
    return list(corpus(COUNT))


def test_every_kind_is_among_them_and_the_same_ones_come_again(files):
    counts = collections.Counter(kind for kind, _, _ in files)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 10
    assert [content for _, _, content in corpus(40)] == [content for _, _, content in corpus(40)]


def test_each_is_one_sentence_or_a_small_picture(files):
    outcomes = [(kind, outcome(content)) for kind, _, content in files]
    images = [each for _, each in outcomes if isinstance(each, Image.Image)]
    messages = [each for _, each in outcomes if isinstance(each, str)]
    assert [message for message in messages if not sentence(message)] == []
    assert all(max(image.size) <= WORKING_SIDE and image.mode in ("L", "RGB", "RGBA") for image in images)
    assert len(messages) > COUNT / 3
    assert not [kind for kind, each in outcomes if kind in ("other_format", "nonsense") and isinstance(each, Image.Image)]


def test_none_takes_long_and_the_memory_comes_back():
    result = subprocess.run([sys.executable, "-c", SERVER, str(COUNT)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["slowest"][0] < LONGEST, facts
    assert facts["after"] - facts["before"] < MOST_MB, facts


@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(kind=st.sampled_from(sorted(KINDS)), draw=st.randoms(use_true_random=False))
def test_whatever_is_drawn_the_next_good_picture_is_read(kind, draw):
    classifier = load_classifier(shelf.load_card("mnist", "lenet5"))
    answer = answer_bytes(classifier, KINDS[kind](draw))
    assert answer.label is not None or answer.reason
    good = Image.new("L", (28, 28))
    good.paste(255, (13, 4, 16, 24))
    assert answer_bytes(classifier, good_png(good)).label == "1"


def good_png(image: Image.Image) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
