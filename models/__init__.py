"""The shelf: published networks and the registry code that finds them (standard library only)."""

import os

# ONNX Runtime sends Microsoft what it runs, from 1.29 on on Linux too. It looks at this once, when it is loaded; so the rooms that
# load it import this one first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
