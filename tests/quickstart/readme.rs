//! README.md cannot drift from the code: its code blocks are run, or compared with their source.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{
    LINE, Server, TIDB_VERSION, binary, free_port, quickstart, root, run, temporary_folder,
    without_settings, write_script,
};
use crate::urls::TlsServer;

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

/// A text up to this character.
fn until(text: &str, end: char) -> &str {
    text.split(end).next().unwrap()
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
    let run = run(&mut quickstart(&server.url("readme")));
    let log = run.assert_passed().stderr.replace(&server.port.to_string(), "4000") + LINE;
    let log = log.replace("readme", "test_sqlalchemy");
    // The time differs from run to run.
    let without_time = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split("passed in ").next().unwrap());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(without_time(&block("text", "[INFO ]")), without_time(&log));
    assert!(log.contains(&format!("server 8.0.11-TiDB-{TIDB_VERSION} at ")));
}

#[test]
fn versions_defaults_exit_statuses_and_links_agree_with_their_source() {
    let readme = read("README.md");
    assert!(readme.contains(concat!("/install) ", env!("CARGO_PKG_RUST_VERSION"), " or later")));
    for (at, _) in readme.match_indices("v8.") {
        assert!(readme[at..].starts_with(TIDB_VERSION), "not {TIDB_VERSION}");
    }
    let help = run(binary().arg("--help")).stdout;
    let defaults: Vec<_> = help.split("[default: ").skip(1).map(|text| until(text, ']')).collect();
    assert_eq!(defaults.len(), 3);
    for default in defaults {
        assert!(readme.contains(&format!("| `{default}` |")), "{default}");
    }
    for row in ["| 0 | The deployment passed", "| 1 | The deployment failed", "| 2 | Nothing was"] {
        assert!(readme.contains(row), "{row}");
    }
    let links = readme.split("](").skip(1).map(|text| until(text, ')'));
    for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
        assert!(root().join(link).exists(), "{link}");
    }
}

#[test]
fn a_project_of_ones_own_has_the_same_dependencies() {
    let folder = temporary_folder();
    // The commands are typed in the clone.
    let clone = folder.path().join("clone");
    fs::create_dir(&clone).unwrap();
    run(Command::new("cp").args(["-r", "src", "sql", "examples"]).arg(&clone).current_dir(root()));
    let script = block("sh", "cargo new").replace("cargo run\n", "");
    // Everything was fetched for this test's build.
    let typed = run(shell(&clone, &script).env("CARGO_NET_OFFLINE", "true"));
    assert_eq!(typed.status, Some(0), "{typed:#?}");
    let project = folder.path().join("my-tidb-app");
    assert_eq!(fs::read_to_string(project.join("src/main.rs")).unwrap(), read("src/main.rs"));
    let dependencies = |folder: &Path| {
        let tree =
            "cargo tree --offline --depth=1 --edges=normal --prefix=none --format='{lib} {f}'";
        let tree = run(&mut shell(folder, tree));
        let crates: Vec<_> = tree.stdout.lines().skip(1).map(str::to_owned).collect();
        assert!(crates.len() >= 4, "{tree:#?}");
        crates
    };
    assert_eq!(dependencies(&project), dependencies(root()));
}

#[test]
fn smoke_tests_by_script_and_cron_report_what_they_must() {
    let home = temporary_folder();
    let home = home.path();
    let program = "bin/tidb-rust-mysql-quickstart";
    let binary = env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart");
    write_script(&home.join(program), &format!("exec {binary} \"$@\""));
    symlink(".", home.join(".cargo")).unwrap();
    let script = block("sh", "--cleanup");
    let line = block("text", "*/5 * * * * ").replace("*/5 * * * * ", "");
    let readme = read("README.md");
    let spans: Vec<_> = readme.split('`').collect();
    let span = |start| spans.iter().find(|span| span.starts_with(start)).unwrap();
    let passes = Server::shared().url("smoke");
    let closed = format!("mysql://root@127.0.0.1:{}/d", free_port());
    for (url, status, words) in [
        (passes.as_str(), 0, LINE),
        (&closed, 1, "TiDB failed its smoke test\n"),
        ("mysql://", 2, "the smoke test could not run\n"),
    ] {
        // A run that must pass gets a long timeout.
        let timeout = if status == 0 { "60" } else { "1" };
        let mut smoke = shell(home, &script);
        let smoke = run(smoke.env("DATABASE_URL", url).env("TIDB_TIMEOUT", timeout));
        assert_eq!((smoke.status, smoke.stdout.as_str()), (Some(status), words), "{smoke:#?}");

        let file = home.join(span("~/.tidb-smoke").trim_start_matches("~/"));
        fs::write(&file, span("export DATABASE_URL=").replace('…', url)).unwrap();
        // Cron runs a line in the home folder, with few variables.
        let mut cron = Command::new("sh");
        cron.args(["-c", &format!("{}\n{line}", span("chmod"))]).current_dir(home).env_clear();
        cron.env("HOME", home).env("PATH", "/usr/bin:/bin").env("TIDB_TIMEOUT", timeout);
        let cron = run(&mut cron);
        let lines = usize::from(status != 0);
        assert_eq!((cron.status, cron.stderr.lines().count()), (Some(status), lines), "{cron:#?}");
        assert_eq!(cron.stdout, "");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_examples_print_what_readme_says() {
    let tls = TlsServer::shared();
    // The certificate is for `localhost`, which this machine may resolve to another address.
    let secure =
        tls.url("mysql", "secure", "?root_cert_path={CA}&danger_skip_domain_validation=true");
    let shared = Server::shared().url("examples");
    run(&mut quickstart(&shared)).assert_passed();
    for url in [shared, secure.replace("@localhost:", "@127.0.0.1:")] {
        let mut expected = block("text", "Edition");
        for _ in 0..2 {
            let examples = "cargo run -q --example typed_rows; cargo run -q --example transaction";
            let printed = run(shell(root(), examples).env("DATABASE_URL", &url));
            assert_eq!((printed.status, &printed.stdout), (Some(0), &expected), "{printed:#?}");
            let duplicate = "rolled back: a book with this title exists";
            expected = expected.replace("committed", duplicate);
        }
    }
    assert!(read("README.md").contains("`rolled back: a book with this title exists`"));
}

#[test]
fn the_urls_for_other_servers_are_accepted() {
    let ca = TlsServer::shared().url("", "", "{CA}").split_once("/tls").unwrap().1.to_owned();
    let block = block("sh", "HOST");
    let urls: Vec<_> = block.split('\'').filter(|text| text.starts_with("mysql://")).collect();
    assert_eq!(urls.len(), 3);
    for url in urls {
        // No resolver looks up a name with a label of more than 63 letters.
        let url = url.replace("HOST", &"x".repeat(64)).replace("/path/to/ca.pem", &ca);
        let refused = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
        refused.assert_refused(1, &["TLS on: connect", "check the host"]);
    }
}
