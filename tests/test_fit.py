"""Training runs: they learn, repeat exactly, resume exactly, and stop with a clear word."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import events, runs
from jobs.config import ConfigError
from jobs.runs import Cancelled
from tests import tiny
from training import checkpoint, fit
from training.checkpoint import CheckpointError
from training.fit import Diverged, Pruned, member_path, predict_logits
from training.memory import told_when_full
from training.networks import build
from training.optimization import build_optimizer


@pytest.fixture(autouse=True)
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(folder: Path, config, data) -> list[torch.nn.Module]:
    folder, lock = runs.create(config, folder)
    os.close(lock)
    return fit.fit(config, folder, data)


def weights(networks) -> list[torch.Tensor]:
    return [tensor for network in networks for tensor in network.state_dict().values()]


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def test_a_handful_of_images_is_learned(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    (network,) = run(tmp_path / "run", tiny.config(epochs=6), data)
    labels = torch.from_numpy(data.test.labels)
    right = predict_logits(network, torch.tensor(data.test.pixels)).argmax(1) == labels
    assert float(right.float().mean()) > 0.9
    kinds = [event["kind"] for event in events.read(tmp_path / "run")]
    assert kinds[0] == "started"
    assert kinds.count("epoch") == 6


@pytest.mark.parametrize("settings", [{}, {"network": "lenet5", "dropout": 0.3, "augmentation": "elastic", "epochs": 1}])
def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path, settings):
    data = tiny.dataset(tmp_path / "data")
    first = run(tmp_path / "a", tiny.config(**settings), data)
    assert same(first, run(tmp_path / "b", tiny.config(**settings), data))
    assert not same(first, run(tmp_path / "c", tiny.config(**settings, seed=1), data))


CONVOLUTIONS = [{"network": "lenet5", "channels": (8, 12, 16)}, {"network": "cnn", "channels": (8, 12)}, {"network": "lenet5"}]


@pytest.mark.parametrize(
    "settings",
    [
        *({"optimizer": optimizer} for optimizer in ("adam", "nag", "sgd", "rmsprop", "adadelta")),
        *(network | {"optimizer": optimizer} for network in CONVOLUTIONS for optimizer in ("adam", "adamw", "sgd", "nag")),
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(tmp_path, monkeypatch, settings):
    data = tiny.dataset(tmp_path / "data")
    config = tiny.config(**settings, members=2, epochs=4, dropout=0.2, augmentation="shift", momentum=0.8)
    unbroken = run(tmp_path / "unbroken", config, data)

    real, calls = fit.loss_function, []

    def stop_in_the_third_epoch_of_the_second_member(*arguments):
        calls.append(1)
        if len(calls) == 9 * (4 + 2) + 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(fit, "loss_function", stop_in_the_third_epoch_of_the_second_member)
    with pytest.raises(Cancelled):
        run(tmp_path / "broken", config, data)
    monkeypatch.setattr(fit, "loss_function", real)
    assert same(unbroken, fit.fit(config, tmp_path / "broken", data))


def test_a_run_that_is_stopped_after_its_last_step_is_stopped(tmp_path):
    data, config = tiny.dataset(tmp_path / "data"), tiny.config(epochs=2)

    def stop(facts: dict) -> None:
        if facts["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    folder, lock = runs.create(config, tmp_path / "run")
    os.close(lock)
    with pytest.raises(Cancelled):
        fit.fit(config, folder, data, after_epoch=stop)
    assert len(runs.status(folder).epochs) == 2
    assert same(fit.fit(config, folder, data), run(tmp_path / "unbroken", config, data))


def test_a_run_that_was_cancelled_before_it_began_trains_nothing(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    folder, lock = runs.create(tiny.config(), tmp_path / "run")
    os.close(lock)
    (folder / runs.CANCEL).touch()  # as `cancel` does while python still starts
    with pytest.raises(Cancelled):
        fit.fit(tiny.config(), folder, data)
    assert runs.status(folder).epochs == ()


def test_what_is_called_after_each_epoch_may_end_the_run_whose_checkpoint_stays(tmp_path):
    data, told = tiny.dataset(tmp_path / "data"), []

    def stop_after_two(facts) -> None:
        told.append(facts)
        if facts["epoch"] == 2:
            raise Pruned

    folder, lock = runs.create(tiny.config(epochs=4), tmp_path / "run")
    os.close(lock)
    with pytest.raises(Pruned):
        fit.fit(tiny.config(epochs=4), folder, data, after_epoch=stop_after_two)
    assert [facts["val_accuracy"] for facts in told] == [event["val_accuracy"] for event in runs.status(folder).epochs]
    fit.fit(tiny.config(epochs=4), folder, data, after_epoch=told.append)
    assert [facts["epoch"] for facts in told] == [1, 2, 3, 4]


def test_a_run_may_be_in_a_thread_that_gets_no_signals(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    with ThreadPoolExecutor(1) as pool:
        in_thread = pool.submit(run, tmp_path / "thread", tiny.config(), data).result()
    assert same(in_thread, run(tmp_path / "main", tiny.config(), data))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_lr(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    with pytest.raises(Diverged, match=r"lr 10; try a lower one, such as 1"):
        run(tmp_path / "run", tiny.config(optimizer="sgd", lr=10.0, momentum=0.99, hidden=(64, 64, 64), epochs=50), data)


def test_the_two_stage_schedule_is_told_to_have_diverged_at_its_own_lr(tmp_path, monkeypatch):
    real = fit.loss_function
    monkeypatch.setattr(fit, "loss_function", lambda *arguments: real(*arguments) * float("nan"))
    message = r"with the two_stage schedule, at its lr 0\.00375; try another schedule, such as one_cycle"
    with pytest.raises(Diverged, match=message):
        run(tmp_path / "run", tiny.config(schedule="two_stage", lr=0.5), tiny.dataset(tmp_path / "data"))


def test_asking_for_cuda_without_one_is_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="--device auto"):
        fit.choose_device(tiny.config(device="cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_torch_cannot_compute_on_is_passed_over_with_a_warning(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.warns(RuntimeWarning, match="torch cannot compute on the CUDA device that it finds .*; the processor trains in its place"):
        assert fit.choose_device(tiny.config(device="auto")).type == "cpu"
    with pytest.raises(ConfigError, match=r"device is cuda but torch cannot compute on .*; use --device auto or cpu"):
        fit.choose_device(tiny.config(device="cuda"))
    assert fit.choose_device(tiny.config(device="cpu")).type == "cpu"  # it was not looked for


def test_bfloat16_is_automatic_on_gpus_that_have_it(monkeypatch):
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has or including_emulation)
        assert fit.uses_bfloat16(tiny.config(), cuda) == has
        assert fit.uses_bfloat16(tiny.config(precision="bfloat16"), cuda)
    assert not fit.uses_bfloat16(tiny.config(), cpu)
    assert fit.uses_bfloat16(tiny.config(precision="bfloat16"), cpu)


def test_a_checkpoint_is_replaced_whole_and_restores_the_random_state(tmp_path):
    network = build(tiny.config())
    optimizer = build_optimizer(tiny.config(), network.parameters())
    path = member_path(tmp_path, 0)
    torch.manual_seed(5)
    checkpoint.save(path, network, optimizer, 3)
    expected = torch.rand(3)
    assert checkpoint.load(path, build(tiny.config()), optimizer) == 3
    assert torch.equal(torch.rand(3), expected)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = member_path(tmp_path, 0)
    network = build(tiny.config())
    checkpoint.save(path, network, build_optimizer(tiny.config(), network.parameters()), 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"member-0\.safetensors is damaged"):
        checkpoint.load(path, network)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = member_path(tmp_path, 0)
    network = build(tiny.config())
    checkpoint.save(path, network, build_optimizer(tiny.config(), network.parameters()), 1)
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        checkpoint.load(path, build(tiny.config(hidden=(17,))))


def test_softmax_regression_by_hand_ends_where_autograd_ends(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    settings = {"optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "batch_size": 20}
    (by_hand,) = run(tmp_path / "hand", tiny.config(network="softmax", **settings), data)
    (by_autograd,) = run(tmp_path / "autograd", tiny.config(network="fc", hidden=(), **settings), data)
    for ours, expected in zip(weights([by_hand]), weights([by_autograd]), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_softmax_regression_scales_its_images_a_chunk_at_a_time_into_one_array(tmp_path, monkeypatch):
    data, seen, real = tiny.dataset(tmp_path / "data"), [], fit.HandMember._scale
    monkeypatch.setattr(fit, "CHUNK", 100)
    monkeypatch.setattr(fit.HandMember, "_scale", lambda self, images: seen.append(len(images)) or real(self, images))
    config = tiny.config(network="softmax", optimizer="sgd", momentum=0.0)
    run(tmp_path / "run", config, data)
    assert seen == [100, 100, 70]
    member = fit.HandMember(config, 0, tmp_path / "none", torch.device("cpu"), lambda: False, None)
    pixels = torch.tensor(data.train.pixels)
    assert np.array_equal(member._scale_all(pixels), real(member, pixels.float() / 255))
    assert member._scale_all(pixels).dtype == np.float32


@pytest.mark.parametrize("network", ["fc", "mixpool"])
def test_one_layer_alone_learns_by_the_two_stage_schedule(tmp_path, network):
    run(tmp_path / "run", tiny.config(network=network, hidden=(), channels=(), schedule="two_stage"), tiny.dataset(tmp_path / "data"))
    assert len(runs.status(tmp_path / "run").epochs) == 3


def test_tensorboard_gets_a_curve_a_network(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    config, board = tiny.config(members=2), tmp_path / "board"
    folder, lock = runs.create(config, tmp_path / "run")
    os.close(lock)
    fit.fit(config, folder, tiny.dataset(tmp_path / "data"), board=board)
    curves = accumulator(str(board / "network-2"))
    curves.Reload()
    told = [event["val_accuracy"] for event in events.read(folder) if event["kind"] == "epoch" and event["member"] == 1]
    assert [point.value for point in curves.Scalars("accuracy/validation")] == pytest.approx(told)
    assert [point.step for point in curves.Scalars("loss/train, epoch")] == [270, 540, 810]


def test_the_test_images_are_measured_each_epoch_only_where_that_is_asked_for(tmp_path):
    data, config = tiny.dataset(tmp_path / "data"), tiny.config()
    for name, asked in (("plain", False), ("curve", True)):
        folder, lock = runs.create(config, tmp_path / name)
        os.close(lock)
        networks = fit.fit(config, folder, data, tests_each_epoch=asked)
        told = [event.get("test_accuracy") for event in events.read(folder) if event["kind"] == "epoch"]
        assert [each is not None for each in told] == [asked] * 3
    right = predict_logits(networks[0], torch.tensor(data.test.pixels)).argmax(1) == torch.from_numpy(data.test.labels)
    assert told[-1] == pytest.approx(float(right.float().mean()), abs=1e-5)


def test_a_gpu_without_memory_is_one_sentence():
    with pytest.raises(ConfigError, match=r"^the GPU has no memory left for this run; give"), told_when_full():
        raise torch.OutOfMemoryError("Tried to allocate 2 GiB")
