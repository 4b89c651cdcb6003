"""Trains, evaluates and exports the networks. The only room that imports torch; `python -m training --help`."""

import models  # noqa: F401 - before ONNX Runtime: it is not to call home
