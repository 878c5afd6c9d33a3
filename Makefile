# The two commands of a fresh machine: make compare, make test. Each installs what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup compare test lint bench clean

ARGS ?=
PARTS ?=

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with what a comparison needs
	@tools/setup.sh run

compare: setup ## build the lab, measure, report (ARGS="--profile smoke" is passed on)
	@.venv/bin/vcompare compare $(ARGS)

test: ## every test (PARTS="unit lint sanity package e2e integration servers turns experiments faults emulators" chooses)
	@tools/setup.sh test
	@tools/test.sh $(PARTS)

lint: ## the fast checks of style and types
	@tools/setup.sh test
	@tools/test.sh lint

bench: ## how fast our own code is
	@tools/setup.sh test
	@tools/bench.sh

clean: ## remove .venv, caches and build products; labs and runs (VCOMPARE_HOME) stay
	@rm -rf .venv .venv.setup.* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible \
		build dist *.egg-info tests/output vcompare-lab-*.tar.gz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
