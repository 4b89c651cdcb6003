"""Architectures, the served graph, augmentation, losses, optimizers and schedules."""

import itertools

import pytest
import torch
from torch import nn

from jobs.config import ConfigError, RunConfig, field_of
from jobs.recipes import LAYERS_KEPT, RECIPES
from models import shelf
from tests import shapes, tiny
from training.augmentation import AUGMENTATIONS
from training.layers import ACTIVATIONS, POOLING
from training.lenet_1998 import PartialConvolution
from training.networks import MixedPool, ResidualBlock, Served, build, count_parameters
from training.optimization import RENEWED_EVERY, build_optimizer, epoch_plan, loss_function, lr_at, mean_squared_weights
from training.published import architecture

IMAGES = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [(), (7,), (100, 50), (8, 8, 8, 8)])
def test_a_fully_connected_network_has_any_widths(hidden):
    network = build(tiny.config(hidden=hidden))
    assert network(IMAGES).shape == (6, 10)
    widths = (784, *hidden, 10)
    assert count_parameters(network) == sum(i * o + o for i, o in itertools.pairwise(widths))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_lenet5_keeps_its_five_layers(activation, pooling, batch_norm):
    network = build(RunConfig(network="lenet5", activation=activation, pooling=pooling, batch_norm=batch_norm, dropout=0.2))
    assert network(IMAGES).shape == (6, 10)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert [layer.kernel_size for layer in convolutions] == [(5, 5)] * 3
    assert len(linear) == 2


def test_the_classic_lenet5_has_61706_parameters_and_the_wide_one_stays_under_half_a_million():
    assert count_parameters(build(RunConfig(network="lenet5"))) == 61_706
    assert count_parameters(build(RunConfig(network="lenet5", channels=(32, 64, 256), batch_norm=True))) < 500_000


@pytest.mark.parametrize("channels", [(4,), (4, 8), (4, 6, 8), (4, 6, 8, 10)])
def test_the_cnn_answers_with_one_to_four_stages(channels):
    assert build(RunConfig(network="cnn", channels=channels))(IMAGES).shape == (6, 10)


def test_normalisation_travels_with_the_network():
    mnist, fashion = (build(tiny.config(dataset=name)).state_dict() for name in ("mnist", "fashion-mnist"))
    assert float(mnist["0.mean"]) == pytest.approx(0.1307)
    assert float(fashion["0.mean"]) == pytest.approx(0.2860)


def test_an_ensemble_averages_probabilities_of_all_members_and_mirror_images():
    members = [build(tiny.config()).eval() for _ in range(3)]
    pixels = (IMAGES * 255).to(torch.uint8)
    views = [pixels.float() / 255, pixels.flip(3).float() / 255]
    expected = torch.stack([torch.softmax(member(view), 1) for member in members for view in views]).mean(0)
    probabilities, logits = Served(members, mirrored=True).eval()(pixels)
    assert torch.allclose(probabilities, expected, atol=1e-6)
    assert torch.allclose(torch.softmax(logits, 1), probabilities)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_keeps_shape_and_range_and_follows_the_seed(name):
    torch.manual_seed(3)
    first = AUGMENTATIONS[name](IMAGES)
    torch.manual_seed(3)
    again = AUGMENTATIONS[name](IMAGES)
    assert first.shape == IMAGES.shape
    assert torch.equal(first, again)
    assert float(first.min()) >= -1e-5
    assert float(first.max()) <= 1 + 1e-5
    assert torch.equal(first, IMAGES) == (name == "none")


def test_a_shift_moves_every_image_whole_and_differently():
    dot = torch.zeros(64, 1, 28, 28)
    dot[:, 0, 14, 14] = 1
    moved = AUGMENTATIONS["shift"](dot)
    places = moved.flatten(1).argmax(1)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(64))
    assert len(set(places.tolist())) > 10
    assert int((places // 28 - 14).abs().max()) <= 2


@pytest.mark.parametrize("optimizer", field_of("optimizer").metadata["choices"])
@pytest.mark.parametrize("loss", field_of("loss").metadata["choices"])
def test_every_optimizer_lowers_every_loss(optimizer, loss):
    torch.manual_seed(1)
    network, labels = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.arange(6)
    config = tiny.config(optimizer=optimizer, loss=loss, lr={"adadelta": 0.5, "rmsprop": 0.001}.get(optimizer, 0.01))
    steps = build_optimizer(config, network.parameters())
    before = float(loss_function(config, network(IMAGES), labels).detach())
    for _ in range(15):
        steps.zero_grad()
        loss_function(config, network(IMAGES), labels).backward()
        steps.step()
    assert float(loss_function(config, network(IMAGES), labels).detach()) < 0.9 * before


def test_the_multi_margin_loss_is_torchs():
    logits, labels = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 10
    assert float(loss_function(tiny.config(loss="multi_margin"), logits, labels)) == pytest.approx(
        float(nn.functional.multi_margin_loss(logits, labels))
    )


def test_schedules_start_peak_and_end_where_they_should():
    def rates(**settings):
        return [lr_at(tiny.config(lr=1.0, **settings), step, 100) for step in range(100)]

    assert set(rates(schedule="constant")) == {1.0}
    stairs = rates(schedule="step", step_every=40, step_gamma=0.5)
    assert (stairs[39], stairs[40], stairs[99]) == (1.0, 0.5, 0.25)
    cosine = rates(schedule="cosine")
    assert cosine[0] == 1.0
    assert cosine[99] < 0.001
    cycle = rates(schedule="one_cycle")
    assert cycle.index(max(cycle)) in (19, 20)
    assert max(cycle) == 1.0
    assert cycle[0] == pytest.approx(0.05)
    assert cycle[99] < 0.001


@pytest.mark.parametrize(("init", "bound"), [("xavier", (6 / (784 + 50)) ** 0.5), ("kaiming", (6 / 784) ** 0.5)])
def test_the_first_weights_are_uniform_within_the_papers_bound(init, bound):
    weight = build(RunConfig(network="fc", hidden=(50,), init=init))[1][1].weight
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.99 * bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_the_two_stage_schedule_is_the_reports():
    config = RunConfig(schedule="two_stage", epochs=62)
    epochs = [epoch_plan(config, epoch, 54_000) for epoch in range(config.epochs)]
    assert all(sum(step.batch_size for step in steps) == 54_000 for steps in epochs)
    steps = [step for each in epochs for step in each]
    assert len(steps) == pytest.approx(7_400, rel=0.002)
    assert steps[0] == (0.00375, 200, 100)
    second = next(index for index, step in enumerate(steps) if step.lr < 0.001)
    assert second == 1_400
    for index in range(0, second, RENEWED_EVERY):  # in a straight line of iterations, where images would bend it
        assert steps[index].lr == pytest.approx(0.00375 - 0.00125 * index / 1_400, rel=1e-3)
        assert steps[index].penalty == pytest.approx(100 + 300 * index / 1_400, rel=1e-3)
    assert steps[second].lr == pytest.approx(0.0002, rel=1e-3)
    assert steps[second + 3_000].lr == pytest.approx(0.0001, rel=2e-3)
    assert steps[-1].lr < 1e-6
    assert steps[-2].batch_size == pytest.approx(600, rel=0.01)
    wanted = [200 + 100 * (index // RENEWED_EVERY * RENEWED_EVERY) / 1_400 for index in range(second)]
    assert [step.batch_size for step in steps[:second]] == pytest.approx(wanted, rel=0.01)  # no small one at an epoch's end
    changes = [index for index in range(1, len(steps)) if steps[index].lr != steps[index - 1].lr]
    assert {index % RENEWED_EVERY for index in changes} == {0}


@pytest.mark.parametrize(("images", "epochs"), [(100, 30), (201, 2), (700, 3), (4_050, 5), (54_000, 23), (54_000, 27), (54_000, 70)])
def test_the_two_stage_schedule_has_no_small_batch_for_what_is_left(images, epochs):
    config = RunConfig(network="fc", batch_norm=True, schedule="two_stage", epochs=epochs)
    for epoch in range(epochs):
        sizes = [step.batch_size for step in epoch_plan(config, epoch, images)]
        assert sum(sizes) == images
        assert min(sizes) >= min(images, 170)


def test_an_ordinary_epoch_has_batches_of_one_size():
    steps = epoch_plan(tiny.config(batch_size=30, epochs=2, schedule="one_cycle"), 1, 100)
    assert [step.batch_size for step in steps] == [30, 30, 30]
    assert epoch_plan(tiny.config(batch_size=500), 0, 100)[0].batch_size == 100


def test_the_weight_penalty_counts_every_layer_but_the_last():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 5))
    for layer, value in zip(network, (1.0, 2.0, 100.0), strict=True):
        nn.init.constant_(layer.weight, value)
    assert mean_squared_weights(network).item() == 1 + 4


def test_the_weight_penalty_has_the_partly_connected_layer_of_1998_too():
    network = build(RunConfig(network="lenet5-1998"))
    before = mean_squared_weights(network).item()
    (partial,) = (module for module in network.modules() if isinstance(module, PartialConvolution))
    with torch.no_grad():
        partial.weight.mul_(10)
    assert mean_squared_weights(network).item() > 2 * before


@pytest.mark.parametrize("network", ["fc", "mixpool"])
def test_the_weight_penalty_of_one_layer_alone_is_nothing(network):
    alone = build(RunConfig(network=network, hidden=(), channels=()))
    assert mean_squared_weights(alone).item() == 0


def test_mixed_pooling_is_half_maximum_half_average_and_cuts_windows_at_an_odd_edge():
    pooled = MixedPool()(torch.tensor([[[[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [9.0, 11.0, 4.0]]]]))
    assert pooled.flatten().tolist() == [2.5, 6.5, 10.5, 4.0]
    assert build(RunConfig(network="mixpool", channels=(4, 4, 4), hidden=(8,)))(IMAGES).shape == (6, 10)


SHAPES = [(1, 8), (3, 8), (1, 9), (1, 16), (3, 17), (3, 64), (1, 128)]
ANY_SIZE = {
    "fc": {},
    "softmax": {"optimizer": "sgd", "momentum": 0.0},
    "cnn": {"channels": (4, 6, 8)},
    "mixpool": {"channels": (4, 6, 8), "hidden": (8,)},
    "lenet": {"channels": (6, 16), "hidden": (120, 84)},
    "resnet": {"channels": (4, 6, 8), "blocks": 2},
    "unpadded": {"channels": (4, 6), "kernel": 4},
}


@pytest.fixture
def own_datasets(tmp_path, monkeypatch):
    """Data sets of every shape, named by it."""
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path))
    for channels, side in SHAPES:
        shapes.own_dataset(tmp_path, f"of-{channels}-{side}", side, channels, classes=4)


@pytest.mark.parametrize("kind", ANY_SIZE)
def test_networks_take_pictures_of_any_size_or_say_which_does(own_datasets, kind):
    for channels, side in SHAPES:
        settings = {"dataset": f"of-{channels}-{side}", "network": kind, **ANY_SIZE[kind]}
        if kind == "lenet" and side < 16:
            with pytest.raises(ConfigError, match=r"network is lenet, which takes pictures from 16x16 on; .*: use resnet, cnn or fc"):
                tiny.config(**settings)
            continue
        network = build(tiny.config(**settings))
        assert network(torch.rand(2, channels, side, side)).shape == (2, 4)
        assert (float(network[0].mean), float(network[0].std)) == (0.5, 0.25)


@pytest.mark.parametrize("kind", ["lenet5", "lenet5-1998"])
def test_the_classic_networks_refuse_other_sizes_and_name_one_that_fits(own_datasets, kind):
    with pytest.raises(
        ConfigError, match=f"network is {kind}, which takes 28x28 grey pictures only; .* 64x64 in colour: use lenet, resnet"
    ):
        RunConfig(network=kind, dataset="of-3-64")


def test_the_lenet_of_r2_has_its_layers():
    network = build(RECIPES["r2-lenet"].config)[1]
    names = [type(layer).__name__ for layer in network]
    assert names == ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten"] + ["Linear", "ReLU"] * 2 + ["Linear"]
    assert [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)] == [
        (256, 120),
        (120, 84),
        (84, 10),
    ]
    assert [(layer.out_channels, layer.kernel_size) for layer in network if isinstance(layer, nn.Conv2d)] == [(6, (5, 5)), (16, (5, 5))]


def test_the_small_resnet_has_a_few_hundred_thousand_weights_and_adds_its_inputs():
    network = build(RECIPES["r2-resnet"].config)
    assert 200_000 < count_parameters(network) < 500_000
    block = ResidualBlock(4, 4, 1, nn.ReLU).eval()
    nn.init.zeros_(block.residual[3].weight)
    features = torch.rand(2, 4, 5, 5)
    assert torch.allclose(block(features), features)


def test_three_blocks_a_stage_make_the_resnet_20_of_its_paper():
    network = build(RunConfig(network="resnet", channels=(16, 32, 64), blocks=3))
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(layer.kernel_size == (3, 3) for layer in convolutions) + 1 == 20  # and the linear layer
    assert [layer.stride[0] for layer in convolutions if layer.kernel_size == (1, 1)] == [2, 2]  # one shortcut where the size is halved
    assert round(count_parameters(network) / 1e6, 2) == 0.27  # He et al. 2015, table 6
    assert network(IMAGES).shape == (6, 10)


def test_one_picture_a_step_is_refused_where_one_pixel_would_be_normalised(own_datasets):
    with pytest.raises(ConfigError, match="leave one pixel of 8x8"):
        RunConfig(dataset="of-3-8", network="resnet", channels=(4, 4, 4, 4), batch_size=1)
    network = build(RunConfig(dataset="of-3-8", network="resnet", channels=(4, 4, 4), batch_size=1)).train()
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 4)


def test_strides_take_an_odd_edge_along_and_pooling_does_not(own_datasets):
    settings = {"dataset": "of-1-9", "channels": (4, 4, 4, 4), "batch_size": 1}
    network = build(RunConfig(network="resnet", **settings)).train()
    assert network(torch.rand(1, 1, 9, 9)).shape == (1, 4)
    with pytest.raises(ConfigError, match="leave one pixel of 9x9"):
        RunConfig(network="cnn", **settings)


@pytest.mark.parametrize("name", ["affine", "elastic"])
def test_a_photo_goes_on_beyond_its_edge_when_it_is_turned(name):
    assert float(AUGMENTATIONS[name](torch.ones(6, 3, 28, 28)).min()) > 0.999


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 33, 33), (3, 20, 44)])
def test_augmentation_takes_any_size_and_changes_all_channels_alike(name, shape):
    torch.manual_seed(3)
    images = torch.rand(6, 1, *shape[1:]).expand(-1, shape[0], -1, -1).contiguous()
    changed = AUGMENTATIONS[name](images)
    assert changed.shape == images.shape
    assert torch.allclose(changed, changed[:, :1].expand_as(changed))


@pytest.mark.parametrize("network", field_of("network").metadata["choices"])
def test_every_network_has_a_title_and_is_continued_with_its_own_layers(network):
    assert network in shelf.TITLES
    assert set(architecture(network)) - {"dataset", "standardise"} <= set(LAYERS_KEPT)
