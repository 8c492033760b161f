//! The TiDB quick start for Rust: creates two tables in TiDB, the distributed SQL database that
//! speaks MySQL's protocol, inserts, deletes and updates rows, and prints a join.
//!
//! Run it with `make run`, or set `DATABASE_URL` and type `cargo run`. The tutorial comes first,
//! with one function for each step: copy its types, `open_pool` without its `pool_opts`, and the
//! step functions. The supporting code after them turns the tutorial into a smoke test.

use std::process::ExitCode;

use log::error;
use mysql::prelude::{FromRow, Queryable};
use mysql::{FromRowError, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, Row, Value};
use once_cell::sync::OnceCell;

/// A user's gender, stored in an ENUM column.
#[derive(Clone, Copy)]
enum Gender {
    Female,
    Male,
}

/// Lets a `Gender` be a statement parameter: it is sent by name. Read an ENUM column as `String`.
impl From<Gender> for Value {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Female => "Female".into(),
            Gender::Male => "Male".into(),
        }
    }
}

/// A row to insert into `users`. TiDB assigns the primary key, `uid`.
struct User {
    name: String,
    gender: Gender,
}

/// A row to insert into `orders`. TiDB assigns the primary key, `oid`. For real money, use DECIMAL
/// instead of FLOAT.
struct Order {
    uid: i32,
    price: f32,
}

/// A row of the join. If a column can be NULL, use `Option<T>`: a NULL in these fields is an error.
#[derive(Debug, PartialEq)]
struct UserOrder {
    name: String,
    price: f32,
}

/// Reads the columns by position. The driver's feature `derive` reads them by name, but adds 20
/// crates to the build.
impl FromRow for UserOrder {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        let (name, price) = FromRow::from_row_opt(row)?;
        Ok(Self { name, price })
    }
}

/// The program's connection pool.
static POOL: OnceCell<Pool> = OnceCell::new();

/// Returns the program's connection pool. The first call that succeeds opens it; later calls return
/// the same pool and ignore `opts`. You can also open a `Pool` in `main` and pass clones of it.
///
/// By default a pool opens 10 connections at once and up to 100 on demand. If all are in use,
/// `get_conn` waits without a timeout; `try_get_conn` takes one.
fn open_pool(opts: Opts) -> mysql::Result<&'static Pool> {
    // This program takes one connection, once, so it needs no health check before and no reset
    // after use. In your own program, keep the driver's defaults.
    let pool_opts = PoolOpts::new()
        .with_constraints(PoolConstraints::new_const::<1, 1>())
        .with_check_health(false)
        .with_reset_connection(false);
    let opts = OptsBuilder::from_opts(opts).pool_opts(pool_opts);
    // The standard library's `OnceLock` has no stable `get_or_try_init` yet.
    POOL.get_or_try_init(|| Pool::new(opts))
}

/// Logs the steps and any failure to stderr, and returns the exit status.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::NothingTested(message)) => {
            error!("{message}");
            ExitCode::from(2)
        }
        Err(Failure::Deployment(message) | Failure::Temporary(message)) => {
            error!("{message}");
            ExitCode::from(1)
        }
    }
}

/// Runs the steps in the order of the tutorial and returns the rows of the join. The second
/// argument of `step` is the expected result. The run stops at the first step that fails or returns
/// a different result.
fn run_steps(server: &Server, cleanup: bool) -> Result<Vec<UserOrder>, Failure> {
    let mut session = open_session(server)?;
    session.step("1. drop and create users and orders", (), create_tables)?;

    let users = [
        User { name: "Alice".to_owned(), gender: Gender::Female },
        User { name: "Peter".to_owned(), gender: Gender::Male },
        User { name: "Ben".to_owned(), gender: Gender::Male },
    ];
    session.step("2. insert three users", 3, |conn| insert_users(conn, &users))?;
    let order = Order { uid: 1, price: 2.5 };
    session.step("2. insert one order", 1, |conn| insert_orders(conn, &[order]))?;
    let orders = [
        Order { uid: 1, price: 0.5 },
        Order { uid: 2, price: 4.5 },
        Order { uid: 2, price: 2123.87 },
        Order { uid: 3, price: 212.5 },
        Order { uid: 3, price: 8.5 },
    ];
    session.step("2. insert five orders", 5, |conn| insert_orders(conn, &orders))?;

    session.step("3. delete order 4", 1, |conn| delete_order(conn, 4))?;
    session.step("4. set the price of order 1 to 3.5", 1, |conn| set_price(conn, 1, 3.5))?;

    let bens_orders = vec![
        UserOrder { name: "Ben".to_owned(), price: 212.5 },
        UserOrder { name: "Ben".to_owned(), price: 8.5 },
    ];
    let rows =
        session.step("5. join users and orders", bens_orders, |conn| user_orders(conn, 3))?;
    if cleanup {
        session.step("clean up: drop users and orders", (), drop_tables)?;
    }
    Ok(rows)
}

/// Step 1: drops both tables and creates them again. Their table comment marks them as tables that
/// a run may drop.
fn create_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    drop_tables(conn)?;
    // One call for each statement: with several in one, an error in the second is not reported.
    conn.query_drop(include_str!("../sql/1e_create_users.sql"))?;
    conn.query_drop(include_str!("../sql/1f_create_orders.sql"))
}

/// Drops both tables if they exist.
fn drop_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    conn.query_drop(include_str!("../sql/1d_drop_tables.sql"))
}

/// Step 2: inserts users and returns their number.
fn insert_users(conn: &mut impl Queryable, users: &[User]) -> mysql::Result<u64> {
    let rows = users.iter().map(|user| [user.name.as_str().into(), user.gender.into()]).collect();
    insert_rows(conn, include_str!("../sql/2a_insert_users.sql"), rows)
}

/// Step 2: inserts orders and returns their number.
fn insert_orders(conn: &mut impl Queryable, orders: &[Order]) -> mysql::Result<u64> {
    let rows = orders.iter().map(|order| [order.uid.into(), order.price.into()]).collect();
    insert_rows(conn, include_str!("../sql/2b_insert_orders.sql"), rows)
}

/// Inserts rows of `N` columns with one statement and returns their number. `insert_one` is the
/// statement for one row; it ends with a `?` for each column. A statement takes at most 65,535
/// parameters. `exec_batch` is shorter, but sends and commits each row separately.
fn insert_rows<const N: usize>(
    conn: &mut impl Queryable,
    insert_one: &str,
    rows: Vec<[Value; N]>,
) -> mysql::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let another_row = format!(", ({})", ["?"; N].join(", "));
    let statement = insert_one.trim_end().to_owned() + &another_row.repeat(rows.len() - 1);
    Ok(conn.exec_iter(statement, rows.concat())?.affected_rows())
}

/// Step 3: deletes an order and returns the number of deleted rows.
///
/// Each statement in this program commits on its own (autocommit). To commit several together, call
/// these functions with `&mut tx`, where `tx` is `conn.start_transaction(TxOpts::default())?`, and
/// then `tx.commit()?`.
fn delete_order(conn: &mut impl Queryable, oid: i32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/3_delete_order.sql"), (oid,))?.affected_rows())
}

/// Step 4: sets the price of an order and returns the number of changed rows: 0 if it is the same.
fn set_price(conn: &mut impl Queryable, oid: i32, price: f32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/4_update_order.sql"), (price, oid))?.affected_rows())
}

/// Step 5: returns a user's name with the price of each of their orders, oldest order first.
fn user_orders(conn: &mut impl Queryable, uid: i32) -> mysql::Result<Vec<UserOrder>> {
    let rows = conn.exec_opt(include_str!("../sql/5_join_users_orders.sql"), (uid,))?;
    // `exec` would panic on a row that cannot be converted, such as one with a NULL.
    Ok(rows.into_iter().collect::<Result<_, _>>()?)
}

// ---- Supporting code: the command line ---------------------------------------------------------

use std::env::{self, VarError};
use std::error::Error as _;
use std::fmt::{self, Debug, Display};
use std::io::{self, ErrorKind, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use std::{fs, thread};

use log::{info, warn};
use mysql::{ClientIdentity, Conn, DriverError, Error, MySqlError, PooledConn, SslOpts};

/// What `--help` prints.
const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
  --cleanup      after a successful run, drop the two tables of this program
  -h, --help     print this help
  -V, --version  print the version
Environment variables:
  DATABASE_URL   where to connect
                 [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   timeout of each wait, in whole seconds [default: 30]
  RUST_LOG       off, error, warn, info, debug or trace [default: info]
Exit status:
  0 the deployment passed
  1 it failed
  2 nothing was tested and nothing was changed";

/// Why a run did not pass, in one line: the cause, then what to do.
enum Failure {
    /// Nothing was tested and nothing was changed.
    NothingTested(String),
    /// The deployment failed.
    Deployment(String),
    /// The deployment failed, but another attempt may succeed.
    Temporary(String),
}

/// Does what the arguments say.
fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let arguments: Vec<_> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let cleanup = match words.as_slice() {
        [] => false,
        ["--cleanup"] => true,
        ["-h" | "--help"] => return print(HELP),
        ["-V" | "--version"] => {
            return print(concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION")));
        }
        _ => {
            let message = format!("unsupported arguments {words:?}: see --help");
            return Err(Failure::NothingTested(message));
        }
    };
    let server = Server::from_env().map_err(Failure::NothingTested)?;
    let rows = run_steps(&server, cleanup)?;
    let pairs: Vec<_> = rows.iter().map(|row| format!("('{}', {})", row.name, row.price)).collect();
    print(&format!("[{}]", pairs.join(", ")))?;
    log_duration("passed", start);
    Ok(())
}

/// Prints a line to stdout. A reader that has closed the pipe, as in `| true`, is not a failure.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Deployment(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Logs the time since `start`.
fn log_duration(name: &str, start: Instant) {
    info!("{name:<40}{:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);
}

// ---- The server: the environment, and the connection strings of other MySQL clients ------------

/// The server to connect to.
struct Server {
    opts: Opts,
    /// The timeout of each wait.
    timeout: Duration,
}

/// Host, port and TLS, with which each message about the server begins.
impl Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.opts.get_ssl_opts().is_some() { "on" } else { "off" };
        write!(f, "{}:{}, TLS {tls}", self.opts.get_ip_or_hostname(), self.opts.get_tcp_port())
    }
}

impl Server {
    /// Reads `DATABASE_URL` and `TIDB_TIMEOUT`. The error says which of them is wrong and why.
    fn from_env() -> Result<Self, String> {
        let seconds = variable("TIDB_TIMEOUT", "30")?;
        let timeout: NonZeroU32 = seconds
            .parse()
            .map_err(|_| format!("TIDB_TIMEOUT={seconds}: use whole seconds, 1 or more"))?;
        let timeout = Duration::from_secs(timeout.get().into());
        let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
        let opts = read_url(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        let opts = OptsBuilder::from_opts(opts)
            .init(vec![include_str!("../sql/1a_set_session.sql")])
            // Otherwise the driver may switch to the Unix socket that the server reports. Through a
            // tunnel or a published container port, that can be a different server's socket.
            .prefer_socket(false)
            // Saves a query for the server's limit. No packet of this program comes near 1 MiB.
            .max_allowed_packet(Some(1 << 20))
            // Half of it, because `try_addresses` makes two attempts.
            .tcp_connect_timeout(Some(timeout / 2))
            // By default there is no timeout. `GET_LOCK` takes up to a second, also if this is 1.
            .read_timeout(Some(timeout + Duration::from_millis(500)));
        let server = Self { opts: opts.into(), timeout };
        let host = server.opts.get_ip_or_hostname();
        let is_local = matches!(&*host, "127.0.0.1" | "[::1]" | "localhost");
        if server.opts.get_ssl_opts().is_none() && !is_local {
            warn!("{server}: the connection is not encrypted and the server is not verified");
        }
        Ok(server)
    }
}

/// Returns an environment variable, or `default` if it is not set.
fn variable(name: &str, default: &str) -> Result<String, String> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Ok(default.to_owned()),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8")),
    }
}

/// How much TLS is demanded, from the least to the most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tls {
    /// Nothing is demanded.
    Off,
    /// Encryption without verification.
    Encrypted,
    /// Also a certificate from a trusted CA.
    VerifyCa,
    /// Also a certificate for this host name.
    VerifyIdentity,
}

/// Converts a connection string. The error says what is wrong with it and never shows the password.
fn read_url(url: &str) -> Result<Opts, String> {
    const FORM: &str = "use mysql://user:password@host:4000/database";
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let scheme = scheme.to_lowercase();
    if !matches!(&*scheme, "mysql" | "mysql2" | "tidb") && !scheme.starts_with("mysql+") {
        return Err(format!("not a MySQL URL: {FORM}"));
    }
    let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    // In a password such as `a/b`, the driver would take `a` for the port and `b` for the database.
    let database = base.split_once('/').map_or("", |(_, database)| database);
    if database.contains(['/', '@']) || parameters.contains('@') || rest.contains('#') {
        return Err("percent-encode special characters: / ? # @ as %2F %3F %23 %40".to_owned());
    }
    let mut tls = Tls::Off;
    let mut files = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // Clients write names and values with `-` or `_`, and in upper or lower case.
        let plain = |text: &str| text.to_lowercase().replace('-', "_");
        let demand = match (&*plain(key), &*plain(value)) {
            ("ssl_ca" | "sslca" | "sslcert" | "root_cert_path", _) => {
                files.push(format!("root_cert_path={value}"));
                Ok(Tls::Off)
            }
            (name @ ("cert_chain_path" | "priv_key_path"), _) => {
                files.push(format!("{name}={value}"));
                Ok(Tls::Off)
            }
            ("charset", "utf8" | "utf8mb4")
            | ("ssl_mode", "disabled")
            | ("ssl_verify_identity", "false") => Ok(Tls::Off),
            ("ssl_mode", "required")
            | ("sslaccept", "accept_invalid_certs")
            | ("ssl_verify_cert", "false") => Ok(Tls::Encrypted),
            ("ssl_mode", "verify_ca") | ("ssl_verify_cert", "true") => Ok(Tls::VerifyCa),
            ("ssl_mode", "verify_identity")
            | ("sslaccept", "strict")
            | ("ssl_verify_identity", "true") => Ok(Tls::VerifyIdentity),
            ("charset", _) => Err("use utf8mb4"),
            ("ssl_mode", _) => Err("use DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"),
            ("sslaccept", _) => Err("use strict or accept_invalid_certs"),
            ("ssl_verify_cert" | "ssl_verify_identity", _) => Err("use true or false"),
            _ => Err("not supported, remove it"),
        };
        // Without the value, which may be a password, as in `?password=...`.
        tls = tls.max(demand.map_err(|remedy| format!("parameter {key}: {remedy}"))?);
    }
    let opts = Opts::from_url(&format!("mysql://{base}?{}", files.join("&")))
        .map_err(|error| format!("{error}: {FORM}"))?;
    match opts.get_db_name() {
        None => return Err(format!("no database: {FORM}")),
        // TiDB puts the name in backticks at login and does not escape backticks in it.
        Some(name) if name.contains('`') => return Err(format!("{name} contains a backtick")),
        _ if opts.get_tcp_port() == 0 => return Err("invalid port 0".to_owned()),
        _ => {}
    }
    let ssl_opts = ssl_opts(&opts, tls)?;
    Ok(OptsBuilder::from_opts(opts).ssl_opts(ssl_opts).into())
}

/// Returns the TLS options, or `None` for a connection without TLS. A CA without `ssl-mode` demands
/// full verification, as does a TiDB Cloud host. The error names a certificate file that cannot be
/// used, which the driver's errors do not.
fn ssl_opts(opts: &Opts, demand: Tls) -> Result<Option<SslOpts>, String> {
    let host = opts.get_ip_or_hostname();
    let tls = match demand {
        _ if host.trim_end_matches('.').ends_with(".tidbcloud.com") => Tls::VerifyIdentity,
        Tls::Off if opts.get_ssl_opts().is_some() => Tls::VerifyIdentity,
        Tls::Off => return Ok(None),
        demand => demand,
    };
    let ssl_opts = opts.get_ssl_opts().cloned().unwrap_or_default();
    let identity = ssl_opts.client_identity();
    let files = [
        ssl_opts.root_cert_path(),
        identity.map(ClientIdentity::cert_chain_path),
        identity.map(ClientIdentity::priv_key_path),
    ];
    for file in files.into_iter().flatten() {
        let text =
            fs::read_to_string(file).map_err(|e| format!("file '{}': {e}", file.display()))?;
        if !text.contains("-----END ") {
            return Err(format!("file '{}': not in PEM format", file.display()));
        }
    }
    let ssl_opts = ssl_opts
        .with_danger_accept_invalid_certs(tls == Tls::Encrypted)
        .with_danger_skip_domain_validation(tls < Tls::VerifyIdentity);
    Ok(Some(ssl_opts))
}

// ---- The session: connects, waits for its turn, protects other tables --------------------------

/// The step that connects.
const CONNECT: &str = "connect";
/// The server has no database of this name.
const UNKNOWN_DATABASE: u16 = 1049;
/// A TiDB server before v6.1 has no locks.
const NOT_SUPPORTED: u16 = 1235;

/// The one database session of a run.
struct Session<'a> {
    server: &'a Server,
    conn: PooledConn,
}

/// Connects, waits until no other run uses the database, and refuses to go on if a table or view
/// has one of our names but was not created by this program.
fn open_session(server: &Server) -> Result<Session<'_>, Failure> {
    let mut conn = server.wait(|| connect(server))?;
    server.wait(|| match query_row(&mut conn, include_str!("../sql/1b_get_lock.sql")) {
        Ok(Some(true)) => Ok(()),
        Err(Error::MySqlError(error)) if error.code == NOT_SUPPORTED => Ok(()),
        Err(error) => Err(server.failure("get the lock", &error)),
        Ok(_) => Err(Failure::Temporary(format!(
            "{server}: another run uses this database: wait, or raise TIDB_TIMEOUT. A run that \
             died holds its lock for up to 20 s. INFORMATION_SCHEMA.CLUSTER_PROCESSLIST lists the \
             sessions of all TiDB servers"
        ))),
    })?;

    let tables = include_str!("../sql/1c_find_other_tables.sql");
    let (version, table): (String, Option<String>) = query_row(&mut conn, tables)
        .map_err(|error| server.failure("look for other tables", &error))?;
    if let Some(table) = table {
        return Err(Failure::NothingTested(format!(
            "{server}: {table} was not created by this program: use another database in \
             DATABASE_URL, or drop it if you do not need it"
        )));
    }
    let database = server.opts.get_db_name().unwrap_or_default();
    info!("server {version} at {server}, database {database}");
    Ok(Session { server, conn })
}

impl Session<'_> {
    /// Runs a step and logs how long it took. A result other than `expected` is a failure.
    fn step<T: Debug + PartialEq>(
        &mut self,
        name: &str,
        expected: T,
        work: impl FnOnce(&mut PooledConn) -> mysql::Result<T>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let server = self.server;
        let result = work(&mut self.conn).map_err(|error| server.failure(name, &error))?;
        if result != expected {
            let message = format!("{server}: {name}: expected {expected:?}, got {result:?}");
            return Err(Failure::Deployment(message));
        }
        log_duration(name, start);
        Ok(result)
    }
}

/// Runs a query and returns its first row.
fn query_row<T: FromRow>(conn: &mut PooledConn, sql: &str) -> mysql::Result<T> {
    Ok(conn.query_first_opt(sql)?.ok_or(io::Error::other("no row"))??)
}

/// Opens the pool and takes its connection. Creates the database if it does not exist.
fn connect(server: &Server) -> Result<PooledConn, Failure> {
    let failure = |error| server.failure(CONNECT, &error);
    let take = |opts| open_pool(opts)?.get_conn();
    match try_addresses(&server.opts, take) {
        Err(Error::MySqlError(error)) if error.code == UNKNOWN_DATABASE => {
            let name = server.opts.get_db_name().unwrap_or_default();
            let no_database = OptsBuilder::from_opts(server.opts.clone()).db_name(None::<&str>);
            let mut conn = try_addresses(&no_database.into(), Conn::new).map_err(failure)?;
            // The name has no backtick: `read_url` refuses that.
            conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))
                .map_err(|error| server.failure("create the database", &error))?;
            try_addresses(&server.opts, take).map_err(failure)
        }
        result => result.map_err(failure),
    }
}

/// Connects with `open`. The driver tries only the first address of a name; for `localhost`, this
/// is often `::1`. If it is unreachable, tries again with an IPv4 bind address: then the driver
/// tries all IPv4 addresses. Returns the first error if both attempts fail.
fn try_addresses<T>(opts: &Opts, open: impl Fn(Opts) -> mysql::Result<T>) -> mysql::Result<T> {
    let first = open(opts.clone());
    if !first.as_ref().is_err_and(is_unreachable) {
        return first;
    }
    let ipv4 = OptsBuilder::from_opts(opts.clone()).bind_address(Some((Ipv4Addr::UNSPECIFIED, 0)));
    match open(ipv4.into()) {
        Err(error) if is_unreachable(&error) => first,
        second => second,
    }
}

// ---- Failures: whether to try again, the exit status, the cause, and what to do ----------------

/// The server does not know the variable in `1a_set_session.sql` that only TiDB has.
const UNKNOWN_VARIABLE: u16 = 1193;

impl Server {
    /// Repeats an attempt while its failure is temporary, until the timeout. Logs the first one.
    fn wait<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let start = Instant::now();
        let mut is_logged = false;
        loop {
            match attempt() {
                Err(Failure::Temporary(message)) if start.elapsed() < self.timeout => {
                    if !is_logged {
                        info!("{message}; waiting up to {} s", self.timeout.as_secs());
                        is_logged = true;
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                result => return result,
            }
        }
    }

    /// Turns the error of a step into a failure.
    fn failure(&self, step: &str, error: &Error) -> Failure {
        use ErrorKind::{ConnectionRefused, InvalidData, TimedOut, WouldBlock};
        let kind = io_error_kind(error);
        let is_connecting = step == CONNECT;
        let is_timeout = matches!(kind, Some(TimedOut | WouldBlock));
        // `Error` would only wrap the text of these errors.
        let cause = match error {
            _ if is_timeout => format!("timed out after {} s", self.timeout.as_secs()),
            Error::MySqlError(error) => error.to_string().replace('\n', " "),
            Error::DriverError(error) => error.to_string(),
            Error::IoError(error) => error.to_string(),
            _ => error.to_string(),
        };
        let remedy = match (error, kind) {
            (Error::MySqlError(error), _) => remedy(error),
            (Error::TlsError(_), _) => "; check the CA and client certificate files",
            _ if is_timeout && is_connecting => "; check firewalls and IP access lists",
            _ if is_timeout => {
                "; TiDB may be unable to reach PD (cluster metadata) or TiKV (storage), or another \
                 TiDB server has just died (DDL then waits up to two minutes): see ADMIN SHOW DDL \
                 JOBS"
            }
            (_, Some(ConnectionRefused)) => {
                "; start TiDB (here: `make tidb`) or correct DATABASE_URL"
            }
            _ if is_closed(error) => {
                "; connection closed: the server may be starting or stopping, the session may have \
                 been killed, or this is not TiDB's port"
            }
            (_, Some(InvalidData)) if self.opts.get_ssl_opts().is_some() => {
                "; cannot set up TLS: check that the server's certificate is for this host name; \
                 if its CA is private, add ssl-ca=/path/to/ca.pem"
            }
            // If a TiDB server requires TLS, its error has no SQL state: the driver cannot read it.
            (_, Some(InvalidData)) | (Error::CodecError(_), _) => {
                "; not MySQL's protocol: correct host and port; if the server requires TLS, add \
                 ssl-mode=VERIFY_IDENTITY"
            }
            // There is no stable `ErrorKind` for a name that does not resolve.
            _ if is_unreachable(error) => "; correct the host in DATABASE_URL, or the network",
            _ => "",
        };
        let message = format!("{self}: {step}: {cause}{remedy}");
        match error {
            // Only while connecting: after that, something may have been changed.
            Error::MySqlError(MySqlError { code: UNKNOWN_VARIABLE, .. }) | Error::TlsError(_)
                if is_connecting =>
            {
                Failure::NothingTested(message)
            }
            Error::MySqlError(error) if is_contention(error) => Failure::Temporary(message),
            _ if is_connecting && (is_unreachable(error) || is_closed(error)) => {
                Failure::Temporary(message)
            }
            _ => Failure::Deployment(message),
        }
    }
}

/// Returns what to do about an error of the server, by its code: MySQL's, or from 8000 on TiDB's.
fn remedy(error: &MySqlError) -> &'static str {
    let says = |words| error.message.contains(words);
    match error.code {
        1044 | 1142 => "; grant the privileges in sql/0_create_database_and_user.sql",
        1045 => "; correct user and password; if TLS is off, add ssl-mode=VERIFY_IDENTITY",
        3159 => "; add ssl-mode=VERIFY_IDENTITY",
        8027 | 9001..=9003 | 9005 | 9012 => "; check PD, TiKV and TiFlash, and the network to them",
        UNKNOWN_VARIABLE => "; this is not TiDB: correct DATABASE_URL (TiDB's port is 4000)",
        // TiDB's code for an error that has no code of its own.
        1105 if says("insecure transport") => "; add ssl-mode=VERIFY_IDENTITY",
        1105 if says("Missing user name prefix") => "; TiDB Cloud's console shows the prefix",
        _ if is_contention(error) => "; others changed the same rows: run it again",
        _ => "",
    }
}

/// Whether the server says that other sessions were in the way.
fn is_contention(error: &MySqlError) -> bool {
    let says = |words| error.message.contains(words);
    match error.code {
        1205 | 1213 | 9007 => true,
        1105 => says("pessimistic lock retry limit") || says("lock wait timeout"),
        _ => false,
    }
}

/// Whether there was no connection at all.
fn is_unreachable(error: &Error) -> bool {
    use DriverError::{ConnectTimeout, CouldNotConnect};
    matches!(error, Error::DriverError(ConnectTimeout | CouldNotConnect(_)))
}

/// Whether the connection was closed, as a container's port does before its server listens.
fn is_closed(error: &Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kind = io_error_kind(error);
    matches!(kind, Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}

/// Returns the kind of an I/O error. The driver has several places for it.
fn io_error_kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::IoError(error) => Some(error.kind()),
        Error::CodecError(error) => Some(error.source()?.downcast_ref::<io::Error>()?.kind()),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, _, kind)))) => Some(*kind),
        Error::DriverError(DriverError::ConnectTimeout) => Some(ErrorKind::TimedOut),
        _ => None,
    }
}
