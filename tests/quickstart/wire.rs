//! What goes over the wire, and what a killed run leaves.

use std::sync::mpsc;

use crate::proxy::{Proxy, Verdict};
use crate::support::{PATIENCE, Server, quickstart, run};

/// The packets of a run on a database that is there: login included, counted on the wire.
pub const PACKETS: usize = 19;

#[test]
fn packets_on_a_re_run_in_one_session() {
    let server = Server::shared();
    run(&mut quickstart(&server.url("wire_rerun"))).assert_passed();
    let proxy = Proxy::start(server.port, |_| Verdict::Pass);
    run(&mut quickstart(&proxy.url("wire_rerun"))).assert_passed();
    assert_eq!((proxy.packets(), proxy.connections()), (PACKETS, 1));
}

#[test]
fn packets_when_the_database_is_created() {
    let proxy = Proxy::start(Server::shared().port, |_| Verdict::Pass);
    run(&mut quickstart(&proxy.url("wire_created"))).assert_passed();
    // The login that the server refuses; login, settings and CREATE DATABASE of a short connection.
    assert_eq!((proxy.packets(), proxy.connections()), (PACKETS + 4, 3));
}

#[test]
fn a_run_after_one_killed_at_any_packet_passes() {
    let server = Server::shared();
    let url = server.url("wire_killed");
    run(&mut quickstart(&url)).assert_passed();
    for packet in 1..=PACKETS {
        // When the answer comes: the server has done what the packet asks for, the program has not
        // heard of it.
        let (reached, wait) = mpsc::channel();
        let proxy = Proxy::start(server.port, move |at| {
            if (at.client, at.server) == (packet, 1) {
                reached.send(()).unwrap();
                return Verdict::Silence;
            }
            Verdict::Pass
        });
        let mut killed = quickstart(&proxy.url("wire_killed"));
        let mut killed = killed.stderr(std::process::Stdio::null()).spawn().unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
        run(&mut quickstart(&url)).assert_passed();
    }
    server.assert_final_rows("wire_killed");
}
