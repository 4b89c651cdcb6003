"""Shipped networks and their answers: whole ones, declined ones, damaged shelves."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from benchmarks import scenes
from inference import classify
from inference.classify import BLANK, FEW, Classifier, accelerated_providers, answer_bytes, answer_image, load_classifier, session_options
from inference.prepare import prepare
from models import shelf
from models.datasets import DATASETS, NONE_OF_THEM
from models.shelf import Card, ShelfError
from tests.test_decode import encoded
from tests.test_prepare import DIGITS, inked, shirt
from training import hands
from training.pictures import on_paper

SHIPPED = Path(shelf.__file__).parent


@pytest.fixture(autouse=True)
def shipped_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))


@pytest.fixture(scope="module")
def classifiers() -> dict[str, Classifier]:
    loaded = {}
    for dataset in DATASETS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INKLING_MODELS", str(SHIPPED))
            loaded[dataset] = Classifier(shelf.load_card(dataset, "lenet5"))
    return loaded


@pytest.fixture
def own_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A copy of mnist/lenet5 on a shelf of its own, to be damaged."""
    (tmp_path / "mnist").mkdir()
    for ending in ("onnx", "json"):
        shutil.copy(SHIPPED / "mnist" / f"lenet5.{ending}", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    return shelf.load_card("mnist", "lenet5")


def demanding(classifier: Classifier, decline_below: float) -> Classifier:
    """The same network with another threshold."""
    return Classifier(dataclasses.replace(classifier.card, decline_below=decline_below))


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("count", [1, 2, 30])
def test_probabilities_are_one_row_a_picture_and_sum_to_one(classifiers: dict, dataset: str, count: int):
    probabilities = classifiers[dataset].probabilities(DIGITS[:count, None])
    assert (probabilities.shape, probabilities.dtype) == ((count, len(DATASETS[dataset].labels)), np.float32)
    assert probabilities.min() >= 0
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_batch_is_answered_as_its_pictures_one_by_one(classifiers: dict, dataset: str):
    classifier, pixels = classifiers[dataset], DIGITS[:, None]
    singly = np.concatenate([classifier.probabilities(each[None]) for each in pixels])
    assert np.allclose(classifier.probabilities(pixels), singly, atol=1e-5)


def test_parts_of_a_noisy_picture_are_answered_a_few_at_a_time():
    classifier = load_classifier(shelf.load_card("mnist", "small"))
    pixels = np.random.default_rng(0).integers(0, 256, (2 * FEW + 3, 1, 28, 28), dtype=np.uint8)
    at_once = classifier.probabilities(pixels) * classifier.gate.probabilities(pixels)[:, :1]
    assert np.abs(classifier.probabilities_of_digits(pixels) - at_once).max() < 1e-5
    for count in (1, FEW):
        assert len(classifier.probabilities_of_digits(pixels[:count])) == count


def test_a_session_gives_its_memory_back():
    assert not session_options().enable_cpu_mem_arena


@pytest.mark.parametrize("dataset", DATASETS)
def test_black_and_full_white_pixels_give_finite_probabilities(classifiers: dict, dataset: str):
    extremes = np.stack([np.zeros((1, 28, 28), np.uint8), np.full((1, 28, 28), 255, np.uint8)])
    assert np.isfinite(classifiers[dataset].probabilities(extremes)).all()


def test_real_digits_are_recognised_on_paper_as_in_the_data_set(classifiers: dict):
    labels = [str(number) for number in range(10) for _ in range(3)]  # the sample is sorted
    for pictures in ([Image.fromarray(digit) for digit in DIGITS], [inked(digit) for digit in DIGITS]):
        right = [answer_image(classifiers["mnist"], each).label == label for each, label in zip(pictures, labels, strict=True)]
        assert np.mean(right) >= 0.9


def test_an_answer_is_the_most_probable_label_and_what_was_seen(classifiers: dict):
    prepared = prepare(Image.fromarray(DIGITS[0]), "mnist")
    answer = demanding(classifiers["mnist"], 0.0).answer(prepared)
    assert answer.probability == pytest.approx(float(answer.probabilities.max()))
    assert answer.label == "0123456789"[int(answer.probabilities.argmax())]
    assert answer.reason == ""
    assert answer.prepared is prepared


def test_a_shirt_is_answered_with_a_garment(classifiers: dict):
    answer = answer_image(demanding(classifiers["fashion-mnist"], 0.0), shirt((60, 30, 90), (250, 250, 250)))
    assert answer.label in DATASETS["fashion-mnist"].labels
    assert answer.prepared.inverted


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("picture", [Image.new("L", (200, 100), 255), Image.new("L", (28, 28)), Image.new("RGBA", (9, 9))])
def test_a_blank_picture_is_declined_with_the_reason(classifiers: dict, dataset: str, picture: Image.Image):
    answer = answer_image(classifiers[dataset], picture)
    assert (answer.label, answer.probability, answer.probabilities) == (None, None, None)
    assert answer.reason == BLANK[dataset]
    assert answer.prepared.is_blank


def test_below_the_threshold_the_two_likeliest_are_named(classifiers: dict):
    pixels = np.full((28, 28), 0, np.uint8)
    pixels[4:24, 4:24] = DIGITS[0][4:24, 4:24] // 2 + DIGITS[15][4:24, 4:24] // 2
    answer = answer_image(demanding(classifiers["mnist"], 1.1), Image.fromarray(pixels))
    second, first = np.argsort(answer.probabilities)[-2:]
    assert answer.label is None
    assert answer.reason == f"Not sure: {first} or {second}?"
    assert answer.probability == pytest.approx(float(answer.probabilities[first]))


def test_the_threshold_itself_is_sure_enough(classifiers: dict):
    prepared = prepare(Image.fromarray(DIGITS[0]), "mnist")
    probability = classifiers["mnist"].answer(prepared).probability
    assert demanding(classifiers["mnist"], probability).answer(prepared).label
    assert demanding(classifiers["mnist"], float(np.nextafter(probability, 2))).answer(prepared).label is None


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"%PDF-1.7", "PDF"), (encoded(inked(DIGITS[0]))[:300], "damaged")])
def test_unreadable_bytes_are_declined_with_the_reason(classifiers: dict, content: bytes, words: str):
    answer = answer_bytes(classifiers["mnist"], content)
    assert (answer.label, answer.probability, answer.probabilities, answer.prepared) == (None, None, None, None)
    assert words in answer.reason


def test_bytes_and_the_picture_they_hold_get_the_same_answer(classifiers: dict):
    image = inked(DIGITS[4])
    from_bytes, from_image = answer_bytes(classifiers["mnist"], encoded(image)), answer_image(classifiers["mnist"], image)
    assert np.array_equal(from_bytes.probabilities, from_image.probabilities)


def test_invert_and_crop_reach_the_picture(classifiers: dict):
    content = encoded(inked(DIGITS[4]))
    assert answer_bytes(classifiers["mnist"], content, invert=False).prepared.inverted is False
    assert answer_bytes(classifiers["mnist"], content, crop=False).prepared.box is None


def test_a_graph_that_is_not_its_cards_is_refused(own_card: Card):
    own_card.graph_path.write_bytes(own_card.graph_path.read_bytes() + b"\0")
    with pytest.raises(ShelfError, match=r"lenet5\.onnx .*sha256 differs"):
        Classifier(own_card)


def test_a_graph_of_another_shape_than_its_cards_is_refused(own_card: Card):
    with pytest.raises(
        ShelfError,
        match=r"lenet5\.onnx is not served: it takes pixels uint8 \[N, 1, 28, 28\], its card says pixels uint8 \[N, 3, 64, 64\]; publish lenet5 again",
    ):
        Classifier(dataclasses.replace(own_card, shape=(3, 64, 64)))


def test_a_missing_graph_is_refused(own_card: Card):
    own_card.graph_path.unlink()
    with pytest.raises(ShelfError, match=r"lenet5\.onnx cannot be read"):
        Classifier(own_card)


@pytest.mark.parametrize("garbage", [b"", b"this is no graph", bytes(4096)])
def test_a_graph_that_cannot_be_run_is_refused_though_its_sha256_is_right(own_card: Card, garbage: bytes):
    own_card.graph_path.write_bytes(garbage)
    path = own_card.folder / "lenet5.json"
    path.write_text(json.dumps({**own_card.facts, "sha256": hashlib.sha256(garbage).hexdigest()}))
    with pytest.raises(ShelfError) as caught:
        Classifier(shelf.load_card("mnist", "lenet5"))
    message = str(caught.value)
    assert message.startswith("lenet5.onnx is not served")
    assert message.endswith("publish lenet5 again")
    assert message.isprintable()


def test_a_cut_off_graph_is_refused(own_card: Card):
    half = own_card.graph_path.read_bytes()[:100_000]
    own_card.graph_path.write_bytes(half)
    with pytest.raises(ShelfError, match=r"lenet5\.onnx is not served"):
        Classifier(dataclasses.replace(own_card, sha256=hashlib.sha256(half).hexdigest()))


def test_a_graph_that_fails_at_its_work_is_one_sentence(classifiers: dict):
    with pytest.raises(ShelfError) as caught:
        classifiers["mnist"].probabilities(np.zeros((1, 1, 9, 9), np.uint8))  # no graph that is served takes it
    message = str(caught.value)
    assert message.startswith("lenet5.onnx failed at its work (")
    assert message.endswith("); publish lenet5 again")
    assert message.isprintable()


def test_only_the_photo_network_declines_what_is_called_none_of_the_ten(classifiers: dict):
    classifier = demanding(classifiers["mnist"], 0.5)
    classifier.card = dataclasses.replace(classifier.card, labels=(*"012345678", NONE_OF_THEM))
    sure = np.array([0.01, *[0.0] * 8, 0.99], np.float32)
    assert classifier._doubts(sure) == ""
    classifier.card = dataclasses.replace(classifier.card, dataset="fashion-mnist", name=shelf.PHOTO)
    assert classifier._doubts(sure) == "It shows none of the ten kinds of garment."


def test_threads_share_one_session(classifiers: dict):
    classifier = classifiers["mnist"]
    wanted = [classifier.probabilities(digit[None, None]) for digit in DIGITS]
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda number: classifier.probabilities(DIGITS[number % len(DIGITS)][None, None]), range(300)))
    assert all(np.array_equal(one, wanted[number % len(wanted)]) for number, one in enumerate(given))


def test_the_session_tells_where_it_really_runs(classifiers: dict):
    assert classifiers["mnist"].providers == ["CPUExecutionProvider"]


@pytest.mark.skipif(not hasattr(onnxruntime, "preload_dlls") or sys.platform != "linux", reason="needs the ONNX Runtime for GPUs")
def test_all_that_the_onnx_runtime_needs_of_cuda_is_installed_but_the_driver():
    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.exists():
        pytest.skip("needs the ONNX Runtime for GPUs")
    code = f"""
import ctypes, onnxruntime
onnxruntime.preload_dlls()
ctypes.CDLL({str(library.with_name("libonnxruntime_providers_shared.so"))!r}, mode=ctypes.RTLD_GLOBAL)
try:
    ctypes.CDLL({str(library)!r})
except OSError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "" or told.startswith("libcuda.so.1:"), told


def test_cuda_is_asked_for_only_where_there_is_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerated_providers() == ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    assert accelerated_providers() == ["CPUExecutionProvider"]
    (tmp_path / "nvidia-smi").touch(0o755)
    assert accelerated_providers() == ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize("seed", [6, 18, 25, 57, 98])
def test_a_second_look_reads_beside_a_shadow_as_dark_as_the_pen(monkeypatch, seed):
    network = load_classifier(shelf.load_card("mnist", "small"))
    random = np.random.default_rng(seed)
    label, glyph = hands.glyphs("validation", "0123456789")[seed]
    photo = scenes.in_a_shadow(on_paper(glyph, random), random)
    assert answer_image(network, photo).label == label
    monkeypatch.setattr(classify, "SURE", 1.1)
    assert answer_image(network, photo).label is None


def test_a_second_look_makes_no_digits_of_letters(monkeypatch):
    """In shadows as dark as their pens; what is answered was answered at first sight."""
    network, answers = load_classifier(shelf.load_card("mnist", "small")), []
    for seed in range(40):
        random = np.random.default_rng(seed)
        _, glyph = hands.glyphs("validation", "AEFGHKMNPRTWX")[seed]
        photo = scenes.in_a_shadow(on_paper(glyph, random), random)
        answers.append([answer_image(network, photo).label])
        with monkeypatch.context() as patch:
            patch.setattr(classify, "SURE", 1.1)
            answers[-1].append(answer_image(network, photo).label)
    assert all(now == at_first for now, at_first in answers)
