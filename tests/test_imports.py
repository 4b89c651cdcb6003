"""jobs/imports.py: an upload goes through a child process, and leaves nothing but a data set."""

import os
import tempfile
from pathlib import Path

import pytest

from jobs import imports
from jobs.imports import ImportFailed, import_zip, name_of
from models import datasets
from tests import shapes


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> Path:
    """Where data sets go; temporary files go beside them, to be looked for."""
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


@pytest.mark.parametrize(
    ("title", "name"), [("Scenes", "scenes"), ("Meine Häuser!", "meine-hauser"), ("  a__b ", "a-b"), ("x" * 60, "x" * 40), ("1998", "1998")]
)
def test_a_title_gives_a_name(title, name):
    assert name_of(title) == name


@pytest.mark.parametrize("title", ["a\0b", "a\nb", "a\ud800b"])
def test_a_title_that_no_command_line_can_hold_is_refused(title):
    with pytest.raises(ImportFailed, match="characters that cannot be shown; leave them out"):
        name_of(title)


@pytest.mark.parametrize("title", ["", "!!!", "漢字", "MNIST", "Fashion MNIST", "../.."])
def test_a_title_that_gives_no_name_is_refused(title):
    with pytest.raises(ImportFailed, match=r"; give (another )?one"):
        name_of(title)


def test_a_zip_becomes_a_data_set_and_its_copy_is_gone(places, monkeypatch):
    content = shapes.write_zip(places / "a.zip").read_bytes()
    list(import_zip(content, "mine", "-- Mine", 16, grey=True))
    about = datasets.info("mine")
    assert (about.title, about.shape, about.labels) == ("-- Mine", (1, 16, 16), shapes.LABELS)
    assert list((places / "temporary").iterdir()) == []


def test_a_refusal_is_the_childs_own_sentence(places):
    with pytest.raises(ImportFailed, match=r"^the file is no zip that can be read, nor a folder .*class, with the pictures right in it$"):
        list(import_zip(b"no zip", "mine", "Mine", 16, grey=False))
    assert list((places / "temporary").iterdir()) == []
    assert datasets.list_own() == ([], [])


def test_a_name_that_is_taken_is_refused_in_words_for_the_page(places):
    content = shapes.write_zip(places / "a.zip").read_bytes()
    shapes.own_dataset(places / "datasets", "mine", 8, 1)
    with pytest.raises(ImportFailed, match=r"^there is a data set mine already; give another name, or delete that one first$"):
        list(import_zip(content, "mine", "Mine", 16, grey=False))


def test_whoever_leaves_ends_the_import(places, monkeypatch):
    seen = places / "seen"
    slow = f"import os, sys, time; open('{seen}', 'w').write(f'{{os.getpid()}} {{open(sys.argv[5]).read()}}'); print('1 of 2 files', flush=True); time.sleep(600)"
    monkeypatch.setattr(imports.sys, "executable", str(places / "python"))
    (places / "python").write_text(f'#!/bin/sh\nexec /usr/bin/env python3 -c "{slow}" "$@"\n')
    (places / "python").chmod(0o755)
    steps = import_zip(b"zip", "mine", "Mine", 16, grey=False)
    assert next(steps) == (1, 2)
    pid, content = seen.read_text().split()
    assert content == "zip"
    assert list((places / "temporary").iterdir()) == []  # it has no name, and so goes with its processes, however they end
    steps.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
