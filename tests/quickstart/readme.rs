//! Checks README.md and docs/: runs most code blocks, or compares them with the code.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{
    LINE, Server, TIDB_VERSION, free_port, quickstart, root, run, temporary_folder, url,
    without_settings,
};

/// A file of the repository.
fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// README.md and docs/smoke-test.md.
fn pages() -> String {
    read("README.md") + &read("docs/smoke-test.md")
}

/// The code blocks of both pages in a language.
fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let pages = pages();
    let blocks = pages.split(&opening).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The code block that contains these words.
#[track_caller]
fn block(language: &str, words: &str) -> String {
    blocks(language).into_iter().find(|block| block.contains(words)).unwrap()
}

/// A shell in a folder, with the programs of its `.cargo/bin/` in front.
fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    without_settings(&mut command);
    let path =
        format!("{}:{}", folder.join(".cargo/bin").display(), std::env::var("PATH").unwrap());
    command.args(["-ec", script]).current_dir(folder).env("PATH", path);
    command
}

#[test]
fn the_code_is_that_of_the_source() {
    let source = ["src/main.rs", "examples/hello.rs", "examples/transaction.rs"].map(read).concat();
    let blocks = blocks("rust");
    assert_eq!(blocks.len(), 6);
    for item in blocks.iter().flat_map(|block| block.trim_end().split("\n\n")) {
        assert!(source.contains(&format!("\n{item}\n")), "not in the source:\n{item}");
    }
    for name in [
        "1a_create_users",
        "2a_insert_users",
        "3_delete_order",
        "4_update_order",
        "5_join_users_orders",
    ] {
        assert!(pages().contains(read(&format!("sql/{name}.sql")).trim()), "{name}");
    }
}

#[test]
fn the_log_is_that_of_a_run() {
    let server = Server::shared();
    let run = run(quickstart(server.port, "readme"));
    let log = run.assert_passed().stderr.replace(&server.port.to_string(), "4000");
    let log = log.replace("readme", "test_sqlalchemy");
    let shown = block("text", "[INFO ]");
    let (first, last) = shown.split_once("...\n").unwrap();
    assert!(log.contains(first) && last == LINE, "{log}");
    assert!(first.contains(&format!("server 8.0.11-TiDB-{TIDB_VERSION} at ")));
}

#[test]
fn versions_and_links_agree_with_their_source() {
    let readme = pages();
    assert!(readme.contains(concat!("/install) ", env!("CARGO_PKG_RUST_VERSION"), " or later")));
    assert!(readme.contains(&format!("pingcap/tidb:{TIDB_VERSION}`")));
    for (page, folder) in
        [("README.md", root().to_owned()), ("docs/smoke-test.md", root().join("docs"))]
    {
        let page = read(page);
        let links = page.split("](").skip(1).map(|text| text.split([')', '#']).next().unwrap());
        for link in links.filter(|link| !link.starts_with("http")) {
            assert!(folder.join(link).exists(), "{link}");
        }
    }
}

#[test]
fn a_project_of_ones_own_starts_as_the_shortest_program() {
    let folder = temporary_folder();
    let project = folder.path().join("my-tidb-app");
    let list = "cargo tree --depth=1 -e normal --prefix=none --format='{lib} {f}' | grep ^mysql";
    let script = block("sh", "cargo new").replace("../my-tidb-app", project.to_str().unwrap());
    let compare = format!("diff {}/examples/hello.rs src/main.rs", root().display());
    let script = script.replace("cargo run", &format!("{compare}\n{list}"));
    // Everything was fetched for this test's build.
    let type_in_clone = |script| run(shell(root(), script).env("CARGO_NET_OFFLINE", "true"));
    let (typed, ours) = (type_in_clone(&script), type_in_clone(list));
    assert!(typed.stdout == ours.stdout && ours.stdout.contains("tls"), "{typed:#?} {ours:#?}");
}

#[test]
fn smoke_tests_by_script_and_cron_report_what_they_must() {
    let home = temporary_folder();
    let home = home.path();
    fs::create_dir_all(home.join(".cargo/bin")).unwrap();
    let program = home.join(".cargo/bin/tidb-rust-mysql-quickstart");
    symlink(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"), program).unwrap();
    let script = block("sh", "--cleanup");
    let cron_line = block("text", "*/5 * * * * ").replace("*/5 * * * * ", "");
    for (url, status, words) in [
        (url(Server::shared().port, "smoke"), 0, LINE),
        (url(free_port(), "d"), 1, "TiDB failed its smoke test\n"),
        ("mysql://".to_owned(), 2, "the smoke test could not run\n"),
    ] {
        let mut smoke = shell(home, &script);
        let smoke = run(smoke.env("DATABASE_URL", &url).env("TIDB_TIMEOUT", "5"));
        assert_eq!((smoke.status, smoke.stdout.as_str()), (Some(status), words), "{smoke:#?}");

        fs::write(home.join(".tidb-smoke.env"), format!("DATABASE_URL='{url}'")).unwrap();
        // Cron runs a line in the home folder, with few variables.
        let mut cron = Command::new("sh");
        cron.args(["-c", &cron_line]).current_dir(home).env_clear().env("HOME", home);
        let cron = run(cron.env("PATH", "/usr/bin:/bin").env("TIDB_TIMEOUT", "5"));
        let is_silent = cron.stderr.is_empty() && cron.stdout.is_empty();
        assert_eq!((cron.status, is_silent), (Some(status), status == 0), "{cron:#?}");
    }
}
