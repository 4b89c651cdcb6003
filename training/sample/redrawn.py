"""python -m training.sample.redrawn [DATA_FOLDER]: bundles every twelfth of the redrawn training digits, for retrains that cannot wait for all.

The bundled 4,000 are of before digits by rule were added; made today they would be some 5,670.
They are made first where they are not in the cache (half an hour on two cores); from the full MNIST, as `fit --redrawn` does.
"""

import sys
from pathlib import Path

from training import data
from training.redrawn import redrawn
from training.sample.pack import write

EVERY = 12


def main(folder: str | None = None) -> None:
    """Writes MNIST/redrawn-images-idx3-ubyte.gz and its labels beside this file."""
    made = redrawn("train", data.find("mnist", Path(folder) if folder else None))
    write("MNIST", "redrawn", made.pixels[::EVERY, 0], made.labels[::EVERY])


if __name__ == "__main__":
    main(*sys.argv[1:])
