"""jobs/site.py: what inkling.toml may say, and what is said of what it may not."""

import pytest

from jobs import site
from jobs.runs import ROOT


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes another inkling.toml."""
    path = tmp_path / "inkling.toml"
    monkeypatch.setenv(site.VARIABLE, str(path))

    def write(text: str) -> None:
        path.write_text(text)

    return write


def test_the_file_that_ships_says_the_defaults(monkeypatch):
    monkeypatch.delenv(site.VARIABLE, raising=False)
    assert site.path() == ROOT / "inkling.toml"
    assert site.read() == site.Site()


def test_what_the_file_says_holds_at_once_when_it_changes(write):
    write('mode = "public"\nallowed = ["Ada@School.example"]\n[limits]\nretrains = 1\n')
    assert site.read() == site.Site(mode="public", allowed=("Ada@School.example",), retrains=1)
    write('mode = "local"\n')
    assert site.read().mode == "local"


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("ada@school.example", True),
        ("ADA@SCHOOL.example", True),
        ("ben@staff.example", True),
        ("ben@school.example", False),
        ("ben@evil-staff.example", False),
        ("ben@staff.example.evil", False),
        ("@staff.example", True),
        ("\u212aim@staff.example", False),  # whose first letter, the Kelvin sign, is k in small
        ("", False),
    ],
)
def test_an_address_or_a_whole_domain_is_allowed(address, is_allowed):
    assert site.Site(allowed=("ada@school.example", "@staff.example")).allows(address) is is_allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('mode = "open"', r"mode is 'open'; it must be one of local, public$"),
        ('allowed = ["staff"]', r"allowed has 'staff'; give e-mail addresses"),
        ("allowed = [3]", r"allowed has 3; give e-mail addresses"),
        ('[ray]\naddress = "head:8265"', r"ray's address is 'head:8265'; give that of the head's dashboard, such as http://head:8265$"),
        ('[ray]\naddress = "http://head:8265/x?y"', r"ray's address is 'http://head:8265/x\?y'"),
        ("[ray]\ncpus = -1", r"ray_cpus is -1; it must be a number from 0 to 1,000$"),
        ("[ray]\npython = 3", r"ray's python is 3; give a command that every node has$"),
        (
            "[ray]\nnodes = 2",
            r"inkling\.toml: \[ray\] has 'nodes', which means nothing there; it may have address, cpus, gpus, python, artefacts$",
        ),
        ('[limits]\nallowed = ["ada@x.example"]', r": \[limits\] has 'allowed', which means nothing there; it may have queue, "),
        ('mode = "public"\n[limits]\nmode = "local"', r": \[limits\] has 'mode', which means nothing there"),
        ('ray_address = "http://head:8265"', r"has 'ray_address', which means nothing there; it may have mode, allowed, "),
        ("ray = 1", r"ray is 1; it must be a table: \[ray\]$"),
        ('allowed = "ada@x.example"', r"allowed is 'ada@x.example'; it must be a list"),
        ("[limits]\nqueue = 0", r"queue is 0; it must be a number from 1 to 1,000$"),
        ("[limits]\nqueue = 2.5", r"queue is 2.5; it must be a number"),
        ("[limits]\nretrains = true", r"retrains is True; it must be a number"),
        ("[limits]\nretrain_minutes = nan", r"retrain_minutes is nan; it must be a number from 0.1"),
        ("limits = 3", r"limits is 3; it must be a table"),
        ("quue = 3", r"inkling\.toml has 'quue', which means nothing there; it may have mode, allowed, "),
        ("", r"says no mode; give it one, local or public"),
        ('[ray]\naddress = "http://head:8265"', r"says no mode"),
        ("mode = ", r"is no TOML \(.*\); mend it$"),
    ],
)
def test_what_cannot_be_is_one_sentence_that_names_the_file(write, text, message):
    write(text)
    with pytest.raises(site.SiteError, match=message) as caught:
        site.read()
    assert "inkling.toml" in str(caught.value) or "allowed is" in str(caught.value)


def test_a_server_that_lost_its_file_does_not_become_more_open(tmp_path, monkeypatch):
    monkeypatch.setenv(site.VARIABLE, str(tmp_path / "gone.toml"))
    with pytest.raises(site.SiteError, match=r"gone\.toml cannot be read \(No such file or directory\); put it back"):
        site.read()
