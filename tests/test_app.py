"""Every page through Streamlit's AppTest, and the promise that the server never imports torch."""

import base64
import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from corrections import store
from inference import sessions
from jobs.runs import ROOT
from models import datasets, shelf
from tests import tiny
from tests.test_corrections import correction
from ui import beside, figures, region, serving, tell, upload, visitor, why


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))


def run_app() -> AppTest:
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def run_page(page) -> AppTest:
    return AppTest.from_function(page, default_timeout=60).run()


def upload_page() -> None:
    from ui import upload

    upload.page()


def read_of_a_drawing() -> None:
    """What the Draw page says of one, which AppTest cannot draw."""
    import streamlit as st

    from models import shelf
    from ui import draw
    from ui.answerer import A_STROKE

    for said in draw._read("mnist", shelf.load_card("mnist", "small"), A_STROKE):
        st.html(said or "<p></p>")


def html_of(app: AppTest) -> str:
    assert not app.exception
    return "".join(str(each.proto.body) for each in app.get("html"))


def digit_png() -> bytes:
    image = Image.new("L", (120, 160), 245)
    ImageDraw.Draw(image).line([(60, 25), (60, 135)], fill=20, width=14)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def drawn_one() -> Image.Image:
    image = Image.new("L", (320, 320))
    ImageDraw.Draw(image).line([(160, 60), (160, 260)], fill=255, width=18)
    return image


def test_the_draw_page_asks_for_a_digit_and_predicts_nothing():
    page = html_of(run_app())
    assert "Draw a digit" in page
    assert 'data-testid="answer"' not in page


def test_in_a_crowd_slow_networks_are_asked_only_where_they_were_chosen(monkeypatch):
    usual, slow = (shelf.load_card("mnist", name) for name in ("small", "ensemble"))
    for chosen, is_crowded in ((usual, False), (usual, True), (slow, True)):
        monkeypatch.setattr(serving, "is_crowded", lambda is_crowded=is_crowded: is_crowded)
        cards = beside.cards("mnist", chosen)
        assert [card.name for card, _ in cards] == ["fc", "lenet5", "small", "ensemble"]
        missing = [card.name for card, is_asked in cards if not is_asked]
        assert missing == (["ensemble"] if is_crowded and chosen is usual else [])


def test_a_photo_is_shown_as_jpeg_and_what_is_small_or_has_a_hole_as_it_is():
    photo = Image.effect_noise((380, 200), 60)
    assert figures.data_url(photo).startswith("data:image/jpeg;base64,/9j/")
    for image in (photo.resize((28, 28)), photo.convert("RGBA")):
        assert figures.data_url(image).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(("ink", "ground"), [((0, 0, 0), 255), ((255, 255, 200), 0)])
def test_ink_on_nothing_can_be_seen_where_it_is_kept_and_where_it_is_pointed_at(monkeypatch, ink, ground):
    picture = Image.new("RGBA", (60, 80))
    ImageDraw.Draw(picture).line([(30, 10), (30, 70)], fill=(*ink, 255), width=8)
    shown = []
    canvas = SimpleNamespace(st_canvas=lambda background_image, **facts: shown.append(background_image) or SimpleNamespace(json_data=None))
    monkeypatch.setitem(sys.modules, "streamlit_drawable_canvas", canvas)
    region.drag(region.small(picture), "drag")
    for seen in (Image.open(io.BytesIO(tell._small(picture))), *shown):
        assert (seen.mode, seen.size) == ("RGB", (60, 80))
        assert (seen.getpixel((30, 40)), seen.getpixel((5, 5))) == (ink, (ground,) * 3)


def test_those_who_draw_look_at_the_shelf_together_and_see_a_new_network_half_a_second_later(monkeypatch: pytest.MonkeyPatch):
    clock, asked = [100.0], []
    monkeypatch.setattr(serving.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(shelf, "list_cards", lambda dataset: asked.append(dataset) or [])
    for _ in range(20):
        assert serving.cards("mnist") == []
    assert asked == ["mnist"]
    clock[0] += serving.STALE
    serving.cards("mnist")
    assert asked == ["mnist", "mnist"]


def test_those_who_wait_for_an_answer_are_a_crowd_from_two_on(monkeypatch):
    started = []
    monkeypatch.setattr(serving.answerer, "start", lambda: started.append(1))
    with contextlib.ExitStack() as stack:
        for count in range(1, 7):
            stack.enter_context(serving.answering())
            assert serving.is_crowded() is bool(started) is (count > serving.CROWD)
    assert not serving.is_crowded()


def test_choosing_clothing_changes_the_page_and_the_networks():
    app = run_app()
    app.button_group(key="data").set_value("fashion-mnist").run()
    assert "Draw a garment" in html_of(app)
    assert app.selectbox(key="sidebar-network-fashion-mnist").value == "ensemble"


@pytest.mark.parametrize(("text", "noun"), [("Clothing", "garment"), ("Digits", "digit"), ("Shoes", "digit"), ("", "digit")])
def test_a_link_opens_on_its_data_set(text: str, noun: str):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["data"] = text
    assert f"Draw a {noun}" in html_of(app.run())
    app.button_group(key="data").set_value("fashion-mnist").run()
    assert "Draw a garment" in html_of(app)


def test_every_setting_of_the_retrain_form_lies_within_its_limits():
    app = run_app()
    keys = {each.key for kind in (app.selectbox, app.number_input, app.select_slider, app.button_group) for each in kind}
    wanted = {"start", "architecture", "optimizer", "lr-scratch", "batch-size", "epochs", "augmentation"}
    assert {f"retrain-{name}" for name in wanted} <= keys


def test_no_run_is_offered_to_go_on_from_a_mixture():
    app = run_app()
    app.selectbox(key="sidebar-network-mnist").set_value("ensemble").run()
    assert app.button_group(key="retrain-start-anew").disabled
    app.selectbox(key="sidebar-network-mnist").set_value("lenet5").run()
    assert not app.button_group(key="retrain-start").disabled
    assert not app.exception


def corrections_page() -> None:
    import streamlit as st

    from ui import corrections

    st.session_state["sidebar-chosen"] = {"mnist": "ensemble"}
    corrections.page()


def test_corrections_are_not_learned_by_a_mixture(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{tmp_path / 'corrections.sqlite3'}")
    store.keep(store.open_store(), correction(label="7"), datasets.DATASETS["mnist"])
    app = run_page(corrections_page)
    assert "It is of several kinds of networks" in html_of(app)
    assert "corrections-retrain" not in {each.key for each in app.button}


def test_the_upload_page_answers_good_files_and_explains_bad_ones():
    app = run_page(upload_page)
    assert "Pictures of one digit each" in html_of(app)
    good, bad = ("one.png", digit_png(), "image/png"), ("essay.png", b"not a picture at all", "image/png")
    app.file_uploader(key="upload-files").set_value([good, bad]).run()
    page = html_of(app)
    assert 'data-testid="answer"' in page
    assert "essay.png" in page
    assert "This is a text file, not a picture" in page
    assert list(app.dataframe[0].value["file"]) == ["one.png", "essay.png"]


def test_a_file_name_cannot_bring_markup_into_the_page():
    app = run_page(upload_page)
    app.file_uploader(key="upload-files").set_value([("<img src=x onerror=alert(1)>.png", b"text", "image/png")]).run()
    assert "<img src=x" not in html_of(app)


def test_the_samples_are_all_answered():
    app = run_page(upload_page)
    app.button_group(key="upload-source").set_value("samples").run()
    assert html_of(app).count('data-testid="answer"') == 4


def test_a_photo_of_clothing_gets_two_verdicts_and_a_finished_picture_one():
    app = AppTest.from_string("from ui import upload; upload.page()", default_timeout=60)
    app.session_state["data"] = "fashion-mnist"
    app.run().button_group(key="upload-source").set_value("samples").run()
    page = html_of(app)
    assert page.count('data-testid="answer"') == 2 * 4
    assert page.count("says Photo network") + page.count("asked Photo network") == 4
    assert "none of the ten classes" in page  # what the page says of itself
    finished = io.BytesIO()
    Image.fromarray(tiny.pictures(1, 0)[0][0]).save(finished, "PNG")
    app.button_group(key="upload-source").set_value("files").run()
    app.file_uploader(key="upload-files").set_value([("finished.png", finished.getvalue(), "image/png")]).run()
    assert html_of(app).count('data-testid="answer"') == 1


def test_a_damaged_photo_network_leaves_the_chosen_one_to_answer(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "__pycache__", "*-[0-9]*-[0-9]*.*"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    with (tmp_path / "models" / "fashion-mnist" / "photo.onnx").open("ab") as graph:
        graph.write(b"more")
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    app = AppTest.from_string("from ui import upload; upload.page()", default_timeout=60)
    app.session_state["data"] = "fashion-mnist"
    app.run().button_group(key="upload-source").set_value("samples").run()
    assert html_of(app).count('data-testid="answer"') == 4


@pytest.fixture
def damaged(tmp_path, monkeypatch) -> Path:
    """A shelf whose usual network for digits, and whose gate for them, are not what their cards say; its MNIST folder."""
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "__pycache__", "*-[0-9]*-[0-9]*.*"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    for name in (shelf.USUAL["mnist"], shelf.GATE):
        with (tmp_path / "models" / "mnist" / f"{name}.onnx").open("ab") as graph:
            graph.write(b"more")
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    return tmp_path / "models" / "mnist"


def test_a_damaged_graph_is_one_sentence_where_pictures_are_sent_and_where_digits_are_drawn(damaged):
    app = run_page(upload_page)
    app.file_uploader(key="upload-files").set_value([("one.png", digit_png(), "image/png")]).run()
    page = html_of(app)
    assert page.count("small.onnx is not the file its card describes (sha256 differs); publish small again") == 1
    assert 'data-testid="answer"' not in page
    page = html_of(run_page(read_of_a_drawing))
    assert page.count("small.onnx is not the file its card describes") == 1
    assert 'data-testid="answer"' not in page


def why_of_a_drawing() -> None:
    from inference import sessions
    from inference.classify import answer_image
    from models import shelf
    from tests.test_app import drawn_one
    from ui import why

    card = shelf.load_card("mnist", "lenet5")
    answer = answer_image(sessions.classifier(card), drawn_one())
    shelf.remove(card)
    why.show(card, answer)


@pytest.mark.parametrize(("count", "shown"), [(3, [1, 2, 3]), (7, [1, 2, 3, 4, 5, 6, 7]), (13, [1, 3, 5, 7, 9, 11, 13])])
def test_of_a_deep_network_the_maps_of_some_layers_are_shown(count, shown):
    page = why.layers([np.random.default_rng(number).random((2, 7, 7), np.float32) for number in range(count)], is_ensemble=False)
    assert [int(each) for each in re.findall(r"Convolution (\d+):", page)] == shown
    assert (f"of its {count} convolutions" in page) == (count > len(shown))


def test_a_network_that_is_deleted_meanwhile_is_one_sentence(damaged, monkeypatch):
    gone = "for mnist; there are: ensemble, fc, gate, small"
    page = html_of(run_page(why_of_a_drawing))
    assert gone in page
    for name in ("lenet5.json", "lenet5.onnx"):
        shutil.copy(ROOT / "models" / "mnist" / name, damaged / name)
    app = AppTest.from_function(upload_page, default_timeout=60)
    app.session_state["sidebar-chosen"] = {"mnist": "lenet5"}
    app.run()
    monkeypatch.setattr(sessions, "classifier", lambda card: shelf.remove(card))  # after the page has looked it up
    page = html_of(app.file_uploader(key="upload-files").set_value([("one.png", digit_png(), "image/png")]).run())
    assert gone in page
    assert 'data-testid="answer"' not in page


def test_a_gate_that_was_mended_is_asked_again(damaged):
    card, noise = shelf.load_card("mnist", "lenet5"), io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)).save(noise, "PNG")
    app = AppTest.from_function(upload_page, default_timeout=60)
    app.session_state["sidebar-chosen"] = {"mnist": card.name}
    app.run().file_uploader(key="upload-files").set_value([("noise.png", noise.getvalue(), "image/png")]).run()
    assert ">declined" not in html_of(app)
    assert sessions.classifier(card).gate is None
    shutil.copy(ROOT / "models" / "mnist" / "gate.onnx", damaged / "gate.onnx")
    assert sessions.classifier(card).gate is not None
    assert sessions.classifier(card) is sessions.classifier(card)
    assert ">declined" in html_of(app.run())


def test_each_look_at_a_picture_anew_counts_as_one_more(monkeypatch):
    counted = []
    streamlit.cache_data.clear()  # what is kept counts no more, whoever looked at it first
    monkeypatch.setattr(visitor, "count", lambda what, limit: counted.append((what, limit)))
    app = run_page(upload_page)
    app.file_uploader(key="upload-files").set_value([("one.png", digit_png(), "image/png")]).run()
    crop = next(each for each in app.toggle if each.key.endswith("-crop"))
    for value in (False, True, False):
        crop.set_value(value).run()
    next(each for each in app.toggle if each.key.endswith("-why")).set_value(True).run().run()
    assert not app.exception
    assert counted == [("pictures", "uploads_per_minute")] * 2 + [("explanations", "uploads_per_minute")]


def test_a_file_that_cannot_be_read_is_decoded_once_however_often_the_page_runs(monkeypatch):
    decoded, decode = [], upload.decode
    monkeypatch.setattr(upload, "decode", lambda content: decoded.append(content) or decode(content))
    app = run_page(upload_page)
    app.file_uploader(key="upload-files").set_value([("cut.png", digit_png()[:-30] + b"once", "image/png")]).run()
    for _ in range(3):
        assert "damaged or cut off" in html_of(app.run())
    assert len(decoded) == 1


def test_corrections_are_not_said_to_be_read_by_a_network_that_cannot_be_asked(damaged, monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_CORRECTIONS", f"sqlite:///{tmp_path / 'corrections.sqlite3'}")
    store.keep(store.open_store(), correction(label="7"), datasets.DATASETS["mnist"])
    app = AppTest.from_string("from ui import corrections; corrections.page()", default_timeout=60).run()
    assert "cannot be asked about them: the Models page says why" in html_of(app)
    assert "corrections-retrain" not in {each.key for each in app.button}


def test_a_picture_keeps_what_was_said_of_it_when_another_is_taken_out_of_the_list():
    app = run_page(upload_page)
    files = [("one.png", digit_png(), "image/png"), ("essay.png", b"no picture", "image/png"), ("same.png", digit_png(), "image/png")]
    app.file_uploader(key="upload-files").set_value(files).run()
    first, second = (each for each in app.toggle if each.key.endswith("-crop"))
    assert first.key != second.key
    first.set_value(False).run()
    app.file_uploader(key="upload-files").set_value(files[:1] + files[2:]).run()
    assert [each.value for each in app.toggle if each.key.endswith("-crop")] == [False, True]


def test_of_too_many_files_the_first_are_answered_and_the_rest_is_said(monkeypatch):
    monkeypatch.setattr(upload, "MOST_FILES", 2)
    app = run_page(upload_page)
    app.file_uploader(key="upload-files").set_value([(f"{at}.png", digit_png(), "image/png") for at in "abc"]).run()
    page = html_of(app)
    assert "3 files" in page
    assert "Only the first 2 are answered; upload the rest afterwards." in page
    assert ["a.png" in page, "b.png" in page, "c.png" in page] == [True, True, False]


def test_a_page_that_is_full_of_files_says_so(monkeypatch):
    monkeypatch.setattr(upload, "MOST_UPLOADED", 20 * 2**20)
    app = run_page(upload_page)
    for files in ([], [("one.png", digit_png(), "image/png")]):
        app.file_uploader(key="upload-files").set_value(files).run()
        assert ("The files of one page end at 20 MB: take some away" in html_of(app)) is bool(files)


def test_what_speaks_for_an_answer_is_sent_about_as_large_as_it_is_shown():
    for side in (28, 64, 128, 224):
        pixels = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
        url = re.search(r'src="(data:[^"]+)"', why.speaking(pixels, pixels.astype(np.float32), "7, by LeNet-5"))[1]
        width, height = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size
        assert why.LEAST_SIDE <= width == height < 2 * why.LEAST_SIDE


def test_no_page_imports_torch():
    script = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
assert not app.exception, app.exception
pages = "from ui import charts, draw, experiments, models, own_images, upload"
pages += "; upload.page(); models.page(); experiments.page(); own_images.page()"
app = AppTest.from_string(pages, default_timeout=60).run()
assert not app.exception, app.exception
sys.exit(any(name.split(".")[0] in ("torch", "torchvision", "training") for name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
