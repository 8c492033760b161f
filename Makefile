.PHONY: help run tidb test lint target/tidb-server
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

run: ## run the quick start; start TiDB if nothing listens on port 4000
	@tidb/tidb.sh cargo run --locked

tidb: ## run TiDB on 127.0.0.1 until you press Ctrl-C
	@tidb/tidb.sh

# The tests mostly wait, so run more of them at once than there are cores.
test: target/tidb-server ## run the tests on a real TiDB
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((4 * $$(nproc)))} cargo test --locked

# Clippy findings are warnings, because new versions add lints. CLIPPY='-D warnings' makes them errors.
lint: ## check format and lints (needs rustfmt and clippy)
	cargo fmt --check
	cargo clippy --locked --all-targets -- $(CLIPPY)

# Phony, because the script checks the version of the file.
target/tidb-server: ## get the TiDB server from its Docker image, or build it, which takes minutes
	@tidb/tidb.sh build
