"""inkling.toml: who may do what on this server, how much of it, and where retrains are trained."""

import dataclasses
import functools
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.runs import ROOT
from models.errors import InklingError

MODES = ("local", "public")
LIMITS = ("queue", "retrains", "retrain_minutes", "answers_per_minute", "uploads_per_minute")
ADDRESS = re.compile(r"[^@\s]*@[^@\s]+")
HEAD = re.compile(r"https?://[^\s/]+/?")
ARTEFACTS = re.compile(r"[a-z][a-z0-9+]*://(?![^@]*:[^@]*@)[^\s?#*\[\]]+")  # without a password or a pattern
VARIABLE = "INKLING_SITE"


class SiteError(InklingError):
    """inkling.toml says something that cannot be. The message names the value, the limit and the fix."""


def _number(default: float, low: float, high: float) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Site:
    """What inkling.toml says; its comments say what each is. Raises SiteError when a value is outside its limits."""

    mode: str = "local"
    allowed: tuple[str, ...] = ()
    sign_in_hours: float = _number(12.0, 0.01, 720)
    require_verified_email: bool = True
    queue: int = _number(20, 1, 1000)
    retrains: int = _number(2, 1, 1000)
    retrain_minutes: float = _number(60.0, 0.1, 100_000)
    answers_per_minute: int = _number(600, 1, 1_000_000)
    uploads_per_minute: int = _number(60, 1, 1_000_000)
    ray_address: str = ""
    ray_cpus: float = _number(1.0, 0, 1000)
    ray_gpus: float = _number(0.0, 0, 64)
    ray_python: str = "python"
    ray_artefacts: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SiteError(f"mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        for address in self.allowed:
            if not isinstance(address, str) or not ADDRESS.fullmatch(address):
                raise SiteError(
                    f"allowed has {address!r}; give e-mail addresses, such as ada@school.example, or @school.example for all of it"
                )
        if not isinstance(self.require_verified_email, bool):
            raise SiteError(f"require_verified_email is {self.require_verified_email!r}; it must be true or false")
        if self.ray_address and not (isinstance(self.ray_address, str) and HEAD.fullmatch(self.ray_address)):
            raise SiteError(f"ray's address is {self.ray_address!r}; give that of the head's dashboard, such as http://head:8265")
        if not isinstance(self.ray_python, str) or not self.ray_python:
            raise SiteError(f"ray's python is {self.ray_python!r}; give a command that every node has")
        if not isinstance(self.ray_artefacts, str) or (self.ray_artefacts and not ARTEFACTS.fullmatch(self.ray_artefacts)):
            raise SiteError(
                f"ray's artefacts is {self.ray_artefacts!r}; give an address that fsspec reads, such as s3://bucket/inkling, and keep passwords in its own configuration"
            )
        for item in dataclasses.fields(self):
            limits, value = item.metadata, getattr(self, item.name)
            if "low" not in limits:
                continue
            kinds = int if isinstance(item.default, int) else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool) or not limits["low"] <= value <= limits["high"]:
                raise SiteError(f"{item.name} is {value!r}; it must be a number from {limits['low']:g} to {limits['high']:,.10g}")

    def allows(self, address: str) -> bool:
        """Whether an e-mail address is on the list; capital letters do not matter. One of other letters than ASCII's is on none:
        the small letter of the Kelvin sign is a k."""
        if not address.isascii():
            return False
        address = address.lower()
        return any(address == each.lower() or (each.startswith("@") and address.endswith(each.lower())) for each in self.allowed)


def path() -> Path:
    """The file: $INKLING_SITE, or inkling.toml beside app.py."""
    return Path(os.environ.get(VARIABLE) or ROOT / "inkling.toml")


def read() -> Site:
    """What the file says now. Raises SiteError; a file that is missing, empty or half written is one, for a server may not become more open by that."""
    place = path()
    try:
        facts = place.stat()
        return _read(place, (facts.st_mtime_ns, facts.st_size, facts.st_ino))
    except OSError as error:
        raise SiteError(f"{place} cannot be read ({error.strerror}); put it back, or name another file in {VARIABLE}") from None


@functools.lru_cache(maxsize=4)
def _read(place: Path, version: tuple[int, int, int]) -> Site:
    try:
        facts = tomllib.loads(place.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{place} is no TOML ({error}); mend it") from None
    limits = facts.pop("limits", {})
    if not isinstance(limits, dict):
        raise SiteError(f"{place}: limits is {limits!r}; it must be a table: [limits]")
    ray = facts.pop("ray", {})
    if not isinstance(ray, dict):
        raise SiteError(f"{place}: ray is {ray!r}; it must be a table: [ray]")
    fields = [item.name for item in dataclasses.fields(Site)]
    in_ray = [name.removeprefix("ray_") for name in fields if name.startswith("ray_")]
    tables = (
        ("", facts, [name for name in fields if name not in LIMITS and not name.startswith("ray_")]),
        (": [limits]", limits, LIMITS),
        (": [ray]", ray, in_ray),
    )
    for table, given, known in tables:
        if unknown := sorted(given.keys() - set(known)):
            raise SiteError(f"{place}{table} has {unknown[0]!r}, which means nothing there; it may have {', '.join(known)}")
    facts |= {f"ray_{name}": value for name, value in ray.items()}
    allowed = facts.get("allowed", [])
    if not isinstance(allowed, list):
        raise SiteError(f"allowed is {allowed!r}; it must be a list: [{allowed!r}]")
    try:
        found = Site(**{**facts, **limits, "allowed": tuple(allowed)})
    except SiteError as error:
        raise SiteError(f"{place}: {error}") from None
    if "mode" not in facts:
        raise SiteError(f"{place} says no mode; give it one, local or public, unless its writing was broken off")
    return found
