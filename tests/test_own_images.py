"""training/own_images.py and its command: pictures become a data set, whole or not at all."""

import json
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.classify import Classifier, answer_bytes
from inference.decode import decode
from inference.prepare import prepare_own
from jobs.runs import ROOT
from models import datasets, shelf
from models.errors import InklingError
from tests import shapes
from training import data, own_images
from training.__main__ import main
from training.own_images import import_images


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> Path:
    for name in ("datasets", "models", "runs"):
        monkeypatch.setenv(f"INKLING_{name.upper()}", str(tmp_path / name))
    return tmp_path


@pytest.fixture
def folder(tmp_path) -> Path:
    return shapes.write_folder(tmp_path / "pictures")


def refusal(source: Path, name: str = "mine", **settings) -> str:
    """The sentence of an import that leaves nothing behind."""
    before = sorted(datasets.datasets_folder().rglob("*"))
    with pytest.raises(InklingError) as caught:
        import_images(source, name, **settings)
    assert sorted(datasets.datasets_folder().rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("grey", [False, True])
def test_a_folder_becomes_a_data_set_with_its_labels_and_size(folder, grey):
    about = import_images(folder, "mine", title="Meine Bilder", side=20, grey=grey)
    assert about == datasets.info("mine")
    assert (about.title, about.labels, about.shape) == ("Meine Bilder", shapes.LABELS, (1 if grey else 3, 20, 20))
    found = data.find("mine")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [30, 3, 3]
    assert found.train.pixels.shape == (30, *about.shape)
    assert sorted(found.test.labels) == sorted(found.validation.labels) == [0, 1, 2]
    scaled = found.train.pixels / 255
    assert (about.mean, about.std) == pytest.approx((scaled.mean(), scaled.std()), abs=1e-5)


def test_every_picture_is_in_one_part_exactly_as_prediction_prepares_it(folder):
    about = import_images(folder, "mine", side=16)
    found = data.find("mine")
    kept = sorted(picture.tobytes() for part in (found.train, found.validation, found.test) for picture in part.pixels)
    assert kept == sorted(prepare_own(decode(content), about.shape).batch.tobytes() for content in shapes.files().values())


def test_the_same_pictures_are_split_the_same_way_from_a_zip(folder, tmp_path):
    import_images(folder, "one", side=16)
    import_images(shapes.write_zip(tmp_path / "a.zip", top="all/"), "two", side=16)
    for part in datasets.PARTS:
        assert np.array_equal(getattr(data.find("one"), part).pixels, getattr(data.find("two"), part).pixels)


def test_a_larger_class_gives_a_tenth_to_validation_and_to_test(tmp_path):
    folder = shapes.write_folder(tmp_path / "pictures", 40, labels=("bars", "discs"))
    import_images(folder, "mine", side=8)
    assert datasets.read_facts("mine")["counts"] == {"train": [32, 32], "validation": [4, 4], "test": [4, 4]}


def test_unreadable_files_are_named_and_the_rest_goes_on(tmp_path):
    twin = shapes.picture("discs", 0)
    folder = shapes.write_folder(
        tmp_path / "pictures", extra={"discs/a.txt": b"text", "bars/cut.png": twin[:50], "stray.png": twin, "discs/x.png": twin}
    )
    import_images(folder, "mine")
    facts = datasets.read_facts("mine")
    reasons = {each["file"]: each["reason"] for each in facts["reasons"]}
    assert set(reasons) == {"discs/a.txt", "bars/cut.png", "stray.png", "discs/x.png"}
    assert "text file" in reasons["discs/a.txt"]
    assert "damaged" in reasons["bars/cut.png"]
    assert reasons["stray.png"] == "It lies in no class's folder."
    assert reasons["discs/x.png"] == "It is the same file as discs/0.png."
    assert facts["skipped"] == 4
    assert sum(map(sum, facts["counts"].values())) == 36


def test_too_few_readable_pictures_are_refused_with_the_first_reason(tmp_path):
    folder = shapes.write_folder(tmp_path / "pictures", 9, extra={f"{label}/9.png": b"text" for label in shapes.LABELS})
    message = refusal(folder)
    assert (
        "the class bars has 9 pictures that can be used, and at least 10 are needed: add some (bars/9.png was skipped: This is" in message
    )


def test_what_makes_no_data_set_is_refused(tmp_path, folder, monkeypatch):
    few = shapes.write_folder(tmp_path / "few", 3)
    one = shapes.write_folder(tmp_path / "one", labels=("bars",))
    (tmp_path / "empty").mkdir()
    assert "the class bars has 3 pictures that can be used, and at least 10 are needed" in refusal(few)
    assert "there is only the folder bars, and a network needs at least 2 classes" in refusal(one)
    assert "no folder with files in it" in refusal(tmp_path / "empty")
    for name, value, sentence in (
        ("MOST_CLASSES", 2, "there are 3 folders, more than the 2 classes allowed"),
        ("MOST_IMAGES", 35, "there are 36 files, more than the 35 pictures allowed"),
        ("MOST_BYTES", 2**18, "36 pictures of 64x64 take 0 MB of memory"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(own_images, name, value)
            assert sentence in refusal(folder)


@pytest.mark.parametrize("side", [7, 129, -1])
def test_a_size_beyond_its_limits_is_refused(folder, side):
    assert f"size is {side}; it must be from 8 to 128 pixels" in refusal(folder, side=side)


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "A", "a.b", "a_b", "a/b", "-a", "x" * 41, "a\n", ".new"])
def test_a_name_that_could_leave_the_folder_is_refused(folder, name):
    assert "is not a data set's name" in refusal(folder, name)


def test_a_name_that_is_taken_is_refused(folder):
    assert "came with Inkling; give another name, such as my-mnist" in refusal(folder, "mnist")
    import_images(folder, "mine", side=8)
    assert "there is a data set mine already; give another name, or delete that one first" in refusal(folder, "mine")


@pytest.mark.parametrize("title", ["x" * 61, "a\nb", "\u202e"])
def test_a_title_that_cannot_be_shown_is_refused(folder, title):
    assert "the title is" in refusal(folder, title=title)


def test_a_disk_that_refuses_leaves_nothing_behind(folder, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    datasets.datasets_folder().mkdir()
    monkeypatch.setattr(np, "save", full)
    assert "(No space left on device); make room there, or give another name" in refusal(folder)


def test_flat_pictures_alike_are_not_divided_by_zero(tmp_path):
    for number in range(20):
        path = tmp_path / "flat" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9 + number, 9), 200).save(path)
    assert import_images(tmp_path / "flat", "flat", grey=True).std == 0.001


@pytest.mark.parametrize("source", ["folder", "zip"])
def test_from_import_to_answer_by_the_commands(tmp_path, source, capsys):
    pictures = (
        shapes.write_folder(tmp_path / "p", 30) if source == "folder" else shapes.write_zip(tmp_path / "p.zip", 30, {"discs/a": b"?"})
    )
    grey = ["--grey"] if source == "folder" else []
    assert main(["data", "--images", str(pictures), "--name", "shapes", "--size", "24", *grey]) == 0
    said = capsys.readouterr().out
    assert (
        f"imported shapes: 90 {'grey' if grey else 'colour'} pictures of 24x24 in 3 classes (bars, discs, wedges): 72 training, 9" in said
    )
    assert ("skipped discs/a: This is a text file" in said) == (source == "zip")
    run = tmp_path / "run"
    fit = [
        "fit",
        "--dataset",
        "shapes",
        "--recipe",
        "r2-lenet",
        "--batch-size",
        "4",
        "--lr",
        "0.01",
        "--epochs",
        "5",
        "--threads",
        "1",
        "--standardise",
    ]
    assert main([*fit, "--device", "cpu", "--out", str(run)]) == 0
    assert "reference" not in capsys.readouterr().out  # which was measured on other pictures
    assert main(["export", str(run), "--name", "mine"]) == 0
    assert main(["evaluate", "shapes/mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 9
    card = shelf.load_card("shapes", "mine")
    assert (card.labels, card.shape) == (shapes.LABELS, (1 if grey else 3, 24, 24))
    assert "sample" not in card.facts
    assert card.decline_below == 0  # nine validation pictures cannot tell where to decline
    assert card.facts["data"] | {"train_sha256": ""} == {"origin": "own images", "train": 72, "train_sha256": ""}
    answers = [answer_bytes(Classifier(card), shapes.picture(label, 900)) for label in shapes.LABELS]
    assert answers[0].prepared.pixels.shape == ((24, 24) if grey else (24, 24, 3))
    assert all(answer.label in shapes.LABELS for answer in answers)
    if not grey:
        assert [answer.label for answer in answers] == list(shapes.LABELS)
    further = ["--start-from", "mine", "--epochs", "1", "--publish", "further", "--out", str(tmp_path / "further")]
    assert main([*fit, *further]) == 0
    assert "published shapes/further" in capsys.readouterr().out
    parted_anew(datasets.own_folder("shapes"))
    for command in ([*fit, *further[:-2]], ["evaluate", "shapes/mine"]):
        assert main(command) == 1
        assert "shapes/mine learned from an earlier import of these pictures" in capsys.readouterr().err


def parted_anew(folder) -> None:
    """As another import does: one training picture is for testing now, and the other way round."""
    train, test = (np.load(folder / f"{part}-pixels.npy") for part in ("train", "test"))
    train[0], test[0] = test[0].copy(), train[0].copy()
    for part, pixels in (("train", train), ("test", test)):
        np.save(folder / f"{part}-pixels.npy", pixels)


def test_an_attack_is_one_sentence_of_the_command_and_writes_nothing(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../../evil.png", b"x")
    assert main(["data", "--images", str(tmp_path / "evil.zip"), "--name", "evil"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["evil.zip"]
    assert main(["data", "--name", "evil"]) == 1
    assert "give both --images FOLDER_OR_ZIP and --name NAME" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--size", "0"], ["--grey"], ["--title", "T"], ["--images", "x"], ["--grey", "--size", "32"]])
def test_options_of_an_import_without_pictures_or_name_are_refused(given, capsys):
    assert main(["data", *given]) == 1
    said = capsys.readouterr().err
    assert all(option in said for option in given if option.startswith("--"))
    assert re.search(r"^give both --images FOLDER_OR_ZIP and --name NAME to import pictures, not --.* alone$", said.strip())


def test_mean_and_deviation_are_counted_without_a_copy_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 3, 32, 32), dtype=np.uint8)
    tracemalloc.start()
    counted = own_images.mean_and_std(pixels, range(len(pixels)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    scaled = pixels / 255
    assert counted == pytest.approx((scaled.mean(), scaled.std()))
    assert most < pixels.nbytes / 10


def test_a_listing_takes_no_more_memory_than_reading_the_pictures(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("INKLING_DATA", "sample")
    shapes.own_dataset(tmp_path / "datasets", "mine", 32, 3)
    large = np.tile(np.load(tmp_path / "datasets" / "mine" / "train-pixels.npy"), (500, 1, 1, 1))
    np.save(tmp_path / "datasets" / "mine" / "train-pixels.npy", large)
    np.save(tmp_path / "datasets" / "mine" / "train-labels.npy", np.arange(len(large)) % 3)
    tracemalloc.start()
    assert main(["data"]) == 0
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"mean {large.mean() / 255:.4f}, std {large.std() / 255:.4f}" in capsys.readouterr().out
    assert most < 3 * large.nbytes


def test_a_damaged_part_is_named_with_the_fix(folder):
    import_images(folder, "mine", side=8)
    pixels, labels = datasets.part_paths("mine", "train")
    np.save(labels, np.full(30, 3))
    with pytest.raises(data.DataError, match=r"the train part in .* is not what its dataset\.json says"):
        _ = data.find("mine").train
    pixels.write_bytes(b"\x93NUMPY")
    with pytest.raises(data.DataError, match="cannot be read"):
        _ = data.find("mine").train
    np.save(pixels, np.array([{}], dtype=object))  # a pickle, which must not be run
    with pytest.raises(data.DataError, match="cannot be read"):
        _ = data.find("mine").train
    assert len(data.find("mine").test) == 3


def test_the_import_needs_no_torch():
    script = "import sys, training.own_images, training.__main__; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
