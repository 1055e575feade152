# flwr-compose.  `make` lists what there is to do.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
NODES ?= 2
ROUNDS ?= 5
T ?=
ARGS ?=

.PHONY: help setup demo-local clean test test-unit test-integration test-interop test-postgres \
	interop-matrix check fmt lint types imports shell proto proto-check bench-rounds

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z_-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start here
setup: .venv/.complete ## Make .venv with the package (editable) and all commands in .venv/bin

.venv/.complete: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo 'Ready.  Next: make demo-local, or source .venv/bin/activate and flwr --help'

demo-local: setup ## A TLS federation of processes on this machine: NODES=2 ROUNDS=5
	@$(BIN)/python scripts/demo_local.py --nodes $(NODES) --rounds $(ROUNDS) $(ARGS)

clean: ## Remove everything that setup, tests and the demo made
	rm -rf .venv .state .interop .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Test
test: setup .interop/flwr-1.29.0/complete ## Everything CI runs: unit, contract, integration, interop; T=path narrows it
	$(BIN)/python scripts/run_tests.py $(T) $(ARGS)

test-unit: setup ## Unit and contract tests only
	$(BIN)/pytest -q $(or $(T),tests/unit tests/contract) $(ARGS)

test-integration: setup ## Whole federations of our own programs
	$(BIN)/pytest $(or $(T),tests/integration) $(ARGS)

test-interop: setup .interop/flwr-1.29.0/complete ## With upstream's programs as peers
	$(BIN)/pytest $(or $(T),tests/interop) -m "not matrix" $(ARGS)

test-postgres: setup ## The store on PostgreSQL: FLWR_TEST_POSTGRES_URL=postgresql+psycopg://...
	@test -n "$$FLWR_TEST_POSTGRES_URL" || { echo 'set FLWR_TEST_POSTGRES_URL to an empty database first'; exit 2; }
	$(BIN)/pytest -q tests/unit/store tests/contract/store $(ARGS)

interop-matrix: setup ## With every upstream release we promise to work with
	$(BIN)/python scripts/interop_venvs.py --matrix
	$(BIN)/pytest tests/interop -m matrix $(ARGS)

.interop/flwr-1.29.0/complete: scripts/interop_venvs.py
	$(PYTHON) scripts/interop_venvs.py

bench-rounds: setup ## Round times, CPU and memory of our own processes: NODES=2
	$(BIN)/python -m tests.bench.round_times --nodes $(NODES) $(ARGS)

##@ Check
check: lint types imports shell proto-check ## Everything static: ruff, mypy, layers, shellcheck, generated code

lint: setup ## ruff: rules and format
	$(BIN)/ruff check runtime tests scripts certs examples
	$(BIN)/ruff format --check runtime tests scripts certs examples

types: setup ## mypy --strict
	$(BIN)/mypy
	$(BIN)/mypy scripts certs tests

imports: setup ## Layers: arrows point down
	$(BIN)/lint-imports

shell: setup ## shellcheck
	$(BIN)/shellcheck .ci/run $(wildcard scripts/*.sh)

fmt: setup ## Format and apply safe fixes
	$(BIN)/ruff format runtime tests scripts certs examples
	$(BIN)/ruff check --fix runtime tests scripts certs examples

##@ Generate
proto: setup ## Python code from proto/
	$(BIN)/python scripts/gen_proto.py

proto-check: setup ## Fail when generated code and proto/ differ
	$(BIN)/python scripts/gen_proto.py --check
