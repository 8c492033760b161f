//! Quick start for TiDB, a distributed SQL database that is compatible with MySQL: creates two
//! tables, inserts, deletes and updates rows, and prints a join.
//!
//! Run it with `make run`, or set `DATABASE_URL` and run `cargo run`. The tutorial comes first,
//! with one function for each step: copy its types and functions. The supporting code after them
//! turns the tutorial into a smoke test.

use std::process::ExitCode;

use log::error;
use mysql::prelude::Queryable;
use mysql::{Opts, Pool, Value};
use once_cell::sync::OnceCell;

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

/// The program's connection pool.
static POOL: OnceCell<Pool> = OnceCell::new();

/// Returns the program's connection pool. The first call that succeeds opens it; later calls return
/// the same pool and ignore `opts`. Use it like this:
/// `let mut conn = open_pool(Opts::from_url(&url)?)?.get_conn()?;`
///
/// By default a pool opens 10 connections immediately and up to 100 on demand. If all are in use,
/// `get_conn` waits without a timeout; `try_get_conn` accepts one.
fn open_pool(opts: Opts) -> mysql::Result<&'static Pool> {
    // The standard library's `OnceLock` has no stable `get_or_try_init` yet.
    POOL.get_or_try_init(|| Pool::new(opts))
}

/// Runs the program, logs any failure to stderr, and returns the exit status.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    let (message, status) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(NothingTested(message)) => (message, 2),
        Err(Deployment(message) | Temporary(message)) => (message, 1),
    };
    error!("{message}");
    ExitCode::from(status)
}

/// Runs the steps in the order of the tutorial and returns the rows of the join. `check` compares
/// the result of a step with the expected one. The run stops at the first step that fails or
/// returns another result.
fn run_steps(server: &Server, cleanup: bool) -> Result<Vec<UserOrder>, Failure> {
    let mut conn = open_session(server)?;
    server.check("1. drop and create users and orders", (), create_tables(&mut conn))?;

    let users = [
        User { name: "Alice".to_owned(), gender: Gender::Female },
        User { name: "Peter".to_owned(), gender: Gender::Male },
        User { name: "Ben".to_owned(), gender: Gender::Male },
    ];
    server.check("2. insert three users", 3, insert_users(&mut conn, &users))?;
    let order = Order { uid: 1, price: 2.5 };
    server.check("2. insert one order", 1, insert_orders(&mut conn, &[order]))?;
    let orders = [
        Order { uid: 1, price: 0.5 },
        Order { uid: 2, price: 4.5 },
        Order { uid: 2, price: 2123.87 },
        Order { uid: 3, price: 212.5 },
        Order { uid: 3, price: 8.5 },
    ];
    server.check("2. insert five orders", 5, insert_orders(&mut conn, &orders))?;

    server.check("3. delete order 4", 1, delete_order(&mut conn, 4))?;
    server.check("4. set the price of order 1 to 3.5", 1, set_price(&mut conn, 1, 3.5))?;

    let bens_orders = vec![
        UserOrder { name: "Ben".to_owned(), price: 212.5 },
        UserOrder { name: "Ben".to_owned(), price: 8.5 },
    ];
    let rows = server.check("5. join users and orders", bens_orders, user_orders(&mut conn, 3))?;
    if cleanup {
        server.check("clean up: drop users and orders", (), drop_tables(&mut conn))?;
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
/// statement for one row, which ends with `(?, …)`. A statement takes at most 65,535 parameters.
/// `exec_batch` is shorter, but sends and commits each row separately.
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
/// Each statement in this program commits on its own (autocommit). To commit several together,
/// start with `let mut tx = conn.start_transaction(TxOpts::default())?;`, pass `&mut tx` to the
/// functions of steps 2 to 5, and end with `tx.commit()?`.
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
    let rows: Result<Vec<_>, _> = rows.into_iter().collect();
    Ok(rows?.into_iter().map(|(name, price)| UserOrder { name, price }).collect())
}

// ---- Supporting code: the command line ---------------------------------------------------------

use std::error::Error as _;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use Failure::{Deployment, NothingTested, Temporary};
use log::{info, warn};
use mysql::prelude::FromRow;
use mysql::{ClientIdentity, Conn, DriverError, Error, MySqlError, OptsBuilder, PooledConn};
use mysql::{PoolConstraints, PoolOpts, SslOpts};

/// What `--help` prints.
const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
  --cleanup      drop both tables after a successful run
  -h, --help     print this help
  -V, --version  print the version
Environment variables:
  DATABASE_URL   [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   timeout of each wait, in seconds [default: 30]
  RUST_LOG       off, error, warn, info, debug or trace [default: info]
Exit status:
  0 the deployment passed
  1 the deployment failed
  2 nothing was tested or changed";

/// Why a run did not pass, in one line: the cause, then what to do.
enum Failure {
    /// Nothing was tested or changed.
    NothingTested(String),
    /// The deployment failed.
    Deployment(String),
    /// The deployment failed, but another attempt may succeed.
    Temporary(String),
}

/// Runs the command line and prints its output to stdout.
fn run() -> Result<(), Failure> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let text = match words.as_slice() {
        [] => run_and_format(false)?,
        ["--cleanup"] => run_and_format(true)?,
        ["-h" | "--help"] => HELP.to_owned(),
        ["-V" | "--version"] => format!("tidb-rust-mysql-quickstart {}", env!("CARGO_PKG_VERSION")),
        _ => {
            return Err(NothingTested(format!("unsupported arguments: {arguments:?}; see --help")));
        }
    };
    match writeln!(io::stdout(), "{text}") {
        // A reader that has closed the pipe, as in `| true`, is not a failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Deployment(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs the steps and returns the rows in the form that the Python sample prints.
fn run_and_format(cleanup: bool) -> Result<String, Failure> {
    let start = Instant::now();
    let server = Server::from_env().map_err(NothingTested)?;
    let rows = run_steps(&server, cleanup)?;
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
        let timeout: NonZeroU32 = seconds
            .parse()
            .map_err(|_| format!("invalid TIDB_TIMEOUT {seconds}: use whole seconds, 1 or more"))?;
        let timeout = Duration::from_secs(timeout.get().into());
        let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
        let opts = read_url(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        // The program takes one connection, once: it needs no health check before use and no reset
        // after use. In your own program, keep the driver's defaults.
        let pool_opts = PoolOpts::new()
            .with_constraints(PoolConstraints::new_const::<1, 1>())
            .with_check_health(false)
            .with_reset_connection(false);
        let opts = OptsBuilder::from_opts(opts)
            .pool_opts(pool_opts)
            .init(vec![include_str!("../sql/1a_set_session.sql")])
            // Otherwise the driver may switch to the Unix socket that the server reports. Through a
            // tunnel or a published container port, that can be a different server's socket.
            .prefer_socket(false)
            // Saves the query for the server's limit. All packets are far below 1 MiB.
            .max_allowed_packet(Some(1 << 20))
            // Half the timeout, because `try_addresses` makes two attempts.
            .tcp_connect_timeout(Some(timeout / 2))
            // The default is no timeout. The extra 0.5 s is because `GET_LOCK` waits up to 1 s.
            .read_timeout(Some(timeout + Duration::from_millis(500)));
        let opts = Opts::from(opts);
        let host = opts.get_ip_or_hostname();
        let tls = if opts.get_ssl_opts().is_some() { "on" } else { "off" };
        let name = format!("{host}:{}, TLS {tls}", opts.get_tcp_port());
        if tls == "off" && !matches!(&*host, "127.0.0.1" | "[::1]" | "localhost") {
            warn!("{name}: not encrypted, server not verified; add ssl-mode=VERIFY_IDENTITY");
        }
        Ok(Self { name, opts, timeout })
    }
}

/// Returns an environment variable, or `default` if it is not set.
fn variable(name: &str, default: &str) -> Result<String, String> {
    let value = env::var_os(name).unwrap_or_else(|| default.into());
    value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))
}

/// The required TLS level, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tls {
    NotRequired,
    /// Encryption without verification.
    Encrypted,
    /// Also a certificate from a trusted CA.
    VerifyCa,
    /// Also a certificate for this hostname.
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
    let (_, database) = base.split_once('/').unwrap_or_default();
    if database.contains(['/', '@']) || parameters.contains('@') || rest.contains('#') {
        return Err("unencoded special character: write / ? # @ as %2F %3F %23 %40".to_owned());
    }
    let mut tls = Tls::NotRequired;
    let mut files = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // Clients write names and values with `-` or `_`, and in upper or lower case.
        let plain = |text: &str| text.to_lowercase().replace('-', "_");
        let mut file = |name| {
            files.push(format!("{name}={value}"));
            Tls::NotRequired
        };
        let required = match (&*plain(key), &*plain(value)) {
            ("ssl_ca" | "sslca" | "sslcert", _) => file("root_cert_path"),
            (name @ ("root_cert_path" | "cert_chain_path" | "priv_key_path"), _) => file(name),
            ("charset", "utf8" | "utf8mb4")
            | ("ssl_mode", "disabled")
            | ("ssl_verify_identity", "false") => Tls::NotRequired,
            ("ssl_mode", "required")
            | ("sslaccept", "accept_invalid_certs")
            | ("ssl_verify_cert", "false") => Tls::Encrypted,
            ("ssl_mode", "verify_ca") | ("ssl_verify_cert", "true") => Tls::VerifyCa,
            ("ssl_mode", "verify_identity")
            | ("sslaccept", "strict")
            | ("ssl_verify_identity", "true") => Tls::VerifyIdentity,
            // Omits the value, which may be a password, as in `?password=...`.
            _ => {
                return Err(format!(
                    "parameter {key} or its value is not supported: use ssl-mode=DISABLED, \
                     REQUIRED, VERIFY_CA or VERIFY_IDENTITY, ssl-ca=/path/to/ca.pem, \
                     sslaccept=strict or accept_invalid_certs, ssl_verify_cert and \
                     ssl_verify_identity=true or false, charset=utf8mb4"
                ));
            }
        };
        tls = tls.max(required);
    }
    let opts = Opts::from_url(&format!("mysql://{base}?{}", files.join("&")))
        .map_err(|error| error.to_string())?;
    // TiDB puts the name in backticks at login and does not escape backticks in it.
    let has_usable_name = opts.get_db_name().is_some_and(|name| !name.contains('`'));
    if !has_usable_name || opts.get_tcp_port() == 0 {
        return Err(format!("no database name, a backtick in that name, or port 0: {FORM}"));
    }
    let ssl_opts = ssl_opts(&opts, tls)?;
    Ok(OptsBuilder::from_opts(opts).ssl_opts(ssl_opts).into())
}

/// Returns the TLS options, or `None` for a connection without TLS. A CA alone requires full
/// verification, as does a host under tidbcloud.com. The error names a file that cannot be used,
/// which the driver's errors do not.
fn ssl_opts(opts: &Opts, required: Tls) -> Result<Option<SslOpts>, String> {
    let host = opts.get_ip_or_hostname();
    let tls = match required {
        _ if host.trim_end_matches('.').ends_with(".tidbcloud.com") => Tls::VerifyIdentity,
        Tls::NotRequired if opts.get_ssl_opts().is_some() => Tls::VerifyIdentity,
        Tls::NotRequired => return Ok(None),
        required => required,
    };
    let ssl_opts = opts.get_ssl_opts().cloned().unwrap_or_default();
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
    let ssl_opts = ssl_opts
        .with_danger_accept_invalid_certs(tls == Tls::Encrypted)
        .with_danger_skip_domain_validation(tls < Tls::VerifyIdentity);
    Ok(Some(ssl_opts))
}

// ---- Supporting code: connects, waits for its turn, protects other tables ----------------------

/// Connects, waits until no other run uses the database, and refuses to go on if a table or view
/// has one of our names but was not created by this program.
fn open_session(server: &Server) -> Result<PooledConn, Failure> {
    let mut conn = server.wait(|| connect(server))?;
    server.wait(|| match query_row(&mut conn, include_str!("../sql/1b_get_lock.sql")) {
        // Error 1235 (not supported): before v6.1, TiDB has no `GET_LOCK`.
        Ok(Some(true)) | Err(Error::MySqlError(MySqlError { code: 1235, .. })) => Ok(()),
        Err(error) => Err(server.failure("get the lock", &error)),
        Ok(_) => Err(Temporary(format!(
            "{}: another run is using this database; try again later, or increase TIDB_TIMEOUT. A \
             crashed run holds its lock for up to 20 s. To find its session, query \
             INFORMATION_SCHEMA.CLUSTER_PROCESSLIST",
            server.name
        ))),
    })?;

    let tables = include_str!("../sql/1c_find_other_tables.sql");
    let (version, table): (String, Option<String>) = query_row(&mut conn, tables)
        .map_err(|error| server.failure("look for other tables", &error))?;
    if let Some(table) = table {
        return Err(NothingTested(format!(
            "{}: {table} was not created by this program: use another database in \
             DATABASE_URL, or drop that table if you do not need it",
            server.name
        )));
    }
    let database = server.opts.get_db_name().unwrap_or_default();
    info!("server {version} at {}, database {database}", server.name);
    Ok(conn)
}

/// Runs a query and returns its first row.
fn query_row<T: FromRow>(conn: &mut PooledConn, sql: &str) -> mysql::Result<T> {
    Ok(conn.query_first_opt(sql)?.ok_or(io::Error::other("no row"))??)
}

/// Opens the pool and takes its connection. Creates the database if it does not exist.
fn connect(server: &Server) -> Result<PooledConn, Failure> {
    let take = || try_addresses(&server.opts, |opts| open_pool(opts)?.get_conn());
    let mut result = take();
    // Error 1049: unknown database.
    if let Err(Error::MySqlError(MySqlError { code: 1049, .. })) = result {
        let no_database = OptsBuilder::from_opts(server.opts.clone()).db_name(None::<&str>);
        let mut conn = try_addresses(&no_database.into(), Conn::new)
            .map_err(|error| server.failure(CONNECT, &error))?;
        // The name has no backtick: `read_url` refuses that.
        let name = server.opts.get_db_name().unwrap_or_default();
        conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))
            .map_err(|error| server.failure("create the database", &error))?;
        result = take();
    }
    result.map_err(|error| server.failure(CONNECT, &error))
}

/// Connects with `open`. The driver tries only the first address of a name; for `localhost`, this
/// is often `::1`. If it is unreachable, tries again with an IPv4 bind address: then the driver
/// tries all IPv4 addresses. Returns the first error if both attempts fail.
fn try_addresses<T>(opts: &Opts, open: impl Fn(Opts) -> mysql::Result<T>) -> mysql::Result<T> {
    open(opts.clone()).or_else(|first| {
        // Any other error comes from a server that has been reached.
        let Error::DriverError(_) = first else { return Err(first) };
        let ipv4 = Some((Ipv4Addr::UNSPECIFIED, 0));
        let second = open(OptsBuilder::from_opts(opts.clone()).bind_address(ipv4).into());
        if let Err(Error::DriverError(_)) = second { Err(first) } else { second }
    })
}

// ---- Supporting code: whether a step passed, whether to retry, and what to do ------------------

use DriverError::{ConnectTimeout, CouldNotConnect};
use ErrorKind::{ConnectionRefused, HostUnreachable, InvalidData, InvalidInput, Other, TimedOut};

/// The step that connects. `failure` compares with it.
const CONNECT: &str = "connect";

impl Server {
    /// Repeats an attempt while its failure is temporary, until the timeout. Logs the first one.
    fn wait<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let start = Instant::now();
        let mut result = attempt();
        if let Err(Temporary(message)) = &result {
            info!("{message}; retrying for up to {} s", self.timeout.as_secs());
        }
        while matches!(result, Err(Temporary(_))) && start.elapsed() < self.timeout {
            thread::sleep(Duration::from_millis(200));
            result = attempt();
        }
        result
    }

    /// Logs the step and returns its result if it is as expected. Otherwise returns a failure.
    fn check<T: Debug + PartialEq>(
        &self,
        step: &str,
        expected: T,
        result: mysql::Result<T>,
    ) -> Result<T, Failure> {
        match result {
            Ok(result) if result == expected => {
                info!("{step}");
                Ok(result)
            }
            Ok(result) => Err(Deployment(format!(
                "{}: {step}: expected {expected:?}, got {result:?}",
                self.name
            ))),
            Err(error) => Err(self.failure(step, &error)),
        }
    }

    /// Turns the error of a step into a failure: the cause, what to do, and the exit status.
    fn failure(&self, step: &str, error: &Error) -> Failure {
        let is_connecting = step == CONNECT;
        let (code, kind) = (server_code(error), error_kind(error));
        // `Display` of `Error` wraps these texts, as in `IoError { ... }`.
        let cause = match error {
            _ if kind == TimedOut => format!("timed out after {} s", self.timeout.as_secs()),
            Error::MySqlError(error) => error.to_string().replace('\n', " "),
            Error::DriverError(error) => error.to_string(),
            Error::IoError(error) => error.to_string(),
            Error::TlsError(error) => error.to_string(),
            _ => error.to_string(),
        };
        let remedy = match (code, kind) {
            (1044 | 1142, _) => "; grant the privileges in sql/0_create_database_and_user.sql",
            (1045 | 3159, _) => {
                "; check user and password (TiDB Cloud's console shows the user's prefix); if the \
                 account requires TLS, add ssl-mode=VERIFY_IDENTITY"
            }
            (1193, _) => "; the server is not TiDB: correct DATABASE_URL (TiDB's port is 4000)",
            (1205 | 1213 | 9007, _) => "; write conflict or lock wait: run the program again",
            (8027 | 9001..=9003 | 9005 | 9012, _) => "; check PD, TiKV, TiFlash and the network",
            (_, Other) => "",
            (_, ConnectionRefused) => "; start TiDB (locally: `make tidb`) or correct DATABASE_URL",
            (_, HostUnreachable) => "; check the host in DATABASE_URL, and the network",
            (_, TimedOut) if is_connecting => "; check firewalls and IP access lists",
            (_, TimedOut) => {
                "; TiDB may be unable to reach PD (cluster metadata) or TiKV (storage), or another \
                 TiDB server has just died (DDL then waits up to two minutes): see ADMIN SHOW DDL \
                 JOBS"
            }
            (_, InvalidInput) => "; check the CA and client certificate files",
            (_, InvalidData) if self.opts.get_ssl_opts().is_some() => {
                "; cannot set up TLS: check the hostname and the certificate files; if the \
                 server's CA is private, add ssl-ca=/path/to/ca.pem"
            }
            // If TiDB requires TLS, its error has no SQL state, so the driver cannot read it.
            (_, InvalidData) => {
                "; not the MySQL protocol: correct the host and port; if the server requires TLS, \
                 add ssl-mode=VERIFY_IDENTITY"
            }
            _ => "; connection closed: the server stopped, killed the session, or is not TiDB",
        };
        let message = format!("{}: {step}: {cause}{remedy}", self.name);
        match (code, kind) {
            (1205 | 1213 | 9007, _) => Temporary(message),
            // Only while connecting: after that, something may have been changed.
            (1193, _) | (_, InvalidInput) if is_connecting => NothingTested(message),
            (_, InvalidData | TimedOut | Other) => Deployment(message),
            _ if is_connecting => Temporary(message),
            _ => Deployment(message),
        }
    }
}

/// Returns the code of a server error (TiDB's own start at 8000), or 0 for other errors.
fn server_code(error: &Error) -> u16 {
    let Error::MySqlError(error) = error else { return 0 };
    let says = |words| error.message.contains(words);
    match error.code {
        // TiDB uses 1105 for errors without a code. These have a MySQL code.
        1105 if says("insecure transport") || says("Missing user name prefix") => 1045,
        1105 if says("pessimistic lock retry limit") || says("lock wait timeout") => 1205,
        code => code,
    }
}

/// Returns the kind of a connection error, or `Other`.
fn error_kind(error: &Error) -> ErrorKind {
    let kind = match error {
        Error::IoError(error) => error.kind(),
        Error::TlsError(_) => InvalidInput,
        Error::CodecError(error) => {
            let source = error.source().and_then(|source| source.downcast_ref());
            source.map_or(InvalidData, io::Error::kind)
        }
        Error::DriverError(CouldNotConnect(Some((_, _, ConnectionRefused)))) => ConnectionRefused,
        // There is no stable `ErrorKind` for a name that does not resolve.
        Error::DriverError(CouldNotConnect(_)) => HostUnreachable,
        Error::DriverError(ConnectTimeout) => TimedOut,
        _ => Other,
    };
    // On Unix, a read timeout is `WouldBlock`.
    if kind == ErrorKind::WouldBlock { TimedOut } else { kind }
}
