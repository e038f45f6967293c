# Everything runs in .venv, which the first call makes and later calls reuse. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCE := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo demo-smoke test test-hard test-scatter lint types examples bench clean help

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "elegans_gnn needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo: $(VENV)/python $(SOURCE)
	@echo "installing elegans_gnn with what training needs (a few minutes, once) ..."
	$(PIP) --editable ".[train,viz]"
	@touch $@

$(VENV)/dev: $(VENV)/python $(SOURCE)
	@echo "installing elegans_gnn with what its tests need (a few minutes, once) ..."
	$(PIP) --editable ".[train,viz,graphs,backbones,onnx,study,tables,dev]"
	@touch $@ $(VENV)/demo

demo: $(VENV)/demo ## train the connectome autoencoder on real digits
	$(BIN)/elegans-gnn train mnist-autoencoder

demo-smoke: $(VENV)/demo ## the demo in seconds: every part runs, the figures mean nothing
	$(BIN)/elegans-gnn train mnist-autoencoder --smoke --no-progress

test: $(VENV)/dev ## the tests, one worker a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-hard: $(VENV)/dev ## the long versions of the property tests
	$(BIN)/python -m pytest -m hard

test-scatter: $(VENV)/dev ## the torch_scatter backend (builds the extra `scatter` once)
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation torch-scatter
	$(BIN)/python -m pytest -m scatter

lint: $(VENV)/dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev ## mypy
	$(BIN)/mypy

examples: $(VENV)/dev ## every example in smoke mode
	for script in examples/*.py; do echo "$$script --smoke"; $(BIN)/python $$script --smoke || exit 1; done

bench: $(VENV)/dev ## the benchmark of the sparse aggregation, figures and pictures into runs/benchmark
	$(BIN)/python benchmarks/aggregate.py --parts main grid overhead threads fly scaling \
		--json runs/benchmark/aggregate.json --plots runs/benchmark

clean: ## remove the environment and build products, never runs/
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
