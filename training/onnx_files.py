"""Networks as ONNX files: written as one self-contained file each, and compared with what torch says."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from models import datasets
from models.errors import InklingError

OPSET = 20
PARITY = 1e-4  # largest difference of a probability between torch and onnxruntime that is still published


class ExportError(InklingError):
    """A network was not published. The message says why and what to do."""


def write_graph(
    served: torch.nn.Module,
    dataset: str,
    path: Path,
    shape: tuple[int, ...] | None = None,
    labels: Sequence[str] | None = None,
    also: Sequence[str] = (),
) -> None:
    """Exports to one self-contained file with opset, labels and data set stamped.

    shape, labels: the data set's own when None. also: names of what the network gives beside probabilities and logits.
    """
    about = datasets.info(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            served,
            (torch.zeros(2, *(shape or about.shape), dtype=torch.uint8),),
            dynamo=True,
            # Unoptimised keeps every parameter under its torch name, so that a run can start from the published file;
            # onnxruntime folds batch normalisation into the convolutions when it loads the graph.
            optimize=False,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["probabilities", "logits", *also],
            dynamic_shapes={"pixels": {0: torch.export.Dim("N")}},
            verbose=False,
        )
    model = program.model_proto
    for key, value in {"dataset": dataset, "labels": json.dumps(labels or about.labels), "producer": "inkling"}.items():
        model.metadata_props.add(key=key, value=value)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    if any(each.external_data for each in model.graph.initializer):
        raise ExportError(
            f"the graph keeps weights outside {path.name}; this version of torch cannot be exported from, use another of requirements.txt"
        )
    path.write_bytes(model.SerializeToString())


def _strip(model: onnx.ModelProto) -> None:
    """Takes out the exporter's debug notes (source paths and stack traces), and nodes whose results nobody reads."""
    del model.graph.metadata_props[:]
    for item in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    wanted = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [each for each in model.graph.initializer if each.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    del model.graph.value_info[:]


def check_parity(served: torch.nn.Module, path: Path, pixels: np.ndarray) -> float:
    """Largest difference of a probability between torch and onnxruntime over real, blank, full and random pixels, one by one and together.

    Raises ExportError when it is more than 1e-4.
    """
    random = np.random.default_rng(0).integers(0, 256, (4, *pixels.shape[1:]), dtype=np.uint8)
    extremes = np.stack([np.zeros_like(random[0]), np.full_like(random[0], 255)])
    pixels = np.concatenate([pixels, random, extremes])
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        probabilities, _, *others = served(torch.from_numpy(pixels))
    names = [each.name for each in session.get_outputs() if each.name != "logits"]
    together, difference = session.run(names, {"pixels": pixels}), 0.0
    one_by_one = zip(*(session.run(names, {"pixels": pixels[k : k + 1]}) for k in range(len(pixels))), strict=True)
    for expected, *found in zip((probabilities, *others), together, map(np.concatenate, one_by_one), strict=True):
        difference = max(difference, *(float(np.abs(each - expected.numpy()).max()) for each in found))
    if not difference <= PARITY:
        raise ExportError(f"torch and onnxruntime differ by {difference:.1e}, more than {PARITY:.0e}; nothing was published")
    return difference
