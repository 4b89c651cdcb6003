"""What goes on inside a published network: the maps of its layers, and the training images that are most alike to it.

onnx, which finds the layers in the graph, is imported when somebody asks; answers do not need it.
"""

import functools
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.classify import make_session, read_checked, run
from models.shelf import Card, ShelfError

if TYPE_CHECKING:
    from onnx import GraphProto

SAMPLE = Path(__file__).parents[1] / "training" / "sample"  # bundled images: nothing else is sure to be there
FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
MOST_KNOWN = 2000
AFTER_CONVOLUTION = {"BatchNormalization", "Relu", "Tanh", "LeakyRelu", "Sigmoid", "Mul", "Add", "Div", "MaxPool", "AveragePool"}
CHUNK = 100


class Features:
    """The inside of one published network; of an ensemble, of its first member, on the picture as it is."""

    def __init__(self, card: Card) -> None:
        """Raises ShelfError when the graph cannot be read, asks for what no network of Inkling does, or ends in no linear layer."""
        import onnx

        model = onnx.load_model_from_string(read_checked(card))
        self.layers, self.embedding = _insides(model.graph, len(card.labels))
        if not self.embedding:
            raise ShelfError(f"{card.graph_path.name} ends in no linear layer, so that its inside cannot be shown; choose another network")
        wanted = [*self.layers, self.embedding]
        _prune(model.graph, wanted)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        self.card, self.session = card, make_session(card, model.SerializeToString())

    def maps(self, pixels: np.ndarray) -> list[np.ndarray]:
        """What each convolution makes of a picture, with its activation and pooling. pixels: uint8 [1, C, H, W]; returns float32 [maps, H, W] each.

        Raises ShelfError when the graph fails at it.
        """
        return [each[0] for each in run(self.session, self.card, self.layers, pixels)] if self.layers else []

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """What the last layer decides by: float32 [N, features], of length 1. Raises ShelfError when the graph fails at it."""
        parts = [run(self.session, self.card, [self.embedding], pixels[at : at + CHUNK])[0] for at in range(0, len(pixels), CHUNK)]
        features = np.concatenate(parts).reshape(len(pixels), -1)
        return features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)


class Known:
    """The bundled ones of a built-in data set's 60,000 training images, ready to be searched; a tenth of them was for validation."""

    def __init__(self, features: Features, dataset: str) -> None:
        pixels, labels = (_read(dataset, part) for part in ("images-idx3", "labels-idx1"))
        step = max(1, len(labels) // MOST_KNOWN)
        self.pixels, self.labels = pixels[::step], labels[::step]
        self.features, self.embedded = features, features.embed(self.pixels[:, None])

    def nearest(self, pixels: np.ndarray, count: int = 6) -> list[tuple[np.ndarray, int, float]]:
        """The most alike, best first: pixels uint8 [28, 28], label and cosine of the angle between what the last layer sees of both.

        pixels: uint8 [1, 1, 28, 28].
        """
        cosines = self.embedded @ self.features.embed(pixels)[0]
        best = np.argsort(-cosines)[:count]
        return [(self.pixels[at], int(self.labels[at]), float(cosines[at])) for at in best]


@functools.cache
def _read(dataset: str, part: str) -> np.ndarray:
    content = gzip.decompress((SAMPLE / FOLDERS[dataset] / f"train-{part}-ubyte.gz").read_bytes())
    if part.startswith("labels"):
        return np.frombuffer(content, np.uint8, offset=8)
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)


def _prune(graph: "GraphProto", wanted: list[str]) -> None:
    """Leaves only what some values are made of: onnxruntime would run the other members of an ensemble too, whatever it is asked for."""
    needed, kept = set(wanted), []
    for node in reversed(graph.node):  # in a graph they stand in the order of their work
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    weights = [each for each in graph.initializer if each.name in needed]
    for field, left in ((graph.node, kept[::-1]), (graph.initializer, weights), (graph.output, []), (graph.value_info, [])):
        del field[:]
        field.extend(left)


def _insides(graph: "GraphProto", classes: int) -> tuple[list[str], str]:
    """Names of the values after each convolution of the first member, and of what its last linear layer takes; empty where there is none.

    One of a single pixel is a residual block's shortcut: what comes out of the block has it in it.
    """
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    layers: list[str] = []
    after = ""
    for node in graph.node:
        if node.op_type == "Conv" and shapes.get(node.input[1], ())[2:] != (1, 1):
            layers += [after] if after else []
            after = node.output[0]
        elif after and node.op_type in AFTER_CONVOLUTION:
            after = node.output[0]
        elif after and node.op_type in {"Reshape", "Flatten", "ReduceMean", "GlobalAveragePool"}:
            layers.append(after)
            after = ""
        if node.op_type == "Gemm" and classes in shapes.get(node.input[1], ()):
            return layers, node.input[0]
    return layers, ""
