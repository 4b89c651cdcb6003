"""ui/style.py: what it changes of Streamlit."""

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from ui import style

PLACES = {"theme.light": "light", "theme.dark": "dark", "theme.sidebar": "sidebar"}


def theme() -> CustomThemeConfig:
    """The theme as Streamlit puts it into the first message of every run."""
    message = CustomThemeConfig()
    app_session._populate_theme_msg(message)
    for section, place in PLACES.items():
        app_session._populate_theme_msg(getattr(message, place), section)
    return message


def test_the_theme_is_put_together_once_and_stays_the_same(monkeypatch: pytest.MonkeyPatch):
    asked, look_up = [], config.get_options_for_section
    options = look_up("theme") | {
        "base": "dark",
        "primaryColor": "#123456",
        "showWidgetBorder": True,
        "chartCategoricalColors": ["red", "blue"],
    }
    monkeypatch.setattr(
        config,
        "get_options_for_section",
        lambda section: asked.append(section) or (options if section != "theme.dark" else look_up(section)),
    )
    monkeypatch.setattr(app_session, "_populate_theme_msg", app_session._populate_theme_msg)
    before = theme()
    assert before.light.primary_color == "#123456"
    asked.clear()
    style.remember_theme()
    for _ in range(3):
        assert theme() == before
    assert sorted(asked) == sorted(["theme", *PLACES])


def test_a_streamlit_without_the_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(app_session, "_populate_theme_msg")
    style.remember_theme()
    assert not hasattr(app_session, "_populate_theme_msg")
