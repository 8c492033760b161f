//! Transfers money between two accounts in two threads. Run `cargo run --example transaction`.

use mysql::prelude::Queryable;
use mysql::{Opts, OptsBuilder, Pool, SslOpts, TxOpts};
use std::{error::Error, thread, time::Duration};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS rust_quickstart_accounts
    (owner VARCHAR(50) PRIMARY KEY, balance DECIMAL(20, 2) NOT NULL)";
const OPEN: &str = "INSERT IGNORE INTO rust_quickstart_accounts (owner, balance)
    VALUES ('Ada', 100), ('Ben', 100)";
const LIST: &str = "SELECT owner, balance FROM rust_quickstart_accounts ORDER BY owner";
// FOR UPDATE locks the row until the transaction ends, and reads its latest version. Without CAST,
// TiDB would convert the string to a floating-point number, and large amounts would lose digits.
const LOCK: &str = "SELECT 1 FROM rust_quickstart_accounts WHERE owner = ? FOR UPDATE";
const CAN_PAY: &str = "SELECT CAST(? AS DECIMAL(20, 2)) BETWEEN 0.01 AND balance
    FROM rust_quickstart_accounts WHERE owner = ? FOR UPDATE";
const ADD: &str = "UPDATE rust_quickstart_accounts
    SET balance = balance + CAST(? AS DECIMAL(20, 2)) WHERE owner = ?";
const SUBTRACT: &str = "UPDATE rust_quickstart_accounts
    SET balance = balance - CAST(? AS DECIMAL(20, 2)) WHERE owner = ?";

/// An error that a thread can return.
type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let pool = Pool::new(connection_options(&url)?)?;
    let mut conn = pool.get_conn()?;
    conn.query_drop(CREATE)?;
    conn.query_drop(OPEN)?;
    // The threads share the pool. A thread that outlives `pool` takes a `pool.clone()`.
    let pay = |from, to| (0..50).try_for_each(|_| retry(|| transfer(&pool, from, to, "1.25")));
    let (paid, paid_back) = thread::scope(|scope| {
        let other = scope.spawn(|| pay("Ada", "Ben"));
        (pay("Ben", "Ada"), other.join())
    });
    paid.and(paid_back.map_err(|_| "a thread panicked")?)?;
    if let Err(error) = retry(|| transfer(&pool, "Ada", "Ben", "1000.00")) {
        println!("rolled back 1000.00: {error}");
    }
    for row in conn.exec_opt(LIST, ())? {
        let (owner, balance): (String, String) = row?;
        println!("{owner}: {balance}");
    }
    Ok(())
}

/// Transfers an amount. If this fails, `tx` is dropped, which rolls the transaction back.
fn transfer(pool: &Pool, from: &str, to: &str, amount: &str) -> Result<(), AnyError> {
    // If all connections of the pool are in use, `get_conn` would wait indefinitely.
    let mut conn = pool.try_get_conn(Duration::from_secs(10))?;
    let mut tx = conn.start_transaction(TxOpts::default())?;
    // Lock in the same order everywhere: otherwise, opposite transfers could deadlock.
    for owner in [from.min(to), from.max(to)] {
        let _: u8 = tx.exec_first_opt(LOCK, (owner,))?.ok_or("no such account")??;
    }
    let can_pay: bool = tx.exec_first_opt(CAN_PAY, (amount, from))?.ok_or("no such account")??;
    if !can_pay {
        return Err("invalid amount or not enough money".into());
    }
    tx.exec_drop(SUBTRACT, (amount, from))?;
    tx.exec_drop(ADD, (amount, to))?;
    Ok(tx.commit()?)
}

/// Runs a transaction. After a conflict, which is rare if all lock in the same order, retries it up
/// to nine times, with a pause that doubles from 2 ms to 512 ms. Returns other errors immediately.
fn retry<T>(mut transaction: impl FnMut() -> Result<T, AnyError>) -> Result<T, AnyError> {
    for attempt in 1..10 {
        match transaction() {
            Err(error) if is_conflict(&*error) => {
                thread::sleep(Duration::from_millis(1 << attempt));
            }
            result => return result,
        }
    }
    transaction()
}

/// Returns whether TiDB's developer guide recommends a retry of the transaction after this error.
fn is_conflict(error: &(dyn Error + 'static)) -> bool {
    let Some(mysql::Error::MySqlError(error)) = error.downcast_ref() else { return false };
    matches!(error.code, 1213 | 8002 | 8022 | 8028 | 9007)
}

/// Reads a URL. Enables TLS for TiDB Cloud, and if the URL has `root_cert_path`.
fn connection_options(url: &str) -> Result<OptsBuilder, String> {
    let help = "use mysql://user:password@host:4000/database; for TiDB Cloud Starter, remove the ? \
        and all that follows (TLS is on); for a private CA, use ?root_cert_path=/path/to/ca.pem";
    let opts = Opts::from_url(url).map_err(|error| format!("{error}: {help}"))?;
    let is_tidb_cloud = opts.get_ip_or_hostname().ends_with(".tidbcloud.com");
    let tls = opts.get_ssl_opts().cloned().or(is_tidb_cloud.then(SslOpts::default));
    // By default, the driver may switch to a Unix socket: no TLS, and perhaps another server.
    Ok(OptsBuilder::from_opts(opts).ssl_opts(tls).prefer_socket(false))
}
