//! The binary, the examples, and a program made of the part of `src/main.rs` that readers copy: the
//! same URLs work in all of them, or fail in all of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use crate::proxy::{Proxy, Verdict, error_packet};
use crate::support::{LINE, Run, Server, free_port, quickstart, root, run, url, without_settings};
use crate::tls::TlsServer;

/// A `main` for the part to copy, in which each function is used.
const COPIED_MAIN: &str = r#"
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let mut conn = mysql::Pool::new(connection_options(&url)?)?.get_conn()?;
    create_tables(&mut conn)?;
    insert_users(&mut conn, &[User { name: "Ben".to_owned(), gender: Gender::Male }])?;
    insert_orders(&mut conn, &[Order { uid: 1, price: 1.5 }, Order { uid: 1, price: 2.5 }])?;
    delete_order(&mut conn, 1)?;
    set_price(&mut conn, 2, 8.5)?;
    for UserOrder { name, price } in user_orders(&mut conn, 1)? {
        println!("{name} {price}");
    }
    let _ = Gender::Female;
    Ok(())
}
"#;

/// What each program prints on a first run.
const OUTPUTS: [&str; 6] = [
    LINE,
    "Ada is 36\n",
    "Edition { title: \"Letters\", pages: None, format: \"Audio\", price: \"9.90\" }\n",
    "rolled back 1000.00: invalid amount or not enough money\nAda: 100.00\nBen: 100.00\n",
    "DO SLEEP(3): Err(CodecError { IO error: `Resource temporarily unavailable (os error 11)' })
SELECT 42: Ok(Some(Ok(42)))\n",
    "Ben 8.5\n",
];

/// The paths of all programs. The first one is the binary, the last one the copied program.
fn programs() -> &'static [PathBuf] {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        without_settings(&mut cargo);
        cargo.args(["build", "--locked", "--offline", "--examples", "--message-format=json"]);
        let built = run(cargo.current_dir(root()));
        assert_eq!(built.status, Some(0), "{}", built.stderr);
        let is_mysql = |path: &&str| path.contains("/libmysql-") && path.contains(".rlib");
        let mysql = built.stdout.split('"').find(is_mysql).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"));
        let examples = binary.with_file_name("examples");
        let names = ["hello", "typed_rows", "transaction", "timeouts"];
        let mut programs = vec![binary.to_owned()];
        programs.extend(names.map(|name| examples.join(name)));
        programs.push(compile_copied_part(Path::new(mysql)));
        programs
    })
}

/// Compiles the part to copy, with only `mysql` and `sql/`, as a project of its own would.
fn compile_copied_part(mysql: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("my-tidb-app");
    let _ = fs::remove_dir_all(&folder);
    let source = fs::read_to_string(root().join("src/main.rs")).unwrap();
    let (part, _) = source.split_once("// ----").unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
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

/// Runs a program, if `hosts` is given, in a mount namespace in which this file is `/etc/hosts`.
fn run_program(program: &Path, url: &str, hosts: Option<&Path>) -> Run {
    let mut command = Command::new(if hosts.is_some() { "unshare" } else { "env" });
    without_settings(&mut command);
    if let Some(hosts) = hosts {
        let script = r#"mount --bind "$0" /etc/hosts && exec "$1""#;
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(hosts);
    }
    run(command.arg(program).env("DATABASE_URL", url))
}

/// Fails unless the run failed, and the last line on stderr contains these words.
#[track_caller]
fn assert_failure(program: &Path, run: &Run, words: &[&str]) {
    let error = run.stderr.lines().last().unwrap_or_default();
    let says = words.iter().all(|words| error.contains(words));
    assert!(run.status != Some(0) && says, "{}: {run:#?}", program.display());
}

#[test]
fn tls_is_on_and_verified_for_tidb_cloud_in_each_program() {
    let tls = TlsServer::start(CLOUD);
    let hosts = tls.server.folder.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {CLOUD}\n")).unwrap();
    let hosts = Some(&*hosts);
    if run_program(Path::new("true"), "", hosts).status != Some(0) {
        // Not `eprintln!`, which the test harness captures.
        let message = "NOT RUN: tls_is_on_and_verified_for_tidb_cloud_in_each_program, because \
            `unshare --map-root-user --mount` is refused";
        writeln!(std::io::stderr(), "{message}").unwrap();
        return;
    }
    for (number, program) in programs().iter().enumerate() {
        tls.server.execute(&[&format!("CREATE DATABASE program_{number}")]);
        let url = format!("mysql://root@{CLOUD}:{}/program_{number}", tls.server.port);
        let refused = run_program(program, &url, hosts);
        assert_failure(program, &refused, &["invalid peer certificate: UnknownIssuer"]);
        let url = format!("{url}?root_cert_path={}", tls.ca.display());
        assert_eq!(run_program(program, &url, hosts).stdout, OUTPUTS[number]);
    }
}

#[test]
fn each_program_connects_over_tcp_and_refuses_parameters_of_other_clients() {
    // The driver would leave TCP for this socket. Its path has at most 107 bytes, so it is in /tmp.
    let folder = tempfile::tempdir().unwrap().keep();
    let socket = format!("socket = '{}/tidb.sock'", folder.display());
    let server = Server::on_port(free_port(), folder, &socket);
    for (number, program) in programs().iter().enumerate() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let proxy = Proxy::start(server.port, move |packet| {
            let is_statement = packet.asks(" INTO ") || packet.asks("SLEEP");
            counter.fetch_add(usize::from(is_statement), SeqCst);
            Verdict::Pass
        });
        server.execute(&[&format!("CREATE DATABASE program_{number}")]);
        let url = url(proxy.port, &format!("program_{number}"));
        let passed = run_program(program, &url, None);
        assert_eq!((passed.status, &*passed.stdout), (Some(0), OUTPUTS[number]), "{passed:#?}");
        assert!(seen.load(SeqCst) > 0, "{} uses the socket", program.display());
        let refused = run_program(program, &format!("{url}?ssl-mode=VERIFY_IDENTITY"), None);
        assert_failure(program, &refused, &["`ssl-mode'", "?root_cert_path=/path/to/ca.pem"]);
    }
    // The tables of the copied program are not the smoke test's.
    let database = format!("program_{}", programs().len() - 1);
    let words = [&*format!("{database}.orders was not created by this program")];
    run(quickstart(server.port, &database)).assert_failed(2, &words);
    assert_eq!(server.rows::<String>(&format!("SELECT name FROM {database}.users")), ["Ben"]);
}

#[test]
fn a_transaction_is_retried_after_a_conflict() {
    let server = Server::shared();
    server.execute(&["CREATE DATABASE conflict"]);
    let conflict = error_packet(9007, "Write conflict");
    let proxy = Proxy::answering(server.port, "COMMIT", 3, &conflict);
    let passed = run_program(&programs()[3], &url(proxy.port, "conflict"), None);
    assert_eq!(passed.stdout, OUTPUTS[3], "{passed:#?}");
}
