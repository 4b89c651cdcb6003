"""python -m docs.screenshots: takes the README's pictures from the running page in headless Chromium."""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser import CHROMIUM, FLAGS, Visitor, server

HERE = Path(__file__).parent
# A three as a hand draws it: two bows.
THREE = [
    [(105, 85), (130, 62), (175, 60), (205, 85), (200, 120), (165, 145), (140, 150)],
    [(140, 150), (185, 158), (214, 190), (205, 235), (165, 262), (125, 258), (98, 235)],
]


def main() -> None:
    """Writes docs/*.png."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        draw = Visitor(browser, url, height=780)
        expect(draw.page.get_by_test_id("empty")).to_be_visible()
        draw.draw(THREE)
        expect(draw.page.get_by_test_id("trio")).to_be_visible()
        draw.page.mouse.move(640, 760)
        take(draw, "draw-light")
        upload = Visitor(browser, f"{url}/upload", height=1000)
        upload.page.get_by_text("Clothing", exact=True).click()
        upload.page.get_by_text("Samples", exact=True).click()
        expect(upload.page.get_by_test_id("answer")).to_have_count(8)
        take(upload, "upload-light")
        models = Visitor(browser, f"{url}/models", height=1300, scheme="dark")
        expect(models.page.get_by_text("Download ONNX", exact=True)).to_have_count(4)
        models.page.wait_for_timeout(1500)
        expect(models.page.get_by_test_id("stVegaLiteChart")).to_have_count(2)  # what they mix up, how honest they are
        take(models, "models-dark")
        experiments = Visitor(browser, f"{url}/experiments?sweep=r1a&cells=0.0,0.3", height=1180)
        expect(experiments.page.get_by_test_id("stVegaLiteChart")).to_have_count(5)
        take(experiments, "experiments-light")
        phone = Visitor(browser, url, width=390, height=844, scheme="dark")
        phone.page.get_by_test_id("stExpandSidebarButton").click()
        phone.page.get_by_text("Settings").click()
        phone.page.get_by_label("Epochs", exact=True).fill("30")
        phone.page.get_by_label("Epochs", exact=True).press("Enter")
        phone.page.wait_for_timeout(800)
        phone.page.get_by_role("button", name="Start training").click()
        expect(phone.page.get_by_test_id("stVegaLiteChart")).to_have_count(2, timeout=120_000)
        phone.page.mouse.move(5, 5)  # off the chart, which would show its tools
        phone.page.wait_for_timeout(8000)
        take(phone, "retrain-phone")
        phone.page.get_by_role("button", name="Cancel").click()
        expect(phone.page.get_by_text("Nothing was published")).to_be_visible()
        browser.close()


def take(visitor: Visitor, name: str) -> None:
    """One screenshot, once everything has come to rest."""
    visitor.page.wait_for_timeout(1200)
    visitor.page.screenshot(path=HERE / f"{name}.png")
    print(f"{name}.png")


if __name__ == "__main__":
    main()
