"""Uploads in headless Chromium: good and bad files together, overrides, the table."""

import csv
import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserType, Locator, Page, expect

from jobs.runs import ROOT
from tests.browser import CHROMIUM, FLAGS, Visitor
from tests.test_foreground import on_tiles

SAMPLES = ROOT / "ui" / "samples" / "mnist"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two pictures between three files that are none."""
    good = sorted(SAMPLES.glob("*.png"))[:2]
    text, cut, svg = tmp_path / "letter.png", tmp_path / "cut.jpg", tmp_path / "drawing.png"
    text.write_text("Dear Sir or Madam")
    Image.new("RGB", (300, 200), "teal").save(cut, "JPEG")
    cut.write_bytes(cut.read_bytes()[:400])
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    return [good[0], text, cut, svg, good[1]]


def at_rest(page: Page) -> None:
    """Waits for the end of the run: until then the file below the button is the last run's."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def test_bad_files_get_a_sentence_each_and_good_ones_an_answer(browser: Browser, page_url: str, files: list[Path], tmp_path: Path):
    visitor = Visitor(browser, f"{page_url}/upload")
    page = visitor.page
    page.locator("input[type=file]").set_input_files(files)
    expect(page.get_by_test_id("answer")).to_have_count(2)
    expect(page.get_by_role("alert").filter(has_text="letter.png")).to_contain_text("text file")
    expect(page.get_by_role("alert").filter(has_text="cut.jpg")).to_contain_text("damaged or cut off")
    expect(page.get_by_role("alert").filter(has_text="drawing.png")).to_contain_text("SVG")
    at_rest(page)
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    target = tmp_path / "results.csv"
    download.value.save_as(target)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["file"] for row in rows] == [file.name for file in files]
    assert sum(bool(row["answer"]) for row in rows) == 2
    assert visitor.complaints == []


def test_inversion_can_be_overridden(browser: Browser, page_url: str):
    visitor = Visitor(browser, f"{page_url}/upload")
    page = visitor.page
    # The browser asks whether a new file is there; after the next run this one is not, and asking late would be a complaint.
    with page.expect_response(lambda response: response.url.endswith(".csv")):
        page.locator("input[type=file]").set_input_files(sorted(SAMPLES.glob("*.png"))[:1])
    seen = page.locator(".ink-seen img")
    before = seen.get_attribute("src")
    page.get_by_text("Adjust").click()
    page.get_by_text("No", exact=True).click()
    expect(seen).not_to_have_attribute("src", before)
    at_rest(page)
    with page.expect_download() as downloaded:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    lines = Path(downloaded.value.path()).read_text().splitlines()
    assert lines[0] == "file,answer,probability,note,data set,network"
    assert len(lines) == 2
    assert visitor.complaints == []


@pytest.fixture
def browser_with_camera(browser: Browser, tmp_path: Path):
    """A Chromium whose camera sees a dark seven on white paper."""
    paper = Image.new("L", (640, 480), "white")
    ImageDraw.Draw(paper).line([(230, 110), (410, 110), (300, 370)], fill="black", width=26, joint="curve")
    film = tmp_path / "seven.mjpeg"  # JPEGs one after another
    frame = io.BytesIO()
    paper.save(frame, "JPEG")
    film.write_bytes(frame.getvalue() * 10)
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
    kind: BrowserType = browser.browser_type
    with kind.launch(executable_path=CHROMIUM, args=[*FLAGS, *camera]) as chromium:
        yield chromium


def test_the_camera_reads_a_digit_on_paper(browser_with_camera: Browser, page_url: str):
    visitor = Visitor(browser_with_camera, f"{page_url}/upload")
    page = visitor.page
    page.get_by_text("Camera", exact=False).first.click()
    while not page.evaluate("() => document.querySelector('video')?.readyState >= 2"):  # before its first frame there is nothing to take
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Take Photo").click()
    expect(page.get_by_test_id("answer").locator(".ink-glyph")).to_have_text("7")
    assert visitor.complaints == []


def settled(page: Page, canvas: Locator) -> dict[str, float]:
    """Where the canvas is once its expander has stopped moving."""
    box = None
    while box != (box := canvas.bounding_box()):
        page.wait_for_timeout(700)
    return box


def test_a_dragged_rectangle_says_where_to_look(browser: Browser, page_url: str, tmp_path: Path):
    image, _ = on_tiles()
    path = tmp_path / "tiles.png"
    image.save(path)
    visitor = Visitor(browser, page_url, height=1200)
    page = visitor.page
    page.get_by_text("Clothing", exact=True).click()
    visitor.open("Upload")
    page.locator("input[type=file]").set_input_files(path)
    original = page.locator(".ink-original img")
    expect(original).to_have_js_property("naturalWidth", 380)
    page.get_by_text("Adjust").click()
    page.get_by_text("Say where the garment is").click()
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    box = settled(page, canvas)
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.9, steps=6)
    page.mouse.up()
    expect(original).to_have_js_property("naturalWidth", 200)  # half of 400 pixels
    page.get_by_text("Say where the garment is").click()
    expect(original).to_have_js_property("naturalWidth", 380)
    assert visitor.complaints == []
