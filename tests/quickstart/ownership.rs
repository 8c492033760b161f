//! The program never touches what it did not make.

use crate::support::{Server, quickstart, run};

/// Objects in the program's way: a name for the test's database, the statements that make the
/// object, its name, its kind.
const FOREIGN: [(&str, &[&str], &str, &str); 9] = [
    ("table", &["CREATE TABLE users (id INT)", "INSERT INTO users VALUES (7)"], "users", "TABLE"),
    (
        "python",
        &[
            "CREATE TABLE orders (oid INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, uid INTEGER, price FLOAT)",
        ],
        "orders",
        "TABLE",
    ),
    ("case", &["CREATE TABLE UsErS (id INT)", "INSERT INTO users VALUES (7)"], "UsErS", "TABLE"),
    (
        "comment",
        &["CREATE TABLE orders (id INT) COMMENT 'not tidb-rust-mysql-quickstart'"],
        "orders",
        "TABLE",
    ),
    (
        "comment_case",
        &["CREATE TABLE orders (id INT) COMMENT 'TiDB-Rust-MySQL-Quickstart'"],
        "orders",
        "TABLE",
    ),
    (
        "comment_space",
        &["CREATE TABLE orders (id INT) COMMENT 'tidb-rust-mysql-quickstart '"],
        "orders",
        "TABLE",
    ),
    ("view", &["CREATE VIEW users AS SELECT 7 AS id"], "users", "VIEW"),
    (
        "sequence",
        &["CREATE SEQUENCE orders COMMENT 'tidb-rust-mysql-quickstart'"],
        "orders",
        "SEQUENCE",
    ),
    (
        "partitioned",
        &["CREATE TABLE users (id INT) PARTITION BY HASH (id) PARTITIONS 2"],
        "users",
        "TABLE",
    ),
];

/// All that a database holds: the statements that would make it again, and the rows of its tables.
fn snapshot(server: &Server, database: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (name, kind) in server.rows::<(String, String)>(&format!("SHOW FULL TABLES IN {database}"))
    {
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
fn foreign_objects_stay_as_they_are() {
    let server = Server::shared();
    for (database, statements, name, kind) in FOREIGN {
        let database = format!("foreign_{database}");
        server.execute(&[&format!("CREATE DATABASE {database}")]);
        let mut session = server.session();
        session.select_db(&database).unwrap();
        for statement in statements {
            mysql::prelude::Queryable::query_drop(&mut session, statement).unwrap();
        }
        let before = snapshot(server, &database);
        assert!(!before.is_empty());
        for arguments in [&[][..], &["--cleanup"]] {
            let refused = run(quickstart(&server.url(&database)).args(arguments));
            let words = [name, kind, &database, "DATABASE_URL", "drop"];
            refused.assert_refused(2, &words);
            assert_eq!(snapshot(server, &database), before, "{statements:?} {arguments:?}");
        }
        // Out of the way, as the message says, it is no hindrance any more.
        server.execute(&[&format!("DROP {kind} {database}.{name}")]);
        run(&mut quickstart(&server.url(&database))).assert_passed();
    }
}

#[test]
fn one_foreign_table_beside_one_of_ours_changes_nothing() {
    let server = Server::shared();
    let url = server.url("foreign_beside");
    run(&mut quickstart(&url)).assert_passed();
    server.execute(&[
        "DROP TABLE foreign_beside.orders",
        "CREATE TABLE foreign_beside.orders (id INT)",
        "UPDATE foreign_beside.users SET name = 'Zoe' WHERE uid = 1",
    ]);
    let before = snapshot(server, "foreign_beside");
    run(quickstart(&url).arg("--cleanup")).assert_refused(2, &["orders"]);
    assert_eq!(snapshot(server, "foreign_beside"), before);
}

#[test]
fn an_own_table_that_lost_its_columns_is_made_anew() {
    let server = Server::shared();
    server.execute(&[
        "CREATE DATABASE own_changed",
        "CREATE TABLE own_changed.users (id INT) COMMENT 'tidb-rust-mysql-quickstart'",
    ]);
    run(&mut quickstart(&server.url("own_changed"))).assert_passed();
    server.assert_final_rows("own_changed");
}
