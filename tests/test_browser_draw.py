"""Drawing in headless Chromium: strokes in, answers out, ink kept."""

import math

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser import DIGITS, Visitor


@pytest.mark.parametrize("digit", list(DIGITS))
def test_a_drawn_digit_is_read(browser: Browser, page_url: str, digit: str):
    visitor = Visitor(browser, page_url)
    expect(visitor.page.get_by_test_id("empty")).to_contain_text("Draw a digit")
    expect(visitor.page.get_by_test_id("answer")).to_have_count(0)
    visitor.draw(DIGITS[digit])
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text(digit)
    expect(visitor.page.locator(".ink-bars .label")).to_have_count(10)
    expect(visitor.page.get_by_test_id("trio").locator(".ink-card")).to_have_count(4)
    assert visitor.complaints == []


def test_a_small_digit_in_a_corner_is_read(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    visitor.draw(DIGITS["7"], scale=0.35, move=(200, 190))
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("7")


def ring(x: int, y: int, across: int, down: int) -> list[tuple[int, int]]:
    """A closed stroke around a point, from its top."""
    return [(round(x + across * math.sin(turn)), round(y - down * math.cos(turn))) for turn in np.linspace(0, 2 * math.pi, 14)]


LOOPS = {
    "0": [ring(160, 160, 60, 90)],
    "8": [ring(160, 110, 45, 50), ring(160, 215, 55, 55)],
    "9": [[*ring(160, 120, 45, 50), (200, 110), (195, 260)]],
}


@pytest.mark.parametrize("digit", list(LOOPS))
def test_loops_that_the_thickest_pen_closes_are_read(browser: Browser, page_url: str, digit: str):
    visitor = Visitor(browser, page_url)
    visitor.pick_pen("thick")
    visitor.draw(LOOPS[digit], scale=0.25, move=(130, 120))
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text(digit)
    assert visitor.complaints == []


def test_several_digits_are_read_as_a_number(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    visitor.pick_pen("thin")
    visitor.draw(DIGITS["4"], scale=0.5, move=(-20, 60))
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("4")
    visitor.draw(DIGITS["7"], scale=0.5, move=(130, 60))
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("47")
    expect(visitor.page.get_by_test_id("digits").locator("img")).to_have_count(2)
    expect(visitor.page.get_by_test_id("trio").locator(".said")).to_have_text(["47"] * 4)
    assert visitor.complaints == []


def test_a_scribble_is_declined_and_told_what_it_looks_like(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    visitor.pick_pen("fine")
    visitor.draw(
        [
            [(60 + 20 * (at % 11), 60 + 18 * at if at % 2 else 240 - 9 * at) for at in range(11)],
            [(70, 200), (260, 90), (80, 100), (250, 230)],
        ]
    )
    answer = visitor.page.get_by_test_id("answer")
    expect(answer).to_contain_text("This looks like a scribble, not a digit.")
    expect(answer.locator(".ink-glyph")).to_have_text("?")
    expect(visitor.page.get_by_text("Without a gate before it, Small CNN would have said")).to_be_visible()
    expect(visitor.page.get_by_test_id("trio").locator(".said")).to_have_text(["?"] * 4)
    assert visitor.complaints == []


def test_why_shows_what_speaks_for_the_answer_what_is_alike_and_every_layer(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    visitor.draw(DIGITS["4"])
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("4")
    expect(visitor.page.get_by_test_id("why")).to_have_count(0)
    visitor.page.get_by_text("Show why", exact=True).click()
    expect(visitor.page.get_by_test_id("why").locator("img")).to_be_visible()
    expect(visitor.page.get_by_test_id("alike").locator("img")).to_have_count(6)
    expect(visitor.page.get_by_test_id("alike").locator("span").first).to_have_text("4")
    expect(visitor.page.get_by_test_id("layers").locator("img")).to_have_count(6)
    before = visitor.page.get_by_test_id("why").locator("img").get_attribute("src")
    visitor.draw([[(60, 250), (240, 250)]])  # the reasons change with the answer
    expect(visitor.page.get_by_test_id("why").locator("img")).not_to_have_attribute("src", before)
    visitor.page.get_by_role("button", name="Clear", exact=True).click()
    expect(visitor.page.get_by_text("Show why", exact=True)).to_be_hidden()
    expect(visitor.page.get_by_test_id("why")).to_have_count(0)
    assert visitor.complaints == []


def test_a_number_has_no_reasons_of_its_own_but_can_be_corrected(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    why, tell = visitor.page.get_by_text("Show why", exact=True), visitor.page.get_by_text("Wrong? Tell me")
    expect(visitor.page.get_by_test_id("empty")).to_be_visible()
    expect(why).to_be_hidden()
    expect(tell).to_be_hidden()
    visitor.pick_pen("thin")
    visitor.draw(DIGITS["4"], scale=0.5, move=(-20, 60))
    expect(why).to_be_visible()
    visitor.draw(DIGITS["7"], scale=0.5, move=(130, 60))
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("47")
    expect(why).to_be_hidden()
    tell.click()
    expect(visitor.page.get_by_text("Which 2 digits are they?")).to_be_visible()
    assert visitor.complaints == []


def test_undo_takes_back_the_last_stroke_and_clear_all_of_them(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    undo, clear = visitor.page.get_by_role("button", name="Undo", exact=True), visitor.page.get_by_role("button", name="Clear", exact=True)
    expect(visitor.page.get_by_test_id("empty")).to_be_visible()
    expect(undo).to_be_hidden()
    expect(clear).to_be_hidden()
    first, second = DIGITS["4"]
    visitor.draw([first])
    expect(visitor.page.get_by_test_id("answer")).to_be_visible()
    before = visitor.page.locator(".ink-seen img").get_attribute("src")
    visitor.draw([second])
    expect(visitor.page.locator(".ink-seen img")).not_to_have_attribute("src", before)
    undo.click()
    expect(visitor.page.locator(".ink-seen img")).to_have_attribute("src", before)
    clear.click()
    expect(visitor.page.get_by_test_id("empty")).to_be_visible()
    expect(clear).to_be_hidden()
    undo.click()
    expect(visitor.page.locator(".ink-seen img")).to_have_attribute("src", before)
    assert visitor.complaints == []


def test_ink_is_kept_across_pages_and_can_be_drawn_on(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    visitor.draw(DIGITS["4"][:1])
    expect(visitor.page.get_by_test_id("answer")).to_be_visible()
    before = visitor.page.locator(".ink-seen img").get_attribute("src")
    visitor.open("Models")
    expect(visitor.page.get_by_role("heading", name="What they mix up")).to_be_visible()
    visitor.open("Draw")
    expect(visitor.page.locator(".ink-seen img")).to_have_attribute("src", before)
    visitor.draw(DIGITS["4"][1:])
    expect(visitor.page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("4")


def test_a_finger_draws_as_a_mouse_does(browser: Browser, page_url: str):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(page_url)
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    session = context.new_cdp_session(page)
    points = [{"x": box["x"] + 160, "y": box["y"] + y} for y in range(60, 260, 10)]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for point in points[1:]:
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["", "upload", "models", "own-images"])
def test_nothing_is_cut_off_on_a_phone(browser: Browser, page_url: str, name: str, scheme: str):
    visitor = Visitor(browser, f"{page_url}/{name}", width=390, height=844, scheme=scheme)
    expect(visitor.page.locator("h1")).to_be_visible()
    if name == "upload":
        visitor.page.get_by_text("Samples", exact=True).click()
        expect(visitor.page.get_by_test_id("answer").first).to_be_visible()
    if name == "":
        expect(visitor.page.get_by_test_id("empty")).to_be_visible()
        visitor.draw(DIGITS["1"])
        expect(visitor.page.get_by_test_id("trio")).to_be_visible()
    sticking_out = visitor.page.evaluate(
        """() => [...document.querySelectorAll('.stMainBlockContainer *')]
            .filter(e => { const r = e.getBoundingClientRect(); return r.width && r.right > innerWidth + 1 && !e.closest('.stDataFrame, .stVegaLiteChart'); })
            .map(e => e.className + ' ' + e.getBoundingClientRect().right)"""
    )
    assert sticking_out == []
    assert visitor.complaints == []


def test_a_stroke_may_begin_at_once_in_any_corner(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    for corner in (6, 314):
        visitor.draw([[(corner, 8), (corner, 60)]])
        expect(visitor.page.get_by_test_id("answer")).to_be_visible()
        visitor.page.get_by_role("button", name="Clear", exact=True).click()
        expect(visitor.page.get_by_test_id("empty")).to_be_visible()
    assert visitor.complaints == []


def test_a_stroke_right_after_clear_and_undo_is_kept(browser: Browser, page_url: str):
    visitor = Visitor(browser, page_url)
    undo, clear = visitor.page.get_by_role("button", name="Undo", exact=True), visitor.page.get_by_role("button", name="Clear", exact=True)
    glyph = visitor.page.get_by_test_id("answer").locator(".ink-glyph")
    box = visitor.page.locator("canvas.upper-canvas").bounding_box()
    for take_back in (clear, clear, undo, undo):
        start, *way = [(box["x"] + x, box["y"] + y) for x, y in DIGITS["7"][0]]
        visitor.page.mouse.move(*start)  # at once: `draw` would wait for the canvas to be alone
        visitor.page.mouse.down()
        for point in way:
            visitor.page.mouse.move(*point, steps=6)
        visitor.page.mouse.up()
        expect(glyph).to_have_text("7")
        take_back.click()
        expect(visitor.page.get_by_test_id("empty")).to_be_visible()
    undo.click()  # the last clear
    expect(glyph).to_have_text("7")
    assert visitor.complaints == []


def test_another_data_set_that_is_chosen_while_strokes_are_explained_is_not_lost(browser: Browser, page_url: str):
    """Streamlit makes one request of a stroke that waits and of a click that comes after it: for the whole page."""
    visitor = Visitor(browser, page_url)
    page = visitor.page
    page.get_by_text("Clothing", exact=True).first.click()
    expect(page.get_by_text("Draw a garment").first).to_be_visible()
    visitor.draw(LOOPS["8"])
    page.get_by_text("Show why").click()
    expect(page.get_by_test_id("why")).to_be_visible()
    for gap in (200, 400):
        visitor.draw([[(100, 90), (220, 95)]])
        page.wait_for_timeout(200)
        visitor.draw([[(100, 200), (220, 205)]])
        page.wait_for_timeout(gap)
        page.get_by_text("Digits", exact=True).first.click()
        expect(page.get_by_text("Draw a digit").first).to_be_visible()
        visitor.draw(DIGITS["7"])
        expect(page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("7")
        page.get_by_role("button", name="Clear").click()
        expect(page.get_by_test_id("answer")).to_have_count(0)
        page.get_by_text("Clothing", exact=True).first.click()
        expect(page.get_by_text("Draw a garment").first).to_be_visible()
    assert visitor.complaints == []
