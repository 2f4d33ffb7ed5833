# Needs Python 3.11, make and git, nothing else: everything more is installed into .venv from pinned, hashed requirements.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
UV_COMPILE := ../$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11

# The tests start hundreds of processes: where the environment forbids to keep bytecode, each would compile every module.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test tests lint bench bench-city faults mutate serve lock migration clean

help:
	@echo "make demo        engines, sample city, server and a walk through all ways to a coupon; then it stays up"
	@echo "                 ONCE=1 ends after the walk; PORT=8000; DEMO_FLAGS='--residents 100'"
	@echo "                 YEAR=1 lives a year of campaigns on a moved clock instead, and reconciles it (3 to 5 minutes)"
	@echo "make test        linters, types, layers, and every test"
	@echo "make lint        ruff, mypy, import-linter"
	@echo "make faults      the tests that kill processes and engines, in their long form (10,000 redemptions),"
	@echo "                 and 100,000 mixed batches without a deadlock"
	@echo "make mutate      the value code's Python part with one thing wrong at a time: which tests notice (score, survivors)"
	@echo "make bench       figures, one 'name value unit' line each, and bench.json (about 17 minutes)"
	@echo "make bench-city  the same calls on a million residents and 20 million transfers (about 25 minutes, 30 GB)"
	@echo "make serve       chengxin serve, settings from the environment"
	@echo "make lock        requirements/*.txt anew from requirements/*.in"
	@echo "make migration   0001_house anew from the models (only while no release carries it)"
	@echo "make clean       .venv, caches, the demo's data and the tests' cluster"

demo: $(VENV)/.demo
	$(BIN)/chengxin demo --port $(PORT) $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(YEAR)),--year) $(DEMO_FLAGS)

# What the tests leave idle while they wait is enough for the linters.
test: $(VENV)/.dev
	$(MAKE) --no-print-directory --jobs 2 lint tests

# The first part shares one embedded cluster, in the order of its folders: the quick ones come last and fill both cores to
# the end. Tests that break engines own theirs and come afterwards.
tests: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not fault" $(TEST_FLAGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m fault $(TEST_FLAGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: $(VENV)/.dev
	CHENGXIN_FAULT_REDEMPTIONS=$${CHENGXIN_FAULT_REDEMPTIONS:-10000} $(BIN)/python -m pytest -m fault $(TEST_FLAGS)
	CHENGXIN_MIXED_BATCHES=$${CHENGXIN_MIXED_BATCHES:-100000} $(BIN)/python -m pytest tests/concurrency/test_lanes_lock_order.py $(TEST_FLAGS)
	CHENGXIN_CANARIES=all CHENGXIN_ORACLE_EXAMPLES=$${CHENGXIN_ORACLE_EXAMPLES:-300} $(BIN)/python -m pytest \
		tests/property/test_vault_oracle.py tests/concurrency/test_vault_oracle_concurrent.py \
		tests/integration/test_vault_sabotage.py $(TEST_FLAGS)

mutate: $(VENV)/.dev
	$(BIN)/python -m tests.mutation $(MUTATE_FLAGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(BENCH_FLAGS)

bench-city: $(VENV)/.dev
	$(BIN)/python -m tests.bench.city $(BENCH_FLAGS)

serve: $(VENV)/.demo
	$(BIN)/chengxin serve

lock: $(VENV)/.dev
	cd requirements && $(UV_COMPILE) $(LOCK_FLAGS) base.in -o base.txt
	cd requirements && $(UV_COMPILE) $(LOCK_FLAGS) -c base.txt demo.in -o demo.txt
	cd requirements && $(UV_COMPILE) $(LOCK_FLAGS) -c base.txt dev.in -o dev.txt

migration: $(VENV)/.dev
	$(BIN)/python -m server.kit.migrations regenerate

clean:
	@test ! -L .chengxin/tests/pgdata || rm -rf "$$(readlink .chengxin/tests/pgdata)"
	rm -rf $(VENV) .chengxin .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info

# A stamp is younger than what it was installed from, so a second `make` installs nothing.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/demo.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# What the tests need holds everything the demo needs.
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo
