"""python -m ui [options of streamlit run]: serves app.py, as `streamlit run app.py` does, with security headers (asgi.py) and the first page there sooner.

While the browser parses its part the server would idle for half a second; it spends that on what the page imports.
benchmarks/cold_start.py measures it.
"""

import gc
import sys
import threading
import time
from pathlib import Path

gc.disable()  # nothing that is imported is garbage, and looking for some takes a tenth of the start; _load_ahead enables it

from streamlit import runtime  # noqa: E402
from streamlit.runtime import RuntimeState  # noqa: E402
from streamlit.web import cli  # noqa: E402

SERVER = Path(__file__).parent.parent / "asgi.py"  # which serves app.py


def _load_ahead() -> None:
    while not runtime.exists() or runtime.get_instance().state is RuntimeState.INITIAL:
        time.sleep(0.01)  # sooner, it would only keep the server from listening
    try:
        import pandas  # noqa: F401  Streamlit asks it about what every canvas is given

        from ui import corrections, draw, experiments, history, models, own_images, sidebar, style, upload  # noqa: F401

        style.remember_theme()
    finally:
        gc.enable()


def main() -> None:
    """Starts the server and serves until it is stopped."""
    threading.Thread(target=_load_ahead, name="load-ahead", daemon=True).start()
    sys.argv = ["streamlit", "run", str(SERVER), *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
