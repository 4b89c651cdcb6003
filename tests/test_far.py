"""Retrains on nodes that share no folder with the app: what goes through an fsspec address, here a real FTP server, a folder or memory."""

import dataclasses
import json
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
from jobs.runs import ROOT
from models import shelf
from tests import shapes
from tests.browser import free_port
from tests.ray_head import Node, queued, until
from training import corrected, far
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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


def weights(folder: Path) -> dict:
    return load_file(folder / "member-0.safetensors")


@pytest.mark.parametrize("kind", ["ftp", "file", "memory"])
def test_a_box_gives_back_what_was_put_into_it(kind, ftp, server, tmp_path):
    box = Box({"ftp": f"{ftp}/run", "file": f"file://{tmp_path}/deep/run", "memory": "memory://inkling/run"}[kind])
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    assert box.read("job") is None
    assert box.contents() is None
    with pytest.raises(FileNotFoundError):
        box.get("run/a", target, 100)
    for content in (os.urandom(300_000), b"new"):  # the second in place of the first
        source.write_bytes(content)
        box.put([(source, "run/a"), (source, "run/deep/b")])
        box.get("run/deep/b", target, len(content))
        assert target.read_bytes() == content
        with pytest.raises(ArtefactsError, match=r"run/a has more than 0 MB; look who may write there$"):
            box.get("run/a", target, len(content) - 1)
        assert target.read_bytes() == content
    box.write("job", b"first")
    box.write("job", b"second")
    assert box.read("job") == b"second"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    places = {"ftp": server[1] / tmp_path.name / "run", "file": tmp_path / "deep" / "run"}
    if kind in places:
        assert sorted(path.name for path in places[kind].rglob("*") if path.is_file()) == ["a", "b", "job"]
    box.remove()
    box.remove()
    assert box.read("job") is None


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"jobs": [], "files": []}', b'{"jobs": ["../x"], "files": []}', b"[" * 100_000])
def test_a_box_whose_list_is_damaged_is_told_in_one_sentence(content, tmp_path):
    box = Box(f"file://{tmp_path}/run")
    box.write(artefacts.BOX, content)
    with pytest.raises(ArtefactsError, match=rf"^box\.json at file://{tmp_path}/run .*; delete that folder and resume the run$"):
        box.contents()


def test_an_address_that_cannot_be_used_and_one_that_does_not_answer_are_told_apart():
    with pytest.raises(ArtefactsError, match=r"^nosuch://place/x cannot be used \(.*\); install what fsspec asks for, or mend artefacts"):
        Box("nosuch://place/x").read("job")
    with pytest.raises(ConnectionRefusedError):
        Box(f"ftp://localhost:{free_port()}/x").read("job")


def test_who_is_not_let_in_is_told_and_does_not_ask_for_ever(ftp):
    with pytest.raises(ArtefactsError, match=r"lets nobody in \(530.*\); mend what fsspec's own configuration says, and resume the run$"):
        Box(ftp.replace("//", "//nobody:wrong@")).read("job")


@pytest.mark.parametrize("address", ["bucket/inkling", "s3://", "s3://key:sec/ret@bucket/x", "ftp://a b/x", "s3://bucket/*", 7])
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
        (run / artefacts.CORRECTIONS).write_bytes(b"of no use any more when it is done")
        assert cluster.follow(run) == 0
    assert not (run / artefacts.CORRECTIONS).exists()
    status = runs.status(run, alive=False)
    assert status.state == "done"
    assert len(status.epochs) == 3
    assert status.started["start_sha256"] == shelf.load_card("mine", "first").sha256  # what a resumed run looks at
    assert len(status.started["train_sha256"]) == 64
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


def boxed(monkeypatch, tmp_path: Path, config: RunConfig = SHORT) -> tuple[Box, Path]:
    """A box that is packed for the job "first"."""
    (tmp_path / "inkling.toml").write_text(
        f'mode = "local"\n[ray]\naddress = "http://localhost:1"\nartefacts = "file://{tmp_path}/boxes"\n'
    )
    monkeypatch.setenv(site.VARIABLE, str(tmp_path / "inkling.toml"))
    run, lock = runs.create(config)
    os.close(lock)
    events.append(run, "queued", owner="ada", host=queue.RAY, seconds=1.0)
    box = artefacts.box(run)
    artefacts.pack(box, run, "first")
    return box, run


def unpacked(monkeypatch, box: Box, job: str, home: Path) -> tuple[far._Delivery, Path]:
    """What a job of this process would work with."""
    monkeypatch.setattr(far.os, "environ", {})
    home.mkdir(exist_ok=True)
    folder = far._unpack(box, job, home)
    return far._Delivery(box, job, folder, home), folder


def test_a_run_is_packed_without_a_start_that_is_gone_and_goes_on_from_its_checkpoint(monkeypatch, home, tmp_path):
    box, _ = boxed(monkeypatch, tmp_path, dataclasses.replace(SHORT, start_from="gone"))
    _, folder = unpacked(monkeypatch, box, "first", home)
    assert [path.name for path in sorted(folder.iterdir())] == ["config.json", "events.jsonl"]


EPOCH = {"progress": 0.5, "member": 0, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "seconds": 1.0}


def test_a_job_whose_box_is_another_jobs_by_now_brings_nothing_and_leaves(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path)
    delivery, folder = unpacked(monkeypatch, box, "first", home)
    events.append(folder, "redrawing")
    delivery.bring()
    before = box.read("told/first")
    artefacts.pack(box, run, "second")
    events.append(folder, "teaching")
    ended = []
    monkeypatch.setattr(far.os, "_exit", lambda code: ended.append(code) or (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        delivery.bring()
    assert ended == [1]
    assert box.read("told/first") == before
    assert not home.exists()


def test_what_was_told_is_taken_home_once_and_half_a_line_not_yet(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path)
    one, other = (json.dumps({"kind": "epoch", "time": 1.0, **EPOCH, "epoch": number}).encode() + b"\n" for number in (1, 2))
    for told, known in ((one + other[:9], 1), (one + other, 2), (one + other, 2)):
        box.write("told/first", told)
        artefacts.take_home(box, run)
        assert [event["epoch"] for event in events.read(run)[1:]] == list(range(1, known + 1))


HOSTILE = [
    {"kind": "queued", "time": 1.0},
    {"kind": "turn", "time": 1.0, "device": "ray"},
    {"kind": ["done"], "time": 1.0},
    {"kind": "epoch", "time": 1.0},
    {"kind": "epoch", "time": 1.0, "epoch": True} | EPOCH,
    {"kind": "step", "time": 1.0, "member": 0, "x": 0.1, "loss": "low", "lr": 0.1, "progress": 0.5},
    {"kind": "step", "time": 1.0, "member": 0, "x": 0.1, "loss": 0.1, "lr": 0.1, "progress": 5.0},
    {"kind": "epoch", "time": 1.0} | EPOCH | {"val_accuracy": -0.5},
    {"kind": "redrawing", "time": None},
    {"kind": "redrawing", "time": float("nan")},
    {"kind": "redrawing", "time": 10**400},
    {"kind": "started", "time": 1.0, "device": "CPU", "data": "x", "is_sample": True, "train_images": 10**400, "parameters": 1},
    {"kind": "failed", "time": 1.0, "message": 7},
    {"kind": "exported", "time": 1.0, "name": "../../x", "dataset": "mnist", "val_accuracy": 1.0, "test_accuracy": 1.0},
    {"kind": "exported", "time": 1.0, "name": "short", "dataset": "fashion-mnist", "val_accuracy": 1.0, "test_accuracy": 1.0},
]


def test_a_box_tells_nothing_that_a_job_could_not_have_told(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path)
    before = events.content(run)
    box.write("told/first", b"\n".join([json.dumps(each).encode() for each in HOSTILE] + [b"[" * 100_000, b"\xff", b""]))
    artefacts.take_home(box, run)
    assert events.content(run) == before
    started = {
        "kind": "started",
        "time": 2.0,
        "pid": 1,
        "device": "CPU",
        "data": "x",
        "is_sample": True,
        "train_images": 1,
        "parameters": 1,
    }
    box.write("told/first", json.dumps(started | {"host": "here"}).encode() + b"\n")
    artefacts.take_home(box, run)
    assert events.read(run)[-1] == {name: value for name, value in started.items() if name != "pid"}
    runs.status(run)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (b'{"sha256": "00"}', "arrived from .* with a card that cannot be its own"),
        (b"\xff", "arrived from .* with a card that cannot be its own"),
        (None, r"short\.onnx arrived damaged from .* \(sha256 differs from its card's\); train it again"),
    ],
)
def test_a_network_that_arrives_damaged_is_not_put_on_the_shelf(monkeypatch, home, tmp_path, card, said):
    box, run = boxed(monkeypatch, tmp_path)
    box.write("networks/mnist/short.onnx", b"half")
    box.write("networks/mnist/short.json", (ROOT / "models/mnist/fc.json").read_bytes() if card is None else card)
    told = {"kind": "exported", "time": 1.0, "name": "short", "dataset": "mnist", "val_accuracy": 0.9, "test_accuracy": 0.9}
    box.write("told/first", json.dumps(told).encode() + b"\n")
    with pytest.raises(ArtefactsError, match=said):
        artefacts.take_home(box, run)
    assert list((shelf.shelf_folder() / "mnist").iterdir()) == []
    assert [event["kind"] for event in events.read(run)] == ["queued"]


@pytest.mark.parametrize("name", ["run/../../escaped", "networks/../../../escaped", "elsewhere/escaped", "/escaped"])
def test_a_box_that_names_files_elsewhere_is_not_unpacked(monkeypatch, home, tmp_path, name):
    box, _ = boxed(monkeypatch, tmp_path)
    box.write(artefacts.BOX, json.dumps({"jobs": ["first"], "files": [name]}).encode())
    with pytest.raises(ArtefactsError, match="names a file outside of it"):
        far._unpack(box, "first", home)
    assert not list(tmp_path.rglob("escaped"))


def test_an_end_is_told_only_with_the_checkpoint_that_it_left(monkeypatch, home, tmp_path):
    box, _ = boxed(monkeypatch, tmp_path)
    delivery, folder = unpacked(monkeypatch, box, "first", home)
    (folder / "member-0.safetensors").write_bytes(b"early")
    put = Box.put

    def meanwhile(self, files):
        monkeypatch.setattr(Box, "put", put)
        (folder / "new").write_bytes(b"late")
        (folder / "new").replace(folder / "member-0.safetensors")
        events.append(folder, "done")
        put(self, files)

    content = events.content

    def late(of):  # the run ends between two looks at what it told
        if of == folder and content(of).count(b"done") == 0 and delivery.told == b"":
            monkeypatch.setattr(events, "content", content)
            told = content(of)
            events.append(folder, "done")
            return told
        return content(of)

    monkeypatch.setattr(Box, "put", meanwhile)
    monkeypatch.setattr(events, "content", late)
    delivery.bring()
    box.get("run/member-0.safetensors", tmp_path / "there", artefacts.LARGEST)
    assert (tmp_path / "there").read_bytes() == b"early"
    assert b"done" not in box.read("told/first")
    delivery.bring()
    box.get("run/member-0.safetensors", tmp_path / "there", artefacts.LARGEST)
    assert (tmp_path / "there").read_bytes() == b"late"
    assert b"done" in box.read("told/first")


def test_a_box_that_another_follower_left_is_gone_on_with(monkeypatch, home, ftp, tmp_path):
    """The app's machine was lost, its job went on and was cancelled by nobody: what it told and left is where the next one begins."""
    config = RunConfig(network="fc", hidden=(64,), epochs=40, threads=1, publish="later")
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, config, ftp)
        box = artefacts.box(run)
        artefacts.pack(box, run, "lost")
        cluster._submit(run, "lost", box)
        until(lambda: (box.read("told/lost") or b"").count(b"epoch") > 4)
        assert cluster.follow(run) == 0
        assert node.jobs["lost"].wait(30) == 1
    epochs = [event["epoch"] for event in events.read(run) if event["kind"] == "epoch"]
    assert sorted(set(epochs)) == list(range(1, 41))
    assert len(epochs) < 50


def test_a_job_that_fails_says_why_and_its_box_is_taken_away(monkeypatch, home, server, ftp, tmp_path):
    monkeypatch.setenv("INKLING_CORRECTIONS", "sqlite://")
    with Node(home) as node:
        run = queued(monkeypatch, tmp_path, node, RunConfig(network="fc", hidden=(8,), corrections=True, threads=1), ftp)
        assert cluster.follow(run) == 1
        assert len(node.jobs) == 1
    status = runs.status(run, alive=False)
    assert status.state == "failed"
    assert status.message.startswith("there are no corrections of MNIST digits")
    assert list((server[1] / tmp_path.name).iterdir()) == []


def test_corrections_go_along(monkeypatch, home, tmp_path):
    box, run = boxed(monkeypatch, tmp_path)
    (run / artefacts.CORRECTIONS).write_bytes(b"kept")
    artefacts.pack(box, run, "second")
    _, folder = unpacked(monkeypatch, box, "second", home)
    assert (folder / corrected.FILE).read_bytes() == b"kept"
