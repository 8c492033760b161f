//! Failures, timeouts, wrong results, late servers and concurrent runs.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::proxy::{Proxy, Verdict, error_packet};
use crate::support::{
    Server, free_port, quickstart, root, run, temporary_folder, url, without_settings,
};
use crate::urls::TlsServer;

/// The steps of a re-run with `--cleanup`, and how many packets the client sends in each.
const STEPS: [(&str, usize); 11] = [
    ("connect", 2),
    ("get the lock", 1),
    ("look for other tables", 1),
    ("1. drop and create users and orders", 3),
    ("2. insert three users", 2),
    ("2. insert one order", 2),
    ("2. insert five orders", 2),
    ("3. delete order 4", 2),
    ("4. set the price of order 1 to 3.5", 2),
    ("5. join users and orders", 2),
    ("clean up: drop users and orders", 1),
];

/// How many packets the client sends in a re-run without `--cleanup`.
const PACKETS: usize = 19;

/// The numbers of some packets: the login, `GET_LOCK`, `DROP TABLE`, the first INSERT.
const LOGIN: usize = 1;
const LOCK: usize = 3;
const DDL: usize = 5;
const INSERT: usize = 9;

/// The step that sends the client's packet of this number.
fn step(packet: usize) -> &'static str {
    STEPS.iter().flat_map(|(name, packets)| vec![*name; *packets]).nth(packet - 1).unwrap()
}

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

/// A proxy that gives this answer to the first `times` packets of the client with this text.
fn answering(server: &Server, text: &'static str, times: usize, answer: Vec<u8>) -> Arc<Proxy> {
    let mut answers = 0;
    Proxy::start(server.port, move |packet| {
        if packet.asks(text) && answers < times {
            answers += 1;
            return Verdict::Answer(answer.clone());
        }
        Verdict::Pass
    })
}

#[test]
fn a_re_run_sends_19_packets_over_one_connection() {
    // The first run also sends the refused login, and a login, the settings and CREATE DATABASE
    // over a short connection.
    for (packets, connections) in [(PACKETS + 4, 3), (PACKETS, 1)] {
        let proxy = Proxy::start(Server::shared().port, |_| Verdict::Pass);
        run(quickstart(proxy.port, "packets")).assert_passed();
        assert_eq!(proxy.packets.load(SeqCst), packets);
        assert_eq!(proxy.connections.load(SeqCst), connections);
    }
}

#[test]
fn a_cut_at_any_packet_is_a_failure_that_the_next_run_mends() {
    // A separate server, because TiDB runs one DDL statement at a time.
    let server = Server::start();
    // Before and after the server handles the packet.
    let places: Vec<_> = (1..=PACKETS + 1).flat_map(|packet| [(packet, 0), (packet, 1)]).collect();
    in_threads(&server, &places, |database, place| {
        let mut cuts = 0;
        let proxy = Proxy::start(server.port, move |packet| {
            if (packet.client, packet.server) == place && cuts == 0 {
                cuts += 1;
                return Verdict::Cut;
            }
            Verdict::Pass
        });
        let cut = run(quickstart(proxy.port, database).arg("--cleanup"));
        if step(place.0) == "connect" {
            // During connect, a failure is retried.
            assert!(cut.assert_passed().stderr.contains("connection closed"), "{cut:#?}");
        } else {
            let name = format!(": {}: ", step(place.0));
            cut.assert_failed(1, &[&name, "connection closed", "killed"]);
        }
        run(quickstart(server.port, database)).assert_passed();
    });
}

#[test]
fn silence_is_a_failure_in_time() {
    let server = Server::start();
    in_threads(&server, &[LOGIN, LOCK, DDL, INSERT, PACKETS, PACKETS + 1], |database, silent| {
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.client >= silent { Verdict::Drop } else { Verdict::Pass }
        });
        let mut command = quickstart(proxy.port, database);
        let start = Instant::now();
        let failed = run(command.arg("--cleanup").env("TIDB_TIMEOUT", "5"));
        let words = format!(": {}: timed out after 5 s", step(silent));
        let advice = if silent == LOGIN { "IP access list" } else { "open transaction" };
        failed.assert_failed(1, &[&words, advice]);
        assert!(start.elapsed() < Duration::from_secs(60), "{failed:#?}");
        run(quickstart(server.port, database)).assert_passed();
    });
    let proxy = Proxy::start(server.port, |packet| {
        if packet.asks("CREATE DATABASE") { Verdict::Drop } else { Verdict::Pass }
    });
    let failed = run(quickstart(proxy.port, "not_created").env("TIDB_TIMEOUT", "5"));
    failed.assert_failed(1, &["create the database: timed out after 5 s", "PD (cluster"]);
}

/// Server errors: the packet they answer, the code, the text, and part of the remedy, if any.
const ERRORS: [(usize, u16, &str, &str); 18] = [
    (LOGIN, 1105, "insecure transport are prohibited", "add ssl-mode="),
    (LOGIN, 1105, "Missing user name prefix", "the TiDB Cloud console"),
    (LOGIN, 1045, "Access denied for user", "% is %25"),
    (LOGIN, 3159, "insecure transport are prohibited", "add ssl-mode="),
    (LOCK, 9001, "PD server timeout", "check PD, TiKV, TiFlash"),
    (DDL, 1142, "DROP command denied to user", "sql/0_create_database_and_user.sql"),
    (DDL, 8027, "Information schema is out of date", "check PD, TiKV, TiFlash"),
    (INSERT, 9005, "Region is unavailable", "check PD, TiKV, TiFlash"),
    (INSERT, 9012, "TiFlash server timeout", "check PD, TiKV, TiFlash"),
    (INSERT, 1146, "Table 'errors.users' doesn't exist", "another run may be using"),
    (INSERT, 1205, "Lock wait timeout exceeded", "another attempt"),
    (INSERT, 1213, "Deadlock found", "another attempt"),
    (INSERT, 9007, "Write conflict, txnStartTS=1", "another attempt"),
    (INSERT, 1105, "pessimistic lock retry limit reached", "another attempt"),
    // Its version was printed, so it is TiDB, and changes have been made: this is not status 2.
    (INSERT, 1193, "Unknown system variable", ""),
    // These texts resemble errors that have a remedy, but neither code nor text matches.
    (LOGIN, 8252, "An error\nof two lines, unheard of", ""),
    (LOCK, 1105, "lock Lock", ""),
    (DDL, 1064, "insecure transport", ""),
];

#[test]
fn an_error_of_the_server_gets_a_remedy_by_its_code() {
    let server = Server::shared();
    run(quickstart(server.port, "errors")).assert_passed();
    for (number, code, text, remedy) in ERRORS {
        let proxy = Proxy::start(server.port, move |packet| {
            let is_here = (packet.client, packet.server) == (number, 0);
            if is_here { Verdict::Answer(error_packet(code, text)) } else { Verdict::Pass }
        });
        let failed = run(quickstart(proxy.port, "errors"));
        let prefix = format!("[ERROR] 127.0.0.1:{}, TLS off: {}: ", proxy.port, step(number));
        let error = format!("{prefix}ERROR {code} (HY000): {text}").replace('\n', " ");
        failed.assert_failed(1, &[&error, remedy]);
        assert_eq!(failed.stderr.ends_with(&(error + "\n")), remedy.is_empty(), "{failed:#?}");
        assert!(!failed.stderr.contains("retrying for up to"), "{failed:#?}");
    }
}

#[test]
fn a_server_that_is_not_tidb_is_refused_before_anything_changes() {
    let server = Server::shared();
    let unknown = error_packet(1193, "Unknown system variable 'tidb_low_resolution_tso'");
    let proxy = answering(server, "tidb_low_resolution_tso", 1, unknown);
    let words = ["connect: ERROR 1193", "the server is not TiDB", "4000"];
    run(quickstart(proxy.port, "not_tidb")).assert_failed(2, &words);
    assert!(server.rows::<String>("SHOW DATABASES LIKE 'not_tidb'").is_empty());
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
    for (port, words, retries) in [
        (free_port(), "(os error 111); start TiDB (locally: `make tidb`) or correct DATA", 1),
        (listener(b"", true), "or is not TiDB", 1),
        (listener(b"", false), "timed out after 3 s; check host and port", 0),
        (address.port(), "connection timeout; check host and port", 0),
        (listener(b"SSH-2.0-OpenSSH_9.2p1\r\n", false), "max_allowed_packet; not the MySQL", 0),
    ] {
        let start = Instant::now();
        let failed = run(quickstart(port, "d").env("TIDB_TIMEOUT", "3"));
        failed.assert_failed(1, &[&format!("127.0.0.1:{port}, TLS off: connect: "), words]);
        assert_eq!(
            failed.stderr.matches("retrying for up to 3 s: ").count(),
            retries,
            "{failed:#?}"
        );
        assert_eq!(start.elapsed() > Duration::from_secs(3), !words.contains("not the"));
        assert!(start.elapsed() < Duration::from_secs(10), "{failed:#?}");
    }
}

#[test]
fn a_wrong_result_is_a_failure() {
    /// The join's first row in the binary protocol: a 0, which columns are NULL, `Ben`, 212.5.
    const ROW: &[u8] = b"\x00\x00\x03Ben\x00\x80\x54\x43";
    let server = Server::shared();
    let step = "5. join users and orders: ";
    for (row, words) in [
        (b"\x00\x00\x03Bob\x00\x80\x54\x43", r#"got [UserOrder { name: "Bob", price: 212.5 }, "#),
        // The price is NULL.
        (b"\x00\x08\x07Ben 212", "from row conversion error"),
    ] {
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.server > 0 && packet.payload == ROW {
                packet.payload.copy_from_slice(row);
            }
            Verdict::Pass
        });
        run(quickstart(proxy.port, "wrong")).assert_failed(1, &[step, words]);
    }
    for (statement, words) in [
        ("INSERT INTO users", "2. insert three users: expected 3, got 0"),
        ("INSERT INTO orders", "2. insert one order: expected 1, got 0"),
        ("DELETE FROM orders", "3. delete order 4: expected 1, got 0"),
        ("UPDATE orders", "4. set the price of order 1 to 3.5: expected 1, got 0"),
    ] {
        let mut execution = usize::MAX;
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.asks(statement) {
                execution = packet.client + 1;
            }
            // Byte 1 of an OK packet is the number of affected rows.
            if packet.client == execution && packet.server == 1 {
                packet.payload[1] = 0;
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
    let sql = std::fs::read_to_string(root().join("sql/1b_get_lock.sql")).unwrap();
    assert_eq!(other.query_first::<u8, _>(sql).unwrap(), Some(1));
    let refused = run(quickstart(server.port, "TURNS").env("TIDB_TIMEOUT", "2"));
    refused.assert_failed(1, &["another run is using", "TIDB_TIMEOUT", "SHOW PROCESSLIST"]);
    assert_eq!(refused.stderr.matches("retrying for up to 2 s: ").count(), 1, "{refused:#?}");
    assert_eq!(server.rows::<String>("SELECT name FROM turns.users"), ["Zoe"; 3]);
    // Another database has another lock.
    run(quickstart(server.port, "turns_2")).assert_passed();
    drop(other);
    run(quickstart(server.port, "turns")).assert_passed();
}

#[test]
fn an_open_transaction_and_the_run_that_waits_for_it_are_told() {
    let server = Server::shared();
    run(quickstart(server.port, "open")).assert_passed();
    let mut other = server.session();
    for statement in ["BEGIN", "SELECT * FROM open.users"] {
        other.query_drop(statement).unwrap();
    }
    let quickstart = || quickstart(server.port, "open");
    let words = ["1. drop and create users and orders: timed out after 2 s; a session may have an"];
    run(quickstart().env("TIDB_TIMEOUT", "2")).assert_failed(1, &words);
    let words = ["or a statement of an earlier run is still waiting", "SHOW PROCESSLIST"];
    run(quickstart().env("TIDB_TIMEOUT", "2")).assert_failed(1, &words);
    other.query_drop("COMMIT").unwrap();
    run(quickstart()).assert_passed();
}

#[test]
fn contention_and_a_server_without_locks_do_not_matter() {
    let server = Server::shared();
    for (packet, code, text, times) in [
        ("GET_LOCK", 1235, "function GET_LOCK has only noop implementation", 1),
        ("GET_LOCK", 1105, "pessimistic lock retry limit reached", 2),
        ("GET_LOCK", 1105, "lock wait timeout", 2),
        ("GET_LOCK", 1105, "interface conversion: error is *errors.fundamental", 2),
        ("GET_LOCK", 9007, "x", 2),
        // The login has the database's name.
        ("without_locks", 1040, "Too many connections", 2),
    ] {
        let proxy = answering(server, packet, times, error_packet(code, text));
        let passed = run(quickstart(proxy.port, "without_locks"));
        let log = &passed.assert_passed().stderr;
        assert_eq!(log.contains("retrying for up to"), code != 1235, "{log}");
        assert_eq!(log.contains("TiDB before v6.1 has no GET_LOCK"), code == 1235, "{log}");
    }
}

#[test]
fn each_address_of_a_name_is_tried() {
    let folder = temporary_folder();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "::1 localhost\n127.0.0.1 localhost\n").unwrap();
    // The servers listen on 127.0.0.1 only.
    let localhost = |port, tail| url(port, tail).replace("127.0.0.1", "localhost");
    let port = Server::shared().port;
    for (url, status, words) in [
        (localhost(port, "addresses"), 0, "passed"),
        (TlsServer::shared().url("native", "?ssl-ca={CA}"), 0, "passed"),
        (localhost(free_port(), "d"), 1, "Connection refused"),
        // The second address answers, so the first one does not matter.
        (localhost(port, "d?ssl-mode=REQUIRED"), 1, "server does not have this capability"),
    ] {
        // In a mount namespace, /etc/hosts can be another file.
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c"]);
        unshare.arg(r#"mount --bind "$0" /etc/hosts && exec "$1" || exit 99"#).arg(&hosts);
        unshare.arg(env!("CARGO_BIN_EXE_tidb-rust-mysql-quickstart"));
        without_settings(&mut unshare);
        let tried = run(unshare.env("DATABASE_URL", url).env("TIDB_TIMEOUT", "10"));
        if tried.status == Some(99) || tried.stderr.starts_with("unshare: ") {
            // Not `eprintln!`, which the test harness captures.
            let message = "NOT RUN: each_address_of_a_name_is_tried, because `unshare` is refused";
            writeln!(std::io::stderr(), "{message}").unwrap();
            return;
        }
        let error = tried.stderr.lines().last().unwrap();
        assert!(tried.status == Some(status) && error.contains(words), "{tried:#?}");
    }
}
