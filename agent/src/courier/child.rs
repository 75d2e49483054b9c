//! The network process itself: gives up its rights, then carries requests until its other end is closed.

use super::frame::{self, Answer, CHUNK_BYTES, Chunk, Question};
use super::{probe, sandbox};
use crate::clock::Clock;
use crate::idle::Idle;
use crate::net::{Address, Call, Carrier, Download, Link, NetError, Part, Sink};
use crate::tls::Trust;
use hyper::Method;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use shared::limits;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The questions of one tick follow each other more closely.
const PAUSE: Duration = Duration::from_secs(1);

/// Carries requests between standard input, which is a socket, and one server; tells which layers of its sandbox the
/// kernel does not have.
///
/// # Errors
/// Standard input is no socket, or the other end breaks the protocol.
pub fn serve(tell: impl Fn(&str)) -> io::Result<()> {
    let mut pipe = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let idle = Idle::of_this_process();
    for missing in sandbox::enter() {
        tell(&format!("the network process {missing}"));
    }
    let mut link: Option<Link> = None;
    loop {
        if !is_asked(&pipe, PAUSE)? {
            idle.give_back();
        }
        let asked = frame::read::<Question>(&mut pipe, |question| match question {
            Question::Call { .. } => limits::ENVELOPE_BYTES as u64 * 4,
            Question::Probe { .. } | Question::Open { .. } => super::AUTHORITIES_BYTES,
            Question::Download { .. } => 0,
        });
        let (question, body) = match asked {
            Ok(asked) => asked,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        };
        match (question, &mut link) {
            (Question::Open { address, trust, limits }, _) => {
                let opened = begin(&address, trust.trust(body), limits);
                let answer = match opened {
                    Ok(made) => {
                        link = Some(made);
                        Answer::Ready
                    }
                    Err(error) => Answer::Failed(error),
                };
                frame::write(&mut pipe, &answer, &[])?;
            }
            (Question::Call { method, path, etag, proof, max_bytes, has_body }, Some(link)) => {
                let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
                let (body, etag, proof) = (has_body.then_some(body), etag.as_deref(), proof.as_deref());
                let call = Call { method, path: &path, body, etag, proof, max_bytes };
                match link.call(&call) {
                    Ok(reply) => {
                        let (status, etag) = (reply.status.as_u16(), reply.etag);
                        let retry_after_secs = reply.retry_after_secs;
                        let answer = Answer::Reply { status, etag, retry_after_secs };
                        frame::write(&mut pipe, &answer, &reply.body)?;
                    }
                    Err(error) => frame::write(&mut pipe, &Answer::Failed(error), &[])?,
                }
            }
            (Question::Download { path, from, length, proof }, Some(link)) => {
                let what = Download { path: &path, from, length, proof: proof.as_deref() };
                download(link, &what, &mut pipe)?;
            }
            (Question::Probe { look, timeout }, _) => {
                let (answer, bytes) = probe::answer(&look, &body, timeout);
                frame::write(&mut pipe, &answer, &bytes)?;
            }
            (_, None) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "asked before it was opened"));
            }
        }
    }
}

/// Waits this long for the next question; one that has come stays in the pipe.
fn is_asked(pipe: &UnixStream, longest: Duration) -> io::Result<bool> {
    pipe.set_read_timeout(Some(longest))?;
    let looked = rustix::net::recv(pipe, &mut [0; 1], RecvFlags::PEEK);
    pipe.set_read_timeout(None)?;
    match looked {
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        other => Ok(other.map(|_| true)?),
    }
}

fn begin(address: &str, trust: Trust, limits: crate::net::Limits) -> Result<Link, NetError> {
    let unreachable = |why| NetError::Unreachable { address: address.to_owned(), why };
    let address: Address = address.parse().map_err(unreachable)?;
    let clock =
        Clock::from_env().map_err(|why| NetError::Unreachable { address: address.to_string(), why })?;
    Link::new(address, &trust, &clock, limits)
}

/// Hands a download on piece by piece.
struct Pieces<'a> {
    pipe: &'a mut UnixStream,
    begun: bool,
}

impl Sink for Pieces<'_> {
    fn begin(&mut self, part: Part) -> io::Result<()> {
        self.begun = true;
        frame::write(self.pipe, &Answer::Part { continued: part == Part::Continued }, &[])
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let pieces = bytes.chunks(usize::try_from(CHUNK_BYTES).unwrap_or(1));
        pieces.into_iter().try_for_each(|piece| frame::write(self.pipe, &Chunk::Bytes, piece))
    }
}

fn download(link: &mut Link, what: &Download<'_>, pipe: &mut UnixStream) -> io::Result<()> {
    let mut pieces = Pieces { pipe, begun: false };
    let done = link.download(what, &mut pieces);
    let Pieces { pipe, begun } = pieces;
    match done {
        Ok(Some(())) => frame::write(pipe, &Chunk::End, &[]),
        Ok(None) => frame::write(pipe, &Answer::Missing, &[]),
        Err(error) if begun => frame::write(pipe, &Chunk::Failed(error), &[]),
        Err(error) => frame::write(pipe, &Answer::Failed(error), &[]),
    }
}
