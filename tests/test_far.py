"""Retrains on nodes that share no folder with the app: what goes through an fsspec address, here a real FTP server, a folder or memory."""

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from jobs import artefacts, cluster, events, queue, runs, site
from jobs.artefacts import ArtefactsError, Box
from jobs.config import RunConfig
from models import datasets, shelf
from tests import shapes
from tests.browser import free_port
from tests.ray_head import Node, queued, until
from training import far
from training.__main__ import main
from training.own_images import import_images

SHORT = RunConfig(network="fc", hidden=(16,), epochs=2, threads=1, publish="short")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The address of an FTP server, and the folder of its files. One for all: a second would need another process."""
    files = tmp_path_factory.mktemp("ftp")
    logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # Python 3.11's own asyncore, and anonymous writers, on this machine alone
        warnings.simplefilter("ignore")
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import ThreadedFTPServer

        rights = DummyAuthorizer()
        rights.add_anonymous(str(files), perm="elradfmwMT")
    found = ThreadedFTPServer(("localhost", 0), type("Handler", (FTPHandler,), {"authorizer": rights}))
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"ftp://localhost:{found.address[1]}", files
    found.close_all()


@pytest.fixture
def ftp(server, tmp_path) -> str:
    """The address of a folder of this test's own."""
    return f"{server[0]}/{tmp_path.name}"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where the jobs of a node keep their files; for jobs in this process too, which set variables."""
    for name in ("INKLING_RUNS", "INKLING_MODELS", "INKLING_DATASETS"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


def weights(folder: Path) -> dict:
    return load_file(folder / "member-0.safetensors")


@pytest.mark.parametrize("kind", ["ftp", "file", "memory"])
def test_a_box_gives_back_what_was_put_into_it(kind, ftp, tmp_path):
    box = Box({"ftp": f"{ftp}/run", "file": f"file://{tmp_path}/deep/run", "memory": "memory://inkling/run"}[kind])
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    assert (box.names(""), box.read("job")) == ([], None)
    for content in (os.urandom(300_000), b"new"):  # the second in place of the first
        source.write_bytes(content)
        box.put([(source, "run/a"), (source, "run/deep/b")])
        box.get("run/deep/b", target)
        assert target.read_bytes() == content
    box.write("job", b"first")
    box.write("job", b"second")
    assert box.read("job") == b"second"
    assert box.names("") == ["job", "run/a", "run/deep/b"]
    assert box.names("run") == ["run/a", "run/deep/b"]
    box.discard("job")
    box.discard("job")
    assert box.names("") == ["run/a", "run/deep/b"]
    box.remove()
    box.remove()
    assert box.names("") == []


def test_an_address_that_cannot_be_used_and_one_that_does_not_answer_are_told_apart():
    with pytest.raises(ArtefactsError, match=r"^nosuch://place/x cannot be used \(.*\); install what fsspec asks for, or mend artefacts"):
        Box("nosuch://place/x").names("")
    with pytest.raises(ConnectionRefusedError):
        Box(f"ftp://localhost:{free_port()}/x").names("")


@pytest.mark.parametrize("address", ["bucket/inkling", "s3://", "s3://key:secret@bucket/x", "ftp://a b/x", 7])
def test_an_address_that_cannot_be_one_is_refused(address):
    with pytest.raises(site.SiteError, match=re.escape(f"ray's artefacts is {address!r}; give an address that fsspec reads")):
        site.Site(ray_artefacts=address)
    assert site.Site(ray_artefacts="sftp://ada@host:22/srv/inkling").ray_artefacts


def test_a_node_without_a_shared_folder_trains_to_the_same_weights(monkeypatch, home, server, ftp, tmp_path):
    import_images(shapes.write_folder(tmp_path / "pictures"), "mine", side=20)
    start = RunConfig(dataset="mine", network="fc", hidden=(16,), epochs=1, threads=1, publish="first")
    folder, lock = runs.create(start)
    os.close(lock)
    assert main(["fit", "--resume", str(folder)]) == 0
    further = RunConfig(dataset="mine", network="fc", hidden=(16,), epochs=3, threads=1, start_from="first", publish="further")
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, further, ftp)
        assert cluster.follow(run) == 0
    status = runs.status(run, alive=False)
    assert status.state == "done"
    assert len(status.epochs) == 3
    assert events.first(run)["kind"] == "queued"
    assert "published mine/further" in (run / "log.txt").read_text()
    card = shelf.load_card("mine", "further")
    assert card.read_graph()
    assert sorted(path.name for path in card.folder.iterdir()) == ["first.json", "first.onnx", "further.json", "further.onnx"]
    assert list((server[1] / tmp_path.name).iterdir()) == []
    assert not list(home.glob("inkling-job-*"))

    here, lock = runs.create(further, tmp_path / "here")
    os.close(lock)
    assert main(["fit", "--resume", str(here)]) == 0
    for name, values in weights(here).items():
        assert (values == weights(run)[name]).all(), name


def test_a_lost_node_costs_no_epoch_that_was_delivered(monkeypatch, home, ftp, tmp_path):
    config = RunConfig(network="fc", hidden=(64,), epochs=60, threads=1, publish="long")
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, config, ftp)
        follower = threading.Thread(target=cluster.follow, args=[run])
        follower.start()
        until(lambda: len(runs.status(run, alive=True).epochs) > 2, run)
        node.lose()
        until(lambda: [event["kind"] for event in events.read(run)].count("started") == 2)
        follower.join()
    told = [event["kind"] for event in events.read(run)]
    assert told.count("done") == 1
    epochs = [event["epoch"] for event in events.read(run) if event["kind"] == "epoch"]
    assert sorted(set(epochs)) == list(range(1, 61))
    assert len(epochs) < 70  # what was not delivered is trained again, and no more
    assert shelf.load_card("mnist", "long").read_graph()


def test_a_run_is_cancelled_through_its_box(monkeypatch, home, ftp, tmp_path):
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, RunConfig(network="fc", hidden=(64,), epochs=1000, threads=1), ftp)
        follower = threading.Thread(target=cluster.follow, args=[run])
        follower.start()
        until(lambda: runs.status(run, alive=True).epochs, run)
        (run / runs.CANCEL).touch()
        follower.join()
        (job,) = node.jobs.values()
        assert job.wait(60) == 1
    assert runs.status(run, alive=False).state == "cancelled"
    assert weights(run)  # to go on from


def test_an_address_out_of_reach_is_waited_for_until_the_run_is_cancelled(monkeypatch, home, tmp_path):
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, SHORT, f"ftp://localhost:{free_port()}/inkling")
        threading.Timer(1.5, (run / runs.CANCEL).touch).start()
        assert cluster.follow(run) == 1
        assert node.jobs == {}
    assert runs.status(run, alive=False).state == "cancelled"
    assert queue.waiting() == []


def boxed(monkeypatch, tmp_path: Path, address: str) -> tuple[Box, Path]:
    """A box that is packed for the job "first"."""
    (tmp_path / "inkling.toml").write_text(f'[ray]\naddress = "http://localhost:1"\nartefacts = "{address}"\n')
    monkeypatch.setenv(site.VARIABLE, str(tmp_path / "inkling.toml"))
    run, lock = runs.create(SHORT)
    os.close(lock)
    box = artefacts.box(run)
    artefacts.pack(box, run, "first")
    return box, run


def test_a_job_whose_box_is_another_jobs_by_now_brings_nothing(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path, f"file://{tmp_path}/boxes")
    delivery = far._Delivery(box, "first", run, shelf.shelf_folder())
    events.append(run, "started", pid=1)
    delivery.bring()
    assert box.names(artefacts.TOLD) == ["told/first"]
    ended = []
    monkeypatch.setattr(far.os, "_exit", lambda code: ended.append(code) or (_ for _ in ()).throw(SystemExit))
    artefacts.pack(box, run, "second")
    events.append(run, "step", progress=0.5)
    before = box.read("told/first")
    with pytest.raises(SystemExit):
        delivery.bring()
    assert ended == [1]
    assert box.read("told/first") == before


def test_what_was_told_is_taken_home_once_and_half_a_line_not_yet(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path, f"file://{tmp_path}/boxes")
    one, other = (f'{{"kind": "epoch", "time": 1.0, "member": 0, "epoch": {number}}}\n'.encode() for number in (1, 2))
    for told, known in ((one + other[:9], 1), (one + other, 2), (one + other, 2)):
        box.write("told/first", told)
        artefacts.take_home(box, run)
        assert [event["epoch"] for event in events.read(run)] == list(range(1, known + 1))


def test_a_network_that_arrives_damaged_is_not_put_on_the_shelf(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path, f"file://{tmp_path}/boxes")
    box.write("networks/mnist/short.onnx", b"half")
    box.write("networks/mnist/short.json", b'{"sha256": "00"}')
    box.write("told/first", b'{"kind": "exported", "time": 1.0}\n')
    with pytest.raises(OSError, match=r"short\.onnx arrived damaged"):
        artefacts.take_home(box, run)
    assert list((shelf.shelf_folder() / "mnist").iterdir()) == []
    assert events.read(run) == []


def test_a_box_that_names_files_elsewhere_is_not_unpacked(monkeypatch, home, tmp_path):
    box, _ = boxed(monkeypatch, tmp_path, f"file://{tmp_path}/boxes")
    monkeypatch.setattr(Box, "names", lambda self, under: ["needed/../../escaped"] if under == artefacts.NEEDED else [])
    with pytest.raises(OSError, match="names a file outside of it"):
        far._unpack(box, home / "deep")
    assert datasets.datasets_folder().parent == tmp_path
