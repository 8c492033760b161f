//! What the tests share: TiDB servers, and runs of the binary.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::{FromRow, Queryable};
use mysql::{Conn, OptsBuilder};

/// The line of a run that passed.
pub const LINE: &str = "[('Ben', 212.5), ('Ben', 8.5)]\n";

/// The version of TiDB.
pub const TIDB_VERSION: &str = include_str!("../../tidb/version").trim_ascii_end();

/// How long a test waits for what must come, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a TiDB of the tests is told, to leave time to the others. Memory is cheaper here than the
/// time of its garbage collector; and on few cores it needs a quarter less of theirs where it may
/// use more threads, for what waits for another part of it asks again and again.
pub const ENVIRONMENT: [(&str, &str); 2] = [("GOGC", "800"), ("GOMAXPROCS", "8")];

/// A TiDB of the tests, stopped when it is dropped, and at the latest when the tests end.
pub struct Server {
    pub port: u16,
    /// A shell that waits on its standard input, then kills the server and removes its folder: the
    /// pipe closes with this process, however it ends.
    keeper: Child,
}

impl Server {
    /// The TiDB that all tests share that need no other. Each uses a database of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(""))
    }

    /// Starts a TiDB on a free port, with this text as its configuration file.
    pub fn start(config: &str) -> Self {
        // Another process may take the port between our look and TiDB's.
        (0..5).find_map(|_| Self::start_on(free_port(), config)).expect("no TiDB after 5 tries")
    }

    /// Starts a TiDB on `port` and waits until it answers; `None` if it ends before.
    pub fn start_on(port: u16, config: &str) -> Option<Self> {
        let binary = root().join("target/tidb-server");
        assert!(binary.exists(), "there is no target/tidb-server: run `make target/tidb-server`");
        let folder = temporary_folder();
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let keep = r#""$@" & server=$!; read -r _; kill -9 "$server"; wait; rm -rf "$PWD""#;
        let keeper = Command::new("sh")
            .args(["-c", keep, "keeper"])
            .arg(binary)
            .args(["-store", "unistore", "-path", "", "-host", "127.0.0.1", "-P"])
            .arg(port.to_string())
            .args(["-L", "error", "-report-status=false", "-socket", "", "-log-file", "log"])
            .args(["-temp-dir", "."])
            .args(["-config", "config.toml"])
            .envs(ENVIRONMENT)
            // TiDB writes its slow log where it stands, and leaves 17 MB and more under TMPDIR.
            .current_dir(&folder)
            .env("TMPDIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, keeper };
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if server.greets() {
                return Some(server);
            }
            if log().contains("[FATAL]") {
                eprintln!("TiDB did not start on port {port}: {}", log());
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("TiDB did not answer within {PATIENCE:?}: {}", log());
    }

    /// Whether the server sends the first byte of its greeting.
    fn greets(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut stream| stream.read_exact(&mut [0]))
            .is_ok()
    }

    /// The URL of a database on this server, for root.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// A session as root, without a database.
    pub fn session(&self) -> Conn {
        let opts = OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(false);
        Conn::new(opts).unwrap()
    }

    /// Runs statements as root, one by one.
    pub fn execute(&self, statements: &[&str]) {
        let mut session = self.session();
        for statement in statements {
            session.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// The rows that a query gives root.
    pub fn rows<T: FromRow>(&self, query: &str) -> Vec<T> {
        self.session().query(query).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Checks that a database holds what the tutorial leaves in it, and nothing else.
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

/// A port of 127.0.0.1 that nothing listens on.
pub fn free_port() -> u16 {
    // Below those that the system gives to connections, from 32768 on: one of them could have taken
    // it when a server comes up there.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = u16::try_from(10_000 + random % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A new empty folder under `target/`. It is removed when this process ends, however it ends.
pub fn temporary_folder() -> PathBuf {
    static ALL: OnceLock<(String, Child)> = OnceLock::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (all, _keeper) = ALL.get_or_init(|| {
        // Process numbers come again: a container gives the same ones at each start.
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tests.XXXXXX");
        let made = run(Command::new("mktemp").arg("-d").arg(template));
        let folder = made.stdout.trim_end().to_owned();
        // Until all servers in it are killed, some may still write.
        let keep = r#"read -r _; until rm -rf "$0" 2>/dev/null; do sleep 0.1; done"#;
        // Whoever reads all that the tests write to stderr, waits for this, too.
        let keeper = Command::new("sh").args(["-c", keep, &folder]).stdin(Stdio::piped()).spawn();
        (folder, keeper.unwrap())
    });
    let folder = Path::new(all).join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Writes a program, by a process that has ended when it can be run. If this one wrote it, a process
/// that another test starts could still hold it open, and the system does not run what is open for
/// writing ("Text file busy").
pub fn write_program(path: &Path, text: &str) {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

/// Waits until this is so, and fails if it takes too long.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// What a process that has ended left.
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless the run passed: status 0, the line alone on stdout.
    #[track_caller]
    pub fn assert_passed(&self) -> &Self {
        assert!(self.status == Some(0) && self.stdout == LINE, "did not pass: {self:#?}");
        self
    }

    /// Fails unless the run ended with this status, nothing on stdout, and one error line that has
    /// each of these words.
    #[track_caller]
    pub fn assert_refused(&self, status: i32, words: &[&str]) -> &Self {
        assert!(self.status == Some(status) && self.stdout.is_empty(), "not {status}: {self:#?}");
        let errors: Vec<_> =
            self.stderr.lines().filter(|line| line.starts_with("[ERROR]")).collect();
        assert!(errors.len() == 1, "not one error line: {self:#?}");
        assert!(self.stderr.trim_end().ends_with(errors[0]), "more after the error: {self:#?}");
        for word in words {
            assert!(errors[0].contains(word), "no {word:?} in: {}", errors[0]);
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

/// The binary, with an environment of its own.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"));
    without_settings(&mut command);
    command.stdin(Stdio::null());
    command
}

/// The binary, to run against this URL.
pub fn quickstart(url: &str) -> Command {
    let mut command = binary();
    command.env("DATABASE_URL", url);
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Run {
    Run::of(command.output().unwrap())
}
