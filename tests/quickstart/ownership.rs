//! The program never touches a table that it did not create.

use mysql::prelude::Queryable;

use crate::support::{Server, quickstart, run};

/// Objects that have a name of ours: a statement that creates one, its name and its kind.
const OTHERS: [(&str, &str, &str); 9] = [
    ("CREATE TABLE users (id INT)", "users", "TABLE"),
    // As the Python sample creates it.
    ("CREATE TABLE orders (oid INTEGER PRIMARY KEY, uid INTEGER, price FLOAT)", "orders", "TABLE"),
    ("CREATE TABLE UsErS (id INT)", "UsErS", "TABLE"),
    ("CREATE TABLE users (id INT) PARTITION BY HASH (id) PARTITIONS 2", "users", "TABLE"),
    ("CREATE VIEW users AS SELECT 7 AS id", "users", "VIEW"),
    ("CREATE SEQUENCE orders COMMENT 'tidb-rust-mysql-quickstart'", "orders", "SEQUENCE"),
    ("CREATE TABLE orders (id INT) COMMENT 'TiDB-Rust-MySQL-Quickstart'", "orders", "TABLE"),
    ("CREATE TABLE orders (id INT) COMMENT 'tidb-rust-mysql-quickstart '", "orders", "TABLE"),
    ("CREATE TABLE orders (id INT) COMMENT 'not tidb-rust-mysql-quickstart'", "orders", "TABLE"),
];

/// The tables, views and sequences of a database, with the rows of those that have any.
fn snapshot(server: &Server, database: &str) -> Vec<String> {
    let mut all = Vec::new();
    let tables = server.rows::<(String, String)>(&format!("SHOW FULL TABLES IN {database}"));
    for (name, kind) in tables {
        let kind = kind.replace("BASE ", "");
        let create = server.rows::<mysql::Row>(&format!("SHOW CREATE {kind} {database}.{name}"));
        all.push(format!("{create:?}"));
        if kind != "SEQUENCE" {
            let rows = server.rows::<mysql::Row>(&format!("SELECT * FROM {database}.{name}"));
            all.push(format!("{rows:?}"));
        }
    }
    all
}

#[test]
fn objects_of_others_stay_as_they_are() {
    let server = Server::shared();
    for (number, (statement, name, kind)) in OTHERS.into_iter().enumerate() {
        let database = format!("others_{number}");
        let url = server.url(&database);
        server.execute(&[&format!("CREATE DATABASE {database}")]);
        let mut session = server.session();
        session.select_db(&database).unwrap();
        // Beside it, there is a table of ours.
        let ours = if name == "orders" { "users" } else { "orders" };
        let ours = format!("CREATE TABLE {ours} (id INT) COMMENT 'tidb-rust-mysql-quickstart'");
        session.query_drop(ours).unwrap();
        session.query_drop(statement).unwrap();
        let before = snapshot(server, &database);
        assert!(before.len() >= 3, "{before:?}");
        for arguments in [&[][..], &["--cleanup"]] {
            let refused = run(quickstart(&url).args(arguments));
            refused.assert_refused(2, &[name, kind, &database, "DATABASE_URL", "drop"]);
            assert_eq!(snapshot(server, &database), before, "{statement} {arguments:?}");
        }
        // The remedy works.
        session.query_drop(format!("DROP {kind} {name}")).unwrap();
        run(&mut quickstart(&url)).assert_passed();
    }
}

#[test]
fn cleanup_drops_its_two_tables_and_nothing_else() {
    let server = Server::shared();
    server.execute(&[
        "CREATE DATABASE cleanup",
        "CREATE TABLE cleanup.others (id INT)",
        "CREATE VIEW cleanup.orders_view AS SELECT 1",
        // A table of ours with other columns is created again.
        "CREATE TABLE cleanup.users (id INT) COMMENT 'tidb-rust-mysql-quickstart'",
    ]);
    for _ in 0..2 {
        let cleaned = run(quickstart(&server.url("cleanup")).arg("--cleanup"));
        assert!(cleaned.assert_passed().stderr.contains("clean up"), "{cleaned:?}");
        assert_eq!(server.rows::<String>("SHOW TABLES IN cleanup"), ["orders_view", "others"]);
    }
}
