//! Inserts an author and two books in one transaction: TiDB commits all three rows or none.
//!
//! The example also reads back the id that TiDB assigned, distinguishes a duplicate key from other errors,
//! and retries a transaction that conflicts with another one. It needs the database that `cargo run`
//! creates, and connects to the TiDB in `DATABASE_URL`, or to the one that `make tidb` starts:
//!
//! ```sh
//! cargo run --example transaction
//! ```

use mysql::prelude::Queryable;
use mysql::{Conn, Error, Opts, OptsBuilder, SslOpts, TxOpts};

const CREATE_AUTHORS: &str = "CREATE TABLE IF NOT EXISTS authors
    (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL)";
const CREATE_BOOKS: &str = "CREATE TABLE IF NOT EXISTS books
    (title VARCHAR(50) PRIMARY KEY, author_id BIGINT NOT NULL)";
const COUNT: &str = "SELECT (SELECT COUNT(*) FROM authors), (SELECT COUNT(*) FROM books)";

const DUPLICATE_KEY: u16 = 1062;
const DEADLOCK: u16 = 1213;
const WRITE_CONFLICT: u16 = 9007;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut conn = connect()?;
    conn.query_drop(CREATE_AUTHORS)?;
    conn.query_drop(CREATE_BOOKS)?;
    match retry(|| add_author(&mut conn, "Ada", &["Letters", "Notes"])) {
        Err(Error::MySqlError(error)) if error.code == DUPLICATE_KEY => {
            println!("rolled back: a book with this title exists");
        }
        result => {
            result?;
            println!("committed");
        }
    }
    let (authors, books): (u32, u32) = conn.query_first(COUNT)?.unwrap_or_default();
    println!("authors: {authors}, books: {books}");
    Ok(())
}

/// Connects to the TiDB in `DATABASE_URL`.
fn connect() -> Result<Conn, Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test_sqlalchemy".to_owned());
    let opts = Opts::from_url(&url)?;
    let is_tidb_cloud = opts.get_ip_or_hostname().ends_with(".tidbcloud.com");
    // Otherwise the driver may switch to the Unix socket that the server reports.
    let mut builder = OptsBuilder::from_opts(opts).prefer_socket(false);
    if is_tidb_cloud {
        // Encrypts, and verifies the certificate and the hostname with the public CAs.
        builder = builder.ssl_opts(SslOpts::default());
    }
    Ok(Conn::new(builder)?)
}

/// Adds an author and their books. If a statement fails, `?` returns before the commit, and
/// dropping the transaction rolls it back.
fn add_author(conn: &mut Conn, name: &str, titles: &[&str]) -> mysql::Result<()> {
    let mut tx = conn.start_transaction(TxOpts::default())?;
    tx.exec_drop("INSERT INTO authors (name) VALUES (?)", (name,))?;
    let id = tx.last_insert_id();
    let books = titles.iter().map(|title| (title, id));
    tx.exec_batch("INSERT INTO books (title, author_id) VALUES (?, ?)", books)?;
    tx.commit()
}

/// Runs a transaction, and retries it up to twice after a deadlock or write conflict.
fn retry<T>(mut transaction: impl FnMut() -> mysql::Result<T>) -> mysql::Result<T> {
    for _ in 0..2 {
        match transaction() {
            Err(Error::MySqlError(e)) if matches!(e.code, DEADLOCK | WRITE_CONFLICT) => {}
            result => return result,
        }
    }
    transaction()
}
