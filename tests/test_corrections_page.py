"""The Corrections page through Streamlit's AppTest."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.errors import StreamlitAPIException
from streamlit.testing.v1 import AppTest

from corrections import store
from models import datasets
from tests import shapes
from tests.test_app import html_of
from tests.test_corrections import correction
from ui import serving


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))


def test_the_network_is_asked_once_about_each_correction(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{tmp_path / 'corrections.sqlite3'}")
    engine, asked, pixels = store.open_store(), [], store.pixels
    monkeypatch.setattr(store, "pixels", lambda engine, ids, about: asked.append(list(ids)) or pixels(engine, ids, about))
    for seed in range(3):
        store.keep(engine, correction(seed, label="7"), datasets.DATASETS["mnist"])
    app = AppTest.from_string("from ui import corrections; corrections.page()", default_timeout=60).run()
    (ids,) = asked
    assert len(ids) == 3
    asked.clear()
    store.remove(engine, [each for each in store.find(engine, datasets.DATASETS["mnist"]) if each.id == ids[1]])
    app.run()
    assert asked == []
    store.keep(engine, correction(7, label="3"), datasets.DATASETS["mnist"])
    assert not app.run().exception
    assert [len(ids) for ids in asked] == [1]


def test_corrections_of_a_data_set_that_cannot_be_read_now_are_not_offered_for_deletion(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{tmp_path / 'corrections.sqlite3'}")
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "own"))
    shapes.own_dataset(tmp_path / "own", "shapes", side=16, channels=1)
    own = datasets.info("shapes")
    pixels = np.zeros(own.shape, np.uint8)
    store.keep(store.open_store(), correction(dataset="shapes", label=own.labels[0], pixels=pixels), own)
    facts = tmp_path / "own" / "shapes" / datasets.FACTS
    whole = facts.read_bytes()
    for content, count in ((whole, 0), (whole[:-9], 0), (None, 1)):  # whole, damaged, deleted
        facts.write_bytes(content) if content else shutil.rmtree(facts.parent)
        app = AppTest.from_string("from ui import corrections; corrections.page()", default_timeout=60).run()
        assert not app.exception
        assert len([each for each in app.button if each.key == "corrections-delete-left-over"]) == count


def test_a_connection_without_an_address_is_one_sentence(monkeypatch):
    def connection(*_: object, **__: object) -> None:
        raise StreamlitAPIException("Missing SQL DB connection param: dialect")

    monkeypatch.setattr(serving.st, "connection", connection)
    app = AppTest.from_string("from ui import corrections; corrections.page()", default_timeout=60).run()
    assert not app.exception
    assert "[connections.corrections] in .streamlit/secrets.toml lacks a setting; give it a url" in html_of(app)


def test_where_the_secrets_cannot_be_read_no_other_database_takes_the_place_of_theirs(monkeypatch, tmp_path):
    secrets = tmp_path / "secrets.toml"
    monkeypatch.setattr(serving.st, "get_option", lambda name: [str(secrets)] if name == "secrets.files" else None)
    monkeypatch.setattr(serving.st, "secrets", SimpleNamespace(load_if_toml_exists=lambda: False))
    serving.corrections()  # without the file, the usual one
    secrets.write_text("[connections.corrections]\nurl = ")
    with pytest.raises(store.StoreError, match=r"secrets\.toml, which may name their database, cannot be read; mend it$"):
        serving.corrections()


def test_a_file_that_was_deleted_beneath_the_server_is_begun_anew(monkeypatch, tmp_path):
    """What is open of it would take in nothing more, and go on showing what was deleted with it."""
    file, about = tmp_path / "corrections.sqlite3", datasets.DATASETS["mnist"]
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{file}")
    for _ in range(3):
        store.keep(serving.corrections(), correction(1, label="7"), about)
        assert store.count(serving.corrections(), about) == 1
        file.unlink()
        assert store.count(serving.corrections(), about) == 0
        assert file.is_file()
