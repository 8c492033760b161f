//! The arguments, the environment and the streams.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::support::{Server, binary, free_port, quickstart, run};

#[test]
fn help_and_version() {
    for argument in ["-h", "--help"] {
        let help = run(binary().arg(argument));
        assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""));
        for words in [
            "Usage: tidb-rust-mysql-quickstart",
            "--cleanup",
            "-h, --help",
            "-V, --version",
            "DATABASE_URL",
            "[default: mysql://root@127.0.0.1:4000/test_sqlalchemy]",
            "TIDB_TIMEOUT",
            "[default: 30]",
            "RUST_LOG",
            "[default: info]",
            "0 the deployment passed",
            "1 it failed",
            "2 nothing was tested",
        ] {
            assert!(help.stdout.contains(words), "no {words:?} in: {}", help.stdout);
        }
        assert!(help.stdout.lines().all(|line| line.len() <= 80), "{}", help.stdout);
    }
    for argument in ["-V", "--version"] {
        let version = run(binary().arg(argument));
        let expected = concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!((version.status, version.stdout.as_str()), (Some(0), expected));
    }
}

#[test]
fn other_arguments_are_refused() {
    let url = Server::shared().url("arguments");
    for arguments in
        [&["--clean"][..], &["cleanup"], &[""], &["--cleanup", "--x"], &["-x"], &["--"]]
    {
        let refused = run(quickstart(&url).args(arguments));
        refused.assert_refused(2, &["--help", arguments[arguments.len() - 1]]);
    }
    run(quickstart(&url).arg(OsStr::from_bytes(b"\xff"))).assert_refused(2, &["--help"]);
    assert!(Server::shared().rows::<String>("SHOW DATABASES LIKE 'arguments'").is_empty());
}

#[test]
fn a_useless_environment_is_refused() {
    let url = Server::shared().url("environment");
    for value in ["", "0", "-1", "1.5", "x", "99999999999999999999"] {
        run(quickstart(&url).env("TIDB_TIMEOUT", value)).assert_refused(2, &["TIDB_TIMEOUT"]);
    }
    run(quickstart(&url).env("TIDB_TIMEOUT", OsStr::from_bytes(b"\xff")))
        .assert_refused(2, &["TIDB_TIMEOUT", "UTF-8"]);
    run(binary().env("DATABASE_URL", OsStr::from_bytes(b"mysql://root:\xff@h/d")))
        .assert_refused(2, &["DATABASE_URL", "UTF-8"]);
    for url in
        ["", "x", "mysql://", "mysql://root@127.0.0.1:4000", "mysql://root@127.0.0.1:99999/d"]
    {
        run(&mut quickstart(url)).assert_refused(2, &["DATABASE_URL"]);
    }
    assert!(Server::shared().rows::<String>("SHOW DATABASES LIKE 'environment'").is_empty());
    // The longest time that can be asked for is no overflow.
    run(quickstart(&url).env("TIDB_TIMEOUT", "4294967295")).assert_passed();
}

#[test]
fn where_nothing_listens_it_waits_and_then_fails() {
    let port = free_port();
    let url = format!("mysql://root@127.0.0.1:{port}/d");
    let refused = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
    let address = format!("127.0.0.1:{port}");
    refused.assert_refused(1, &[&address, "Connection refused", "`make tidb`"]);
    let waits: Vec<_> = refused.stderr.lines().filter(|line| line.contains("waiting")).collect();
    assert!(waits.len() == 1 && waits[0].contains(&address), "{refused:#?}");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    // The pipe's reading end is closed before the run begins.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let gone = quickstart(&Server::shared().url("stdout_gone"))
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8(gone.stderr).unwrap();
    assert!(gone.status.code() == Some(0) && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_full_stdout_is_a_failure() {
    let url = Server::shared().url("stdout_full");
    for arguments in [&[][..], &["--help"], &["--version"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = quickstart(&url).args(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let message = "[ERROR] cannot write to stdout: No space left on device";
        assert!(stderr.lines().last().unwrap().starts_with(message), "{stderr}");
    }
}

#[test]
fn a_full_stderr_changes_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = quickstart(&Server::shared().url("stderr_full")).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), crate::support::LINE);
}

#[test]
fn quiet_with_rust_log_off() {
    let quiet = run(quickstart(&Server::shared().url("quiet")).env("RUST_LOG", "off"));
    assert_eq!(quiet.assert_passed().stderr, "");
}
