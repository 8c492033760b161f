//! Failures, timeouts, wrong results, late servers and concurrent runs.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::proxy::{Proxy, Verdict, error_packet};
use crate::support::{Server, free_port, quickstart, root, run, temporary_folder};

/// How many packets the client sends in a re-run without `--cleanup`. The first two connect.
const PACKETS: usize = 20;

/// Does `work` for each item in four threads. Each has its own database with our tables.
fn in_threads<T: Copy + Sync>(server: &Server, items: &[T], work: impl Fn(&str, T) + Sync) {
    thread::scope(|scope| {
        for thread in 0..4 {
            let work = &work;
            scope.spawn(move || {
                let database = format!("thread_{thread}");
                run(quickstart(server.port, &database)).assert_passed();
                for &item in items.iter().skip(thread).step_by(4) {
                    work(&database, item);
                }
            });
        }
    });
}

#[test]
fn a_re_run_sends_20_packets_over_one_connection() {
    // The first run also sends the refused login, and a login, the settings and CREATE DATABASE
    // over a short connection. Each connection takes two packets.
    for packets in [PACKETS + 4, PACKETS] {
        let proxy = Proxy::start(Server::shared().port, |_| Verdict::Pass);
        run(quickstart(proxy.port, "packets")).assert_passed();
        assert_eq!(proxy.packets.load(SeqCst), packets);
    }
}

#[test]
fn a_cut_at_any_packet_is_a_failure_that_the_next_run_mends() {
    // A separate server, because TiDB runs one DDL statement at a time.
    let server = Server::start();
    // Before and after the server handles the packet.
    let places: Vec<_> = (1..=PACKETS).flat_map(|packet| [(packet, 0), (packet, 1)]).collect();
    in_threads(&server, &places, |database, place| {
        let mut cuts = 0;
        let proxy = Proxy::start(server.port, move |packet| {
            if (packet.client, packet.server) == place && cuts == 0 {
                cuts += 1;
                return Verdict::Cut;
            }
            Verdict::Pass
        });
        let cut = run(quickstart(proxy.port, database));
        if place.0 <= 2 {
            // During connect, a failure is retried.
            assert!(cut.assert_passed().stderr.contains("connection closed"), "{cut:#?}");
        } else {
            cut.assert_failed(1, &["connection closed", "a proxy's idle timeout"]);
        }
        run(quickstart(server.port, database)).assert_passed();
    });
}

/// What asks in which step, and advice after silence.
const SILENCES: [(&str, &str, &str); 5] = [
    ("root", "connect", "IP access lists; TiDB or a proxy may hang"),
    ("GET_LOCK", "get the lock", "PD, TiKV or another TiDB server"),
    ("DROP TABLE", "drop users and orders", "open transaction"),
    ("INSERT INTO users", "2. insert three users", "PD, TiKV or another TiDB server"),
    ("UNION ALL", "verify all rows of users and orders", "PD, TiKV or another TiDB server"),
];

#[test]
fn silence_is_a_failure_in_time() {
    let server = Server::start();
    in_threads(&server, &SILENCES, |database, (text, step, advice)| {
        let mut is_silent = false;
        let proxy = Proxy::start(server.port, move |packet| {
            is_silent |= packet.asks(text);
            if is_silent { Verdict::Drop } else { Verdict::Pass }
        });
        let start = Instant::now();
        let failed = run(quickstart(proxy.port, database).env("TIDB_TIMEOUT", "4"));
        let took = start.elapsed().as_secs();
        failed.assert_failed(1, &[&format!(": {step}: timed out (TIDB_TIMEOUT); "), advice]);
        assert!((4..8).contains(&took), "took {took} s: {failed:#?}");
        run(quickstart(server.port, database)).assert_passed();
    });
}

/// Server errors: what they answer, in which step, the code, the text, and the remedy, if any.
const ERRORS: [(&str, &str, u16, &str, &str); 11] = [
    ("root", "connect", 1105, "insecure transport are prohibited", "for TLS, add ?root_cert_path="),
    ("root", "connect", 1105, "Missing user name prefix", "the TiDB Cloud console"),
    ("root", "connect", 1045, "Access denied for user", "% is %25"),
    ("GET_LOCK", "get the lock", 9001, "PD server timeout", "check PD, TiKV, TiFlash"),
    ("DROP TABLE", DROP, 1142, "DROP denied", "sql/0_create_database_and_user.sql"),
    ("INSERT INTO users", USERS, 1146, "Table 'd.users' doesn't exist", "conflict with another"),
    ("INSERT INTO users", USERS, 1105, "pessimistic lock retry limit", "conflict with another"),
    // These texts resemble errors that have a remedy, but neither code, text nor step matches.
    ("INSERT INTO users", USERS, 1105, "interface conversion: error", ""),
    ("INSERT INTO users", USERS, 1193, "Unknown system variable", ""),
    ("root", "connect", 8252, "An error\nof two lines, unheard of", ""),
    ("DROP TABLE", DROP, 1064, "insecure transport", ""),
];
const DROP: &str = "drop users and orders";
const USERS: &str = "2. insert three users";

#[test]
fn an_error_of_the_server_gets_a_remedy_by_its_code() {
    let server = Server::shared();
    run(quickstart(server.port, "errors")).assert_passed();
    for (question, step, code, text, remedy) in ERRORS {
        let proxy = Proxy::answering(server.port, question, 1, &error_packet(code, text));
        let failed = run(quickstart(proxy.port, "errors"));
        let error = format!(": {step}: ERROR {code} (HY000): {text}").replace('\n', " ");
        failed.assert_failed(1, &[&error, remedy]);
        assert_eq!(failed.stderr.ends_with(&(error + "\n")), remedy.is_empty(), "{failed:#?}");
        assert!(!failed.stderr.contains("retrying for up to"), "{failed:#?}");
    }
}

#[test]
fn a_server_that_is_not_tidb_is_refused_before_anything_changes() {
    let server = Server::shared();
    // MySQL and MariaDB, and Dolt
    for code in [1193, 1105] {
        let unknown = error_packet(code, "Unknown system variable 'tidb_low_resolution_tso'");
        let proxy = Proxy::answering(server.port, "tidb_low_resolution_tso", 1, &unknown);
        let words = ["connect: ERROR", "the server is not TiDB: check host and port (TiDB: 4000)"];
        run(quickstart(proxy.port, "not_tidb")).assert_failed(2, &words);
        assert!(server.rows::<String>("SHOW DATABASES LIKE 'not_tidb'").is_empty());
    }
}

/// Returns a port whose listener sends this greeting and then keeps or closes the connection.
pub fn listener(greeting: &'static [u8], closes: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting);
            if !closes {
                kept.push(stream);
            }
        }
    });
    port
}

#[test]
fn what_listens_on_the_port_is_told_apart() {
    // Nothing accepts: once the backlog is full, the kernel drops packets.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(stream);
    }
    // The driver panics on the empty reply. The last number: how many seconds the run takes.
    for (port, words, retries, seconds) in [
        (free_port(), "(os error 111); start TiDB (locally: `make tidb`), or correct", 1, 3..6),
        (listener(b"", true), "or is not TiDB", 1, 3..6),
        (listener(b"", false), "timed out (TIDB_TIMEOUT); check host, port", 0, 3..6),
        (address.port(), "timed out (TIDB_TIMEOUT); check host, port", 0, 3..6),
        (listener(b"SSH-2.0-OpenSSH_9.2p1\r\n", false), "not the MySQL protocol", 0, 0..3),
        (Proxy::answering(Server::shared().port, "root", 1, &[]).port, "not the MySQL", 0, 0..3),
    ] {
        let start = Instant::now();
        let failed = run(quickstart(port, "d").env("TIDB_TIMEOUT", "3"));
        let took = start.elapsed().as_secs();
        failed.assert_failed(1, &[&format!("127.0.0.1:{port}, TLS off: connect: "), words]);
        let notices = failed.stderr.matches("retrying for up to 3 s: ").count();
        assert_eq!(notices, retries, "{failed:#?}");
        assert!(seconds.contains(&took), "took {took} s: {failed:#?}");
    }
}

#[test]
fn a_run_waits_for_a_server_that_starts() {
    let port = free_port();
    let early = thread::spawn(move || run(quickstart(port, "early").env("TIDB_TIMEOUT", "60")));
    thread::sleep(Duration::from_secs(1));
    let _server = Server::on_port(port, temporary_folder().keep(), "socket = ''");
    let passed = early.join().unwrap();
    assert!(passed.assert_passed().stderr.contains("refused"), "{passed:#?}");
}

#[test]
fn a_wrong_result_is_a_failure() {
    /// The join's first row in the binary protocol: a 0, which columns are NULL, `Ben`, 212.5.
    const ROW: &[u8] = b"\x00\x00\x03Ben\x00\x80\x54\x43";
    let server = Server::shared();
    let proxy = Proxy::start(server.port, |packet| {
        if packet.payload == ROW {
            // The price is NULL.
            packet.payload.copy_from_slice(b"\x00\x08\x07Ben 212");
        }
        Verdict::Pass
    });
    let words = ["5. join users and orders: from row conversion error"];
    run(quickstart(proxy.port, "wrong")).assert_failed(1, &words);
    for (statement, words) in [
        ("INSERT INTO users", "2. insert three users: expected 3, got 1"),
        ("INSERT INTO orders", "2. insert five orders: expected 5, got 1"),
        // These are acknowledged, but not done.
        ("DELETE FROM orders", r#""order 3 2 4.5", "order 4 2 2123.87", "order 5"#),
        ("UPDATE orders", r#"got ["order 1 1 2.5", "#),
    ] {
        let mut execution = usize::MAX;
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.asks(statement) {
                execution = packet.client + 1;
            }
            if (packet.client, packet.server) == (execution, 0) {
                // OK: one row was changed.
                return Verdict::Answer(vec![0, 1, 0, 2, 0, 0, 0]);
            }
            Verdict::Pass
        });
        run(quickstart(proxy.port, "wrong")).assert_failed(1, &[words]);
    }
}

#[test]
fn runs_on_one_database_take_turns() {
    // A separate server, because waiting runs keep it busy.
    let server = Server::start();
    let port = server.port;
    thread::scope(|scope| {
        for number in 0..16 {
            scope.spawn(move || {
                let mut member = quickstart(port, &format!("crowd_{}", number % 2));
                run(member.env("TIDB_TIMEOUT", "100")).assert_passed();
            });
        }
    });
    server.assert_final_rows("crowd_0");
    server.assert_final_rows("crowd_1");
}

#[test]
fn a_run_that_waits_for_another_in_vain_changes_nothing() {
    let server = Server::shared();
    run(quickstart(server.port, "turns")).assert_passed();
    server.execute(&["UPDATE turns.users SET name = 'Zoe'"]);
    let mut other = server.session();
    other.query_drop("USE turns").unwrap();
    let sql = std::fs::read_to_string(root().join("sql/smoke_test/get_lock.sql")).unwrap();
    assert_eq!(other.query_first::<u8, _>(sql).unwrap(), Some(1));
    // `GET_LOCK` waits as long as this timeout, and the network is slow.
    let proxy = Proxy::start(server.port, |packet| {
        thread::sleep(Duration::from_millis(if packet.asks("GET_LOCK") { 300 } else { 0 }));
        Verdict::Pass
    });
    let refused = run(quickstart(proxy.port, "TURNS").env("TIDB_TIMEOUT", "1"));
    let words = ["another session holds the lock", "another run may be", "SHOW PROCESSLIST"];
    refused.assert_failed(1, &words);
    assert_eq!(refused.stderr.matches("retrying for up to 1 s: ").count(), 1, "{refused:#?}");
    assert_eq!(server.rows::<String>("SELECT name FROM turns.users"), ["Zoe"; 3]);
    // Another database has another lock.
    run(quickstart(server.port, "turns_2")).assert_passed();
    drop(other);
    run(quickstart(server.port, "turns")).assert_passed();
}

#[test]
fn contention_and_a_server_without_locks_do_not_matter() {
    let server = Server::shared();
    for (packet, code, text, times) in [
        ("GET_LOCK", 1235, "function GET_LOCK has only noop implementation", 1),
        ("GET_LOCK", 1105, "pessimistic lock retry limit reached", 2),
        ("GET_LOCK", 1105, "lock wait timeout", 2),
        ("GET_LOCK", 1105, "interface conversion: error is *errors.fundamental", 2),
        // TiDB before 7.1, while someone else drops a table of another database
        ("INFORMATION_SCHEMA", 1146, "Table 'app.t1' doesn't exist", 2),
        ("root", 1040, "Too many connections", 2),
        // TiProxy
        ("root", 1105, "TiProxy fails to connect to TiDB, please make sure TiDB is available", 2),
        ("root", 1105, "No available TiDB instances, please make sure TiDB is available", 2),
    ] {
        let proxy = Proxy::answering(server.port, packet, times, &error_packet(code, text));
        let passed = run(quickstart(proxy.port, "without_locks"));
        let log = &passed.assert_passed().stderr;
        assert_eq!(log.contains("retrying for up to"), code != 1235, "{log}");
        assert_eq!(log.contains("TiDB before v6.1 has no GET_LOCK"), code == 1235, "{log}");
    }
}
