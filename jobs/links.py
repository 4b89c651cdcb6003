"""Settings in the address bar: a configuration and a choice of cells as plain texts, and back.

Links come from anybody. What cannot be used is left out, and one sentence says so; nothing is raised.
"""

import dataclasses
from collections.abc import Mapping

from jobs import tables
from jobs.config import ConfigError, RunConfig

NOT_SHARED = ("start_from", "seed", "device", "threads", "publish")  # of one machine, or of one run
MOST_CELLS = 8


def write_config(config: RunConfig) -> dict[str, str]:
    """The settings that are not RunConfig's defaults, as texts; the data set always, so that the rest is known to be meant."""
    default = RunConfig()
    names = [item.name for item in dataclasses.fields(config) if item.name not in NOT_SHARED]
    return {name: _text(getattr(config, name)) for name in names if name == "dataset" or getattr(config, name) != getattr(default, name)}


def read_config(texts: Mapping[str, str]) -> tuple[RunConfig | None, str]:
    """The configuration that `write_config` wrote, and a sentence on what could not be used ('' when all was well).

    None when the texts hold no setting, or settings that do not go together.
    """
    fields = {item.name: item for item in dataclasses.fields(RunConfig) if item.name not in NOT_SHARED}
    settings, wrong = {}, []
    for name, item in fields.items():
        if name not in texts:
            continue
        try:
            settings[name] = _checked(_value(texts[name], item), item)
        except (ConfigError, ValueError):
            wrong.append(f"{name}={texts[name][:40]}")
    sentence = f"The link asks for what is no setting: {', '.join(wrong)}. The rest of it is used." if wrong else ""
    if not settings:
        return None, sentence
    try:
        return RunConfig(**settings), sentence
    except ConfigError as error:
        return None, f"The link's settings are left out, because they do not go together: {error}."


def write_cells(places: list[str]) -> str:
    """Cells of a table, such as '0.1,2.3': rows and columns from 0."""
    return ",".join(places)


def read_cells(sweep: str, text: str) -> tuple[list[str], str]:
    """The cells that a link names and the sweep has, at most MOST_CELLS, and a sentence on the others ('' for none)."""
    table = tables.SWEEPS[sweep]
    there = {f"{row}.{column}" for row in range(len(table.rows)) for column in range(len(table.columns))}
    asked = list(dict.fromkeys(part for part in text.split(",") if part))
    wrong = [part for part in asked if part not in there]
    sentence = f"The link names cells that {table.title} does not have: {', '.join(wrong)[:60]}." if wrong else ""
    return [part for part in asked if part in there][:MOST_CELLS], sentence


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _value(text: str, item: dataclasses.Field) -> object:
    """Raises ValueError."""
    if "most" in item.metadata:
        return tuple(int(part) for part in text.split("-")) if text else ()
    if item.type in (bool, "bool"):
        return {"yes": True, "no": False}[text] if text in ("yes", "no") else text
    if item.type in (int, "int"):
        return int(text)
    return float(text) if item.type in (float, "float") else text


def _checked(value: object, item: dataclasses.Field) -> object:
    """The value, judged by itself: a network that takes any widths stands beside it. Raises ConfigError, ValueError."""
    if "choices" in item.metadata:
        if value not in item.metadata["choices"]:
            raise ValueError(value)
        return value
    return getattr(RunConfig(network="fc", **{item.name: value}), item.name)
