//! The arguments, the environment and the streams.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::support::{LINE, Run, Server, binary, quickstart, run};

#[test]
fn help_and_version() {
    let help = run(binary().arg("--help"));
    assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""));
    for words in [
        "Usage: tidb-rust-mysql-quickstart",
        "--cleanup",
        "[default: mysql://root@127.0.0.1:4000/test_sqlalchemy]",
        "[default: 30]",
        "0 the deployment passed",
        "1 the deployment failed",
        "2 nothing was tested",
    ] {
        assert!(help.stdout.contains(words), "no {words:?} in: {}", help.stdout);
    }
    assert!(help.stdout.lines().all(|line| line.len() <= 80), "{}", help.stdout);
    assert_eq!(run(binary().arg("-h")).stdout, help.stdout);
    for argument in ["-V", "--version"] {
        let version = run(binary().arg(argument));
        let expected = concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!((version.status, version.stdout.as_str()), (Some(0), expected));
    }
}

#[test]
fn other_arguments_and_a_useless_environment_are_refused() {
    let server = Server::shared();
    let url = server.url("refused");
    for arguments in [&["--clean"][..], &["cleanup"], &[""], &["--cleanup", "-x"], &["--"]] {
        let refused = run(quickstart(&url).args(arguments));
        refused.assert_refused(2, &["--help", arguments[arguments.len() - 1]]);
    }
    let no_utf8 = OsStr::from_bytes(b"\xff");
    run(quickstart(&url).arg(no_utf8)).assert_refused(2, &["--help"]);
    for value in ["", "0", "-1", "1.5", "x", "99999999999999999999"] {
        run(quickstart(&url).env("TIDB_TIMEOUT", value)).assert_refused(2, &["TIDB_TIMEOUT"]);
    }
    for name in ["TIDB_TIMEOUT", "DATABASE_URL"] {
        run(quickstart(&url).env(name, no_utf8)).assert_refused(2, &[name, "UTF-8"]);
    }
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'refused'").is_empty());
    // The longest timeout does not overflow.
    run(quickstart(&url).env("TIDB_TIMEOUT", "4294967295")).assert_passed();
}

#[test]
fn a_closed_stdout_is_no_failure_and_a_full_one_is() {
    let url = Server::shared().url("stdout");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = Run::of(quickstart(&url).stdout(writer).output().unwrap());
    assert!(closed.status == Some(0) && !closed.stderr.contains("panicked"), "{closed:#?}");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&[][..], &["--help"]] {
        let mut command = quickstart(&url);
        let output = command.args(arguments).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let failed = Run::of(output.wait_with_output().unwrap());
        failed.assert_refused(1, &["cannot write to stdout: No space left on device"]);
    }
    let output = quickstart(&url).stdout(Stdio::piped()).stderr(full()).spawn().unwrap();
    let quiet = Run::of(output.wait_with_output().unwrap());
    assert_eq!((quiet.status, quiet.stdout.as_str()), (Some(0), LINE), "a full stderr");
}

#[test]
fn the_log_can_be_turned_off_and_never_shows_the_rows() {
    let url = Server::shared().url("log");
    assert_eq!(run(quickstart(&url).env("RUST_LOG", "off")).assert_passed().stderr, "");
    let trace = run(quickstart(&url).env("RUST_LOG", "trace"));
    for value in ["Alice", "Female", "2123.87"] {
        assert!(!trace.assert_passed().stderr.contains(value), "{value} in {trace:#?}");
    }
}
