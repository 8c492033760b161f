//! What the tests share: TiDB servers, and runs of the binary.

use std::borrow::BorrowMut;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{iter, thread};

use mysql::Conn;
use mysql::prelude::{FromRow, Queryable};
use tempfile::TempDir;

/// The result line: what a run that passes prints to stdout.
pub const LINE: &str = "[('Ben', 212.5), ('Ben', 8.5)]\n";

/// The version of TiDB.
pub const TIDB_VERSION: &str = include_str!("../../tidb/version").trim_ascii_end();

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Limits TiDB's CPU use: fewer garbage collections and, with many cores, fewer idle threads.
pub const ENVIRONMENT: [(&str, &str); 2] = [("GOGC", "800"), ("GOMAXPROCS", "8")];

/// A TiDB server. It ends when it is dropped, and at the latest with the tests.
pub struct Server {
    pub port: u16,
    /// Its configuration, its log, and what it writes.
    pub folder: PathBuf,
    /// A shell that waits for the end of its input, then kills the server and removes the folder.
    /// The pipe closes however the tests end.
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
        Self::on_port(free_port(), temporary_folder().keep(), "socket = ''")
    }

    /// Starts a server in a folder with this configuration, and waits until it greets.
    pub fn on_port(port: u16, folder: PathBuf, config: &str) -> Self {
        let binary = root().join("target/tidb-server");
        assert!(binary.exists(), "target/tidb-server is missing: run `make target/tidb-server`");
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let keep = r#""$@" & read -r _; kill -9 $!; wait; rm -rf "$PWD""#;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", keep, "keeper"]).arg(binary).args(["-P", &port.to_string()]);
        keeper.args(["-store", "unistore", "-path", "", "-host", "127.0.0.1"]);
        keeper.args(["-L", "error", "-report-status=false", "-temp-dir", ".", "-log-file", "log"]);
        keeper.args(["-config", "config.toml"]).envs(ENVIRONMENT).env("TMPDIR", &folder);
        // Ctrl-C must not end the shell before it has cleaned up.
        keeper.process_group(0).current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.stdin(Stdio::piped()).spawn().unwrap();
        wait_until("TiDB greets", || {
            let stream = TcpStream::connect(("127.0.0.1", port));
            stream.is_ok_and(|mut stream| stream.read_exact(&mut [0]).is_ok())
        });
        Self { port, folder, keeper }
    }

    /// A session of root, without a database.
    pub fn session(&self) -> Conn {
        Conn::new(url(self.port, "").as_str()).unwrap()
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
        let mut session = self.session();
        session.select_db(database).unwrap();
        let mut query = |query| session.query::<String, _>(query).unwrap();
        assert_eq!(query("SHOW TABLES"), ["orders", "users"]);
        let users = query("SELECT CONCAT_WS(' ', uid, name, gender) FROM users ORDER BY uid");
        assert_eq!(users, ["1 Alice Female", "2 Peter Male", "3 Ben Male"]);
        let orders = query("SELECT CONCAT_WS(' ', oid, uid, price) FROM orders ORDER BY oid");
        assert_eq!(orders, ["1 1 3.5", "2 1 0.5", "3 2 4.5", "5 3 212.5", "6 3 8.5"]);
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

/// A port on which nothing listens, and that no other test gets. It is below 32768, where Linux's
/// ephemeral ports start.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Tests that run in another clone at the same time start elsewhere.
    let ports = iter::repeat_with(|| process::id() + NEXT.fetch_add(1, Ordering::SeqCst));
    let mut ports = ports.map(|number| u16::try_from(10_000 + number % 20_000).unwrap());
    ports.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
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
    /// Fails unless the run passed: status 0, and nothing but the line on stdout.
    #[track_caller]
    pub fn assert_passed(&self) -> &Self {
        assert!(self.status == Some(0) && self.stdout == LINE, "did not pass: {self:#?}");
        self
    }

    /// Fails unless the run ended with this status, nothing on stdout, and one error line, the last,
    /// that contains all these words.
    #[track_caller]
    pub fn assert_failed(&self, status: i32, words: &[&str]) -> &Self {
        assert!(self.status == Some(status) && self.stdout.is_empty(), "not {status}: {self:#?}");
        assert_eq!(self.stderr.matches("[ERROR]").count(), 1, "not one error line: {self:#?}");
        let error = self.stderr.lines().last().unwrap();
        assert!(!error.contains("Error {"), "the driver's names of its errors: {error}");
        for word in [&["[ERROR]"], words].concat() {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
        self
    }
}

/// Removes the program's variables, and those that make and cargo set for the tests: with them, cargo
/// would build some crates again.
pub fn without_settings(command: &mut Command) {
    let prefixes =
        ["DATABASE_URL", "TIDB_TIMEOUT", "RUST_LOG", "MAKEFLAGS", "CARGO_MANIFEST", "CARGO_PKG"];
    for (name, _) in std::env::vars() {
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

/// The URL of a database, for root.
pub fn url(port: u16, database: &str) -> String {
    format!("mysql://root@127.0.0.1:{port}/{database}")
}

/// The binary with this `DATABASE_URL`. If it hangs, it is killed.
pub fn with_url(url: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &PATIENCE.as_secs().to_string()]);
    command.arg(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"));
    without_settings(&mut command);
    command.env("DATABASE_URL", url);
    command
}

/// The binary with the URL of a database, for root.
pub fn quickstart(port: u16, database: &str) -> Command {
    with_url(&url(port, database))
}

/// Runs a command to its end.
pub fn run(mut command: impl BorrowMut<Command>) -> Run {
    let output = command.borrow_mut().stdin(Stdio::null()).output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
