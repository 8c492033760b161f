//! `make tidb`, `make stop` and `make run`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Run, Server, free_port, quickstart, root, run, temporary_folder};

/// A copy of `tidb/tidb.sh` that has a `target/` and a port of its own, so that the tests do not
/// meet what `make tidb` started.
struct Copy {
    folder: PathBuf,
    port: u16,
}

impl Copy {
    fn new() -> Self {
        let (folder, port) = (temporary_folder(), free_port());
        for name in ["tidb", "target", "bin"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let script = fs::read_to_string(root().join("tidb/tidb.sh")).unwrap();
        assert!(script.contains("\nport=4000\n"));
        let script = script.replace("\nport=4000\n", &format!("\nport={port}\n"));
        let copy = Self { folder, port };
        copy.program("tidb/tidb.sh", &script);
        symlink(root().join("target/tidb-server"), copy.folder.join("target/tidb-server")).unwrap();
        copy.program("bin/docker", "#!/bin/sh\nexit 1");
        copy
    }

    /// Writes an executable file into the copy.
    fn program(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs the script, with the programs of `bin/` before those of this machine.
    fn run(&self, argument: &str) -> Run {
        let path = std::env::var("PATH").unwrap();
        run(Command::new(self.folder.join("tidb/tidb.sh"))
            .arg(argument)
            .env("PATH", format!("{}:{path}", self.folder.join("bin").display())))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Puts in a `docker` that notes its arguments, and whose container is a TiDB that starts as
    /// `run` says.
    fn docker(&self, run: &str) {
        let stand_in = r#"#!/bin/sh
            cd "$(dirname "$0")/.."
            echo "$*" >>docker.log
            case $1 in
                create) echo some-id ;;
                start) (RUN) >/dev/null 2>&1 & echo $! >container.pid; echo some-id ;;
                inspect) kill -0 "$(cat container.pid)" 2>/dev/null && echo true || echo false ;;
                logs) echo "the end of its log" ;;
                rm) kill -9 "$(cat container.pid)" 2>/dev/null; exit 0 ;;
            esac"#;
        self.program("bin/docker", &stand_in.replace("RUN", run));
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// The command that starts the pinned server on a port.
fn server_command(port: u16) -> String {
    format!(
        "exec target/tidb-server -store unistore -path '' -host 127.0.0.1 -P {port} -report-status=false -socket ''"
    )
}

#[test]
fn starts_the_pinned_server_and_stops_it() {
    let copy = Copy::new();
    let url = format!("mysql://root@127.0.0.1:{}/test_sqlalchemy", copy.port);
    assert_eq!(copy.run("answers").status, Some(1));
    let started = copy.run("start");
    assert_eq!(started.status, Some(0), "{started:#?}");
    let address = format!("127.0.0.1:{}", copy.port);
    assert!(started.stderr.contains(&address) && started.stderr.contains("make stop"));
    run(&mut quickstart(&url)).assert_passed();
    // It listens on the loopback interface alone.
    let sockets = run(Command::new("sh").args(["-c", "cat /proc/net/tcp /proc/net/tcp6"]));
    let listening = format!(":{:04X} ", copy.port);
    let local: Vec<_> = sockets
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|local| format!("{local} ").ends_with(&listening))
        .collect();
    assert!(
        !local.is_empty() && local.iter().all(|local| local.starts_with("0100007F:")),
        "{local:?}"
    );

    let again = copy.run("start");
    assert!(again.status == Some(0) && again.stderr.contains("answers already"), "{again:#?}");
    let stopped = copy.run("stop");
    assert!(stopped.status == Some(0) && stopped.stderr.contains("Stopped"), "{stopped:#?}");
    assert_eq!(copy.run("answers").status, Some(1));
    let nothing = copy.run("stop");
    assert!(
        nothing.status == Some(0) && nothing.stderr.contains("nothing to stop"),
        "{nothing:#?}"
    );
}

#[test]
fn stop_leaves_what_it_did_not_start() {
    let copy = Copy::new();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(copy.folder.join("target/tidb.pid"), other.id().to_string()).unwrap();
    assert_eq!(copy.run("stop").status, Some(0));
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let copy = Copy::new();
    // Takes connections on the port, but never greets.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", copy.port)).unwrap();
    let failed = copy.run("start");
    assert_eq!(failed.status, Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("address already in use"), "{failed:#?}");
    assert!(failed.stderr.contains("TiDB did not start"), "{failed:#?}");
}

#[test]
fn docker_comes_first() {
    let copy = Copy::new();
    copy.docker(&server_command(copy.port));
    let started = copy.run("start");
    assert_eq!(started.status, Some(0), "{started:#?}");
    assert!(started.stderr.contains("pingcap/tidb:v8.5.6"), "{started:#?}");
    let url = format!("mysql://root@127.0.0.1:{}/test_sqlalchemy", copy.port);
    run(&mut quickstart(&url)).assert_passed();
    let arguments = copy.read("docker.log");
    let publish = format!("127.0.0.1:{}:4000", copy.port);
    let create = format!("create --publish {publish} pingcap/tidb:v8.5.6");
    let expected = ["info", &create, "start some-id"];
    assert_eq!(arguments.lines().take(3).collect::<Vec<_>>(), expected);
    assert!(!copy.folder.join("target/tidb.pid").exists());
    copy.run("stop");
    assert_eq!(copy.read("docker.log").lines().last(), Some("rm --force some-id"));
    assert_eq!(copy.run("answers").status, Some(1));
}

#[test]
fn a_container_that_ends_shows_its_log() {
    let copy = Copy::new();
    copy.docker("exit 1");
    let failed = copy.run("start");
    assert!(
        failed.status == Some(1) && failed.stderr.contains("the end of its log"),
        "{failed:#?}"
    );
    let log = copy.read("docker.log");
    assert!(log.contains("logs --tail 20 some-id") && log.contains("rm --force some-id"), "{log}");
}

#[test]
fn without_docker_and_go_it_says_what_to_install() {
    let copy = Copy::new();
    fs::remove_file(copy.folder.join("target/tidb-server")).unwrap();
    copy.program("bin/go", "#!/bin/sh\necho go1.20.14");
    for (argument, words) in
        [("start", &["Docker", "Go 1.21", "DATABASE_URL"][..]), ("build", &["Go 1.21"])]
    {
        let refused = copy.run(argument);
        assert_eq!(refused.status, Some(1), "{refused:#?}");
        for word in words {
            assert!(refused.stderr.contains(word), "no {word} in {refused:#?}");
        }
    }
}

#[test]
fn without_go_the_server_comes_out_of_the_image() {
    let copy = Copy::new();
    fs::remove_file(copy.folder.join("target/tidb-server")).unwrap();
    copy.program("bin/go", "#!/bin/sh\necho go1.20.14");
    let stand_in = r#"#!/bin/sh
        echo "$*" >>"$(dirname "$0")/../docker.log"
        case $1 in
            create) echo some-id ;;
            cp) echo the-server >"$3" ;;
        esac"#;
    copy.program("bin/docker", stand_in);
    let built = copy.run("build");
    assert_eq!(built.status, Some(0), "{built:#?}");
    let expected = [
        "info",
        "create pingcap/tidb:v8.5.6",
        "cp some-id:/tidb-server target/tidb-server.new",
        "rm some-id",
    ];
    assert_eq!(copy.read("docker.log").lines().collect::<Vec<_>>(), expected);
    assert_eq!(copy.read("target/tidb-server"), "the-server\n");
}

#[test]
fn a_build_shows_its_progress_and_its_failure() {
    let copy = Copy::new();
    let go = r#"#!/bin/sh
        case $1 in
            env) echo go1.26.8 ;;
            list) printf 'a/a\nb/b\nc/c\n' ;;
            build) echo "go: downloading x v1" >&2; echo a/a >&2; RESULT ;;
        esac"#;
    copy.program("bin/go", &go.replace("RESULT", "echo b.go:1: it is broken >&2; exit 1"));
    let failed = copy.run("build");
    assert_eq!(failed.status, Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("it is broken"), "{failed:#?}");
    let store =
        "cp bin/go ../target/tidb-server.new 2>/dev/null || cp ../bin/go ../target/tidb-server.new";
    copy.program("bin/go", &go.replace("RESULT", store));
    // `script` gives it a terminal, where it redraws one line.
    let terminal = run(Command::new("script")
        .args(["-qec", "tidb/tidb.sh build", "/dev/null"])
        .current_dir(&copy.folder)
        .env(
            "PATH",
            format!("{}:{}", copy.folder.join("bin").display(), std::env::var("PATH").unwrap()),
        ));
    assert_eq!(terminal.status, Some(0), "{terminal:#?}");
    assert!(terminal.stdout.contains("built 1 of 3 packages"), "{terminal:#?}");
}

#[test]
fn make_alone_lists_the_targets() {
    let help = run(Command::new("make").current_dir(root()).env_remove("MAKEFLAGS"));
    assert_eq!(help.status, Some(0));
    for target in ["run", "test", "tidb", "stop", "target/tidb-server", "lint"] {
        assert!(help.stdout.contains(&format!("make {target} ")), "no {target} in {}", help.stdout);
    }
}

#[test]
fn make_run_with_a_url_starts_nothing() {
    let url = Server::shared().url("make_run");
    let mut command = Command::new("make");
    command.args(["--no-print-directory", "run"]).current_dir(root());
    // What cargo and make set for this test would have cargo build everything anew.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    let made = run(command.env_remove("MAKEFLAGS").env("DATABASE_URL", url));
    made.assert_passed();
    assert!(!made.stderr.contains("127.0.0.1:4000"), "{made:#?}");
}
