"""python -m training, as a user types it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import events, queue, runs
from jobs.config import RunConfig
from jobs.runs import ROOT
from models import shelf
from training import fit_command
from training.__main__ import main
from ui import figures


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> Path:
    for name, value in {"INKLING_MODELS": tmp_path / "models", "INKLING_RUNS": tmp_path / "runs", "INKLING_DATA": "sample"}.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path


@pytest.mark.parametrize("command", [[], ["fit"], ["evaluate"], ["export"], ["gate"], ["sweep"], ["search"], ["recipes"], ["data"]])
def test_help_tells_what_a_command_does(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m training" in capsys.readouterr().out


def test_a_network_is_trained_published_evaluated_and_exported_again(places, capsys):
    run = places / "run"
    arguments = [
        "--recipe",
        "quick",
        "--threads",
        "1",
        "--network",
        "fc",
        "--hidden",
        "32",
        "--lr",
        "0.01",
        "--publish",
        "mine",
        "--out",
        str(run),
    ]
    assert main(["fit", *arguments]) == 0
    said = capsys.readouterr().out
    assert "bundled sample" in said
    assert "published mnist/mine" in said
    assert [event["kind"] for event in events.read(run)][-2:] == ["exported", "done"]
    assert runs.status(run).state == "done"
    assert main(["evaluate", "mnist/mine", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["n"] == 500
    assert facts["accuracy"] > 0.7
    assert main(["evaluate", "mnist/mine", "--write"]) == 1
    assert "--write is for all test images, not for the test images of the bundled sample" in capsys.readouterr().err
    assert main(["export", str(run), "--name", "again"]) == 0
    assert (places / "models" / "mnist" / "again.json").is_file()
    assert main(["fit", "--resume", str(run)]) == 0
    assert "nothing to resume" in capsys.readouterr().out


def test_what_a_start_has_learned_of_the_images_that_measure_a_run_is_told(places, capsys):
    """The bundled sample is of the images that the networks of the full sets have learned."""
    shutil.copytree(ROOT / "models" / "mnist", places / "models" / "mnist")
    once = ["fit", "--threads", "1", "--epochs", "1", "--network", "fc", "--augmentation", "none", "--lr", "0.0001"]
    as_fc = ["--hidden", "1024", "512", "--batch-norm"]
    assert main([*once, *as_fc, "--start-from", "fc", "--publish", "further"]) == 0
    assert "fc has learned some of the images that measure this run: its figures flatter it." in capsys.readouterr().out
    assert main([*once, "--hidden", "8", "--publish", "alone"]) == 0
    assert "flatter" not in capsys.readouterr().out
    assert main([*once, *as_fc, "--start-from", "further", "--publish", "later"]) == 0
    cards = {name: shelf.load_card("mnist", name) for name in ("further", "later", "alone")}
    assert [card.facts["data"].get("learned_before") for card in cards.values()] == [True, True, None]
    notes = {name: "flatters" in figures.comparison(card, None) for name, card in cards.items()}
    assert notes == {"further": True, "later": True, "alone": False}
    capsys.readouterr()
    for name, is_told in {"fc": True, "further": True, "alone": False}.items():
        assert main(["evaluate", f"mnist/{name}"]) == 0
        assert ("flatter" in capsys.readouterr().out) is is_told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", "--recipe", "nonsense"], "there is no recipe 'nonsense'; there are quick"),
        (["fit", "--lr", "99"], "lr is 99.0; it must be a number from 1e-06 to 10"),
        (["fit", "--data", "/nowhere"], "does not hold MNIST"),
        (["fit", "--resume", "/nowhere"], "is not a run folder"),
        (
            ["fit", "--resume", "/nowhere", "--out", "/elsewhere"],
            "a run goes on in its own folder with its own config.json; leave out --out",
        ),
        (["fit", "--resume", "/nowhere", "--lr", "0.1"], "and settings such as lr"),
        (["fit", "--start-from", "ghost"], "there is no network 'ghost'"),
        (["evaluate", "mnist/ghost"], "there is no network 'ghost'"),
        (["evaluate", "mnist/../../etc"], "is not a network's name"),
        (["export", "/nowhere", "--name", "x"], "config.json cannot be read"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in error


@pytest.mark.parametrize(
    ("arguments", "channels", "hidden"),
    [
        (["--recipe", "r2-lenet", "--network", "lenet5"], (6, 16, 120), (512, 256)),
        (["--recipe", "fashion-mnist-cnn", "--network", "lenet5"], (6, 16, 120), (512, 256)),
        (["--recipe", "mnist-fc", "--network", "lenet"], (6, 16), (120, 84)),
        (["--recipe", "r2-lenet", "--network", "fc", "--hidden", "7"], (6, 16, 120), (7,)),
        (["--recipe", "fashion-mnist-cnn", "--network", "cnn"], (64, 128, 256), (512, 256)),
    ],
)
def test_another_network_than_the_recipes_has_its_own_layers(places, monkeypatch, arguments, channels, hidden):
    monkeypatch.setattr(fit_command, "_train", lambda *_: 1)
    assert main(["fit", *arguments, "--out", str(places / "run")]) == 1
    config = runs.read_config(places / "run")
    assert (config.network, config.channels, config.hidden) == (arguments[3], channels, hidden)


def test_recipes_and_data_are_listed(capsys):
    assert main(["recipes"]) == 0
    assert "fashion-mnist-cnn" in capsys.readouterr().out
    assert main(["data"]) == 0
    assert "mnist: 4050 training, 450 validation, 500 test images" in capsys.readouterr().out


def test_a_reference_recipe_prints_its_sources_figure_beside_ours(places, capsys):
    assert main(["fit", "--recipe", "r6-fc512", "--epochs", "1", "--hidden", "16", "--out", str(places / "run")]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.fullmatch(r"r6-fc512: reference 89\.40%, ours \d\d\.\d\d% on \d,?\d+ test images of the bundled sample", last)


def test_a_killed_run_can_be_resumed_from_the_command_line(places):
    run = places / "run"
    command = [
        sys.executable,
        "-m",
        "training",
        "fit",
        "--network",
        "fc",
        "--hidden",
        "16",
        "--epochs",
        "400",
        "--threads",
        "1",
        "--out",
        str(run),
    ]
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 90
    while not any(event["kind"] == "epoch" for event in events.read(run)):
        assert child.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert runs.status(run).state == "running"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert runs.status(run).state == "crashed"
    settings = json.loads((run / "config.json").read_text())
    done = max(event["epoch"] for event in events.read(run) if event["kind"] == "epoch")
    (run / "config.json").write_text(json.dumps(settings | {"epochs": done + 1}))
    (runs.runs_folder() / queue.FOLDER).mkdir(parents=True)
    queue._take_place(run, runs.read_config(run), 1.0)  # as of one that was killed while it waited
    assert main(["fit", "--resume", str(run)]) == 0
    assert queue._entries() == []
    assert runs.status(run).state == "done"
    assert runs.status(run).epochs[-1]["epoch"] == done + 1
    kinds = [event["kind"] for event in events.read(run) if event["kind"] in ("started", "turn")]
    assert kinds == ["started", "turn", "started"]  # until it told its own, the process number before was nobody's


def test_a_run_whose_torch_cannot_be_loaded_tells_why_it_failed(places):
    (places / "torch.py").write_text('raise ImportError("libtorch_cpu.so: cannot open shared object file")')
    run, lock = runs.create(RunConfig(), places / "run")
    os.close(lock)
    command = [sys.executable, "-m", "training", "fit", "--resume", str(run)]
    child = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(places)}, capture_output=True)
    assert child.returncode == 1
    assert runs.status(run).state == "failed"
    assert runs.status(run).message == "libtorch_cpu.so: cannot open shared object file"


def test_ensembles_and_single_networks_are_not_averaged_unless_that_is_asked_for(places, capsys):
    for name, members in (("ensemble", 2), ("single", 1)):
        os.close(runs.create(RunConfig(members=members), places / name)[1])
    assert main(["export", str(places / "ensemble"), str(places / "single"), "--name", "both"]) == 1
    assert "members is 2 in" in capsys.readouterr().err
