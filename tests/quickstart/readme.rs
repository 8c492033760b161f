//! `README.md` cannot drift from what it speaks of.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::{LINE, Server, binary, quickstart, root, run, temporary_folder};

/// A file of the repository.
fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The code blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let opening = format!("```{language}\n");
    readme.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().into()).collect()
}

/// What stands between backticks in a text, outside of code blocks.
fn spans(text: &str) -> BTreeSet<String> {
    let outside: String = text.split("```").step_by(2).collect();
    outside.split('`').skip(1).step_by(2).map(Into::into).collect()
}

#[test]
fn each_snippet_is_in_the_source_to_the_letter() {
    let rust = blocks("rust");
    let main = read("src/main.rs");
    assert!(rust.len() >= 4, "{rust:?}");
    for block in &rust {
        assert!(main.contains(block.as_str()), "not in src/main.rs:\n{block}");
    }
    let statements: Vec<String> = std::fs::read_dir(root().join("sql"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let sql = blocks("sql");
    assert!(sql.len() >= 3, "{sql:?}");
    for block in &sql {
        assert!(statements.iter().any(|file| file.contains(block)), "not in sql/:\n{block}");
    }
}

#[test]
fn each_output_is_what_the_binary_prints() {
    let outputs = blocks("text");
    assert_eq!(outputs[0], LINE);
    // But for the times and the port, the log is that of a run.
    let server = Server::shared();
    let log = run(&mut quickstart(&server.url("readme"))).stderr;
    let log = log.replace(&server.port.to_string(), "4000").replace("readme", "test_sqlalchemy");
    let without_time = |line: &str| line.split("  ").next().unwrap().to_owned();
    let logged: Vec<_> = log.lines().map(without_time).collect();
    let shown: Vec<_> = outputs[1].lines().filter(|line| *line != LINE.trim_end()).collect();
    assert_eq!(shown.iter().map(|line| without_time(line)).collect::<Vec<_>>(), logged);
    assert!(outputs[1].contains(LINE));
    // The line of the result stands where it is printed: before the last line of the log.
    assert_eq!(outputs[1].lines().rev().nth(1), Some(LINE.trim_end()));
}

#[test]
fn each_name_exists_and_each_that_exists_is_named() {
    let readme = read("README.md");
    let spans = spans(&readme);
    let named = |name: &str| spans.contains(name) || readme.contains(name);
    let help = run(binary().arg("--help")).stdout;
    // What --help names, the README names: flags, variables, their defaults.
    let words: BTreeSet<_> = help.split([' ', ',', ';', '[', ']', '\n']).collect();
    let variable =
        |word: &&&str| word.len() > 4 && word.chars().all(|c| c == '_' || c.is_ascii_uppercase());
    let flags: BTreeSet<_> = words.iter().filter(|word| word.starts_with("--")).collect();
    let variables: BTreeSet<_> = words.iter().filter(variable).collect();
    assert_eq!((flags.len(), variables.len()), (3, 3), "{help}");
    for word in flags.union(&variables) {
        assert!(spans.contains(**word), "{word} is not in the README");
    }
    for (variable, default) in [
        ("DATABASE_URL", "mysql://root@127.0.0.1:4000/test_sqlalchemy"),
        ("TIDB_TIMEOUT", "30"),
        ("RUST_LOG", "info"),
    ] {
        assert!(help.contains(&format!("[default: {default}]")), "{default} is not in {help}");
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{variable}` |")));
        assert!(row.unwrap().ends_with(&format!("| `{default}` |")), "{row:?}");
    }
    // What the README names, exists.
    for span in &spans {
        if span.starts_with("--") {
            assert!(flags.contains(&&span.as_str()), "there is no {span}");
        }
        let is_variable =
            span.contains('_') && span.chars().all(|c| c == '_' || c.is_ascii_uppercase());
        if is_variable && *span != "AUTO_INCREMENT" {
            assert!(variables.contains(&&span.as_str()), "there is no {span}");
        }
    }
    // Each exit status of --help has its row, with the words of --help, and there is no other.
    let statuses: Vec<_> = (0..10)
        .flat_map(|n| readme.lines().filter(move |l| l.starts_with(&format!("| {n} |"))))
        .collect();
    assert_eq!(statuses.len(), 3, "{statuses:?}");
    for (number, words) in
        [(0, "the deployment passed"), (1, "it failed"), (2, "nothing was tested")]
    {
        assert!(help.contains(&format!("{number} {words}")), "{number} {words}: {help}");
        assert!(statuses[number].starts_with(&format!("| {number} | {words}")), "{statuses:?}");
    }
    // The targets of make.
    let makefile = read("Makefile");
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter(|line| line.contains(": ") && line.contains("## "))
        .map(|line| line.split(':').next().unwrap())
        .filter(|target| !["help", "@awk"].contains(target))
        .collect();
    for target in &targets {
        assert!(named(&format!("make {target}")), "make {target} is not in the README");
    }
    let makes: Vec<_> = ["`make ", "\nmake "]
        .into_iter()
        .flat_map(|before| readme.split(before).skip(1))
        .map(|rest| rest.split(['`', '\n', ' ']).next().unwrap())
        .collect();
    assert!(makes.len() >= 8, "{makes:?}");
    for target in makes {
        assert!(targets.contains(target), "there is no make {target}");
    }
    // The hints quote words that the program knows; the files that are linked to are there.
    let main = read("src/main.rs");
    let trouble = readme.split("## Troubleshooting").nth(1).unwrap().split("\n## ").next().unwrap();
    for row in trouble.lines().filter(|line| line.starts_with("| `")) {
        for (number, words) in row.split('|').nth(1).unwrap().split('`').enumerate() {
            let known = main.contains(words.trim_end_matches(" unavailable"));
            assert!(number % 2 == 0 || known, "{words:?} is not in src/main.rs");
        }
    }
    for link in readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(link.starts_with("https://") || root().join(link).exists(), "no file {link}");
    }
    // The minimum Rust version stands in Cargo.toml alone.
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    assert!(readme.contains(&format!(" {minimum} or later")), "README: not Rust {minimum}");
    // The counts that it gives are those that the test of the wire demands.
    let packets = crate::wire::PACKETS;
    assert!(readme.contains(&format!("| {packets}, and {} when it creates", packets + 3)));
}

#[test]
fn a_project_of_ones_own_by_the_readmes_commands() {
    let commands = blocks("sh").into_iter().find(|block| block.contains("cargo new")).unwrap();
    let folder = temporary_folder();
    // The clone lies beside the new project, under the name that the README gives it.
    std::os::unix::fs::symlink(root(), folder.join("tidb-rust-mysql-quickstart")).unwrap();
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command
        .args(["-ec", &format!("{commands}\ncargo run --quiet")])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", root().join("target/own-project"))
        .env("DATABASE_URL", Server::shared().url("own_project"));
    run(&mut command).assert_passed();
}
