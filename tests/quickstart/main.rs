//! Runs the binary against real TiDB servers, which the tests start and end.
//!
//! `make test` first gets the server. One test: `cargo test --test quickstart -- NAME`.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod command_line;
mod faults;
mod make;
mod ownership;
mod proxy;
mod readme;
mod support;
mod tutorial;
mod urls;
