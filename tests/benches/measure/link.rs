//! The load generator's end of a kept connection: raw HTTP/1.1 over TLS 1.3 with a client certificate.
//!
//! The same few lines of work for every server that is measured; never anything that only one of them needs.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Threads of the generator, each with its part of the connections.
pub const THREADS: usize = 2;

/// A connection; one request at a time.
pub struct Link {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
    head: usize,
}

impl Link {
    pub async fn open(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self::open_from(Ipv4Addr::LOCALHOST, address, tls).await
    }

    /// From an address of its own.
    pub async fn open_from(source: Ipv4Addr, address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let tcp = socket.connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream = TlsConnector::from(tls).connect(ServerName::from(address.ip()), tcp).await.unwrap();
        Self { stream, received: Vec::with_capacity(16 << 10), head: 0 }
    }

    /// Sends one request as it is and reads the whole answer; gives its status.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                self.head = end + 4;
                break;
            }
        }
        let status = std::str::from_utf8(&self.received[9..12]).unwrap_or_default().parse();
        let status = status.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let length = if status == 304 { 0 } else { self.length() };
        while self.received.len() < self.head + length {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(status)
    }

    /// A header of the last answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(&self.received[..self.head]).ok()?;
        let mut pairs = head.split("\r\n").filter_map(|line| line.split_once(':'));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.received[self.head..]
    }

    fn length(&self) -> usize {
        self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

/// A request with a JSON body, ready to be sent.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Runs one task for each item, spread over the threads of the generator, and gathers what they give.
pub fn spread<T, R, F>(items: Vec<T>, task: impl Fn(T) -> F + Clone + Send) -> Vec<R>
where
    T: Send,
    R: Send + 'static,
    F: Future<Output = R> + 'static,
{
    let mut parts: Vec<Vec<T>> = (0..THREADS).map(|_| Vec::new()).collect();
    for (number, item) in items.into_iter().enumerate() {
        parts[number % THREADS].push(item);
    }
    std::thread::scope(|scope| {
        let threads = parts.into_iter().map(|part| (part, task.clone()));
        let threads: Vec<_> = threads.map(|(part, task)| scope.spawn(move || run_all(part, task))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn run_all<T, R: 'static, F: Future<Output = R> + 'static>(items: Vec<T>, task: impl Fn(T) -> F) -> Vec<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = items.into_iter().map(|item| tokio::task::spawn_local(task(item))).collect();
        let mut results = Vec::with_capacity(tasks.len());
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    })
}
