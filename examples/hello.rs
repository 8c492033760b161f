//! The shortest program: connects, inserts a row, and reads it. Run `cargo run --example hello`.

use mysql::prelude::Queryable;
use mysql::{Opts, OptsBuilder, Pool, SslOpts};

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let mut conn = Pool::new(connection_options(&url)?)?.get_conn()?;
    // AUTO_RANDOM spreads the rows of a growing table over the cluster, unlike AUTO_INCREMENT.
    let create = "CREATE TABLE IF NOT EXISTS rust_quickstart_users
        (id BIGINT AUTO_RANDOM PRIMARY KEY, name VARCHAR(50) NOT NULL, age INT NOT NULL)";
    conn.query_drop(create)?;
    let insert = "INSERT INTO rust_quickstart_users (name, age) VALUES (?, ?)";
    conn.exec_drop(insert, ("Ada", 36))?;
    for row in conn.exec_opt("SELECT name, age FROM rust_quickstart_users", ())? {
        let (name, age): (String, u32) = row?;
        println!("{name} is {age}");
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
