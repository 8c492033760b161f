//! Runs the binary against real TiDB servers, which the tests start and stop.
//!
//! `make test` gets the server first. To run one test: `cargo test --test quickstart -- NAME`.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod command_line;
mod faults;
mod make;
mod ownership;
mod programs;
mod proxy;
mod readme;
mod support;
mod tls;
mod tutorial;
mod urls;
