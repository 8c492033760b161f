# `make` alone lists the targets.
.PHONY: help run tidb test lint target/tidb-server
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

run: ## run the quick start, on a TiDB that it starts if need be
	@tidb/tidb.sh cargo run --locked

tidb: ## run a TiDB on 127.0.0.1:4000 until Ctrl-C
	@tidb/tidb.sh

# The tests mostly wait, so run more of them at once than there are cores.
test: lint target/tidb-server ## check the format, the lints, and the tests against a real TiDB
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((4 * $$(nproc)))} cargo test --locked

# New lints of a newer clippy are warnings. CLIPPY='-D warnings' makes them errors.
lint: ## check the format and the lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- $(CLIPPY)

# Phony, because file times say nothing about the version: the script asks the server.
target/tidb-server: ## get the TiDB server from its Docker image, or build it, which takes minutes
	@tidb/tidb.sh build
