//! The shortest program: connects, inserts a row, and reads it. Run `cargo run --example hello`.

use mysql::Pool;
use mysql::prelude::Queryable;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "mysql://root@127.0.0.1:4000/test".to_owned());
    let pool = Pool::new(url.as_str())?;
    let mut conn = pool.get_conn()?;
    conn.query_drop(
        "CREATE TABLE IF NOT EXISTS rust_quickstart_users
        (id BIGINT AUTO_RANDOM PRIMARY KEY, name VARCHAR(50) NOT NULL, age INT NOT NULL)",
    )?;
    let insert = "INSERT INTO rust_quickstart_users (name, age) VALUES (?, ?)";
    conn.exec_drop(insert, ("Ada", 36))?;
    for row in conn.exec_opt("SELECT name, age FROM rust_quickstart_users", ())? {
        let (name, age): (String, u32) = row?;
        println!("{name} is {age}");
    }
    Ok(())
}
