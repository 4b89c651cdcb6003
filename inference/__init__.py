"""Any image -> pixels -> probabilities. The page and `python -m inference` go through the same code."""

import models  # noqa: F401 - before ONNX Runtime: it is not to call home
