//! Drives the real binary against a real TiDB that the tests start themselves.
//!
//! `make test` builds that TiDB first. One test: `cargo test --test quickstart -- NAME`.

// A test that cannot go on panics: that is its message to the reader.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod command_line;
mod faults;
mod make;
mod ownership;
mod proxy;
mod readme;
mod support;
mod tutorial;
mod urls;
mod verdict;
mod wire;
