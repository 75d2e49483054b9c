//! How slowly an answer may be read, and what becomes of its connection then.
//!
//! Only time in which the client has something to take counts, so a busy server cuts nobody off. A client that takes
//! nothing at all any more is the kernel's matter as well (`seats.rs`).

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::rt::task::JoinHandle;
use actix_web::rt::time::{Instant, sleep_until};
use actix_web::web::Bytes;
use rustix::net::{Shutdown, shutdown};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What is handed on at once; between two pieces it shows whether the client takes anything.
const PIECE: usize = 32 << 10;

/// How long one waits until an answer is taken.
#[derive(Clone, Copy)]
struct Patience {
    /// It may be read slowly for so long before its pace is judged.
    warm_up: Duration,
    /// Bytes a second.
    least_pace: u64,
    /// Room for the next piece must come within this time.
    stall: Duration,
}

/// As for bodies that come in (`pace.rs`). The kernel's buffer of a connection is up to a few MB, and has room again when
/// a third of it was read: at 14 kB/s within a minute.
const PATIENCE: Patience =
    Patience { warm_up: Duration::from_secs(10), least_pace: 1_024, stall: Duration::from_secs(120) };

/// The way to end a connection, whatever goes on in it. Part of what is noted of each connection.
#[derive(Clone)]
pub struct Line(Arc<OwnedFd>);

impl Line {
    /// A connection of which no second handle can be had keeps the system's limits only.
    pub fn of(tcp: &impl AsFd) -> Option<Self> {
        tcp.as_fd().try_clone_to_owned().ok().map(|fd| Self(Arc::new(fd)))
    }

    fn cut(&self) {
        let closed = shutdown(&self.0, Shutdown::Both);
        tracing::debug!(?closed, "an answer was read too slowly");
    }
}

/// Finds the line of a request's connection; none behind a proxy.
pub fn line(req: &ServiceRequest) -> Option<Line> {
    req.request().conn_data::<Line>().cloned()
}

/// Makes the connection of an answer end when it is read too slowly.
pub fn watch<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    line: Option<Line>,
) -> ServiceResponse<Outgoing> {
    response.map_body(|_, body| Outgoing::new(body.boxed(), line, PATIENCE))
}

/// A body that is handed on piece by piece.
pub struct Outgoing {
    body: BoxBody,
    rest: Bytes,
    watched: Option<Watched>,
}

impl Outgoing {
    fn new(body: BoxBody, line: Option<Line>, patience: Patience) -> Self {
        // What fits into one piece is in the kernel's buffer at once.
        let short = matches!(body.size(), BodySize::None | BodySize::Sized(0..=0x8000));
        let watched = line.filter(|_| !short).map(|line| Watched::new(line, patience));
        Self { body, rest: Bytes::new(), watched }
    }
}

impl MessageBody for Outgoing {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if let Some(watched) = &this.watched {
            watched.has_room();
        }
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                Some(Ok(bytes)) => this.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        if let Some(watched) = &this.watched {
            watched.handed_on(piece.len());
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, rest, watched } = self;
        match body.try_into_bytes() {
            Ok(bytes) if watched.is_none() => Ok(bytes),
            Ok(bytes) => Err(Self { body: BoxBody::new(bytes), rest, watched }),
            Err(body) => Err(Self { body, rest, watched }),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// Time that was spent waiting, without the wait that goes on.
    waited: Duration,
    /// Since when the client has something to take.
    since: Option<Instant>,
    sent: u64,
}

impl Progress {
    /// When the wait that goes on is too long.
    fn deadline(&self, patience: &Patience) -> Option<Instant> {
        let paced = Duration::from_millis(self.sent.saturating_mul(1_000) / patience.least_pace);
        let left = patience.warm_up.saturating_add(paced).saturating_sub(self.waited);
        self.since.map(|since| since + left.min(patience.stall))
    }
}

/// One answer under way; the watch ends with it.
struct Watched {
    progress: Rc<Cell<Progress>>,
    task: JoinHandle<()>,
}

impl Watched {
    fn new(line: Line, patience: Patience) -> Self {
        let progress = Rc::<Cell<Progress>>::default();
        let task = actix_web::rt::spawn(look(progress.clone(), line, patience));
        Self { progress, task }
    }

    /// The client has taken enough for more to be sent.
    fn has_room(&self) {
        let mut progress = self.progress.get();
        progress.waited += progress.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.progress.set(progress);
    }

    fn handed_on(&self, bytes: usize) {
        let progress = self.progress.get();
        let sent = progress.sent.saturating_add(bytes as u64);
        self.progress.set(Progress { since: Some(Instant::now()), sent, ..progress });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(progress: Rc<Cell<Progress>>, line: Line, patience: Patience) {
    loop {
        let now = Instant::now();
        // While the server itself has nothing yet, there is nothing to wait for.
        let deadline = progress.get().deadline(&patience).unwrap_or(now + patience.warm_up);
        sleep_until(deadline.max(now + Duration::from_millis(10))).await;
        if progress.get().deadline(&patience).is_some_and(|deadline| deadline <= Instant::now()) {
            return line.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, HttpServer, web};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};

    const QUICK: Patience = Patience {
        warm_up: Duration::from_millis(400),
        least_pace: 4 << 20,
        stall: Duration::from_millis(1_500),
    };
    const LENGTH: usize = 24 << 20;
    const SLOW_FOR: Duration = Duration::from_secs(5);

    /// A server whose answers have so many bytes, in pieces that come from itself after so many milliseconds.
    fn serve() -> SocketAddr {
        let (told, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = || {
                    let watch = from_fn(
                        |req: ServiceRequest, next: actix_web::middleware::Next<BoxBody>| async move {
                            let line = line(&req);
                            let response = next.call(req).await?;
                            Ok::<_, actix_web::Error>(
                                response.map_body(|_, body| Outgoing::new(body, line, QUICK)),
                            )
                        },
                    );
                    App::new()
                        .wrap(watch)
                        .route("/big", web::get().to(|| async { HttpResponse::Ok().body(vec![7; LENGTH]) }))
                        .route("/late", web::get().to(late))
                };
                let server = HttpServer::new(app).workers(1).on_connect(|connection, data| {
                    let tcp = connection.downcast_ref::<actix_web::rt::net::TcpStream>().unwrap();
                    data.insert(Line::of(tcp).unwrap());
                });
                let server = server.bind("127.0.0.1:0").unwrap();
                told.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        address.recv().unwrap()
    }

    /// A server that is slow itself: one piece, and after a while the other.
    async fn late() -> HttpResponse {
        let pieces = futures_util::stream::unfold(0_u8, |n| async move {
            if n == 1 {
                actix_web::rt::time::sleep(Duration::from_secs(2)).await;
            }
            (n < 2).then(|| (Ok::<_, actix_web::Error>(Bytes::from(vec![n; 50_000])), n + 1))
        });
        HttpResponse::Ok().streaming(pieces)
    }

    /// How many bytes of the answer come through when `read` at a time are taken for a while, with a pause after each, and
    /// then what is still there: what the kernels have in their buffers comes through in any case.
    fn taken(address: SocketAddr, path: &str, (read, pause): (usize, Duration)) -> (usize, Duration) {
        let started = std::time::Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let (mut bytes, mut all) = (vec![0; read], 0);
        loop {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return (all, started.elapsed()),
                Ok(n) => all += n,
            }
            if started.elapsed() < SLOW_FOR {
                std::thread::sleep(pause);
            }
        }
    }

    #[test]
    fn an_answer_that_is_read_too_slowly_or_not_at_all_ends_with_its_connection() {
        let address = serve();
        let (whole, took) = taken(address, "/big", (1 << 20, Duration::ZERO));
        assert!(whole > LENGTH, "{whole} in {took:?}");
        // Slow, and fast enough: 8 MiB a second.
        let (whole, took) = taken(address, "/big", (1 << 20, Duration::from_millis(125)));
        assert!(whole > LENGTH, "{whole} in {took:?}");
        let (some, _) = taken(address, "/big", (4 << 10, Duration::from_millis(20)));
        assert!(some < LENGTH, "less than 200 kB a second: {some}");
        let (some, _) = taken(address, "/big", (1, Duration::from_secs(5)));
        assert!(some < LENGTH, "nothing at all for a while: {some}");
        let (whole, took) = taken(address, "/late", (1 << 20, Duration::ZERO));
        assert!(whole > 100_000 && took > Duration::from_secs(2), "a slow server cuts nobody off: {whole}");
    }
}
