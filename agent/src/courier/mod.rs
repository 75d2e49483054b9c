//! The network process: everything that is sent to the server or comes from it goes through a process of its own that
//! has no rights on the host.
//!
//! This side starts it, asks, and bounds what it answers in size and time; it believes nothing else of it than it would
//! of the network. Never: a socket of this process, or a secret that signs (the key of the TLS certificate is given
//! away, the host's own key stays).

mod child;
mod frame;
mod http;
mod probe;
mod sandbox;
#[cfg(test)]
mod tests;

pub use child::serve;
pub use probe::{Look, Prober, Seen};
pub use sandbox::{Missing, enter};

use crate::clock::{Clock, OFFSET};
use crate::net::{Address, Call, Carrier, Download, Limits, NetError, PROBLEM_BYTES, Part, Reply, Sink};
use crate::tls::Trust;
use frame::{Answer, Chunk, Question};
use hyper::StatusCode;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The network process of this program: its file may be replaced while it runs; this is the one that runs.
const OWN: [&str; 2] = ["/proc/self/exe", "courier"];
/// A bundle of certificate authorities is a few hundred KiB.
pub const AUTHORITIES_BYTES: u64 = 4 << 20;

/// Starts a network process for one server. Makes no contact yet.
///
/// # Errors
/// The process cannot be started, or refuses the certificates and keys.
pub fn open(
    address: Address,
    trust: &Trust,
    _clock: &Clock,
    limits: Limits,
) -> Result<Box<dyn Carrier>, NetError> {
    Courier::start(&OWN, address, trust, limits).map(|courier| Box::new(courier) as Box<dyn Carrier>)
}

/// A network process, started again when it ended.
pub struct Courier {
    program: Vec<String>,
    address: Address,
    trust: Trust,
    limits: Limits,
    running: Option<Running>,
}

struct Running {
    process: Child,
    pipe: UnixStream,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn launch(program: &[String]) -> io::Result<Running> {
    let (ours, theirs) = UnixStream::pair()?;
    let (program, arguments) = program.split_first().ok_or_else(ended)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    if let Ok(offset) = std::env::var(OFFSET) {
        command.env(OFFSET, offset);
    }
    Ok(Running { process: command.spawn()?, pipe: ours })
}

impl Courier {
    /// The same with another program at the other end.
    ///
    /// # Errors
    /// As [`open`].
    pub fn start(
        program: &[&str],
        address: Address,
        trust: &Trust,
        limits: Limits,
    ) -> Result<Self, NetError> {
        let program = program.iter().map(|word| (*word).to_owned()).collect();
        let mut courier = Self { program, address, trust: trust.clone(), limits, running: None };
        courier.running = Some(courier.launch()?);
        Ok(courier)
    }

    /// Process id of the network process, for those who look at it.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.id())
    }

    fn launch(&self) -> Result<Running, NetError> {
        let mut running = launch(&self.program).map_err(|e| self.broken(&e))?;
        let question = Question::open(&self.address, &self.trust, self.limits);
        let body: &[u8] = if let Trust::Proxy { authorities } = &self.trust { authorities } else { &[] };
        let mut pipe = Timed::new(&mut running.pipe, self.limits.connect);
        match frame::ask(&mut pipe, &question, body, |_| 0) {
            Ok((Answer::Ready, _)) => Ok(running),
            Ok((Answer::Failed(error), _)) => Err(error),
            Ok(_) => Err(self.broken(&out_of_turn())),
            Err(e) => Err(self.broken(&e)),
        }
    }

    /// One exchange with the process. What cannot be understood ends it; the next call starts another one.
    fn exchange<T>(
        &mut self,
        what: &str,
        time: Duration,
        mut talk: impl FnMut(&mut Timed<'_>) -> Result<T, Trouble>,
    ) -> Result<T, NetError> {
        // The process keeps the limits itself; what it needs on top of them is far less than for connecting.
        let (kept, margin) = (self.running.is_some(), self.limits.connect);
        for again in [kept, false] {
            let mut running = match self.running.take() {
                Some(running) => running,
                None => self.launch()?,
            };
            match talk(&mut Timed::new(&mut running.pipe, time.saturating_add(margin))) {
                Ok(done) => {
                    self.running = Some(running);
                    return Ok(done);
                }
                Err(Trouble::Told(error)) => {
                    self.running = Some(running);
                    return Err(error);
                }
                // One that ended since the last call is not this call's failure.
                Err(Trouble::Pipe(e)) if again && is_gone(&e) => {}
                Err(Trouble::Pipe(e)) if e.kind() == io::ErrorKind::TimedOut => {
                    return Err(NetError::Deadline { what: what.into(), secs: time.as_secs() });
                }
                Err(Trouble::Pipe(e)) => return Err(self.broken(&e)),
                Err(Trouble::Sink(e)) => return Err(NetError::Sink(e.to_string())),
            }
        }
        Err(self.broken(&ended()))
    }

    fn broken(&self, error: &io::Error) -> NetError {
        let why = format!("the network process does not work: {error}");
        NetError::Unreachable { address: self.address.to_string(), why }
    }
}

fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn out_of_turn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it answered what was not asked")
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Why an exchange has no result.
enum Trouble {
    /// The process says so.
    Told(NetError),
    Pipe(io::Error),
    Sink(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Pipe(error)
    }
}

impl Carrier for Courier {
    fn begin_anew(&mut self, limits: Limits) {
        // A process that is made anew has no connection either.
        self.limits = limits;
        self.running = None;
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError> {
        let question = Question::call(call);
        let body = call.body.as_deref().unwrap_or_default();
        let most = |answer: &Answer| match answer {
            Answer::Reply { status, .. } if (200..300).contains(status) => call.max_bytes,
            Answer::Reply { .. } => call.max_bytes.max(PROBLEM_BYTES),
            _ => 0,
        };
        self.exchange(call.path, self.limits.request, |pipe| match frame::ask(pipe, &question, body, most)? {
            (Answer::Reply { status, etag, retry_after_secs }, body) => {
                let status = StatusCode::from_u16(status).map_err(|_| out_of_turn())?;
                Ok(Reply { status, etag, retry_after_secs, body })
            }
            (Answer::Failed(error), _) => Err(Trouble::Told(error)),
            _ => Err(out_of_turn().into()),
        })
    }

    fn download(&mut self, what: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError> {
        let Download { path, from, length, proof } = *what;
        let transfer = Duration::from_secs(length.saturating_sub(from) / self.limits.min_rate.max(1));
        let time = self.limits.request.saturating_add(transfer);
        let proof = proof.map(str::to_owned);
        let question = Question::Download { path: path.to_owned(), from, length, proof };
        self.exchange(path, time, |pipe| {
            let part = match frame::ask(pipe, &question, &[], |_| 0)?.0 {
                Answer::Missing => return Ok(None),
                Answer::Part { continued: true } => Part::Continued,
                Answer::Part { continued: false } => Part::FromStart,
                Answer::Failed(error) => return Err(Trouble::Told(error)),
                _ => return Err(out_of_turn().into()),
            };
            sink.begin(part).map_err(Trouble::Sink)?;
            let mut left = if part == Part::Continued { length.saturating_sub(from) } else { length };
            loop {
                let (chunk, bytes) = frame::read::<Chunk>(pipe, |_| left.min(frame::CHUNK_BYTES))?;
                match chunk {
                    Chunk::Bytes => {
                        left -= bytes.len() as u64;
                        sink.bytes(&bytes).map_err(Trouble::Sink)?;
                    }
                    Chunk::End => return Ok(Some(())),
                    Chunk::Failed(error) => return Err(Trouble::Told(error)),
                }
            }
        })
    }
}

/// The pipe with one deadline for everything that is read and written.
struct Timed<'a> {
    pipe: &'a mut UnixStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    fn new(pipe: &'a mut UnixStream, time: Duration) -> Self {
        let now = Instant::now();
        Self { pipe, until: now.checked_add(time).unwrap_or(now) }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// A time-out of a socket shows as `WouldBlock`.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.pipe.set_read_timeout(self.left()?)?;
        self.pipe.read(bytes).map_err(late)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe.set_write_timeout(self.left()?)?;
        self.pipe.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
