//! Faults, silence, wrong results, late servers, crowds: the exit status can be trusted.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::proxy::{Packet, Proxy, Verdict, error_packet};
use crate::support::{LINE, PATIENCE, Run, Server, free_port, quickstart, run};

/// The steps, in their order, as the line of a failure names them.
const STEPS: [&str; 11] = [
    "connect:",
    "get the lock:",
    "look for other tables:",
    "1. drop and create users and orders:",
    "2. insert three users:",
    "2. insert one order:",
    "2. insert five orders:",
    "3. delete order 4:",
    "4. set the price of order 1 to 3.5:",
    "5. join users and orders:",
    "clean up: drop users and orders:",
];

/// The number of the client's last packet of the step `connect`: login, then session settings.
const CONNECT: usize = 2;

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

/// Databases of these names, so that no packet of a run goes for creating its own.
fn create_databases(server: &Server, name: &str, count: usize) {
    for number in 0..count {
        server.execute(&[&format!("CREATE DATABASE {name}_{number}")]);
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

/// The numbers of the client's packets that carry DDL, in a re-run with `--cleanup`.
const DDL: [usize; 4] = [5, 6, 7, crate::wire::PACKETS + 1];

/// Does something with each item, in as many threads as given; each thread has a number.
pub fn in_threads<T: Sync>(threads: usize, items: &[T], work: impl Fn(usize, &T) + Sync) {
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

/// Fails unless the run after one that failed at this place passes. Within an answer the statement
/// has run, as it had when the answer began: that is the same place.
fn mend(place: Place, url: &str) {
    if place.server <= 1 {
        run(&mut quickstart(url)).assert_passed();
    }
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
    create_databases(&server, "cut", 4);
    in_threads(4, &places, |number, &place| {
        let database = format!("cut_{number}");
        let mut cuts = 0;
        let proxy = Proxy::start(server.port, move |packet| {
            if Place::of(&packet) == place && cuts == 0 {
                cuts += 1;
                return Verdict::Cut;
            }
            Verdict::Pass
        });
        let cut = run(quickstart(&proxy.url(&database)).arg("--cleanup"));
        if place.client <= CONNECT {
            // While it connects, the server may be starting.
            assert!(cut.assert_passed().stderr.contains("connection closed"), "{cut:#?}");
        } else {
            cut.assert_refused(1, &["connection closed", "killed"]);
            assert_failed(&cut, place);
            mend(place, &server.url(&database));
        }
    });
    println!("cuts: {} of {0}: status 1 and mended, or in the login waited for", places.len());
}

#[test]
fn silence_at_any_packet_is_a_failure_in_time() {
    // One of its own: TiDB does its DDL one statement at a time.
    let server = Server::start("");
    let places = places(&server, "silences");
    let longest = Mutex::new(Duration::ZERO);
    create_databases(&server, "silence", 8);
    in_threads(8, &places, |number, &place| {
        let database = format!("silence_{number}");
        // On a busy machine the server itself can be too slow before the packet comes: once more.
        let (failed, took) = (0..20)
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
        let advice = match place.client {
            0..=CONNECT => "firewall",
            _ => "ADMIN SHOW DDL JOBS",
        };
        failed.assert_refused(1, &["timed out after 1 s", advice]);
        let mut longest = longest.lock().unwrap();
        *longest = took.max(*longest);
        drop(longest);
        assert_failed(&failed, place);
        mend(place, &server.url(&database));
    });
    let longest = longest.into_inner().unwrap();
    println!("silences: {0} of {0}, the longest took {longest:?} of 1 s", places.len());
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

#[test]
fn a_database_that_is_not_created_in_time_is_a_step_of_its_own() {
    let proxy = Proxy::start(Server::shared().port, |packet| {
        let creates = packet.server == 0 && find(&packet, b"CREATE DATABASE").is_some();
        if creates { Verdict::Silence } else { Verdict::Pass }
    });
    let failed = run(quickstart(&proxy.url("never_created")).env("TIDB_TIMEOUT", "1"));
    failed.assert_refused(1, &["create the database: timed out after 1 s", "SHOW DDL JOBS"]);
}

#[test]
fn a_server_that_never_greets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://root@127.0.0.1:{}/d", listener.local_addr().unwrap().port());
    let start = Instant::now();
    let failed = run(quickstart(&url).env("TIDB_TIMEOUT", "1"));
    failed.assert_refused(1, &["connect: timed out after 1 s", "firewall", "IP access list"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
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
    failed.assert_refused(1, &["connect: timed out after 1 s", "IP access list"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Where a text of this name stands in a packet.
fn find(packet: &Packet, text: &[u8]) -> Option<usize> {
    packet.payload.windows(text.len()).position(|window| window == text)
}

#[test]
fn a_wrong_result_is_a_failure() {
    /// The join's first row in the binary protocol: a 0, which columns are NULL, `Ben`, 212.5.
    const ROW: &[u8] = b"\x00\x00\x03Ben\x00\x80\x54\x43";
    let server = Server::shared();
    let url = |proxy: &Proxy| proxy.url("wrong");
    // A row of the join is another.
    let proxy = Proxy::start(server.port, |packet| {
        if packet.server > 0 && packet.payload == ROW {
            packet.payload[6..].copy_from_slice(&312.5_f32.to_le_bytes());
        }
        Verdict::Pass
    });
    let words = ["5. join users and orders: expected", r#""Ben", price: 212.5 }, "#];
    let failed = run(&mut quickstart(&url(&proxy)));
    failed.assert_refused(
        1,
        &[words[0], words[1], r#"got [UserOrder { name: "Ben", price: 312.5 }, "#],
    );
    // A row of the join is missing.
    let proxy = Proxy::start(server.port, |packet| {
        let is_row = packet.server > 0 && packet.payload == ROW;
        if is_row { Verdict::Drop } else { Verdict::Pass }
    });
    let failed = run(&mut quickstart(&url(&proxy)));
    failed
        .assert_refused(1, &[words[0], words[1], r#"got [UserOrder { name: "Ben", price: 8.5 }]"#]);
    // A row of the join has no price.
    let proxy = Proxy::start(server.port, |packet| {
        if packet.server > 0 && packet.payload == ROW {
            packet.payload.copy_from_slice(b"\x00\x08\x07Ben 212");
        }
        Verdict::Pass
    });
    let failed = run(&mut quickstart(&url(&proxy)));
    let words = "5. join users and orders: from row conversion error";
    failed.assert_refused(1, &[words]);
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
    let waits: Vec<_> = early.stderr.lines().filter(|line| line.contains("waiting")).collect();
    // Who has no server reads at once how to start one.
    assert!(waits.len() == 1 && waits[0].contains("Connection refused"), "{early:#?}");
    assert!(waits[0].contains("`make tidb`") && waits[0].ends_with("waiting up to 30 s"));
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
fn a_run_that_waits_in_vain_changes_nothing() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("turns"))).assert_passed();
    let before: Vec<(u64, String)> = server.rows("SELECT uid, name FROM turns.users");
    // One run holds the lock and is silent.
    let (reached, wait) = std::sync::mpsc::channel();
    let proxy = Proxy::start(server.port, move |packet| {
        if packet.client == DDL[0] {
            let _ = reached.send(());
            return Verdict::Silence;
        }
        Verdict::Pass
    });
    let mut holder = spawn(&mut quickstart(&proxy.url("turns")));
    wait.recv_timeout(PATIENCE).unwrap();
    let refused = run(quickstart(&server.url("turns")).env("TIDB_TIMEOUT", "2"));
    let causes = ["raise TIDB_TIMEOUT", "up to 20 s", "CLUSTER_PROCESSLIST"];
    refused.assert_refused(1, &[&["another run uses this database"], &causes[..]].concat());
    assert_eq!(refused.stderr.matches("; waiting up to ").count(), 1, "{refused:#?}");
    assert_eq!(server.rows::<(u64, String)>("SELECT uid, name FROM turns.users"), before);
    // Another database has another lock.
    let other = run(&mut quickstart(&server.url("turns_2")));
    assert!(!other.assert_passed().stderr.contains("waiting up to"), "{other:#?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    run(&mut quickstart(&server.url("turns"))).assert_passed();
}

/// A proxy that answers the request for the lock by this error, as often as given.
fn refusing_the_lock(server: &Server, code: u16, words: &'static str, times: usize) -> Proxy {
    let mut refusals = 0;
    Proxy::start(server.port, move |packet| {
        if packet.server == 0 && find(&packet, b"GET_LOCK").is_some() && refusals < times {
            refusals += 1;
            return Verdict::Answer(error_packet(code, words));
        }
        Verdict::Pass
    })
}

#[test]
fn a_server_without_locks_and_one_under_contention() {
    let server = Server::shared();
    let none = "function GET_LOCK has only noop implementation: no user lock here";
    let proxy = refusing_the_lock(server, 1235, none, usize::MAX);
    run(&mut quickstart(&proxy.url("locks"))).assert_passed();

    // Contention is told by the code, and for 1105 by its words. It is waited out, not for ever.
    let busy = "pessimistic lock retry limit reached";
    // Seen with 16 runs on a busy machine.
    let late = "lock wait timeout";
    for (code, words) in [(1105, busy), (1105, late), (1205, "x"), (1213, "x"), (9007, "x")] {
        let proxy = refusing_the_lock(server, code, words, 1);
        run(&mut quickstart(&proxy.url("locks"))).assert_passed();
    }
    let proxy = refusing_the_lock(server, 1105, busy, usize::MAX);
    let refused = run(quickstart(&proxy.url("locks")).env("TIDB_TIMEOUT", "1"));
    refused.assert_refused(1, &["pessimistic lock retry limit", "run it again"]);
    // What is no contention is a failure at once, whatever its words.
    for (code, words) in [
        (9004, "Resolve lock timeout"),
        (1015, "Can't lock file"),
        (1105, "lock Lock"),
        (9005, "Region is unavailable"),
    ] {
        let proxy = refusing_the_lock(server, code, words, 1);
        let refused = run(&mut quickstart(&proxy.url("locks")));
        refused.assert_refused(1, &[&format!("get the lock: ERROR {code} (HY000): {words}")]);
        assert!(!refused.stderr.contains("waiting up to"), "{refused:#?}");
    }
}

#[test]
fn a_session_killed_by_the_server_is_a_failure_that_the_next_run_mends() {
    let server = Server::shared();
    let grant = "GRANT ALL ON *.* TO victim";
    server.execute(&["CREATE DATABASE killed", "CREATE USER victim", grant]);
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
        assert_failed(&run(&mut quickstart(&url)), place);
        mend(place, &server.url("killed"));
    });
}

#[test]
fn each_step_is_named_when_it_fails() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("named"))).assert_passed();
    let mut named = BTreeMap::new();
    for client in 1..=crate::wire::PACKETS + 1 {
        let proxy = Proxy::start(server.port, move |packet| {
            let answer = error_packet(8272, "Somebody pulled the plug");
            let here = packet.client == client && packet.server == 0;
            if here { Verdict::Answer(answer) } else { Verdict::Pass }
        });
        let failed = run(quickstart(&proxy.url("named")).arg("--cleanup"));
        failed.assert_refused(1, &["ERROR 8272 (HY000): Somebody pulled the plug"]);
        let error = failed.stderr.lines().last().unwrap();
        let step = STEPS.iter().position(|step| error.contains(step)).expect("no step");
        *named.entry(step).or_insert(0) += 1;
    }
    // Login and settings; lock; look; DROP and two CREATEs; three INSERTs, a DELETE, an UPDATE and the
    // join of two packets each; the clean-up.
    assert_eq!(named.into_values().collect::<Vec<_>>(), [2, 1, 1, 3, 2, 2, 2, 2, 2, 2, 1]);
}
