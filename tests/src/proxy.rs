//! What stands between agents and server: a wire that can be cut, a balancer over several nodes, and, with the
//! server's own TLS key, a server that has been taken over.

use crate::http::{Client, Message};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Decides over one request; the function given to it asks the real server as the same agent. `None` cuts the
/// connection without an answer.
pub type Hook = dyn Fn(Message, &dyn Fn(Message) -> Message) -> Option<Message> + Send + Sync;

/// How a hostile relay hands an answer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// Half of the body that its head announces, then the connection ends.
    Half,
    /// Nothing at all, as long as the agent waits.
    Silence,
    /// Half of the body, then nothing, as long as the agent waits.
    Stall,
    /// The body one byte a second.
    Drip,
    /// The body, and after it bytes without end.
    Endless,
}

/// How the answer to a request is handed on.
pub type Deliver = dyn Fn(&Message) -> Delivery + Send + Sync;

enum Mode {
    Through,
    Cut,
    /// One bit of what comes from the backends is another one, so many bytes after its beginning.
    Bent {
        after: usize,
    },
    /// So many more bytes go to the backends, all connections together; then everything is cut, for the
    /// connections that are open or for good.
    CutAfter {
        left: AtomicU64,
        for_good: bool,
    },
    Middle {
        tls: Arc<ServerConfig>,
        hook: Arc<Hook>,
        deliver: Arc<Deliver>,
        /// Whom it takes itself for: the agents' port, where every client shows who it is, or the people's.
        people: bool,
    },
}

struct Shared {
    backends: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
    mode: Mutex<Arc<Mode>>,
    /// The site's CA, and where agents keep their certificate and key.
    ca: PathBuf,
    identities: Mutex<Vec<(PathBuf, PathBuf)>>,
    /// Bytes that went to the backends.
    carried: AtomicU64,
    stop: AtomicBool,
}

/// The address that agents know as their server.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start(listener: TcpListener, ca: &Path) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backends: Mutex::default(),
            next: AtomicUsize::new(0),
            mode: Mutex::new(Arc::new(Mode::Through)),
            ca: ca.to_owned(),
            identities: Mutex::default(),
            carried: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let inner = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if inner.stop.load(Ordering::SeqCst) {
                    return;
                }
                let inner = inner.clone();
                std::thread::spawn(move || inner.serve(connection));
            }
        });
        Self { address, shared }
    }

    /// Where connections go, in turn.
    pub fn set_backends(&self, backends: &[SocketAddr]) {
        *self.shared.backends.lock().unwrap() = backends.to_vec();
    }

    pub fn add_identity(&self, certificate: PathBuf, key: PathBuf) {
        self.shared.identities.lock().unwrap().push((certificate, key));
    }

    pub fn through(&self) {
        self.set(Mode::Through);
    }

    /// Every connection is closed at once.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// The wire breaks when it has carried so many more bytes to the backends; later connections go through,
    /// unless it is `for_good`.
    pub fn cut_after(&self, bytes: u64, for_good: bool) {
        self.set(Mode::CutAfter { left: AtomicU64::new(bytes), for_good });
    }

    /// Bytes that went to the backends so far.
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::SeqCst)
    }

    /// One bit of each connection is changed on its way to the agent, without any key.
    pub fn bend(&self, after: usize) {
        self.set(Mode::Bent { after });
    }

    /// Takes the server over: `cert` and `key` are those of its agent port.
    pub fn take_over(&self, cert: &Path, key: &Path, hook: Arc<Hook>, deliver: Arc<Deliver>) {
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(crate::http::roots(&self.shared.ca)),
            crate::http::provider(),
        );
        let tls = ServerConfig::builder_with_provider(crate::http::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(crate::http::certificates(cert), crate::http::private_key(key))
            .unwrap();
        self.set(Mode::Middle { tls: Arc::new(tls), hook, deliver, people: false });
    }

    /// The same for the port of the people.
    pub fn take_over_people(&self, cert: &Path, key: &Path, hook: Arc<Hook>) {
        let tls = ServerConfig::builder_with_provider(crate::http::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(crate::http::certificates(cert), crate::http::private_key(key))
            .unwrap();
        let deliver: Arc<Deliver> = Arc::new(|_| Delivery::Whole);
        self.set(Mode::Middle { tls: Arc::new(tls), hook, deliver, people: true });
    }

    fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = Arc::new(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept; when it is gone already there is nothing to wake.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, connection: TcpStream) {
        let mode = self.mode.lock().unwrap().clone();
        match &*mode {
            Mode::Cut => drop(connection),
            Mode::Through | Mode::CutAfter { .. } | Mode::Bent { .. } => self.splice(connection, &mode),
            Mode::Middle { tls, hook, deliver, people } => {
                self.intercept(connection, (tls.clone(), *people), hook, deliver);
            }
        }
    }

    fn backend(&self) -> Option<SocketAddr> {
        let backends = self.backends.lock().unwrap();
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        backends.get(turn % backends.len().max(1)).copied()
    }

    fn splice(&self, client: TcpStream, mode: &Mode) {
        let Some(Ok(server)) = self.backend().map(TcpStream::connect) else { return };
        let (Ok(client_read), Ok(server_write)) = (client.try_clone(), server.try_clone()) else { return };
        std::thread::scope(|scope| {
            scope.spawn(|| pump(client_read, server_write, |bytes| self.allow(mode, bytes.len())));
            let mut passed = 0;
            pump(server, client, |bytes| {
                if let Mode::Bent { after } = mode
                    && let Some(byte) = after.checked_sub(passed).and_then(|at| bytes.get_mut(at))
                {
                    *byte ^= 1;
                }
                passed += bytes.len();
                bytes.len()
            });
        });
    }

    /// How many of these bytes may still go to a backend.
    fn allow(&self, mode: &Mode, bytes: usize) -> usize {
        let mut allowed = bytes;
        if let Mode::CutAfter { left, for_good } = mode {
            let take = |left: u64| left.checked_sub(bytes as u64).or(Some(0));
            let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
            allowed = bytes.min(usize::try_from(before).unwrap_or(bytes));
            if allowed < bytes {
                let after = if *for_good { Mode::Cut } else { Mode::Through };
                *self.mode.lock().unwrap() = Arc::new(after);
            }
        }
        self.carried.fetch_add(allowed as u64, Ordering::SeqCst);
        allowed
    }

    fn intercept(
        &self,
        tcp: TcpStream,
        (tls, people): (Arc<ServerConfig>, bool),
        hook: &Arc<Hook>,
        deliver: &Arc<Deliver>,
    ) {
        let Ok(connection) = ServerConnection::new(tls) else { return };
        let mut stream = StreamOwned::new(connection, tcp);
        while let Ok(Some(request)) = Message::read(&mut stream, false) {
            let client = match people {
                true => self.backend().map(|address| Client::new(address, &self.ca, None)),
                false => self.agent_behind(&stream.conn),
            };
            let Some(client) = client else { return };
            let ask = |request: Message| match client.try_send(request) {
                Ok(reply) => reply.with("connection", "keep-alive"),
                // As a balancer answers for a node that has just died.
                Err(_) => Message::reply(502, b""),
            };
            let how = deliver(&request);
            let Some(reply) = hook(request, &ask) else { return };
            let reply = reply.clone().carrying(&reply.body).without("keep-alive");
            // Whoever does not want to hear the rest is gone.
            if hand_on(&mut stream, &reply, how).is_err() || how != Delivery::Whole {
                return;
            }
        }
    }

    /// The agent's own way to the real server, found by the certificate that it showed.
    fn agent_behind(&self, connection: &ServerConnection) -> Option<Client> {
        let shown = connection.peer_certificates()?.first()?;
        let identities = self.identities.lock().unwrap();
        let (cert, key) =
            identities.iter().find(|(cert, _)| crate::http::certificates(cert).first() == Some(shown))?;
        Some(Client::new(self.backend()?, &self.ca, Some((cert, key))))
    }
}

fn hand_on(stream: &mut (impl Read + Write), reply: &Message, how: Delivery) -> std::io::Result<()> {
    let mut send = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush());
    let (bytes, half) = (reply.to_bytes(), reply.body.len().div_ceil(2));
    match how {
        Delivery::Whole => return send(&bytes),
        Delivery::Half => return send(&bytes[..bytes.len() - half]),
        Delivery::Silence => {}
        Delivery::Stall => send(&bytes[..bytes.len() - half])?,
        Delivery::Drip => {
            send(&bytes[..bytes.len() - reply.body.len()])?;
            for byte in &reply.body {
                send(&[*byte])?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Delivery::Endless => {
            let mut head = reply.clone().without("content-length").with("transfer-encoding", "chunked");
            head.body.clear();
            send(&head.to_bytes())?;
            let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            if !reply.body.is_empty() {
                send(&chunk(&reply.body))?;
            }
            loop {
                send(&chunk(&[b' '; 16 << 10]))?;
            }
        }
    }
    // Until the agent has had enough.
    stream.read(&mut [0; 1]).map(drop)
}

/// Copies until either side closes or not everything is allowed, then closes both: a half-open wire would hide
/// a cut.
fn pump(mut from: TcpStream, mut to: TcpStream, mut allow: impl FnMut(&mut [u8]) -> usize) {
    let mut piece = [0; 16 << 10];
    loop {
        let whole = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                let allowed = allow(&mut piece[..n]);
                to.write_all(&piece[..allowed]).is_ok() && allowed == n
            }
            Err(_) => false,
        };
        if !whole {
            // Nothing left to close when the other side is gone.
            drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
            return;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}
