# Everything a laptop needs, from a bare machine with Python >= 3.11, pip and make. `make help` lists the targets.
# Another Python: make PYTHON=python3.12 test

PYTHON ?= python3
SHELL := /bin/sh
BIN := .venv/bin
LOCK := requirements-dev.lock
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-config --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help env demo demo-kill up test chaos bench check format lock upgrade clean

help: ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

env: ## Make .venv from the lock file (all other targets do it themselves)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Haulage needs Python 3.11 or newer, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" app/local/environment.py $(LOCK)

demo: env ## Download 336,776 real records from a real vendor, check each one, print the evidence
	@$(BIN)/python -m app.local.demo

demo-kill: env ## The same, killing the worker three times meanwhile
	@$(BIN)/python -m app.local.demo --kill

up: env ## Start everything on this machine and stay; Ctrl-C stops it, the data stays in .haulage/
	@$(BIN)/python -m app.local.up

test: env ## Run the default test suite (make test ARGS="-k cursor" for a part)
	@$(BIN)/python -m tests.fixtures.azurite
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

chaos: env ## Break everything for some 30 minutes and count every record (make chaos ARGS="workers --scale 0.1 --seed 7")
	@$(BIN)/python -m tests.chaos.campaign $(ARGS)

bench: env ## Measure speed, load and memory against the marks, about an hour (make bench ARGS="speed --rounds 3", ARGS=soak)
	@fastest=$$($(BIN)/python -m tests.benchmarks.fastest_python) \
		&& "$$fastest" app/local/environment.py $(LOCK) .haulage/bench-env \
		&& .haulage/bench-env/bin/python -m tests.benchmarks $(ARGS)

check: env ## Lint, formatting, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: env ## Let ruff format and repair what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: env ## Bring the lock files in line with pyproject.toml, changing no version without need
	@$(COMPILE) $(UPGRADE) --output-file requirements.lock
	@$(COMPILE) $(UPGRADE) --all-extras --group dev --constraints requirements.lock \
		--no-emit-package pandas --no-emit-package numpy --output-file $(LOCK)

upgrade: ## Lock the newest versions that pyproject.toml allows
	@$(MAKE) lock UPGRADE=--upgrade

clean: ## Delete the environment and caches; the data in .haulage/ stays
	rm -rf .venv .venv.lock .azurite .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find app workers tests -name __pycache__ -type d -prune -exec rm -rf {} +
