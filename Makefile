# `make` alone lists the targets.
# The script knows whether target/tidb-server is that of the release: make would go by file times.
.PHONY: help run tidb stop test lint bench target/tidb-server
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

# A first build of the program has the time while the TiDB is downloaded, built and started; `nice`,
# because who builds both waits for the TiDB. Where none starts, it ends by itself.
run: ## run the quick start, on a TiDB that it starts if need be
	@if [ -z "$${DATABASE_URL+set}" ]; then \
		[ -e target/debug/tidb-rust-mysql-quickstart ] || nice cargo build --locked --quiet >/dev/null 2>&1 & \
		tidb/tidb.sh start || exit; \
		if kill -0 $$! 2>/dev/null; then echo "Compiling the quick start." >&2; wait; fi; \
		export DATABASE_URL="mysql://root@127.0.0.1:$${TIDB_PORT:-4000}/test_sqlalchemy"; \
	fi; cargo run --locked

tidb: ## start a TiDB on 127.0.0.1, out of its Docker image or built by Go
	@tidb/tidb.sh start

stop: ## stop the TiDB that `make tidb` or `make run` started
	@tidb/tidb.sh stop

# The tests wait more than they compute, so there are more of them at once than cores.
test: lint target/tidb-server ## check the format, the lints, and the tests against a real TiDB
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((4 * $$(nproc)))} cargo test --locked

# A newer clippy may warn of more. Where the toolchain is fixed, CLIPPY='-D warnings' makes it fail.
lint: ## check the format and the lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- $(CLIPPY)

bench: target/tidb-server ## measure a release build: where the time of a run goes
	@cargo bench --locked --quiet --bench quickstart

target/tidb-server: ## get the TiDB server out of its Docker image, or build it, which takes minutes
	@tidb/tidb.sh build
