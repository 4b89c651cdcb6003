"""One's own pictures in headless Chromium: a zip in, a network out, and pictures answered with one's own classes."""

import io
import re
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from tests import shapes
from tests.browser import Visitor, server
from tests.test_browser_retrain import TRAINING, start


def test_a_zip_becomes_a_data_set_and_its_network_answers(browser: Browser, tmp_path: Path):
    archive = tmp_path / "shapes.zip"
    shapes.write_zip(archive, count=24, extra={"discs/notes.txt": b"about discs"})
    with server(tmp_path) as url:
        visitor = Visitor(browser, url)
        page = visitor.page
        visitor.open("Own images")
        expect(page.get_by_role("heading", name="Your own images")).to_be_visible()
        page.locator("input[type=file]").set_input_files(archive)
        expect(page.get_by_text("shapes.zip")).to_be_visible()
        page.get_by_label("Name", exact=True).fill("Discs & bars")
        page.get_by_label("Name", exact=True).press("Enter")
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_text("72 pictures in 3 classes are imported")).to_be_visible()
        expect(page.get_by_test_id("classes").locator("img")).to_have_count(18)
        expect(page.get_by_text("1 file left out")).to_be_visible()
        expect(page.get_by_test_id("stSidebar").get_by_role("radio", name="Discs & bars")).to_be_checked()
        expect(page).to_have_url(re.compile(r"\?data=Discs"))  # which a reload opens
        for name in ("Draw", "Upload", "Models"):
            visitor.open(name)
            expect(page.get_by_test_id("empty")).to_contain_text("No network for Discs & bars yet")
        start(page, epochs=25)
        expect(page.get_by_test_id("comparison")).to_be_visible(timeout=2.5 * TRAINING)  # the first network of a data set is in use at once
        expect(page.get_by_test_id("stSidebar").get_by_role("combobox", name="Network")).to_have_value(re.compile("^LeNet-like"))
        visitor.open("Upload")
        pictures = {label: shapes.picture(label, 1000) for label in shapes.LABELS}
        files = [{"name": f"{label}.png", "mimeType": "image/png", "buffer": content} for label, content in pictures.items()]
        page.locator("input[type=file]").set_input_files(files)
        expect(page.get_by_test_id("answer")).to_have_count(3)
        for place, label in enumerate(pictures):
            expect(page.get_by_test_id("answer").nth(place).locator(".ink-glyph")).to_have_text(re.compile(rf"^{label}\??$"))
        visitor.open("Draw")
        visitor.draw([[(80, 160), (240, 160)]])
        expect(page.get_by_test_id("answer").locator(".ink-glyph")).to_be_visible()
        visitor.open("Models")
        expect(page.get_by_role("heading", name="What they mix up")).to_be_visible()
        visitor.open("Own images")
        expect(page.get_by_test_id("classes")).to_be_visible()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Delete for good").click()
        expect(page.get_by_test_id("classes")).to_have_count(0)
        expect(page.get_by_test_id("stSidebar").get_by_text("Digits", exact=True)).to_be_visible()
        assert list((tmp_path / "datasets").iterdir()) == []
        assert not (tmp_path / "models" / "discs-bars").exists()
        assert visitor.complaints == []


def test_a_zip_that_is_no_data_set_gets_one_sentence(browser: Browser, page_url: str, tmp_path: Path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        content = io.BytesIO()
        Image.new("RGB", (20, 20), "red").save(content, "PNG")
        file.writestr("../../cats/1.png", content.getvalue())
    visitor = Visitor(browser, f"{page_url}/own-images")
    page = visitor.page
    expect(page.get_by_role("button", name="Import")).to_be_disabled()
    page.locator("input[type=file]").set_input_files(archive)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert").filter(has_text="The name is missing")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Cats")
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert").filter(has_text="Nothing was imported")).to_contain_text(
        "../../cats/1.png does not stay inside the zip"
    )
    assert visitor.complaints == []
