//! Checks README.md against the code: runs most code blocks, or compares them with their source.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{
    LINE, Server, TIDB_VERSION, free_port, quickstart, root, run, temporary_folder, url, with_url,
    without_settings, write_script,
};
use crate::urls::TlsServer;

/// The parameter of a URL that turns TLS on in the examples.
const TLS: &str = "?root_cert_path={CA}";

/// A file of the repository.
fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The code blocks of README.md in a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let opening = format!("```{language}\n");
    let blocks = readme.split(&opening).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The code block of README.md that contains these words.
#[track_caller]
fn block(language: &str, words: &str) -> String {
    blocks(language).into_iter().find(|block| block.contains(words)).unwrap()
}

/// A shell in a folder, with the programs of its `bin/` in front.
fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    without_settings(&mut command);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    command.args(["-ec", script]).current_dir(folder).env("PATH", path);
    command
}

#[test]
fn each_rust_block_is_in_the_source() {
    let source = read("src/main.rs");
    let blocks = blocks("rust");
    assert!(!blocks.is_empty());
    for item in blocks.iter().flat_map(|block| block.trim_end().split("\n\n")) {
        assert!(source.contains(&format!("\n{item}\n")), "not in src/main.rs:\n{item}");
    }
}

#[test]
fn the_log_is_that_of_a_run() {
    let server = Server::shared();
    let run = run(quickstart(server.port, "readme"));
    let log = run.assert_passed().stderr.replace(&server.port.to_string(), "4000");
    let log = log.replace("readme", "test_sqlalchemy");
    let shown = block("text", "[INFO ]");
    // The time differs from run to run.
    assert_eq!(shown.split("passed in ").next(), log.split("passed in ").next());
    assert!(shown.ends_with(LINE));
    assert!(log.contains(&format!("server 8.0.11-TiDB-{TIDB_VERSION} at ")));
}

#[test]
fn versions_defaults_exit_statuses_and_links_agree_with_their_source() {
    let readme = read("README.md");
    assert!(readme.contains(concat!("/install) ", env!("CARGO_PKG_RUST_VERSION"), " or later")));
    let major = TIDB_VERSION.split_inclusive('.').next().unwrap();
    for (at, _) in readme.match_indices(major) {
        assert!(readme[at..].starts_with(TIDB_VERSION), "not {TIDB_VERSION}");
    }
    let help = run(with_url("").arg("--help")).stdout;
    assert_eq!(help.matches("[default: ").count(), 3);
    for text in help.split("[default: ").skip(1) {
        let default = text.split(']').next().unwrap();
        assert!(readme.contains(&format!("| `{default}` |")), "{default}");
    }
    for line in help.split_once("Exit status:\n").unwrap().1.lines() {
        let (status, meaning) = line.trim().split_once(' ').unwrap();
        assert!(readme.to_lowercase().contains(&format!("| {status} | {meaning}")), "{line}");
    }
    let links = readme.split("](").skip(1).map(|text| text.split(')').next().unwrap());
    for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
        assert!(root().join(link).exists(), "{link}");
    }
}

#[test]
fn a_project_of_ones_own_has_the_same_code_and_dependencies() {
    let folder = temporary_folder();
    let project = folder.path().join("my-tidb-app");
    let list =
        "cargo tree --depth=1 --edges=normal --prefix=none --format='{lib} {f}' | tail -n +2";
    let script = block("sh", "cargo new").replace("../my-tidb-app", project.to_str().unwrap());
    let clone = root().display();
    let compare = format!("for name in src sql examples; do diff -r {clone}/$name $name; done");
    let script = script.replace("cargo run", &format!("{compare}\n{list}"));
    // Everything was fetched for this test's build.
    let type_in_clone = |script| run(shell(root(), script).env("CARGO_NET_OFFLINE", "true"));
    let (typed, ours) = (type_in_clone(&script), type_in_clone(list));
    assert!(typed.stdout == ours.stdout && ours.stdout.contains("mysql"), "{typed:#?} {ours:#?}");
}

#[test]
fn smoke_tests_by_script_and_cron_report_what_they_must() {
    let home = temporary_folder();
    let home = home.path();
    let program = concat!("exec ", env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"), " \"$@\"");
    write_script(&home.join("bin/tidb-rust-mysql-quickstart"), program);
    // `~/.cargo/bin` is `bin`.
    symlink(".", home.join(".cargo")).unwrap();
    let script = block("sh", "--cleanup");
    let cron_line = block("text", "*/5 * * * * ").replace("*/5 * * * * ", "");
    for (url, status, words) in [
        (url(Server::shared().port, "smoke"), 0, LINE),
        (url(free_port(), "d"), 1, "TiDB failed its smoke test\n"),
        ("mysql://".to_owned(), 2, "the smoke test could not run\n"),
    ] {
        // A run that must pass gets a long timeout.
        let timeout = if status == 0 { "60" } else { "1" };
        let mut smoke = shell(home, &script);
        let smoke = run(smoke.env("DATABASE_URL", &url).env("TIDB_TIMEOUT", timeout));
        assert_eq!((smoke.status, smoke.stdout.as_str()), (Some(status), words), "{smoke:#?}");

        fs::write(home.join(".tidb-smoke.env"), format!("export DATABASE_URL='{url}'")).unwrap();
        // Cron runs a line in the home folder, with few variables.
        let mut cron = Command::new("sh");
        cron.args(["-c", &cron_line]).current_dir(home).env_clear().env("HOME", home);
        let cron = run(cron.env("PATH", "/usr/bin:/bin").env("TIDB_TIMEOUT", timeout));
        let lines = usize::from(status != 0);
        assert_eq!((cron.status, cron.stderr.lines().count()), (Some(status), lines), "{cron:#?}");
        assert_eq!(cron.stdout, "");
    }
}

#[test]
fn the_examples_print_what_readme_says_and_touch_only_their_own_tables() {
    let server = Server::shared();
    let run_examples = |url: &str| {
        let names = ["typed_rows", "hello", "transaction"];
        let script = names.map(|name| format!("cargo run -q --example {name}")).join(" && ");
        run(shell(root(), &script).env("DATABASE_URL", url))
    };
    let others = ["users", "accounts", "books", "editions"];
    let create = |name| format!("CREATE TABLE examples.{name} (id INT) COMMENT 'not ours'");
    server.execute(&["CREATE DATABASE examples"]);
    server.execute(&others.map(create).each_ref().map(String::as_str));
    for url in [url(server.port, "examples"), TlsServer::shared().url("native", TLS)] {
        let first = run_examples(&url);
        assert_eq!(
            (first.status, first.stdout),
            (Some(0), block("text", "Edition")),
            "{}",
            first.stderr
        );
        let second = run_examples(&url);
        let words = ["Ada is 36\nAda is 36\nAda has an account\n", "Ada: 39.90\nBen: 60.10\n"];
        assert!(words.iter().all(|words| second.stdout.contains(words)), "{second:#?}");
    }
    for name in others {
        let rows = format!("SELECT COUNT(*) FROM examples.{name}");
        assert_eq!(server.rows::<u8>(&rows), [0], "{name}");
    }
}
