//! The tutorial's steps: what they print, and what they leave in the database.

use mysql::prelude::Queryable;

use crate::support::{Server, quickstart, root, run};

/// A row of SHOW COLUMNS: name, type, nullability, key, default, extra.
type Column = (String, String, String, String, Option<String>, String);

#[test]
fn each_run_prints_the_line_and_leaves_the_tutorials_rows_and_columns() {
    let server = Server::shared();
    for _ in 0..3 {
        run(&mut quickstart(&server.url("tutorial"))).assert_passed();
    }
    server.assert_final_rows("tutorial");
    let column = |name: &str, kind: &str, null: &str, key: &str, extra: &str| {
        (name.into(), kind.into(), null.into(), key.into(), None, extra.into())
    };
    let users: Vec<Column> = server.rows("SHOW COLUMNS FROM tutorial.users");
    let expected = [
        column("uid", "int", "NO", "PRI", "auto_increment"),
        column("name", "varchar(50)", "YES", "", ""),
        column("gender", "enum('Female','Male')", "YES", "", ""),
    ];
    assert_eq!(users, expected);
    let orders: Vec<Column> = server.rows("SHOW COLUMNS FROM tutorial.orders");
    let expected = [
        column("oid", "int", "NO", "PRI", "auto_increment"),
        column("uid", "int", "YES", "", ""),
        column("price", "float", "YES", "", ""),
    ];
    assert_eq!(orders, expected);
}

#[test]
fn a_user_with_privileges_on_one_database_is_enough() {
    let server = Server::shared();
    let sql = std::fs::read_to_string(root().join("sql/0_create_database_and_user.sql")).unwrap();
    let mut session = server.session();
    let mut results = session.query_iter(sql.replace("change-this-password", "P@ss/w0rd")).unwrap();
    while results.iter().is_some() {}
    let url =
        |database| format!("mysql://quickstart:P%40ss%2Fw0rd@127.0.0.1:{}/{database}", server.port);
    run(&mut quickstart(&url("test_sqlalchemy"))).assert_passed();
    // The program creates the database again.
    server.execute(&["DROP DATABASE test_sqlalchemy"]);
    run(&mut quickstart(&url("test_sqlalchemy"))).assert_passed();
    server.assert_final_rows("test_sqlalchemy");
    run(&mut quickstart(&url("another"))).assert_refused(1, &["another", "grant the privileges"]);
}

#[test]
fn odd_database_names() {
    let server = Server::shared();
    for (name, encoded) in [
        ("it's two \"words\"", "it's%20two%20%22words%22"),
        ("日本語", "%E6%97%A5%E6%9C%AC%E8%AA%9E"),
        ("select", "select"),
        ("x; DROP DATABASE odd; --", "x%3B%20DROP%20DATABASE%20odd%3B%20--"),
        ("per%cent_?#", "per%25cent_%3F%23"),
        ("MixedCase", "MixedCase"),
        ("back\\slash", "back%5Cslash"),
    ] {
        run(&mut quickstart(&server.url(encoded))).assert_passed();
        server.assert_final_rows(name);
    }
    // TiDB would not escape it in its `USE` statement.
    run(&mut quickstart(&server.url("back%60tick")))
        .assert_refused(2, &["DATABASE_URL", "backtick"]);
}

#[test]
fn global_settings_do_not_matter() {
    let server = Server::start();
    // Without this, TiDB refuses to set transaction_read_only.
    server.execute(&["SET GLOBAL tidb_enable_noop_functions = ON"]);
    let settings = [
        "autocommit = OFF",
        "auto_increment_increment = 7",
        "auto_increment_offset = 3",
        "sql_select_limit = 1",
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
    for (number, setting) in settings.iter().enumerate() {
        let name = setting.split(" =").next().unwrap();
        let value: String = server.rows(&format!("SELECT @@global.{name}")).remove(0);
        server.execute(&[&format!("SET GLOBAL {setting}")]);
        let url = server.url(&format!("setting_{number}"));
        let with = run(&mut quickstart(&url));
        assert_eq!(with.status, Some(0), "{setting}: {with:#?}");
        server.execute(&[&format!("SET GLOBAL {name} = '{value}'")]);
        server.assert_final_rows(&format!("setting_{number}"));
    }
    for setting in settings {
        server.execute(&[&format!("SET GLOBAL {setting}")]);
    }
    for _ in 0..2 {
        run(&mut quickstart(&server.url("setting_all"))).assert_passed();
    }
}
