//! The tutorial's steps: what they print, and what they leave in the database.

use crate::support::{Server, quickstart, root, run, url, with_url};

#[test]
fn each_run_prints_the_line_and_leaves_the_tutorials_rows_and_columns() {
    let server = Server::shared();
    for _ in 0..3 {
        run(quickstart(server.port, "tutorial")).assert_passed();
    }
    server.assert_final_rows("tutorial");
    let columns = "SELECT CONCAT_WS(' ', TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA)
        FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'tutorial' ORDER BY ORDINAL_POSITION, 1";
    let expected = [
        "orders oid int NO auto_increment",
        "users uid int NO auto_increment",
        "orders uid int YES ",
        "users name varchar(50) YES ",
        "orders price float YES ",
        "users gender enum('Female','Male') YES ",
    ];
    assert_eq!(server.rows::<String>(columns), expected);
}

#[test]
fn a_user_with_privileges_on_one_database_is_enough() {
    let server = Server::shared();
    let sql = std::fs::read_to_string(root().join("sql/0_create_database_and_user.sql")).unwrap();
    server.execute(&[&sql.replace("change-this-password", "P@ss/w0rd")]);
    let run_as_user = |database| {
        let url = url(server.port, database).replace("root", "quickstart:P%40ss%2Fw0rd");
        run(with_url(&url))
    };
    run_as_user("test_sqlalchemy").assert_passed();
    // The program creates the database again.
    server.execute(&["DROP DATABASE test_sqlalchemy"]);
    run_as_user("test_sqlalchemy").assert_passed();
    server.assert_final_rows("test_sqlalchemy");
    run_as_user("another").assert_failed(1, &["another", "grant the privileges"]);
}

#[test]
fn odd_database_names() {
    let server = Server::shared();
    for (name, encoded) in [
        ("it's two \"words\"", "it's%20two%20%22words%22"),
        ("日本語", "%E6%97%A5%E6%9C%AC%E8%AA%9E"),
        ("x; DROP DATABASE odd; --", "x%3B%20DROP%20DATABASE%20odd%3B%20--"),
        ("per%cent_?#", "per%25cent_%3F%23"),
        ("MixedCase", "MixedCase"),
    ] {
        run(quickstart(server.port, encoded)).assert_passed();
        server.assert_final_rows(name);
    }
}

#[test]
fn global_settings_do_not_matter() {
    let server = Server::start();
    for setting in [
        "autocommit = OFF",
        "auto_increment_increment = 7",
        "sql_select_limit = 1",
        "tidb_low_resolution_tso = ON",
    ] {
        server.execute(&[&format!("SET GLOBAL {setting}")]);
    }
    let in_force = "SELECT @@autocommit, @@auto_increment_increment, @@sql_select_limit";
    assert_eq!(server.rows::<(u8, u8, u64)>(in_force), [(0, 7, 1)]);
    for _ in 0..2 {
        run(quickstart(server.port, "settings")).assert_passed();
    }
    // Otherwise it would limit the rows of the check.
    server.execute(&["SET GLOBAL sql_select_limit = DEFAULT"]);
    server.assert_final_rows("settings");
}
