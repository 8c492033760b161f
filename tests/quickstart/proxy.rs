//! A proxy between the binary and TiDB that counts MySQL packets and tampers with them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// A packet on its way.
pub struct Packet<'a> {
    /// The number of the client's packets so far, over all connections, this one included.
    pub client: usize,
    /// 0 for a packet of the client, else the number of the server's packets since the client's last.
    pub server: usize,
    /// The packet without its header of 4 bytes. Its length must not change.
    pub payload: &'a mut [u8],
}

impl Packet<'_> {
    /// Whether this is a packet of the client that contains this text.
    pub fn asks(&self, text: &str) -> bool {
        self.server == 0 && String::from_utf8_lossy(self.payload).contains(text)
    }
}

/// What the proxy does with a packet.
pub enum Verdict {
    Pass,
    /// Closes the connection on both sides.
    Cut,
    /// Drops the packet.
    Drop,
    /// Drops the packet of the client, and answers it with this payload.
    Answer(Vec<u8>),
}

/// Decides about a packet.
type Judge = dyn FnMut(Packet) -> Verdict + Send;

/// A running proxy, for a client that opens one connection at a time. It runs until the tests end.
pub struct Proxy {
    pub port: u16,
    server_port: u16,
    /// How many packets the client has sent.
    pub packets: AtomicUsize,
    /// The server's packets since the client's last.
    answers: AtomicUsize,
    judge: Mutex<Box<Judge>>,
}

impl Proxy {
    /// Starts a proxy for the server on this port. `judge` decides about each packet.
    pub fn start(
        server_port: u16,
        judge: impl FnMut(Packet) -> Verdict + Send + 'static,
    ) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            server_port,
            packets: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            judge: Mutex::new(Box::new(judge)),
        });
        let shared = Arc::clone(&proxy);
        thread::spawn(move || {
            for client in listener.incoming() {
                shared.connect(&client.unwrap()).unwrap();
            }
        });
        proxy
    }

    /// Starts a proxy that gives this answer to the client's first `times` packets with this text.
    pub fn answering(
        server_port: u16,
        text: &'static str,
        times: usize,
        answer: &[u8],
    ) -> Arc<Self> {
        let (answer, mut answers) = (answer.to_vec(), 0);
        Self::start(server_port, move |packet| {
            if packet.asks(text) && answers < times {
                answers += 1;
                return Verdict::Answer(answer.clone());
            }
            Verdict::Pass
        })
    }

    /// Connects a client with the server.
    fn connect(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.server_port))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        for (from, to, is_client) in [(client, &server, true), (&server, client, false)] {
            let (proxy, mut from, mut to) = (Arc::clone(self), from.try_clone()?, to.try_clone()?);
            thread::spawn(move || {
                let _ = proxy.carry(&mut from, &mut to, is_client);
                // If one direction ends, end both.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    /// Carries packets in one direction until the connection ends or a verdict ends it.
    fn carry(&self, from: &mut TcpStream, to: &mut TcpStream, is_client: bool) -> io::Result<()> {
        loop {
            let mut packet = read_packet(from)?;
            // COM_QUIT is not counted: the server does not answer it, and it may not arrive.
            if is_client && packet[4..] == [1] {
                to.write_all(&packet)?;
                continue;
            }
            let (client, server) = if is_client {
                self.answers.store(0, SeqCst);
                (self.packets.fetch_add(1, SeqCst) + 1, 0)
            } else {
                (self.packets.load(SeqCst), self.answers.fetch_add(1, SeqCst) + 1)
            };
            let payload = &mut packet[4..];
            let verdict = (self.judge.lock().unwrap())(Packet { client, server, payload });
            match verdict {
                Verdict::Pass => to.write_all(&packet)?,
                Verdict::Cut => return Ok(()),
                Verdict::Drop => {}
                Verdict::Answer(answer) => {
                    let length = u32::try_from(answer.len()).unwrap().to_le_bytes();
                    from.write_all(&[length[0], length[1], length[2], packet[3] + 1])?;
                    from.write_all(&answer)?;
                }
            }
        }
    }
}

/// The payload of a server's error.
pub fn error_packet(code: u16, text: &str) -> Vec<u8> {
    [&[0xff], &code.to_le_bytes()[..], b"#HY000", text.as_bytes()].concat()
}

/// Reads a packet: 3 bytes of length, 1 of sequence number, and the payload.
fn read_packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + length as usize, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}
