//! Limits how long a program waits for TiDB. Run `cargo run --example timeouts`.

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let builder = connection_options(&url)?
        // TiDB's limits: for row locks in a transaction (s), and for SELECT (ms)
        .init(vec!["SET innodb_lock_wait_timeout = 1, max_execution_time = 1000"])
        // The driver's timeouts, for other statements and unresponsive servers. Do not set
        // `read_timeout` for a `Pool`: it could reuse a connection whose reply is late.
        .tcp_connect_timeout(Some(Duration::from_secs(5)))
        .read_timeout(Some(Duration::from_secs(2)));
    let opts = Opts::from(builder);
    let mut conn = Conn::new(opts.clone())?;
    for statement in ["DO SLEEP(3)", "SELECT 42"] {
        let result = conn.query_first_opt::<u8, _>(statement);
        println!("{statement}: {result:?}");
        // After an error that is not TiDB's reply, the reply may still come, and the driver would
        // take it for the reply to the next statement.
        if result.is_err_and(|error| !matches!(error, mysql::Error::MySqlError(_))) {
            conn = Conn::new(opts.clone())?;
        }
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
