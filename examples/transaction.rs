//! Transfers money between two accounts in one transaction: both balances change, or neither does.
//! It also handles a duplicate key, calculates with DECIMAL values, and retries after a conflict.
//! Run it with `cargo run --example transaction`.

use std::{error::Error, thread, time::Duration};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, TxOpts};

// AUTO_RANDOM spreads the rows of a growing table over the cluster. The tutorial's tables have
// AUTO_INCREMENT, because the tutorial expects the ids 1, 2, 3.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS rust_quickstart_accounts (
    id BIGINT AUTO_RANDOM PRIMARY KEY,
    owner VARCHAR(50) NOT NULL UNIQUE,
    balance DECIMAL(20, 2) NOT NULL
)";
const OPEN: &str = "INSERT INTO rust_quickstart_accounts (owner, balance) VALUES (?, ?)";
const FIND: &str = "SELECT id FROM rust_quickstart_accounts WHERE owner = ?";
const LIST: &str = "SELECT owner, balance FROM rust_quickstart_accounts ORDER BY owner";
// FOR UPDATE locks the row until the transaction ends. Without CAST, TiDB would convert the string
// to a floating-point number, and large amounts would lose digits.
const LOCK: &str = "SELECT CAST(? AS DECIMAL(20, 2)) BETWEEN 0.01 AND balance
    FROM rust_quickstart_accounts WHERE id = ? FOR UPDATE";
const SUBTRACT: &str = "UPDATE rust_quickstart_accounts
    SET balance = balance - CAST(? AS DECIMAL(20, 2)) WHERE id = ?";
const ADD: &str = "UPDATE rust_quickstart_accounts
    SET balance = balance + CAST(? AS DECIMAL(20, 2)) WHERE id = ?";

fn main() -> Result<(), Box<dyn Error>> {
    let mut conn = connect()?;
    conn.query_drop(CREATE)?;
    let ada = open_account(&mut conn, "Ada", "100.00")?;
    let ben = open_account(&mut conn, "Ben", "0.00")?;
    for amount in ["30.05", "1000.00"] {
        match retry(|| transfer(&mut conn, ada, ben, amount)) {
            Ok(()) => println!("transferred {amount}"),
            Err(error) if error.is::<mysql::Error>() => return Err(error),
            Err(error) => println!("rolled back {amount}: {error}"),
        }
    }
    for row in conn.exec_opt(LIST, ())? {
        let (owner, balance): (String, String) = row?;
        println!("{owner}: {balance}");
    }
    Ok(())
}

/// Connects to the TiDB in `DATABASE_URL`.
fn connect() -> Result<Conn, Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let opts = Opts::from_url(&url).map_err(|error| {
        format!("{error}; for TLS, use mysql://…?root_cert_path=/path/to/ca.pem")
    })?;
    // Otherwise the driver may switch to the Unix socket that the server reports.
    Ok(Conn::new(OptsBuilder::from_opts(opts).prefer_socket(false))?)
}

/// Opens an account and returns the id that TiDB assigned. Each owner has only one account.
fn open_account(conn: &mut Conn, owner: &str, balance: &str) -> Result<u64, Box<dyn Error>> {
    match conn.exec_drop(OPEN, (owner, balance)) {
        Ok(()) => Ok(conn.last_insert_id()),
        // Duplicate key
        Err(mysql::Error::MySqlError(error)) if error.code == 1062 => {
            println!("{owner} has an account");
            Ok(conn.exec_first(FIND, (owner,))?.ok_or("no such account")?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Transfers an amount. If this fails, `tx` is dropped, which rolls the transaction back.
fn transfer(conn: &mut Conn, from: u64, to: u64, amount: &str) -> Result<(), Box<dyn Error>> {
    let mut tx = conn.start_transaction(TxOpts::default())?;
    // Locks the rows in id order: otherwise, transfers in opposite directions could deadlock.
    for id in [from.min(to), from.max(to)] {
        let can_pay: bool = tx.exec_first(LOCK, (amount, id))?.ok_or("no such account")?;
        if id == from && !can_pay {
            return Err("invalid amount or not enough money".into());
        }
    }
    let subtracted = tx.exec_iter(SUBTRACT, (amount, from))?.affected_rows();
    let added = tx.exec_iter(ADD, (amount, to))?.affected_rows();
    if subtracted != 1 || added != 1 {
        return Err("a balance was not updated".into());
    }
    Ok(tx.commit()?)
}

/// Runs a transaction. After a conflict with another transaction, retries it up to nine times, with
/// a pause that doubles from 2 ms to 512 ms. Returns all other errors immediately.
fn retry<T>(
    mut transaction: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
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
