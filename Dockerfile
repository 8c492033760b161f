# The smoke test as an image of one static binary. See docs/smoke-test.md.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
# A layer of its own, so that a change of the source does not download the crates again.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/main.rs && cargo fetch --locked
COPY sql sql
COPY src src
RUN cargo rustc --release --locked -- -C target-feature=+crt-static

FROM scratch
COPY --from=build /build/target/release/tidb-rust-mysql-quickstart /
USER 65534
# Linux ignores other signals to process 1 that it does not handle.
STOPSIGNAL SIGKILL
ENTRYPOINT ["/tidb-rust-mysql-quickstart"]
