# Every command that a newcomer needs. ARGS passes options on: make demo ARGS="--once".
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full check coverage bench soak constraints clean

BIN := .venv/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## the environment, with wattq in .venv/bin (quick if it is up to date)
	@scripts/setup

demo: setup ## one trading day on four nodes; stays up until Ctrl-C (ARGS=--once ends by itself)
	@$(BIN)/wattq demo $(ARGS)

test: check ## everything but the long tests; what CI runs
	@$(BIN)/python scripts/run_tests.py "not full and not soak" $(ARGS)

test-full: check ## the long tests too
	@$(BIN)/python scripts/run_tests.py "not soak" $(ARGS)

check: setup ## ruff, mypy --strict, and the arrows between the rooms
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/pytest -q tests/unit/arrows

coverage: setup ## what of pbft/ its tests reach: lines and branches, with a bar for each
	@$(BIN)/python scripts/core_coverage.py $(ARGS)

bench: setup ## committed transactions a second against this machine's own signature limit
	@$(BIN)/wattq bench run $(ARGS)

soak: setup ## the tests that run for hours
	@$(BIN)/python scripts/run_tests.py "soak" $(ARGS)

constraints: setup ## record the installed versions as the tested ones
	@$(BIN)/python scripts/constraints.py > constraints.new && mv constraints.new constraints.txt

clean: ## everything that the tools made; data directories stay
	@rm -rf .venv .setup.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
