//! The verdict: what is said, and the exit status, when a part of the deployment is broken.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::in_threads;
use crate::proxy::{Proxy, Verdict, error_packet};
use crate::support::{Run, Server, free_port, quickstart, run, temporary_folder, wait_until};
use crate::urls::TlsServer;
use crate::wire::PACKETS;
use mysql::prelude::Queryable;

/// The number of the client's packet that begins a phase, in a re-run.
const LOGIN: usize = 1;
const LOCK: usize = 3;
const DDL: usize = 5;
const INSERT: usize = 9;

/// A proxy that gives this answer to the client's packet of this number.
fn answering(server: &Server, number: usize, answer: Vec<u8>) -> Proxy {
    Proxy::start(server.port, move |packet| match (packet.client, packet.server) {
        (client, 0) if client == number => Verdict::Answer(answer.clone()),
        _ => Verdict::Pass,
    })
}

/// The only error line of a run that failed with status 1, without what every line has in front.
#[track_caller]
fn error_line(failed: &Run, port: u16) -> String {
    failed.assert_refused(1, &[]);
    let line = failed.stderr.lines().last().unwrap();
    let prefix = format!("[ERROR] 127.0.0.1:{port}, TLS off: ");
    line.strip_prefix(&prefix).unwrap_or_else(|| panic!("no {prefix} in {line}")).to_owned()
}

/// Errors of the server: in which packet's answer they are put, code and words, the advice.
const SERVER_ERRORS: [(usize, u16, &str, &str); 24] = [
    (LOGIN, 1045, "Access denied for user", "if TLS is off, add ssl-mode="),
    (
        LOGIN,
        1044,
        "Access denied for user 'u'@'%'",
        "grant the privileges in sql/0_create_database",
    ),
    (LOGIN, 1105, "Connections using insecure transport are prohibited", "add ssl-mode="),
    (LOGIN, 1105, "Missing user name prefix, please refer to", "TiDB Cloud's console shows"),
    (LOGIN, 3159, "Connections using insecure transport are prohibited", "add ssl-mode="),
    (LOCK, 9001, "PD server timeout", "check PD, TiKV, TiFlash"),
    (LOCK, 9002, "TiKV server timeout", "check PD, TiKV, TiFlash"),
    (DDL, 1142, "DROP command denied to user", "grant the privileges in sql/0_create_database"),
    (DDL, 8027, "Information schema is out of date", "check PD, TiKV, TiFlash"),
    (INSERT, 9003, "TiKV server is busy", "check PD, TiKV, TiFlash"),
    (INSERT, 9005, "Region is unavailable", "check PD, TiKV, TiFlash"),
    (INSERT, 9012, "TiFlash server timeout", "check PD, TiKV, TiFlash"),
    (INSERT, 1205, "Lock wait timeout exceeded", "others changed the same rows: run it again"),
    (INSERT, 1213, "Deadlock found", "others changed the same rows: run it again"),
    (INSERT, 9007, "Write conflict, txnStartTS=1", "others changed the same rows: run it again"),
    (INSERT, 1105, "pessimistic lock retry limit reached", "others changed the same rows: run it"),
    // These have no advice, whatever their words.
    (LOGIN, 8252, "An error\nof two lines, unheard of", ""),
    (LOGIN, 1251, "connection refused, UnknownIssuer, not valid for name, SqlStateMarker", ""),
    (DDL, 1050, "Table 'usage quota.insecure transport' already exists", ""),
    (INSERT, 9004, "Resolve lock timeout", ""),
    (INSERT, 1015, "Can't lock file (errno: 13)", ""),
    (INSERT, 1105, "rpc error: dial tcp 10.0.0.1:20160: connect: connection refused", ""),
    (INSERT, 1105, "context deadline exceeded: timeout", ""),
    (INSERT, 1366, "Incorrect value 'ERROR 1045' for column 'name'", ""),
];

#[test]
fn an_error_of_the_server_gets_its_advice_by_its_code() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("verdict"))).assert_passed();
    for (packet, code, words, advice) in SERVER_ERRORS {
        let step = match packet {
            LOGIN => "connect",
            LOCK => "get the lock",
            DDL => "1. drop and create users and orders",
            _ => "2. insert three users",
        };
        let proxy = answering(server, packet, error_packet(code, words));
        let line = error_line(&run(&mut quickstart(&proxy.url("verdict"))), proxy.port);
        println!("{line}");
        let error = format!("{step}: ERROR {code} (HY000): {words}").replace('\n', " ");
        assert!(line.starts_with(&error) && line.contains(advice), "{line}");
        assert_eq!(advice.is_empty(), line.ends_with(&error), "{line}");
    }
}

#[test]
fn names_decide_nothing() {
    let server = Server::shared();
    let database = "refused timeout UnknownIssuer SqlStateMarker insecure transport";
    server.execute(&[
        "CREATE USER 'refused timeout'",
        "GRANT ALL ON *.* TO 'refused timeout'",
        &format!("CREATE DATABASE `{database}`"),
    ]);
    let url = |port: u16| {
        format!("mysql://refused%20timeout@127.0.0.1:{port}/{}", database.replace(' ', "%20"))
    };
    run(&mut quickstart(&url(server.port))).assert_passed();
    for packet in [LOGIN, LOCK, DDL, INSERT] {
        let proxy = answering(server, packet, error_packet(8252, "in 'refused timeout'"));
        let line = error_line(&run(&mut quickstart(&url(proxy.port))), proxy.port);
        assert!(line.ends_with("ERROR 8252 (HY000): in 'refused timeout'"), "{line}");
    }
    // No resolver can be asked for this name: a label of it is too long.
    let host = format!("timeout.refused.{}", "x".repeat(64));
    let failed = run(quickstart(&format!("mysql://u@{host}:4000/d")).env("TIDB_TIMEOUT", "1"));
    failed.assert_refused(1, &[": connect: ", "; correct the host in"]);
}

/// A port whose listener writes this to each who connects, and then closes the connection or not.
pub fn listener(greeting: &'static [u8], closes: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting);
            if !closes {
                open.push(stream);
            }
        }
    });
    port
}

#[test]
fn what_listens_there_is_told_apart() {
    let ssh = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
    for (port, words) in [
        (free_port(), "start TiDB (here: `make tidb`) or correct DATABASE_URL"),
        (listener(b"", false), "timed out after 1 s; check firewalls and IP access lists"),
        (listener(b"", true), "connection closed"),
        (listener(ssh, false), "not MySQL's protocol"),
    ] {
        let url = format!("mysql://root@127.0.0.1:{port}/d");
        let failed = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
        let line = error_line(&failed, port);
        println!("{line}");
        assert!(line.starts_with("connect: ") && line.contains(words), "{line}");
        assert!(!line.contains("os error 11)"), "{line}");
    }
}

#[test]
fn a_server_that_accepts_and_closes_is_waited_for() {
    let server = Server::shared();
    // As the port of a container before its TiDB is up.
    let start = Instant::now();
    let proxy = Proxy::start(server.port, move |_| {
        if start.elapsed() < Duration::from_secs(3) { Verdict::Cut } else { Verdict::Pass }
    });
    let late = run(&mut quickstart(&proxy.url("accepts_late")));
    let waits = late.assert_passed().stderr.matches("waiting up to").count();
    assert!(waits == 1 && proxy.connections() > 2, "{late:#?}");
    // One that never becomes a TiDB is a failure in time.
    let start = Instant::now();
    let url = format!("mysql://root@127.0.0.1:{}/d", listener(b"", true));
    let failed = run(quickstart(&url).env("TIDB_TIMEOUT", "3"));
    failed.assert_refused(1, &["connection closed"]);
    assert_eq!(failed.stderr.matches("waiting up to 3 s").count(), 1, "{failed:#?}");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(5), "{took:?}");
}

/// Runs a command where /etc/hosts is this file; none where a machine does not allow that.
fn with_hosts(hosts: &Path, command: &Command) -> Option<Run> {
    let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let unshare = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(hosts);
        unshare
    };
    let possible = unshare(r#"mount --bind "$0" /etc/hosts"#).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let /etc/hosts be replaced");
        return None;
    }
    let mut unshare = unshare(script);
    unshare.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => unshare.env(name, value),
            None => unshare.env_remove(name),
        };
    }
    Some(run(&mut unshare))
}

#[test]
fn each_address_of_a_name_is_tried() {
    // It listens on 127.0.0.1 alone.
    let tls = TlsServer::start();
    let hosts = temporary_folder().join("hosts");
    for text in
        ["::1 localhost\n127.0.0.1 localhost\n", "127.0.0.9 localhost\n127.0.0.1 localhost\n"]
    {
        std::fs::write(&hosts, text).unwrap();
        for parameters in ["", "?ssl-mode=VERIFY_IDENTITY&ssl-ca={CA}"] {
            let start = Instant::now();
            let command = quickstart(&tls.url("mysql", "native", parameters));
            let Some(passed) = with_hosts(&hosts, &command) else { return };
            let waits = passed.assert_passed().stderr.contains("waiting up to");
            assert!(!waits && start.elapsed() < Duration::from_secs(10), "{passed:#?}");
        }
    }
    // Where none answers, the line says what the first one did.
    std::fs::write(&hosts, "::1 localhost\n127.0.0.1 localhost\n").unwrap();
    let mut command = quickstart(&format!("mysql://root@localhost:{}/d", free_port()));
    command.env("TIDB_TIMEOUT", "1");
    let Some(failed) = with_hosts(&hosts, &command) else { return };
    failed.assert_refused(1, &["connect: ", "Connection refused"]);
}

#[test]
fn ddl_that_hangs_fails_each_run() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("hang"))).assert_passed();
    // DDL waits for the transactions that have read the table.
    let mut reader = server.session();
    reader.query_drop("BEGIN").unwrap();
    reader.query_drop("SELECT * FROM hang.users").unwrap();
    let mut hangs = quickstart(&server.url("hang"));
    let hangs = hangs.env("TIDB_TIMEOUT", "2").stdout(Stdio::piped()).stderr(Stdio::piped());
    let hangs = hangs.spawn().unwrap();
    let ddl = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST
        WHERE db = 'hang' AND info LIKE 'DROP TABLE%'";
    wait_until("the DDL begins", || server.rows::<u64>(ddl) == [1]);
    let waits = run(quickstart(&server.url("hang")).env("TIDB_TIMEOUT", "2"));
    waits.assert_refused(1, &["another run uses this database", "CLUSTER_PROCESSLIST"]);
    let hangs = Run::of(hangs.wait_with_output().unwrap());
    hangs.assert_refused(1, &["1. drop and create", "timed out after 2 s", "ADMIN SHOW DDL JOBS"]);
    reader.query_drop("COMMIT").unwrap();
    run(&mut quickstart(&server.url("hang"))).assert_passed();
    server.assert_final_rows("hang");
}

#[test]
fn spoiled_bytes_never_pass_for_a_success() {
    let server = Server::shared();
    let seeds: Vec<usize> = (0..60).collect();
    in_threads(4, &seeds, |thread, &seed| {
        let database = format!("spoiled_{thread}");
        // The first packet of the answer to one packet of the client has one byte spoiled.
        let (number, offset, byte) = (seed % PACKETS, seed * 7, seed * 31 % 255 + 1);
        let proxy = Proxy::start(server.port, move |packet| {
            if (packet.client, packet.server) == (number, 1) && !packet.payload.is_empty() {
                let offset = offset % packet.payload.len();
                packet.payload[offset] ^= u8::try_from(byte).unwrap();
            }
            Verdict::Pass
        });
        let spoiled = run(quickstart(&proxy.url(&database)).env("TIDB_TIMEOUT", "1"));
        if spoiled.status == Some(0) {
            spoiled.assert_passed();
            server.assert_final_rows(&database);
        } else {
            // 101: the driver has panicked.
            assert!(matches!(spoiled.status, Some(1 | 2 | 101)), "{spoiled:#?}");
            assert!(spoiled.stdout.is_empty(), "{spoiled:#?}");
        }
    });
}
