//! The server as the host sees it: the calls of the agent port, typed. A door to the outside.
//!
//! Never: trust in what comes back; everything is verified by whoever asked.

use crate::clock::Clock;
use crate::net::{Address, Call, Carrier, Download, Limits, NetError, Open, Reply, Sink};
use crate::nodes::{self, Nodes};
use crate::proxy::{Seal, Signing};
use crate::state::{Proxy, Site, State, StateError};
use crate::tls::{self, Trust};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::budgets::{AskSlots, Slots};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::limits;
use shared::strict;
use shared::wire::{
    Approve, AskProofs, FactsChange, FactsReport, Join, Joined, Problem, Proofs, Record, Recorded, Work,
};
use std::time::Duration;

const WORK: &str = "/agent/v1/work";
/// The same of a host that judges changes ([`shared::wire::AskWork`]).
const WORK_JUDGES: &str = "/agent/v1/work?judges=true";
/// On the second line nothing is worth waiting for.
const SECOND_LINE: Duration = Duration::from_secs(10);
/// A work list may carry many author-signed changes.
const WORK_BYTES: u64 = 16 << 20;
/// A proof is a few hundred hashes at most.
const PROOF_BYTES: u64 = 1 << 20;
const SLOTS: &str = "/agent/v1/slots";
const FACTS: &str = "/agent/v1/facts";

/// The answer to a check-in.
#[derive(Debug, Clone)]
pub enum CheckIn {
    Unchanged,
    News { work: Box<Work>, etag: Option<String> },
}

/// The calls of the agent port. Each may be repeated without harm.
pub trait Server {
    /// Asks for work; `etag` is of the last answer, and `judges` says that changes were judged in the last tick.
    fn check_in(&mut self, etag: Option<&str>, judges: bool) -> Result<CheckIn, NetError>;
    /// Whether the server answers on a new connection, within a time for all of its addresses together.
    fn reach(&mut self, within: Duration) -> Result<(), NetError>;
    /// A file of the site repository; `None` when it does not exist.
    fn repository_file(&mut self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, NetError>;
    fn send_plan(&mut self, plan: &Envelope) -> Result<(), NetError>;
    /// A plan that this host made and lost.
    fn own_plan(&mut self, digest: &Digest) -> Result<Option<Envelope>, NetError>;
    fn record(&mut self, record: &Record) -> Result<Recorded, NetError>;
    /// Asks for slots of budgets, keeps them or gives them back.
    fn slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError>;
    /// Brings a person's word that came here by hand.
    fn bring_word(&mut self, word: &Approve) -> Result<(), NetError>;
    /// Asks for proofs that statements are in the ledger.
    fn proofs(&mut self, wanted: &AskProofs) -> Result<Proofs, NetError>;
    fn send_facts(&mut self, report: &FactsReport) -> Result<(), NetError>;
    /// Sends what changed in the facts; a server that holds others than it starts from refuses.
    fn change_facts(&mut self, change: &FactsChange) -> Result<(), NetError>;
    /// Tells what health checks say outside of runs.
    fn send_health(&mut self, report: &Envelope) -> Result<(), NetError>;
    /// Streams an artifact; `from` bytes are there already. `None` when the server does not have it.
    fn artifact(
        &mut self,
        sha256: &Digest,
        from: u64,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<()>, NetError>;
    /// Asks for a new certificate with a signed `Renewal`.
    fn renew(&mut self, renewal: &Envelope) -> Result<Joined, NetError>;
    /// Uses a new certificate from now on.
    fn use_trust(&mut self, trust: &Trust) -> Result<(), NetError>;
    /// Which address is in use, where there are several.
    fn in_use(&self) -> Option<String> {
        None
    }
    /// What this address answered cannot be used: the next call goes to another one, where there are several.
    fn look_elsewhere(&mut self) {}
    /// A line beside this one; none where there can be none.
    fn second_line(&self) -> Option<Box<dyn Line>> {
        None
    }
}

/// A second line to the server, for what is told beside a run.
pub trait Line: Send {
    /// Tells of a running change.
    fn tell(&mut self, message: &Envelope) -> Result<(), NetError>;
    /// Keeps the slots of a running change.
    fn keep_slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError>;
    /// Whether the server has something new since the last call; the first time it has.
    fn has_news(&mut self) -> Result<bool, NetError>;
}

/// Opened at its first call, by whoever calls.
struct SecondLine {
    link: nodes::Line,
    etag: Option<String>,
}

impl Line for SecondLine {
    fn tell(&mut self, message: &Envelope) -> Result<(), NetError> {
        let path = "/agent/v1/progress";
        let call = Call::send(Method::POST, path, message.to_bytes(), 0);
        accepted(path, self.link.call(&call)?).map(drop)
    }

    fn keep_slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError> {
        read(
            SLOTS,
            self.link.call(&Call::send(Method::POST, SLOTS, strict::to_json(ask), PROOF_BYTES))?,
            PROOF_BYTES,
        )
    }

    fn has_news(&mut self) -> Result<bool, NetError> {
        let etag = self.etag.clone();
        let reply = self.link.call(&Call { etag: etag.as_deref(), ..Call::get(WORK, WORK_BYTES) })?;
        let news = reply.status != StatusCode::NOT_MODIFIED;
        if news {
            self.etag.clone_from(&reply.etag);
            accepted(WORK, reply)?;
        }
        Ok(news)
    }
}

/// Opens lines to the agent port.
#[derive(Clone)]
struct Opener {
    open: Open,
    nodes: Nodes,
    clock: Clock,
    /// Behind a proxy every request is signed, for the address that it goes to.
    seal: Option<Seal>,
}

impl Opener {
    fn line(&self, trust: &Trust, limits: Limits) -> nodes::Line {
        let (opener, trust) = (self.clone(), trust.clone());
        let open = move |address: &Address, limits| opener.link(address, &trust, limits);
        nodes::Line::new(self.nodes.clone(), limits, Box::new(open))
    }

    fn link(&self, address: &Address, trust: &Trust, limits: Limits) -> Result<Box<dyn Carrier>, NetError> {
        let inner = (self.open)(address.clone(), trust, &self.clock, limits)?;
        Ok(match &self.seal {
            Some(seal) => Box::new(Signing { inner, seal: seal.clone(), audience: address.to_string() }),
            None => inner,
        })
    }
}

/// The real server: a kept connection to the agent port, and the people port when a certificate is renewed.
pub struct Remote {
    opener: Opener,
    link: nodes::Line,
    trust: Trust,
    site: Site,
    limits: Limits,
}

impl Remote {
    /// Makes no contact yet. `more` are other addresses of the agent port, for when the one of the state does not answer.
    ///
    /// # Errors
    /// Addresses, certificates or keys of the state that cannot be used.
    pub fn new(
        state: &State,
        clock: &Clock,
        limits: Limits,
        more: &[Address],
        open: Open,
    ) -> Result<Self, NetError> {
        let site = state.site().clone();
        let trust = stored_trust(state)?;
        let (address, clock) = (address(&site.agent_address)?, clock.clone());
        let seal = site.proxy.as_ref().map(|_| Seal {
            key: state.shared_key(),
            site: site.site.clone(),
            clock: clock.clone(),
        });
        let opener = Opener { open, nodes: Nodes::new(address, more), clock, seal };
        let link = opener.line(&trust, limits).opened()?;
        Ok(Self { opener, link, trust, site, limits })
    }
}

/// Whom the host believes to be there before it has a certificate, and behind a proxy always.
///
/// # Errors
/// No pin, or authorities that cannot be read.
pub fn door_trust(pin: Option<Digest>, proxy: Option<&Proxy>, address: &str) -> Result<Trust, NetError> {
    let neither = || NetError::Tls {
        address: address.to_owned(),
        why: "site.json has neither a pin nor a proxy; join this host again".into(),
    };
    match (proxy, pin) {
        (Some(proxy), _) => proxy.trust(address),
        (None, pin) => pin.map(Trust::Pinned).ok_or_else(neither),
    }
}

/// The certificates and the key in the state directory; behind a proxy, what the proxy must show.
///
/// # Errors
/// The disk's.
pub fn stored_trust(state: &State) -> Result<Trust, NetError> {
    let site = state.site();
    if site.proxy.is_some() {
        return door_trust(site.pin, site.proxy.as_ref(), &site.agent_address);
    }
    let read = |name: &str| {
        let unusable = |why| StateError::Unusable { path: state.dir().join(name), why };
        let bytes = state.read_file(name)?.ok_or_else(|| unusable("it is missing".into()))?;
        tls::check(name, &bytes).map_err(unusable)?;
        Ok(bytes)
    };
    let get = |name: &str| {
        read(name).map_err(|e: StateError| NetError::Tls {
            address: state.site().agent_address.clone(),
            why: e.to_string(),
        })
    };
    Ok(Trust::Site { ca: get("ca.crt")?, certificate: get("tls.crt")?, key: get("tls.key")? })
}

fn address(text: &str) -> Result<Address, NetError> {
    let invalid = |why| NetError::Unreachable { address: text.to_owned(), why };
    text.parse().map_err(invalid)
}

impl Server for Remote {
    fn check_in(&mut self, etag: Option<&str>, judges: bool) -> Result<CheckIn, NetError> {
        let path = if judges { WORK_JUDGES } else { WORK };
        let reply = self.link.call(&Call { etag, ..Call::get(path, WORK_BYTES) })?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(CheckIn::Unchanged);
        }
        let etag = reply.etag.clone();
        let work = read(WORK, reply, WORK_BYTES);
        if matches!(work, Err(NetError::Protocol { .. })) {
            self.link.leave();
        }
        Ok(CheckIn::News { work: Box::new(work?), etag })
    }

    fn reach(&mut self, within: Duration) -> Result<(), NetError> {
        let each = within / self.opener.nodes.count();
        let short = Limits {
            connect: self.limits.connect.min(each),
            request: self.limits.request.min(each),
            ..self.limits
        };
        self.link.begin_anew(short);
        let reply =
            self.link.call(&Call::get("/agent/v1/tuf/timestamp.json", limits::TUF_TIMESTAMP_BYTES as u64));
        self.link.begin_anew(self.limits);
        reply.map(drop)
    }

    fn repository_file(&mut self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, NetError> {
        let path = format!("/agent/v1/tuf/{name}");
        found(&path, self.link.call(&Call::get(&path, max_bytes))?)
    }

    fn send_plan(&mut self, plan: &Envelope) -> Result<(), NetError> {
        let path = "/agent/v1/plans";
        accepted(path, self.link.call(&Call::send(Method::POST, path, plan.to_bytes(), 0))?).map(drop)
    }

    fn own_plan(&mut self, digest: &Digest) -> Result<Option<Envelope>, NetError> {
        let path = format!("/agent/v1/plans/{digest}");
        let bytes = found(&path, self.link.call(&Call::get(&path, limits::ENVELOPE_BYTES as u64))?)?;
        let invalid = |e: strict::ReadError| NetError::Protocol { what: path.clone(), why: e.to_string() };
        bytes.map(|bytes| Envelope::parse(&bytes).map_err(invalid)).transpose()
    }

    fn record(&mut self, record: &Record) -> Result<Recorded, NetError> {
        post(&mut self.link, Method::POST, "/agent/v1/statements", record)
    }

    fn slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError> {
        post(&mut self.link, Method::POST, SLOTS, ask)
    }

    fn bring_word(&mut self, word: &Approve) -> Result<(), NetError> {
        let path = "/agent/v1/words";
        accepted(path, self.link.call(&Call::send(Method::POST, path, strict::to_json(word), 0))?).map(drop)
    }

    fn proofs(&mut self, wanted: &AskProofs) -> Result<Proofs, NetError> {
        post(&mut self.link, Method::POST, "/agent/v1/proofs", wanted)
    }

    fn send_facts(&mut self, report: &FactsReport) -> Result<(), NetError> {
        accepted(FACTS, self.link.call(&Call::send(Method::PUT, FACTS, strict::to_json(report), 0))?)
            .map(drop)
    }

    fn change_facts(&mut self, change: &FactsChange) -> Result<(), NetError> {
        accepted(FACTS, self.link.call(&Call::send(Method::PATCH, FACTS, strict::to_json(change), 0))?)
            .map(drop)
    }

    fn send_health(&mut self, report: &Envelope) -> Result<(), NetError> {
        let path = "/agent/v1/health";
        accepted(path, self.link.call(&Call::send(Method::POST, path, report.to_bytes(), 0))?).map(drop)
    }

    fn artifact(
        &mut self,
        sha256: &Digest,
        from: u64,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<()>, NetError> {
        let path = format!("/agent/v1/artifacts/{sha256}");
        self.link.download(&Download { path: &path, from, length, proof: None }, sink)
    }

    fn renew(&mut self, renewal: &Envelope) -> Result<Joined, NetError> {
        let trust = door_trust(self.site.pin, self.site.proxy.as_ref(), &self.site.server)?;
        let Opener { open, nodes, clock, .. } = &self.opener;
        let (own, port) = (address(&self.site.agent_address)?, address(&self.site.server)?);
        // The people port of a node is where its agent port is, at the port that the join command named.
        let door = |node: &Address| if *node == own { port.clone() } else { node.at_port_of(&port) };
        let mut doors = nodes.from_current().map(door);
        let first = doors.next().unwrap_or_else(|| port.clone());
        let more: Vec<Address> = doors.collect();
        let (open, clock) = (*open, clock.clone());
        let opening = move |address: &Address, limits| open(address.clone(), &trust, &clock, limits);
        let mut people = nodes::Line::new(Nodes::new(first, &more), self.limits, Box::new(opening));
        post(&mut people, Method::POST, "/v1/renew", &Renew { envelope: renewal })
    }

    fn use_trust(&mut self, trust: &Trust) -> Result<(), NetError> {
        self.link = self.opener.line(trust, self.limits).opened()?;
        self.trust = trust.clone();
        Ok(())
    }

    fn in_use(&self) -> Option<String> {
        self.opener.nodes.several().then(|| self.opener.nodes.current().to_string())
    }

    fn look_elsewhere(&mut self) {
        self.link.leave();
    }

    fn second_line(&self) -> Option<Box<dyn Line>> {
        let Limits { connect, request, min_rate } = self.limits;
        let (connect, request) = (connect.min(SECOND_LINE), request.min(SECOND_LINE));
        let limits = Limits { connect, request, min_rate };
        Some(Box::new(SecondLine { link: self.opener.line(&self.trust, limits), etag: None }))
    }
}

#[derive(Serialize)]
struct Renew<'a> {
    envelope: &'a Envelope,
}

/// Joins a site (people port, pinned key).
///
/// # Errors
/// No answer, or the server's refusal.
pub fn join(link: &mut dyn Carrier, join: &Join) -> Result<Joined, NetError> {
    post(link, Method::POST, "/v1/join", join)
}

fn post<T: DeserializeOwned>(
    link: &mut dyn Carrier,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> Result<T, NetError> {
    let reply = link.call(&Call::send(method, path, strict::to_json(body), PROOF_BYTES))?;
    read(path, reply, PROOF_BYTES)
}

fn read<T: DeserializeOwned>(path: &str, reply: Reply, limit: u64) -> Result<T, NetError> {
    let body = accepted(path, reply)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let protocol = |e: strict::ReadError| NetError::Protocol { what: path.into(), why: e.to_string() };
    strict::from_json("the answer", &body, limit).map_err(protocol)
}

fn found(path: &str, reply: Reply) -> Result<Option<Vec<u8>>, NetError> {
    if reply.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    accepted(path, reply).map(Some)
}

/// The body of a success; anything else as the refusal that the server gave, or a protocol error.
fn accepted(path: &str, reply: Reply) -> Result<Vec<u8>, NetError> {
    if reply.status.is_success() {
        return Ok(reply.body);
    }
    let (what, status) = (path.to_owned(), reply.status.as_u16());
    let retry_after_secs = reply.retry_after_secs;
    match strict::from_json::<Problem>("the problem", &reply.body, reply.body.len()) {
        Ok(Problem { code, detail, why, .. }) => {
            let message = format!("{detail} ({why})");
            let (code, message) = (strict::shorten(&code), strict::shorten(&message));
            Err(NetError::Refused { what, status, code, message, retry_after_secs })
        }
        Err(_) => Err(NetError::Protocol { what, why: format!("status {status} without a readable reason") }),
    }
}
