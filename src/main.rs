//! Quick start for TiDB, a distributed SQL database that is compatible with MySQL: creates two
//! tables, inserts, deletes and updates rows, and prints the result of a join.
//!
//! Run it with `make run`, or set `DATABASE_URL` and run `cargo run`. The part to copy comes first:
//! how to connect, the types, and one function for each step. It needs only the `mysql` crate. The
//! supporting code below it runs the steps as a smoke test of a TiDB deployment.

use mysql::prelude::Queryable;
use mysql::{Opts, OptsBuilder, SslOpts, Value};

/// Step 0: reads a URL. Enables TLS for TiDB Cloud, and if the URL has `root_cert_path`. Then call
/// `Pool::new(connection_options(url)?)?` once, and `get_conn` on the pool in each thread.
fn connection_options(url: &str) -> Result<OptsBuilder, String> {
    let help = "use mysql://user:password@host:4000/database; for TiDB Cloud Starter, remove the ? \
        and all that follows (TLS is on); for a private CA, use ?root_cert_path=/path/to/ca.pem";
    let opts = Opts::from_url(url).map_err(|error| format!("{error}: {help}"))?;
    let is_tidb_cloud = opts.get_ip_or_hostname().ends_with(".tidbcloud.com");
    let tls = opts.get_ssl_opts().cloned().or(is_tidb_cloud.then(SslOpts::default));
    // By default, the driver may switch to a Unix socket: no TLS, and perhaps another server.
    Ok(OptsBuilder::from_opts(opts).ssl_opts(tls).prefer_socket(false))
}

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

/// Step 1: creates both tables, and fails if one of them exists.
fn create_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    // Marks the tables as this program's: the smoke test drops only tables with this comment.
    let comment = concat!("COMMENT = '", env!("CARGO_PKG_NAME"), "'");
    // One call per statement: the driver does not report an error in the second of two statements.
    conn.query_drop(include_str!("../sql/1a_create_users.sql").to_owned() + comment)?;
    conn.query_drop(include_str!("../sql/1b_create_orders.sql").to_owned() + comment)
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

/// Step 5: returns a user's name with the price of each of their orders, ordered by `oid`.
fn user_orders(conn: &mut impl Queryable, uid: i32) -> mysql::Result<Vec<UserOrder>> {
    let mut orders = Vec::new();
    // `exec` would panic on a row that cannot be converted, such as one with a NULL.
    for row in conn.exec_opt(include_str!("../sql/5_join_users_orders.sql"), (uid,))? {
        let (name, price) = row?;
        orders.push(UserOrder { name, price });
    }
    Ok(orders)
}

// ---- Supporting code: the steps as a smoke test -------------------------------------------------

use ErrorKind::{ConnectionRefused, InvalidData, TimedOut, WouldBlock};
use Meaning::{Failed, NotTested, Temporary};
use log::{LevelFilter, error, info, warn};
use mysql::DriverError::{ConnectTimeout, CouldNotConnect, TlsNotSupported, UnexpectedPacket};
use mysql::UrlError;
use mysql::{ClientIdentity, Conn, Error, MySqlError, Pool, PoolConstraints, PoolOpts, PooledConn};
use once_cell::sync::OnceCell;
use std::error::Error as _;
use std::fmt::{self, Debug};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// The program's connection pool. It opens its only connection in `get_conn`.
static POOL: OnceCell<Pool> = OnceCell::new();

/// What `--help` prints.
const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
Tests a TiDB deployment. Drops and recreates the tables users and orders.
  --cleanup      drop both tables after a successful run
  -h, --help     print this help
  -V, --version  print the version
Environment variables:
  DATABASE_URL   [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   seconds to connect, and to wait for each reply [default: 30]
  RUST_LOG       off, error, warn, info, debug or trace [default: info]
Exit status:
  0 the deployment passed
  1 the deployment failed
  2 nothing was tested or changed";

/// Drops both tables if they exist.
const DROP_TABLES: &str = include_str!("../sql/smoke_test/drop_tables.sql");

/// Exit status: the deployment failed.
const FAILED: u8 = 1;
/// Exit status: nothing was tested or changed.
const NOT_TESTED: u8 = 2;

/// Runs the program, prints the rows as the Python sample does, and returns the exit status.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    let mut logger = env_logger::Builder::new();
    // If the level in RUST_LOG is misspelled, a failure is still logged.
    logger.filter_level(LevelFilter::Error).parse_env(env).format_target(false).init();
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    // An argument that is not UTF-8 becomes an empty string, which is rejected.
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let cleanup = match words.as_slice() {
        [] => false,
        ["--cleanup"] => true,
        ["-h" | "--help"] => return print(HELP, NOT_TESTED),
        ["-V" | "--version"] => {
            let version = concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"));
            return print(version, NOT_TESTED);
        }
        _ => return fail(&format!("unsupported arguments: {arguments:?}; see --help"), NOT_TESTED),
    };
    let server = match Server::from_env() {
        Ok(server) => server,
        Err(message) => return fail(&message, NOT_TESTED),
    };
    match smoke_test(&server, cleanup) {
        Ok(rows) => {
            let pair = |row: &UserOrder| format!("('{}', {})", row.name, row.price);
            let pairs: Vec<_> = rows.iter().map(pair).collect();
            print(&format!("[{}]", pairs.join(", ")), FAILED)
        }
        Err(failure) => {
            let status = if let NotTested(_) = failure.meaning { NOT_TESTED } else { FAILED };
            fail(&format!("{}: {failure}", server.name), status)
        }
    }
}

/// Prints a line to stdout and returns the exit status: 0, or `status` if that fails.
fn print(line: &str, status: u8) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        // A reader that has closed the pipe, as in `| true`, is not a failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(&format!("cannot write to stdout: {error}"), status)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Logs why the run did not pass and returns the exit status.
fn fail(message: &str, status: u8) -> ExitCode {
    error!("{message}");
    ExitCode::from(status)
}

/// Connects, runs the steps, verifies all rows, and returns those of the join.
fn smoke_test(server: &Server, cleanup: bool) -> Result<Vec<UserOrder>, Failure> {
    let start = Instant::now();
    let mut conn = connect(server)?;
    check(DROP, conn.query_drop(DROP_TABLES), ())?;
    let rows = run_steps(&mut conn)?;
    let expected = [
        "order 1 1 3.5",
        "order 2 1 0.5",
        "order 3 2 4.5",
        "order 5 3 212.5",
        "order 6 3 8.5",
        "user 1 Alice Female",
        "user 2 Peter Male",
        "user 3 Ben Male",
    ];
    check("verify all rows of users and orders", read_all_rows(&mut conn), expected)?;
    if cleanup {
        check(DROP, conn.query_drop(DROP_TABLES), ())?;
    }
    info!("passed in {} ms", start.elapsed().as_millis());
    Ok(rows)
}

/// Runs the steps of the tutorial in its order and returns the rows of the join. Each statement
/// commits on its own (autocommit); `examples/transaction.rs` shows a transaction.
fn run_steps(conn: &mut impl Queryable) -> Result<Vec<UserOrder>, Failure> {
    check("1. create users and orders", create_tables(conn), ())?;

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

    let bens_orders = [
        UserOrder { name: "Ben".to_owned(), price: 212.5 },
        UserOrder { name: "Ben".to_owned(), price: 8.5 },
    ];
    check("5. join users and orders", user_orders(conn, 3), bens_orders)
}

/// Logs a step and returns its result, or a failure if the result is not `expected`.
fn check<T: Debug + PartialEq<E>, E: Debug>(
    step: &'static str,
    result: mysql::Result<T>,
    expected: E,
) -> Result<T, Failure> {
    let result = result.map_err(in_step(step))?;
    if result != expected {
        let cause = format!("expected {expected:?}, got {result:?}");
        return Err(Failure { step, cause, meaning: Failed("") });
    }
    info!("{step}");
    Ok(result)
}

/// Returns all rows of both tables, each as text.
fn read_all_rows(conn: &mut impl Queryable) -> mysql::Result<Vec<String>> {
    let rows = conn.query_opt(include_str!("../sql/smoke_test/read_all_rows.sql"))?;
    Ok(rows.into_iter().collect::<Result<_, _>>()?)
}

// ---- Supporting code: the environment -----------------------------------------------------------

/// The server to connect to.
#[derive(Clone)]
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
        const NOT_VERIFIED: &str = "TLS on, not verified";
        let seconds = variable("TIDB_TIMEOUT", "30")?;
        let timeout: NonZeroU32 = seconds.parse().map_err(|_| {
            format!("invalid TIDB_TIMEOUT {seconds:?}: use a whole number of seconds, 1 or more")
        })?;
        let timeout = Duration::from_secs(timeout.get().into());
        let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
        let opts = read_url(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        let pool_opts = PoolOpts::new()
            .with_constraints(PoolConstraints::new_const::<0, 1>())
            // A reset would cost a packet. In your program, keep the default.
            .with_reset_connection(false);
        let builder = OptsBuilder::from_opts(opts)
            .pool_opts(pool_opts)
            .init(vec![include_str!("../sql/smoke_test/set_session.sql")])
            // Avoids a query for the server's limit. All packets are far below 1 MiB.
            .max_allowed_packet(Some(1 << 20))
            // After a timeout, the driver would read a late reply as that to the next statement:
            // safe only because the program ends. `GET_LOCK` waits 1 s, so 1 s needs a margin.
            .read_timeout(Some(timeout + Duration::from_millis(500)));
        let opts = Opts::from(builder);
        let host = opts.get_ip_or_hostname();
        let is_loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host.trim_end_matches('.') == "localhost",
        };
        let tls = match opts.get_ssl_opts() {
            None => "TLS off",
            Some(tls) if tls.accept_invalid_certs() || tls.skip_domain_validation() => NOT_VERIFIED,
            Some(_) => "TLS on",
        };
        let name = format!("{host}:{}, {tls}", opts.get_tcp_port());
        if tls == NOT_VERIFIED || (tls == "TLS off" && !is_loopback) {
            warn!("{name}: for a verified connection, use only ?root_cert_path=/path/to/ca.pem");
        }
        Ok(Self { name, opts, timeout })
    }
}

/// Returns an environment variable, or `default` if it is not set.
fn variable(name: &str, default: &str) -> Result<String, String> {
    let value = env::var_os(name).unwrap_or_else(|| default.into());
    value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))
}

/// Reads a connection URL. The error says what is wrong with it and never shows the password.
fn read_url(url: &str) -> Result<Opts, String> {
    const FORM: &str = "use mysql://user:password@host:4000/database";
    if url.contains(char::is_whitespace) || url.trim_matches(['"', '\'']) != url {
        return Err("remove whitespace, and the quotes around the URL".to_owned());
    }
    // In a password such as `1/b`, the driver would take `1` for the port and `b` for the database.
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (_, database) = base.split_once('/').unwrap_or_default();
    if database.contains(['/', '@']) || parameters.contains('@') || rest.contains('#') {
        return Err("percent-encode / ? # @ in user and password as %2F %3F %23 %40".to_owned());
    }
    match Opts::from_url(url) {
        Err(UrlError::ParseError(error)) => return Err(format!("{error}: {FORM} (IPv6: [::1])")),
        Err(UrlError::InvalidValue(name, _)) => return Err(format!("invalid value of {name}")),
        _ => {}
    }
    let opts = Opts::from(connection_options(url)?);
    let problem = match &*opts.get_db_name().unwrap_or_default().to_lowercase() {
        "" => "no database name",
        "information_schema" | "metrics_schema" | "mysql" | "performance_schema" | "sys" => {
            "the database is a system schema"
        }
        // TiDB puts the name in backticks at login and does not escape backticks in it.
        name if name.contains(['`', '\0', '@']) => "backtick, NUL or @ in the database name",
        _ if opts.get_tcp_port() == 0 => "invalid port 0",
        _ if opts.get_socket().is_some() => "a Unix socket",
        _ => return check_files(opts),
    };
    Err(format!("{problem}: {FORM}"))
}

/// Returns the options, or an error that names a certificate file that cannot be used.
fn check_files(opts: Opts) -> Result<Opts, String> {
    let tls = opts.get_ssl_opts();
    let identity = tls.and_then(SslOpts::client_identity);
    let files = [
        tls.and_then(SslOpts::root_cert_path),
        identity.map(ClientIdentity::cert_chain_path),
        identity.map(ClientIdentity::priv_key_path),
    ];
    for file in files.into_iter().flatten() {
        if !fs::read(file).is_ok_and(|pem| String::from_utf8_lossy(&pem).contains("-----END ")) {
            return Err(format!("cannot read '{}' as a PEM file", file.display()));
        }
    }
    Ok(opts)
}

// ---- Supporting code: connects, waits for its turn, protects other tables -----------------------

/// Connects. After an error that may be temporary, tries again until the timeout. A thread does it,
/// because the driver has no timeout for DNS lookups, and exceeds its timeout in a TLS handshake.
/// The last attempt may add a pause of 0.2 s, and wait 1 s for the lock.
fn connect(server: &Server) -> Result<PooledConn, Failure> {
    let limit = server.timeout + Duration::from_secs(2);
    let (sender, receiver) = mpsc::channel();
    let server = server.clone();
    thread::spawn(move || {
        let start = Instant::now();
        let mut result = try_to_connect(&server);
        if let Err(failure @ Failure { meaning: Temporary(_), .. }) = &result {
            info!("retrying for up to {} s: {}: {failure}", server.timeout.as_secs(), server.name);
        }
        while let Err(Failure { meaning: Temporary(_), .. }) = result
            && start.elapsed() < server.timeout
        {
            thread::sleep(Duration::from_millis(200));
            result = try_to_connect(&server);
        }
        sender.send(result)
    });
    // The driver panics on some malformed packets: then the thread has ended.
    let kind = |error| if error == RecvTimeoutError::Timeout { TimedOut } else { InvalidData };
    let failure = |error| Err(in_step(CONNECT)(Error::IoError(kind(error).into())));
    receiver.recv_timeout(limit).unwrap_or_else(failure)
}

/// Connects, acquires the lock of the database, and refuses to go on if a table or view has one of
/// our names but was not created by this program. Creates the database if it does not exist.
fn try_to_connect(server: &Server) -> Result<PooledConn, Failure> {
    // The standard library's `OnceLock` has no stable `get_or_try_init` yet.
    let pool = POOL.get_or_try_init(|| Pool::new(server.opts.clone())).map_err(in_step(CONNECT))?;
    let database = server.opts.get_db_name().unwrap_or_default();
    let mut conn = match pool.get_conn() {
        // Error 1049: unknown database. `read_url` rejects backticks in its name.
        Err(Error::MySqlError(MySqlError { code: 1049, .. })) => {
            let no_database = OptsBuilder::from_opts(server.opts.clone()).db_name(None::<&str>);
            let mut conn = Conn::new(no_database).map_err(in_step(CONNECT))?;
            conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{database}`"))
                .map_err(in_step("create the database"))?;
            info!("created database {database}");
            pool.get_conn()
        }
        result => result,
    }
    .map_err(in_step(CONNECT))?;
    match conn.query_first_opt(include_str!("../sql/smoke_test/get_lock.sql")) {
        Ok(Some(Ok(true))) => {}
        Ok(_) => {
            let cause = "another session holds the lock of the database".to_owned();
            let remedy = "another run may be in progress, or a statement of an earlier run may be \
                waiting for an open transaction or a dead TiDB server: wait two minutes, or run \
                SHOW PROCESSLIST on each TiDB server";
            return Err(Failure { step: LOCK, cause, meaning: Temporary(remedy) });
        }
        // Error 1235: not supported.
        Err(Error::MySqlError(MySqlError { code: 1235, .. })) => {
            warn!("{}: TiDB before v6.1 has no GET_LOCK: avoid concurrent runs", server.name);
        }
        Err(error) => return Err(in_step(LOCK)(error)),
    }
    let query = include_str!("../sql/smoke_test/find_other_tables.sql");
    let row = conn.query_first_opt(query).and_then(|row| Ok(row.ok_or(UnexpectedPacket)??));
    let (version, table): (String, Option<String>) = row.map_err(in_step(LOOK))?;
    if let Some(table) = table {
        let cause = format!("{table} was not created by this program");
        let remedy = "use another database in DATABASE_URL, or drop that table or view";
        return Err(Failure { step: LOOK, cause, meaning: NotTested(remedy) });
    }
    info!("server {version} at {}, database {database}", server.name);
    Ok(conn)
}

// ---- Supporting code: why a run did not pass, what that means, and what to do -------------------

/// The steps in which some errors have a meaning of their own.
const CONNECT: &str = "connect";
const LOCK: &str = "get the lock";
const LOOK: &str = "look for other tables";
const DROP: &str = "drop users and orders";

/// Why a run did not pass. Its text is one line: the step, the cause, and what to do.
struct Failure {
    step: &'static str,
    cause: String,
    meaning: Meaning,
}

/// What a failure means for the run. The text says what to do, if that is known.
enum Meaning {
    /// The deployment failed.
    Failed(&'static str),
    /// The deployment failed, but while connecting, another attempt may succeed.
    Temporary(&'static str),
    /// Nothing was tested or changed.
    NotTested(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (Failed(remedy) | Temporary(remedy) | NotTested(remedy)) = self.meaning;
        let separator = if remedy.is_empty() { "" } else { "; " };
        write!(f, "{}: {}{separator}{remedy}", self.step, self.cause)
    }
}

/// Returns a function that turns an error of the driver into the failure of a step.
fn in_step(step: &'static str) -> impl Fn(Error) -> Failure {
    move |error| {
        // `Display` of `Error` wraps these texts, as in `IoError { ... }`.
        let cause = match (&error, io_error(&error)) {
            (_, Some(error)) if matches!(error.kind(), TimedOut | WouldBlock) => {
                "timed out (TIDB_TIMEOUT)".to_owned()
            }
            (_, Some(error)) => error.to_string(),
            (Error::MySqlError(error), _) => error.to_string().replace('\n', " "),
            (Error::DriverError(error), _) => error.to_string(),
            (Error::TlsError(error), _) => error.to_string(),
            (Error::CodecError(error), _) => error.to_string(),
            (error, _) => error.to_string(),
        };
        let meaning = meaning_of(&error, step, &cause);
        Failure { step, cause, meaning }
    }
}

/// Returns what an error means, and what to do. TiDB's own error codes start at 8000.
fn meaning_of(error: &Error, step: &str, cause: &str) -> Meaning {
    const CONFLICT: &str = "conflict with another session: try again";
    const FILES: &str = "check the CA and client certificate files";
    let says = |text: &str| cause.contains(text);
    match (error, io_error(error).map(io::Error::kind)) {
        (Error::MySqlError(error), _) => match error.code {
            1040 => Temporary("close other connections, or increase max_connections"),
            1044 | 1142 => Failed("grant the privileges in sql/0_create_database_and_user.sql"),
            1045 => Failed("check user and password (% is %25); for TLS, add ?root_cert_path=FILE"),
            1050 | 1146 | 1205 | 1213 | 8028 | 8113 | 9007 => Temporary(CONFLICT),
            1105 | 1193 if says("tidb_low_resolution_tso") => {
                NotTested("the server is not TiDB: check host and port (TiDB: 4000)")
            }
            1105 | 3159 if says("insecure transport") => {
                Failed("for TLS, add ?root_cert_path=/path/to/ca.pem to DATABASE_URL")
            }
            1105 if says("Missing user name prefix") => {
                Failed("copy the user name from the TiDB Cloud console")
            }
            1105 if says("fails to connect to TiDB") || says("No available TiDB instances") => {
                Temporary("TiProxy reaches no TiDB server: start TiDB")
            }
            1105 if says("pessimistic lock retry limit") || says("lock wait timeout") => {
                Temporary(CONFLICT)
            }
            // TiDB 6.5 and 7.1 report lock contention this way.
            1105 if step == LOCK && says("interface conversion") => Temporary(CONFLICT),
            8027 | 9001..=9003 | 9005 | 9012 => Failed("check PD, TiKV, TiFlash and the network"),
            _ => Failed(""),
        },
        (Error::DriverError(CouldNotConnect(Some((_, _, ConnectionRefused)))), _) => Temporary(
            "start TiDB (locally: `make tidb`), or correct host and port (TiDB's port: 4000; \
             instead of localhost, try 127.0.0.1)",
        ),
        (Error::DriverError(CouldNotConnect(_) | ConnectTimeout), _) => {
            Temporary("check the host in DATABASE_URL, and the network")
        }
        (Error::DriverError(TlsNotSupported), _) => Failed("set up TLS or remove its parameters"),
        (Error::TlsError(_), _) => NotTested(FILES),
        // Invalid Base64 in a PEM file. Errors of the TLS handshake are `CodecError`s.
        (Error::IoError(_), _) if says("InvalidCharacter") || says("Padding") => NotTested(FILES),
        (_, Some(TimedOut | WouldBlock)) => match step {
            CONNECT => {
                Failed("check host, port, firewalls, IP access lists; TiDB or a proxy may hang")
            }
            DROP => Failed(
                "a session may have an open transaction on users or orders: commit it or roll \
                 it back (as an administrator, query mysql.tidb_mdl_view; with `make tidb`, run \
                 SHOW PROCESSLIST); or PD, TiKV or another TiDB server is down or restarting",
            ),
            _ => Failed(
                "PD, TiKV or another TiDB server may be down or restarting: wait two minutes",
            ),
        },
        (_, Some(InvalidData)) if says("invalid peer certificate") => Failed(
            "the server's certificate must be X.509 version 3, unexpired, valid for this \
             hostname, from a public CA or the CA in root_cert_path",
        ),
        // If TiDB requires TLS, the driver cannot parse TiDB's error: it has no SQL state.
        (Error::CodecError(_), None) | (_, Some(InvalidData)) => Failed(
            "not the MySQL protocol, or TLS failed: check host and port, client certificates, \
             and PROXY protocol (on both sides or on neither); if the server requires TLS, add \
             ?root_cert_path=/path/to/ca.pem to DATABASE_URL",
        ),
        (_, Some(_)) if step == CONNECT => {
            Temporary("connection closed: the server is starting or stopping, or is not TiDB")
        }
        (_, Some(_)) => Failed("connection closed by TiDB, by KILL, or by a proxy's idle timeout"),
        _ => Failed(""),
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
