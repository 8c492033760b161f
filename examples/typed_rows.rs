//! Writes and reads rows as a Rust struct: a NULL is a `None`, an ENUM value is a Rust enum, and a
//! DECIMAL is a `String`, which keeps all its digits.
//!
//! The example needs the database that `cargo run` creates, and connects to the TiDB in
//! `DATABASE_URL`, or to the one that `make tidb` starts:
//!
//! ```sh
//! cargo run --example typed_rows
//! ```

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS editions (
    title VARCHAR(50) PRIMARY KEY,
    pages INT,
    format ENUM('Paper', 'Audio') NOT NULL,
    price DECIMAL(10, 2) NOT NULL
)";
// REPLACE instead of INSERT, so that the example can run again.
const WRITE: &str = "REPLACE INTO editions (title, pages, format, price) VALUES (?, ?, ?, ?)";
const READ: &str = "SELECT title, pages, format, price FROM editions ORDER BY title";

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut conn = connect()?;
    conn.query_drop(CREATE)?;
    let (letters, notes) = ("Letters".to_owned(), "Notes".to_owned());
    let editions = [
        Edition { title: letters, pages: None, format: Format::Audio, price: "9.90".to_owned() },
        Edition { title: notes, pages: Some(66), format: Format::Paper, price: "12.50".to_owned() },
    ];
    write(&mut conn, &editions)?;
    for edition in read(&mut conn)? {
        println!("{edition:?}");
    }
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

/// Writes each edition with its own statement.
fn write(conn: &mut impl Queryable, editions: &[Edition]) -> mysql::Result<()> {
    let rows = editions.iter().map(|edition| {
        let format = match edition.format {
            Format::Paper => "Paper",
            Format::Audio => "Audio",
        };
        (&edition.title, edition.pages, format, &edition.price)
    });
    conn.exec_batch(WRITE, rows)
}

/// Reads all editions. `exec_opt` returns an error for a row that cannot be converted, such as one
/// with an unexpected NULL; `exec` would panic.
fn read(conn: &mut impl Queryable) -> Result<Vec<Edition>, Box<dyn std::error::Error>> {
    let mut editions = Vec::new();
    for row in conn.exec_opt(READ, ())? {
        let (title, pages, format, price): (_, _, String, _) = row?;
        let format = match format.as_str() {
            "Paper" => Format::Paper,
            "Audio" => Format::Audio,
            _ => return Err(format!("unknown format {format}").into()),
        };
        editions.push(Edition { title, pages, format, price });
    }
    Ok(editions)
}
