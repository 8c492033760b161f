//! Faults, silence, wrong results, late servers, crowds: the exit status can be trusted.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::proxy::{Packet, Proxy, Verdict};
use crate::support::{LINE, PATIENCE, Run, Server, free_port, quickstart, run};

/// The steps, in their order, as the line of a failure names them.
const STEPS: [&str; 11] = [
    "connect:",
    "get the lock:",
    "look for tables:",
    "1. create the tables users and orders:",
    "2. insert three users:",
    "2. insert one order:",
    "2. insert five orders:",
    "3. delete order 4:",
    "4. set the price of order 1 to 3.5:",
    "5. join users and orders:",
    "clean up:",
];

/// What is done at a packet: the client's `client`th, and then the server's `server`th.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    client: usize,
    server: usize,
}

impl Place {
    fn of(packet: &Packet) -> Self {
        Self { client: packet.client, server: packet.server }
    }
}

/// Every packet of a re-run with `--cleanup`, the client's and the server's, in their order.
fn places(server: &Server, database: &str) -> Vec<Place> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let proxy = Proxy::start(server.port, move |packet| {
        record.lock().unwrap().push(Place::of(&packet));
        Verdict::Pass
    });
    run(&mut quickstart(&server.url(database))).assert_passed();
    run(quickstart(&proxy.url(database)).arg("--cleanup")).assert_passed();
    seen.lock().unwrap().clone()
}

/// Does something with each item, in as many threads as given; each thread has a number.
fn in_threads<T: Sync>(threads: usize, items: &[T], work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..threads {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    work(number, item);
                }
            });
        }
    });
}

/// Fails unless a run was refused with one line that names a step, and the next one passes.
fn assert_failed_and_mended(failed: &Run, place: Place, next: &str) {
    assert_failed(failed, place);
    run(&mut quickstart(next)).assert_passed();
}

/// Fails unless a run was refused with one line that names a step.
fn assert_failed(failed: &Run, place: Place) {
    failed.assert_refused(1, &["127.0.0.1:"]);
    let error = failed.stderr.lines().last().unwrap();
    assert!(STEPS.iter().any(|step| error.contains(step)), "{place:?}: no step in {error}");
    assert!(!failed.stderr.contains("panicked"), "{place:?}: {failed:#?}");
}

#[test]
fn a_cut_at_any_packet_is_a_failure_that_the_next_run_mends() {
    // One of its own: TiDB does its DDL one statement at a time.
    let server = Server::start("");
    let places = places(&server, "cuts");
    // Before the client's packet is passed on, after the statement has run, and in the answer.
    in_threads(4, &places, |number, &place| {
        let database = format!("cut_{number}");
        let proxy = Proxy::start(server.port, move |packet| {
            if Place::of(&packet) == place { Verdict::Cut } else { Verdict::Pass }
        });
        let failed = run(quickstart(&proxy.url(&database)).arg("--cleanup"));
        assert_failed_and_mended(&failed, place, &server.url(&database));
    });
    println!("cuts: {0} of {0} failed with status 1 and were mended", places.len());
}

#[test]
fn silence_at_any_packet_is_a_failure_in_time() {
    // One of its own: TiDB does its DDL one statement at a time.
    let server = Server::start("");
    let places = places(&server, "silences");
    let longest = Mutex::new(Duration::ZERO);
    in_threads(8, &places, |number, &place| {
        let database = format!("silence_{number}");
        // On a busy machine the server itself can be too slow before the packet comes: once more.
        let (failed, took) = (0..5)
            .find_map(|_| {
                let reached = Arc::new(Mutex::new(None));
                let at = Arc::clone(&reached);
                let proxy = Proxy::start(server.port, move |packet| {
                    if Place::of(&packet) == place {
                        *at.lock().unwrap() = Some(Instant::now());
                        return Verdict::Silence;
                    }
                    Verdict::Pass
                });
                let mut command = quickstart(&proxy.url(&database));
                let failed = run(command.arg("--cleanup").env("TIDB_TIMEOUT", "1"));
                let reached = *reached.lock().unwrap();
                reached.map(|reached: Instant| (failed, reached.elapsed()))
            })
            .expect("the packet never came");
        failed.assert_refused(1, &["Resource temporarily unavailable", "TIDB_TIMEOUT"]);
        let mut longest = longest.lock().unwrap();
        *longest = took.max(*longest);
        drop(longest);
        // Within an answer the statement has run, as it had before the answer began.
        if place.server > 1 {
            assert_failed(&failed, place);
        } else {
            assert_failed_and_mended(&failed, place, &server.url(&database));
        }
    });
    let longest = longest.into_inner().unwrap();
    println!("silences: {0} of {0}, the longest took {longest:?} of 1 s", places.len());
    assert!(longest < Duration::from_millis(2500), "{longest:?}");
}

#[test]
fn a_server_that_never_greets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://root@127.0.0.1:{}/d", listener.local_addr().unwrap().port());
    let start = Instant::now();
    let failed = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
    failed.assert_refused(1, &["connect:", "TIDB_TIMEOUT"]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn an_address_that_swallows_packets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // Nobody accepts: when the queue is full, the kernel drops what comes.
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(stream);
        assert!(queue.len() < 10_000, "the queue does not fill");
    }
    let start = Instant::now();
    let url = format!("mysql://root@{address}/d");
    let failed = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
    failed.assert_refused(1, &["connect:", "connection timeout", "IP access list"]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// Where a text of this name stands in a packet.
fn find(packet: &Packet, text: &[u8]) -> Option<usize> {
    packet.payload.windows(text.len()).position(|window| window == text)
}

#[test]
fn a_wrong_result_is_a_failure() {
    let server = Server::shared();
    let url = |proxy: &Proxy| proxy.url("wrong");
    // A row of the join is another.
    let proxy = Proxy::start(server.port, |packet| {
        if let (Some(place), true) = (find(&packet, b"212.5"), packet.server > 0) {
            packet.payload[place] = b'3';
        }
        Verdict::Pass
    });
    let words = ["5. join users and orders: expected", r#"[("Ben", 212.5), ("Ben", 8.5)]"#];
    let failed = run(&mut quickstart(&url(&proxy)));
    failed.assert_refused(1, &[words[0], words[1], r#"got [("Ben", 312.5), ("Ben", 8.5)]"#]);
    // A row of the join is missing.
    let proxy = Proxy::start(server.port, |packet| {
        let is_row = packet.server > 0 && find(&packet, b"212.5").is_some();
        if is_row { Verdict::Drop } else { Verdict::Pass }
    });
    let failed = run(&mut quickstart(&url(&proxy)));
    failed.assert_refused(1, &[words[0], words[1], r#"got [("Ben", 8.5)]"#]);
    // A row of the join has no price.
    let proxy = Proxy::start(server.port, |packet| {
        if packet.server > 0 && packet.payload == b"\x03Ben\x05212.5" {
            packet.payload.copy_from_slice(b"\x08Ben 2.12\xfb");
        }
        Verdict::Pass
    });
    let failed = run(&mut quickstart(&url(&proxy)));
    failed.assert_refused(1, &["5. join users and orders:", "conversion"]);
    // The number of affected rows is another: the answer to the statement that begins so.
    for (statement, step, expected) in [
        ("INSERT INTO users", "2. insert three users", 3),
        ("DELETE FROM orders", "3. delete order 4", 1),
        ("UPDATE orders", "4. set the price of order 1 to 3.5", 1),
    ] {
        let mut execution = usize::MAX;
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.server == 0 && find(&packet, statement.as_bytes()) == Some(1) {
                execution = packet.client + 1;
            }
            if packet.client == execution && packet.server == 1 {
                packet.payload[1] = 0;
            }
            Verdict::Pass
        });
        let failed = run(&mut quickstart(&url(&proxy)));
        failed.assert_refused(1, &[&format!("{step}: expected {expected}, got 0")]);
    }
    run(&mut quickstart(&server.url("wrong"))).assert_passed();
}

/// Starts a run in the background.
fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a run in the background.
fn finish(child: Child) -> Run {
    Run::of(child.wait_with_output().unwrap())
}

#[test]
fn a_late_server_is_waited_for() {
    let port = free_port();
    let early = spawn(&mut quickstart(&format!("mysql://root@127.0.0.1:{port}/late")));
    let server = Server::start_on(port, "").expect("the port was free");
    let early = finish(early);
    early.assert_passed();
    let waits = early.stderr.lines().filter(|line| line.contains("waiting for a server")).count();
    assert_eq!(waits, 1, "{early:#?}");
    server.assert_final_rows("late");
    // Between two runs the server loses all that it had.
    drop(server);
    let server = Server::start_on(port, "").expect("the port was free");
    run(&mut quickstart(&server.url("late"))).assert_passed();
    server.assert_final_rows("late");
}

#[test]
fn crowds_take_turns() {
    assert_crowds_take_turns(16);
}

#[test]
#[ignore = "keeps two cores busy for half a minute: cargo test -- --ignored --nocapture"]
fn large_crowds_take_turns() {
    assert_crowds_take_turns(48);
}

/// Fails unless as many runs at once all pass, on one database and on eight.
fn assert_crowds_take_turns(runs: usize) {
    // One of its own: the sessions that wait keep it busy.
    let server = Server::start("");
    for databases in [1, 8] {
        let start = Instant::now();
        let crowd: Vec<_> = (0..runs)
            .map(|n| {
                let mut command = quickstart(&server.url(&format!("crowd_{}", n % databases)));
                // The other tests keep the server busy at the same time.
                spawn(command.env("TIDB_TIMEOUT", "60"))
            })
            .collect();
        for member in crowd {
            let member = finish(member);
            assert!(member.status == Some(0) && member.stdout == LINE, "{member:#?}");
        }
        println!("{runs} runs at once on {databases} databases: {:?}", start.elapsed());
        for database in 0..databases {
            server.assert_final_rows(&format!("crowd_{database}"));
        }
    }
}

#[test]
fn a_run_that_waits_in_vain_blames_nobody() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("turns"))).assert_passed();
    let before: Vec<(u64, String)> = server.rows("SELECT uid, name FROM turns.users");
    // One run holds the lock and is silent.
    let (reached, wait) = std::sync::mpsc::channel();
    let proxy = Proxy::start(server.port, move |packet| {
        if packet.client == 5 {
            let _ = reached.send(());
            return Verdict::Silence;
        }
        Verdict::Pass
    });
    let mut holder = spawn(&mut quickstart(&proxy.url("turns")));
    wait.recv_timeout(PATIENCE).unwrap();
    let refused = run(quickstart(&server.url("turns")).env("TIDB_TIMEOUT", "1"));
    refused.assert_refused(2, &["another run"]);
    assert!(refused.stderr.contains("waiting for another run"), "{refused:#?}");
    assert_eq!(server.rows::<(u64, String)>("SELECT uid, name FROM turns.users"), before);
    // Another database has another lock.
    let other = run(quickstart(&server.url("turns_2")).env("TIDB_TIMEOUT", "1"));
    assert!(!other.assert_passed().stderr.contains("waiting"), "{other:#?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    run(&mut quickstart(&server.url("turns"))).assert_passed();
}

/// A proxy that answers the request for the lock by this error, as often as given.
fn refusing_the_lock(server: &Server, code: u16, words: &'static [u8], times: usize) -> Proxy {
    let mut refusals = 0;
    Proxy::start(server.port, move |packet| {
        if packet.server == 0 && find(&packet, b"GET_LOCK").is_some() && refusals < times {
            refusals += 1;
            let mut answer = vec![0xff];
            answer.extend(code.to_le_bytes());
            answer.extend(b"#HY000");
            answer.extend(words);
            return Verdict::Answer(answer);
        }
        Verdict::Pass
    })
}

#[test]
fn a_server_without_locks_and_one_under_contention() {
    let server = Server::shared();
    let none: &[u8] = b"function GET_LOCK has only noop implementation: no user lock here";
    let proxy = refusing_the_lock(server, 1235, none, usize::MAX);
    let without = run(quickstart(&proxy.url("locks")).env("RUST_LOG", "debug"));
    assert!(without.assert_passed().stderr.contains("[DEBUG] going on without a lock"));

    let busy: &[u8] = b"pessimistic lock retry limit reached";
    let proxy = refusing_the_lock(server, 1105, busy, 1);
    run(&mut quickstart(&proxy.url("locks"))).assert_passed();
    let proxy = refusing_the_lock(server, 1105, busy, usize::MAX);
    let refused = run(quickstart(&proxy.url("locks")).env("TIDB_TIMEOUT", "1"));
    refused.assert_refused(2, &["another run"]);
    // What is no contention is a failure at once.
    let proxy = refusing_the_lock(server, 9005, b"Region is unavailable", usize::MAX);
    run(&mut quickstart(&proxy.url("locks"))).assert_refused(1, &["get the lock", "TiKV"]);
}

#[test]
fn a_session_killed_by_the_server_is_a_failure_that_the_next_run_mends() {
    let server = Server::shared();
    server.execute(&["CREATE USER victim", "GRANT ALL ON *.* TO victim"]);
    // The list has no session that has not sent a statement yet.
    let statements: Vec<usize> = (3..=crate::wire::PACKETS).collect();
    in_threads(1, &statements, |_, &statement| {
        let killer = Mutex::new(server.session());
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.client == statement && packet.server == 0 {
                let mut killer = killer.lock().unwrap();
                let sql = "SELECT id FROM INFORMATION_SCHEMA.PROCESSLIST WHERE user = 'victim'";
                let victim: Option<u64> = killer.query_first(sql).unwrap();
                let victim = victim.expect("the session is in the list");
                killer.query_drop(format!("KILL TIDB {victim}")).unwrap();
            }
            Verdict::Pass
        });
        let url = proxy.url("killed").replace("root", "victim");
        let place = Place { client: statement, server: 0 };
        assert_failed_and_mended(&run(&mut quickstart(&url)), place, &server.url("killed"));
    });
}

#[test]
fn each_step_is_named_when_it_fails() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("named"))).assert_passed();
    let mut named = BTreeMap::new();
    for client in 1..=crate::wire::PACKETS + 1 {
        let proxy = Proxy::start(server.port, move |packet| {
            let answer = b"\xff\x50\x20#HY000Somebody pulled the plug".to_vec();
            let here = packet.client == client && packet.server == 0;
            if here { Verdict::Answer(answer) } else { Verdict::Pass }
        });
        let failed = run(quickstart(&proxy.url("named")).arg("--cleanup"));
        failed.assert_refused(1, &["ERROR 8272 (HY000): Somebody pulled the plug"]);
        let error = failed.stderr.lines().last().unwrap();
        let step = STEPS.iter().position(|step| error.contains(step)).expect("no step");
        *named.entry(step).or_insert(0) += 1;
    }
    // Login, session, USE; lock; look; DROP and two CREATEs; three INSERTs, a DELETE and an UPDATE
    // of two packets each; the join; the clean-up.
    assert_eq!(named.into_values().collect::<Vec<_>>(), [3, 1, 1, 3, 2, 2, 2, 2, 2, 1, 1]);
}
