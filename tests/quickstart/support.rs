//! What the tests share: TiDB servers, and runs of the binary.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::{FromRow, Queryable};
use mysql::{Conn, OptsBuilder};
use tempfile::TempDir;

/// The line of a run that passed.
pub const LINE: &str = "[('Ben', 212.5), ('Ben', 8.5)]\n";

/// The version of TiDB.
pub const TIDB_VERSION: &str = include_str!("../../tidb/version").trim_ascii_end();

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes TiDB need less CPU time: it collects less garbage, and its idle threads spin less.
pub const ENVIRONMENT: [(&str, &str); 2] = [("GOGC", "800"), ("GOMAXPROCS", "8")];

/// A TiDB server. It ends when it is dropped, and at the latest with the tests.
pub struct Server {
    pub port: u16,
    /// Its configuration, its log, and what it writes.
    pub folder: PathBuf,
    /// A shell that waits for the end of its input, then kills the server and removes the folder.
    /// However the tests end, the pipe closes.
    keeper: Child,
}

impl Server {
    /// The server of all tests that do not need one of their own. Each uses its own database.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server on a free port.
    pub fn start() -> Self {
        Self::configured(|_| String::new())
    }

    /// Starts a server on a free port, with the configuration that `config` returns for its folder.
    pub fn configured(config: impl Fn(&Path) -> String) -> Self {
        // Another process may take the port before TiDB does.
        let server = (0..5).find_map(|_| Self::on_port(free_port(), &config));
        server.expect("TiDB did not start on any of 5 ports")
    }

    /// Starts a server and waits until it greets. Returns `None` if it ends before.
    pub fn on_port(port: u16, config: impl Fn(&Path) -> String) -> Option<Self> {
        let binary = root().join("target/tidb-server");
        assert!(binary.exists(), "target/tidb-server is missing: run `make target/tidb-server`");
        let folder = temporary_folder().keep();
        std::fs::write(folder.join("config.toml"), config(&folder)).unwrap();
        let keep = r#""$@" & read -r _; kill -9 $!; wait; rm -rf "$PWD""#;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", keep, "keeper"]).arg(binary).args(["-P", &port.to_string()]);
        keeper.args(["-store", "unistore", "-path", "", "-host", "127.0.0.1", "-socket", ""]);
        keeper.args(["-L", "error", "-report-status=false", "-temp-dir", ".", "-log-file", "log"]);
        keeper.args(["-config", "config.toml"]).envs(ENVIRONMENT).env("TMPDIR", &folder);
        keeper.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.stdin(Stdio::piped()).spawn().unwrap();
        let server = Self { port, folder, keeper };
        let log = server.folder.join("log");
        let has_ended = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("[FATAL]"));
        wait_until("TiDB greets", || server.greets() || has_ended());
        server.greets().then_some(server)
    }

    fn greets(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut stream| stream.read_exact(&mut [0]))
            .is_ok()
    }

    /// The URL of a database, for root.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// A session of root, without a database.
    pub fn session(&self) -> Conn {
        let opts = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(self.port);
        Conn::new(opts.user(Some("root")).prefer_socket(false)).unwrap()
    }

    /// Runs statements as root.
    pub fn execute(&self, statements: &[&str]) {
        let mut session = self.session();
        for statement in statements {
            session.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// Returns the rows of a query as root.
    #[track_caller]
    pub fn rows<T: FromRow>(&self, query: &str) -> Vec<T> {
        self.session().query(query).unwrap()
    }

    /// Checks that a database holds the tutorial's rows and no other tables.
    #[track_caller]
    pub fn assert_final_rows(&self, database: &str) {
        let tables: Vec<String> = self.rows(&format!("SHOW TABLES IN `{database}`"));
        assert_eq!(tables, ["orders", "users"]);
        let users: Vec<(i32, String, String)> =
            self.rows(&format!("SELECT uid, name, gender FROM `{database}`.users ORDER BY uid"));
        let expected = [(1, "Alice", "Female"), (2, "Peter", "Male"), (3, "Ben", "Male")];
        assert_eq!(users, expected.map(|(uid, name, gender)| (uid, name.into(), gender.into())));
        let orders: Vec<(i32, i32, f32)> =
            self.rows(&format!("SELECT oid, uid, price FROM `{database}`.orders ORDER BY oid"));
        let expected = [(1, 1, 3.5), (2, 1, 0.5), (3, 2, 4.5), (5, 3, 212.5), (6, 3, 8.5)];
        assert_eq!(orders, expected);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new folder under `target/`, removed when it is dropped.
pub fn temporary_folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A port on which nothing listens. The system gives those from 32768 on to other connections.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| 10_000 + RandomState::new().hash_one(0) % 20_000);
    let mut ports = ports.map(|port| u16::try_from(port).unwrap());
    ports.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
}

/// Writes a shell script. Another process writes it: if this one did, a process that another test
/// starts could hold the file open, and the system would not run it ("Text file busy").
pub fn write_script(path: &Path, text: &str) {
    let mut install = Command::new("install");
    install.args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    write!(install.stdin.take().unwrap(), "#!/bin/sh\n{text}\n").unwrap();
    assert!(install.wait().unwrap().success());
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Status and output of a process that has ended.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless the run passed: status 0, and nothing but the line on stdout.
    #[track_caller]
    pub fn assert_passed(&self) -> &Self {
        assert!(self.status == Some(0) && self.stdout == LINE, "did not pass: {self:#?}");
        self
    }

    /// Fails unless the run ended with this status, nothing on stdout, and one error line, the last,
    /// that contains all these words.
    #[track_caller]
    pub fn assert_refused(&self, status: i32, words: &[&str]) -> &Self {
        assert!(self.status == Some(status) && self.stdout.is_empty(), "not {status}: {self:#?}");
        assert_eq!(self.stderr.matches("[ERROR]").count(), 1, "not one error line: {self:#?}");
        let error = self.stderr.lines().last().unwrap();
        for word in [&["[ERROR]"], words].concat() {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
        self
    }
}

/// Removes the program's variables, and those that cargo and make set for this test: with them, cargo
/// would build all crates again.
pub fn without_settings(command: &mut Command) {
    let ours = ["DATABASE_URL", "TIDB_TIMEOUT", "RUST_LOG", "RUST_LOG_STYLE", "MAKEFLAGS"];
    let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_", "CARGO_HTTP_"];
    for (name, _) in std::env::vars() {
        let is_cargos =
            name.starts_with("CARGO") && !kept.iter().any(|kept| name.starts_with(kept));
        if is_cargos || ours.contains(&&*name) {
            command.env_remove(name);
        }
    }
}

/// The binary, without a `DATABASE_URL`. If it hangs, it is killed.
pub fn binary() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &PATIENCE.as_secs().to_string()]);
    command.arg(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"));
    without_settings(&mut command);
    command
}

/// The binary, with this `DATABASE_URL`.
pub fn quickstart(url: &str) -> Command {
    let mut command = binary();
    command.env("DATABASE_URL", url);
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Run {
    Run::of(command.stdin(Stdio::null()).output().unwrap())
}

/// Starts a command. `Run::of(child.wait_with_output().unwrap())` waits for its end.
pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
