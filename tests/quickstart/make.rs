//! `make run`, `make tidb` and `make target/tidb-server`.

use std::env;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::faults::listener;
use crate::support::{
    ENVIRONMENT, Server, free_port, root, run, temporary_folder, url, wait_until, without_settings,
};

/// `make TARGET` in the folder of the package.
fn make(target: &str, port: u16) -> Command {
    // A shell starts background jobs with SIGINT ignored, and make would inherit that.
    let mut command = Command::new("env");
    command.args(["--default-signal", "make", "--no-print-directory", target]);
    without_settings(&mut command);
    command.env("TIDB_PORT", port.to_string()).envs(ENVIRONMENT).current_dir(root());
    command
}

fn is_answering(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The processes and folders that a TiDB on this port has left.
fn leftovers(port: u16) -> String {
    // `[-]P` does not match itself, so pgrep does not find this shell.
    let list = format!("pgrep -f -- '[-]P {port} '; ls -d target/tidb-{port}.*");
    run(Command::new("sh").args(["-c", &list]).current_dir(root())).stdout
}

#[test]
fn make_run_starts_a_tidb_and_leaves_nothing() {
    let port = free_port();
    let passed = run(make("run", port));
    passed.assert_passed();
    assert!(passed.stderr.contains("`make tidb` in another terminal"), "{passed:#?}");
    assert_eq!(leftovers(port), "");
}

/// A process group that ends with the test.
struct Group(Child);

impl Group {
    /// Sends a signal to all processes, as a terminal does.
    fn signal(&self, signal: &str) {
        run(Command::new("kill").args(["-s", signal, "--", &format!("-{}", self.0.id())]));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal("TERM");
    }
}

#[test]
fn make_run_uses_the_tidb_of_make_tidb_until_a_signal_ends_it() {
    for signal in ["INT", "TERM", "HUP"] {
        let port = free_port();
        let mut tidb = make("tidb", port);
        let mut tidb = Group(tidb.process_group(0).stderr(Stdio::null()).spawn().unwrap());
        wait_until("TiDB answers", || is_answering(port));
        assert!(TcpStream::connect(("127.0.0.2", port)).is_err(), "not only on 127.0.0.1");
        run(make("run", port)).assert_passed();
        assert!(is_answering(port), "make run ended a TiDB that it did not start");
        let again = run(make("tidb", port));
        assert!(again.status == Some(2) && again.stderr.contains("is in use"), "{again:#?}");
        assert_eq!(leftovers(port).lines().count(), 2, "one process and one folder");
        tidb.signal(signal);
        wait_until("make tidb ends", || tidb.0.try_wait().unwrap().is_some());
        assert!(!tidb.0.wait().unwrap().success());
        wait_until("nothing is left", || leftovers(port).is_empty());
    }
}

#[test]
fn make_run_starts_nothing_if_a_url_is_set_or_the_port_is_in_use() {
    let port = free_port();
    let other = url(Server::shared().port, "make_run");
    run(make("run", port).env("DATABASE_URL", other)).assert_passed();
    Server::shared().assert_final_rows("make_run");
    let closed = url(port, "make_run");
    let failed = run(make("run", port).env("DATABASE_URL", closed).env("TIDB_TIMEOUT", "1"));
    assert!(failed.status == Some(2) && failed.stderr.contains("refused"), "{failed:#?}");
    assert_eq!(leftovers(port), "");
    let failed = run(make("run", listener(b"SSH-2.0-OpenSSH_9.2p1\r\n", false)));
    assert!(failed.status == Some(2) && failed.stderr.contains("not the MySQL"), "{failed:#?}");
    assert!(failed.stderr.contains("TIDB_PORT=4001"), "{failed:#?}");
    let failed = run(make("run", port).env("TIDB_PORT", "abc"));
    assert!(failed.stderr.starts_with("invalid TIDB_PORT abc: use a number"), "{failed:#?}");
}

#[test]
fn without_docker_and_go_it_says_what_to_install() {
    let folder = temporary_folder();
    for name in ["Makefile", "tidb"] {
        symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    for program in ["docker", "go"] {
        symlink("/bin/false", folder.path().join(program)).unwrap();
    }
    let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let mut command = make("target/tidb-server", free_port());
    let refused = run(command.env("PATH", path).current_dir(&folder));
    for word in ["Docker", "Go 1.21", "apt-get install golang-go", "brew", "DATABASE_URL"] {
        assert!(refused.stderr.contains(word), "no {word} in {refused:#?}");
    }
    assert_eq!(refused.status, Some(2));
    let left = run(Command::new("ls").arg("target").current_dir(&folder));
    assert!(left.stdout.is_empty(), "{left:#?}");
}
