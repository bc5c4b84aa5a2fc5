# The two commands for a fresh machine are `make demo` and `make test`; the rest is for working on Instar.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test chaos browser lint bench clean

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

# Debian's chromium, in which the report is tested. Where it cannot be installed those tests are skipped, but in CI fail.
browser:
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || \
		apt-get install --yes --quiet --no-install-recommends chromium || \
		echo "chromium cannot be installed here, so the tests of the report in a browser are skipped."

# A test has one thread, so a process per core, though of many cores eight, since each holds torch and models in memory;
# a file of tests is done by one, which makes its fixtures once.
test: .venv/installed-test browser
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Races, damaged files, kills and odd inputs by the hundred; make test has a small part of each.
chaos: .venv/installed-test
	$(BIN)/python -m tests.chaos

lint: .venv/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-core
	$(BIN)/python benchmarks/all.py --out results/benchmarks

clean:
	rm -rf .venv runs
