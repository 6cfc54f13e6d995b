# `make` prints this help. Everything a newcomer needs is `make run` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export CGO_ENABLED ?= 0

# Without -trimpath, so that what vet and the tests have compiled is not compiled again; release builds have it.
GOFLAGS_BUILD := -ldflags "-s -w"

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/hallmark
	@mkdir -p bin
	go build $(GOFLAGS_BUILD) -o bin/hallmark ./cmd/hallmark

# A module of its own: Trivy takes six to eight minutes the first time, and then seconds.
scanner: ## Build bin/scanner-adapter, at low priority
	@mkdir -p bin
	cd scanner-adapter && CGO_ENABLED=0 GOEXPERIMENT=jsonv2 nice -n 15 go build $(GOFLAGS_BUILD) -o ../bin/scanner-adapter .

run: ## Build and start the hub on 127.0.0.1:8080, with everything under ./data
	@bash deploy/run.sh

check: ## The fast loop: vet and unit tests, no servers, under a minute
	@bash tests/test.sh check

test: ## What CI runs: unit, contract suites on all stacks, real clients, a short crash run
	@bash tests/test.sh test

test-all: ## Everything: all clients on all stacks, fuzzing, long crash run
	@bash tests/test.sh all

lint: ## Formatting, vet and linters, with reasons in .golangci.yaml
	@bash tests/lint.sh

e2e: build ## Real clients against the built binary (E2E_STACKS, E2E_CLIENTS choose)
	@bash tests/test.sh e2e

bench: build ## Measure beside distribution, nginx and a bare Go server: one table with ratios
	@bash tests/load/bench.sh

bench-large: ## Measure the search for packages over 100,000 generated artifacts: ten minutes, 5 GB of disk
	@bash tests/load/large.sh

fuzz: ## Fuzz every parser, FUZZTIME each (default 60s)
	@bash tests/fuzz.sh

crash: build ## Kill the hub in the middle of pushes and check what is left (CRASH_SEEDS)
	@bash tests/test.sh crash

generate: ## Generate the API's code from its OpenAPI file
	@bash core/api/generate.sh

clean: ## Remove what was built
	rm -rf bin

.PHONY: help build scanner run check test test-all lint e2e bench bench-large fuzz crash generate clean
