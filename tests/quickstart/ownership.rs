//! The program never touches a table that it did not create.

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::support::{Server, quickstart, run};

/// Statements that create an object with a name of ours.
const OTHERS: [&str; 5] = [
    "CREATE TABLE users (id INT)",
    "CREATE TABLE UsErS (id INT)",
    "CREATE VIEW users AS SELECT 7 AS id",
    "CREATE TABLE users (id INT) COMMENT 'TiDB-Rust-MySQL-Quickstart'",
    "CREATE TABLE users (id INT) COMMENT 'tidb-rust-mysql-quickstart '",
];

/// The objects of the current database, and the rows of its tables and views.
fn snapshot(session: &mut Conn) -> Vec<String> {
    let objects = "SELECT CONCAT_WS(' ', TABLE_NAME, TABLE_TYPE, TIDB_TABLE_ID, TABLE_COMMENT)
        FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1";
    let mut all: Vec<String> = session.query(objects).unwrap();
    all.extend(session.query::<String, _>("SELECT id FROM users").unwrap());
    all.extend(session.query::<String, _>("SELECT id FROM orders").unwrap());
    all
}

#[test]
fn objects_of_others_stay_as_they_are() {
    let server = Server::shared();
    for (number, statement) in OTHERS.into_iter().enumerate() {
        let database = format!("others_{number}");
        let kind = statement.split(' ').nth(1).unwrap();
        server.execute(&[&format!("CREATE DATABASE {database}")]);
        let mut session = server.session();
        session.select_db(&database).unwrap();
        session.query_drop(statement).unwrap();
        // Fails for the view, which has a row.
        let _ = session.query_drop("INSERT INTO users VALUES (7)");
        // Beside it, there is a table of ours.
        let ours = "CREATE TABLE orders (id INT) COMMENT 'tidb-rust-mysql-quickstart'";
        session.query_drop(ours).unwrap();
        session.query_drop("INSERT INTO orders VALUES (1)").unwrap();
        let before = snapshot(&mut session);
        assert_eq!(before.len(), 4, "{before:?}");
        let words = ["was not created by this program", kind, &database, "DATABASE_URL", "drop"];
        for arguments in [&[][..], &["--cleanup"]] {
            let refused = run(quickstart(server.port, &database).args(arguments));
            refused.assert_failed(2, &words);
            assert_eq!(snapshot(&mut session), before, "{statement} {arguments:?}");
        }
        // The remedy works.
        session.query_drop(format!("DROP {kind} users")).unwrap();
        run(quickstart(server.port, &database)).assert_passed();
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
        run(quickstart(server.port, "cleanup").arg("--cleanup")).assert_passed();
        assert_eq!(server.rows::<String>("SHOW TABLES IN cleanup"), ["orders_view", "others"]);
    }
}
