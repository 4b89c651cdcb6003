"""CUDA graphs: a training step is captured once and then replayed, so that Python and launches cost nothing per step.

Written for CUDA and, for want of one, never run on it; on the CPU a step is simply called.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # real steps on a side stream before the capture: libraries set themselves up and optimizers make their state


class Replayed:
    """A step without arguments that reads tensors which stay where they are, and returns one tensor that it owns.

    What the step draws at random is drawn anew in each replay. Where a capture fails the step goes on being called.
    """

    def __init__(self, step: Callable[[], Tensor], device: torch.device) -> None:
        self.step, self.calls = step, 0
        self.captures = device.type == "cuda"
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
            if self.graph is None:
                return self.step()
        self.graph.replay()
        return self.result

    def _on_side_stream(self) -> Tensor:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.step()
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.result = self.step()
        except RuntimeError as error:
            print(f"No CUDA graph ({str(error).splitlines()[0]}); each step is launched by itself.", file=sys.stderr)
            self.captures = False
            return
        self.graph = graph
