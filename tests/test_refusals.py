"""python -m training: what cannot come to anything is refused before hours are spent on it, in one sentence."""

import errno
import os
import re
from pathlib import Path

import pytest

from inference import graph
from jobs import events, locks, runs
from jobs.config import RunConfig
from models import shelf
from tests import tiny
from training import __main__, data, fit
from training.__main__ import main


@pytest.fixture(autouse=True)
def shop(workshop) -> Path:
    return workshop


def untrained(monkeypatch) -> None:
    """Whoever trains all the same fails the test."""
    monkeypatch.setattr(fit, "fit", lambda *facts, **options: pytest.fail("it was trained first"))


@pytest.mark.parametrize("command", ["fit", "--resume"])
@pytest.mark.parametrize(("dataset", "name"), sorted(shelf.KEPT))
def test_a_name_that_is_kept_is_refused_before_training(shop, monkeypatch, capsys, dataset, name, command):
    untrained(monkeypatch)
    folder = shop / "run"
    if command == "fit":
        assert main(["fit", "--dataset", dataset, "--publish", name, "--out", str(folder)]) == 1
    else:
        os.close(runs.create(RunConfig(dataset=dataset, publish=name), folder)[1])
        assert main(["fit", "--resume", str(folder)]) == 1
    sentence = f"publish is {name}, a name that is kept for a network that came with Inkling; give another one, such as my-{name}"
    assert capsys.readouterr().err.strip() == sentence
    if command == "fit":  # nothing is left behind that could not go on
        assert not folder.exists()
    else:
        assert runs.status(folder).message == sentence


@pytest.mark.parametrize("settings", [["--hidden", "600"], ["--hidden", "300", "--members", "2"]])
def test_a_network_too_large_for_the_shelf_is_refused_before_training(shop, monkeypatch, capsys, settings):
    untrained(monkeypatch)
    monkeypatch.setattr(graph, "LARGEST_GRAPH", 2**20)
    assert main(["fit", "--network", "fc", *settings, "--publish", "big", "--out", str(shop / "run")]) == 1
    assert re.fullmatch(
        r"the network would have 1\.8 MB, more than the 1 MB that a published one may have; give narrower layers or fewer members, or leave publish out",
        capsys.readouterr().err.strip(),
    )
    assert not (shop / "run").exists()


def test_learning_from_corrections_is_refused_where_there_are_none_and_leaves_no_run(shop, monkeypatch, capsys):
    untrained(monkeypatch)
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{shop / 'none.db'}")
    monkeypatch.setenv("INKLING_MODELS", str(runs.ROOT / "models"))
    assert main(["fit", "--fine-tune", "mnist/small", "--publish", "mine", "--out", str(shop / "run")]) == 1
    assert capsys.readouterr().err.strip().startswith("there are no corrections of MNIST digits to learn from; make some")
    assert not (shop / "run").exists()


def test_a_network_of_any_size_is_trained_where_it_is_not_published(shop, monkeypatch):
    monkeypatch.setattr(graph, "LARGEST_GRAPH", 2**10)
    trained = []
    monkeypatch.setattr(fit, "fit", lambda *facts, **options: trained.append(facts))
    assert main(["fit", "--network", "fc", "--out", str(shop / "run")]) == 0
    assert len(trained) == 1


def test_settings_that_do_nothing_are_named_as_the_run_begins(shop, monkeypatch, capsys):
    monkeypatch.setattr(fit, "fit", lambda *facts, **options: print("training"))
    assert main(["fit", "--network", "lenet", "--dropout", "0.5", "--batch-norm", "--out", str(shop / "run")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said.index("batch_norm is not used by lenet; dropout is not used by lenet") < said.index("training")
    assert main(["fit", "--network", "fc", "--dropout", "0.5", "--out", str(shop / "other")]) == 0
    assert "not used" not in capsys.readouterr().out


@pytest.mark.parametrize("average", [False, True])
def test_of_several_ensembles_the_best_is_published_unless_they_are_to_be_averaged(shop, monkeypatch, capsys, average):
    source = tiny.dataset(shop / "data")
    monkeypatch.setattr(data, "find", lambda *_: source)
    for seed in (0, 5):
        config = tiny.config(members=2, epochs=1, seed=seed)
        folder, lock = runs.create(config, shop / str(seed))
        os.close(lock)
        fit.fit(config, folder, source)
    options = ["--average"] if average else []
    assert main(["export", str(shop / "0"), str(shop / "5"), "--name", "mine", *options]) == 0
    card = shelf.load_card("mnist", "mine")
    assert card.facts["members"] == (4 if average else 2)
    assert card.facts["n_seeds"]["n"] == (4 if average else 2)
    assert card.facts["title"].startswith("Ensemble")
    if not average:
        each = card.facts["n_seeds"]["validation"]["each"]
        assert card.facts["config"]["seed"] == (0, 5)[each.index(max(each))]


def test_a_library_that_cannot_be_loaded_says_so_itself(tmp_path):
    error = OSError("libcudart.so.13: cannot open shared object file")
    assert runs.sentence(error, tmp_path) == "libcudart.so.13: cannot open shared object file"
    assert runs.sentence(OSError(), tmp_path) == "OSError"


def test_what_the_system_refuses_is_one_sentence_of_every_command(shop, monkeypatch, capsys):
    folder, lock = runs.create(RunConfig(), shop / "run")
    os.close(lock)
    (folder / locks.LOCK).unlink()
    (folder / locks.LOCK).mkdir()
    assert main(["fit", "--resume", str(folder)]) == 1
    assert capsys.readouterr().err == f"{folder / locks.LOCK} cannot be read or written (Is a directory); mend its rights and try again\n"
    monkeypatch.setenv("INKLING_RUNS", "/proc/x")
    assert main(["sweep", "r1a", "--rows", "1"]) == 1
    assert re.fullmatch(r"/proc/x\S* cannot be read or written \(.*\); .* and try again\n", capsys.readouterr().err)


def test_a_folder_that_is_there_already_is_still_told_in_its_own_words(shop, capsys):
    os.close(runs.create(RunConfig(), shop / "run")[1])
    assert main(["fit", "--out", str(shop / "run")]) == 1
    assert "exists; give another one, or continue it with --resume" in capsys.readouterr().err
    assert events.read(shop / "run") == []


def test_who_reads_no_further_is_no_error(monkeypatch, capsys):
    def broken(options):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(__main__, "_recipes", broken)
    assert main(["recipes"]) == 1
    assert capsys.readouterr() == ("", "")
