//! Quick start for TiDB, a distributed SQL database that is compatible with MySQL: creates two
//! tables, inserts, deletes and updates rows, and prints the result of a join.
//!
//! Run it with `make run`, or set `DATABASE_URL` and run `cargo run`. The tutorial comes first:
//! types, one function for each step, and `run_steps`, which calls them in order. Copy the types
//! and the functions of the steps. The supporting code turns the tutorial into a smoke test.

use std::fmt::Debug;

use log::info;
use mysql::prelude::Queryable;
use mysql::{Pool, Value};
use once_cell::sync::OnceCell;

/// The program's connection pool. Your own program usually needs no static: call `Pool::new(url)?`
/// in `main`, take connections with `get_conn`, and pass the pool on, which is cheap to clone.
///
/// By default it opens 10 connections at once. If all 100 are used, `get_conn` waits indefinitely.
static POOL: OnceCell<Pool> = OnceCell::new();

/// A user's gender, stored in an ENUM column.
#[derive(Clone, Copy)]
enum Gender {
    Female,
    Male,
}

/// Converts a `Gender` to a statement parameter: its name. Read an ENUM column as `String`.
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

/// A row of the join. The program inserts no NULLs; if a column can be NULL, use `Option<T>`.
#[derive(Debug, PartialEq)]
struct UserOrder {
    name: String,
    price: f32,
}

/// Runs the steps in the order of the tutorial and returns the rows of the join.
///
/// Each statement commits on its own (autocommit). To commit several together, call
/// `let mut tx = conn.start_transaction(TxOpts::default())?;` on a `PooledConn`, pass `&mut tx` to
/// the functions of steps 2 to 5, and end with `tx.commit()?`.
fn run_steps(conn: &mut impl Queryable) -> Result<Vec<UserOrder>, StepError> {
    check("1. drop and create users and orders", create_tables(conn), ())?;

    let users = [
        User { name: "Alice".to_owned(), gender: Gender::Female },
        User { name: "Peter".to_owned(), gender: Gender::Male },
        User { name: "Ben".to_owned(), gender: Gender::Male },
    ];
    check("2. insert three users", insert_users(conn, &users), 3)?;
    let order = Order { uid: 1, price: 2.5 };
    check("2. insert one order", insert_orders(conn, &[order]), 1)?;
    let orders = [
        Order { uid: 1, price: 0.5 },
        Order { uid: 2, price: 4.5 },
        Order { uid: 2, price: 2123.87 },
        Order { uid: 3, price: 212.5 },
        Order { uid: 3, price: 8.5 },
    ];
    check("2. insert five orders", insert_orders(conn, &orders), 5)?;

    check("3. delete order 4", delete_order(conn, 4), 1)?;
    check("4. set the price of order 1 to 3.5", set_price(conn, 1, 3.5), 1)?;

    let bens_orders = vec![
        UserOrder { name: "Ben".to_owned(), price: 212.5 },
        UserOrder { name: "Ben".to_owned(), price: 8.5 },
    ];
    check("5. join users and orders", user_orders(conn, 3), bens_orders)
}

/// Step 1: drops both tables and creates them again. Their comment marks them as safe to drop.
fn create_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    drop_tables(conn)?;
    // One call per statement: the driver does not report an error in the second of two statements.
    conn.query_drop(include_str!("../sql/1e_create_users.sql"))?;
    conn.query_drop(include_str!("../sql/1f_create_orders.sql"))
}

/// Drops both tables if they exist.
fn drop_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    conn.query_drop(include_str!("../sql/1d_drop_tables.sql"))
}

/// Step 2: inserts one or more users with one statement, which repeats `(?, ?)` for each row, and
/// returns the number of inserted rows. A statement takes at most 65,535 parameters. `exec_batch`
/// is shorter, but sends and commits each row separately.
fn insert_users(conn: &mut impl Queryable, users: &[User]) -> mysql::Result<u64> {
    let rows = vec!["(?, ?)"; users.len()].join(", ");
    let statement = include_str!("../sql/2a_insert_users.sql").replace("(?, ?)", &rows);
    let values: Vec<Value> =
        users.iter().flat_map(|user| [user.name.as_str().into(), user.gender.into()]).collect();
    Ok(conn.exec_iter(statement, values)?.affected_rows())
}

/// Step 2: inserts one or more orders with one statement and returns their number.
fn insert_orders(conn: &mut impl Queryable, orders: &[Order]) -> mysql::Result<u64> {
    let rows = vec!["(?, ?)"; orders.len()].join(", ");
    let statement = include_str!("../sql/2b_insert_orders.sql").replace("(?, ?)", &rows);
    let values: Vec<Value> =
        orders.iter().flat_map(|order| [order.uid.into(), order.price.into()]).collect();
    Ok(conn.exec_iter(statement, values)?.affected_rows())
}

/// Step 3: deletes an order and returns the number of deleted rows.
fn delete_order(conn: &mut impl Queryable, oid: i32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/3_delete_order.sql"), (oid,))?.affected_rows())
}

/// Step 4: sets the price of an order and returns the number of changed rows: 0 if none matched
/// or the price was the same.
fn set_price(conn: &mut impl Queryable, oid: i32, price: f32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/4_update_order.sql"), (price, oid))?.affected_rows())
}

/// Step 5: returns a user's name with the price of each of their orders, oldest order first.
fn user_orders(conn: &mut impl Queryable, uid: i32) -> mysql::Result<Vec<UserOrder>> {
    // `exec` would panic on a row that cannot be converted, such as one with a NULL.
    let rows = conn.exec_opt(include_str!("../sql/5_join_users_orders.sql"), (uid,))?;
    rows.into_iter()
        .map(|row| {
            let (name, price): (String, f32) = row?;
            Ok(UserOrder { name, price })
        })
        .collect()
}

/// Why a step did not pass.
struct StepError {
    step: &'static str,
    error: Box<dyn std::error::Error>,
}

/// Logs a step and returns its result, or an error if the result is not `expected`.
fn check<T: Debug + PartialEq>(
    step: &'static str,
    result: mysql::Result<T>,
    expected: T,
) -> Result<T, StepError> {
    let error = match result {
        Ok(result) if result == expected => {
            info!("{step}");
            return Ok(result);
        }
        Ok(result) => format!("expected {expected:?}, got {result:?}").into(),
        Err(error) => error.into(),
    };
    Err(StepError { step, error })
}

// ---- Supporting code: the command line ---------------------------------------------------------

use ErrorKind::{ConnectionRefused, InvalidData, TimedOut, WouldBlock};
use Outcome::{Failed, NotTested, Retry};
use log::{LevelFilter, error, warn};
use mysql::DriverError::{ConnectTimeout, CouldNotConnect, TlsNotSupported};
use mysql::prelude::FromRow;
use mysql::{ClientIdentity, Conn, DriverError, Error, MySqlError, Opts, OptsBuilder, PooledConn};
use mysql::{PoolConstraints, PoolOpts, SslOpts, UrlError};
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::io::{self, ErrorKind, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What `--help` prints.
const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
Tests a TiDB deployment. Drops and creates the tables users and orders.
  --cleanup      drop both tables after a successful run
  -h, --help     print this help
  -V, --version  print the version
Environment variables:
  DATABASE_URL   [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   timeout to connect, and of each reply, in seconds [default: 30]
  RUST_LOG       off, error, warn, info, debug or trace [default: info]
Exit status:
  0 the deployment passed
  1 the deployment failed
  2 nothing was tested or changed";

/// Why a run did not pass. The text is one line: the cause, then what to do.
struct Failure(Outcome, String);

/// The outcome of a run that did not pass.
enum Outcome {
    /// The deployment failed.
    Failed,
    /// The deployment failed, but another attempt to connect may succeed.
    Retry,
    /// Nothing was tested or changed.
    NotTested,
}

/// Runs the program, logs any failure to stderr, and returns the exit status.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    let mut logger = env_logger::Builder::new();
    // If the level in RUST_LOG is misspelled, a failure is still logged.
    logger.filter_level(LevelFilter::Error).parse_env(env).format_target(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(outcome, message)) => {
            error!("{message}");
            match outcome {
                Failed | Retry => ExitCode::from(1),
                NotTested => ExitCode::from(2),
            }
        }
    }
}

/// Runs the command line.
fn run() -> Result<(), Failure> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    // An argument that is not UTF-8 becomes an empty string, which is rejected.
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        [] => print(&run_and_format(false)?, Failed),
        ["--cleanup"] => print(&run_and_format(true)?, Failed),
        ["-h" | "--help"] => print(HELP, NotTested),
        ["-V" | "--version"] => {
            print(concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION")), NotTested)
        }
        _ => Err(Failure(NotTested, format!("unsupported arguments: {arguments:?}; see --help"))),
    }
}

/// Prints a line to stdout. If that fails, `outcome` is the outcome of the run.
fn print(line: &str, outcome: Outcome) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        // A reader that has closed the pipe, as in `| true`, is not a failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure(outcome, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs the steps and returns the rows in the form that the Python sample prints.
fn run_and_format(cleanup: bool) -> Result<String, Failure> {
    let start = Instant::now();
    let server = Server::from_env().map_err(|message| Failure(NotTested, message))?;
    let mut conn = open_session(&server)?;
    let failure = |error: StepError| server.failure(error.step, &*error.error, false);
    let rows = run_steps(&mut conn).map_err(failure)?;
    if cleanup {
        check("clean up: drop users and orders", drop_tables(&mut conn), ()).map_err(failure)?;
    }
    info!("passed in {} ms", start.elapsed().as_millis());
    let pairs: Vec<_> = rows.iter().map(|row| format!("('{}', {})", row.name, row.price)).collect();
    Ok(format!("[{}]", pairs.join(", ")))
}

// ---- Supporting code: the environment, and the connection strings of other MySQL clients -------

/// The server to connect to.
struct Server {
    /// Host, port and TLS: the prefix of each message.
    name: String,
    opts: Opts,
    /// The timeout of each wait.
    timeout: Duration,
}

impl Server {
    /// Reads `DATABASE_URL` and `TIDB_TIMEOUT`. The error says which of them is wrong and why.
    fn from_env() -> Result<Self, String> {
        let seconds = variable("TIDB_TIMEOUT", "30")?;
        let timeout: NonZeroU32 = seconds.parse().map_err(|_| {
            format!("invalid TIDB_TIMEOUT {seconds:?}: use a whole number of seconds, 1 or more")
        })?;
        let timeout = Duration::from_secs(timeout.get().into());
        let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
        let opts = read_url(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        // The session of the pool's only connection holds the lock: the pool must neither replace
        // this connection after a health check nor reset it. In your program, keep the defaults.
        let pool_opts = PoolOpts::new()
            .with_constraints(PoolConstraints::new_const::<1, 1>())
            .with_check_health(false)
            .with_reset_connection(false);
        let builder = OptsBuilder::from_opts(opts)
            .pool_opts(pool_opts)
            .init(vec![include_str!("../sql/1a_set_session.sql")])
            // Otherwise the driver may switch to the Unix socket that the server reports. Through a
            // tunnel or a published container port, that can be a different server's socket.
            .prefer_socket(false)
            // Avoids a query for the server's limit. All packets are far below 1 MiB.
            .max_allowed_packet(Some(1 << 20))
            // Half the timeout, because `try_addresses` makes two attempts.
            .tcp_connect_timeout(Some(timeout / 2))
            // The default is no timeout. `GET_LOCK` waits up to 1 s, so 1 s needs a margin.
            .read_timeout(Some(timeout + Duration::from_millis(500)));
        let opts = Opts::from(builder);
        let host = opts.get_ip_or_hostname();
        let tls = if opts.get_ssl_opts().is_some() { "on" } else { "off" };
        let name = format!("{host}:{}, TLS {tls}", opts.get_tcp_port());
        if tls == "off" && !matches!(&*host, "127.0.0.1" | "[::1]" | "localhost") {
            warn!("{name}: not encrypted: add ssl-mode=VERIFY_IDENTITY to DATABASE_URL");
        }
        Ok(Self { name, opts, timeout })
    }

    /// Turns the error of a step into a failure. `connecting` is as in `diagnose`.
    fn failure(&self, step: &str, error: &(dyn StdError + 'static), connecting: bool) -> Failure {
        // An error that is not a driver error is the text of an unexpected result.
        let Some(error) = error.downcast_ref::<Error>() else {
            return Failure(Failed, format!("{}: {step}: {error}", self.name));
        };
        // `Display` of `Error` wraps these texts, as in `IoError { ... }`.
        let cause = match (error, io_error(error)) {
            (_, Some(error)) if matches!(error.kind(), TimedOut | WouldBlock) => {
                format!("timed out after {} s", self.timeout.as_secs())
            }
            (_, Some(error)) => error.to_string(),
            (Error::MySqlError(error), _) => error.to_string().replace('\n', " "),
            (Error::DriverError(error), _) => error.to_string(),
            (Error::TlsError(error), _) => error.to_string(),
            (Error::CodecError(error), _) => error.to_string(),
            _ => error.to_string(),
        };
        let (outcome, remedy) = diagnose(error, connecting, self.opts.get_ssl_opts().is_some());
        let separator = if remedy.is_empty() { "" } else { "; " };
        Failure(outcome, format!("{}: {step}: {cause}{separator}{remedy}", self.name))
    }
}

/// Returns an environment variable, or `default` if it is not set.
fn variable(name: &str, default: &str) -> Result<String, String> {
    let value = env::var_os(name).unwrap_or_else(|| default.into());
    value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))
}

/// Converts a connection string. The error says what is wrong with it and never shows the password.
fn read_url(url: &str) -> Result<Opts, String> {
    const FORM: &str = "use mysql://user:password@host:4000/database";
    const TLS: &str = "use ssl-mode=VERIFY_IDENTITY; for a private CA, add ssl-ca=/path/to/ca.pem";
    let is_quote_or_space = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    if url.starts_with(is_quote_or_space) || url.ends_with(is_quote_or_space) {
        return Err("remove the quotes or whitespace around the URL".to_owned());
    }
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let scheme = scheme.to_lowercase();
    if !matches!(&*scheme, "mysql" | "mysql2" | "tidb") && !scheme.starts_with("mysql+") {
        return Err(format!("not a MySQL URL: {FORM}"));
    }
    let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    // In a password such as `a/b`, the driver would take `a` for the port and `b` for the database.
    let (_, database) = base.split_once('/').unwrap_or_default();
    if database.contains(['/', '@']) || parameters.contains('@') || rest.contains('#') {
        return Err("percent-encode / ? # @ in user and password as %2F %3F %23 %40".to_owned());
    }
    // Sets, because a repeated option does not conflict with itself. Its first word is its kind.
    let mut options = BTreeSet::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let Some(option) = driver_option(key, value) else {
            // Omits the value, which may be a password, as in `?password=...`.
            return Err(format!("parameter {key} or its value is not supported; for TLS, {TLS}"));
        };
        options.insert(option);
    }
    let kinds: BTreeSet<_> = options.iter().map(|option| option.split('_').next()).collect();
    if kinds.len() < options.len() {
        return Err(format!("conflicting TLS parameters: {TLS}"));
    }
    let url = format!("mysql://{base}?{}", Vec::from_iter(options).join("&"));
    let opts = Opts::from_url(&url).map_err(|error| match error {
        UrlError::ParseError(error) => format!("{error}: {FORM}"),
        UrlError::BadUrl => format!("invalid hostname (only ASCII is supported): {FORM}"),
        error => error.to_string(),
    })?;
    let problem = match &*opts.get_db_name().unwrap_or_default().to_lowercase() {
        "" => "no database name",
        "information_schema" | "metrics_schema" | "mysql" | "performance_schema" | "sys" => {
            "the database is a system schema"
        }
        // TiDB puts the name in backticks at login and does not escape backticks in it.
        name if name.contains(['`', '\0']) => "backtick or NUL in the database name",
        _ if opts.get_tcp_port() == 0 => "invalid port 0",
        _ => return with_tls(opts),
    };
    Err(format!("{problem}: {FORM}"))
}

/// Translates a URL parameter of other MySQL clients into the driver's, if it is supported.
fn driver_option(key: &str, value: &str) -> Option<String> {
    let key = key.to_lowercase().replace(['-', '_'], "");
    // The driver would read a `+` as a space.
    let path = value.replace('+', "%2B");
    let mut value = value.to_lowercase().replace('-', "_").replace("%7b", "{").replace("%7d", "}");
    // The JSON of Node.js clients may be percent-encoded. TLS 1.2 is the driver's minimum, too.
    for json in ["%22", "%3a", "%2c", "\"", ":", ",", "minversiontlsv1.2"] {
        value = value.replace(json, "");
    }
    let option = match (&*key, &*value) {
        (_, "") => return None,
        ("sslca" | "sslcert" | "rootcertpath", _) => return Some(format!("root_cert_path={path}")),
        ("certchainpath", _) => return Some(format!("cert_chain_path={path}")),
        ("privkeypath", _) => return Some(format!("priv_key_path={path}")),
        ("charset", "utf8mb4") | ("sslmode", "disabled") => "",
        ("sslmode", "required") | ("ssl", "{rejectunauthorizedfalse}") => {
            "danger_accept_invalid_certs=true"
        }
        ("sslmode", "verify_ca") => "danger_skip_domain_validation=true",
        // Any TLS option turns TLS on. This one keeps the full verification.
        ("sslmode", "verify_identity")
        | ("sslaccept", "strict")
        | ("sslverifycert" | "sslverifyidentity", "true")
        | ("ssl", "{}" | "{rejectunauthorizedtrue}") => "danger_accept_invalid_certs=false",
        _ => return None,
    };
    Some(option.to_owned())
}

/// Turns TLS on for hosts under tidbcloud.com. The error names a file that cannot be used.
fn with_tls(opts: Opts) -> Result<Opts, String> {
    let is_tidb_cloud = opts.get_ip_or_hostname().trim_end_matches('.').ends_with(".tidbcloud.com");
    let ssl_opts = opts.get_ssl_opts().cloned().or(is_tidb_cloud.then(SslOpts::default));
    let Some(ssl_opts) = ssl_opts else { return Ok(opts) };
    let identity = ssl_opts.client_identity();
    let files = [
        ssl_opts.root_cert_path(),
        identity.map(ClientIdentity::cert_chain_path),
        identity.map(ClientIdentity::priv_key_path),
    ];
    for file in files.into_iter().flatten() {
        if !fs::read_to_string(file).is_ok_and(|text| text.contains("-----END ")) {
            return Err(format!("cannot read '{}' as a PEM file", file.display()));
        }
    }
    Ok(OptsBuilder::from_opts(opts).ssl_opts(ssl_opts).into())
}

// ---- Supporting code: connects, waits for its turn, protects other tables ----------------------

/// Connects, waits until no other run uses the database, and refuses to go on if a table or view
/// has one of our names but was not created by this program.
fn open_session(server: &Server) -> Result<PooledConn, Failure> {
    // The standard library's `OnceLock` has no stable `get_or_try_init` yet.
    let pool = POOL.get_or_try_init(|| wait_for_pool(server))?;
    let mut conn = pool.get_conn().map_err(|error| server.failure("connect", &error, true))?;
    let tables = include_str!("../sql/1c_find_other_tables.sql");
    let (version, table): (String, Option<String>) = query_row(&mut conn, tables)
        .map_err(|error| server.failure("look for other tables", &error, false))?;
    if let Some(table) = table {
        let message = format!(
            "{}: {table} was not created by this program: drop that table or view if you do not \
             need it, or use another database in DATABASE_URL",
            server.name
        );
        return Err(Failure(NotTested, message));
    }
    let database = server.opts.get_db_name().unwrap_or_default();
    info!("server {version} at {}, database {database}", server.name);
    Ok(conn)
}

/// Opens the pool. After an error that may be temporary, retries until the timeout.
fn wait_for_pool(server: &Server) -> Result<Pool, Failure> {
    let start = Instant::now();
    let mut result = open_locked_pool(server);
    if let Err(Failure(Retry, message)) = &result {
        info!("retrying for up to {} s: {message}", server.timeout.as_secs());
    }
    while matches!(result, Err(Failure(Retry, _))) && start.elapsed() < server.timeout {
        thread::sleep(Duration::from_millis(200));
        result = open_locked_pool(server);
    }
    result
}

/// Opens the pool and acquires the lock of the database on its only connection. Each attempt opens
/// a new pool, because TiDB 6.5 and 7.1 can close the connection if several runs wait for the lock.
fn open_locked_pool(server: &Server) -> Result<Pool, Failure> {
    let pool = open_pool(server)?;
    let mut conn = pool.get_conn().map_err(|error| server.failure("connect", &error, true))?;
    match query_row(&mut conn, include_str!("../sql/1b_get_lock.sql")) {
        Ok(true) => Ok(pool),
        Ok(false) => {
            let message = format!(
                "{}: another run is using this database, or a statement of an earlier run is still \
                 waiting, usually for an open transaction: run SHOW PROCESSLIST on each TiDB \
                 server, or increase TIDB_TIMEOUT",
                server.name
            );
            Err(Failure(Retry, message))
        }
        // Error 1235: not supported.
        Err(Error::MySqlError(MySqlError { code: 1235, .. })) => {
            warn!("{}: TiDB before v6.1 has no GET_LOCK: avoid concurrent runs", server.name);
            Ok(pool)
        }
        Err(error) => Err(server.failure("get the lock", &error, false)),
    }
}

/// Runs a query and returns its first row.
fn query_row<T: FromRow>(conn: &mut PooledConn, sql: &str) -> mysql::Result<T> {
    Ok(conn.query_first_opt(sql)?.ok_or(DriverError::UnexpectedPacket)??)
}

/// Opens a pool. Creates the database if it does not exist.
fn open_pool(server: &Server) -> Result<Pool, Failure> {
    let failure = |error: Error| server.failure("connect", &error, true);
    match try_addresses(&server.opts, Pool::new) {
        // Error 1049: unknown database.
        Err(Error::MySqlError(MySqlError { code: 1049, .. })) => {}
        result => return result.map_err(failure),
    }
    let no_database = OptsBuilder::from_opts(server.opts.clone()).db_name(None::<&str>);
    let mut conn = try_addresses(&no_database.into(), Conn::new).map_err(failure)?;
    // The name has no backtick: `read_url` rejects backticks.
    let name = server.opts.get_db_name().unwrap_or_default();
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))
        .map_err(|error| server.failure("create the database", &error, false))?;
    info!("created database {name}");
    try_addresses(&server.opts, Pool::new).map_err(failure)
}

/// Connects with `open`. The driver tries only the first address of a name; for `localhost`, this
/// is often `::1`. If it is unreachable, tries again with an IPv4 bind address: then the driver
/// tries all IPv4 addresses. Returns the first error if none can be reached.
fn try_addresses<T>(opts: &Opts, open: impl Fn(Opts) -> mysql::Result<T>) -> mysql::Result<T> {
    let is_unreachable = |result: &mysql::Result<T>| {
        matches!(result, Err(Error::DriverError(CouldNotConnect(_) | ConnectTimeout)))
    };
    let first = open(opts.clone());
    if !is_unreachable(&first) {
        return first;
    }
    let ipv4 = Some((Ipv4Addr::UNSPECIFIED, 0));
    let second = open(OptsBuilder::from_opts(opts.clone()).bind_address(ipv4).into());
    if is_unreachable(&second) { first } else { second }
}

// ---- Supporting code: what an error means, and what to do --------------------------------------

/// Returns what an error means for the run, and what to do about it, if that is known. `connecting`
/// is true until the server has accepted the login and the session settings.
fn diagnose(error: &Error, connecting: bool, tls: bool) -> (Outcome, &'static str) {
    const ADDRESS: &str = "check host and port (TiDB: 4000), then firewalls and IP access lists";
    match (error, io_error(error).map(io::Error::kind)) {
        (Error::MySqlError(error), _) => diagnose_server_error(error, connecting),
        (Error::TlsError(_), _) => (NotTested, "check the CA and client certificate files"),
        (Error::DriverError(CouldNotConnect(Some((_, _, ConnectionRefused)))), _) => {
            (Retry, "start TiDB (locally: `make tidb`) or correct DATABASE_URL (TiDB's port: 4000)")
        }
        (Error::DriverError(CouldNotConnect(_)), _) => {
            (Retry, "check the host in DATABASE_URL, and the network")
        }
        (Error::DriverError(TlsNotSupported), _) => {
            (Failed, "set up TLS in TiDB, or remove the TLS parameters from DATABASE_URL")
        }
        (Error::DriverError(ConnectTimeout), _) => (Failed, ADDRESS),
        (_, Some(TimedOut | WouldBlock)) if connecting => (Failed, ADDRESS),
        (_, Some(TimedOut | WouldBlock)) => (
            Failed,
            "a session may have an open transaction on users or orders: commit it or roll it back \
             (to find it, query mysql.tidb_mdl_view as administrator; with `make tidb`, run SHOW \
             PROCESSLIST). Otherwise, a TiDB server may have just started or stopped (wait two \
             minutes), or TiDB may be unable to reach PD (cluster metadata) or TiKV (storage)",
        ),
        (_, Some(InvalidData)) if tls => (
            Failed,
            "the server's certificate must be X.509 version 3, unexpired, valid for this hostname, \
             from a public CA or the CA in ssl-ca; also check the CA and client certificates",
        ),
        // Or TiDB requires TLS: the driver cannot parse that error, because it has no SQL state.
        (Error::CodecError(_), None) | (_, Some(InvalidData)) => (
            Failed,
            "not the MySQL protocol: correct host and port; if the server requires TLS, add \
             ssl-mode=VERIFY_IDENTITY to DATABASE_URL",
        ),
        (_, Some(_)) if connecting => {
            (Retry, "connection closed: the server is starting or stopping, or is not TiDB")
        }
        (_, Some(_)) => (Failed, "connection closed: the server stopped or the session was killed"),
        _ => (Failed, ""),
    }
}

/// Like `diagnose`, for an error that the server sent. TiDB's own codes start at 8000.
fn diagnose_server_error(error: &MySqlError, connecting: bool) -> (Outcome, &'static str) {
    const CONFLICT: &str = "write conflict or lock wait: another attempt usually succeeds";
    // TiDB 6.5 and 7.1 report contention as "interface conversion".
    const CONTENTION: [&str; 3] =
        ["pessimistic lock retry limit", "lock wait timeout", "interface conversion"];
    let says = |text: &str| error.message.contains(text);
    match error.code {
        1040 if connecting => (Retry, "close other connections, or increase max_connections"),
        1044 | 1142 => (Failed, "grant the privileges in sql/0_create_database_and_user.sql"),
        1045 => (
            Failed,
            "check user and password (in a URL, % is %25); if the account requires TLS, add \
             ssl-mode=VERIFY_IDENTITY to DATABASE_URL",
        ),
        1050 | 1146 | 8028 | 8113 => (Failed, "another run may be using this database: try again"),
        1193 if connecting => (NotTested, "the server is not TiDB, which uses port 4000"),
        1205 | 1213 | 9007 => (Retry, CONFLICT),
        8027 | 9001..=9003 | 9005 | 9012 => (Failed, "check PD, TiKV, TiFlash and the network"),
        3159 | 1105 if says("insecure transport") => (Failed, "add ssl-mode=VERIFY_IDENTITY"),
        1105 if says("Missing user name prefix") => (Failed, "copy it from the TiDB Cloud console"),
        1105 if CONTENTION.into_iter().any(says) => (Retry, CONFLICT),
        _ => (Failed, ""),
    }
}

/// Returns the I/O error that caused a connection error, if any.
fn io_error(error: &Error) -> Option<&io::Error> {
    match error {
        Error::IoError(error) => Some(error),
        Error::CodecError(error) => error.source()?.downcast_ref(),
        _ => None,
    }
}
