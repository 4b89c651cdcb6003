"""How the C library keeps memory while something is trained."""

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_memory() -> None:
    """Has glibc keep freed memory for the next batch in place of giving it back to the system each time.

    Otherwise every activation above 128 kB is fetched anew, page by page: a third of an epoch at batch 400. Elsewhere
    than on glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
