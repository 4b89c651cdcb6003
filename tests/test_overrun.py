"""A retrain that a public page was asked for is stopped when it takes far longer than was expected."""

import re
from pathlib import Path

import pytest

from jobs import events, runs
from jobs.config import RunConfig
from models import shelf
from training import fit_command

TINY = RunConfig(network="fc", hidden=(8,), epochs=2, threads=1, publish="tiny")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Makes a run that was granted so many seconds, or any, as the queue tells it."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))

    def ask(granted: float | None) -> Path:
        folder, _ = runs.create(TINY)
        events.append(folder, "queued", **({} if granted is None else {"granted": granted}))
        return folder

    return ask


def train(folder: Path, **how) -> int:
    return fit_command._train(folder, Path("sample"), **how)


def epochs(folder: Path) -> list[int]:
    return [event["epoch"] for event in events.read(folder) if event["kind"] == "epoch"]


def test_it_is_stopped_after_the_epoch_and_so_is_its_resume(asked):
    folder = asked(0.0)
    for _ in range(2):
        with pytest.raises(fit_command.Overrun):
            train(folder, is_granted=True)
        status = runs.status(folder, alive=False)
        assert status.state == "failed"
        assert re.fullmatch(r"its epochs have taken .*; choose fewer epochs or a smaller network", status.message)
        assert epochs(folder) == [1]  # the resume trains none
        assert shelf.find_card("mnist", "tiny") is None


@pytest.mark.parametrize(("granted", "is_granted"), [(None, True), (1000.0, True), (0.0, False)])
def test_within_its_time_or_by_command_it_goes_to_its_end(asked, granted: float | None, is_granted: bool):
    folder = asked(granted)
    assert train(folder, is_granted=is_granted) == 0
    assert epochs(folder) == [1, 2]


def test_what_has_only_to_be_published_is_not_stopped(asked, monkeypatch):
    folder = asked(1000.0)
    with monkeypatch.context() as killed:
        killed.setattr("training.export.publish", lambda *_, **__: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(runs.NotWritten):
            train(folder, is_granted=True)
    events.append(folder, "queued", granted=0.0)
    assert train(folder, is_granted=True) == 0
    assert shelf.find_card("mnist", "tiny") is not None
