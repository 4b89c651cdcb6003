"""The pages with own data sets, through Streamlit's AppTest."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from corrections import store
from jobs import queue, runs
from jobs.config import RunConfig
from models import datasets
from tests import shapes
from tests.test_app import html_of, run_app, run_page
from ui import own_images, problems, serving, tell, upload, visitor

MADE = "2026-01-01T00:00:00Z"  # when the data sets here were


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def own_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Path:
    """Two own data sets; their folder."""
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=32, channels=3)
    shapes.own_dataset(tmp_path / "datasets", "tiny", side=8, channels=1)
    return tmp_path / "datasets"


@pytest.mark.parametrize("page", ["draw", "upload", "models"])
def test_an_own_data_set_without_a_network_says_what_to_do(page, own_dataset):
    app = AppTest.from_string(f"from ui import {page}; {page}.page()", default_timeout=60)
    app.session_state["data"] = "ants"
    assert "No network for Ants yet" in html_of(app.run())


def test_a_long_class_name_is_shortened_in_the_lead_of_the_upload_page(own_dataset):
    path = own_dataset / "ants" / datasets.FACTS
    facts = json.loads(path.read_text())
    facts["labels"][0] = "w" * 200
    path.write_text(json.dumps(facts))
    _, lead = upload._heading(datasets.info("ants"))
    assert f"3 classes: {'w' * (upload.LONGEST_LABEL - 1)}…, class 1, class 2. There is no gate before" in lead


def test_own_data_sets_are_in_the_picker_and_the_form_offers_what_takes_them(own_dataset):
    app = run_app()
    assert app.selectbox(key="data").options == ["Digits", "Clothing", "Ants", "Tiny"]
    app.selectbox(key="data").set_value("ants").run()
    assert app.selectbox(key="retrain-architecture-ants").options[0] == "LeNet-like (quick)"
    assert app.number_input(key="retrain-epochs-ants").value > 1
    app.selectbox(key="data").set_value("tiny").run()
    assert app.selectbox(key="retrain-architecture-tiny").options == ["Small ResNet (better on photos, slower)", "Fully connected"]


def test_a_data_set_that_was_deleted_gives_way_to_the_first(own_dataset):
    app = run_app()
    app.selectbox(key="data").set_value("ants").run()
    for name in ("ants", "tiny"):
        datasets.remove(name)
    assert "Draw a digit" in html_of(app.run())
    assert app.selectbox(key="data").value == "mnist"


def test_the_picker_stays_of_its_kind_so_that_the_address_goes_on_telling(own_dataset):
    kept = {each.name: datasets.own_folder(each.name) for each in datasets.list_own()[0]}
    away = [path.rename(path.with_name(f".{name}")) for name, path in kept.items()]
    app = run_app()
    assert app.button_group(key="data").options == ["Digits", "Clothing"]
    for path, back in zip(away, kept.values(), strict=True):
        path.rename(back)
    assert app.run().button_group(key="data").options == ["Digits", "Clothing", "Ants", "Tiny"]


def test_names_of_own_classes_cannot_bring_markup_into_the_page(own_dataset):
    path = own_dataset / "ants" / datasets.FACTS
    facts = json.loads(path.read_text()) | {"title": "<img src=x>", "labels": ["<b>a", "<i>b", "<script>"]}
    path.write_text(json.dumps(facts))
    for page in ("own_images", "upload", "draw"):
        app = AppTest.from_string(f"from ui import {page}; {page}.page()", default_timeout=60)
        app.session_state["data"] = "ants"
        shown = html_of(app.run())
        assert "&lt;img src=x&gt;" in shown
        assert not any(markup in shown for markup in ("<img src=x", "<b>a", "<i>b", "<script>"))


def telling() -> None:
    """What is asked of a picture of the data set ants that was read wrong."""
    from types import SimpleNamespace

    import numpy as np
    import streamlit as st

    from ui import tell

    answer = SimpleNamespace(digits=(), prepared=SimpleNamespace(pixels=np.zeros((2, 2), np.uint8)))
    tell.show(st.container(), SimpleNamespace(dataset="ants"), answer, lambda: None, "here")


def test_names_of_own_classes_are_shown_as_they_are_where_streamlit_reads_markdown(own_dataset, monkeypatch):
    labels = ["*a*", ":smile:", "Ä – b_c_d"]
    path = own_dataset / "ants" / datasets.FACTS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": labels}))
    monkeypatch.setattr(tell, "_keep", lambda card, answer, label, picture, beside: label)
    app = run_page(telling)
    assert app.button_group[0].options == [r"\*a\*", r"\:smile\:", r"Ä – b\_c\_d"]
    app.button_group[0].set_value("*a*").run()
    app.button[0].click().run()
    assert not app.exception
    assert app.success[0].value == r"Kept as \*a\*."


def test_what_is_asked_of_a_data_set_that_was_deleted_meanwhile_is_one_sentence(own_dataset):
    app = run_page(telling)
    shutil.rmtree(own_dataset / "ants")
    assert "there is no data set &#x27;ants&#x27;" in html_of(app.run())
    assert not app.button


def test_a_data_set_stays_where_its_corrections_cannot_be_deleted(own_dataset, monkeypatch):
    def fails():
        raise store.StoreError("corrections cannot be opened (OperationalError)")

    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(serving, "corrections", fails)
    monkeypatch.setattr(visitor, "demand", lambda act: None)
    own_images._delete(datasets.info("ants"), MADE)
    assert problems.told("own-problem-ants") == "corrections cannot be opened (OperationalError)"
    assert datasets.info("ants").is_own


def test_a_data_set_stays_while_a_retrain_waits_for_it_or_is_at_work(own_dataset, monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(visitor, "demand", lambda act: None)
    run, lock = runs.create(RunConfig(dataset="ants", network="fc"))
    monkeypatch.setattr(queue, "active_runs", lambda: [run])
    monkeypatch.setattr(serving, "corrections", lambda: None)
    monkeypatch.setattr(store, "remove_all", lambda kept, dataset: None)
    own_images._delete(datasets.info("ants"), MADE)
    assert "a retrain is at work on these pictures" in problems.told("own-problem-ants")
    assert datasets.info("ants").is_own
    own_images._delete(datasets.info("tiny"), MADE)
    assert [each.name for each in datasets.list_own()[0]] == ["ants"]
    os.close(lock)


def test_a_data_set_with_damaged_pictures_is_still_listed(own_dataset, monkeypatch):
    (own_dataset / "ants" / "train-pixels.npy").write_bytes(b"")
    np.save(own_dataset / "tiny" / "train-pixels.npy", np.zeros((1, 1, 8, 8), np.uint8))
    monkeypatch.setattr(visitor, "may_act", lambda: True)
    page = html_of(AppTest.from_string("from ui import own_images; own_images.page()", default_timeout=60).run())
    assert page.count('data-testid="classes"') == 2


def test_a_data_set_may_have_the_name_of_a_button(own_dataset, monkeypatch):
    for name in ("import", "use-ants", "delete-ants", "zip-0"):
        shapes.own_dataset(own_dataset, name, side=8, channels=1)
    monkeypatch.setattr(visitor, "may_act", lambda: True)
    page = AppTest.from_string("from ui import own_images; own_images.page()", default_timeout=60).run()
    assert not page.exception
    assert html_of(page).count('data-testid="classes"') == 6


def test_a_data_set_is_not_deleted_for_an_earlier_one_of_its_name(own_dataset, monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(visitor, "demand", lambda act: None)
    own_images._delete(datasets.info("ants"), "2025-12-24T00:00:00Z")
    assert problems.told("own-problem-ants").startswith("Ants was deleted and another data set has its name now")
    assert datasets.info("ants").is_own


def test_an_import_that_a_click_ended_is_told(own_dataset, monkeypatch):
    class Rerun(BaseException):
        """As Streamlit ends a run for the next one."""

    def clicked(*facts):
        yield 1, 10
        raise Rerun

    monkeypatch.setattr(visitor, "may_act", lambda: True)
    monkeypatch.setattr(visitor, "demand", lambda act: None)
    monkeypatch.setattr(own_images, "import_zip", clicked)
    monkeypatch.setattr(st, "session_state", {})
    with pytest.raises(Rerun):
        own_images._import(SimpleNamespace(getbuffer=lambda: b""), "Ants two", 64, False)
    app = AppTest.from_string("from ui import own_images; own_images.page()", default_timeout=60)
    app.session_state["own-problem"] = st.session_state["own-problem"]
    assert "The import of Ants two was ended by a click elsewhere" in html_of(app.run())
    assert "was ended by a click" not in html_of(app.run())
