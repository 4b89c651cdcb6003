"""What a GPU needs: its arithmetic chosen, and CUDA graphs. A training step is captured once and then replayed, so that Python and
launches cost nothing per step.

Written for CUDA and, for want of one, never run on it; on the CPU a step is simply called.
"""

import os
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from models.errors import InklingError

VARIABLE = "INKLING_CUDA_GRAPHS"  # "0": every step is launched by itself
WARM_UP = 3  # real steps on a side stream before the capture: libraries set themselves up and optimizers make their state


class CaptureFailed(InklingError):
    """A step cannot become a CUDA graph. The message says what to do: a failed capture leaves torch's random numbers unusable."""


def set_up(device: torch.device) -> None:
    """Chooses how torch computes, before every training: on a GPU float32 products by way of TF32, and each time the same sums."""
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    torch.backends.cudnn.deterministic = True  # the same configuration is to give the same weights, on a GPU too


def is_on(device: torch.device) -> bool:
    """Whether steps on a device become graphs."""
    return device.type == "cuda" and os.environ.get(VARIABLE) != "0"


class Replayed:
    """A step without arguments that reads tensors which stay where they are, and returns one tensor that it owns.

    What the step draws at random is drawn anew in each replay. Calling it raises CaptureFailed where a step cannot be captured.
    """

    def __init__(self, step: Callable[[], Tensor], device: torch.device) -> None:
        self.step, self.calls = step, 0
        self.captures = is_on(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Tensor | None = None

    def __call__(self) -> Tensor:
        """Does one step and returns its result, which the next call overwrites."""
        if not self.captures:
            return self.step()
        if self.graph is None:
            self.calls += 1
            if self.calls <= WARM_UP:
                return self._on_side_stream()
            self._capture()
        self.graph.replay()
        return self.result

    def _on_side_stream(self) -> Tensor:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*capturable", category=UserWarning)  # of the optimizer, which is captured next
            result = self.step()
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.result = self.step()
        except RuntimeError as error:
            raise CaptureFailed(
                f"no CUDA graph could be made of a step ({str(error).splitlines()[0][:160]}); set {VARIABLE}=0 and resume"
            ) from error
        self.graph = graph
