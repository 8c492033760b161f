//! Writes and reads rows as a Rust struct. Run it with `cargo run --example typed_rows`.

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS rust_quickstart_editions
    (title VARCHAR(50) PRIMARY KEY, pages INT, format ENUM('Paper', 'Audio') NOT NULL,
    price DECIMAL(10, 2) NOT NULL)";
// REPLACE instead of INSERT, so that the example can run again.
const WRITE: &str = "REPLACE INTO rust_quickstart_editions (title, pages, format, price)
    VALUES (?, ?, ?, ?)";
const READ: &str = "SELECT title, pages, format, price FROM rust_quickstart_editions";

/// A row. With the feature `derive` of the `mysql` crate, `#[derive(FromRow)]` reads it by name.
#[derive(Debug)]
struct Edition {
    title: String,
    /// The column can be NULL.
    pages: Option<u32>,
    /// An ENUM. For a Rust enum, see `Gender` in `src/main.rs`.
    format: String,
    /// A DECIMAL: `String` keeps all digits. To calculate, use the crate `rust_decimal`, and the
    /// feature of that name of `mysql`. For DATETIME, use `chrono` or `time` in the same way.
    price: String,
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let mut conn = Conn::new(connection_options(&url)?)?;
    conn.query_drop(CREATE)?;
    let edition = Edition {
        title: "Letters".to_owned(),
        pages: None,
        format: "Audio".to_owned(),
        price: "9.90".to_owned(),
    };
    conn.exec_drop(WRITE, (edition.title, edition.pages, edition.format, edition.price))?;
    // If a value cannot be converted, such as an unexpected NULL, or a DATETIME to a `String`,
    // `exec_opt` returns an error; `exec` panics.
    for row in conn.exec_opt(READ, ())? {
        let (title, pages, format, price) = row?;
        println!("{:?}", Edition { title, pages, format, price });
    }
    Ok(())
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
