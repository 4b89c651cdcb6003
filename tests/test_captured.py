"""A training step as a CUDA graph, by a graph of our own that calls the step again: what torch's own would replay is the same step."""

from types import SimpleNamespace

import pytest
import torch

from tests import tiny
from tests.test_resumed import run, same, stopped
from training import fit, replay
from training.optimization import epoch_plan
from training.replay import CaptureFailed, Replayed


class Called(Replayed):
    """Notes what is called how, and has a graph that, as torch's, reads its tensors where they lie and writes its result to one place."""

    told: list[str]

    def __init__(self, step, device) -> None:
        super().__init__(step, device)
        self.captures = True

    def _on_side_stream(self) -> torch.Tensor:
        self.told.append("warm-up")
        return self.step()

    def _capture(self) -> None:
        self.told.append("capture")
        self.result = torch.zeros(())
        self.graph = SimpleNamespace(replay=self._replay)

    def _replay(self) -> None:
        self.told.append("replay")
        self.result.copy_(self.step())


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """What was done with steps, since fit believes itself on a GPU."""
    Called.told = []
    monkeypatch.setattr(fit, "is_on", lambda device: True)
    monkeypatch.setattr(fit, "Replayed", Called)
    return Called.told


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize(
    "settings", [{"optimizer": "sgd", "augmentation": "shift", "dropout": 0.2}, {"optimizer": "nag", "weight_decay": 0.01}]
)
def test_replayed_steps_are_the_steps(tmp_path, told, monkeypatch, schedule, settings):
    config = tiny.config(epochs=2, schedule=schedule, batch_size=32, **settings)
    data = tiny.dataset(tmp_path / "data")
    replayed = run(tmp_path / "replayed", config, data)
    steps = 2 * len(epoch_plan(config, 0, len(data.train)))
    assert told == ["warm-up"] * replay.WARM_UP + ["capture"] + ["replay"] * (steps - replay.WARM_UP)  # none lost, none twice
    monkeypatch.undo()
    assert same(replayed, run(tmp_path / "plain", config, data))


def test_a_run_whose_steps_are_replayed_goes_on_as_if_unbroken(tmp_path, told):
    config, data = tiny.config(epochs=2, optimizer="sgd", schedule="one_cycle", batch_size=32), tiny.dataset(tmp_path / "data")
    unbroken = run(tmp_path / "unbroken", config, data)
    stopped(tmp_path / "run", config, data)
    assert same(run(tmp_path / "run", config, data), unbroken)


def test_a_finished_network_keeps_no_graph(tmp_path, told):
    made = []
    kind = fit.Member
    config, data = tiny.config(epochs=1, optimizer="sgd"), tiny.dataset(tmp_path / "data")
    fit.Member = type("Kept", (kind,), {"__init__": lambda self, *args: (kind.__init__(self, *args), made.append(self))[0]})
    try:
        run(tmp_path / "run", config, data)
    finally:
        fit.Member = kind
    assert "capture" in told
    assert [each.replayed for each in made] == [None]


@pytest.mark.parametrize(
    ("error", "raised", "sentence"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), CaptureFailed, "is capturing); set INKLING_CUDA_GRAPHS=0"),
        (torch.OutOfMemoryError("Tried to allocate 2 GiB"), torch.OutOfMemoryError, "Tried to allocate 2 GiB"),
    ],
)
def test_what_cannot_be_captured_says_what_to_do(monkeypatch, error, raised, sentence):
    class Graph:
        def __init__(self, graph) -> None:
            pass

        def __enter__(self) -> None:
            raise error

        def __exit__(self, *told) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    step = Replayed(lambda: torch.zeros(()), torch.device("cuda"))
    step.calls = replay.WARM_UP
    with pytest.raises(raised) as caught:
        step()
    assert sentence in str(caught.value)
