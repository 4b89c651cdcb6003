# make app | make test | make lint   (PORT=8501, DATA=folder with MNIST/raw and FashionMNIST/raw)
PORT ?= 8501
DATA ?=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_SYSTEM_CERTS := 1
export INKLING_DATA := $(if $(DATA),$(if $(filter-out sample,$(DATA)),$(shell $(PYTHON) -c 'import os, sys; print(os.path.abspath(os.path.expanduser(sys.argv[1])))' "$(DATA)"),sample),$(INKLING_DATA))

.PHONY: app test lint clean
app: $(VENV)/app.done
	@echo "Inkling is at http://localhost:$(PORT)"
	$(BIN)/python -m ui --server.port $(PORT)

test: $(VENV)/test.done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || ./install.sh chromium || ./install.sh chromium-browser || { echo "The tests open the page in Chromium: install it, or Google Chrome, so that chromium, chromium-browser or google-chrome starts it"; exit 1; }
	@command -v strace >/dev/null || ./install.sh strace || echo "Without strace nothing looks at whom the server calls"
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || [ -x $(VENV)/nginx/usr/sbin/nginx ] || ./unpack.sh nginx $(VENV)/nginx || echo "Without nginx the test of several servers is skipped"
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || ./install.sh postgresql || echo "Without PostgreSQL its tests are skipped"
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/test.done
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean:
	rm -rf $(VENV)

# uv installs five times faster than pip; where it cannot reach an index that pip is set up for, pip does it.
$(VENV)/app.done: requirements.txt | $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt || $(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/test.done: requirements-test.txt requirements-cluster.txt $(VENV)/app.done
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-test.txt || $(BIN)/python -m pip install --quiet -r requirements-test.txt
	@touch $@

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Inkling needs Python 3.11 or later; this is $$($(PYTHON) --version). Give another one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || ./install.sh $(notdir $(PYTHON))-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
