# `make` alone lists the targets.
.PHONY: help run tidb stop test lint bench
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

run: ## run the quick start, on a TiDB that it starts if need be
	@if [ -n "$${DATABASE_URL+set}" ]; then :; \
		elif tidb/tidb.sh answers; then echo "Using the server that answers on 127.0.0.1:4000." >&2; \
		else tidb/tidb.sh start; fi
	@cargo run

tidb: ## start a TiDB on 127.0.0.1:4000, by Docker or else by target/tidb-server
	@tidb/tidb.sh start

stop: ## stop the TiDB that `make tidb` started
	@tidb/tidb.sh stop

test: lint target/tidb-server ## check the format, the lints, and the tests against a real TiDB
	cargo test

lint: ## check the format and the lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

bench: target/tidb-server ## measure a release build: where the time of a run goes
	@cargo bench --quiet --bench quickstart

target/tidb-server: tidb/go.mod tidb/go.sum ## build the TiDB server, which takes minutes
	@tidb/tidb.sh build
