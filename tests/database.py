"""A real PostgreSQL for tests, where one is installed (make test installs it)."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

INITDB = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None) or shutil.which("initdb")


def _connect_once(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, in a folder that goes with it."""
    if not INITDB:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="inkling-postgresql-"))  # another pytest locks all others out of the folder that pytest makes
    user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]  # it refuses to run as root
    if user:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    shared = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*user, INITDB, "-D", folder / "data", "-U", "inkling", "--auth=trust", "--no-sync"], check=True, **shared)
    command = [*user, Path(INITDB).with_name("postgres"), "-D", folder / "data", "-p", str(port), "-h", "localhost", "-k", folder, "-F"]
    server = subprocess.Popen(command, **shared)
    url = f"postgresql+psycopg://inkling@localhost:{port}/postgres"
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                _connect_once(url)
                break
            except sqlalchemy.exc.OperationalError:
                assert server.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # do not wait for connections that are still open
        server.wait(30)
        shutil.rmtree(folder)
