//! The TiDB quick start for Rust: creates two tables in TiDB, the distributed SQL database that
//! speaks MySQL's protocol, inserts, deletes and updates rows, and prints the result of a join.
//!
//! `make run` runs it against a TiDB on this machine; against any other:
//! `DATABASE_URL='mysql://user:password@host:4000/database' cargo run`
//!
//! The tutorial stands first, a function a step, with its statements in `sql/`. Below the line
//! "Plumbing" stands what makes a dependable command of it.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, mem, num::NonZeroU32, thread};

use log::{debug, error, info, warn};
use mysql::prelude::{FromRow, Queryable};
use mysql::{
    DriverError, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, PooledConn, Value,
};
use once_cell::sync::OnceCell;

/// A user's gender. The column is an `ENUM`, which stores it by name.
#[derive(Clone, Copy, Debug)]
enum Gender {
    Female,
    Male,
}

/// Makes a `Gender` a value that the driver can bind, as a `&str` or an `i32` is.
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

/// Gives the connection pool: made by the first call that can connect, shared by all later ones.
fn pool(opts: &Opts) -> mysql::Result<&'static Pool> {
    static POOL: OnceCell<Pool> = OnceCell::new();
    POOL.get_or_try_init(|| {
        let pool_opts = PoolOpts::new()
            // One session, where the driver's default is 10: AUTO_INCREMENT ids are consecutive
            // within one TiDB server only, and the tutorial names its rows by the ids 1, 2, 3 ...
            .with_constraints(PoolConstraints::new_const::<1, 1>())
            // Used once, so neither pinged nor reset. A program that hands its sessions from
            // thread to thread keeps the defaults, which do both.
            .with_check_health(false)
            .with_reset_connection(false);
        // No database yet: it may have to be created first.
        let opts = OptsBuilder::from_opts(opts.clone()).db_name(None::<String>);
        Pool::new(opts.pool_opts(pool_opts))
    })
}

/// Logs the steps, or what went wrong, on stderr; the exit status says how it went.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(status, message)) => {
            error!("{message}");
            ExitCode::from(status)
        }
    }
}

/// Takes the steps in the tutorial's order, up to the first that fails or whose result is not what
/// is expected here; returns the line to print.
fn take_steps(opts: &Opts, cleanup: bool) -> Result<String, Failure> {
    let conn = &mut connect(opts).map_err(during("connect"))?;
    prepare_session(conn, opts).map_err(during("prepare the session"))?;
    use_database(conn, opts).map_err(during("use the database"))?;
    refuse_foreign_tables(conn)?;
    step("1. create the tables users and orders", (), || create_tables(conn))?;

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
        step("drop the tables users and orders", (), || drop_tables(conn))?;
    }
    let rows: Vec<_> = rows.iter().map(|(name, price)| format!("('{name}', {price})")).collect();
    Ok(format!("[{}]\n", rows.join(", ")))
}

/// Drops both tables, where they are. Only for tables that `refuse_foreign_tables` has let pass.
fn drop_tables(conn: &mut PooledConn) -> mysql::Result<()> {
    change(conn, include_str!("../sql/1c_drop_tables.sql"), ()).map(drop)
}

/// Step 1: creates both tables anew. Their COMMENT is the mark that says who made them.
fn create_tables(conn: &mut PooledConn) -> mysql::Result<()> {
    drop_tables(conn)?;
    // A call for each: the driver hides an error in the second of two statements in one string.
    change(conn, include_str!("../sql/1d_create_users.sql"), ())?;
    change(conn, include_str!("../sql/1e_create_orders.sql"), ()).map(drop)
}

/// Step 2: inserts users; returns how many.
fn insert_users(conn: &mut PooledConn, users: &[User]) -> mysql::Result<u64> {
    debug!("{users:?}");
    let values = users.iter().flat_map(|user| [user.name.into(), user.gender.into()]).collect();
    insert(conn, include_str!("../sql/2a_insert_users.sql"), values)
}

/// Step 2: inserts orders; returns how many.
fn insert_orders(conn: &mut PooledConn, orders: &[Order]) -> mysql::Result<u64> {
    debug!("{orders:?}");
    let values = orders.iter().flat_map(|order| [order.uid.into(), order.price.into()]).collect();
    insert(conn, include_str!("../sql/2b_insert_orders.sql"), values)
}

/// Inserts rows of two columns each in one statement: each statement is a round trip.
fn insert(conn: &mut PooledConn, sql: &str, values: Vec<Value>) -> mysql::Result<u64> {
    let more_rows = ", (?, ?)".repeat((values.len() / 2).saturating_sub(1));
    change(conn, &(sql.trim_end().to_owned() + &more_rows), values)
}

/// Step 3: deletes an order; returns how many rows that were.
fn delete_order(conn: &mut PooledConn, oid: i32) -> mysql::Result<u64> {
    change(conn, include_str!("../sql/3_delete_order.sql"), (oid,))
}

/// Step 4: sets the price of an order; returns how many rows that changed.
fn set_price(conn: &mut PooledConn, oid: i32, price: f32) -> mysql::Result<u64> {
    change(conn, include_str!("../sql/4_update_order.sql"), (price, oid))
}

/// Steps 5 and 6: returns the name and the price of each order of user 3, oldest order first.
fn join_users_and_orders(conn: &mut PooledConn) -> mysql::Result<Vec<(String, f32)>> {
    select(conn, include_str!("../sql/5_join_users_orders.sql"))
}

/// Sends a statement that changes the database; returns how many rows it changed.
///
/// It commits by itself (autocommit). A bound parameter is never taken for SQL, whatever it holds.
fn change(conn: &mut PooledConn, sql: &str, params: impl Into<Params>) -> mysql::Result<u64> {
    debug!("{}", sql.trim_end());
    match params.into() {
        // As text this is one round trip; to prepare and execute it would be two.
        Params::Empty => conn.query_drop(sql)?,
        params => conn.exec_drop(sql, params)?,
    }
    Ok(conn.affected_rows())
}

/// Sends a query; returns its rows.
fn select<T: FromRow>(conn: &mut PooledConn, sql: &str) -> mysql::Result<Vec<T>> {
    debug!("{}", sql.trim_end());
    // `query` would panic where a row is no `T`, say for a NULL in it; `query_opt` gives an error.
    Ok(conn.query_opt(sql)?.into_iter().collect::<Result<_, _>>()?)
}

// ---- Plumbing ----------------------------------------------------------------------------------

/// What `--help` prints.
const HELP: &str = "\
The TiDB quick start for Rust: creates two tables, fills and changes them, and prints a join.

Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]

  --cleanup      after success, drop its own two tables
  -h, --help     print this help
  -V, --version  print the version

  DATABASE_URL   where to connect [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   seconds to wait for the server, for another run, for any answer [default: 30]
  RUST_LOG       what to log on stderr: error, warn, info, debug or trace [default: info]

Exit status: 0 the deployment passed; 1 it failed, or stdout could not be written; 2 nothing was
tested or changed: the arguments, the environment or tables that are not its own are in the way.
";

/// Why there is no result: the exit status (1: the deployment failed; 2: nothing was tested, and
/// nothing changed), and one line that says what is wrong and what to do.
struct Failure(u8, String);

/// Makes a `Failure` of what went wrong in a step.
fn during(step: &str) -> impl Fn(mysql::Error) -> Failure {
    move |error| {
        let line = match error {
            mysql::Error::MySqlError(error) => error.to_string(),
            mysql::Error::DriverError(error) => error.to_string(),
            mysql::Error::IoError(error) => error.to_string(),
            error => error.to_string(),
        };
        Failure(1, format!("{step}: {line}"))
    }
}

/// Does what the arguments ask for.
fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let arguments: Vec<_> = env::args_os().skip(1).map(|a| a.to_string_lossy().into()).collect();
    let cleanup = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--cleanup"] => true,
        ["-h" | "--help"] => return print(HELP),
        ["-V" | "--version"] => {
            return print(concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        _ => return Err(Failure(2, format!("arguments {arguments:?}: see --help"))),
    };
    let opts = options()?;
    let line = take_steps(&opts, cleanup)
        .map_err(|Failure(status, line)| Failure(status, format!("{}: {line}", address(&opts))))?;
    print(&line)?;
    info!("{:<40}{:>8.1} ms", "passed", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Makes the options of the connection from the environment.
fn options() -> Result<Opts, Failure> {
    let variable = |name: &str, default: &str| {
        let value = env::var_os(name).map_or(Ok(default.to_owned()), OsString::into_string);
        value.map_err(|_| Failure(2, format!("{name} is not valid UTF-8")))
    };
    let seconds = variable("TIDB_TIMEOUT", "30")?.parse::<NonZeroU32>();
    let seconds = seconds.map_err(|e| Failure(2, format!("TIDB_TIMEOUT, whole seconds: {e}")))?;
    let timeout = Some(Duration::from_secs(seconds.get().into()));
    let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
    let opts = Opts::from_url(&url).map_err(|e| Failure(2, format!("DATABASE_URL: {e}")))?;
    if opts.get_db_name().is_none() {
        return Err(Failure(2, "DATABASE_URL names no database: add /test_sqlalchemy".into()));
    }
    Ok(OptsBuilder::from_opts(opts)
        .prefer_socket(false) // TCP always: the socket that a server names may be another server's
        .max_allowed_packet(Some(1 << 20)) // spares the query for it; no statement comes near 1 MiB
        .stmt_cache_size(0) // no statement is executed twice, so none is kept
        .tcp_connect_timeout(timeout) // without these three, a silent server is waited for for ever
        .read_timeout(timeout)
        .write_timeout(timeout)
        .into())
}

/// Takes the session from the pool, as soon as there is a server.
fn connect(opts: &Opts) -> mysql::Result<PooledConn> {
    let (start, mut waiting) = (Instant::now(), false);
    let timeout = opts.get_tcp_connect_timeout().unwrap_or_default();
    loop {
        match pool(opts).and_then(Pool::get_conn) {
            Err(mysql::Error::DriverError(DriverError::CouldNotConnect(Some((_, _, kind)))))
                if kind == ErrorKind::ConnectionRefused && start.elapsed() < timeout =>
            {
                if !mem::replace(&mut waiting, true) {
                    info!("no server at {} yet: waiting for up to {timeout:?}", address(opts));
                }
                thread::sleep(Duration::from_millis(200));
            }
            result => return result,
        }
    }
}

/// Says what we are connected to, and sets for this session what the steps depend on, where the
/// server's global settings are others: statements that commit by themselves, the ids 1, 2, 3 ...,
/// results with all their rows, leave to write, and to read what was just written.
fn prepare_session(conn: &mut PooledConn, opts: &Opts) -> mysql::Result<()> {
    let row = select(conn, include_str!("../sql/1a_check_session.sql"))?.pop();
    let (version, is_tidb, settings): (String, bool, String) = row.unwrap_or_default();
    info!(
        "server {version} at {}, user {}, database {}, TLS {}",
        address(opts),
        opts.get_user().unwrap_or_default(),
        opts.get_db_name().unwrap_or_default(),
        if opts.get_ssl_opts().is_some() { "on" } else { "off" }
    );
    if !is_tidb {
        warn!("this server is not TiDB: what it passes says nothing of a TiDB deployment");
    }
    if !settings.is_empty() {
        change(conn, &format!("SET SESSION {settings}"), ())?;
    }
    Ok(())
}

/// Turns the session to its database, which it creates if there is none of that name.
fn use_database(conn: &mut PooledConn, opts: &Opts) -> mysql::Result<u64> {
    let name = opts.get_db_name().unwrap_or_default().replace('`', "``");
    match change(conn, &format!("USE `{name}`"), ()) {
        // MySQL's ER_BAD_DB_ERROR, unknown database
        Err(mysql::Error::MySqlError(error)) if error.code == 1049 => {
            change(conn, &format!("CREATE DATABASE IF NOT EXISTS `{name}`"), ())?;
            change(conn, &format!("USE `{name}`"), ())
        }
        result => result,
    }
}

/// Refuses to go on where a table, view or sequence has one of our names, but not our mark.
fn refuse_foreign_tables(conn: &mut PooledConn) -> Result<(), Failure> {
    let sql = include_str!("../sql/1b_find_foreign_tables.sql");
    let found: Vec<(String, String, String)> =
        select(conn, sql).map_err(during("look for tables"))?;
    match found.first() {
        None => Ok(()),
        Some((database, name, kind)) => Err(Failure(
            2,
            format!(
                "{kind} {name} in database {database} is not of this program's making: \
                 name another database in DATABASE_URL, or drop {name} yourself"
            ),
        )),
    }
}

/// Takes a step: logs what it was and how long it took, and checks what came of it.
fn step<T: Debug + PartialEq>(
    name: &str,
    expected: T,
    work: impl FnOnce() -> mysql::Result<T>,
) -> Result<T, Failure> {
    let start = Instant::now();
    let result = work().map_err(during(name))?;
    if result != expected {
        return Err(Failure(1, format!("{name}: expected {expected:?}, got {result:?}")));
    }
    info!("{name:<40}{:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(result)
}

/// Host and port of the server.
fn address(opts: &Opts) -> String {
    format!("{}:{}", opts.get_ip_or_hostname(), opts.get_tcp_port())
}

/// Writes to stdout. A reader that has left, as in `| true`, is no failure of ours.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure(1, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
