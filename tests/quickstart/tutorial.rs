//! The tutorial's steps: what they print, and what they leave in the database.

use crate::support::{Server, quickstart, root, run, url, with_url};

#[test]
fn each_run_prints_the_line_and_leaves_the_tutorials_rows() {
    let server = Server::shared();
    // A name that must be quoted
    let encoded = "it's%20%22the%22%20tutorial%3B%20DROP%20DATABASE%20x%3B%20--%20%23%3F%25";
    for _ in 0..3 {
        run(quickstart(server.port, encoded)).assert_passed();
    }
    server.assert_final_rows("it's \"the\" tutorial; DROP DATABASE x; -- #?%");
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
    let in_force = "SELECT @@autocommit, @@auto_increment_increment, @@sql_select_limit,
        @@tidb_low_resolution_tso";
    assert_eq!(server.rows::<(u8, u8, u64, u8)>(in_force), [(0, 7, 1, 1)]);
    for _ in 0..2 {
        run(quickstart(server.port, "settings")).assert_passed();
    }
    // Otherwise it would limit the rows of the check.
    server.execute(&["SET GLOBAL sql_select_limit = DEFAULT"]);
    server.assert_final_rows("settings");
}
