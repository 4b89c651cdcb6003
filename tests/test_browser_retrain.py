"""Retraining in headless Chromium: to the end, cancelled, refreshed in the middle, seen by somebody else."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser import DIGITS, Visitor, server

TRAINING = 120_000  # milliseconds that a retrain on the sample may take on a busy machine


def start(page: Page, epochs: int = 1) -> None:
    page.get_by_text("Settings").click()
    page.get_by_label("Epochs", exact=True).fill(str(epochs))
    page.get_by_label("Epochs", exact=True).press("Enter")
    expect(page.get_by_label("Epochs", exact=True)).to_have_value(str(epochs))
    page.wait_for_timeout(500)  # the rerun that the new value sets off replaces the button
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()


def test_a_retrain_runs_to_its_end_and_its_network_answers(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url)
        page = visitor.page
        start(page)
        page.reload()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        other = Visitor(browser, url)
        expect(other.page.get_by_role("button", name="Cancel")).to_be_visible()
        expect(page.get_by_text("bundled sample")).to_be_visible(timeout=TRAINING)
        expect(page.get_by_test_id("comparison")).to_be_visible(timeout=TRAINING)
        expect(page.get_by_test_id("comparison")).to_contain_text(re.compile(r"LeNet-5 on the shelf.*a hint, not a comparison", re.DOTALL))
        page.get_by_text("Clothing", exact=True).click()  # using a network of digits also goes back to digits
        expect(page.get_by_text("Draw a garment").first).to_be_visible()
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("button", name="Use it")).to_have_count(0)
        picker = page.get_by_test_id("stSidebar").get_by_role("combobox", name="Network")
        expect(picker).to_have_value(re.compile("^LeNet-5 · .* · "))
        visitor.draw(DIGITS["1"])
        expect(page.get_by_test_id("trio").locator(".ink-card")).to_have_count(5)
        expect(page.get_by_test_id("answer")).to_contain_text("says LeNet-5 ·")
        expect(other.page.get_by_test_id("comparison")).to_be_visible()
        assert len(list((tmp_path / "models" / "mnist").glob("lenet5-*.json"))) == 1
        visitor.open("Models")
        titles = page.get_by_test_id("stMainBlockContainer").locator("h3", has_text=re.compile("^(Fully|LeNet|Small|Ensemble)"))
        expect(titles).to_have_count(5)
        expect(picker).to_have_value(re.compile("^LeNet-5 · .* · "))
        page.get_by_role("button", name="Delete it").click()
        expect(titles).to_have_count(4)
        expect(page.get_by_test_id("comparison")).to_have_count(0)
        expect(picker).to_have_value(re.compile("^Small CNN"))
        assert list((tmp_path / "models" / "mnist").glob("lenet5-*")) == []
        assert visitor.complaints == []
        assert other.complaints == []


def test_a_cancelled_retrain_publishes_nothing(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url)
        page = visitor.page
        start(page, epochs=900)
        expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=TRAINING)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Nothing was published")).to_be_visible(timeout=TRAINING)
        assert list((tmp_path / "models" / "mnist").glob("lenet5-*")) == []
        expect(page.get_by_role("button", name="Start training")).to_be_visible()
        assert visitor.complaints == []
