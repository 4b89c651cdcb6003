"""Corrections in the browser: kept on a click, reviewed, learned, deleted; nothing is kept without the click."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser import DIGITS, Visitor, server


def tell(visitor: Visitor, label: str) -> None:
    """Opens it, chooses a label and keeps it."""
    page = visitor.page
    expect(page.get_by_text("Wrong? Tell me")).to_have_count(1)  # while the answer is exchanged, both are there
    page.get_by_text("Wrong? Tell me").click()
    page.get_by_role("radio", name=label, exact=True).click()
    page.get_by_role("button", name="Keep it").click()


def test_a_correction_is_kept_reviewed_learned_and_deleted(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url)
        page = visitor.page
        visitor.draw(DIGITS["7"])
        expect(page.get_by_test_id("answer")).to_be_visible()
        page.get_by_text("Wrong? Tell me").click()
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_text("Choose above what the picture shows.")).to_be_visible()
        visitor.open("Corrections")
        expect(page.get_by_test_id("empty")).to_contain_text("None yet")
        visitor.open("Draw")
        tell(visitor, "7")
        expect(page.get_by_text(re.compile(r"7 is what .+ read\."))).to_be_visible()
        page.get_by_role("radio", name="2", exact=True).click()
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_text("Kept as 2.")).to_be_visible()
        visitor.open("Corrections")
        expect(page.get_by_test_id("corrections-summary")).to_contain_text("1 correction")
        expect(page.get_by_test_id("corrections-summary")).to_contain_text("Small CNN now reads 0 of 1 rightly.")
        expect(page.get_by_test_id("correction")).to_contain_text("said 7")
        page.get_by_role("button", name="Retrain on these corrections").click()
        expect(page.get_by_text("A retrain is at work")).to_be_visible()
        expect(page.get_by_text("is ready after")).to_be_visible(timeout=240_000)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_test_id("corrections-summary")).to_contain_text("CNN · ")
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_test_id("empty")).to_contain_text("None yet")
        assert visitor.complaints == []


def test_the_wrong_digits_of_a_number_are_kept_one_by_one(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url)
        page = visitor.page
        for place, digit in enumerate("714"):
            visitor.draw(DIGITS[digit], scale=0.45, move=(-20 + 110 * place, 90))
        expect(page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("714")
        expect(page.get_by_text("Wrong? Tell me")).to_have_count(1)
        page.get_by_text("Wrong? Tell me").click()
        box = page.get_by_label("Which 3 digits are they?")
        box.fill("71")
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_text("'71' is not 3 digits")).to_be_visible()
        box.fill("719")
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_text("Kept as 9.")).to_be_visible()
        visitor.open("Corrections")
        expect(page.get_by_test_id("correction")).to_contain_text("said 4")
        assert visitor.complaints == []


def test_a_photo_is_corrected_below_the_photo_networks_answer(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url, scheme="dark")
        page = visitor.page
        page.get_by_text("Clothing", exact=True).click()
        visitor.open("Upload")
        page.get_by_text("Samples", exact=True).click()
        expect(page.get_by_test_id("answer").first).to_be_visible()
        page.get_by_text("Wrong? Tell me").first.click()
        page.get_by_role("radio", name="Coat", exact=True).click()
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_text("Kept as Coat.")).to_be_visible()
        visitor.open("Corrections")
        expect(page.get_by_test_id("correction")).to_contain_text("Coatsaid Bag")
        assert visitor.complaints == []


def test_nothing_is_cut_off_on_a_phone(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        visitor = Visitor(browser, url, width=390, height=844)
        page = visitor.page
        visitor.draw(DIGITS["7"])
        expect(page.get_by_test_id("answer")).to_be_visible()
        tell(visitor, "2")
        expect(page.get_by_text("Kept as 2.")).to_be_visible()
        box = page.get_by_test_id("stExpander").filter(has_text="What is it?").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.goto(f"{url}/corrections")
        expect(page.get_by_test_id("correction")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert visitor.complaints == []


def test_a_database_that_cannot_be_reached_is_told_and_the_answers_go_on(browser: Browser, tmp_path: Path):
    with server(tmp_path, INKLING_CORRECTIONS="sqlite:////nowhere/at/all.sqlite3") as url:
        visitor = Visitor(browser, url)
        visitor.draw(DIGITS["7"])
        tell(visitor, "2")
        expect(visitor.page.get_by_text("corrections cannot be opened (unable to open database file)")).to_be_visible()
        visitor.open("Corrections")
        expect(visitor.page.get_by_text("The corrections cannot be shown")).to_be_visible()
        visitor.open("Draw")
        assert visitor.glyph() == "7"
        assert visitor.complaints == []
