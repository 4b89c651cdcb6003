"""The queue in headless Chromium: two visitors' retrains, one after the other; cancelling, resuming, the Retrains page."""

import os
import signal
from pathlib import Path

from playwright.sync_api import Browser, expect

from jobs import runs
from tests.browser import Visitor, server

TRAINING = 120_000  # milliseconds


def queue_one(visitor: Visitor, button: str) -> None:
    visitor.page.get_by_role("button", name=button).click()


def test_two_retrains_wait_their_turn_are_cancelled_and_resumed_and_stay_on_record(browser: Browser, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    with server(tmp_path) as url:
        ada, ben = Visitor(browser, url), Visitor(browser, url)
        ada.page.get_by_text("Settings", exact=True).click()
        ada.page.get_by_test_id("stNumberInputField").fill("400")  # so many that what is resumed is at work until it is cancelled
        ada.page.get_by_test_id("stNumberInputField").press("Enter")
        queue_one(ada, "Start training")
        expect(ben.page.get_by_role("button", name="Cancel")).to_be_visible()
        queue_one(ben, "Queue training")
        waiting = ada.page.get_by_text("One waiting")
        expect(waiting).to_be_visible()
        expect(ada.page.locator(".st-key-retrain-queue")).to_contain_text("LeNet-5, digits")
        ben.open("Retrains")
        states = ben.page.get_by_test_id("retrain").locator(".ink-verdict")
        expect(states).to_have_text(["waiting", "at work"])
        first = runs.list_runs()[-1]
        os.kill(runs.status(first).started["pid"], signal.SIGKILL)  # the trainer dies: the next one's turn
        expect(waiting).to_have_count(0)
        expect(states).to_have_text(["done", "crashed"], timeout=TRAINING)
        ben.page.locator(f".st-key-history-resume-{first.name} button").click()
        expect(states).to_have_text(["done", "at work"], timeout=TRAINING)
        ben.page.get_by_test_id("stSidebar").get_by_role("button", name="Cancel").click()
        expect(states).to_have_text(["done", "cancelled"], timeout=TRAINING)
        ben.page.locator(f".st-key-history-delete-{first.name} button:visible").click()
        expect(states).to_have_text(["done"])
        assert [run.name for run in runs.list_runs()] != [first.name]
        assert len(runs.list_runs()) == 1
        assert ada.complaints == []
        assert ben.complaints == []
