# flwr-compose.  `make` lists what there is to do.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
NODES ?=
ROUNDS ?= 5
APP ?=
SAN ?=
FORCE ?=
T ?=
ARGS ?=
SOURCES := runtime tests scripts certs examples images compose
DCLINT := .state/dclint-3.1.0/node_modules/.bin/dclint
# How many nodes `make certs` makes keys for: as many as are asked for, or run.
KEYS = $(or $(NODES),$(shell sed -n 's/^FLWR_NODES=//p' compose/.env 2>/dev/null),3)

.PHONY: help demo up down clean engine bases images app-image certs certs-check database-secret \
	doctor setup demo-local test test-unit test-integration test-interop test-postgres \
	test-compose test-long test-torch interop-matrix bench check lint types imports shell containers \
	proto-check compose-check fmt proto compose compatibility compatibility-check \
	cli-docs cli-docs-check

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z_-]+:.*## / {printf "  \033[36m%-20s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ A federation in containers
demo: ## From a bare machine to a finished run: NODES=3 ROUNDS=5
	@$(PYTHON) scripts/demo.py $(if $(NODES),--nodes $(NODES)) --rounds $(ROUNDS) $(ARGS)

up: ## Start what compose/.env describes, and wait until it is healthy
	@$(PYTHON) scripts/federation.py up $(ARGS)

down: ## Stop it; state is kept
	@$(PYTHON) scripts/federation.py down $(ARGS)

clean: ## Remove every trace: containers, volumes, images, keys, files; ARGS=--dry-run lists them
	@$(PYTHON) scripts/clean.py $(ARGS)

doctor: ## Look for what commonly goes wrong, and say what to do
	@$(PYTHON) scripts/doctor.py $(ARGS)

##@ Its parts
engine: ## Install and start Docker Engine, Compose and buildx where they are missing
	@$(PYTHON) scripts/engine.py install
	@$(PYTHON) scripts/engine.py up

bases: ## Base images, from Debian packages
	@$(PYTHON) images/bases.py make $(ARGS)

images: ## Images of every role
	@$(PYTHON) images/build.py $(ARGS)

app-image: ## Images with an app's packages: APP=examples/digits
	@test -n '$(APP)' || { echo 'say which app: make app-image APP=examples/digits'; exit 2; }
	@$(PYTHON) images/app_image.py $(APP) $(ARGS)

certs: ## Authority, server certificate, node keys: SAN=hub.example NODES=3 FORCE=1
	@scripts/pki.sh all --nodes $(KEYS) $(if $(SAN),--san $(SAN)) $(if $(FORCE),--force) $(ARGS)

certs-check: ## Days left, pairs, rights; fails on findings
	@scripts/pki.sh check $(ARGS)

database-secret: ## Password for the overlay postgres
	@$(PYTHON) compose/database_secret.py $(ARGS)

##@ Without containers
setup: .venv/.complete ## Make .venv with the package (editable) and all commands in .venv/bin

.venv/.complete: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo 'Ready.  Next: make demo-local, or source .venv/bin/activate and flwr --help'

demo-local: setup ## A TLS federation of processes on this machine: NODES=2 ROUNDS=5
	@$(BIN)/python scripts/demo_local.py --nodes $(or $(NODES),2) --rounds $(ROUNDS) $(ARGS)

##@ Test
test: setup .interop/flwr-1.29.0/complete ## Everything CI runs, containers too where an engine is; T=path narrows it
	$(BIN)/python scripts/run_tests.py $(T) $(ARGS)

test-unit: setup ## Unit and contract tests only
	$(BIN)/pytest -q $(or $(T),tests/unit tests/contract) $(ARGS)

test-integration: setup ## Whole federations of our own programs
	$(BIN)/pytest $(or $(T),tests/integration) $(ARGS)

test-interop: setup .interop/flwr-1.29.0/complete ## With upstream's programs as peers
	$(BIN)/pytest $(or $(T),tests/interop) -m "not matrix" $(ARGS)

test-compose: setup ## Federations in containers; after make images (make demo): T=tests/compose/demo
	$(BIN)/pytest $(or $(T),tests/compose) -m "not matrix and not long and not torch" $(ARGS)

test-postgres: setup ## The store on PostgreSQL: FLWR_TEST_POSTGRES_URL=postgresql+psycopg://...
	@test -n "$$FLWR_TEST_POSTGRES_URL" || { echo 'set FLWR_TEST_POSTGRES_URL to an empty database first'; exit 2; }
	$(BIN)/pytest -q tests/unit/store tests/contract/store $(ARGS)

test-long: setup .interop/flwr-1.29.0/complete ## What `make test` leaves out for time: more of the same, at length
	$(BIN)/pytest $(or $(T),tests) -m "long and not matrix and not torch" $(ARGS)

test-torch: .venv/.torch ## The PyTorch example, in simulation and containers: 3 GB to fetch, 25 GB of disk
	$(BIN)/pytest $(or $(T),tests/simulation tests/compose/examples) -m torch $(ARGS)

.venv/.torch: .venv/.complete
	$(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt torch==2.13.0
	@touch $@

interop-matrix: setup ## With every upstream release we promise to work with
	$(BIN)/python scripts/interop_venvs.py --matrix
	$(BIN)/pytest tests/interop -m matrix $(ARGS)

.interop/flwr-1.29.0/complete: scripts/interop_venvs.py
	$(PYTHON) scripts/interop_venvs.py

##@ Measure
bench: setup .interop/flwr-1.29.0/complete ## Ours and upstream's side by side, an hour: ARGS=--quick, ARGS=--list
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/python -m tests.bench $(ARGS)

##@ Check
check: lint types imports shell containers proto-check compose-check compatibility-check cli-docs-check ## Everything static, generated files included

lint: setup ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: setup ## mypy --strict
	$(BIN)/mypy
	$(BIN)/mypy scripts certs tests images compose

imports: setup ## Layers: arrows point down
	$(BIN)/lint-imports

shell: setup ## shellcheck
	$(BIN)/shellcheck .ci/run $(wildcard scripts/*.sh images/*.sh)

containers: setup ## hadolint; the Compose linter where npm is
	$(BIN)/hadolint $(shell find images -name 'Dockerfile*' -o -name '*.Dockerfile')
	@if command -v npm >/dev/null; then \
	  $(MAKE) --no-print-directory $(DCLINT) && \
	  $(DCLINT) --config compose/.dclintrc.yaml --max-warnings 0 compose/*.yaml compose/overlays/*.yaml; \
	else echo 'SKIPPED: the Compose linter dclint, because there is no npm'; fi

$(DCLINT):
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(firstword $(subst /node_modules, ,$@)) dclint@3.1.0

fmt: setup ## Format and apply safe fixes
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

##@ Generate
proto: setup ## Python code from proto/
	$(BIN)/python scripts/gen_proto.py

proto-check: setup ## Fail when generated code and proto/ differ
	$(BIN)/python scripts/gen_proto.py --check

compose: ## compose/site.yaml and overlays of nodes from compose/templates
	$(PYTHON) compose/generate.py $(ARGS)

compose-check: ## Fail when they and their templates differ
	$(PYTHON) compose/generate.py --check

compatibility: setup ## docs/compatibility.md from upstream's public names and ours
	$(BIN)/python -m scripts.compatibility

compatibility-check: setup ## Fail when the page and the names differ
	$(BIN)/python -m scripts.compatibility --check

cli-docs: setup ## docs/cli-reference.md from the programs' own help
	$(BIN)/python -m scripts.cli_reference

cli-docs-check: setup ## Fail when the page and the programs differ
	$(BIN)/python -m scripts.cli_reference --check
