"""ui/style.py: what it changes of Streamlit."""

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from ui import style

SECTIONS = ["theme", *(f"theme.{each.value}" for each in config.CustomThemeCategories)]


def test_the_theme_is_looked_up_once_and_the_rest_as_ever(monkeypatch: pytest.MonkeyPatch):
    before = {section: config.get_options_for_section(section) for section in (*SECTIONS, "server")}
    asked = []
    original = config.get_options_for_section
    monkeypatch.setattr(config, "get_options_for_section", lambda section: asked.append(section) or original(section))
    style.remember_theme()
    for _ in range(3):
        assert {section: config.get_options_for_section(section) for section in (*SECTIONS, "server")} == before
    assert [asked.count(section) for section in SECTIONS] == [1] * len(SECTIONS)
    assert asked.count("server") == 3


def test_streamlit_asks_for_its_theme_by_the_function_that_is_kept(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(config, "get_options_for_section", lambda section: asked.append(section) or {})
    app_session._populate_theme_msg(CustomThemeConfig(), "theme.dark")
    assert asked == ["theme.dark"]


def test_a_streamlit_without_the_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(config, "get_options_for_section")
    style.remember_theme()
    assert not hasattr(config, "get_options_for_section")
