"""jobs/config.py: what a configuration accepts, and the sentence with which it refuses the rest."""

import dataclasses
import json
import math
import re

import pytest

from jobs.config import LAYERS, LOOKED_AT_BY, ConfigError, RunConfig, field_of, unused
from jobs.recipes import RECIPES
from models.errors import InklingError

FIELDS = dataclasses.fields(RunConfig)
CHOICES = [item.name for item in FIELDS if "choices" in item.metadata]
NAMES = [item.name for item in FIELDS if "name" in item.metadata]
WIDTHS = [item.name for item in FIELDS if "most" in item.metadata]
BOOLEANS = [item.name for item in FIELDS if isinstance(item.default, bool)]
NUMBERS = [item.name for item in FIELDS if "low" in item.metadata and "most" not in item.metadata]
WHOLE = [name for name in NUMBERS if isinstance(field_of(name).default, int)]
BROKEN = [None, "7", True, [1], math.nan, math.inf, -math.inf]


def refusal(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**settings)
    return str(caught.value)


def beyond(name: str, end: str) -> float:
    limit, step = field_of(name).metadata[end], 1 if end == "high" else -1
    return limit + step if name in WHOLE else math.nextafter(limit, step * math.inf)


def test_every_setting_is_held_by_one_kind_of_limit_and_has_help():
    assert sorted(["dataset", *CHOICES, *NAMES, *WIDTHS, *BOOLEANS, *NUMBERS]) == sorted(item.name for item in FIELDS)
    assert all(item.metadata["help"] for item in FIELDS)


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beyond_its_limit_is_refused_with_value_limits_and_default(name, end):
    value, limits = beyond(name, end), field_of(name).metadata
    message = refusal(**{name: value})
    assert message.startswith(f"{name} is {value!r}; ")
    assert [float(number) for number in re.search(r"from (\S+) to (\S+)", message).groups()] == pytest.approx(
        [limits["low"], limits["high"]], rel=1e-5
    )
    assert f"{field_of(name).default:g}" in message


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_at_its_limit_is_accepted(name, end):
    limit = field_of(name).metadata[end]
    assert getattr(RunConfig(**{name: limit}), name) == limit


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_finite_number_is_refused(name, value):
    assert refusal(**{name: value}).startswith(f"{name} is {value!r}; it must be a")


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_is_refused_where_whole_numbers_are_asked(name):
    assert "a whole number" in refusal(**{name: field_of(name).metadata["low"] + 0.5})


def test_a_whole_number_becomes_a_fraction_where_fractions_are_asked():
    assert type(RunConfig(lr=1).lr) is float


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name):
    message = refusal(**{name: "abacus"})
    assert message.startswith(f"{name} is 'abacus'; ")
    assert all(choice in message for choice in field_of(name).metadata["choices"])


@pytest.mark.parametrize(("name", "choice"), [(name, choice) for name in CHOICES for choice in field_of(name).metadata["choices"]])
def test_every_choice_on_offer_is_accepted(name, choice):
    with_it = {"softmax": {"optimizer": "sgd", "momentum": 0.0}, "lenet": LAYERS["lenet"]}.get(choice, {})
    assert getattr(RunConfig(**{name: choice}, **with_it), name) == choice


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("value", [[0], [4097], [8.0], [True], ["8"], 8, "88", None, [8] * 11])
def test_widths_out_of_their_limits_are_refused_with_value_limits_and_an_example(name, value):
    message = refusal(**{name: value})
    assert message.startswith(f"{name} is {value!r}; ")
    assert f"at most {field_of(name).metadata['most']} whole numbers from 1 to 4096" in message
    assert message.endswith(" ".join(map(str, field_of(name).default)))


@pytest.mark.parametrize("widths", [(), (1,), (4096,) * 8])
def test_hidden_widths_within_their_limits_are_accepted(widths):
    assert RunConfig(hidden=list(widths)).hidden == widths


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_only_true_and_false_are_taken_for_a_switch(name, value):
    assert refusal(**{name: value}) == f"{name} is {value!r}; it must be true or false"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["../fc", "a/b", "FC", "-fc", ".fc", "a b", "fc\n", "a" * 65, "é", None, 7])
def test_what_cannot_be_a_file_name_is_refused_with_what_can(name, value):
    message = refusal(**{name: value})
    assert message.startswith(f"{name} is {value!r}; a name has 1 to 64 of the characters a-z, 0-9, dot, dash and underscore")


@pytest.mark.parametrize("value", ["", "a", "7", "fc-2026.1_b", "a" * 64])
def test_a_plain_name_is_accepted(value):
    assert RunConfig(publish=value).publish == value


@pytest.mark.parametrize("widths", [(6, 16), (6, 16, 120, 8), ()])
def test_lenet5_asks_for_three_channels(widths):
    message = refusal(network="lenet5", channels=widths)
    assert message.startswith(f"channels has {len(widths)} values; LeNet-5")
    assert message.endswith("give three, such as 6 16 120")


def test_the_cnn_asks_for_a_stage():
    message = refusal(network="cnn", channels=())
    assert message == "channels is empty; the CNN has one to four stages: give their channels, such as 32 64 128"
    message = refusal(network="resnet", channels=(8,) * 5)
    assert message == "channels has 5 values; the ResNet has one to four stages: give their channels, such as 32 64 128"


@pytest.mark.parametrize(("channels", "kernel", "most"), [((), 7, 4), ((8,) * 5, 7, 4), ((8,) * 7, 5, 6), ((8,) * 4, 8, 3)])
def test_a_cnn_that_does_not_pad_says_how_many_convolutions_there_is_room_for(channels, kernel, most):
    message = refusal(network="unpadded", channels=channels, kernel=kernel)
    assert message.startswith(f"channels has {len(channels)} values and kernel is {kernel}; ")
    assert f"give one to {most} values, or a smaller kernel" in message
    assert RunConfig(network="unpadded", channels=(8,) * most, kernel=kernel).kernel == kernel


def test_a_cnn_that_leaves_one_pixel_takes_no_batch_of_one():
    settings = {"network": "unpadded", "channels": (4,) * 9, "kernel": 4}
    assert refusal(**settings, batch_size=1).startswith("batch_size is 1 and 9 convolutions of 4x4 leave one pixel of 28x28")
    assert RunConfig(**settings, batch_size=2).kernel == 4


def test_the_fully_connected_network_does_not_mind_the_channels():
    assert RunConfig(network="fc", channels=(1, 2)).channels == (1, 2)


def test_batch_normalisation_asks_for_more_than_one_image_in_a_batch():
    assert refusal(batch_norm=True, batch_size=1).startswith("batch_size is 1 with batch_norm; ")
    assert RunConfig(batch_norm=True, batch_size=2).batch_norm
    assert RunConfig(batch_norm=False, batch_size=1).batch_size == 1


@pytest.mark.parametrize(
    "settings",
    [
        *({"network": name} for name in ("lenet5-1998", "cnn", "resnet")),
        {"network": "lenet", **LAYERS["lenet"]},
        *({"network": name, "schedule": "two_stage"} for name in ("fc", "lenet5", "mixpool", "cnn")),
    ],
)
def test_one_image_a_batch_is_refused_only_where_the_network_normalises_and_looks_at_the_batch_size(settings):
    assert RunConfig(**settings, batch_norm=True, batch_size=1).batch_size == 1


@pytest.mark.parametrize("network", LOOKED_AT_BY["batch_norm"])
def test_one_image_a_batch_is_refused_by_every_network_with_batch_norm(network):
    assert refusal(network=network, batch_norm=True, batch_size=1).startswith("batch_size is 1 with batch_norm; ")


def test_settings_that_do_nothing_are_named():
    lenet = {"network": "lenet", **LAYERS["lenet"]}
    told = unused(RunConfig(**lenet, batch_norm=True, dropout=0.5, loss="mse", label_smoothing=0.1))
    assert told == "batch_norm is not used by lenet; dropout is not used by lenet; label_smoothing is not used by the loss mse"
    assert unused(RunConfig(network="lenet5-1998", dropout=0.1)) == "dropout is not used by lenet5-1998"
    assert unused(RunConfig(network="fc", batch_norm=True, dropout=0.5, label_smoothing=0.1)) == ""
    told = unused(RunConfig(momentum=0.5, step_every=7, teacher_temperature=9.0))
    assert told == (
        "momentum is not used by the optimizer adam; step_every is not used by the schedule one_cycle; "
        "teacher_temperature is not used by a run without a teacher"
    )
    told = unused(RunConfig(schedule="two_stage", lr=0.5, batch_size=7))
    assert told == "lr is not used by the schedule two_stage; batch_size is not used by the schedule two_stage"
    assert unused(RunConfig(optimizer="nag", momentum=0.5, schedule="step", step_gamma=0.5, teacher="x", teacher_temperature=4.0)) == ""


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_has_a_setting_that_does_nothing(name):
    assert unused(RECIPES[name].config) == ""


def test_softmax_regression_and_the_two_stage_schedule_do_not_go_together():
    softmax = {"network": "softmax", "optimizer": "sgd", "momentum": 0.0}
    message = refusal(**softmax, schedule="two_stage")
    assert message.startswith("network is softmax with schedule two_stage, whose weight penalty")
    assert message.endswith("use another schedule or network")
    assert RunConfig(**softmax, schedule="step").schedule == "step"


def test_a_configuration_survives_its_way_through_json():
    config = RunConfig(network="cnn", channels=(8, 16, 32, 64), hidden=(), batch_norm=True, lr=0.1, seed=2**31 - 1, publish="a-1")
    assert RunConfig.from_json(json.dumps(config.to_dict())) == config


def test_the_settings_are_written_in_field_order_as_json_types():
    settings = RunConfig().to_dict()
    assert list(settings) == [item.name for item in FIELDS]
    assert settings == json.loads(json.dumps(settings))


def test_settings_that_are_left_out_take_their_defaults():
    assert RunConfig.from_json('{"epochs": 3}') == RunConfig(epochs=3)


def test_an_unknown_setting_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"there is no setting 'learning_rate'; the settings are .*batch_size.* lr,"):
        RunConfig.from_dict({"learning_rate": 0.1})


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "is not JSON"), ("", "is not JSON"), ("[1]", "not a JSON object"), ("null", "not a JSON object")],
)
def test_a_text_that_holds_no_settings_is_refused_with_the_fix(text, fault):
    with pytest.raises(ConfigError, match=f"{fault}.*write it again"):
        RunConfig.from_json(text)


def test_a_setting_out_of_its_limits_is_refused_when_read_too():
    with pytest.raises(ConfigError, match="epochs is 0"):
        RunConfig.from_json('{"epochs": 0}')


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().epochs = 2


def test_a_changed_copy_is_checked_again():
    with pytest.raises(ConfigError, match="epochs is 0"):
        dataclasses.replace(RunConfig(), epochs=0)


def test_settings_are_given_by_name_only():
    with pytest.raises(TypeError):
        RunConfig("mnist")


def test_a_refusal_is_an_error_that_is_told_in_one_sentence():
    assert issubclass(ConfigError, InklingError)
    assert "\n" not in refusal(publish="a\nb")
