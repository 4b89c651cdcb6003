"""python -m inference: its lines, its exit codes, its flags."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from inference.__main__ import main
from inference.classify import Classifier
from inference.segment import MARKS
from models import shelf
from models.datasets import DATASETS
from tests.test_decode import encoded
from tests.test_prepare import DIGITS, inked, shirt
from tests.test_segment import row, strokes

SHIPPED = Path(shelf.__file__).parent
LENET = ["--model", "lenet5"]


@pytest.fixture(autouse=True)
def shipped_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A picture of each kind: readable, blank, none."""
    contents = {
        "digit": encoded(inked(DIGITS[0])),
        "finished": encoded(Image.fromarray(DIGITS[0])),
        "unclear": encoded(Image.fromarray(DIGITS[0] // 2 + DIGITS[15] // 2)),
        "blank": encoded(Image.new("L", (50, 50), 255)),
        "text": b"Dear Sir or Madam",
        "shirt": encoded(shirt((60, 30, 90), (250, 250, 250)), "JPEG"),
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    return {name: str(tmp_path / f"{name}.png") for name in contents}


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, list[dict]]:
    """Exit code and JSON lines."""
    code = main([*arguments, *LENET, "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    return code, [json.loads(line) for line in out.splitlines()]


def run_process(*arguments: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error", "-m", "inference", *arguments]
    return subprocess.run(command, cwd=SHIPPED.parent, input=stdin, capture_output=True, env=environment, timeout=120, check=False)


def test_a_reader_that_has_seen_enough_ends_it_quietly(files):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "inference", *[files["digit"]] * 3]
    ended = subprocess.run(command, cwd=SHIPPED.parent, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


def check_answer(facts: dict, dataset: str = "mnist") -> None:
    labels = DATASETS[dataset].labels
    probabilities = facts["probabilities"]
    assert len(probabilities) == len(labels)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert facts["probability"] == max(probabilities)
    if facts["label"] is None:
        assert facts["reason"]
    else:
        assert facts["label"] == labels[probabilities.index(facts["probability"])]
        assert "reason" not in facts


def test_one_json_line_a_file_in_the_order_given(capsys, files):
    code, lines = run(capsys, files["finished"], files["blank"], files["digit"])
    assert code == 0
    assert [facts["file"] for facts in lines] == [files["finished"], files["blank"], files["digit"]]
    check_answer(lines[0])
    assert lines[0]["label"] == "0"
    check_answer(lines[2])


def test_garments_are_answered_from_their_own_labels(capsys, files):
    code, lines = run(capsys, files["shirt"], "--dataset", "fashion-mnist")
    assert code == 0
    check_answer(lines[0], "fashion-mnist")


def test_a_blank_picture_gets_a_reason_instead_of_a_label_and_is_no_failure(capsys, files):
    code, lines = run(capsys, files["blank"])
    assert code == 0
    assert lines == [{"file": files["blank"], "label": None, "reason": "The picture is blank: there is no ink to read."}]


def test_an_unsure_answer_keeps_its_probabilities(capsys, files, tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    card = json.loads((SHIPPED / "mnist" / "lenet5.json").read_text())
    (tmp_path / "mnist" / "lenet5.json").write_text(json.dumps({**card, "decline_below": 1.0}))
    (tmp_path / "mnist" / "lenet5.onnx").write_bytes((SHIPPED / "mnist" / "lenet5.onnx").read_bytes())
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    code, lines = run(capsys, files["unclear"])
    assert code == 0
    assert lines[0]["label"] is None
    assert lines[0]["reason"].startswith("Not sure: ")
    check_answer(lines[0])


def test_an_unreadable_file_gets_a_reason_fails_the_run_and_stops_nothing(capsys, files):
    code, lines = run(capsys, files["text"], files["finished"])
    assert code == 1
    assert lines[0]["label"] is None
    assert "text file" in lines[0]["reason"]
    assert set(lines[0]) == {"file", "label", "reason"}
    check_answer(lines[1])


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_a_file_that_cannot_be_opened_gets_a_reason_and_fails_the_run(capsys, files, tmp_path, name):
    path = str(tmp_path / name)
    code, lines = run(capsys, path, files["finished"])
    assert code == 1
    assert lines[0]["file"] == path
    assert lines[0]["label"] is None
    assert lines[0]["reason"].startswith("The file cannot be read (")
    check_answer(lines[1])


def test_a_graph_that_fails_at_a_picture_gives_a_reason_and_the_others_are_answered(capsys, files, monkeypatch):
    probabilities, asked = Classifier.probabilities, []

    def fails_first(self, pixels):
        asked.append(1)
        if len(asked) == 1:
            raise shelf.ShelfError("lenet5.onnx failed at its work (out of memory); publish lenet5 again")
        return probabilities(self, pixels)

    monkeypatch.setattr(Classifier, "probabilities", fails_first)
    code, lines = run(capsys, files["finished"], files["digit"])
    assert code == 1
    reason = "lenet5.onnx failed at its work (out of memory); publish lenet5 again"
    assert lines[0] == {"file": files["finished"], "label": None, "reason": reason}
    check_answer(lines[1])


def test_a_file_that_is_too_large_is_not_read_to_its_end(capsys, tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    code, lines = run(capsys, str(path))
    assert code == 1
    assert "20 MB" in lines[0]["reason"]


def test_a_dash_is_standard_input(capsys, files, monkeypatch):
    content = Path(files["finished"]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, lines = run(capsys, "-")
    assert code == 0
    assert lines[0]["file"] == "-"
    check_answer(lines[0])


def test_invert_and_crop_change_what_is_seen(capsys, files):
    plain, negated, kept, uncropped = (
        run(capsys, files["digit"], *flag)[1][0] for flag in ([], ["--invert"], ["--no-invert"], ["--no-crop"])
    )
    for facts in (plain, negated, kept, uncropped):
        check_answer(facts)
    assert negated["label"] == plain["label"] == "0"
    assert kept["probabilities"] != plain["probabilities"]
    assert uncropped["probabilities"] != plain["probabilities"]
    assert run(capsys, files["digit"], "--crop")[1][0] == plain


def test_digits_go_to_the_ensemble_which_reads_them_best(capsys, files):
    def probabilities(name: str, *flags: str) -> list[float]:
        assert main([files[name], *flags, "--json"]) == 0
        return json.loads(capsys.readouterr().out)["probabilities"]

    for name in ("digit", "finished"):
        usual = probabilities(name)
        assert usual == probabilities(name, "--model", "ensemble")
        assert usual != probabilities(name, "--model", "small")


def test_text_output_is_a_line_a_file(capsys, files):
    assert main([files["finished"], files["blank"], files["text"], *LENET]) == 1
    answer, blank, text = capsys.readouterr().out.splitlines()
    assert answer.startswith(f"{files['finished']}: 0 (")
    assert answer.endswith("%)")
    assert blank == f"{files['blank']}: The picture is blank: there is no ink to read."
    assert text.startswith(f"{files['text']}: This is a text file")


def test_a_number_with_marks_is_told_digit_by_digit_with_what_is_wrong_with_it(capsys, tmp_path):
    path = tmp_path / "price.png"
    strokes(*row("37", step=130), (166, 196, 172, 202, 12)).save(path)
    assert main([str(path), *LENET]) == 0
    assert capsys.readouterr().out == f"{path}: 37? {MARKS}\n"


def test_an_own_data_set_without_a_network_says_how_to_get_one(capsys, files, monkeypatch):
    from inference import __main__ as command

    monkeypatch.setattr(command.shelf, "check_dataset", lambda name: None)
    monkeypatch.setattr(command.shelf, "list_cards", lambda name: [])
    assert main([files["digit"], "--dataset", "ants"]) == 2
    assert capsys.readouterr().err == "ants has no network yet; train one with: python -m training fit --dataset ants --publish NAME\n"


def test_a_file_name_that_is_no_text_is_printed_all_the_same():
    result = run_process(b"caf\xe9.png", *LENET)
    assert result.returncode == 1
    assert result.stderr == b""
    assert "caf\N{REPLACEMENT CHARACTER}.png: The file cannot be read (" in result.stdout.decode()


@pytest.mark.parametrize("name", ["no-such-network", "../mnist/lenet5", ""])
def test_a_missing_network_is_exit_code_2_and_one_line(capsys, files, name):
    assert main([files["digit"], "--model", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert repr(name) in err


@pytest.mark.parametrize("arguments", [[], ["--json"], ["one.png", "--size", "3"]])
def test_wrong_arguments_are_exit_code_2_with_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m inference" in capsys.readouterr().err


def test_the_command_answers_files_and_standard_input(files):
    content = Path(files["finished"]).read_bytes()
    result = run_process("-", files["digit"], files["text"], *LENET, "--json", stdin=content)
    assert result.returncode == 1
    assert result.stderr == b""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [facts["file"] for facts in lines] == ["-", files["digit"], files["text"]]
    check_answer(lines[0])
    check_answer(lines[1])


def test_the_command_passes_on_its_exit_codes(files):
    assert run_process(files["finished"], *LENET).returncode == 0
    missing = run_process(files["finished"], "--model", "nothing")
    assert missing.returncode == 2
    assert b"there is no network 'nothing' for mnist" in missing.stderr
    assert b"Traceback" not in missing.stderr


def test_a_data_set_that_is_not_there_is_exit_code_2_and_one_line(capsys):
    assert main(["one.png", "--dataset", "letters"]) == 2
    assert capsys.readouterr().err == "there is no data set 'letters'; there are mnist, fashion-mnist\n"
