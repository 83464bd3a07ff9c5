# make sweep   set everything up and run the main job: initialisations × depths × 5,000 restarts
# make test    set everything up and run the tests that are quick
# The first use makes .venv with the pinned packages of constraints.txt; nothing outside this folder is touched but
# ~/.cache/basinet, where compiled kernels are kept.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help sweep test test-all check lint types layers stress bench clean

help:
	@echo "make sweep   run the main job       make test      run the tests that are quick"
	@echo "make check   lint, types, layers    make test-all  and those that are slow"
	@echo "make bench   measure the speed      make stress    the tests with full counts"
	@echo "make clean   remove .venv and caches"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dask,dev,postgresql,proofs,submitit]'
	touch $@

sweep: $(STAMP)
	$(BIN)/basinet experiment=depth

# pytest has a process for each core; more threads of NumPy's products would only be in each other's way
test test-all: export OPENBLAS_NUM_THREADS := 1

test: $(STAMP)
	$(BIN)/python -m pytest -m "not stress and not slow" -n auto -q $(PYTEST_ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not stress" -n auto -q $(PYTEST_ARGS)

stress: $(STAMP)
	$(BIN)/python -m pytest -m stress -s $(PYTEST_ARGS)

check: lint types layers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt 'jax>=0.4' 'diffrax>=0.6'
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/minima.py
	$(BIN)/python benchmarks/lbfgs.py
	$(BIN)/python benchmarks/hessians.py
	$(BIN)/python benchmarks/saddles.py
	$(BIN)/python benchmarks/proofs.py
	$(BIN)/python benchmarks/algebra.py
	$(BIN)/python benchmarks/linearity.py
	$(BIN)/python benchmarks/sweeps.py
	$(BIN)/python benchmarks/escapes.py
	$(BIN)/python benchmarks/classics.py
	$(BIN)/python benchmarks/flows.py
	$(BIN)/python benchmarks/prices.py
	$(BIN)/python benchmarks/executors.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
