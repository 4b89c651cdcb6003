"""Who may import whom, how long a file may be, what is installed where, and that nothing here knows of the machine it was made on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jobs.runs import ROOT

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
PAGE = {"streamlit", "altair", "numpy", "PIL", "streamlit_drawable_canvas"}, {"corrections", "inference", "jobs", "models", "ui"}
ALLOWED = {  # package: third-party, own
    "app.py": PAGE,
    "asgi.py": ({"streamlit", "starlette"}, {"ui"}),
    "ui": PAGE,
    "training": (
        {"torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "numpy", "safetensors", "tqdm", "PIL", "ray", "optuna", "sqlalchemy"},
        {"training", "corrections", "inference", "jobs", "models"},
    ),
    "corrections": ({"sqlalchemy", "numpy"}, {"corrections", "models"}),
    "inference": ({"onnxruntime", "numpy", "PIL"}, {"inference", "models"}),
    "jobs": (set(), {"jobs", "models"}),
    "models": (set(), {"models"}),
}
WORKSHOP = {"tests", "benchmarks", "docs"}  # not part of the product: may import anything
EXCEPTIONS = {
    "ui/refreshes.py": {"google"},  # the messages of the websocket are protobuf
    "ui/__main__.py": {"pandas"},  # imported there only to be there when Streamlit wants it
    "jobs/artefacts.py": {"fsspec"},  # only where a cluster shares no folder with the app: requirements-cluster.txt
    "inference/decode.py": {"pillow_heif"},  # only where a HEIC photo comes
    "inference/opencv.py": {"cv2"},  # only where something is to be read
    "inference/graph.py": {"onnx", "google"},  # a graph is looked at before it is run
    "inference/features.py": {"onnx"},  # only where somebody looks inside a network
    "training/strokes.py": {"skimage"},  # only where digits are traced: requirements-shelf.txt
}
PRIVATE = ["/wo" + "rk/", "/tm" + "p/w/"]  # in two parts, so that this file passes


def sources(package: str) -> list[Path]:
    return [ROOT / package] if package.endswith(".py") else sorted((ROOT / package).rglob("*.py"))


def imports(source: str, package: str) -> set[str]:
    """The top-level names that a source imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(package if node.level else node.module.split(".")[0])
    return names


def tracked() -> list[Path]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_the_table_grants(package):
    third_party, own = ALLOWED[package]
    files = sources(package)
    assert files
    for path in files:
        place = path.relative_to(ROOT).as_posix()
        granted = third_party | own | EXCEPTIONS.get(place, set()) | sys.stdlib_module_names
        assert imports(path.read_text(), package) <= granted, place


def test_an_import_is_found_wherever_it_stands():
    source = "import os.path as p, torch.nn\ndef f():\n    from ui.style import x\n    from . import y\n"
    assert imports(source, "jobs") == {"os", "torch", "ui", "jobs"}


def test_every_package_is_in_the_table():
    assert set(PACKAGES) - WORKSHOP == set(ALLOWED) - {"app.py", "asgi.py"}


@pytest.mark.parametrize("package", ["app.py", "asgi.py", *PACKAGES])
def test_no_source_is_longer_than_400_lines(package):
    assert {path.name: lines for path in sources(package) if (lines := len(path.read_text().splitlines())) > 400} == {}


@pytest.mark.parametrize("private", PRIVATE)
def test_no_tracked_file_names_a_folder_of_the_machine_it_was_made_on(private):
    files = tracked()
    assert ROOT / "app.py" in files
    assert [path for path in files if private.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_readme_names_every_package_and_module_in_its_tree(package):
    tree = (ROOT / "README.md").read_text().partition("\napp.py ")[2].partition("```")[0]
    assert f"\n{package}/ " in tree
    modules = [] if package in WORKSHOP else [path.name for path in (ROOT / package).glob("[!_]*.py")]
    assert [name for name in modules if not re.search(rf"\b{name}\b", tree)] == []


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "onnxruntime-gpu"), ("aarch64", "onnxruntime"), ("arm64", "onnxruntime")])
def test_every_kind_of_processor_gets_one_onnxruntime(machine, name):
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    wanted = [each for each in map(Requirement, filter(None, lines)) if each.name.startswith("onnxruntime")]
    assert [each.name for each in wanted if each.marker.evaluate({"platform_machine": machine})] == [name]
    assert len({str(each.specifier) for each in wanted}) == 1
