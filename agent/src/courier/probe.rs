//! Looks that health checks take from outside, each through a network process of its own: what answers there is
//! nobody's to trust, so the process that hears it holds no certificate and no connection to the server.

use super::frame::{self, Answer, Question};
use super::{Timed, http, launch};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// What starting a process and handing over an answer may take on top of the look's own time.
const MARGIN: Duration = Duration::from_secs(5);

/// Of a reason for people.
const WHY_CHARS: usize = 1_000;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Look {
    /// Whether a connection is accepted; it is closed again.
    Tcp { host: String, port: u16 },
    /// One GET request; redirects are not followed.
    Http { url: String },
}

impl Look {
    /// Whether the authorities of the host have to vouch for who answers.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Http { url } if url.starts_with("https://"))
    }
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Accepts,
    /// Status and at most the first 64 KiB of the body.
    Http {
        status: u16,
        body: Vec<u8>,
    },
}

/// Starts a network process for each look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prober {
    program: Vec<String>,
}

impl Prober {
    /// With the network process of this program.
    pub fn own() -> Self {
        Self::with(&super::OWN)
    }

    /// With another program at the other end.
    pub fn with(program: &[&str]) -> Self {
        Self { program: program.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// Looks once. `authorities` is the host's bundle of certificates, PEM, for https; `timeout` covers everything,
    /// name resolution included.
    ///
    /// # Errors
    /// One line for people.
    pub fn look(&self, look: &Look, authorities: &[u8], timeout: Duration) -> Result<Seen, String> {
        let fails = |e: &io::Error| format!("the network process does not work: {e}");
        let mut running = launch(&self.program).map_err(|e| fails(&e))?;
        let mut pipe = Timed::new(&mut running.pipe, timeout.saturating_add(MARGIN));
        let question = Question::Probe { look: look.clone(), timeout };
        let most = |answer: &Answer| match answer {
            Answer::Seen { .. } => http::BODY_BYTES as u64,
            _ => 0,
        };
        match (frame::ask(&mut pipe, &question, authorities, most), look) {
            (Ok((Answer::Seen { status: None }, _)), Look::Tcp { .. }) => Ok(Seen::Accepts),
            (Ok((Answer::Seen { status: Some(status) }, body)), Look::Http { .. }) => {
                Ok(Seen::Http { status, body })
            }
            (Ok((Answer::NotSeen { why }, _)), _) => Err(why),
            (Ok(_), _) => Err(fails(&super::out_of_turn())),
            (Err(e), _) if e.kind() == ErrorKind::TimedOut => Err(http::LATE.to_owned()),
            (Err(e), _) => Err(fails(&e)),
        }
    }
}

/// Inside of the network process: the look itself, and the body that goes with its answer.
pub fn answer(look: &Look, authorities: &[u8], timeout: Duration) -> (Answer, Vec<u8>) {
    let seen = match look {
        Look::Tcp { host, port } => http::connect(host, *port, timeout).map(|_| (None, Vec::new())),
        Look::Http { url } => {
            http::get(url, timeout, authorities).map(|answer| (Some(answer.status), answer.body))
        }
    };
    match seen {
        Ok((status, body)) => (Answer::Seen { status }, body),
        Err(why) => (Answer::NotSeen { why: why.chars().take(WHY_CHARS).collect() }, Vec::new()),
    }
}
