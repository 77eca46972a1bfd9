# Everything a developer does here. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := bash

.PHONY: help run test prove lint fuzz fmt sbom deps screenshots bench loadtest loadtest-cluster certs secrets monitor deploy-preview deploy hold let-go

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-17s %s\n", $$1, $$2}'

run: ## Hold an evening: embedded ledger in ./data
	cargo run --release

test: ## Install what is missing and run every test; prints minutes per suite
	scripts/test.sh

prove: ## The same tests at full counts; the output goes to docs/evidence/
	scripts/prove.sh

bench: ## Measure beside the reference servers; writes docs/performance.md (Linux, two idle cores, an hour); SCALE=0.05 ROWS="1 3" tries some out
	SCALE="$(SCALE)" scripts/bench.sh $(ROWS)

loadtest: ## An evening of 1,000 voters against a server of its own; SCENARIO=storm for another
	cargo build --release --workspace
	cargo run --release --package loadtest -- $(or $(SCENARIO),evening) --start --html target/loadtest.html

loadtest-cluster: ## The load test VARIANT (evening, tenfold, disturbed) in the staging cluster of the present kubectl context
	scripts/cluster_loadtest.sh $(VARIANT)

certs: ## A local CA and certificate in certs/; NAMES="vote.lan 10.0.0.7" adds names
	scripts/certs.sh $(NAMES)

secrets: ## New secrets in secrets/, for compose or a cluster; what is there stays
	scripts/secrets.sh

monitor: ## Prometheus with the shipped rules on http://localhost:9091; TARGETS="host:9090 …" instead of localhost:8080
	TARGETS="$(TARGETS)" scripts/monitor.sh

deploy-preview: ## What applying OVERLAY (staging), with IMAGE, would change: to the cluster, or since the git ref REF
	IMAGE=$(IMAGE) scripts/deploy_preview.sh $(or $(OVERLAY),staging) $(REF) || [ $$? -eq 1 ]

deploy: ## Apply OVERLAY (staging); keeps the number of server pods. FORCE=1 puts back what was changed by hand
	FORCE="$(FORCE)" scripts/deploy.sh $(or $(OVERLAY),staging)

hold: ## For a show: PODS=8 server pods at least, until `make let-go`; an autoscaler may only add
	scripts/hold.sh $(PODS)

let-go: ## After the show: the autoscaler may remove pods again
	scripts/hold.sh let-go

lint: ## Formatting, clippy, licences, the pages' types, shell, Dockerfile, YAML, workflows
	scripts/lint.sh

fuzz: ## Change the inputs of tests/corpus at random for SECONDS (60) with each target; what breaks one is in target/fuzz
	FUZZ_SECONDS=$(or $(SECONDS),60) cargo test --workspace --lib -- fuzz_ --nocapture --test-threads=2

sbom: ## What the programs are built from, as target/tallycast.cdx.json (CycloneDX)
	mkdir -p target
	scripts/sbom.py > target/tallycast.cdx.json

fmt: ## Format the code
	cargo fmt --all

deps: ## Install what the tests need: Debian, npm and Python packages
	scripts/deps.sh

screenshots: ## Hold a round in a browser and keep its pictures in docs/screenshots
	cargo build
	SCREENSHOTS_DIR=$(CURDIR)/docs/screenshots TALLYCAST_BIN=$(CURDIR)/target/debug/tallycast npm --prefix tests/browser test
