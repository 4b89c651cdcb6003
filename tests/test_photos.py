"""The photo network: its sums, its training on a handful of pictures, and where it answers."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from inference.__main__ import main as infer
from inference.classify import Classifier, answer_image
from jobs.config import ConfigError
from models import datasets, shelf
from models.datasets import NONE_OF_THEM, PHOTO_LABELS
from tests import tiny
from training import efficientnet, photo_pictures, photo_tuning, photos, published, teaching
from training.__main__ import main as train
from training.efficientnet import EfficientNetLite0, WeightsError, pretrained
from training.onnx_files import ExportError


@pytest.fixture(scope="module")
def network() -> photos.PhotoNetwork:
    torch.manual_seed(0)
    return photos.PhotoNetwork(EfficientNetLite0()).eval()


def label_of(network: photos.PhotoNetwork, imagenet: dict[int, float], group: str = "") -> str:
    """What it says when ImageNet is sure of some classes and the linear layer of one group."""
    features, logits = torch.zeros(1, efficientnet.FEATURES), torch.zeros(1, efficientnet.CLASSES)  # tuned and ImageNet's own alike
    for number, logit in imagenet.items():
        logits[0, number] = logit
    before = network.groups.bias.detach().clone()
    with torch.no_grad():
        if group:
            network.groups.bias[list(photos.GROUPS).index(group)] += 20
        probabilities, told = network.from_features(features, features, logits)
        network.groups.bias.copy_(before)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(probabilities.argmax(1), told.argmax(1))
    return PHOTO_LABELS[int(probabilities.argmax())]


def test_it_is_efficientnet_lite0():
    network = EfficientNetLite0()
    assert sum(each.numel() for each in network.parameters()) == 4_652_008  # Google's own count
    features, imagenet = network.eval()(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    assert features.shape == (2, 1280)
    assert imagenet.shape == (2, 1000)


@pytest.mark.parametrize("group", [name for name in photos.GROUPS if name != "shoes"])
def test_a_group_is_its_class(network, group):
    assert label_of(network, {}, group) == group


@pytest.mark.parametrize("number", range(3))
def test_the_second_layer_says_which_shoe_a_shoe_is(network, number):
    with torch.no_grad():
        network.shoes.bias[number] += 20
    assert label_of(network, {}, "shoes") == photo_pictures.SHOES[number]
    with torch.no_grad():
        network.shoes.bias[number] -= 20


def test_shoes_are_told_apart_as_imagenet_and_the_pictures_say():
    torch.manual_seed(0)
    network = photos.PhotoNetwork(EfficientNetLite0()).eval()
    kinds, features = torch.arange(3).repeat(40), torch.randn(120, efficientnet.FEATURES)
    with torch.no_grad():
        features += 6 * network.backbone.classes.weight[torch.tensor([774, 770, 514])][kinds]  # a boot looks a little like ImageNet's boots
    photos.train_shoes(network, features[:60], kinds[:60], torch.ones(60))
    told = network.shoes(features[60:])
    assert (told.argmax(1) == kinds[60:]).float().mean() > 0.9
    assert torch.nn.functional.cross_entropy(told, kinds[60:]) < 0.2  # both parts were folded into the layer as they were trained
    doubled = torch.cat([kinds[:60], (kinds[:60] + 1) % 3])  # each picture once more with a wrong kind, which counts for little
    photos.train_shoes(network, features[:60].repeat(2, 1), doubled, torch.tensor([1.0, 0.01]).repeat_interleave(60))
    assert (network.shoes(features[60:]).argmax(1) == kinds[60:]).float().mean() > 0.9


def test_what_imagenet_takes_for_a_bag_or_a_dog_is_one_whatever_the_linear_layer_says(network):
    assert label_of(network, {748: 20.0}, "Dress") == "Bag"
    assert label_of(network, {207: 20.0}, "Dress") == NONE_OF_THEM


@torch.no_grad()
def test_temperatures_follow_how_often_it_is_right(network):
    torch.manual_seed(0)
    features, imagenet = 10 * torch.randn(400, efficientnet.FEATURES), torch.zeros(400, efficientnet.CLASSES)
    seen = features, features, imagenet
    imagenet[:, 600] = 20.0  # neither a bag nor a stranger
    sure = {}
    for right in (400, 280):  # photos of which the most probable group is the true one
        for temperature in (network.temperature, network.imagenet_temperature):
            temperature.fill_(1.0)
        groups = photos.by_group(network.from_features(*seen)[0].numpy()).argmax(1)
        groups[right:] = (groups[right:] + 1) % len(photos.GROUPS)
        photos.calibrate(network, seen, groups)
        sure[right] = photos.by_group(network.from_features(*seen)[0].numpy()).max(1).mean()
    for temperature in (network.temperature, network.imagenet_temperature):
        temperature.fill_(1.0)
    assert sure[400] > sure[280] + 0.1


def test_weights_that_are_not_there_or_are_others_are_named(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match=r"absent.pth cannot be read"):
        pretrained(tmp_path / "absent.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth does not hold the weights of EfficientNet-Lite0"):
        pretrained(tmp_path / "other.pth")
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match=r"requirements-shelf\.txt"):
        pretrained()


def test_weights_are_taken_in_the_order_of_the_layers(tmp_path):
    torch.manual_seed(1)
    theirs = EfficientNetLite0().eval()
    torch.save({f"_layer.{number}": each for number, each in enumerate(theirs.state_dict().values())}, tmp_path / "theirs.pth")
    pixels = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    assert torch.equal(pretrained(tmp_path / "theirs.pth")(pixels)[1], theirs(pixels)[1])


def test_strangers_are_pictures_of_no_garment():
    pictures = photo_pictures.strangers(each=3)
    assert pictures.shape == (15, 3, 224, 224)
    assert pictures.dtype == np.uint8
    assert len(np.unique(pictures.reshape(15, -1), axis=0)) == 15


def test_letters_digits_scribbles_and_noise_are_drawn_by_hands_of_either_part():
    known, held_out = photo_pictures.drawn("train", 3), photo_pictures.drawn("validation", 3)
    for kind, pictures in known.items():
        assert pictures.shape == (3, 3, 224, 224)
        assert pictures.dtype == np.uint8
        assert not np.array_equal(pictures, held_out[kind])


def test_garments_of_fashion_mnist_are_laid_over_other_grounds():
    drawn = photo_pictures.garments(60)
    assert drawn.pixels.shape == (60, 3, 224, 224)
    assert len(set(drawn.groups.tolist())) == len(photos.GROUPS) - 1  # all but none of the ten
    assert len({tuple(picture[:, 0, 0]) for picture in drawn.pixels}) > 50  # hardly two grounds are alike


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Coloured squares in the place of photos, and a small network in that of EfficientNet-Lite0."""
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(efficientnet, "STAGES", ((3, 2, 1, 8, 1), (3, 2, 2, 8, 2)))
    torch.manual_seed(0)
    torch.save(EfficientNetLite0().state_dict(), tmp_path / "small.pth")
    random = np.random.default_rng(0)
    kinds = [kind for kinds in photos.GROUPS.values() for kind in kinds]
    for part, count in (("train", 12), ("validation", 3)):
        for number, kind in enumerate(kinds):
            (tmp_path / "photos" / part / kind).mkdir(parents=True)
            for index in range(count):
                colour = tuple(
                    int(value)
                    for value in np.clip(np.array([number * 25, 250 - number * 25, number % 3 * 120]) + random.integers(-9, 9, 3), 0, 255)
                )
                Image.new("RGB", (80, 60), colour).save(tmp_path / "photos" / part / kind / f"{index}.png")
    return tmp_path / "photos"


def test_it_is_trained_published_and_answers(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setattr(photos, "STRANGERS_EACH", 2)
    monkeypatch.setattr(photos, "DRAWN_EACH", 2)
    monkeypatch.setattr(photos, "DRAWN_HELD_OUT", 4)
    monkeypatch.setattr(photos, "GARMENTS", 20)
    monkeypatch.setattr(photo_tuning, "EPOCHS", 1)
    table = "".join(
        f"{part}/shoes/{number}.png,{kind}\n" for part in ("train", "validation") for number, kind in enumerate(photo_pictures.SHOES[:2])
    )
    monkeypatch.setattr(photo_pictures, "KINDS_OF_SHOE", tmp_path / "shoes.csv")
    (tmp_path / "shoes.csv").write_text("file,kind\n" + table)
    (folder / "train" / "dress" / "broken.jpg").write_bytes(b"no picture")
    assert train(["photos", str(folder), "--weights", str(tmp_path / "small.pth")]) == 0
    card = shelf.photo_card()
    assert card.labels == PHOTO_LABELS
    assert card.facts["test"]["n"] == 3 * 10
    assert card.facts["data"]["train"] + card.facts["validation"]["n"] == 12 * 10
    assert set(card.facts["test"]["by_group"]) == set(photos.GROUPS) - {"Bag"}
    assert card.facts["test"]["which_shoe"]["n"] == 2
    assert set(card.facts["declined"]["by_kind"]) == {"letter", "digit", "scribble", "noise"}
    assert "photos held out" in capsys.readouterr().out
    assert shelf.list_cards("fashion-mnist") == []  # it is not among the networks for 28x28 grey
    answer = answer_image(Classifier(card), Image.new("RGB", (300, 200), "red"))
    assert answer.probabilities.shape == (11,)
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_tuning_learns_what_a_fixed_start_cannot_and_leaves_the_start_alone(folder, monkeypatch):
    monkeypatch.setattr(photo_tuning, "EPOCHS", 8)
    monkeypatch.setattr(photo_tuning, "LR", 0.01)
    torch.manual_seed(0)
    network = photos.PhotoNetwork(EfficientNetLite0()).eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    random = np.random.default_rng(0)
    bars = torch.from_numpy(random.integers(0, 256, (48, 3, 1, 64), dtype=np.uint8)).expand(-1, -1, 64, -1)
    groups = torch.arange(48) % 2
    pixels = torch.where(groups[:, None, None, None] == 1, bars, bars.transpose(2, 3)).contiguous()
    pictures = photo_tuning.Pictures(pixels=pixels, groups=groups)
    photo_tuning.tune(network.backbone.early, network.tuned, network.groups, pictures, pictures, pictures, seed=0)
    after = {name: each.clone() for name, each in network.state_dict().items()}
    changed = {name.split(".")[0] for name, each in before.items() if not torch.equal(each, after[name])}
    assert changed == {"tuned", "groups"}
    assert not any("running" in name for name, each in before.items() if not torch.equal(each, after[name]))
    losses = []
    for weights in (before, after):
        network.load_state_dict(weights)
        with torch.no_grad():
            large = torch.nn.functional.interpolate(pixels.float(), size=(224, 224))
            losses.append(float(torch.nn.functional.cross_entropy(network.groups(network.features(large)[0]), groups)))
    assert losses[1] < 0.8 * losses[0]


def test_a_garment_that_stands_out_is_cut_out_and_laid_on_other_grounds():
    random = np.random.default_rng(0)
    picture = random.integers(0, 90, (1, 3, 64, 64), dtype=np.uint8)
    picture[:, :, 16:48, 16:48] = 220
    inside = photo_tuning.outlines(photo_pictures.Photos(pixels=picture, groups=np.zeros(1, int), shoes=np.full(1, -1)))
    assert inside.shape == (1, 64, 64)
    assert inside[0, 32, 32] == 255
    assert inside[0, 4, 4] == 0
    plain = np.full_like(picture, 200)
    assert not photo_tuning.outlines(photo_pictures.Photos(pixels=plain, groups=np.zeros(1, int), shoes=np.full(1, -1))).any()
    laid = photo_tuning._on_other_grounds(
        torch.from_numpy(picture).float().repeat(64, 1, 1, 1), torch.from_numpy(inside).repeat(64, 1, 1), random
    )
    same = (laid[:, :, 32, 32] == 220).all(1)
    swapped = (laid[:, :, 4, 4] != torch.from_numpy(picture[0, :, 4, 4]).float()).any(1)
    assert same.all()
    assert 4 <= int(swapped.sum()) <= 32  # a quarter of them


@pytest.mark.parametrize("pictures", [torch.full((3, 3, 40, 40), 128.0), torch.rand(3, 3, 256, 256) * 255])
def test_views_and_lights_are_pictures_of_the_networks_size(pictures):
    random = np.random.default_rng(0)
    seen = photo_tuning._another_light(photo_tuning._another_view(pictures, random), random)
    assert seen.shape == (3, 3, 224, 224)
    assert 0 <= seen.min() <= seen.max() <= 255
    assert not torch.equal(seen[0], seen[1])


def test_groups_count_by_the_root_of_their_rarity_and_one_on_average():
    groups = torch.tensor([0] * 16 + [1] * 4)
    counts = photo_tuning.balanced(groups)
    assert counts[1] == pytest.approx(2 * float(counts[0]))
    assert float(counts[groups].mean()) == pytest.approx(1)
    assert counts[2] == pytest.approx(float(counts[:2].mean()))


def test_a_folder_without_photos_of_a_kind_is_refused(tmp_path, folder, capsys):
    for path in (folder / "train" / "dress").iterdir():
        path.unlink()
    assert train(["photos", str(folder), "--weights", str(tmp_path / "small.pth")]) == 1
    assert "has no photos of Dress" in capsys.readouterr().err
    assert shelf.photo_card() is None


def test_the_shipped_one_answers_photos_and_the_classic_ones_what_they_know(tmp_path, capsys):
    Image.effect_noise((300, 300), 80).convert("RGB").save(tmp_path / "noise.jpg")
    finished = datasets.DATASETS["fashion-mnist"], tiny.pictures(1, 0)[0][0]
    Image.fromarray(finished[1]).save(tmp_path / "finished.png")
    told = []
    for options in ([], ["--model", "ensemble"]):
        infer([str(tmp_path / "noise.jpg"), str(tmp_path / "finished.png"), "--dataset", "fashion-mnist", "--json", *options])
        told.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert [len(each["probabilities"]) for each in told[0]] == [11, 10]
    assert [len(each["probabilities"]) for each in told[1]] == [10, 10]
    assert told[0][0]["label"] is None
    assert told[0][0]["reason"] == "It shows none of the ten kinds of garment."


def test_it_can_neither_be_continued_nor_taught_from_nor_replaced_by_a_run(tmp_path):
    for settings in ({"start_from": "photo"}, {"teacher": "photo"}):
        config = tiny.config(dataset="fashion-mnist", **settings)
        ask = published.start_weights if "start_from" in settings else teaching.soft_labels
        with pytest.raises(ConfigError, match="photo has other classes"):
            ask(config, *((0,) if "start_from" in settings else (torch.zeros(1, 1, 28, 28, dtype=torch.uint8), lambda: False)))


def test_the_server_needs_no_torch_for_it():
    command = "import sys; from inference.classify import Classifier; from models import shelf; Classifier(shelf.photo_card()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_its_name_is_kept_for_it(tmp_path, monkeypatch):
    from training import export

    monkeypatch.setattr(export.runs, "read_config", lambda folder: tiny.config(dataset="fashion-mnist"))
    with pytest.raises(ExportError, match="kept for a network that came with Inkling"):
        export.publish([tmp_path], shelf.PHOTO, None)
