"""What a graph may be: looked at as data, before a session is made of it.

The shelf is a folder, and what lies in a folder may come from anywhere. onnxruntime would read files that a graph names, run what is in custom
operators, and reserve whatever memory its tensors ask for: those of the file, and those that it makes of them at work.
"""

import math
from collections.abc import Container, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.shape_inference import infer_node_outputs

from models.errors import InklingError
from models.shelf import LARGEST_GRAPH

MOST_ELEMENTS = 2**28  # of a tensor
MOST_PADDING = 64
MOST_OPERATORS = 20_000  # the photo network has 1,062
MOST_VALUES = 2**26  # numbers of one value for one picture: the widest layer of a run, 4,096 channels, on the largest picture, 128x128
MOST_TOGETHER = 2**30  # numbers of all values for one picture, were none given back before the end
PICTURES = 256  # more than anything here asks a network about at once
FEW = 64  # numbers, up to which a value is worked out that may tell others their size
# What tells Expand how large to become: the size of another tensor, or ones. What others make of broadcasting, _check_values measures.
SIZES = frozenset(("Constant", "Expand", "Shape"))
# Those of the networks that training can build, and of EfficientNet-Lite0. None has graphs inside it, reads a file, or makes a tensor of any size.
OPERATORS = frozenset(
    """Abs Add AveragePool BatchNormalization Cast CastLike Clip Concat Constant Conv Div Dropout Equal Expand Flatten Gather GatherND Gemm
    GlobalAveragePool Identity LeakyRelu Log LogSoftmax MatMul Max MaxPool Min Mul Neg Pad Pow ReduceLogSumExp ReduceMax ReduceMean ReduceSum
    Relu Reshape Reciprocal Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where""".split()  # noqa: SIM905
)


class GraphError(InklingError):
    """A graph asks for what none of Inkling's does. The message says what."""


def check(graph: bytes, shape: tuple[int, ...], classes: int, also: Sequence[str] = ()) -> None:
    """Raises GraphError unless a graph is one file of plain operators, takes pixels uint8 [N, *shape] and gives probabilities and logits, float [N, classes],
    and none of its values takes more memory than the limits above. also: names of what it gives besides, float [N] each."""
    if len(graph) > LARGEST_GRAPH:
        raise GraphError(f"it has {len(graph) / 2**20:,.0f} MB, more than the {LARGEST_GRAPH // 2**20} allowed")
    try:
        model = onnx.ModelProto.FromString(graph)
    except DecodeError:
        raise GraphError("it is no ONNX file") from None
    domains = {each.domain for each in (*model.opset_import, *model.graph.node)} - {"", "ai.onnx"}
    if domains or model.functions:
        raise GraphError(f"it has custom operators ({', '.join(sorted(domains)) or model.functions[0].name}), which could do anything")
    if len(model.graph.node) > MOST_OPERATORS:
        raise GraphError(f"it has {len(model.graph.node):,} operators, more than {MOST_OPERATORS:,}")
    unknown = {node.op_type for node in model.graph.node} - OPERATORS
    if unknown:
        raise GraphError(f"it has the operator {sorted(unknown)[0]}, which no network of Inkling needs")
    for tensor in _tensors(model.graph):
        _check_tensor(tensor)
    try:
        _check_growth(model.graph)
        _check_signature(model.graph, shape, classes, also)
        _check_values(model, classes, also)
    except (ValueError, TypeError, LookupError, OverflowError) as error:  # fewer numbers or names than it says, types that are none
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
        if node.op_type == "Split" and any(each.name == "num_outputs" and each.i != len(node.output) for each in node.attribute):
            raise GraphError("its operator Split says that it makes more or fewer parts than it names")
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


def _check_signature(graph: onnx.GraphProto, shape: tuple[int, ...], classes: int, also: Sequence[str]) -> None:
    initial = {each.name for each in graph.initializer}
    inputs = [_signature(each) for each in graph.input if each.name not in initial]
    outputs = [_signature(each) for each in graph.output]
    wanted = [("pixels", onnx.TensorProto.UINT8, shape)]
    if inputs != wanted:
        raise GraphError(f"it takes {_in_words(inputs)}, its card says {_in_words(wanted)}")
    wanted = [(name, onnx.TensorProto.FLOAT, (classes,)) for name in ("probabilities", "logits")]
    wanted += [(name, onnx.TensorProto.FLOAT, ()) for name in also]
    if outputs != wanted:
        raise GraphError(f"it gives {_in_words(outputs)}, its card says {_in_words(wanted)}")


Signature = tuple[str, int, tuple[int, ...]]


def _signature(value: onnx.ValueInfoProto) -> Signature:
    """Name, type, and all sizes but the first, which is that of the batch."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(each.dim_value for each in tensor.shape.dim)[1:]


def _in_words(signatures: list[Signature]) -> str:
    return " and ".join(
        f"{name[:40]} {onnx.TensorProto.DataType.Name(kind).lower()} [{', '.join(map(str, ('N', *sizes)))}]"
        for name, kind, sizes in signatures
    )


Shapes = dict[str, tuple[int, ...]]


def _check_values(model: onnx.ModelProto, classes: int, also: Sequence[str]) -> None:
    """Refuses what broadcasting makes large at work: [k, 1] and [1, k] are small, their sum is [k, k]. Raises GraphError."""
    one, many = (_shapes(model, pictures) for pictures in (1, PICTURES))
    for name in ("probabilities", "logits"):
        if many.get(name) != (PICTURES, classes):
            raise GraphError(f"its {name} of {PICTURES} pictures are {_times(many.get(name, ()))}, not {PICTURES}x{classes}")
    for name in also:
        if many.get(name) != (PICTURES,):
            raise GraphError(f"its {name} of {PICTURES} pictures are {_times(many.get(name, ()))}, not {PICTURES}")
    for name, shape in one.items():
        if math.prod(many[name]) > PICTURES * max(1, math.prod(shape)):  # [N, 1] times [1, N]
            raise GraphError(f"its value {name[:60]!r} grows faster than the number of pictures; of several it would take any memory")
    together = sum(map(math.prod, one.values()))
    if together > MOST_TOGETHER:
        raise GraphError(f"its values are {together:,} numbers for one picture, more than {MOST_TOGETHER:,}")


def _shapes(model: onnx.ModelProto, pictures: int) -> Shapes:
    """The sizes of all values that are made when so many pictures are asked about. Raises GraphError where one is too large or cannot be told."""
    graph, version = model.graph, _version(model)
    types = {each.name: onnx.helper.make_tensor_type_proto(each.data_type, each.dims) for each in graph.initializer}
    for each in graph.input:
        types.setdefault(each.name, _type_of(each, pictures))
    numbers = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer if _may_be_sizes(each.data_type, each.dims)}
    shapes: Shapes = {}
    for node in graph.node:
        made = _infer(node, types, numbers, version)
        for name in filter(None, node.output):
            types[name] = made.get(name, onnx.TypeProto())
            shapes[name] = _known(name, types[name], node, pictures * MOST_VALUES)
        for name in set(node.output[:1]) & shapes.keys():
            kind = types[name].tensor_type.elem_type
            if _may_be_sizes(kind, shapes[name]) and (found := _numbers_of(node, types, numbers, shapes[name])) is not None:
                numbers[name] = found.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    return shapes


def _version(model: onnx.ModelProto) -> int:
    """Of the operators. Other domains are refused before."""
    versions = {each.version for each in model.opset_import}
    if len(versions) != 1:
        raise GraphError(f"it names {len(versions)} versions of its operators; a graph has to name one")
    return versions.pop()


def _type_of(value: onnx.ValueInfoProto, pictures: int) -> onnx.TypeProto:
    """That of an input, for so many pictures."""
    tensor = value.type.tensor_type
    return onnx.helper.make_tensor_type_proto(tensor.elem_type, [pictures, *(each.dim_value for each in tensor.shape.dim[1:])])


def _infer(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto], numbers: dict[str, np.ndarray], version: int
) -> dict[str, onnx.TypeProto]:
    """The types, with their shapes, of what an operator makes."""
    if missing := [name for name in node.input if name and name not in types]:
        raise GraphError(f"its operator {node.op_type} takes {missing[0][:60]!r}, which nothing before it makes")
    given = {name: onnx.numpy_helper.from_array(numbers[name]) for name in node.input if name in numbers}
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
        imports = [onnx.helper.make_opsetid("", version)]
        return infer_node_outputs(schema, node, {name: types[name] for name in node.input if name}, given, opset_imports=imports)
    except Exception as error:  # onnx's own exceptions share no public base class
        raise GraphError(f"its operator {node.op_type} cannot be what it says ({' '.join(str(error).split())[:80]})") from None


def _known(name: str, kind: onnx.TypeProto, node: onnx.NodeProto, most: int) -> tuple[int, ...]:
    """The sizes of a value. Raises GraphError unless all are known and their product is not more than allowed."""
    tensor = kind.tensor_type
    sizes = tuple(each.dim_value if each.HasField("dim_value") else -1 for each in tensor.shape.dim)
    if not tensor.HasField("shape") or min(sizes, default=0) < 0:
        raise GraphError(f"how large its value {name[:60]!r} is, which {node.op_type} makes, cannot be told before it is run")
    if math.prod(sizes) > most:
        raise GraphError(f"its value {name[:60]!r}, which {node.op_type} makes, is {_times(sizes)}, more than {most:,} numbers")
    return sizes


def _may_be_sizes(kind: int, sizes: tuple[int, ...]) -> bool:
    return kind in (onnx.TensorProto.INT32, onnx.TensorProto.INT64) and math.prod(sizes) <= FEW


def _numbers_of(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto], numbers: dict[str, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray | None:
    """What an operator makes of numbers that are known, as far as the exporter reckons sizes with it; None where that is not known."""
    attributes: dict[str, Any] = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Constant":
        (value,) = attributes.values()
        return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
    if node.op_type == "Shape":
        sizes = [each.dim_value for each in types[node.input[0]].tensor_type.shape.dim]
        return np.array(sizes[attributes.get("start", 0) : attributes.get("end")])
    if not all(name in numbers for name in node.input):
        return None
    given = [numbers[name] for name in node.input]
    if node.op_type in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
        return given[0].reshape(shape)
    if node.op_type == "Expand":
        return np.broadcast_to(given[0], shape)
    return np.concatenate(given, attributes["axis"]) if node.op_type == "Concat" else None


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
