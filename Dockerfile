# Builds an image that contains only the program, as a static binary. See docs/smoke-test.md.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
# A separate layer, so that a source change does not download the crates again.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/main.rs && cargo fetch --locked
COPY sql sql
COPY src src
RUN cargo rustc --release --locked -- -C target-feature=+crt-static

FROM scratch
COPY --from=build /build/target/release/tidb-rust-mysql-quickstart /
USER 65534
# As process 1, the program ignores the default, SIGTERM: `docker stop` would wait 10 s.
STOPSIGNAL SIGKILL
ENTRYPOINT ["/tidb-rust-mysql-quickstart"]
