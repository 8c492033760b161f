//! Writes and reads rows as a Rust struct: a NULL is a `None`, an ENUM value is a Rust enum, and a
//! DECIMAL is a `String`, which keeps all its digits.
//! Run it with `cargo run --example typed_rows`.

use std::error::Error;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS rust_quickstart_editions (
    title VARCHAR(50) PRIMARY KEY,
    pages INT,
    format ENUM('Paper', 'Audio') NOT NULL,
    price DECIMAL(10, 2) NOT NULL
)";
// REPLACE instead of INSERT, so that the example can run again.
const WRITE: &str = "REPLACE INTO rust_quickstart_editions (title, pages, format, price)
    VALUES (?, ?, ?, ?)";
const READ: &str =
    "SELECT title, pages, format, price FROM rust_quickstart_editions ORDER BY title";

#[derive(Debug)]
enum Format {
    Paper,
    Audio,
}

#[derive(Debug)]
struct Edition {
    title: String,
    /// The column can be NULL.
    pages: Option<u32>,
    format: Format,
    price: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut conn = connect()?;
    conn.query_drop(CREATE)?;
    let (title, price) = ("Letters".to_owned(), "9.90".to_owned());
    write(&mut conn, &Edition { title, pages: None, format: Format::Audio, price })?;
    let (title, price) = ("Notes".to_owned(), "12.50".to_owned());
    write(&mut conn, &Edition { title, pages: Some(66), format: Format::Paper, price })?;
    for row in conn.exec_opt(READ, ())? {
        println!("{:?}", read_edition(row?)?);
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

/// Writes an edition.
fn write(conn: &mut impl Queryable, edition: &Edition) -> mysql::Result<()> {
    let format = match edition.format {
        Format::Paper => "Paper",
        Format::Audio => "Audio",
    };
    conn.exec_drop(WRITE, (&edition.title, edition.pages, format, &edition.price))
}

/// Converts a row to an edition. `exec_opt` returns an error for a row that cannot be converted to
/// this tuple, such as one with an unexpected NULL; `exec` would panic.
fn read_edition(row: (String, Option<u32>, String, String)) -> Result<Edition, Box<dyn Error>> {
    let (title, pages, format, price) = row;
    let format = match format.as_str() {
        "Paper" => Format::Paper,
        "Audio" => Format::Audio,
        _ => return Err(format!("unknown format {format}").into()),
    };
    Ok(Edition { title, pages, format, price })
}
