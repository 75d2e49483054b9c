//! What the two processes say to each other: a head in JSON with a length, and a body of bytes.

use super::probe::Look;
use crate::net::{Address, Call, Limits, NetError};
use crate::tls::Trust;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::strict;
use std::io::{self, Read, Write};
use std::time::Duration;

/// A head: paths, and once the certificates of a site.
const HEAD_BYTES: u32 = 256 << 10;
/// Bytes of one piece of a download.
pub const CHUNK_BYTES: u64 = 64 << 10;

/// What is wanted of the network process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// First of all: the server, and whom it has to be; behind a proxy its body are the authorities that count, PEM.
    Open {
        address: String,
        trust: Given,
        limits: Limits,
    },
    /// Its body is that of the request.
    Call {
        method: String,
        path: String,
        etag: Option<String>,
        proof: Option<String>,
        max_bytes: u64,
        has_body: bool,
    },
    Download {
        path: String,
        from: u64,
        length: u64,
        proof: Option<String>,
    },
    /// Looks at something that is no server of the site; its body are the authorities that count there, PEM.
    Probe {
        look: Look,
        timeout: Duration,
    },
}

/// [`Trust`], as it is given away.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Given {
    Pinned(Digest),
    Site { ca: String, certificate: String, key: String },
    Proxy,
}

/// What the network process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Ready,
    /// Its body is that of the answer.
    Reply {
        status: u16,
        etag: Option<String>,
        retry_after_secs: Option<u32>,
    },
    /// A download begins; chunks follow.
    Part {
        continued: bool,
    },
    /// The server does not have what was to be downloaded.
    Missing,
    /// What was looked at is there; its body is that of the answer.
    Seen {
        status: Option<u16>,
    },
    NotSeen {
        why: String,
    },
    Failed(NetError),
}

/// A piece of a download.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Chunk {
    Bytes,
    End,
    Failed(NetError),
}

impl Question {
    pub fn open(address: &Address, trust: &Trust, limits: Limits) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let trust = match trust {
            Trust::Pinned(pin) => Given::Pinned(*pin),
            Trust::Site { ca, certificate, key } => {
                Given::Site { ca: text(ca), certificate: text(certificate), key: text(key) }
            }
            Trust::Proxy { .. } => Given::Proxy,
        };
        Self::Open { address: address.to_string(), trust, limits }
    }

    pub fn call(call: &Call<'_>) -> Self {
        Self::Call {
            method: call.method.to_string(),
            path: call.path.to_owned(),
            etag: call.etag.map(str::to_owned),
            proof: call.proof.map(str::to_owned),
            max_bytes: call.max_bytes,
            has_body: call.body.is_some(),
        }
    }
}

impl Given {
    /// `body` is that of the question.
    pub fn trust(self, body: Vec<u8>) -> Trust {
        match self {
            Self::Pinned(pin) => Trust::Pinned(pin),
            Self::Site { ca, certificate, key } => {
                Trust::Site { ca: ca.into(), certificate: certificate.into(), key: key.into() }
            }
            Self::Proxy => Trust::Proxy { authorities: body },
        }
    }
}

pub fn write(to: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = strict::to_json(head);
    let length = u32::try_from(head.len()).ok().filter(|length| *length <= HEAD_BYTES);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a head is too large"))?;
    let mut bytes = Vec::with_capacity(head.len() + body.len() + 12);
    bytes.extend(length.to_be_bytes());
    bytes.extend((body.len() as u64).to_be_bytes());
    bytes.extend(head);
    bytes.extend(body);
    to.write_all(&bytes)
}

/// Reads one frame; `most` says by its head how large its body may be.
pub fn read<T: DeserializeOwned>(
    from: &mut impl Read,
    most: impl FnOnce(&T) -> u64,
) -> io::Result<(T, Vec<u8>)> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let (mut head, mut body) = ([0; 4], [0; 8]);
    from.read_exact(&mut head)?;
    from.read_exact(&mut body)?;
    let (head, body) = (u32::from_be_bytes(head), u64::from_be_bytes(body));
    if head > HEAD_BYTES {
        return Err(invalid("a head is too large"));
    }
    let mut text = vec![0; head as usize];
    from.read_exact(&mut text)?;
    let head: T = strict::from_json("a head", &text, text.len()).map_err(|e| invalid(&e.to_string()))?;
    if body > most(&head) {
        return Err(invalid("a body is larger than was asked for"));
    }
    let mut bytes = Vec::new();
    if from.take(body).read_to_end(&mut bytes)? as u64 != body {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head, bytes))
}

pub fn ask(
    pipe: &mut (impl Read + Write),
    question: &Question,
    body: &[u8],
    most: impl FnOnce(&Answer) -> u64,
) -> io::Result<(Answer, Vec<u8>)> {
    write(pipe, question, body)?;
    read(pipe, most)
}
