//! `README.md` cannot drift from what it speaks of. Its blocks are run, or compared with their
//! source.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mysql::Opts;

use crate::support::{
    LINE, Run, Server, TIDB_VERSION, free_port, quickstart, root, run, temporary_folder,
    without_settings, write_program,
};
use crate::tutorial::without_time;
use crate::urls::TlsServer;

/// The default of `DATABASE_URL`.
const DEFAULT_URL: &str = "mysql://root@127.0.0.1:4000/test_sqlalchemy";

/// A file of the repository.
fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The code blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let opening = format!("```{language}\n");
    readme.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().into()).collect()
}

/// The one code block of the README in this language that has these words.
#[track_caller]
fn block(language: &str, words: &str) -> String {
    let mut found = blocks(language);
    found.retain(|block| block.contains(words));
    assert_eq!(found.len(), 1, "blocks with {words:?}: {found:#?}");
    found.remove(0)
}

/// The README without its code blocks, its lines joined.
fn prose() -> String {
    let text: String = read("README.md").split("```").step_by(2).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between backticks in a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The one span of the README that starts so.
#[track_caller]
fn span(start: &str) -> String {
    let prose = prose();
    let found: Vec<_> = spans(&prose).filter(|span| span.starts_with(start)).collect();
    assert_eq!(found.len(), 1, "{start:?}: {found:?}");
    found[0].to_owned()
}

/// The rows of a table, cells between `|`, by the words of its head.
fn table(head: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let rows = readme.split(&format!("| {head} |")).nth(1).unwrap().lines().skip(2);
    rows.take_while(|row| row.starts_with('|'))
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().into()).collect())
        .collect()
}

/// A shell in a folder, with the programs of its `bin/` before those of this machine. Cargo runs in
/// it as it does for whoever types the commands, without what it has set for this test.
fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    without_settings(&mut command);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    command.args(["-ec", script]).current_dir(folder).env("PATH", path);
    command
}

/// Puts a program into the `bin/` of a folder.
fn put_program(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join("bin")).unwrap();
    write_program(&folder.join("bin").join(name), &format!("#!/bin/sh\n{text}\n"));
}

#[test]
fn each_snippet_is_a_whole_item_of_the_source() {
    let main = read("src/main.rs");
    let mut snippets = blocks("rust");
    // The program of one's own is run by another test.
    snippets.retain(|block| !block.contains("fn main"));
    let items: Vec<_> = snippets.iter().flat_map(|block| block.trim_end().split("\n\n")).collect();
    for item in &items {
        assert!(main.contains(&format!("\n{item}\n\n")), "no item of src/main.rs:\n{item}");
    }
    let starts = [
        "impl From<Gender> for Value",
        "fn open_pool",
        "fn create_tables",
        "fn insert_users",
        "fn insert_rows<",
        "fn delete_order",
        "fn set_price",
        "fn user_orders",
    ];
    assert_eq!(items.len(), starts.len());
    for (item, start) in items.iter().zip(starts) {
        assert!(item.starts_with(start) && item.ends_with("\n}"), "not {start}:\n{item}");
    }
}

#[test]
fn the_log_is_that_of_a_run() {
    let server = Server::shared();
    let log = run(&mut quickstart(&server.url("readme"))).stderr;
    let log = log.replace(&server.port.to_string(), "4000").replace("readme", "test_sqlalchemy");
    let mut lines: Vec<&str> = log.lines().map(without_time).collect();
    lines.push(LINE.trim_end());
    let readme = block("text", "[INFO ]");
    assert_eq!(readme.lines().map(without_time).collect::<Vec<_>>(), lines);
}

#[test]
fn the_version_of_tidb_is_the_one_that_is_used() {
    let readme = read("README.md");
    let versions: Vec<_> = readme.match_indices("v8.").map(|(at, _)| &readme[at..]).collect();
    assert!(!versions.is_empty());
    assert!(versions.iter().all(|text| text.starts_with(TIDB_VERSION)), "not {TIDB_VERSION}");
}

#[test]
fn the_first_commands_lead_into_the_clone_to_make_run() {
    let folder = temporary_folder();
    put_program(&folder, "git", r#"[ "$1" = clone ] && mkdir "$3""#);
    put_program(&folder, "make", r#"echo "$(basename "$PWD"): $*""#);
    let typed = run(&mut shell(&folder, &block("sh", "git clone")));
    let expected = concat!(env!("CARGO_PKG_NAME"), ": run\n");
    assert_eq!((typed.status, typed.stdout.as_str()), (Some(0), expected), "{typed:#?}");
}

#[test]
fn the_user_with_rights_on_one_database_gets_in() {
    let folder = temporary_folder();
    symlink(root().join("sql"), folder.join("sql")).unwrap();
    put_program(&folder, "mysql", r#"echo "$*" >arguments; cat >statements"#);
    let script = block("sh", "change-this-password") + "\nprintenv DATABASE_URL";
    let typed = run(&mut shell(&folder, &script));
    assert_eq!(typed.status, Some(0), "{typed:#?}");
    let arguments = fs::read_to_string(folder.join("arguments")).unwrap();
    assert_eq!(arguments, "--host 127.0.0.1 --port 4000 --user root\n");
    // Another test has the user and the database of these names.
    let mine = |text: &str| text.replace("quickstart", "reader").replace("test_sqlalchemy", "mine");
    let server = Server::shared();
    let statements = fs::read_to_string(folder.join("statements")).unwrap();
    let statements: String =
        statements.lines().filter(|line| !line.starts_with("--")).map(mine).collect();
    let statements: Vec<_> = statements.split_terminator(';').collect();
    server.execute(&statements);
    let url = mine(&typed.stdout).replace(":4000/", &format!(":{}/", server.port));
    run(&mut quickstart(url.trim_end())).assert_passed();
    // A second run with another password changes nothing; what the README names changes it.
    let again = statements.join(";").replace("my-password", "another");
    server.execute(&again.split(';').collect::<Vec<_>>());
    run(&mut quickstart(url.trim_end())).assert_passed();
    server.execute(&[&format!("{} reader IDENTIFIED BY 'another'", span("ALTER"))]);
    run(&mut quickstart(url.trim_end())).assert_refused(1, &["1045"]);
}

/// Makes a project as the README does, and builds it. Without network where all is fetched.
fn own_project() -> PathBuf {
    let commands = block("sh", "cargo new") + "\ncargo build --quiet";
    let make = |offline: &str| {
        let folder = temporary_folder();
        // The clone lies beside the new project, under the name that the README gives it.
        symlink(root(), folder.join(env!("CARGO_PKG_NAME"))).unwrap();
        let mut command = shell(&folder, &format!("{offline}{commands}"));
        let built = run(command.env("CARGO_TARGET_DIR", root().join("target/own-project")));
        (folder.join("my-tidb-app"), built)
    };
    let (folder, built) = make("export CARGO_NET_OFFLINE=true\n");
    if built.status == Some(0) {
        return folder;
    }
    let (folder, built) = make("");
    assert_eq!(built.status, Some(0), "{built:#?}");
    folder
}

#[test]
fn a_project_of_ones_own_runs_the_copy_and_the_program_of_the_readme() {
    let project = own_project();
    let target = root().join("target/own-project");
    let cargo_run = |script: &str| {
        let script = format!("export CARGO_NET_OFFLINE=true\n{script}");
        run(shell(&project, &script).env("CARGO_TARGET_DIR", &target))
    };
    // The driver and its features are those of this repository.
    let dependencies = |manifest: &str| -> Vec<Vec<String>> {
        let section = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next();
        let lines = section.unwrap().lines().filter(|line| !line.starts_with('#'));
        let mut crates: Vec<Vec<String>> = lines
            .map(|line| {
                let words = line.split(|c: char| !(c.is_alphanumeric() || "-._".contains(c)));
                words.filter(|word| !word.is_empty()).map(Into::into).collect()
            })
            .collect();
        for words in &mut crates {
            words.sort();
        }
        crates
    };
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    assert_eq!(dependencies(&manifest), dependencies(&read("Cargo.toml")));
    // First the copy, which creates the database.
    let url = Server::shared().url("own_project");
    cargo_run(&format!("DATABASE_URL='{url}' cargo run --quiet")).assert_passed();

    let program = block("rust", "fn main");
    assert!((40..=60).contains(&program.lines().count()));
    fs::write(project.join("src/main.rs"), &program).unwrap();
    let output = block("text", "Letters");
    let command = span("DATABASE_URL=").replace(DEFAULT_URL, &url) + " --quiet";
    let assert_printed = |run: &Run, expected: &str| {
        let printed = (run.status, run.stdout.as_str(), run.stderr.as_str());
        assert_eq!(printed, (Some(0), expected, ""));
    };
    assert_printed(&cargo_run(&command), &output);
    let second = format!("{}\n{output}", span("Ada"));
    assert_printed(&cargo_run(&command), &second);

    // With TLS, for an account that is let in no other way. The certificate is for another name
    // than this address, which does not depend on how `localhost` resolves.
    let tls = TlsServer::shared();
    let own = span("?root_cert_path=").replace("/path/to/ca.pem", "{CA}");
    let without_name = format!("{own}&danger_skip_domain_validation=true");
    let own_program = |parameters: &str| {
        let url = tls.url("mysql", "secure", parameters).replace("@localhost:", "@127.0.0.1:");
        run(Command::new(target.join("debug/my-tidb-app")).env("DATABASE_URL", url))
    };
    assert_printed(&own_program(&without_name), &output);
    assert_printed(&own_program(&without_name), &second);
    for (parameters, words) in [
        ("", "Access denied"),
        (own.as_str(), "not valid for name"),
        ("?ssl-mode=REQUIRED", "Unknown URL parameter `ssl-mode'"),
    ] {
        let refused = own_program(parameters);
        assert!(refused.status == Some(1) && refused.stderr.contains(words), "{refused:#?}");
    }
    // As if the server were TiDB Cloud's: its certificate must be of a public CA.
    let as_cloud = program.replace(".tidbcloud.com", "127.0.0.1");
    fs::write(project.join("src/main.rs"), as_cloud).unwrap();
    let url = tls.url("mysql", "secure", "").replace("@localhost:", "@127.0.0.1:");
    let refused = cargo_run(&format!("DATABASE_URL='{url}' cargo run --quiet"));
    assert!(refused.status == Some(1) && refused.stderr.contains("UnknownIssuer"), "{refused:#?}");
    assert!(Opts::from_url("tidb://root@127.0.0.1:4000/test").is_err());
}

#[test]
fn smoke_tests_by_script_cron_and_workflow_report_what_they_must() {
    let home = temporary_folder();
    let url = Server::shared().url("smoke");
    let closed = format!("mysql://root@127.0.0.1:{}/d", free_port());
    // What must pass has the time, however busy this machine is.
    let limit = |url: &str| if url == closed { "1" } else { "30" };
    let commands = block("sh", "cargo install");
    let (install, script) = commands.split_once('\n').unwrap();
    // The same command, but for a profile that is compiled already, in `target/`, and whose result
    // does not take the place of the binary that other tests run.
    let install = format!("cargo() {{ command cargo \"$@\" --debug --quiet; }}\n{install}");
    let cargo_home = home.join(".cargo");
    let mut command = shell(&home, &install);
    command.current_dir(root()).env("CARGO_INSTALL_ROOT", &cargo_home);
    // All is fetched, for this test was built of the same; else cargo asks what was withdrawn.
    command.env("CARGO_NET_OFFLINE", "true");
    command.env("CARGO_BUILD_BUILD_DIR", "target").env("CARGO_TARGET_DIR", "target/installed");
    let installed = run(&mut command);
    assert_eq!(installed.status, Some(0), "{installed:#?}");
    symlink(cargo_home.join("bin"), home.join("bin")).unwrap();

    for (url, status, words) in [
        (url.as_str(), 0, LINE),
        (&closed, 1, "TiDB failed its smoke test\n"),
        ("mysql://", 2, "the smoke test could not run\n"),
    ] {
        let mut smoke = shell(&home, script);
        let smoke = run(smoke.env("DATABASE_URL", url).env("TIDB_TIMEOUT", limit(url)));
        assert_eq!((smoke.status, smoke.stdout.as_str()), (Some(status), words), "{smoke:#?}");
    }

    // Cron runs a line in the home folder, with hardly any environment.
    let crontab = block("text", "/.cargo/bin/");
    assert!(!crontab.contains('%'), "cron takes % for the end of the line");
    let line = crontab.splitn(6, ' ').nth(5).unwrap();
    let file = span("~/").replace('~', &home.display().to_string());
    let cron = |url: &str| {
        fs::write(&file, span("export DATABASE_URL=").replace('…', url) + "\n").unwrap();
        let line = format!("{}\n{line}", span("chmod"));
        let mut command = Command::new("sh");
        command.args(["-c", &line]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &home);
        run(command.env("TIDB_TIMEOUT", limit(url)))
    };
    let passed = cron(&url);
    assert_eq!((passed.status, passed.stdout + &passed.stderr), (Some(0), String::new()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let failed = cron(&closed);
    assert_eq!((failed.status, failed.stderr.lines().count()), (Some(1), 1), "{failed:#?}");

    let step = block("yaml", "run:");
    let (command, environment) = step.split_once('\n').unwrap();
    assert!(
        environment.contains(r#"{ DATABASE_URL: "${{ secrets.DATABASE_URL }}", TIDB_TIMEOUT: ""#)
    );
    let seconds = environment.split('"').rev().nth(1).unwrap();
    let mut command = shell(&home, command.strip_prefix("- run: ").unwrap());
    run(command.env("DATABASE_URL", url).env("TIDB_TIMEOUT", seconds)).assert_passed();
}

#[test]
fn each_parameter_does_what_its_row_says() {
    let tls = TlsServer::shared();
    let localhost =
        |parameters: &str| run(&mut quickstart(&tls.url("mysql", "secure", parameters)));
    // Whether it passes without our CA, with it under another name, and with it under the right one.
    let passes = |parameters: &str, ca: &str| {
        let join = if ca.is_empty() || parameters.is_empty() { "" } else { "&" };
        let with_ca = format!("?{parameters}{join}{ca}");
        let other_name = tls.url("mysql", "secure", &with_ca).replace("@localhost:", "@127.0.0.1:");
        [
            localhost(&format!("?{parameters}")).status == Some(0),
            run(&mut quickstart(&other_name)).status == Some(0),
            localhost(&with_ca).status == Some(0),
        ]
    };
    let rows = table("you want | parameter");
    let parameters = |row: usize| spans(&rows[row][1]);
    for (row, expected) in [[false, false, true], [false, true, true], [true; 3]].iter().enumerate()
    {
        assert!(parameters(row).count() >= 2, "{rows:?}");
        for parameter in parameters(row) {
            assert_eq!(passes(parameter, "ssl-ca={CA}"), *expected, "{parameter}");
        }
    }
    let (ca, path) = ("ssl-ca=/path/to/ca.pem", "=/path/to/ca.pem");
    let names: Vec<_> = parameters(3).map(|span| span.trim_end_matches(path)).collect();
    assert_eq!((names.len(), parameters(3).next()), (3, Some(ca)));
    for name in names {
        assert_eq!(passes("", &format!("{name}={{CA}}")), [false, false, true], "{name}");
    }
    let client = parameters(4).next().unwrap().replacen('…', "{FOLDER}/client.pem", 1);
    let client = client.replacen('…', "{FOLDER}/client-key.pem", 1);
    let client = tls.url("mysql", "x509", &format!("?ssl-ca={{CA}}&{client}"));
    run(&mut quickstart(&client)).assert_passed();
    assert_eq!(rows.len(), 5);
}

#[test]
fn each_url_scheme_and_character_is_taken() {
    let tls = TlsServer::shared();
    // No resolver can be asked for a name with a label of 64 letters.
    let urls = block("text", "PREFIX");
    let (cloud, own) = urls.trim_end().split_once('\n').unwrap();
    assert!(cloud.contains("//PREFIX.root:PASSWORD@HOST"));
    let no_host = run(quickstart(&cloud.replace("HOST", &"x".repeat(64))).env("TIDB_TIMEOUT", "1"));
    no_host.assert_refused(1, &[".tidbcloud.com:4000, TLS on", "correct the host"]);
    let right = tls.url("mysql", "secure", "");
    let own = own.replace("mysql://USER:PASSWORD@HOST:4000/test_sqlalchemy", &right);
    let ca = tls.url("", "", "{CA}").split_once("/tls").unwrap().1.to_owned();
    run(&mut quickstart(&own.replace("/path/to/ca.pem", &ca))).assert_passed();
    let prose = prose();
    let (_, schemes) = prose.split_once("Its scheme is ").unwrap();
    let schemes: Vec<_> = spans(schemes.split_once('.').unwrap().0).collect();
    assert_eq!(schemes.len(), 4);
    for scheme in schemes {
        let scheme = if scheme == "mysql+" { "mysql+pymysql" } else { scheme };
        run(&mut quickstart(&tls.url(scheme, "native", ""))).assert_passed();
    }
    let (_, characters) = prose.split_once("percent-encoded: ").unwrap();
    let characters: Vec<_> = spans(characters.split_once(". Name").unwrap().0).collect();
    assert_eq!(characters.len(), 10);
    for pair in characters.chunks(2) {
        assert_eq!(pair[1], format!("%{:02X}", pair[0].as_bytes()[0]));
    }
}
