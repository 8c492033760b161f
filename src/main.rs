//! The TiDB quick start for Rust: creates two tables in TiDB, the distributed SQL database that
//! speaks MySQL's protocol, inserts, deletes and updates rows, and prints the result of a join.
//!
//! `make run` runs it on this machine; `DATABASE_URL` names another server. First comes the
//! tutorial, one function a step. Copy its types, `open_pool` and the step functions as they are;
//! `main` and `take_steps` need the modules below, which make a dependable command of it.

use std::io;
use std::process::ExitCode;

use log::error;
use mysql::prelude::{FromRow, Queryable};
use mysql::{FromRowError, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, Row, Value};
use once_cell::sync::OnceCell;

/// A user's gender.
#[derive(Clone, Copy)]
enum Gender {
    Female,
    Male,
}

/// Lets a `Gender` be a parameter. An ENUM is sent by its name; to read one, take a `String`.
impl From<Gender> for Value {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Female => "Female".into(),
            Gender::Male => "Male".into(),
        }
    }
}

/// A row of `users` to insert. TiDB assigns the primary key, `uid`.
struct User {
    name: String,
    gender: Gender,
}

/// A row of `orders` to insert. TiDB assigns the primary key, `oid`. The price is a FLOAT, as in
/// the tutorial; for real money use DECIMAL.
struct Order {
    uid: i32,
    price: f32,
}

/// A row of the join. Both columns may be NULL, but the tutorial's are not: here a NULL is an
/// error. Where NULL is a value like others, make the field an `Option`.
#[derive(Debug, PartialEq)]
struct UserOrder {
    name: String,
    price: f32,
}

/// Takes the columns by their position. The driver's feature `derive` takes them by name, for 20
/// more crates.
impl FromRow for UserOrder {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        let (name, price) = FromRow::from_row_opt(row)?;
        Ok(Self { name, price })
    }
}

/// The connection pool, for the whole program once `open_pool` has opened it.
static POOL: OnceCell<Pool> = OnceCell::new();

/// Opens the connection pool and its first connection. To open a second pool is an error.
///
/// A program of your own can also open its `Pool` in `main` and hand out clones: they share the
/// connections. By default it opens 10 at once, and more when these are taken, up to 100. Then
/// `get_conn` waits without end for one that is given back; `try_get_conn` takes a time limit.
fn open_pool(opts: Opts) -> mysql::Result<&'static Pool> {
    // All steps share one connection. It is taken once, so it needs no check before and no reset
    // after. A program of your own keeps the defaults.
    let pool_opts = PoolOpts::new()
        .with_constraints(PoolConstraints::new_const::<1, 1>())
        .with_check_health(false)
        .with_reset_connection(false);
    let pool = Pool::new(OptsBuilder::from_opts(opts).pool_opts(pool_opts))?;
    // The standard library's `OnceLock` has no `try_insert` yet.
    POOL.try_insert(pool).map_err(|_| io::Error::other("the pool is open already").into())
}

/// Logs the steps, or what went wrong, on stderr; the exit status says how it went.
fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    match failure::catch_panic(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            failure.exit_code()
        }
    }
}

/// Takes the steps in the tutorial's order; returns the rows of the join. Stops at the first step
/// that fails, or that returns something else than expected: the third argument of `step`. The
/// first one, `Ddl` or `Dml`, is the kind of statement; it decides on the advice in an error.
fn take_steps(server: &Server, cleanup: bool) -> Result<Vec<UserOrder>, Failure> {
    let mut session = Session::open(server)?;
    session.step(Ddl, "1. drop and create users and orders", (), create_tables)?;

    let users = [
        User { name: "Alice".to_owned(), gender: Gender::Female },
        User { name: "Peter".to_owned(), gender: Gender::Male },
        User { name: "Ben".to_owned(), gender: Gender::Male },
    ];
    session.step(Dml, "2. insert three users", 3, |conn| insert_users(conn, &users))?;
    let order = Order { uid: 1, price: 2.5 };
    session.step(Dml, "2. insert one order", 1, |conn| insert_orders(conn, &[order]))?;
    let orders = [
        Order { uid: 1, price: 0.5 },
        Order { uid: 2, price: 4.5 },
        Order { uid: 2, price: 2123.87 },
        Order { uid: 3, price: 212.5 },
        Order { uid: 3, price: 8.5 },
    ];
    session.step(Dml, "2. insert five orders", 5, |conn| insert_orders(conn, &orders))?;

    session.step(Dml, "3. delete order 4", 1, |conn| delete_order(conn, 4))?;
    session.step(Dml, "4. set the price of order 1 to 3.5", 1, |conn| set_price(conn, 1, 3.5))?;

    let bens = vec![
        UserOrder { name: "Ben".to_owned(), price: 212.5 },
        UserOrder { name: "Ben".to_owned(), price: 8.5 },
    ];
    let rows = session.step(Dml, "5. join users and orders", bens, |conn| user_orders(conn, 3))?;
    if cleanup {
        session.step(Ddl, "clean up: drop users and orders", (), drop_tables)?;
    }
    Ok(rows)
}

/// Step 1: drops both tables and creates them anew. Their COMMENT is the mark that tells the next
/// run whose they are.
fn create_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    drop_tables(conn)?;
    // One call each: of several statements in one call, an error in the second would not be seen.
    conn.query_drop(include_str!("../sql/1e_create_users.sql"))?;
    conn.query_drop(include_str!("../sql/1f_create_orders.sql"))
}

/// Drops both tables, if they are there.
fn drop_tables(conn: &mut impl Queryable) -> mysql::Result<()> {
    conn.query_drop(include_str!("../sql/1d_drop_tables.sql"))
}

/// Step 2: inserts users; returns how many.
fn insert_users(conn: &mut impl Queryable, users: &[User]) -> mysql::Result<u64> {
    let rows = users.iter().map(|user| [user.name.as_str().into(), user.gender.into()]).collect();
    insert_rows(conn, include_str!("../sql/2a_insert_users.sql"), rows)
}

/// Step 2: inserts orders; returns how many.
fn insert_orders(conn: &mut impl Queryable, orders: &[Order]) -> mysql::Result<u64> {
    let rows = orders.iter().map(|order| [order.uid.into(), order.price.into()]).collect();
    insert_rows(conn, include_str!("../sql/2b_insert_orders.sql"), rows)
}

/// Inserts rows of `N` columns by one statement; returns how many. `one_row` is the statement for
/// a single row and ends with `(?, ?)`, one `?` a column. A statement takes at most 65,535
/// parameters: insert more rows by several calls. `exec_batch` would send, and commit, each row on
/// its own. The result of `exec_iter` also has `last_insert_id()`: the id of the first row.
fn insert_rows<const N: usize>(
    conn: &mut impl Queryable,
    one_row: &str,
    rows: Vec<[Value; N]>,
) -> mysql::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let another_row = format!(", ({})", ["?"; N].join(", "));
    let statement = one_row.trim_end().to_owned() + &another_row.repeat(rows.len() - 1);
    Ok(conn.exec_iter(statement, rows.concat())?.affected_rows())
}

/// Step 3: deletes an order; returns the number of deleted rows. Each statement here commits by
/// itself (autocommit). For all or nothing call such functions with `&mut tx`, where `tx` is
/// `conn.start_transaction(TxOpts::default())?`, and then `tx.commit()?`.
fn delete_order(conn: &mut impl Queryable, oid: i32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/3_delete_order.sql"), (oid,))?.affected_rows())
}

/// Step 4: sets the price of an order; returns the number of changed rows, 0 if it had this price.
fn set_price(conn: &mut impl Queryable, oid: i32, price: f32) -> mysql::Result<u64> {
    Ok(conn.exec_iter(include_str!("../sql/4_update_order.sql"), (price, oid))?.affected_rows())
}

/// Step 5: returns a user's name and the price of each of their orders, oldest order first.
fn user_orders(conn: &mut impl Queryable, uid: i32) -> mysql::Result<Vec<UserOrder>> {
    let rows = conn.exec_opt(include_str!("../sql/5_join_users_orders.sql"), (uid,))?;
    // `exec` itself panics on a row that does not convert, such as one with a NULL.
    Ok(rows.into_iter().collect::<Result<_, _>>()?)
}

// ---- Plumbing: what makes a dependable command of the tutorial ---------------------------------

use std::time::Instant;

use connection_string::Server;
use failure::Failure;
use failure::Phase::{Ddl, Dml};
use session::Session;

/// Does what the arguments ask for.
fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let arguments = command_line::arguments();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cleanup = match words.as_slice() {
        [] => false,
        ["--cleanup"] => true,
        ["-h" | "--help"] => return command_line::print(command_line::HELP),
        ["-V" | "--version"] => return command_line::print(command_line::VERSION),
        other => {
            let line = format!("cannot use the arguments {other:?}: see --help");
            return Err(Failure::NothingTested(line));
        }
    };
    let server = connection_string::server().map_err(Failure::NothingTested)?;
    let rows = take_steps(&server, cleanup)?;
    let pairs = rows.iter().map(|row| format!("('{}', {})", row.name, row.price));
    command_line::print(&format!("[{}]", pairs.collect::<Vec<_>>().join(", ")))?;
    session::log_duration("passed", start);
    Ok(())
}

/// The command line: arguments, environment variables, standard output.
mod command_line {
    use std::env::{self, VarError};
    use std::io::{self, ErrorKind, Write};

    use crate::failure::Failure;

    /// What `--help` prints.
    pub const HELP: &str = "\
Usage: tidb-rust-mysql-quickstart [--cleanup | --help | --version]
  --cleanup      after success, drop its own two tables
  -h, --help     print this help
  -V, --version  print the version
Environment variables:
  DATABASE_URL   where to connect
                 [default: mysql://root@127.0.0.1:4000/test_sqlalchemy]
  TIDB_TIMEOUT   how many seconds to wait for the server to come up, for
                 another run to finish, and for any one answer [default: 30]
  RUST_LOG       what to log on stderr: off, error, warn, info, debug or trace
                 [default: info]
Exit status:
  0 the deployment passed
  1 it failed
  2 nothing was tested, and nothing was changed";

    /// What `--version` prints.
    pub const VERSION: &str = concat!("tidb-rust-mysql-quickstart ", env!("CARGO_PKG_VERSION"));

    /// The arguments behind the program's name.
    pub fn arguments() -> Vec<String> {
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    /// Reads an environment variable; returns `default` if it is not set.
    pub fn variable(name: &str, default: &str) -> Result<String, String> {
        match env::var(name) {
            Ok(value) => Ok(value),
            Err(VarError::NotPresent) => Ok(default.to_owned()),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8")),
        }
    }

    /// Writes a line to stdout. If its reader has gone, as with `| true`, that is no failure.
    pub fn print(line: &str) -> Result<(), Failure> {
        match writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Deployment(format!("stdout: {e}")))
            }
            _ => Ok(()),
        }
    }
}

/// The connection string: takes a URL that was made for any client, and refuses what it cannot
/// honour.
mod connection_string {
    use std::collections::BTreeMap;
    use std::net::{SocketAddr, ToSocketAddrs};
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::time::Duration;
    use std::{fmt, fs};

    use log::warn;
    use mysql::{Opts, OptsBuilder, SslOpts, UrlError};

    use crate::command_line::variable;

    /// The server to connect to.
    pub struct Server {
        /// How to connect to it.
        pub opts: Opts,
        /// How long to wait for it, from `TIDB_TIMEOUT`.
        pub timeout: Duration,
    }

    impl Server {
        /// The addresses of its host; none where the name does not resolve.
        pub fn addresses(&self) -> Vec<SocketAddr> {
            let host = self.opts.get_ip_or_hostname();
            // An IPv6 address comes in brackets.
            let addresses = (host.trim_matches(['[', ']']), self.opts.get_tcp_port());
            addresses.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
        }
    }

    /// Host, port and TLS, which each message about the server begins with.
    impl fmt::Display for Server {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let tls = if self.opts.get_ssl_opts().is_some() { "on" } else { "off" };
            let (host, port) = (self.opts.get_ip_or_hostname(), self.opts.get_tcp_port());
            write!(f, "{host}:{port}, TLS {tls}")
        }
    }

    /// How much TLS is demanded, from the least to the most.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Tls {
        /// None: the connection is not encrypted.
        Off,
        /// Encryption, whoever the server is.
        Encrypted,
        /// Also a certificate of a CA that is trusted.
        VerifyCa,
        /// Also one for the host's name.
        VerifyIdentity,
    }

    /// Reads the environment; the error says what in it cannot be used.
    pub fn server() -> Result<Server, String> {
        let seconds = variable("TIDB_TIMEOUT", "30")?;
        let timeout = seconds.parse::<NonZeroU32>().map_err(|error| {
            format!("TIDB_TIMEOUT={seconds}: write whole seconds, such as 30 ({error})")
        })?;
        let timeout = Duration::from_secs(timeout.get().into());
        let url = variable("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy")?;
        let opts = read_url(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        let opts = OptsBuilder::from_opts(opts)
            // The Unix socket that a server names may be another server's.
            .prefer_socket(false)
            // Saves a round trip that asks for it; nothing here comes near 1 MiB.
            .max_allowed_packet(Some(1 << 20))
            // Without a limit, a silent server is waited for without end. `GET_LOCK` itself takes
            // up to a second to answer.
            .read_timeout(Some(timeout + Duration::from_millis(500)))
            .into();
        let server = Server { opts, timeout };
        let host = server.opts.get_ip_or_hostname();
        let is_local = matches!(&*host, "127.0.0.1" | "[::1]" | "localhost");
        if server.opts.get_ssl_opts().is_none() && !is_local {
            warn!("{server}: data travels unencrypted, and nothing proves who the server is");
        }
        Ok(server)
    }

    /// Reads a URL; the error says what is wrong with it, and never shows the password.
    fn read_url(url: &str) -> Result<Opts, String> {
        let (base, parameters) = split(url)?;
        let (tls, parameters) = translate(parameters)?;
        let opts = Opts::from_url(&format!("mysql://{base}?{parameters}"));
        let opts = opts.map_err(|error| match error {
            UrlError::BadUrl => "it names no host".to_owned(),
            UrlError::ParseError(error) => error.to_string(),
            error => error.to_string(),
        })?;
        check(&opts)?;
        let ssl_opts = ssl_opts(&opts, tls)?;
        Ok(OptsBuilder::from_opts(opts).ssl_opts(ssl_opts).into())
    }

    /// Splits a URL into what stands between `//` and `?`, and the parameters behind.
    fn split(url: &str) -> Result<(&str, &str), String> {
        const FORM: &str = "write mysql://user:password@host:4000/database";
        if url.is_empty() {
            return Err(format!("it is empty: unset it, or {FORM}"));
        }
        let (scheme, rest) = url.split_once(':').ok_or(FORM)?;
        let known = ["mysql", "mysql2", "tidb"].contains(&scheme.to_lowercase().as_str());
        if !known && !scheme.to_lowercase().starts_with("mysql+") {
            return Err(format!("{FORM}, not {scheme}:"));
        }
        let rest = rest.strip_prefix("//").ok_or_else(|| format!("{FORM}, with its //"))?;
        let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        // Else the rest of the password would be taken, and shown, for database or parameters.
        let behind_host = rest.split_once(['/', '?']).map_or("", |(_, behind)| behind);
        if rest.contains('#') || behind_host.contains('@') {
            return Err("write / ? # @ in user and password as %2F %3F %23 %40".to_owned());
        }
        if base.matches('/').count() > 1 {
            return Err(format!("a / too many: {FORM}"));
        }
        Ok((base, parameters))
    }

    /// Reads the parameters; returns the most TLS that they demand, and the others under the names
    /// that the driver knows.
    fn translate(parameters: &str) -> Result<(Tls, String), String> {
        let mut tls = Tls::Off;
        let mut others = BTreeMap::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = plain(key);
            if value.is_empty() {
                return Err(format!("{key} has no value: write one, or leave it out"));
            }
            let demanded = tls_demand(&name, &plain(value))
                .map_err(|values| format!("{key}={value} is not supported: write {values}"))?;
            if let Some(demanded) = demanded {
                tls = tls.max(demanded);
                continue;
            }
            let name = driver_name(&name).ok_or_else(|| format!("{key} is not supported"))?;
            if others.insert(name.to_owned(), value).is_some() {
                return Err(format!("{key} is given twice: write it once"));
            }
        }
        let others: Vec<_> = others.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok((tls, others.join("&")))
    }

    /// Clients write names and values with `-` or `_`, and in any letter case.
    fn plain(text: &str) -> String {
        text.to_lowercase().replace('-', "_")
    }

    /// What a parameter demands of TLS; none where it is for the driver. The error says which
    /// values there are.
    fn tls_demand(name: &str, value: &str) -> Result<Option<Tls>, &'static str> {
        let demand = match (name, value) {
            ("charset", "utf8" | "utf8mb4")
            | ("ssl_mode" | "sslmode", "disabled")
            | ("ssl_verify_identity", "false") => Tls::Off,
            ("ssl_mode" | "sslmode", "required")
            | ("sslaccept", "accept_invalid_certs")
            | ("ssl_verify_cert", "false")
            | ("danger_accept_invalid_certs", "true") => Tls::Encrypted,
            ("ssl_mode" | "sslmode", "verify_ca")
            | ("ssl_verify_cert" | "danger_skip_domain_validation", "true") => Tls::VerifyCa,
            ("ssl_mode" | "sslmode", "verify_identity")
            | ("sslaccept", "strict")
            | ("ssl_verify_identity", "true")
            | ("danger_accept_invalid_certs" | "danger_skip_domain_validation", "false") => {
                Tls::VerifyIdentity
            }
            ("charset", _) => return Err("utf8mb4"),
            ("ssl_mode" | "sslmode", _) => {
                return Err("DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY");
            }
            ("sslaccept", _) => return Err("strict or accept_invalid_certs"),
            ("ssl_verify_cert" | "ssl_verify_identity", _) => return Err("true or false"),
            _ => return Ok(None),
        };
        Ok(Some(demand))
    }

    /// The driver's name of a parameter; none for one of TLS that it does not know.
    fn driver_name(name: &str) -> Option<&str> {
        match name {
            "ssl_ca" | "sslca" | "sslcert" => Some("root_cert_path"),
            _ if name.starts_with("ssl") => None,
            _ => Some(name),
        }
    }

    /// Refuses options that name no database, or no TCP port.
    fn check(opts: &Opts) -> Result<(), String> {
        match opts.get_db_name() {
            None => Err("it names no database: write its name behind the port and a /".to_owned()),
            // TiDB puts the name between backticks at a login, and does not escape it.
            Some(name) if name.contains('`') => Err(format!("a backtick in the name {name}")),
            _ if opts.get_tcp_port() == 0 => Err("port 0 is none: TiDB's is 4000".to_owned()),
            _ if opts.get_socket().is_some() => Err("socket is not supported".to_owned()),
            _ => Ok(()),
        }
    }

    /// The options of TLS, where it is demanded or a file of certificates is named.
    fn ssl_opts(opts: &Opts, demanded: Tls) -> Result<Option<SslOpts>, String> {
        let host = opts.get_ip_or_hostname();
        let is_cloud = host.trim_end_matches('.').ends_with(".tidbcloud.com");
        let tls = match demanded {
            Tls::Off if opts.get_ssl_opts().is_some() => Tls::VerifyIdentity,
            _ if is_cloud => Tls::VerifyIdentity,
            Tls::Off => return Ok(None),
            _ => demanded,
        };
        let ssl_opts = opts.get_ssl_opts().cloned().unwrap_or_default();
        if let Some(file) = ssl_opts.root_cert_path() {
            check_pem("ssl_ca", file)?;
        }
        if let Some(identity) = ssl_opts.client_identity() {
            check_pem("cert_chain_path", identity.cert_chain_path())?;
            check_pem("priv_key_path", identity.priv_key_path())?;
        }
        let ssl_opts = ssl_opts
            .with_danger_accept_invalid_certs(tls == Tls::Encrypted)
            .with_danger_skip_domain_validation(tls < Tls::VerifyIdentity);
        Ok(Some(ssl_opts))
    }

    /// Refuses a file that cannot be read or has nothing in PEM format; the driver's error would
    /// not name it.
    fn check_pem(parameter: &str, file: &Path) -> Result<(), String> {
        match fs::read_to_string(file) {
            Err(error) => Err(format!("{parameter}={}: {error}", file.display())),
            Ok(text) if text.contains("-----BEGIN ") && text.contains("-----END ") => Ok(()),
            Ok(_) => Err(format!("{parameter}={}: nothing in PEM format", file.display())),
        }
    }
}

/// The session: opens it, waits for its turn, refuses the tables of others, takes the steps.
mod session {
    use std::fmt::Debug;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::thread;
    use std::time::{Duration, Instant};

    use log::{debug, info};
    use mysql::prelude::{FromRow, Queryable};
    use mysql::{Error, Opts, OptsBuilder, PooledConn};

    use crate::connection_string::Server;
    use crate::failure::Phase::{self, Connect, Ddl, Dml};
    use crate::failure::{self, Failure};
    use crate::open_pool;

    /// The error of a server that has no database of this name.
    const UNKNOWN_DATABASE: u16 = 1049;
    /// The error of a TiDB before 6.1, which has no locks.
    const NOT_SUPPORTED: u16 = 1235;

    /// The one session of a run.
    pub struct Session<'a> {
        server: &'a Server,
        conn: PooledConn,
    }

    impl<'a> Session<'a> {
        /// Opens the session, creates the database if it is missing, and waits until no other run
        /// uses it.
        pub fn open(server: &'a Server) -> Result<Self, Failure> {
            let mut conn = connect(server, &server.opts)?;
            let is_missing =
                matches!(&conn, Err(Error::MySqlError(error)) if error.code == UNKNOWN_DATABASE);
            if is_missing {
                let no_database = OptsBuilder::from_opts(server.opts.clone()).db_name(None::<&str>);
                conn = connect(server, &no_database.into())?;
            }
            let conn = conn.map_err(|error| Failure::of(server, Connect, "connect", &error))?;
            let mut session = Self { server, conn };
            session.check()?;
            if is_missing {
                session.create_database()?;
            }
            session.take_turn()?;
            session.refuse_others_tables()?;
            Ok(session)
        }

        /// Refuses a server that is not TiDB; sets what the steps depend on where it differs.
        fn check(&mut self) -> Result<(), Failure> {
            let sql = include_str!("../sql/1a_check_session.sql");
            let rows: Vec<(String, bool, String)> =
                self.attempt(Dml, "check the session", |conn| select(conn, sql))?;
            let server = self.server;
            let Some((version, is_tidb, settings)) = rows.into_iter().next() else {
                return Err(Failure::Deployment(format!("{server}: check the session: no row")));
            };
            if !is_tidb {
                return Err(Failure::NothingTested(format!(
                    "{server}: not TiDB but {version}: correct DATABASE_URL (TiDB's port is 4000)"
                )));
            }
            let (user, database) = (server.opts.get_user(), server.opts.get_db_name());
            info!("server {version} at {server}");
            info!("user {}, database {}", user.unwrap_or_default(), database.unwrap_or_default());
            if !settings.is_empty() {
                let sql = format!("SET SESSION {settings}");
                self.attempt(Dml, "set the session", |conn| conn.query_drop(sql))?;
            }
            Ok(())
        }

        /// Creates the database that the URL names, and selects it.
        fn create_database(&mut self) -> Result<(), Failure> {
            // It has no backtick: `connection_string` refuses that.
            let name = self.server.opts.get_db_name().unwrap_or_default();
            self.attempt(Ddl, "create the database", |conn| {
                conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))?;
                conn.query_drop(format!("USE `{name}`"))
            })
        }

        /// Waits until no other run uses the database, by a lock that ends with the session.
        fn take_turn(&mut self) -> Result<(), Failure> {
            let server = self.server;
            let busy = || {
                Failure::Deployment(format!(
                    "{server}: another run uses this database; are there many? raise TIDB_TIMEOUT. \
                     Does one hang in the server? see SHOW PROCESSLIST and ADMIN SHOW DDL JOBS"
                ))
            };
            let sql = include_str!("../sql/1b_get_lock.sql");
            // The outer `Err` is to ask again, what is inside `Ok` is final.
            wait_until(Instant::now() + server.timeout, || {
                match select(&mut self.conn, sql).as_deref() {
                    Ok([Some(true)]) => Ok(Ok(())),
                    Ok(_) => Err(busy()),
                    Err(Error::MySqlError(error)) if failure::is_contention(error) => Err(busy()),
                    Err(Error::MySqlError(error)) if error.code == NOT_SUPPORTED => {
                        debug!("going on without a lock");
                        Ok(Ok(()))
                    }
                    Err(error) => Ok(Err(Failure::of(server, Dml, "get the lock", error))),
                }
            })?
        }

        /// Refuses to go on where something of others has the name of one of our tables.
        fn refuse_others_tables(&mut self) -> Result<(), Failure> {
            let sql = include_str!("../sql/1c_find_others_tables.sql");
            let tables: Vec<String> =
                self.attempt(Dml, "look for tables", |conn| select(conn, sql))?;
            match tables.first() {
                None => Ok(()),
                Some(table) => Err(Failure::NothingTested(format!(
                    "{}: {table} is not of this program's making: name another database in \
                     DATABASE_URL, or drop it",
                    self.server
                ))),
            }
        }

        /// Takes a step and logs how long it took. A result other than the expected one fails it.
        pub fn step<T: Debug + PartialEq>(
            &mut self,
            phase: Phase,
            name: &str,
            expected: T,
            work: impl FnOnce(&mut PooledConn) -> mysql::Result<T>,
        ) -> Result<T, Failure> {
            let start = Instant::now();
            let result = self.attempt(phase, name, work)?;
            if result != expected {
                let line =
                    format!("{}: {name}: expected {expected:?}, got {result:?}", self.server);
                return Err(Failure::Deployment(line));
            }
            log_duration(name, start);
            Ok(result)
        }

        /// Does some work for a step; its error becomes a failure of the step.
        fn attempt<T>(
            &mut self,
            phase: Phase,
            name: &str,
            work: impl FnOnce(&mut PooledConn) -> mysql::Result<T>,
        ) -> Result<T, Failure> {
            work(&mut self.conn).map_err(|error| Failure::of(self.server, phase, name, &error))
        }
    }

    /// Executes a query without parameters; returns its rows.
    fn select<T: FromRow>(conn: &mut PooledConn, sql: &str) -> mysql::Result<Vec<T>> {
        Ok(conn.query_opt(sql)?.into_iter().collect::<Result<_, _>>()?)
    }

    /// Logs how long something took.
    pub fn log_duration(name: &str, start: Instant) {
        info!("{name:<40}{:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }

    /// Asks until it is there, or the deadline has passed; logs once why it is not there yet.
    fn wait_until<T>(
        deadline: Instant,
        mut ask: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let mut answer = ask();
        let left = deadline.saturating_duration_since(Instant::now());
        if let Err(why) = &answer
            && !left.is_zero()
        {
            info!("{why}; waiting up to {:.0} s", left.as_secs_f64());
        }
        while answer.is_err() && Instant::now() < deadline {
            // Often at first, for a server that starts; then seldom, to spare one that is busy.
            thread::sleep((start.elapsed() / 2).min(Duration::from_secs(1)));
            answer = ask();
        }
        answer
    }

    /// Connects, and waits for a server that is on its way. The outer error is that none came up in
    /// time; the inner one is an answer, which waiting would not change.
    fn connect(server: &Server, opts: &Opts) -> Result<mysql::Result<PooledConn>, Failure> {
        wait_until(Instant::now() + server.timeout, || match connect_to_any(server, opts) {
            Err(error) if failure::is_on_its_way(&error) => {
                Err(Failure::of(server, Connect, "connect", &error))
            }
            outcome => Ok(outcome),
        })
    }

    /// Tries the addresses of the host, all within `TIDB_TIMEOUT`. Of several the driver tries only
    /// the first. Bound to the unspecified address of a family, it tries all of that family, and
    /// TLS still checks the name. If none can be connected to, the error is the first one's.
    fn connect_to_any(server: &Server, opts: &Opts) -> mysql::Result<PooledConn> {
        let addresses = u32::try_from(server.addresses().len()).unwrap_or(u32::MAX);
        let tries = if addresses > 1 { 1 + addresses } else { 1 };
        let connect_from = |source: Option<IpAddr>| {
            let opts = OptsBuilder::from_opts(opts.clone())
                .bind_address(source.map(|address| (address, 0)))
                .tcp_connect_timeout(Some(server.timeout / tries));
            open_pool(opts.into())?.get_conn()
        };
        let is_answer =
            |outcome: &mysql::Result<_>| !outcome.as_ref().is_err_and(failure::is_unreachable);
        let first = connect_from(None);
        if tries == 1 || is_answer(&first) {
            return first;
        }
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            .into_iter()
            .map(|family| connect_from(Some(family)))
            .find(is_answer)
            .unwrap_or(first)
    }
}

/// Failures: the exit status, and a line that says what failed, why, and what to do.
mod failure {
    use std::error::Error as _;
    use std::io::{self, ErrorKind};
    use std::process::ExitCode;
    use std::{fmt, panic};

    use log::debug;
    use mysql::{DriverError, Error, MySqlError};

    use crate::connection_string::Server;

    /// The exit status where the deployment failed.
    const DEPLOYMENT_FAILED: u8 = 1;
    /// The exit status where nothing was tested.
    const NOTHING_TESTED: u8 = 2;

    /// Why a run did not pass, in one line.
    pub enum Failure {
        /// The deployment failed.
        Deployment(String),
        /// Nothing was tested and nothing changed: the arguments, the environment, the database's
        /// state or the server's kind stand in the way.
        NothingTested(String),
    }

    /// What the program was doing when an error came. It decides what a timeout means.
    #[derive(Clone, Copy)]
    pub enum Phase {
        /// To connect and to log in.
        Connect,
        /// To change the schema.
        Ddl,
        /// To read and to change rows.
        Dml,
    }

    impl Failure {
        /// Turns the error of a step into a failure.
        pub fn of(server: &Server, phase: Phase, step: &str, error: &Error) -> Self {
            let (what, advice) = explain(server, phase, error);
            let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
            let line = format!("{server}: {step}: {what}{advice}").replace('\n', " ");
            match error {
                // The driver has this error for our own certificates only.
                Error::TlsError(_) => Self::NothingTested(line),
                _ => Self::Deployment(line),
            }
        }

        /// The exit status of the program.
        pub fn exit_code(&self) -> ExitCode {
            match self {
                Self::Deployment(_) => DEPLOYMENT_FAILED.into(),
                Self::NothingTested(_) => NOTHING_TESTED.into(),
            }
        }
    }

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let (Self::Deployment(line) | Self::NothingTested(line)) = self;
            f.write_str(line)
        }
    }

    /// Does some work. The driver panics on some malformed answers: that is a failure like others.
    pub fn catch_panic(work: fn() -> Result<(), Failure>) -> Result<(), Failure> {
        panic::set_hook(Box::new(|panic| debug!("{panic}")));
        panic::catch_unwind(work).unwrap_or_else(|_panic| {
            let line = "the driver panicked on an answer of the server; RUST_LOG=debug says where";
            Err(Failure::Deployment(line.to_owned()))
        })
    }

    /// Whether the server says that others were in the way.
    pub fn is_contention(error: &MySqlError) -> bool {
        match error.code {
            1205 | 1213 | 3058 | 9007 => true,
            1105 => {
                let says = |words| error.message.contains(words);
                says("pessimistic lock retry limit") || says("lock wait timeout")
            }
            _ => false,
        }
    }

    /// Whether no connection came about.
    pub fn is_unreachable(error: &Error) -> bool {
        use DriverError::{ConnectTimeout, CouldNotConnect};
        matches!(error, Error::DriverError(ConnectTimeout | CouldNotConnect(_)))
    }

    /// Whether the server may be about to start: no connection came about, or it was closed before
    /// the session stood, as a container's port closes it before there is a TiDB behind.
    pub fn is_on_its_way(error: &Error) -> bool {
        is_unreachable(error) || system_error(error).is_some_and(|(kind, _)| is_closed(kind))
    }

    /// Whether the system says that a connection was closed.
    fn is_closed(kind: ErrorKind) -> bool {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    }

    /// What the system says, in kind and in words, wherever the driver keeps it.
    fn system_error(error: &Error) -> Option<(ErrorKind, String)> {
        match error {
            Error::IoError(error) => Some((error.kind(), error.to_string())),
            Error::CodecError(error) => {
                let error = error.source()?.downcast_ref::<io::Error>()?;
                Some((error.kind(), error.to_string()))
            }
            Error::DriverError(DriverError::CouldNotConnect(Some((_, words, kind)))) => {
                Some((*kind, words.clone()))
            }
            Error::DriverError(error @ DriverError::ConnectTimeout) => {
                Some((ErrorKind::TimedOut, error.to_string()))
            }
            _ => None,
        }
    }

    /// Says what an error is, in our own words first, and what to do about it, if we know.
    fn explain(server: &Server, phase: Phase, error: &Error) -> (String, &'static str) {
        match error {
            Error::MySqlError(error) => (error.to_string(), advice(error)),
            Error::FromRowError(row) => (format!("a row does not convert: {row:?}"), ""),
            Error::TlsError(error) => (
                format!("a certificate file cannot be used ({error})"),
                "correct the files of ssl_ca, cert_chain_path and priv_key_path",
            ),
            Error::DriverError(DriverError::TlsNotSupported) => {
                ("the server has no TLS".to_owned(), "configure it there, or do not ask for it")
            }
            error => match system_error(error) {
                Some((kind, words)) => {
                    let (what, advice) = explain_kind(server, phase, kind);
                    (format!("{what} ({words})"), advice)
                }
                None => (format!("{NOT_MYSQL} ({error})"), IS_IT_TIDB),
            },
        }
    }

    /// Explains an error of the operating system.
    fn explain_kind(server: &Server, phase: Phase, kind: ErrorKind) -> (String, &'static str) {
        let (what, advice) = match (kind, phase) {
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, phase) => {
                let advice = match phase {
                    Phase::Connect => "is a firewall or an IP access list in the way?",
                    Phase::Ddl => "has another TiDB server died? see ADMIN SHOW DDL JOBS",
                    Phase::Dml => "does TiDB reach PD and TiKV? are they overloaded?",
                };
                return (format!("no answer in {} s", server.timeout.as_secs()), advice);
            }
            (ErrorKind::ConnectionRefused, _) => (
                "nobody listens there",
                "start a TiDB (here: `make tidb`), or correct DATABASE_URL",
            ),
            (kind, Phase::Connect) if is_closed(kind) => {
                ("the connection was closed", "does a TiDB start there, or is it another program?")
            }
            (kind, _) if is_closed(kind) => {
                ("the connection was closed", "was the server stopped, or the session killed?")
            }
            (ErrorKind::InvalidData, _) if server.opts.get_ssl_opts().is_some() => (
                "no TLS with this server",
                "is the certificate for this name? is its CA known? add ssl-ca=/path/to/ca.pem",
            ),
            (ErrorKind::InvalidData, _) => (NOT_MYSQL, IS_IT_TIDB),
            (_, Phase::Connect) if server.addresses().is_empty() => {
                ("the name does not resolve", "correct the host in DATABASE_URL")
            }
            _ => ("the connection failed", ""),
        };
        (what.to_owned(), advice)
    }

    /// What another program answers. So does a TiDB that demands TLS, before the session stands:
    /// that error has no SQL state, which the driver takes for malformed.
    const NOT_MYSQL: &str = "this is not MySQL's protocol";
    const IS_IT_TIDB: &str = "is it another program? does it demand TLS? try ssl-mode=REQUIRED";

    /// What to do about an error of the server, by its code: MySQL's, or from 8000 on TiDB's own.
    fn advice(error: &MySqlError) -> &'static str {
        const ADD_TLS: &str = "the server demands TLS: add ssl-mode=VERIFY_IDENTITY";
        let says = |words| error.message.contains(words);
        match error.code {
            1040 => "the server has no connection left: close some, or raise max_connections",
            1044 | 1142 => "grant the rights that sql/0_create_database_and_user.sql grants",
            1045 => "correct user or password; if TLS is off, try ssl-mode=VERIFY_IDENTITY",
            1130 => "the server does not let this host in: see its accounts' hosts",
            1290 | 1836 => "the server is read-only: connect to one that takes writes",
            3159 => ADD_TLS,
            8027 | 9001 | 9002 | 9003 | 9005 | 9012 => {
                "does TiDB reach PD, TiKV and TiFlash? are they overloaded?"
            }
            // TiDB's code for each error that has none of its own.
            1105 if says("insecure transport") => ADD_TLS,
            1105 if says("Missing user name prefix") => {
                "on TiDB Cloud the user is prefix.root: its console shows the prefix"
            }
            1105 if says("usage quota") => {
                "the TiDB Cloud quota is used up: raise the spending limit"
            }
            _ if is_contention(error) => "others change the same: run it again",
            _ => "",
        }
    }
}
