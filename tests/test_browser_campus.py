"""Two servers behind Debian's nginx, with deploy/nginx.conf, one folder of networks and runs, and corrections in PostgreSQL."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from playwright.sync_api import Browser, expect

from corrections import store
from jobs import runs
from jobs.runs import ROOT
from jobs.site import VARIABLE
from tests.browser import DIGITS, Visitor, free_port, server, wait_until_healthy
from tests.provider import provider
from tests.test_browser_corrections import tell
from tests.test_browser_public import provided, sign_in

PLACES = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin", str(Path(sys.prefix) / "nginx" / "usr" / "sbin")]
)  # the last: make test unpacks it
NGINX = shutil.which("nginx", path=PLACES)
TRAINING = 240_000  # milliseconds
# What Debian's nginx.conf puts around a site, in folders of the test's own. The log says which server each request went to.
AROUND = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    log_format where '$upstream_addr $request_uri';
    access_log {folder}/access.log where;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@contextmanager
def nginx(folder: Path, port: int, ports: Sequence[int]) -> Iterator[str]:
    """The repository's file, at a port, in front of these servers; yields the address."""
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in {"127.0.0.1:8501": f"127.0.0.1:{ports[0]}", "127.0.0.1:8502": f"127.0.0.1:{ports[1]}", "listen 80;": f"listen 127.0.0.1:{port};", "inkling.school.example": "localhost"}.items():  # fmt: skip
        assert site.count(old) == 1
        site = site.replace(old, new)
    folder.mkdir()
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    process = subprocess.Popen(
        [
            NGINX,
            "-e",
            str(folder / "error.log"),
            "-c",
            str(folder / "nginx.conf"),
            "-p",
            str(folder),
            "-g",
            "daemon off; master_process off;",
        ]
    )
    try:
        wait_until_healthy(f"http://localhost:{port}", process)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


def server_of(folder: Path) -> int:
    """The port of the server that the last websocket was opened with."""
    lines = [line for line in (folder / "access.log").read_text().splitlines() if "_stcore/health" in line]
    return int(re.match(r"[\d.]+:(\d+)", lines[-1]).group(1))


@pytest.fixture
def database(postgresql: str) -> Iterator[str]:
    """PostgreSQL, without what is kept in it here once the test has ended."""
    yield postgresql
    engine = sqlalchemy.create_engine(postgresql)
    store.TABLE.drop(engine, checkfirst=True)
    engine.dispose()


@pytest.mark.skipif(not NGINX, reason="nginx is not installed: apt-get install nginx")
def test_one_server_of_two_is_killed_and_its_visitors_go_on_with_all_that_was_saved(
    browser: Browser, tmp_path: Path, monkeypatch, database: str
):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    port, *ports = free_port(), free_port(), free_port()
    site = tmp_path / "inkling.toml"
    site.write_text('mode = "public"\nallowed = ["@school.example"]\n')
    shared = {"INKLING_CORRECTIONS": database, VARIABLE: str(site), "STREAMLIT_SERVER_COOKIE_SECRET": "the same on every server"}
    tell_pid = ("sh", "-c", f'echo $$ > {tmp_path}/$5.pid; exec "$@"', "sh")
    with (
        provider() as signs_in,
        server(tmp_path, ports[0], provided(tmp_path, port, signs_in), tell_pid, **shared),
        server(tmp_path, ports[1], provided(tmp_path, port, signs_in), tell_pid, **shared),
        nginx(tmp_path / "nginx", port, ports) as url,
    ):
        visitors = {}
        for _ in range(20):  # which server a cookie leads to is chance
            visitor = Visitor(browser, url)
            expect(visitor.page.locator("canvas.upper-canvas")).to_have_count(1)
            visitors.setdefault(server_of(tmp_path / "nginx"), visitor)
            if len(visitors) == 2:
                break
        assert set(visitors) == set(ports)
        ada, ben = visitors[ports[0]], visitors[ports[1]]
        for name, visitor in {"ada": ada, "ben": ben}.items():
            signs_in.claims = {"email": f"{name}@school.example", "email_verified": True}
            sign_in(visitor)
        ada.draw(DIGITS["7"])
        expect(ada.page.get_by_test_id("answer")).to_be_visible()
        tell(ada, "2")
        expect(ada.page.get_by_text("Kept as 2.")).to_be_visible()
        ada.page.get_by_role("button", name="Start training").click()
        expect(ben.page.get_by_text("LeNet-5, digits")).to_be_visible()  # the run that the other server started
        ben.open("Corrections")
        expect(ben.page.get_by_test_id("correction")).to_contain_text("said 7")

        os.kill(int((tmp_path / f"{ports[0]}.pid").read_text()), signal.SIGKILL)
        ada.page.reload()
        ada.draw(DIGITS["1"])
        expect(ada.page.get_by_test_id("answer")).to_be_visible()
        assert ada.glyph() == "1"
        expect(ada.page.get_by_text("is ready after")).to_be_visible(timeout=TRAINING)
        ada.open("Corrections")
        expect(ada.page.get_by_test_id("correction")).to_contain_text("said 7")
        ada.open("Retrains")
        expect(ada.page.get_by_test_id("retrain").locator(".ink-verdict")).to_have_text(["done"])
        assert [runs.status(run).state for run in runs.list_runs()] == ["done"]
        assert ben.complaints == []
