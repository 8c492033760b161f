//! The arguments, the environment and the streams.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Server, quickstart, run, with_url};

#[test]
fn help_and_version() {
    let help = run(with_url("").arg("--help"));
    assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.starts_with("Usage: tidb-rust-mysql-quickstart [--cleanup"), "{help:?}");
    assert_eq!(run(with_url("").arg("-h")).stdout, help.stdout);
    for argument in ["-V", "--version"] {
        let expected = concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(run(with_url("").arg(argument)).stdout, expected);
    }
}

#[test]
fn other_arguments_and_an_invalid_environment_are_refused() {
    let server = Server::shared();
    let quickstart = || quickstart(server.port, "refused");
    for arguments in [&["--clean"][..], &["cleanup"], &[""], &["--cleanup", "-x"], &["--"]] {
        let words = format!("unsupported arguments: {arguments:?}; see --help");
        run(quickstart().args(arguments)).assert_failed(2, &[&words]);
    }
    let no_utf8 = OsStr::from_bytes(b"\xff");
    run(quickstart().arg(no_utf8)).assert_failed(2, &["--help"]);
    for value in ["", "0", "1.5", "99999999999999999999"] {
        run(quickstart().env("TIDB_TIMEOUT", value)).assert_failed(2, &["TIDB_TIMEOUT"]);
    }
    for name in ["TIDB_TIMEOUT", "DATABASE_URL"] {
        run(quickstart().env(name, no_utf8)).assert_failed(2, &[name, "UTF-8"]);
    }
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'refused'").is_empty());
    // The longest timeout does not overflow.
    run(quickstart().env("TIDB_TIMEOUT", "4294967295")).assert_passed();
}

#[test]
fn a_closed_stdout_is_no_failure_and_a_full_one_is() {
    let quickstart = || quickstart(Server::shared().port, "stdout");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = run(quickstart().stdout(writer));
    assert!(closed.status == Some(0) && !closed.stderr.contains("panicked"), "{closed:#?}");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let words = ["cannot write to stdout: No space left on device"];
    run(quickstart().stdout(full())).assert_failed(1, &words);
    run(quickstart().arg("--help").stdout(full())).assert_failed(2, &words);
    run(quickstart().stderr(full())).assert_passed();
}

#[test]
fn the_log_can_be_turned_off_but_a_misspelled_level_hides_no_failure() {
    let mut silent = quickstart(Server::shared().port, "log");
    assert_eq!(run(silent.env("RUST_LOG", "off")).assert_passed().stderr, "");
    run(with_url("").env("RUST_LOG", "inof")).assert_failed(2, &["DATABASE_URL"]);
}
