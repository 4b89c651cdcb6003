"""What those hear who cannot see the page: every button, link and field has a name, every chart says what it shows, an answer is told."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import Visitor
from tests.test_browser_draw import LOOPS

PAGES = {
    "Upload": 0,
    "Models": 2,
    "Experiments": 0,
    "Retrains": 0,
    "Corrections": 0,
    "Own images": 0,
    "Draw": 0,
}  # and their charts, where nothing is measured or trained
ACTS = re.compile(r"- (?:button|radio|link|textbox|switch|checkbox|combobox|tab|slider|spinbutton)\b(?! \")")  # without a name


@pytest.fixture(scope="module")
def visitor(browser: Browser, page_url: str) -> Visitor:
    return Visitor(browser, page_url)


def test_every_page_calls_what_can_be_used_by_a_name(visitor: Visitor):
    visitor.draw(LOOPS["8"])
    expect(visitor.page.get_by_role("status")).to_contain_text("8")
    for name in ("Undo", "Clear"):
        expect(visitor.page.get_by_role("button", name=name, exact=True)).to_be_visible()
    for name in ("fine", "thin", "medium", "thick"):
        expect(visitor.page.get_by_role("radio", name=name, exact=True)).to_be_visible()
    title, charts = visitor.page.get_by_role("heading", level=1), visitor.page.get_by_test_id("stVegaLiteChart")
    for name, count in PAGES.items():
        before = title.inner_text()
        visitor.open(name)
        expect(title).not_to_have_text(before)
        expect(charts).to_have_count(count)
        snapshot = visitor.page.locator("body").aria_snapshot()
        assert f'- link "{name}"' in snapshot
        assert [line for line in snapshot.splitlines() if ACTS.search(line) or " icon" in line] == [], name
        for chart in charts.all():
            expect(chart).to_have_attribute("aria-label", re.compile(".{20}"))
    assert visitor.complaints == []
