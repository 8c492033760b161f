//! A proxy between the binary and TiDB that counts MySQL packets and tampers with them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A packet on its way.
pub struct Packet<'a> {
    /// The number of the client's packets so far, over all connections, this one included.
    pub client: usize,
    /// 0 for a packet of the client; else the how-manieth of the server's since the client's last.
    pub server: usize,
    /// What it carries, behind the 4 bytes of its header. Must not change in length.
    pub payload: &'a mut [u8],
}

/// What becomes of a packet.
pub enum Verdict {
    /// It goes its way.
    Pass,
    /// It does not, and both sides find the connection closed.
    Cut,
    /// Neither it nor any later one goes its way, and the connection stays open.
    Silence,
    /// It does not go its way; the packets behind it close the gap. Only for the server's.
    Drop,
    /// It does not go its way. The sender, which must be the client, gets this as the answer.
    Answer(Vec<u8>),
}

/// Decides about each packet.
type Judge = dyn FnMut(Packet) -> Verdict + Send;

/// A running proxy. It listens until the tests end.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    connections: AtomicUsize,
    packets: AtomicUsize,
    judge: Mutex<Box<Judge>>,
}

impl Proxy {
    /// Starts a proxy before the server on this port.
    pub fn start(server: u16, judge: impl FnMut(Packet) -> Verdict + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            server,
            connections: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
            judge: Mutex::new(Box::new(judge)),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                // A server that is not there closes the client's connection.
                let _ = shared.connect(&client.unwrap());
            }
        });
        Self { port, state }
    }

    /// The URL of a database behind the proxy, for root.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// How many connections the client opened.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many packets the client sent.
    pub fn packets(&self) -> usize {
        self.state.packets.load(Ordering::SeqCst)
    }
}

impl State {
    /// Starts to carry packets between a client and the server.
    fn connect(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.server))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let silent = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        for from_client in [true, false] {
            let (mut source, mut sink) = (client.try_clone()?, server.try_clone()?);
            if !from_client {
                (source, sink) = (sink, source);
            }
            let (state, silent, answered) =
                (Arc::clone(self), Arc::clone(&silent), Arc::clone(&answered));
            thread::spawn(move || {
                // An end of the connection, from whichever side, ends it for both.
                let _ = state.carry(from_client, &mut source, &mut sink, &silent, &answered);
                let _ = source.shutdown(Shutdown::Both);
                let _ = sink.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    /// Carries packets one way, until the connection ends or a verdict ends it.
    fn carry(
        &self,
        from_client: bool,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        silent: &AtomicBool,
        answered: &AtomicUsize,
    ) -> io::Result<()> {
        let (mut gap, mut exchange) = (0, 0);
        loop {
            let mut packet = read_packet(source)?;
            // COM_QUIT, by which the driver takes leave of a connection. It is not answered, and
            // whether it still gets through is a matter of luck.
            if from_client && packet[4..] == [1] {
                sink.write_all(&packet)?;
                continue;
            }
            let (client, server) = if from_client {
                answered.store(0, Ordering::SeqCst);
                (self.packets.fetch_add(1, Ordering::SeqCst) + 1, 0)
            } else {
                (self.packets.load(Ordering::SeqCst), answered.fetch_add(1, Ordering::SeqCst) + 1)
            };
            if silent.load(Ordering::SeqCst) {
                continue;
            }
            if exchange != client {
                (exchange, gap) = (client, 0);
            }
            packet[3] -= gap;
            let sequence = packet[3];
            let payload = &mut packet[4..];
            let verdict = (self.judge.lock().unwrap())(Packet { client, server, payload });
            match verdict {
                Verdict::Pass => sink.write_all(&packet)?,
                Verdict::Cut => return Ok(()),
                Verdict::Silence => silent.store(true, Ordering::SeqCst),
                Verdict::Drop => gap += 1,
                Verdict::Answer(answer) => {
                    let length = u32::try_from(answer.len()).unwrap().to_le_bytes();
                    source.write_all(&[length[0], length[1], length[2], sequence + 1])?;
                    source.write_all(&answer)?;
                }
            }
        }
    }
}

/// What an error packet of a server carries.
pub fn error_packet(code: u16, words: &str) -> Vec<u8> {
    [&[0xff], &code.to_le_bytes()[..], b"#HY000", words.as_bytes()].concat()
}

/// Reads one packet: 3 bytes of length, 1 of sequence, the payload.
fn read_packet(source: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    source.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + length as usize, 0);
    source.read_exact(&mut packet[4..])?;
    Ok(packet)
}
