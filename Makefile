# Everything a developer does here. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := bash

.PHONY: help run test prove lint fmt deps screenshots bench loadtest

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: ## Hold an evening: embedded ledger in ./data
	cargo run --release

test: ## Install what is missing and run every test; prints minutes per suite
	scripts/test.sh

prove: ## The same tests at full counts; the output goes to docs/evidence/
	scripts/prove.sh

bench: ## Measure beside the reference servers; writes docs/performance.md (Linux, two idle cores, an hour)
	scripts/bench.sh

loadtest: ## An evening of 1,000 voters against a server of its own; SCENARIO=storm for another
	cargo build --release --workspace
	cargo run --release --package loadtest -- $(or $(SCENARIO),evening) --start --html target/loadtest.html

lint: ## Formatting, clippy, licences, the pages' types
	scripts/lint.sh

fmt: ## Format the code
	cargo fmt --all

deps: ## Install what the tests need: redis-server, nginx, chromium, npm packages
	scripts/deps.sh

screenshots: ## Hold a round in a browser and keep its pictures in docs/screenshots
	cargo build
	SCREENSHOTS_DIR=$(CURDIR)/docs/screenshots TALLYCAST_BIN=$(CURDIR)/target/debug/tallycast npm --prefix tests/browser test
