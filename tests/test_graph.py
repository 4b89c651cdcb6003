"""inference/graph.py: a model file is data, and what asks for more than ours do is refused before it is run."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference import graph
from inference.classify import Classifier
from models import shelf
from models.datasets import DATASETS


@pytest.fixture
def model() -> onnx.ModelProto:
    """mnist/lenet5, to be spoilt."""
    return onnx.ModelProto.FromString(shelf.load_card("mnist", "lenet5").read_graph())


def refusal(model: onnx.ModelProto | bytes) -> str:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(graph.GraphError) as caught:
        graph.check(content, (1, 28, 28), 10)
    return str(caught.value)


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_every_graph_of_the_shelf_passes(dataset):
    cards = [*shelf.list_cards(dataset), shelf.gate_card(dataset), *([shelf.photo_card()] if dataset == "fashion-mnist" else [])]
    assert len(cards) >= 5
    for card in cards:
        graph.check(card.read_graph(), card.shape, len(card.labels), card.gives_also)


@pytest.mark.parametrize("content", [b"", b"no ONNX", bytes(range(256)) * 40])
def test_what_is_no_graph_is_refused(content):
    assert refusal(content)


def test_what_a_graph_gives_besides_has_to_be_what_its_card_says():
    card = shelf.gate_card("mnist")
    with pytest.raises(
        graph.GraphError, match=r"it gives .* and number float \[N\], its card says probabilities float \[N, 5\] and logits"
    ):
        graph.check(card.read_graph(), card.shape, 5)
    wide = onnx.ModelProto.FromString(card.read_graph())
    (maker,) = [node for node in wide.graph.node if shelf.NUMBER in node.output]
    maker.output[0] = "before"
    wide.graph.node.append(helper.make_node("Identity", ["probabilities"], [shelf.NUMBER]))  # five a picture, where it declares one
    with pytest.raises(graph.GraphError, match=r"^its number of 256 pictures are 256x5, not 256$"):
        graph.check(wide.SerializeToString(), card.shape, 5, card.gives_also)


def test_weights_in_another_file_are_refused_and_the_file_is_not_opened(model, tmp_path):
    tensor = model.graph.initializer[0]
    for key, value in {"location": "../../../etc/passwd", "offset": "0", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL
    assert "lies in another file; a graph has to be one file" in refusal(model)


def test_custom_operators_are_refused(model):
    model.graph.node.append(helper.make_node("Run", ["pixels"], ["x"], domain="com.evil"))
    assert refusal(model) == "it has custom operators (com.evil), which could do anything"


def test_functions_of_its_own_are_refused(model):
    inside = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], inside, [helper.make_opsetid("", 18)]))
    assert "custom operators" in refusal(model)


@pytest.mark.parametrize("operator", ["Loop", "ConstantOfShape", "Tile", "Range", "RandomNormal", "SequenceEmpty"])
def test_operators_that_none_of_ours_has_are_refused(model, operator):
    model.graph.node.append(helper.make_node(operator, [], ["x"]))
    assert refusal(model) == f"it has the operator {operator}, which no network of Inkling needs"


def test_a_graph_inside_a_graph_is_refused(model):
    inside = helper.make_graph([], "inside", [], [])
    model.graph.node.append(helper.make_node("Identity", ["pixels"], ["x"], body=inside))
    assert "has a graph inside it" in refusal(model)


def test_huge_tensors_are_refused_before_memory_is_reserved(model):
    model.graph.initializer.append(TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[2**20, 2**20]))
    assert refusal(model) == "its tensor 'huge' is 1048576x1048576, more than 268,435,456 numbers"


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([], "asks for a size of 65,536"),
        ([helper.make_node("Constant", [], ["shape"], value_ints=[2**16, 2**16])], "asks for a size of 65,536"),
        ([helper.make_node("Constant", [], ["shape"], value_int=2**30)], "asks for a size of 1,073,741,824"),
        ([helper.make_node("Constant", [], ["shape"], value_ints=[16] * 9)], "asks for a size of 16"),
        ([helper.make_node("Cast", ["sizes"], ["shape"], to=TensorProto.INT64)], "is told its sizes by Cast"),
        ([helper.make_node("Concat", ["sizes", "sizes"], ["shape"], axis=0)], "is told its sizes by Concat"),
        ([helper.make_node("Mul", ["sizes", "sizes"], ["shape"])], "is told its sizes by Mul"),
        ([helper.make_node("Identity", ["pixels"], ["shape"])], "is told its sizes by Identity"),
    ],
)
def test_a_shape_that_asks_for_a_huge_tensor_is_refused_however_it_is_written(model, nodes, told):
    name = "sizes" if nodes else "shape"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**16, 2**16], np.int64), name))
    model.graph.node.extend([*nodes, helper.make_node("Expand", ["pixels", "shape"], ["x"])])
    assert told in refusal(model)


def test_wide_padding_is_refused(model):
    model.graph.node.append(helper.make_node("MaxPool", ["pixels"], ["x"], kernel_shape=[2, 2], pads=[0, 0, 10**6, 10**6]))
    assert refusal(model) == "its operator MaxPool pads by 1,000,000, more than 64"


def test_numbers_that_are_not_as_many_as_they_say_and_types_that_are_none_are_refused(model):
    spoilt = onnx.ModelProto.FromString(model.SerializeToString())
    spoilt.graph.initializer.append(TensorProto(name="shape", data_type=TensorProto.INT64, dims=[4], raw_data=b"123"))
    spoilt.graph.node.append(helper.make_node("Expand", ["pixels", "shape"], ["x"]))
    assert "cannot be read" in refusal(spoilt)
    model.graph.output[0].type.tensor_type.elem_type = 12345
    assert "cannot be read" in refusal(model)


def test_a_wrong_signature_is_refused(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert refusal(model) == "it takes pixels float [N, 1, 28, 28], its card says pixels uint8 [N, 1, 28, 28]"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    del model.graph.output[1]
    assert refusal(model).startswith("it gives probabilities float [N, 10], its card says probabilities float [N, 10] and logits")


K = 2**20  # numbers are 4 MB, and K times K of them 4 TB


def add_zeros(model: onnx.ModelProto, name: str, *sizes: int) -> None:
    """Puts a tensor of zeros into the file."""
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(sizes, np.float32), name))


@pytest.mark.parametrize("operator", ["Add", "Mul", "MatMul", "Max", "Equal"])
def test_small_tensors_that_are_large_together_are_refused(model, operator):
    add_zeros(model, "column", K, 1)
    add_zeros(model, "row", 1, K)
    model.graph.node.append(helper.make_node(operator, ["column", "row"], ["x"]))
    assert refusal(model) == f"its value 'x', which {operator} makes, is 1048576x1048576, more than 67,108,864 numbers"


def test_a_value_that_grows_faster_than_the_number_of_pictures_is_refused(model):
    model.graph.node.extend([
        helper.make_node("ReduceMax", ["logits", "last"], ["one"], keepdims=1),
        helper.make_node("Transpose", ["one"], ["lying"]),
        helper.make_node("MatMul", ["one", "lying"], ["x"]),
    ])  # fmt: skip
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "last"))
    assert refusal(model) == "its value 'x' grows faster than the number of pictures; of several it would take any memory"


def test_many_large_values_are_refused_together(model):
    add_zeros(model, "column", 2**13, 1)
    add_zeros(model, "row", 1, 2**13)
    for at in range(17):
        model.graph.node.append(helper.make_node("Add", ["column", "row"], [f"x{at}"]))
    assert "numbers for one picture, more than 1,073,741,824" in refusal(model)


def test_a_value_whose_size_only_its_numbers_tell_is_refused(model):
    model.graph.node.extend([
        helper.make_node("Cast", ["logits"], ["sizes"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["sizes"], ["flat"]),
        helper.make_node("Reshape", ["logits", "flat"], ["x"]),
    ])  # fmt: skip
    assert "cannot be told before it is run" in refusal(model)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (helper.make_node("Relu", ["nothing"], ["x"]), "takes 'nothing', which nothing before it makes"),
        (helper.make_node("Relu", [], ["x"]), "operator Relu cannot be what it says"),
        (helper.make_node("Conv", ["logits", "logits"], ["x"], strides=[0, 0]), "operator Conv cannot be what it says"),
        (helper.make_node("Split", ["logits"], ["x"], num_outputs=2**40), "makes more or fewer parts than it names"),
        (helper.make_node("Expand", ["logits"], ["x"]), "cannot be read"),
        (helper.make_node("Constant", [], ["x"]), "operator Constant cannot be what it says"),
    ],
)
def test_an_operator_that_cannot_work_is_refused(model, node, told):
    model.graph.node.append(node)
    assert told in refusal(model)


def test_answers_that_are_not_one_row_a_picture_are_refused(model):
    (last,) = (node for node in model.graph.node if "probabilities" in node.output)
    last.output[0] = "each"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0], np.int64), "first"))
    model.graph.node.append(helper.make_node("ReduceMean", ["each", "first"], ["probabilities"], keepdims=1))
    assert refusal(model) == "its probabilities of 256 pictures are 1x10, not 256x10"


def test_a_graph_of_very_many_operators_is_refused_before_any_is_looked_at(model):
    model.graph.node.extend([helper.make_node("Relu", ["logits"], [f"x{at}"]) for at in range(graph.MOST_OPERATORS)])
    assert refusal(model) == f"it has {len(model.graph.node):,} operators, more than 20,000"


@pytest.mark.parametrize("versions", [[], [20, 18]])
def test_a_graph_that_does_not_name_one_version_is_refused(model, versions):
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", version) for version in versions])
    assert refusal(model) == f"it names {len(versions)} versions of its operators; a graph has to name one"


def test_a_refused_graph_is_one_sentence_and_no_session_is_made(model, monkeypatch):
    card = shelf.load_card("mnist", "lenet5")
    model.graph.node.append(helper.make_node("Run", ["pixels"], ["x"], domain="com.evil"))
    monkeypatch.setattr(shelf.Card, "read_graph", lambda self: model.SerializeToString())
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *facts, **more: pytest.fail("a session was made"))
    with pytest.raises(shelf.ShelfError, match=r"^lenet5\.onnx is not served: it has custom operators .*; publish lenet5 again$"):
        Classifier(card)
