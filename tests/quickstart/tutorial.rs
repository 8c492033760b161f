//! The tutorial's steps: what they print, and what they leave in the database.

use mysql::prelude::Queryable;

use crate::proxy::{Proxy, Verdict};
use crate::support::{Server, TIDB_VERSION, quickstart, root, run};

/// A line of the log without the time that a run took.
pub fn without_time(line: &str) -> &str {
    line.find(" in ").filter(|_| line.ends_with(" ms")).map_or(line, |at| &line[..at + 3])
}

#[test]
fn prints_the_line_and_logs_the_steps() {
    let server = Server::shared();
    let first = run(&mut quickstart(&server.url("output")));
    first.assert_passed();
    let steps: Vec<_> = first.stderr.lines().map(without_time).collect();
    let connected = format!(
        "[INFO ] server 8.0.11-TiDB-{TIDB_VERSION} at 127.0.0.1:{}, TLS off, database output",
        server.port
    );
    let expected = [
        &connected,
        "[INFO ] 1. drop and create users and orders",
        "[INFO ] 2. insert three users",
        "[INFO ] 2. insert one order",
        "[INFO ] 2. insert five orders",
        "[INFO ] 3. delete order 4",
        "[INFO ] 4. set the price of order 1 to 3.5",
        "[INFO ] 5. join users and orders",
        "[INFO ] passed in",
    ];
    assert_eq!(steps, expected);
    server.assert_final_rows("output");
}

#[test]
fn no_level_of_the_log_shows_the_rows() {
    let url = Server::shared().url("trace");
    let trace = run(quickstart(&url).env("RUST_LOG", "trace"));
    for value in ["Alice", "Female", "2123.87"] {
        assert!(!trace.assert_passed().stderr.contains(value), "{value} in {trace:#?}");
    }
}

/// A row of SHOW COLUMNS: name, type, nullability, key, default, extra.
type Column = (String, String, String, String, Option<String>, String);

#[test]
fn columns_are_the_tutorials() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("columns"))).assert_passed();
    let column = |name: &str, kind: &str, null: &str, key: &str, extra: &str| {
        (name.into(), kind.into(), null.into(), key.into(), None, extra.into())
    };
    let users: Vec<Column> = server.rows("SHOW COLUMNS FROM columns.users");
    let expected = [
        column("uid", "int", "NO", "PRI", "auto_increment"),
        column("name", "varchar(50)", "YES", "", ""),
        column("gender", "enum('Female','Male')", "YES", "", ""),
    ];
    assert_eq!(users, expected);
    let orders: Vec<Column> = server.rows("SHOW COLUMNS FROM columns.orders");
    let expected = [
        column("oid", "int", "NO", "PRI", "auto_increment"),
        column("uid", "int", "YES", "", ""),
        column("price", "float", "YES", "", ""),
    ];
    assert_eq!(orders, expected);
}

#[test]
fn twenty_runs_in_a_row_print_the_same() {
    let server = Server::shared();
    for _ in 0..20 {
        run(&mut quickstart(&server.url("twenty"))).assert_passed();
    }
    server.assert_final_rows("twenty");
}

#[test]
fn cleanup_drops_its_two_tables_and_nothing_else() {
    let server = Server::shared();
    server.execute(&[
        "CREATE DATABASE cleanup",
        "CREATE TABLE cleanup.others (id INT)",
        "CREATE VIEW cleanup.orders_view AS SELECT 1",
    ]);
    for _ in 0..2 {
        let cleaned = run(quickstart(&server.url("cleanup")).arg("--cleanup"));
        cleaned.assert_passed();
        assert!(cleaned.stderr.contains("clean up"), "{cleaned:?}");
        assert_eq!(server.rows::<String>("SHOW TABLES IN cleanup"), ["orders_view", "others"]);
    }
}

#[test]
fn a_user_with_rights_on_one_database_is_enough() {
    let server = Server::shared();
    let sql = std::fs::read_to_string(root().join("sql/0_create_database_and_user.sql")).unwrap();
    let sql = sql.replace("change-this-password", "P@ss/w0rd: ?#%");
    for _ in 0..2 {
        let mut session = server.session();
        let mut results = session.query_iter(&sql).unwrap();
        let mut statements = 0;
        while results.iter().is_some() {
            statements += 1;
        }
        assert_eq!(statements, 3);
    }
    let limited = format!("quickstart:P%40ss%2Fw0rd%3A%20%3F%23%25@127.0.0.1:{}", server.port);
    for _ in 0..2 {
        run(&mut quickstart(&format!("mysql://{limited}/test_sqlalchemy"))).assert_passed();
    }
    // What it may drop, it may create again.
    server.execute(&["DROP DATABASE test_sqlalchemy"]);
    run(&mut quickstart(&format!("mysql://{limited}/test_sqlalchemy"))).assert_passed();
    server.assert_final_rows("test_sqlalchemy");
    run(&mut quickstart(&format!("mysql://{limited}/another"))).assert_refused(1, &["another"]);
}

#[test]
fn odd_database_names() {
    let server = Server::shared();
    for (name, encoded) in [
        ("two words", "two%20words"),
        ("it's", "it's"),
        ("\"quoted\"", "%22quoted%22"),
        ("日本語", "%E6%97%A5%E6%9C%AC%E8%AA%9E"),
        ("select", "select"),
        ("x; DROP DATABASE odd; --", "x%3B%20DROP%20DATABASE%20odd%3B%20--"),
        ("per%cent_?#", "per%25cent_%3F%23"),
        ("MixedCase", "MixedCase"),
        ("back\\slash", "back%5Cslash"),
    ] {
        for _ in 0..2 {
            run(&mut quickstart(&server.url(encoded))).assert_passed();
        }
        server.assert_final_rows(name);
    }
    // TiDB would put it unescaped into a statement of its own.
    let refused = run(&mut quickstart(&server.url("back%60tick")));
    refused.assert_refused(2, &["DATABASE_URL", "backtick"]);
}

#[test]
fn global_settings_do_not_matter() {
    let server = Server::start("");
    let settings = [
        "autocommit = OFF",
        "auto_increment_increment = 7",
        "auto_increment_offset = 3",
        "sql_select_limit = 1",
        "sql_mode = ''",
        "sql_mode = 'ANSI,ORACLE,TRADITIONAL,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        "time_zone = '+14:00'",
        "tx_isolation = 'READ-COMMITTED'",
        "tidb_txn_mode = 'optimistic'",
        "tidb_low_resolution_tso = ON",
        "transaction_read_only = ON",
        "sql_safe_updates = ON",
        "foreign_key_checks = OFF",
        "character_set_server = 'latin1'",
        "collation_connection = 'utf8mb4_bin'",
        "tidb_constraint_check_in_place = ON",
    ];
    // Without this TiDB refuses to set transaction_read_only.
    server.execute(&["SET GLOBAL tidb_enable_noop_functions = ON"]);
    // One by one, then all at once, on a first and on a later run.
    for (number, setting) in settings.iter().enumerate() {
        let name: String = setting.split(" =").next().unwrap().into();
        let value: String = server.rows(&format!("SELECT @@global.{name}")).remove(0);
        server.execute(&[&format!("SET GLOBAL {setting}")]);
        let with = run(&mut quickstart(&server.url(&format!("setting_{number}"))));
        assert!(with.status == Some(0), "{setting}: {with:#?}");
        with.assert_passed();
        server.execute(&[&format!("SET GLOBAL {name} = '{value}'")]);
        server.assert_final_rows(&format!("setting_{number}"));
    }
    server.execute(&settings.map(|s| format!("SET GLOBAL {s}")).each_ref().map(String::as_str));
    run(&mut quickstart(&server.url("setting_all"))).assert_passed();
    run(&mut quickstart(&server.url("setting_all"))).assert_passed();
}

#[test]
fn a_server_that_is_not_tidb_is_refused_before_anything_changes() {
    let server = Server::shared();
    // To this server, a variable of another name is as unknown as TiDB's is to MySQL and MariaDB.
    let proxy = Proxy::start(server.port, |packet| {
        let name = b"tidb_low_resolution_tso";
        if let Some(at) = packet.payload.windows(name.len()).position(|window| window == name) {
            packet.payload[at..at + 4].copy_from_slice(b"none");
        }
        Verdict::Pass
    });
    let refused = run(&mut quickstart(&proxy.url("not_tidb")));
    refused.assert_refused(2, &["connect: ERROR 1193", "not TiDB", "4000", "DATABASE_URL"]);
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'not_tidb'").is_empty());
}
