//! The TiDB quick start for Rust: creates two tables in TiDB, the distributed SQL database that
//! speaks MySQL's protocol, inserts, deletes and updates rows, and prints the result of a join.
//!
//! `make run` runs it, on this machine; `DATABASE_URL` names another server. First stands the
//! tutorial, a function a step; below "Plumbing" stands what a dependable command needs besides.

use std::io::{self, ErrorKind::BrokenPipe, ErrorKind::ConnectionRefused, Write};
use std::time::{Duration, Instant};
use std::{env, fmt::Debug, fs, num::NonZeroU32, process::ExitCode, thread};

use log::{debug, error, info, warn};
use mysql::prelude::{FromRow, Queryable};
use mysql::{DriverError::CouldNotConnect, Error::DriverError, Error::MySqlError};
use mysql::{Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, PooledConn, Value};
use once_cell::sync::OnceCell;

/// A user's gender. The names are those of the column's ENUM, which is sent and received by name.
#[derive(Clone, Copy, Debug)]
enum Gender {
    Female,
    Male,
}

/// Lets a `Gender` be bound as a parameter.
impl From<Gender> for Value {
    fn from(gender: Gender) -> Self {
        format!("{gender:?}").into()
    }
}

/// A row of `users` to insert. TiDB assigns the primary key, `uid`.
#[derive(Debug)]
struct User {
    name: &'static str,
    gender: Gender,
}

/// A row of `orders` to insert. TiDB assigns the primary key, `oid`.
#[derive(Debug)]
struct Order {
    uid: i32,
    price: f32,
}

/// The connection pool: made once, by `get_or_try_init`, which std's `OnceLock` does not have yet.
fn pool(opts: &Opts) -> mysql::Result<&'static Pool> {
    static POOL: OnceCell<Pool> = OnceCell::new();
    POOL.get_or_try_init(|| {
        // One session, for the steps rely on the ids 1, 2, 3 ..., which TiDB gives in order within
        // one server only. Elsewhere keep the defaults, 10 to 100 sessions, each pinged when taken
        // and reset when given back, and ask `last_insert_id()` for ids. Keep the database, too:
        // here it may have to be created first.
        let pool_opts = PoolOpts::new()
            .with_constraints(PoolConstraints::new_const::<1, 1>())
            .with_check_health(false)
            .with_reset_connection(false);
        Pool::new(OptsBuilder::from_opts(opts.clone()).pool_opts(pool_opts).db_name(None::<String>))
    })
}

/// Logs the steps, or what went wrong, on stderr; the exit status says how it went.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    let Err(Failure(status, message)) = run() else { return ExitCode::SUCCESS };
    error!("{message}");
    ExitCode::from(status)
}

/// Takes the steps in the tutorial's order, until one fails; returns the line to print.
fn take_steps(opts: &Opts, cleanup: bool) -> Result<String, Failure> {
    let conn = &mut open_session(opts).map_err(|e| failure("connect", &e))?;
    claim_tables(conn, opts)?;
    step("1. create the tables users and orders", 0, || create_tables(conn))?;
    let users = [
        User { name: "Alice", gender: Gender::Female },
        User { name: "Peter", gender: Gender::Male },
        User { name: "Ben", gender: Gender::Male },
    ];
    step("2. insert three users", 3, || insert_users(conn, &users))?;
    step("2. insert one order", 1, || insert_orders(conn, &[Order { uid: 1, price: 2.5 }]))?;
    let orders = [
        Order { uid: 1, price: 0.5 },
        Order { uid: 2, price: 4.5 },
        Order { uid: 2, price: 2123.87 },
        Order { uid: 3, price: 212.5 },
        Order { uid: 3, price: 8.5 },
    ];
    step("2. insert five orders", 5, || insert_orders(conn, &orders))?;
    step("3. delete order 4", 1, || delete_order(conn, 4))?;
    step("4. set the price of order 1 to 3.5", 1, || set_price(conn, 1, 3.5))?;
    let expected = vec![("Ben".to_owned(), 212.5), ("Ben".to_owned(), 8.5)];
    let rows = step("5. join users and orders", expected, || join_users_and_orders(conn))?;
    if cleanup {
        step("clean up", 0, || execute(conn, include_str!("../sql/1d_drop_tables.sql"), ()))?;
    }
    let rows: Vec<_> = rows.iter().map(|(name, price)| format!("('{name}', {price})")).collect();
    Ok(format!("[{}]", rows.join(", ")))
}

/// Step 1: creates both tables anew. Their COMMENT is the mark that says who made them.
fn create_tables(conn: &mut PooledConn) -> mysql::Result<u64> {
    execute(conn, include_str!("../sql/1d_drop_tables.sql"), ())?;
    // One call each: of several statements in one string, the driver tells the first one's error.
    execute(conn, include_str!("../sql/1e_create_users.sql"), ())?;
    execute(conn, include_str!("../sql/1f_create_orders.sql"), ())
}

/// Step 2: inserts users; returns how many.
fn insert_users(conn: &mut PooledConn, users: &[User]) -> mysql::Result<u64> {
    debug!("{users:?}");
    let rows = users.iter().map(|user| [user.name.into(), user.gender.into()]).collect();
    insert(conn, include_str!("../sql/2a_insert_users.sql"), rows)
}

/// Step 2: inserts orders; returns how many.
fn insert_orders(conn: &mut PooledConn, orders: &[Order]) -> mysql::Result<u64> {
    debug!("{orders:?}");
    let rows = orders.iter().map(|order| [order.uid.into(), order.price.into()]).collect();
    insert(conn, include_str!("../sql/2b_insert_orders.sql"), rows)
}

/// Inserts one or more rows by one statement. `exec_batch` would send, and commit, each by itself.
fn insert(conn: &mut PooledConn, sql: &str, rows: Vec<[Value; 2]>) -> mysql::Result<u64> {
    let more_rows = ", (?, ?)".repeat(rows.len().saturating_sub(1));
    execute(conn, &(sql.trim_end().to_owned() + &more_rows), rows.concat())
}

/// Step 3: deletes an order; returns the number of deleted rows.
fn delete_order(conn: &mut PooledConn, oid: i32) -> mysql::Result<u64> {
    execute(conn, include_str!("../sql/3_delete_order.sql"), (oid,))
}

/// Step 4: sets the price of an order; returns the number of changed rows.
fn set_price(conn: &mut PooledConn, oid: i32, price: f32) -> mysql::Result<u64> {
    execute(conn, include_str!("../sql/4_update_order.sql"), (price, oid))
}

/// Steps 5 and 6: returns the name and the price of each order of user 3, oldest order first.
fn join_users_and_orders(conn: &mut PooledConn) -> mysql::Result<Vec<(String, f32)>> {
    select(conn, include_str!("../sql/5_join_users_orders.sql"))
}

/// Executes a statement; returns the number of rows that it changed. It commits by itself
/// (autocommit); for all or nothing, execute several on a `conn.start_transaction(..)`.
fn execute(conn: &mut impl Queryable, sql: &str, params: impl Into<Params>) -> mysql::Result<u64> {
    debug!("{}", sql.trim_end());
    match params.into() {
        // As text: one round trip. To prepare and execute it, as one with parameters, takes two.
        Params::Empty => conn.query_iter(sql).map(|result| result.affected_rows()),
        params => conn.exec_iter(sql, params).map(|result| result.affected_rows()),
    }
}

/// Sends a query; returns its rows.
fn select<T: FromRow>(conn: &mut impl Queryable, sql: &str) -> mysql::Result<Vec<T>> {
    debug!("{}", sql.trim_end());
    // `query` panics on a row that does not convert to `T`, such as one with a NULL.
    Ok(conn.query_opt(sql)?.into_iter().collect::<Result<_, _>>()?)
}

// ---- Plumbing ----------------------------------------------------------------------------------

/// What `--help` prints.
const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
  --cleanup      after success, drop its own two tables
  -h, --help, -V, --version  print this help, print the version
  DATABASE_URL   where to connect [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   seconds to wait for the server, for another run, for any answer [default: 30]
  RUST_LOG       what to log on stderr: error, warn, info, debug or trace [default: info]

Exit status: 0 the deployment passed; 1 it failed; 2 nothing was tested, and nothing changed.";

/// What to do about a failure whose line has these words, or those; the first row that fits counts.
const HINTS: &str = "
TLS off: connect: ERROR 1045 => wrong user or password, or it needs TLS: add ?ssl-mode=VERIFY_IDENTITY
ERROR 1045 => wrong user or password, or this account may not connect from here
insecure transport | ERROR 3159 | SqlStateMarker => the server demands TLS: add ?ssl-mode=VERIFY_IDENTITY
Missing user name prefix => on TiDB Cloud the user is prefix.root, as its console shows
usage quota => the TiDB Cloud cluster has used up its quota: raise its spending limit
ERROR 1044 | ERROR 1142 => grant the rights that sql/0_create_database_and_user.sql grants
ERROR 1049 => create the database, or name one that exists in DATABASE_URL
ERROR 1290 | ERROR 1836 => the server is read-only: connect to one that takes writes
ERROR 8027 | ERROR 900 => TiDB does not reach PD or TiKV: see whether they are up and not overloaded
not valid for name => connect by a name that the certificate is for, or use ssl-mode=VERIFY_CA
UnknownIssuer => name the file of the CA that issued it: add ?ssl-ca=/path/to/ca.pem
requires secure connection => the server has no TLS: configure it there, or ask for none
connect: server disconnected => something listens there, but does not greet: is it still starting?
refused => start a server (`make tidb` starts one here), or mend host and port in DATABASE_URL
lookup address => mend the host's name in DATABASE_URL
create the tables: Resource temporarily => no answer in TIDB_TIMEOUT: see ADMIN SHOW DDL JOBS
timed out | timeout | Resource temporarily => no answer in TIDB_TIMEOUT: firewall? IP access list?
";

/// What URLs say of TLS, `-` and `_` aside, by demand: none, encrypted, certified, for this host.
const TLS: [&str; 4] = [
    "charset=utf8 charset=utf8mb4 sslmode=disabled sslverifyidentity=false",
    "sslmode=required sslaccept=acceptinvalidcerts sslverifycert=false dangeracceptinvalidcerts=true",
    "sslmode=verifyca sslverifycert=true dangerskipdomainvalidation=true",
    "sslmode=verifyidentity sslaccept=strict sslverifyidentity=true",
];

/// The exit status, 1 if the deployment failed and 2 if nothing was tested, and a line that says why.
struct Failure(u8, String);

/// Makes a `Failure` of what went wrong in a step.
fn failure(step: &str, error: &mysql::Error) -> Failure {
    // The driver wraps its words as in `IoError { words }`.
    let text = error.to_string().replace('\n', " ");
    let words = text.split_once(" { ").map_or(&*text, |(_, words)| words.trim_end_matches(" }"));
    // A TLS error of the driver's own is one of our CA file or client certificate.
    let status = if matches!(error, mysql::Error::TlsError(_)) { 2 } else { 1 };
    Failure(status, format!("{step}: {words}"))
}

/// Does what the arguments ask for.
fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let arguments = env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    let cleanup = match arguments.reduce(|all, next| all + " " + &next).as_deref() {
        None => false,
        Some("--cleanup") => true,
        Some("-h" | "--help") => return print(HELP),
        Some("-V" | "--version") => {
            return print(concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION")));
        }
        Some(other) => return Err(Failure(2, format!("cannot use {other:?}: see --help"))),
    };
    let opts = options().map_err(|line| Failure(2, line))?;
    let line = take_steps(&opts, cleanup).map_err(|Failure(status, line)| {
        let line = format!("{}: {line}", address(&opts));
        let mut hints = HINTS.lines().filter_map(|row| row.split_once(" => "));
        let hint = hints.find(|(words, _)| words.split(" | ").any(|words| line.contains(words)));
        Failure(status, hint.map_or(line.clone(), |(_, hint)| format!("{line}; {hint}")))
    })?;
    print(&line)?;
    info!("{:<40}{:>8.1} ms", "passed", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Makes the options of the connection from the environment.
fn options() -> Result<Opts, String> {
    let variable = |name: &str, default: &str| match env::var(name) {
        Err(env::VarError::NotPresent) => Ok(default.to_owned()),
        value => value.map_err(|_| format!("{name} is not valid UTF-8")),
    };
    let seconds = variable("TIDB_TIMEOUT", "30")?.parse::<NonZeroU32>();
    let seconds = seconds.map_err(|e| format!("TIDB_TIMEOUT is to be whole seconds: {e}"))?;
    let timeout = Duration::from_secs(seconds.get().into());
    let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
    let opts = parse_url(&url).map_err(|line| format!("DATABASE_URL: {line}"))?;
    let is_local = ["127.0.0.1", "[::1]", "localhost"].contains(&&*opts.get_ip_or_hostname());
    if opts.get_ssl_opts().is_none() && !is_local {
        warn!("{}: password and data travel in the clear", address(&opts));
    }
    Ok(OptsBuilder::from_opts(opts)
        .prefer_socket(false) // the socket that a server names may be another server's
        .max_allowed_packet(Some(1 << 20)) // saves asking for it; no statement or row is near 1 MiB
        .tcp_connect_timeout(Some(timeout)) // else a silent server is waited for without end
        .read_timeout(Some(timeout + Duration::from_millis(500))) // GET_LOCK itself takes a second
        .into())
}

/// Reads a URL that was made for any client: translates what the driver does not know, or refuses it.
fn parse_url(url: &str) -> Result<Opts, String> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let is_mysql = ["mysql", "mysql2", "tidb"].contains(&scheme) || scheme.starts_with("mysql+");
    let Some(rest) = rest.strip_prefix("//").filter(|_| is_mysql) else {
        return Err(format!("write mysql://user:password@host:4000/database, not {scheme}:"));
    };
    // Else the rest of the password would be taken, and shown, for database or parameters.
    if rest.contains('#') || rest.split_once(['/', '?']).is_some_and(|(_, r)| r.contains('@')) {
        return Err("write / ? # @ in user and password as %2F %3F %23 %40".to_owned());
    }
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut url, mut tls) = (format!("mysql://{base}?"), 0);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let plain = parameter.to_lowercase().replace(['-', '_'], "");
        let ca = plain.starts_with("sslca=") || key.eq_ignore_ascii_case("sslcert");
        let name = if ca { "root_cert_path".into() } else { key.to_lowercase().replace('-', "_") };
        let refused = plain.starts_with("ssl") && !ca || plain.starts_with("charset");
        if let Some(demand) = TLS.iter().position(|row| row.split(' ').any(|word| word == plain)) {
            tls = tls.max(demand);
        } else if refused || url.contains(&format!("&{name}=")) {
            return Err(format!("{key} is not supported, or not with this value, or given twice"));
        } else {
            url = url + "&" + &name + "=" + value;
        }
    }
    let opts = Opts::from_url(&url).map_err(|error| error.to_string())?;
    if opts.get_db_name().is_none() || opts.get_tcp_port() == 0 || opts.get_socket().is_some() {
        return Err("needs a host, a database, and a port other than 0; no socket".to_owned());
    }
    let is_cloud = opts.get_ip_or_hostname().trim_end_matches('.').ends_with(".tidbcloud.com");
    tls = if is_cloud || tls == 0 && opts.get_ssl_opts().is_some() { 3 } else { tls };
    let ssl = opts.get_ssl_opts().cloned().unwrap_or_default();
    let identity = ssl.client_identity().map(|id| [id.cert_chain_path(), id.priv_key_path()]);
    for file in ssl.root_cert_path().into_iter().chain(identity.into_iter().flatten()) {
        fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let ssl = ssl.with_danger_accept_invalid_certs(tls == 1);
    let ssl = Some(ssl.with_danger_skip_domain_validation(tls < 3)).filter(|_| tls > 0);
    Ok(OptsBuilder::from_opts(opts).ssl_opts(ssl).into())
}

/// Tries until it is no longer `not_yet`, but no longer than `TIDB_TIMEOUT`; says what it waits for.
fn wait_for<T>(
    what: &str,
    opts: &Opts,
    not_yet: fn(&mysql::Result<T>) -> bool,
    mut attempt: impl FnMut() -> mysql::Result<T>,
) -> mysql::Result<T> {
    let (start, mut result) = (Instant::now(), attempt());
    if not_yet(&result) {
        info!("{}: waiting for {what}", address(opts));
    }
    while not_yet(&result) && Some(start.elapsed()) < opts.get_tcp_connect_timeout() {
        thread::sleep((start.elapsed() / 2).min(Duration::from_secs(1)));
        result = attempt();
    }
    result
}

/// Opens the session, with the settings that the steps depend on, and selects or creates the database.
fn open_session(opts: &Opts) -> mysql::Result<PooledConn> {
    let refused = |result: &mysql::Result<_>| match result {
        Err(DriverError(CouldNotConnect(Some((.., kind))))) => *kind == ConnectionRefused,
        _ => false,
    };
    let mut conn = wait_for("a server to listen there", opts, refused, || pool(opts)?.get_conn())?;
    let row = select(&mut conn, include_str!("../sql/1a_check_session.sql"))?.pop();
    let (version, is_tidb, settings): (String, bool, String) = row.unwrap_or_default();
    let name = opts.get_db_name().unwrap_or_default().replace('`', "``");
    let user = opts.get_user().unwrap_or_default();
    info!("server {version} at {}, user {user}, database {name}", address(opts));
    if !is_tidb {
        warn!("this server is not TiDB: what it passes says nothing of a TiDB deployment");
    }
    if !settings.is_empty() {
        execute(&mut conn, &format!("SET SESSION {settings}"), ())?;
    }
    match execute(&mut conn, &format!("USE `{name}`"), ()) {
        Err(MySqlError(error)) if error.code == 1049 => {
            execute(&mut conn, &format!("CREATE DATABASE IF NOT EXISTS `{name}`"), ())?;
            execute(&mut conn, &format!("USE `{name}`"), ())?;
        }
        result => drop(result?),
    }
    Ok(conn)
}

/// Takes turns with other runs on this database, then refuses to touch tables without our mark.
fn claim_tables(conn: &mut PooledConn, opts: &Opts) -> Result<(), Failure> {
    // Contention may be an error, of a "lock " or "Lock "; 1235: TiDB before 6.1 has no locks.
    let held = |result: &mysql::Result<Vec<Option<bool>>>| match result {
        Err(MySqlError(e)) => e.code == 9007 || e.code != 1235 && e.message.contains("ock "),
        result => matches!(result, Ok(rows) if *rows != [Some(true)]),
    };
    let lock = || select(conn, include_str!("../sql/1b_get_lock.sql"));
    match wait_for("another run on this database to end", opts, held, lock) {
        result if held(&result) => return Err(Failure(2, "another run goes on: try later".into())),
        Err(MySqlError(error)) if error.code == 1235 => debug!("going on without a lock"),
        result => drop(result.map_err(|e| failure("get the lock", &e))?),
    }
    let sql = include_str!("../sql/1c_find_others_tables.sql");
    let tables: Vec<String> = select(conn, sql).map_err(|e| failure("look for tables", &e))?;
    let line = "not of this program's making: name another database in DATABASE_URL, or drop it";
    tables.first().map_or(Ok(()), |table| Err(Failure(2, format!("{table} is {line}"))))
}

/// Runs, times and logs a step, and checks its result.
fn step<T: Debug + PartialEq>(
    name: &str,
    expected: T,
    work: impl FnOnce() -> mysql::Result<T>,
) -> Result<T, Failure> {
    let start = Instant::now();
    let result = work().map_err(|error| failure(name, &error))?;
    if result != expected {
        return Err(Failure(1, format!("{name}: expected {expected:?}, got {result:?}")));
    }
    info!("{name:<40}{:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(result)
}

/// Host and port of the server, and how we talk to it.
fn address(opts: &Opts) -> String {
    let tls = if opts.get_ssl_opts().is_some() { "on" } else { "off" };
    format!("{}:{}, TLS {tls}", opts.get_ip_or_hostname(), opts.get_tcp_port())
}

/// Writes a line to stdout. That its reader has left, as in `| true`, is no failure of ours.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() != BrokenPipe => Err(Failure(1, format!("stdout: {e}"))),
        _ => Ok(()),
    }
}
