"""What the pages read of a card, checked when it is parsed: one that lacks any of it is left out, rather than taking a page with it."""

import functools
import math
from collections.abc import Sequence
from typing import Any

Facts = dict[str, Any]
NUMBER = (int, float)
MOST_IMAGES = 2**53  # what a page can count with
KINDS = {int: "a whole number", NUMBER: "a number", bool: "true or false", str: "a text", list: "a list", dict: "an object"}

OF_ALL = {"bytes": int, "latency_ms": NUMBER, "validation.accuracy": NUMBER, "test.accuracy": NUMBER, "test.n": int}
OF_NETWORKS = {
    "architecture": str, "members": int, "n_seeds.n": int, "test.calibration_error": NUMBER, "test.confusion": list,
    "data.train": int, "data.origin": str, "run.seconds": NUMBER, "run.device": str,
    "config.network": str, "config.optimizer": str, "config.lr": NUMBER, "config.schedule": str, "config.batch_size": int, "config.epochs": int,
    "config.augmentation": str, "config.start_from": str,
}  # fmt: skip
OF_SEEDS = {"n_seeds.test.mean": NUMBER, "n_seeds.test.std": NUMBER}
OF_EXPERTS = {"title": str, "members": int}
OF_LAYERS = {"temperature": NUMBER, "mirrored": bool}
OF_GATES = {"test.declined": NUMBER, "validation.by_kind": dict}
MOST_TURNED = 45  # degrees
OF_KINDS = {"declined": NUMBER, "auroc": NUMBER}
OF_PHOTOS = {"test.calibration_error": NUMBER, "test.by_group": dict, "declined.by_kind": dict}
OF_SHOES = {"test.which_shoe.right": int, "test.which_shoe.n": int}


def check_network(facts: Facts, labels: Sequence[str]) -> None:
    """Raises ValueError, which names the fact, unless the card of a network that is listed has what the pages show of it."""
    _demand(facts, OF_ALL | OF_NETWORKS)
    test = facts["test"]
    _check_confusion(test["confusion"], len(labels))
    if facts["n_seeds"]["n"] > 1:
        _demand(facts, OF_SEEDS)
    if "architectures" in facts:  # cards older than it, and than reliability, do not have it
        _demand(facts, {"architectures": list})
    if "member_configs" in facts:
        _check_configs("member_configs", facts["member_configs"], facts["members"])
    if "reliability" in test:
        _check_reliability(test["reliability"])
    if "mixture" in facts:
        _demand(facts, {"mixture.of": list})
        experts = facts["mixture"]["of"]
        if len(experts) < 2:
            raise ValueError(f"mixture.of has {len(experts)} networks, a mixture at least 2")
        for expert in experts:
            _demand(expert, OF_EXPERTS, "mixture.of: ")
            if "layers" in expert:  # cards older than them do not have them
                _demand(expert, OF_LAYERS, "mixture.of: ")
                _check_configs("mixture.of: layers", expert["layers"], expert["members"])


def check_gate(facts: Facts) -> None:
    """As `check_network`, of a gate's card."""
    _demand(facts, OF_ALL | OF_GATES)
    if "turned" in facts:  # those that do not look again have it not
        _demand(facts, {"turned": NUMBER})
        if not 0 <= facts["turned"] <= MOST_TURNED:
            raise ValueError(f"turned is {_short(facts['turned'])}, not degrees from 0 to {MOST_TURNED}")
    if "number_from" in facts:  # those of clothing know no numbers, and older ones of digits neither
        _demand(facts, {"number_from": NUMBER})
        if not 0 <= facts["number_from"] <= 1:
            raise ValueError(f"number_from is {_short(facts['number_from'])}, not from 0 to 1")
    for kind, measured in facts["validation"]["by_kind"].items():
        _demand(measured, OF_KINDS, f"validation.by_kind.{kind}.")


def check_photo_network(facts: Facts) -> None:
    """As `check_network`, of the photo network's card."""
    _demand(facts, OF_ALL | OF_PHOTOS)
    for place, shares in (("test.by_group", facts["test"]["by_group"]), ("declined.by_kind", facts["declined"]["by_kind"])):
        if "" in shares:
            raise ValueError(f"{place} has a name that is empty")
        for name, share in shares.items():
            _demand_kind(f"{place}.{name}", share, NUMBER)
    if "which_shoe" in facts["test"]:
        _demand(facts, OF_SHOES)


def _demand(facts: Any, wanted: dict[str, Any], where: str = "") -> None:
    """Raises ValueError unless there is something of the wanted kind in each place, a path of names with dots between them."""
    for place, kind in wanted.items():
        try:
            value = functools.reduce(lambda inside, name: inside[name], place.split("."), facts)
        except (KeyError, TypeError):
            raise ValueError(f"{where}{place} is missing") from None
        _demand_kind(where + place, value, kind)


def _demand_kind(place: str, value: Any, kind: Any) -> None:
    if not isinstance(value, kind) or (kind in (int, NUMBER) and (isinstance(value, bool) or not math.isfinite(value))):
        raise ValueError(f"{place} is {_short(value)}, not {KINDS[kind]}")


def _check_confusion(rows: list[Any], classes: int) -> None:
    """Rows are the true classes, columns the answers: as many as there are labels, each a number of images."""
    for row in rows:
        if not isinstance(row, list) or len(row) != classes or not all(_is_count(each) for each in row):
            raise ValueError(f"test.confusion has the row {_short(row)}, not {classes} numbers of images")
    if len(rows) != classes:
        raise ValueError(f"test.confusion has {len(rows)} rows for {classes} labels")


def _check_configs(place: str, configs: Any, members: int) -> None:
    """Of networks of several kinds, the configuration of each one: what a run that they teach builds them by."""
    if not isinstance(configs, list) or len(configs) != members:
        raise ValueError(f"{place} is {_short(configs)}, not a list of {members} configurations")
    for each in configs:
        _demand_kind(f"{place}: one", each, dict)


def _check_reliability(bins: Any) -> None:
    """Of each bin the mean top probability and the accuracy, 0 to 1, and the number of images."""
    if not isinstance(bins, list) or not bins:
        raise ValueError(f"test.reliability is {_short(bins)}, not a list of bins")
    for each in bins:
        if not (isinstance(each, list) and len(each) == 3 and all(map(_is_share, each[:2])) and _is_count(each[2], least=1)):
            raise ValueError(f"test.reliability has the bin {_short(each)}, not two shares from 0 to 1 and a number of images")


def _is_share(value: Any) -> bool:
    return isinstance(value, NUMBER) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= MOST_IMAGES


def _short(value: Any) -> str:
    return repr(value)[:40]
