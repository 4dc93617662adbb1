# Python 3.11, git and make are enough: the first call sets up .venv, later calls start at once.
SHELL := /bin/bash
BIN := .venv/bin
export HF_HUB_OFFLINE := 1
export ANONYMIZED_TELEMETRY := False
export LITELLM_LOCAL_MODEL_COST_MAP := True

.PHONY: help demo test check docs format bench lock wheel clean
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

.venv/.ready: pyproject.toml constraints.txt scripts/setup
	@PYTHON='$(PYTHON)' scripts/setup

demo: .venv/.ready  ## run the whole loop on real data (ARGS='--fast' for the short one)
	@$(BIN)/cortex demo $(ARGS)

test: .venv/.ready  ## run the tests (ARGS='tests/cli -k help' for some)
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.ready  ## lint, format, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_docs.py --check

docs: .venv/.ready  ## write man pages and completions anew
	@$(BIN)/python scripts/make_docs.py

format: .venv/.ready  ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/.bench: .venv/.ready
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\n")' \
		| $(BIN)/python -m pip install --quiet -c constraints.txt -r /dev/stdin
	@touch .venv/.bench

bench: .venv/.bench  ## run all benchmarks, or one with NAME=startup
	@$(BIN)/python -m benchmarks $(NAME)

lock: .venv/.ready  ## write constraints.txt anew from the environment
	@{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > constraints.new
	@mv constraints.new constraints.txt && touch .venv/.ready

wheel: .venv/.ready  ## build a wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove .venv and everything that tools have cached
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage coverage.xml
