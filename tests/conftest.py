"""Fixtures for all tests."""

import sys
import tempfile

import pytest
import streamlit as st
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.browser import browser, page_url
from tests.database import postgresql

# The same examples each time, at any speed of the machine, and nothing left in the repository.
set_hypothesis_home_dir(tempfile.mkdtemp(prefix="inkling-hypothesis-"))
settings.register_profile("inkling", derandomize=True, deadline=None, database=None)
settings.load_profile("inkling")

__all__ = ["browser", "page_url", "postgresql"]


@pytest.fixture(scope="session", autouse=True)
def nothing_of_ones_own(tmp_path_factory: pytest.TempPathFactory):
    """Whoever runs the tests may have data sets, settings, secrets and a GPU of their own, which no test is to see: what they compare was
    measured on CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setenv("INKLING_DATASETS", str(tmp_path_factory.mktemp("datasets")))
        for name in ("INKLING_MODELS", "INKLING_CORRECTIONS"):
            patch.delenv(name, raising=False)
        place = tmp_path_factory.mktemp("site")
        (place / "inkling.toml").write_text('mode = "local"\n')
        patch.setenv("INKLING_SITE", str(place / "inkling.toml"))
        # Those of .streamlit are of a school that signs in, and keeps corrections in a real database.
        st.config.set_option("secrets.files", [str(place / "secrets.toml")])
        yield


@pytest.fixture(autouse=True)
def from_this_machine(monkeypatch):
    """Pages without a server have no connection either: theirs looks like that of a browser on this machine."""
    monkeypatch.setattr(type(st.context), "headers", {"Host": "localhost:8501"})
    monkeypatch.setattr(type(st.context), "ip_address", None)


@pytest.fixture(autouse=True)
def same_main_module():
    """Streamlit's AppTest leaves its page behind as the main module, which every process of a pool would then run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Runs and results of a test in a folder of its own, which it returns; data from the bundled sample."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "experiments"))
    monkeypatch.setenv("INKLING_DATA", "sample")
    return tmp_path


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """Runs and shelf of a test in a folder of its own, which it returns, for processes too; data from the bundled sample."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("INKLING_DATA", "sample")
    return tmp_path
