"""What a GPU needs: its arithmetic chosen, and CUDA graphs. A training step is captured once and then replayed, so that Python and
launches cost nothing per step.

Written for CUDA and, for want of one, never run on it; on the CPU a step is simply called.
"""

import contextlib
import gc
import os
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.errors import InklingError

VARIABLE = "INKLING_CUDA_GRAPHS"  # "0": every step is launched by itself
WARM_UP = 3  # real steps on a side stream before the capture: libraries set themselves up and optimizers make their state


class CaptureFailed(InklingError):
    """A step cannot become a CUDA graph. The message says what to do: a failed capture leaves torch's random numbers unusable."""


def fault() -> str:
    """Why torch cannot compute on a GPU here; empty where it can. A GPU may be there and be older than what torch was built for."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    try:
        (torch.zeros(1, device="cuda") + 1).item()
    except torch.OutOfMemoryError:  # it is full for now: the run says so itself
        return ""
    except (RuntimeError, AssertionError) as error:  # the latter: torch was built without CUDA
        return f"torch cannot compute on the CUDA device that it finds ({(str(error) or type(error).__name__).splitlines()[0][:160]})"
    return ""


@contextlib.contextmanager
def arithmetic(device: torch.device) -> Iterator[None]:
    """How torch computes in a training: on a GPU float32 products by way of TF32, and each time the same sums.

    Afterwards products are exact again: the setting holds for the processor too, which then checks what is published.
    """
    torch.backends.cudnn.deterministic = True  # the same configuration is to give the same weights, on a GPU too
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


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
        gc.collect()  # a graph before this one that is collected during the capture would spoil it
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.result = self.step()
        except torch.OutOfMemoryError:  # says itself what it is; without graphs there would be no more memory
            raise
        except RuntimeError as error:
            raise CaptureFailed(
                f"no CUDA graph could be made of a step ({str(error).splitlines()[0][:160]}); set {VARIABLE}=0 and resume"
            ) from error
        self.graph = graph
