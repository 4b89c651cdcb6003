"""The Experiments page in headless Chromium: a click on a cell, its link in somebody else's browser, retraining with its settings."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from jobs import summary, tables
from jobs.config import RunConfig
from tests.browser import Visitor, server
from tests.measured import measure


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server with one table whole and one partly measured, and its folder."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INKLING_EXPERIMENTS", str(folder / "experiments"))
        measure("r1a", away=0.01)
        measure("r1b", [(0, 0), (0, 1), (2, 2)], diverged=[(1, 0)])
        with server(folder, INKLING_EXPERIMENTS=str(folder / "experiments")) as url:
            yield url, folder


def click_cell(page: Page, number: str, shift: bool = False) -> None:
    """Clicks the cell of the heat map that shows a number; the number itself lets clicks through."""
    text = page.locator("svg.marks text", has_text=number).first
    expect(text).to_be_visible()
    box = text.bounding_box()
    if shift:
        page.keyboard.down("Shift")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    if shift:
        page.keyboard.up("Shift")


def form_value(page: Page, label: str) -> str:
    """What a slider of the retrain form shows."""
    return page.get_by_test_id("stSidebar").get_by_role("slider", name=label).get_attribute("aria-valuetext")


def test_a_cell_is_clicked_shared_and_trained_again(browser: Browser, measured: tuple[str, Path]):
    url, folder = measured
    visitor = Visitor(browser, f"{url}/experiments?sweep=r1a")
    page, cells = visitor.page, visitor.page.get_by_test_id("cell")
    click_cell(page, "98.25")
    expect(cells).to_have_count(1)
    expect(cells).to_contain_text("max, tanh, lr 0.01, batch 40")
    expect(cells).to_contain_text("did not reproduce")
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(5)  # the table, three curves, the noise scale
    click_cell(page, "78.74", shift=True)
    expect(page.get_by_test_id("legend").locator("span")).to_have_text(["max, tanh, lr 0.01, batch 40", "max, tanh, lr 0.001, batch 40"])
    expect(page).to_have_url(re.compile("cells=1.2%2C1.4"))
    page.get_by_role("button", name="Retrain with these settings").nth(1).click()
    expect(page.get_by_test_id("given")).to_contain_text("R1a: max, tanh, lr 0.001, batch 40")
    expect(page).to_have_url(re.compile("network=lenet5-1998"))

    other = Visitor(browser, page.url, width=390, height=844, scheme="dark")
    expect(other.page.get_by_test_id("legend").locator("span")).to_have_count(2)
    expect(other.page.locator("svg.marks text", has_text="≠ 97.25")).to_be_visible()
    other.page.get_by_test_id("stExpandSidebarButton").click()
    expect(other.page.get_by_test_id("given")).to_contain_text("R1a: max, tanh, lr 0.001, batch 40")
    expect(other.page.get_by_label("Epochs", exact=True)).to_have_value("5")
    assert [form_value(other.page, label) for label in ("Learning rate", "Batch size")] == ["0.001", "40"]
    other.page.get_by_role("button", name="Start training").click()
    expect(other.page.get_by_role("button", name="Cancel")).to_be_visible()
    (written,) = (folder / "runs").glob("*/config.json")
    config = RunConfig.from_json(written.read_text())
    wanted = next(each.config for each in summary.outcomes(tables.find("r1a"), {}) if each.place == "1.4")
    assert dataclasses.replace(config, threads=0, publish="") == wanted
    other.page.get_by_role("button", name="Cancel").click()
    expect(other.page.get_by_text("Nothing was published")).to_be_visible(timeout=120_000)
    assert visitor.complaints == []
    assert other.complaints == []


def test_the_form_goes_back_to_its_defaults_and_back_leads_to_the_table_before(browser: Browser, measured: tuple[str, Path]):
    visitor = Visitor(browser, f"{measured[0]}/experiments?sweep=r1b&cells=1.0&dataset=mnist&lr=0.03&batch_size=48")
    page = visitor.page
    expect(page.get_by_test_id("missing")).to_contain_text(
        "4 of 36 cells measured, 12 of 108 runs. To measure the rest: python -m training sweep r1b"
    )
    expect(page.get_by_test_id("cell")).to_contain_text("the loss became nan")
    expect(page.get_by_test_id("given")).to_contain_text("a shared link")
    assert [form_value(page, label) for label in ("Learning rate", "Batch size")] == ["0.03", "48"]
    page.get_by_role("button", name="Back to defaults").click()
    expect(page.get_by_test_id("given")).to_have_count(0)
    expect(page).to_have_url(re.compile("sweep=r1b&cells=1.0$"))
    page.get_by_role("combobox", name="Table").click()
    page.get_by_role("option", name="R3: every epoch").click()
    expect(page).to_have_url(re.compile("sweep=r3&cells=0.0$"))
    page.go_back()
    expect(page.get_by_test_id("missing")).to_contain_text("4 of 36 cells measured")
    expect(page.get_by_role("combobox", name="Table")).to_have_value("R1b: optimizers")
    visitor.open("Draw")
    expect(page.get_by_text("Draw a digit").first).to_be_visible()
    visitor.open("Experiments")
    expect(page.get_by_test_id("cell")).to_contain_text("the loss became nan")
    assert visitor.complaints == []
