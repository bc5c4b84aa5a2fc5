# The two commands for a fresh machine are `make demo` and `make test`; the rest is for working on Instar.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench clean

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One stamp per set of extras, remade when the requirements change. torch comes first and from the constraints, because
# a range would fetch the newest build with several gigabytes of accelerator libraries.
.venv/installed-%: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@

demo: .venv/installed-core
	$(BIN)/instar demo

test: .venv/installed-test
	$(BIN)/python -m pytest

lint: .venv/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-core
	$(BIN)/python benchmarks/all.py --out results/benchmarks

clean:
	rm -rf .venv runs
