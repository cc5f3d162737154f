//! Relays in front of an origin, named after the fault that they cause on the path.
//!
//! They work on TCP only, as a middlebox does, and record the client's bytes, so a test can assert what left gitferry.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
    sync::watch,
};

use super::background::Background;

/// The receive buffer of a relay that holds uploads: what it does not read fits into it up to here.
const HELD_BUFFER: usize = 256 * 1024;

/// How many bytes of each connection a relay records.
const KEPT: usize = 64 * 1024;

/// The fault of a connection.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Reads the ClientHello of the first n connections and resets them.
    ResetsHandshakes(usize),
    /// Reads the ClientHello of the first n connections and closes them.
    ClosesHandshakes(usize),
    /// Reads the ClientHello of the first n connections and never answers.
    SilentHandshakes(usize),
    /// Resets every connection when the client has sent this many bytes.
    ResetsAfter(usize),
    /// Resets the first connections on which the client has sent this many bytes.
    ResetsUploads(usize, usize),
    /// Passes this many bytes of the client on, then waits for [`Relay::release`].
    HoldsAfter(usize),
    /// Passes the handshake on, then waits for [`Relay::release`] at the first record of application data.
    HoldsRequests,
    /// Passes everything on; when the client has sent this many bytes, returns nothing until [`Relay::release`].
    HoldsAnswersAfter(usize),
    /// Passes this many bytes of the client on per second.
    Trickles(usize),
    /// Answers with bytes of no known protocol.
    Garbage,
    /// Passes everything on until [`Relay::changes_network`].
    Forgets,
    /// No fault.
    None,
}

/// A relay on a port of its own.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    gate: watch::Sender<bool>,
    networks: watch::Sender<u32>,
    _background: Background,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    held: AtomicUsize,
    broken: AtomicUsize,
    bytes: Mutex<Vec<Vec<u8>>>,
}

impl Relay {
    /// The first `n` connections are reset when their ClientHello has been read.
    pub(crate) fn resets_handshakes(n: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::ResetsHandshakes(n), origin)
    }

    /// The first `n` connections are closed when their ClientHello has been read.
    pub(crate) fn closes_handshakes(n: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::ClosesHandshakes(n), origin)
    }

    /// The first `n` connections are never answered.
    pub(crate) fn silent_handshakes(n: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::SilentHandshakes(n), origin)
    }

    /// Every connection is reset when the client has sent `bytes`.
    pub(crate) fn resets_after(bytes: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::ResetsAfter(bytes), origin)
    }

    /// As [`Relay::resets_after`], on an existing listener.
    pub(crate) fn resets_after_on(listener: StdListener, bytes: usize, origin: SocketAddr) -> Self {
        Self::start_on(listener, Fault::ResetsAfter(bytes), origin)
    }

    /// The first `n` connections on which the client has sent `bytes` are reset just then.
    pub(crate) fn resets_uploads(n: usize, bytes: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::ResetsUploads(n, bytes), origin)
    }

    /// Every connection waits for [`Relay::release`] when the client has sent `bytes`.
    pub(crate) fn holds_after(bytes: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::HoldsAfter(bytes), origin)
    }

    /// Every connection waits for [`Relay::release`] when the client has sent its first request.
    pub(crate) fn holds_requests(origin: SocketAddr) -> Self {
        Self::start(Fault::HoldsRequests, origin)
    }

    /// When the client has sent `bytes`, every connection returns nothing until [`Relay::release`].
    pub(crate) fn holds_answers_after(bytes: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::HoldsAnswersAfter(bytes), origin)
    }

    /// Every connection passes `rate` bytes of its client on per second.
    pub(crate) fn trickles(rate: usize, origin: SocketAddr) -> Self {
        Self::start(Fault::Trickles(rate), origin)
    }

    /// As [`Relay::holds_after`], on an existing listener, perhaps in another network.
    pub(crate) fn holds_after_on(listener: StdListener, bytes: usize, origin: SocketAddr) -> Self {
        Self::start_on(listener, Fault::HoldsAfter(bytes), origin)
    }

    /// As [`Relay::trickles`], on an existing listener.
    pub(crate) fn trickles_on(listener: StdListener, rate: usize, origin: SocketAddr) -> Self {
        Self::start_on(listener, Fault::Trickles(rate), origin)
    }

    /// Every connection is answered with garbage.
    pub(crate) fn garbage(origin: SocketAddr) -> Self {
        Self::start(Fault::Garbage, origin)
    }

    /// A path whose connections can be forgotten, as a NAT does when the network changes.
    #[allow(dead_code, reason = "one of the test binaries needs it")]
    pub(crate) fn forgets(origin: SocketAddr) -> Self {
        Self::start(Fault::Forgets, origin)
    }

    /// A path without a fault, that counts and records.
    pub(crate) fn faultless(origin: SocketAddr) -> Self {
        Self::start(Fault::None, origin)
    }

    fn start(fault: Fault, origin: SocketAddr) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        if matches!(fault, Fault::HoldsAfter(_)) {
            // The kernel takes megabytes by itself where the reader is slow, and nothing would stand still.
            SockRef::from(&listener)
                .set_recv_buffer_size(HELD_BUFFER)
                .unwrap();
        }
        Self::start_on(listener, fault, origin)
    }

    fn start_on(listener: StdListener, fault: Fault, origin: SocketAddr) -> Self {
        let background = Background::new();
        let seen = Arc::new(Seen::default());
        let (gate, _) = watch::channel(false);
        let (networks, _) = watch::channel(0);
        let (shared, opened) = (Arc::clone(&seen), gate.clone());
        let changes = networks.clone();
        let address = background.serve_on(listener, move |client, number| {
            let connection = Connection {
                index: shared.begin(),
                seen: Arc::clone(&shared),
                gate: opened.subscribe(),
                network: changes.subscribe(),
            };
            async move {
                // Errors are expected: these relays break paths.
                let _ = connection.run(client, number, fault, origin).await;
            }
        });
        Self {
            address,
            seen,
            gate,
            networks,
            _background: background,
        }
    }

    /// Passes everything on from now on.
    pub(crate) fn release(&self) {
        let _ = self.gate.send(true);
    }

    /// From now on drops every packet of the existing connections silently; new connections work.
    ///
    /// Counted in [`Relay::held`].
    #[allow(dead_code, reason = "one of the test binaries needs it")]
    pub(crate) fn changes_network(&self) {
        self.networks.send_modify(|number| *number += 1);
    }

    /// The number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The number of connections that are held.
    pub(crate) fn held(&self) -> usize {
        self.seen.held.load(Ordering::SeqCst)
    }

    /// The first bytes of clients, by connection.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.seen.bytes.lock().unwrap().clone()
    }
}

impl Seen {
    fn begin(&self) -> usize {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let mut bytes = self.bytes.lock().unwrap();
        bytes.push(Vec::new());
        bytes.len() - 1
    }
}

struct Connection {
    index: usize,
    seen: Arc<Seen>,
    gate: watch::Receiver<bool>,
    network: watch::Receiver<u32>,
}

impl Connection {
    async fn run(
        mut self,
        mut client: TcpStream,
        number: usize,
        fault: Fault,
        origin: SocketAddr,
    ) -> std::io::Result<()> {
        match fault {
            Fault::ResetsHandshakes(n) if number <= n => {
                self.read_record(&mut client).await?;
                reset(&client)
            }
            Fault::ClosesHandshakes(n) if number <= n => {
                self.read_record(&mut client).await?;
                client.shutdown().await
            }
            Fault::SilentHandshakes(n) if number <= n => {
                self.read_record(&mut client).await?;
                // Until the client gives up.
                copy(&mut client, &mut tokio::io::sink()).await.map(drop)
            }
            Fault::Garbage => {
                self.read_some(&mut client).await?;
                client
                    .write_all(&b"\x00\xffthis is no protocol\r\n\r\n".repeat(8))
                    .await?;
                copy(&mut client, &mut tokio::io::sink()).await.map(drop)
            }
            Fault::Forgets => self.relay_until_forgotten(client, origin).await,
            _ => self.relay(client, fault, origin).await,
        }
    }

    /// The kernel drops packets for the client's socket before TCP sees them, so nothing is acknowledged.
    async fn relay_until_forgotten(
        &mut self,
        mut client: TcpStream,
        origin: SocketAddr,
    ) -> std::io::Result<()> {
        let mut server = TcpStream::connect(origin).await?;
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut client, &mut server) => return copied.map(drop),
            changed = self.network.changed() => if changed.is_err() { return Ok(()) },
        }
        // BPF_RET with the constant 0: keep no byte of any packet.
        SockRef::from(&client).attach_filter(&[socket2::SockFilter::new(6, 0, 0, 0)])?;
        self.seen.held.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    /// Copies in both directions, including half-closes.
    async fn relay(
        &mut self,
        mut client: TcpStream,
        fault: Fault,
        origin: SocketAddr,
    ) -> std::io::Result<()> {
        let mut server = TcpStream::connect(origin).await?;
        server.set_nodelay(true)?;
        let broken = {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let mut opened = self.gate.clone();
            let (holding, held) = watch::channel(false);
            let down = async {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let read = from_server.read(&mut buffer).await?;
                    if *held.borrow() {
                        let _ = opened.wait_for(|open| *open).await;
                    }
                    if read == 0 {
                        return to_client.shutdown().await;
                    }
                    to_client.write_all(&buffer[..read]).await?;
                }
            };
            let up = self.pass_on(&mut from_client, &mut to_server, fault, &holding);
            tokio::try_join!(up, down).is_err()
        };
        if broken {
            reset(&client)?;
            reset(&server)?;
        }
        Ok(())
    }

    async fn pass_on(
        &mut self,
        client: &mut (impl AsyncReadExt + Unpin),
        origin: &mut (impl AsyncWriteExt + Unpin),
        fault: Fault,
        holding: &watch::Sender<bool>,
    ) -> std::io::Result<()> {
        let piece = match fault {
            Fault::Trickles(rate) => (rate / 10).max(1),
            _ => 64 * 1024,
        };
        let mut buffer = vec![0; piece];
        let mut total = 0;
        loop {
            let read = client.read(&mut buffer).await?;
            if read == 0 {
                return origin.shutdown().await;
            }
            self.keep(&buffer[..read]);
            total += read;
            match fault {
                Fault::ResetsAfter(limit) if total > limit => {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                Fault::ResetsUploads(n, limit)
                    if total > limit && self.seen.broken.fetch_add(1, Ordering::SeqCst) < n =>
                {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                Fault::HoldsAfter(limit) if total > limit => self.hold().await,
                Fault::HoldsAnswersAfter(limit) if total > limit => {
                    holding.send_replace(true);
                }
                Fault::Trickles(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Fault::HoldsRequests if total > self.handshake_length() => self.hold().await,
                _ => {}
            }
            origin.write_all(&buffer[..read]).await?;
        }
    }

    async fn hold(&mut self) {
        if !*self.gate.borrow() {
            self.seen.held.fetch_add(1, Ordering::SeqCst);
            let _ = self.gate.wait_for(|open| *open).await;
        }
    }

    /// More than a client sends in a handshake without a client certificate (its ClientHello, ChangeCipherSpec and Finished), and
    /// less than that and a request.
    fn handshake_length(&self) -> usize {
        let all = self.seen.bytes.lock().unwrap();
        match all[self.index][..] {
            [_, _, _, high, low, ..] => 5 + usize::from(u16::from_be_bytes([high, low])) + 120,
            _ => usize::MAX,
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut all = self.seen.bytes.lock().unwrap();
        let kept = &mut all[self.index];
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    async fn read_some(&self, client: &mut TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        let read = client.read(&mut buffer).await?;
        self.keep(&buffer[..read]);
        Ok(())
    }

    /// One TLS record: five bytes of head, the last two of them its length.
    async fn read_record(&self, client: &mut TcpStream) -> std::io::Result<()> {
        let mut head = [0; 5];
        client.read_exact(&mut head).await?;
        let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        client.read_exact(&mut record).await?;
        self.keep(&head);
        self.keep(&record);
        Ok(())
    }
}

/// Makes the drop of `stream` a TCP reset.
pub(super) fn reset(stream: &TcpStream) -> std::io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
