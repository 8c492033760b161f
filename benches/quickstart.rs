//! `make bench`: where the time of a run goes.
//!
//! The release binary runs against a TiDB of the bench's own, through a proxy that holds back each
//! packet of the client by a round trip. The bare minimum beside it sends the tutorial's statements
//! over one connection that is already open.

#![allow(
    clippy::cast_precision_loss,
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../tests/quickstart/proxy.rs"]
mod proxy;
#[path = "../tests/quickstart/support.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};
use nix::sys::resource::{UsageWho, getrusage};

use proxy::{Proxy, Verdict};
use support::{Server, quickstart, root, run};

/// How often each thing is measured.
const RUNS: usize = 30;

/// The statement of a file in `sql/`.
fn sql(name: &str) -> String {
    std::fs::read_to_string(root().join("sql").join(name)).unwrap().trim_end().to_owned()
}

/// The CPU time, user and system, that the processes waited for have taken, in milliseconds, and
/// the largest peak of their memory, in MiB.
fn children() -> (f64, f64) {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let cpu = [usage.user_time(), usage.system_time()];
    let cpu = cpu.map(|time| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3);
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    (cpu[0] + cpu[1], (usage.max_rss() * unit) as f64 / f64::from(1 << 20))
}

/// Does the tutorial's statements over this connection; returns how long it took, and how long the
/// DDL of it took.
fn bare_minimum(conn: &mut Conn) -> (Duration, Duration) {
    let start = Instant::now();
    for name in ["1d_drop_tables.sql", "1e_create_users.sql", "1f_create_orders.sql"] {
        conn.query_drop(sql(name)).unwrap();
    }
    let ddl = start.elapsed();
    let users = sql("2a_insert_users.sql") + &", (?, ?)".repeat(2);
    conn.exec_drop(users, ("Alice", "Female", "Peter", "Male", "Ben", "Male")).unwrap();
    conn.exec_drop(sql("2b_insert_orders.sql"), (1, 2.5)).unwrap();
    let orders = sql("2b_insert_orders.sql") + &", (?, ?)".repeat(4);
    conn.exec_drop(orders, (1, 0.5, 2, 4.5, 2, 2123.87, 3, 212.5, 3, 8.5)).unwrap();
    conn.exec_drop(sql("3_delete_order.sql"), (4,)).unwrap();
    conn.exec_drop(sql("4_update_order.sql"), (3.5, 1)).unwrap();
    let rows: Vec<(String, f32)> = conn.exec(sql("5_join_users_orders.sql"), (3,)).unwrap();
    assert_eq!(rows, [("Ben".to_owned(), 212.5), ("Ben".to_owned(), 8.5)]);
    (start.elapsed(), ddl)
}

/// The median and the 95th percentile, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |index: usize| times[index].as_secs_f64() * 1e3;
    (at(times.len() / 2), at(times.len() * 95 / 100))
}

fn main() {
    let server = Server::start("");
    println!("{RUNS} runs each, in milliseconds; the peak of memory over all runs.");
    println!("Where Go built target/tidb-server, it is not built for speed: this is not TiDB's.");
    println!(
        "| round trip | run, median | 95 % | CPU | packets | bare minimum, median | DDL of it | run / bare |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for round_trip in [0, 10, 50].map(Duration::from_millis) {
        let proxy = Proxy::start(server.port, move |packet| {
            if packet.server == 0 {
                thread::sleep(round_trip);
            }
            Verdict::Pass
        });
        run(&mut quickstart(&proxy.url("bench"))).assert_passed();
        let (cpu_before, packets_before) = (children().0, proxy.packets());
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            run(&mut quickstart(&proxy.url("bench"))).assert_passed();
            runs.push(start.elapsed());
        }
        let cpu = (children().0 - cpu_before) / RUNS as f64;
        let packets = (proxy.packets() - packets_before) / RUNS;
        // No statement stays prepared, as none does between two runs of the binary.
        let opts = Opts::from_url(&proxy.url("bench")).unwrap();
        let opts = OptsBuilder::from_opts(opts).prefer_socket(false).stmt_cache_size(0);
        let mut conn = Conn::new(opts).unwrap();
        let (bare, ddl) = (0..RUNS).map(|_| bare_minimum(&mut conn)).unzip();
        let ((median, high), (bare, _), (ddl, _)) =
            (percentiles(runs), percentiles(bare), percentiles(ddl));
        println!(
            "| {} | {median:.0} | {high:.0} | {cpu:.1} | {packets} | {bare:.0} | {ddl:.0} | {:.2} |",
            round_trip.as_millis(),
            median / bare
        );
    }
    println!("| peak of memory | {:.1} MiB | | | | | | |", children().1);
}
