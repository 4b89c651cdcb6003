"""What a graph may be: looked at as data, before a session is made of it.

The shelf is a folder, and what lies in a folder may come from anywhere. onnxruntime would read files that a graph names, run what is in custom
operators, and reserve whatever memory its tensors ask for.
"""

import math
from collections.abc import Container, Iterator

import onnx
from google.protobuf.message import DecodeError

from models.errors import InklingError

LARGEST = 200 * 2**20  # bytes of a file; the largest network of the shelf has 18 MB
MOST_ELEMENTS = 2**28  # of a tensor
MOST_PADDING = 64
# What tells Expand how large to become: the size of another tensor, or ones. Nothing here makes a number larger than those it has.
SIZES = frozenset(("Constant", "Expand", "Shape"))
# Those of the networks that training can build, and of EfficientNet-Lite0. None has graphs inside it, reads a file, or makes a tensor of any size.
OPERATORS = frozenset(
    """Abs Add AveragePool BatchNormalization Cast CastLike Clip Concat Constant Conv Div Dropout Equal Expand Flatten Gather GatherND Gemm
    GlobalAveragePool Identity LeakyRelu Log LogSoftmax MatMul Max MaxPool Min Mul Neg Pad Pow ReduceLogSumExp ReduceMax ReduceMean ReduceSum
    Relu Reshape Reciprocal Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where""".split()  # noqa: SIM905
)


class GraphError(InklingError):
    """A graph asks for what none of Inkling's does. The message says what."""


def check(graph: bytes, shape: tuple[int, ...], classes: int) -> None:
    """Raises GraphError unless a graph is one file of plain operators, takes pixels uint8 [N, *shape] and gives probabilities and logits, float [N, classes]."""
    if len(graph) > LARGEST:
        raise GraphError(f"it has {len(graph) / 2**20:,.0f} MB, more than the {LARGEST // 2**20} allowed")
    try:
        model = onnx.ModelProto.FromString(graph)
    except DecodeError:
        raise GraphError("it is no ONNX file") from None
    domains = {each.domain for each in (*model.opset_import, *model.graph.node)} - {"", "ai.onnx"}
    if domains or model.functions:
        raise GraphError(f"it has custom operators ({', '.join(sorted(domains)) or model.functions[0].name}), which could do anything")
    unknown = {node.op_type for node in model.graph.node} - OPERATORS
    if unknown:
        raise GraphError(f"it has the operator {sorted(unknown)[0]}, which no network of Inkling needs")
    for tensor in _tensors(model.graph):
        _check_tensor(tensor)
    try:
        _check_growth(model.graph)
        _check_signature(model.graph, shape, classes)
    except (ValueError, TypeError) as error:  # numbers that are not as many as they say, types that are none
        raise GraphError(f"its numbers or types cannot be read ({str(error)[:80]})") from None


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    if graph.sparse_initializer:
        raise GraphError("it has sparse tensors, which no network of Inkling needs")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs or attribute.HasField("sparse_tensor"):
                raise GraphError(f"its operator {node.op_type} has a graph inside it, which no network of Inkling needs")
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise GraphError(f"its tensor {tensor.name[:60]!r} lies in another file; a graph has to be one file")
    count = math.prod(tensor.dims)
    if min(tensor.dims, default=1) < 0 or count > MOST_ELEMENTS:
        raise GraphError(f"its tensor {tensor.name[:60]!r} is {'x'.join(map(str, tensor.dims))}, more than {MOST_ELEMENTS:,} numbers")


def _check_growth(graph: onnx.GraphProto) -> None:
    """Refuses what would make a small tensor as large as it likes: Expand to sizes that it names itself, and wide padding."""
    makers = {name: node for node in graph.node for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    for node in graph.node:
        paddings = [number for attribute in node.attribute if attribute.name == "pads" for number in attribute.ints]
        if node.op_type == "Pad" and len(node.input) > 1:
            paddings += _numbers(node.input[1], makers, constants, ("Constant",), node)
        if paddings and max(map(abs, paddings)) > MOST_PADDING:
            raise GraphError(f"its operator {node.op_type} pads by {max(map(abs, paddings)):,}, more than {MOST_PADDING}")
        if node.op_type == "Expand":
            sizes = _numbers(node.input[1], makers, constants, SIZES, node)
            if sizes and max(sizes) > 1:
                raise GraphError(f"its operator Expand asks for a size of {max(sizes):,}, which no network of Inkling does")


def _numbers(
    name: str, makers: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto], allowed: Container[str], asking: onnx.NodeProto
) -> list[int]:
    """All constants that a tensor is made of by the allowed operators; those that a size is measured of are no part of it."""
    numbers, left, seen = [], [name], set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in constants:
            numbers += onnx.numpy_helper.to_array(constants[name]).ravel().tolist()
            continue
        maker = makers.get(name)
        if maker is None or maker.op_type not in allowed:
            raise GraphError(f"its operator {asking.op_type} is told its sizes by {maker.op_type if maker else 'the picture'}")
        if maker.op_type == "Constant":
            for attribute in maker.attribute:
                numbers += [
                    attribute.i,
                    *attribute.ints,
                    *(onnx.numpy_helper.to_array(attribute.t).ravel().tolist() if attribute.HasField("t") else ()),
                ]
        elif maker.op_type != "Shape":
            left += maker.input
    return numbers


def _check_signature(graph: onnx.GraphProto, shape: tuple[int, ...], classes: int) -> None:
    initial = {each.name for each in graph.initializer}
    inputs = [_signature(each) for each in graph.input if each.name not in initial]
    outputs = [_signature(each) for each in graph.output]
    wanted = [("pixels", onnx.TensorProto.UINT8, shape)]
    if inputs != wanted:
        raise GraphError(f"it takes {_in_words(inputs)}, its card says {_in_words(wanted)}")
    wanted = [(name, onnx.TensorProto.FLOAT, (classes,)) for name in ("probabilities", "logits")]
    if outputs != wanted:
        raise GraphError(f"it gives {_in_words(outputs)}, its card says {_in_words(wanted)}")


Signature = tuple[str, int, tuple[int, ...]]


def _signature(value: onnx.ValueInfoProto) -> Signature:
    """Name, type, and all sizes but the first, which is that of the batch."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(each.dim_value for each in tensor.shape.dim)[1:]


def _in_words(signatures: list[Signature]) -> str:
    return " and ".join(
        f"{name[:40]} {onnx.TensorProto.DataType.Name(kind).lower()} [N, {', '.join(map(str, sizes))}]" for name, kind, sizes in signatures
    )
