//! The binary, the examples, and a program made of the part of `src/main.rs` that readers copy: the
//! same URLs work in all of them, or fail in all of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use crate::proxy::{Proxy, Verdict};
use crate::support::{
    Run, Server, free_port, quickstart, root, run, temporary_folder, url, without_settings,
};
use crate::tls::{Ca, Kind};

/// A `main` for the part to copy, in which each function is used.
const COPIED_MAIN: &str = r#"
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let mut conn = mysql::Pool::new(connection_options(&url)?)?.get_conn()?;
    create_tables(&mut conn)?;
    let user = |name: &str, gender| User { name: name.to_owned(), gender };
    insert_users(&mut conn, &[user("Eve", Gender::Female), user("Bob", Gender::Male)])?;
    insert_orders(&mut conn, &[Order { uid: 2, price: 1.5 }, Order { uid: 2, price: 2.5 }])?;
    delete_order(&mut conn, 1)?;
    set_price(&mut conn, 2, 3.5)?;
    println!("{:?}", user_orders(&mut conn, 2)?);
    Ok(())
}
"#;

/// The paths of all programs. The first one is the binary, the last one the copied program.
fn programs() -> &'static [PathBuf] {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        without_settings(&mut cargo);
        cargo.args(["build", "--locked", "--offline", "--examples", "--message-format=json"]);
        let built = run(cargo.current_dir(root()));
        assert_eq!(built.status, Some(0), "{}", built.stderr);
        let paths: Vec<_> = built.stdout.split('"').collect();
        let path = |part: &str, end: &str| {
            let is_it = |path: &&&str| path.contains(part) && path.ends_with(end);
            PathBuf::from(paths.iter().find(is_it).unwrap())
        };
        let copied = compile_copied_part(&path("/libmysql-", ".rlib"));
        let mut programs = vec![PathBuf::from(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"))];
        programs
            .extend(["hello", "typed_rows", "transaction"].map(|name| path("/examples/", name)));
        programs.push(copied);
        programs
    })
}

/// Compiles the part to copy, with only `mysql` and `sql/`, as a project of its own would.
fn compile_copied_part(mysql: &Path) -> PathBuf {
    let folder = temporary_folder().keep();
    let source = fs::read_to_string(root().join("src/main.rs")).unwrap();
    let (part, _) = source.split_once("// ----").unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.rs"), part.to_owned() + COPIED_MAIN).unwrap();
    std::os::unix::fs::symlink(root().join("sql"), folder.join("sql")).unwrap();
    let program = folder.join("my-tidb-app");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-D", "warnings", "src/main.rs", "-o"]).arg(&program);
    let dependencies = format!("dependency={}", mysql.parent().unwrap().display());
    rustc.args(["-L", &dependencies, "--extern", &format!("mysql={}", mysql.display())]);
    let compiled = run(rustc.env("CARGO_PKG_NAME", "my-tidb-app").current_dir(&folder));
    assert_eq!(compiled.status, Some(0), "{}", compiled.stderr);
    program
}

/// A host of TiDB Cloud
const CLOUD: &str = "gateway01.us-east-1.prod.aws.tidbcloud.com";

/// Runs a program in a mount namespace, in which another file can be `/etc/hosts`.
fn run_with_hosts(program: &Path, hosts: &Path, url: &str) -> Run {
    let mut unshare = Command::new("unshare");
    without_settings(&mut unshare);
    let script = r#"mount --bind "$0" /etc/hosts && exec "$1""#;
    unshare.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(hosts).arg(program);
    run(unshare.env("DATABASE_URL", url))
}

fn run_program(program: &Path, url: &str) -> Run {
    let mut command = Command::new(program);
    without_settings(&mut command);
    run(command.env("DATABASE_URL", url))
}

#[track_caller]
fn assert_success(program: &Path, run: &Run) {
    assert!(run.status == Some(0) && !run.stdout.is_empty(), "{}: {run:#?}", program.display());
}

/// Fails unless the last line on stderr contains these words.
#[track_caller]
fn assert_failure(program: &Path, run: &Run, words: &[&str]) {
    let error = run.stderr.lines().last().unwrap_or_default();
    let says = words.iter().all(|words| error.contains(words));
    assert!(run.status != Some(0) && says, "{}: {run:#?}", program.display());
}

#[test]
fn tls_is_on_and_verified_for_tidb_cloud_in_each_program() {
    let folder = temporary_folder().keep();
    let hosts = folder.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {CLOUD}\n")).unwrap();
    let mut probe = Command::new("unshare");
    if run(probe.args(["--map-root-user", "--mount", "true"])).status != Some(0) {
        // Not `eprintln!`, which the test harness captures.
        let message = "NOT RUN: tls_is_on_and_verified_for_tidb_cloud_in_each_program, because \
            `unshare --map-root-user --mount` is refused";
        writeln!(std::io::stderr(), "{message}").unwrap();
        return;
    }
    let ca = Ca::new(&folder, "ca.pem");
    ca.issue(CLOUD, &folder, "server", Kind::Valid);
    let config = "socket = ''\nsecurity = { ssl-cert = 'server.pem', ssl-key = 'server-key.pem' }";
    let server = Server::on_port(free_port(), folder.clone(), config);
    for (number, program) in programs().iter().enumerate() {
        server.execute(&[&format!("CREATE DATABASE program_{number}")]);
        let url = format!("mysql://root@{CLOUD}:{}/program_{number}", server.port);
        let refused = run_with_hosts(program, &hosts, &url);
        assert_failure(program, &refused, &["invalid peer certificate: UnknownIssuer"]);
        let url = format!("{url}?root_cert_path={}/ca.pem", folder.display());
        assert_success(program, &run_with_hosts(program, &hosts, &url));
    }
}

#[test]
fn each_program_connects_without_tls_and_refuses_parameters_of_other_clients() {
    let server = Server::shared();
    for (number, program) in programs().iter().enumerate() {
        let database = format!("program_{number}");
        server.execute(&[&format!("CREATE DATABASE {database}")]);
        let url = url(server.port, &database);
        assert_success(program, &run_program(program, &url));
        let refused = run_program(program, &format!("{url}?ssl-mode=VERIFY_IDENTITY"));
        assert_failure(program, &refused, &["`ssl-mode'", "?root_cert_path=/path/to/ca.pem"]);
    }
    // The tables of the copied program are not the smoke test's.
    let words = ["was not created by this program"];
    let database = format!("program_{}", programs().len() - 1);
    run(quickstart(server.port, &database)).assert_failed(2, &words);
    let kept: Vec<String> = server.rows(&format!("SELECT name FROM {database}.users"));
    assert_eq!(kept, ["Eve", "Bob"]);
}

#[test]
fn no_program_leaves_its_url_for_a_unix_socket() {
    // Not under `target/`, because the path of a socket has at most 107 bytes.
    let folder = tempfile::tempdir().unwrap().keep();
    let socket = format!("socket = '{}/tidb.sock'", folder.display());
    let server = Server::on_port(free_port(), folder, &socket);
    for (number, program) in programs().iter().enumerate() {
        let writes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&writes);
        let proxy = Proxy::start(server.port, move |packet| {
            counter.fetch_add(usize::from(packet.asks(" INTO ")), SeqCst);
            Verdict::Pass
        });
        server.execute(&[&format!("CREATE DATABASE program_{number}")]);
        let url = url(proxy.port, &format!("program_{number}"));
        assert_success(program, &run_program(program, &url));
        assert!(writes.load(SeqCst) > 0, "{} writes over the socket", program.display());
    }
}
