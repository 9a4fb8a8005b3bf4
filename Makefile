# The one face of all tasks. `make` alone lists them.
# Needs Python >= 3.11 and make; everything else is fetched, locked and kept under .tools/ and .venv/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# What the caller's shell has set must not reach into our environment.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_REQUIRE_HASHES UV_PYTHON UV_PROJECT_ENVIRONMENT

PYTHON ?= python3
BIN := .venv/bin
UV := .tools/bin/uv
TESTERS ?= 3
BOOTSTRAP := requirements-bootstrap.lock

export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
# Certificates an administrator added count too, where there is a system store.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= 1
endif
# Without a home that can be written, caches stay in the checkout.
ifneq ($(shell test -d "$${HOME:-}" -a -w "$${HOME:-}" && echo ok),ok)
export HOME := $(CURDIR)/.tools/home
endif

INSTALL := $(UV) pip install --quiet --python $(BIN)/python
VENV := .venv/.made
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
LOCAL := .venv/.local-installed

.PHONY: help setup demo demo-local test test-all check lint format bench bench-pairs bench-faults bench-durable bench-stores chaos schema docs sim world sbom licences audit lock clean

help: ## List the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) ## Make the environment (.venv), locked; a second call does nothing

demo: $(RUNTIME) ## See an agent answer: streaming, tools, a provider outage, cost, checks (ends by itself)
	@$(BIN)/golive demo

demo-local: $(LOCAL) ## The demo on a real small model on this machine (compiles for about ten minutes once)
	@$(BIN)/golive demo --local

test: $(DEV) ## The tests: at most 15 minutes on two cores
	@$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal

test-all: $(DEV) ## The tests, the long ones included
	@$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -m "long or not long" --timeout 1800

check: lint ## Lint, format, strict types, layers, and the repository's rules about itself
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest tests/unit/test_tidy.py

lint: $(DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(DEV) ## Format the code and mend what can be mended by rule
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

bench: $(DEV) ## Measure golive beside its peers (bench/README.md)
	@$(BIN)/python bench/run.py

bench-pairs: $(DEV) ## Measure this tree beside the revision of the main job: what has become dearer
	@$(BIN)/python bench/pairs.py

bench-faults: $(DEV) ## What users see while a provider fails, beside a peer
	@$(BIN)/python bench/faults.py

schema: $(DEV) ## Write the SQL of the tables (src/golive/store/ddl) from their description
	@$(BIN)/python -m golive.store.migrations.ddl

RUNS ?= 1000
KILLS ?= 100
STORE ?= sqlite
SEED ?= 1
CLIENTS ?= 40
chaos: $(DEV) ## Kill, freeze and cut off the built wheel, and judge what is left (RUNS, KILLS, STORE, SEED, CLIENTS)
	@$(BIN)/python -m tests.chaos --runs $(RUNS) --kills $(KILLS) --store $(STORE) --seed $(SEED) --clients $(CLIENTS)

bench-durable: $(DEV) ## What a kill costs: golive beside Agno, Pydantic AI and DBOS, killed at the same points
	@$(BIN)/python bench/durable.py

bench-stores: $(DEV) ## SQLite beside PostgreSQL, one server beside three, memory over many runs
	@$(BIN)/python bench/stores.py

docs: $(DEV) ## Build the documentation into docs/_build/html
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

sim: $(RUNTIME) ## Serve the simulated model provider until Ctrl-C
	@$(BIN)/golive sim

world: $(DEV) ## Hold the simulated world to its promises (SEEDS=1-100 JOBS=1, or SEED=17 TRACE=1)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.sim.run $(if $(findstring command,$(origin SEED)),--seed $(SEED),--seeds $(or $(SEEDS),1-100)) \
	  $(if $(TRACE),--trace) $(if $(WITHOUT),--without $(WITHOUT)) $(if $(RECORD),--record) --jobs $(or $(JOBS),1)

sbom: $(DEV) ## The bill of materials (CycloneDX) out of the lock file: build/golive.cdx.json
	@$(BIN)/python -m supply.sbom

licences: $(DEV) ## The licence of every runtime dependency, held to supply/policy.toml
	@$(BIN)/python -m supply.licences

ADVISORIES ?=
audit: $(DEV) ## Known vulnerabilities of what is locked: PASS, VULNERABLE (1) or UNKNOWN (3) (ADVISORIES=FILE, INSTEAD=1)
	@$(BIN)/python -m supply.audit $(if $(ADVISORIES),--advisories $(ADVISORIES)) $(if $(INSTEAD),--instead)

# ---- the environment ------------------------------------------------------------------------------------------------

$(UV): $(BOOTSTRAP)
	@found=; for python in "$(PYTHON)" python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	test -n "$$found" || { echo "golive needs Python 3.11 or later; say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$$found" -c 'import ensurepip, venv' 2>/dev/null || { echo "$$found cannot make virtual environments. \
	On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	rm -rf .tools && mkdir -p .tools "$$HOME" && \
	echo "making the environment with $$("$$found" --version) (once)" && \
	"$$found" -m venv .tools
	@.tools/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(BOOTSTRAP) || { rm -rf .tools; exit 1; }
	@touch $@

# An environment that is there already stays, whoever made it; `make clean` begins afresh.
$(VENV): $(UV)
	@$(UV) venv --quiet --allow-existing --python .tools/bin/python .venv
	@touch $@

# The project itself is linked, not copied; the build tools for that are locked too.
$(RUNTIME): $(VENV) requirements.lock pyproject.toml
	@$(INSTALL) --compile-bytecode --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --build-constraints $(BOOTSTRAP) --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@$(INSTALL) --compile-bytecode --require-hashes -r requirements-dev.lock
	@touch $@

$(LOCAL): $(RUNTIME) requirements-local.lock
	@echo "compiling llama.cpp: about ten minutes"
	@# Not for this very processor: some instruction sets (AMX) crash in virtual machines that announce them.
	@CMAKE_ARGS="$${CMAKE_ARGS:--DGGML_NATIVE=OFF}" $(INSTALL) --require-hashes -r requirements-local.lock
	@touch $@

COMPILE := $(UV) pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(UV) ## Renew the lock files from pyproject.toml (UPGRADE=1: newest versions)
	@unset $${!UV_INDEX*} $${!UV_DEFAULT_INDEX*} $${!UV_EXTRA_INDEX*} $${!UV_FIND_LINKS*}; \
	up=$${UPGRADE:+--upgrade}; \
	$(COMPILE) $$up pyproject.toml -o requirements.lock; \
	$(COMPILE) $$up pyproject.toml -c requirements.lock --group dev --group test-all -o requirements-dev.lock; \
	$(COMPILE) $$up pyproject.toml -c requirements.lock --extra local -o requirements-local.lock; \
	printf 'uv\nhatchling>=1.27,<2\neditables\n' | $(COMPILE) $$up - -o $(BOOTSTRAP)

clean: ## Remove everything that was made (environment, caches, built files)
	rm -rf .venv .venvs .tools .bench .chaos build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
