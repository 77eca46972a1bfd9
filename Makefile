# Everything a developer does here. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := bash

.PHONY: help run test prove lint fmt deps screenshots

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: ## Hold an evening: embedded ledger in ./data
	cargo run --release

test: ## Install what is missing and run every test; prints minutes per suite
	scripts/test.sh

prove: ## The same tests at full counts; the output goes to docs/evidence/
	scripts/prove.sh

lint: ## Formatting, clippy, licences, the pages' types
	scripts/lint.sh

fmt: ## Format the code
	cargo fmt --all

deps: ## Install what the tests need: redis-server, nginx, chromium, npm packages
	scripts/deps.sh

screenshots: ## Hold a round in a browser and keep its pictures in docs/screenshots
	cargo build
	SCREENSHOTS_DIR=$(CURDIR)/docs/screenshots TALLYCAST_BIN=$(CURDIR)/target/debug/tallycast npm --prefix tests/browser test
