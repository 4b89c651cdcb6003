"""What pages look like in headless Chromium: nothing stands outside its place, however long a name is, and words can be read in either theme."""

import base64
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, expect

from jobs.runs import ROOT
from models.datasets import DATASETS, NONE_OF_THEM
from tests.browser import Visitor, server
from tests.measured import measure
from ui import charts, figures, style

LONGEST = (
    "Kitchen drawers with brass handles photographed from leftward",
    "Donaudampfschifffahrtsgesellschaftskapitaensmuetzenabzeichen",
    "Sofa",
)
READABLE = 4.5  # contrast that WCAG 2 asks for of words
# Paints the grounds of an element, from the page's to its own, and its words' colour over them. Returns the contrast of the two.
CONTRAST = """(element, grounds) => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const luminance = (colours) => {
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    const parts = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255);
    const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  };
  const behind = [...grounds];
  for (let each = element; each; each = each.parentElement) behind.unshift(getComputedStyle(each).backgroundColor);
  const style = getComputedStyle(element), words = element instanceof SVGElement ? style.fill : style.color;
  const sides = [luminance(behind), luminance([...behind, words])];
  return Math.max(...sides) / Math.min(...sides);
}"""
LINES = """(element) => {
  const text = document.createRange();
  text.selectNodeContents(element);
  return new Set([...text.getClientRects()].map((each) => each.top)).size;
}"""
OUTSIDE = """(place) => {
  const { left, right } = place.getBoundingClientRect();
  return [...place.querySelectorAll('*')].filter((each) => each.getBoundingClientRect().right > right + 1 || each.getBoundingClientRect().left < left - 1)
    .map((each) => each.className + ' ' + each.textContent);
}"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that has a table with one cell measured and one that diverged."""
    folder = tmp_path_factory.mktemp("layout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INKLING_EXPERIMENTS", str(folder / "experiments"))
        measure("r1a", [(0, 0)], diverged=[(1, 0)])
        with server(folder, INKLING_EXPERIMENTS=str(folder / "experiments")) as address:
            yield address


def laid_out(browser: Browser, html: str, width: int, window: int) -> Locator:
    """The place, so wide, of this on a page with nothing else but our style sheet, in a window so wide."""
    page = browser.new_context(viewport={"width": window, "height": 800}).new_page()
    font = base64.b64encode((ROOT / "static" / "figtree.woff2").read_bytes()).decode()
    css = (
        f"@font-face {{ font-family: Figtree; font-weight: 300 900; src: url(data:font/woff2;base64,{font}); }}"
        f"*, ::before, ::after {{ box-sizing: border-box; }} body {{ font-family: Figtree; }} {style.STYLE.read_text()}"
    )
    page.set_content(f'<style>{css}</style><div id="place" style="width:{width}px">{html}</div>')
    page.evaluate("document.fonts.ready")
    return page.locator("#place")


def card_of(*labels: str, takes_photos: bool = False) -> SimpleNamespace:
    return SimpleNamespace(labels=labels, title="Fully connected · 28 Nov 13:42", name="fc", takes_photos=takes_photos)


def answer_of(card: SimpleNamespace, best: int, reason: str = "") -> SimpleNamespace:
    """What a network says that finds all classes alike, but one."""
    probabilities = np.full(len(card.labels), 0.1)
    probabilities[best] = 0.9
    return SimpleNamespace(
        label=None if reason else card.labels[best],
        probability=0.9,
        probabilities=probabilities,
        reason=reason,
        stranger="",
        digits=(),
        prepared=SimpleNamespace(pixels=np.zeros((28, 28), np.uint8)),
    )


@pytest.mark.parametrize(("width", "window"), [(320, 390), (510, 1280)])
@pytest.mark.parametrize("reason", ["", "Not sure: one or another?"])
def test_an_answer_stays_in_its_place_however_long_the_names_of_classes_are(browser: Browser, width, window, reason):
    for labels in (LONGEST, DATASETS["fashion-mnist"].labels, DATASETS["mnist"].labels):
        card = card_of(*labels)
        answer = answer_of(card, 0, reason)
        place = laid_out(browser, figures.verdict(card, answer) + figures.trio([card] * 3, [answer] * 3, "fc"), width, window)
        assert place.evaluate(OUTSIDE) == []
        assert all(each.bounding_box()["width"] > 40 for each in place.locator(".track").all())


def test_bars_of_short_names_begin_where_the_longest_name_ends(browser: Browser):
    card = card_of(*DATASETS["fashion-mnist"].labels)
    place = laid_out(browser, figures.bars(card, np.full(10, 0.1)), 320, 390)
    assert [each.evaluate(LINES) for each in place.locator(".label").all()] == [1] * 10


@pytest.mark.parametrize("name", ["LeNet-5 · 28 Nov 09:00 on the shelf", "New network", LONGEST[1]])
def test_a_value_stands_beside_its_name_in_the_sidebar_too(browser: Browser, name):
    pairs = {name: "91.20 %", "Optimizer": "Stochastic gradient descent, lr 0.002, one cycle", "Trained in": "12 min, CPU, 2 threads"}
    place = laid_out(browser, figures.pairs_table(pairs), 208, 1280)
    assert place.evaluate(OUTSIDE) == []
    values = place.locator("b")
    assert values.first.evaluate(LINES) == place.locator("span").nth(1).evaluate(LINES) == 1
    ends = [each["x"] + each["width"] for each in (values.nth(number).bounding_box() for number in range(3))]
    assert max(ends) - min(ends) < 0.1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_buttons_axes_and_cells_without_a_figure_can_be_read(browser: Browser, url: str, scheme):
    visitor = Visitor(browser, f"{url}/experiments?sweep=r1a&cells=0.0", scheme=scheme)
    page = visitor.page
    button, tag = page.get_by_role("button", name="Start training"), page.locator("[data-tag]").last
    for each in (button, tag):
        expect(each).to_be_visible()
        assert each.evaluate(CONTRAST, []) >= READABLE
    words = page.locator("svg.marks text")
    for text in ("diverged", "–"):
        expect(words.filter(has_text=text).first).to_be_visible()
        assert words.filter(has_text=text).first.evaluate(CONTRAST, ["#7c818e1f"]) >= READABLE
    assert page.locator(".role-axis-label text").first.evaluate(CONTRAST, []) >= READABLE
    assert visitor.complaints == []


def marks(chart) -> list[str]:
    return [layer["mark"]["type"] for layer in chart.to_dict()["layer"]]


@pytest.mark.parametrize(("classes", "shown"), [(10, ["rect", "text"]), (30, ["rect", "text"]), (40, ["rect"]), (100, ["rect"])])
def test_a_confusion_matrix_has_figures_where_there_is_room(classes, shown):
    labels = tuple(f"class {number}" for number in range(classes))
    chart = charts.confusion_matrix(labels, [[1] + [0] * (classes - 1)] * classes)
    assert marks(chart) == shown
    across = chart.to_dict()["layer"][0]["encoding"]["x"]
    assert across["scale"]["domain"] == list(labels)  # whether they were answered or not
    axis = across["axis"]
    assert (axis["labelOverlap"], axis["labelAngle"]) == ((False, -40) if classes == 10 else ("greedy", -90))


@pytest.mark.parametrize(("classes", "told"), [(12, ""), (13, "and 1 less probable class<"), (14, "and 2 less probable classes<")])
def test_the_classes_that_have_no_bar_are_counted(classes, told):
    shown = figures.bars(card_of(*map(str, range(classes))), np.full(classes, 1 / classes))
    assert told in shown
    assert ("less probable" in shown) == bool(told)


def test_an_own_class_may_be_called_as_the_photo_network_calls_what_it_does_not_know():
    for takes_photos, shown in ((False, f"{NONE_OF_THEM}?"), (True, NONE_OF_THEM)):
        card = card_of("Coat", NONE_OF_THEM, takes_photos=takes_photos)
        assert figures.said(card, answer_of(card, 1, "Not sure.")) == (shown, " unsure")
