"""Retraining in headless Chromium: to the end, cancelled, refreshed in the middle, seen by somebody else."""

import re
import shutil
from collections.abc import Iterable
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


# Every call of the server and of all that it starts that could reach somebody; -D leaves the server the child of the test.
CALLS = "connect,bind,sendto,sendmsg,sendmmsg"
WATCHED = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-s", "80", "-e", "signal=none", "-e", f"trace={CALLS}", "-o")
LOCAL = re.compile(r'sa_family=AF_(UNIX|NETLINK|UNSPEC)\b|inet_addr\("127\.|inet_pton\(AF_INET6, "(::1|::ffff:127\.[\d.]+)"')


def foreign_calls(lines: Iterable[str]) -> list[str]:
    """Those that name an address of another machine, or of all of this one's."""
    return [line for line in lines if "sa_family=" in line and not LOCAL.search(line)]


def test_what_counts_as_a_call_of_somebody_else():
    local = [
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(5), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        '7 connect(5, {sa_family=AF_INET6, sin6_port=htons(5), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0',
        '7 connect(5, {sa_family=AF_UNIX, sun_path="/run/nscd"...}, 110) = -1 ENOENT',
        '7 sendto(9, ""..., 120, 0, NULL, 0) = 120',
    ]
    foreign = [
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("9.9.9.9")}, 16) = 0',
        '7 bind(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("0.0.0.0")}, 16) = 0',
        '7 sendto(5, ""..., 30, 0, {sa_family=AF_INET6, sin6_port=htons(53), inet_pton(AF_INET6, "2620:fe::fe", &sin6_addr)}, 28) = 30',
    ]
    assert foreign_calls(local + foreign) == foreign


def test_a_retrain_runs_to_its_end_and_its_network_answers_and_nobody_is_called(browser: Browser, tmp_path: Path, monkeypatch):
    for name in ("CI", "ORT_DISABLE_TELEMETRY"):  # ONNX Runtime is silent by itself where it sees one of these
        monkeypatch.delenv(name, raising=False)
    calls = tmp_path / "calls"
    before = (*WATCHED, str(calls)) if shutil.which("strace") else ()
    with server(tmp_path, before=before) as url:
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
        page.get_by_role("button", name="Delete for good").click()
        expect(titles).to_have_count(4)
        expect(page.get_by_test_id("comparison")).to_have_count(0)
        expect(picker).to_have_value(re.compile("^Small CNN"))
        assert list((tmp_path / "models" / "mnist").glob("lenet5-*")) == []
        assert visitor.complaints == []
        assert other.complaints == []
    if before:
        lines = calls.read_text().splitlines()
        assert any("bind(" in line and "127.0.0.1" in line for line in lines)
        assert foreign_calls(lines) == []


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


def test_a_stroke_shows_what_somebody_else_began_meanwhile(browser: Browser, tmp_path: Path):
    with server(tmp_path) as url:
        drawing, training = Visitor(browser, url), Visitor(browser, url)
        start(training.page, epochs=900)
        drawing.draw(DIGITS["7"])  # most often before that page has looked by itself
        expect(drawing.page.get_by_test_id("answer")).to_be_visible()
        expect(drawing.page.get_by_role("button", name="Cancel")).to_be_visible()
        expect(drawing.page.get_by_test_id("stException")).to_have_count(0)
        training.page.get_by_role("button", name="Cancel").click()
        expect(training.page.get_by_text("Nothing was published")).to_be_visible(timeout=TRAINING)
        drawing.draw(DIGITS["1"])
        expect(drawing.page.get_by_role("button", name="Start training")).to_be_visible()
        assert drawing.complaints == training.complaints == []
