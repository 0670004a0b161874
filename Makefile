# `make help` explains every target.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JOBS ?= 2

.DEFAULT_GOAL := help

help: ## explain every target
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the environment in .venv, from the lock files

$(INSTALLED): pyproject.toml requirements/bootstrap.txt requirements/lock.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/lock.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

node: install ## make the Node environment of the gateway and the tests
	@sh tests/node/setup.sh $(BIN)/python

demo: install ## run everything here on 127.0.0.1:8080, with demonstration data
	@exec $(BIN)/ig demo

gateway: node ## run a real Apollo gateway on 127.0.0.1:4000, in front of `make demo`
	@PATH="$(CURDIR)/.node/bin:$$PATH" exec node deploy/gateway/demo.mjs --demo .data/demo.json

test: install node ## run the whole test suite
	@PATH="$(CURDIR)/.node/bin:$$PATH" $(BIN)/python -m pytest -n $(JOBS) $(TESTS)

soak: install ## kill a hundred workers while records move; takes some minutes
	@$(BIN)/python -m pytest tests/soak

check: install ## lint, types, import contracts, schema rules, derived files
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/ig sdl --check schema.graphql
	@$(BIN)/python tools/derive.py --check

derive: install ## write the derived files anew: schema.graphql, docs/errors.md, docs/settings.md
	@$(BIN)/ig sdl --write schema.graphql
	@$(BIN)/python tools/derive.py

bench: install ## compare with bare ASGI and stock Strawberry; writes benchmarks/reports/
	@$(BIN)/python -m benchmarks.run

lock: install ## write the lock files anew
	@sh requirements/lock.sh

clean: ## remove the environments and what the tools left; the data folder stays
	@rm -rf $(VENV) .node .mypy_cache .ruff_cache .pytest_cache .hypothesis deploy/gateway/node_modules tests/node/node_modules tests/neighbour/node_modules

.PHONY: help install node demo gateway test soak check derive bench lock clean
