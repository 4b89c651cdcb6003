"""OpenCV, loaded when it is first needed: it takes a tenth of a second, which the start of the page does not need."""

import functools
from types import ModuleType


@functools.cache
def opencv() -> ModuleType:
    """The module cv2, on one thread: of pictures as small as these, the others would only wait, spinning."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
