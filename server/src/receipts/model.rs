//! Statements of hosts: reading them, and their place in the host's chain. Pure.

use crate::fleet::ChainHead;
use crate::kernel::error::{Error, Refusal as Refused};
use crate::ledger::Document;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::Finding;
use shared::ids::{AgentId, ChangeId, SiteId};
use shared::ledger::LeafKind;
use shared::ledger::leaf::NotALeaf;
use shared::receipt::{Header, HostOutcome, Receipt, Refusal, open_chained};
use shared::reset::TrustReset;
use shared::statement::{Predicate, Statement, type_of};
use shared::summary::Summary;
use shared::time::Timestamp;

/// A statement that a host signed with its own key, for this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// With what the host says of it to gates.
    Receipt(Box<Statement<Receipt>>, Option<Envelope>),
    Refusal(Box<Statement<Refusal>>),
    Finding(Box<Statement<Finding>>),
    TrustReset(Box<Statement<TrustReset>>),
}

impl Incoming {
    /// Verifies signature, site, and that the connected host speaks for itself.
    pub fn open(envelope: &Envelope, site: &SiteId, connected: AgentId) -> Result<Self, Error> {
        let bytes = envelope.to_bytes();
        let kind = type_of(envelope).map_err(|error| bad(error.to_string()))?;
        let incoming = match kind.as_str() {
            Receipt::TYPE => {
                open_chained(&bytes, site).map(|statement| Self::Receipt(Box::new(statement), None))
            }
            Refusal::TYPE => open_chained(&bytes, site).map(|statement| Self::Refusal(Box::new(statement))),
            Finding::TYPE => open_chained::<Finding>(&bytes, site).and_then(|statement| {
                statement.body.check()?;
                Ok(Self::Finding(Box::new(statement)))
            }),
            TrustReset::TYPE => {
                open_chained(&bytes, site).map(|statement| Self::TrustReset(Box::new(statement)))
            }
            other => return Err(bad(format!("{:?} is not sent here", shared::strict::shorten(other))).into()),
        };
        let incoming = incoming.map_err(|error| bad(error.to_string()))?;
        let claimed = incoming.header().agent_id;
        if claimed != connected {
            return Err(Refused::forbidden("statement.other_host").with("agent", claimed).into());
        }
        Ok(incoming)
    }

    /// With what the host says of its receipt to gates.
    pub fn with_summary(mut self, envelope: Option<Envelope>) -> Result<Self, Error> {
        let Some(envelope) = envelope else { return Ok(self) };
        let Self::Receipt(statement, summary) = &mut self else {
            return Err(bad("only a receipt has a summary".into()).into());
        };
        Summary::check(&envelope, statement).map_err(|error| bad(error.to_string()))?;
        *summary = Some(envelope);
        Ok(self)
    }

    pub fn header(&self) -> &Header {
        match self {
            Self::Receipt(statement, _) => &statement.body.header,
            Self::Refusal(statement) => &statement.body.header,
            Self::Finding(statement) => &statement.body.header,
            Self::TrustReset(statement) => &statement.body.header,
        }
    }

    pub fn digest(&self) -> Digest {
        match self {
            Self::Receipt(statement, _) => statement.digest,
            Self::Refusal(statement) => statement.digest,
            Self::Finding(statement) => statement.digest,
            Self::TrustReset(statement) => statement.digest,
        }
    }

    pub fn change(&self) -> Option<(ChangeId, Option<u32>)> {
        match self {
            Self::Receipt(statement, _) => {
                Some((statement.body.change_id.clone(), Some(statement.body.revision)))
            }
            Self::Refusal(statement) => Some((statement.body.change_id.clone()?, statement.body.revision)),
            Self::Finding(statement) => {
                let expected = statement.body.about.state()?;
                Some((expected.change_id.clone(), Some(expected.revision)))
            }
            Self::TrustReset(_) => None,
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Receipt(statement, _) => statement.to_bytes(),
            Self::Refusal(statement) => statement.to_bytes(),
            Self::Finding(statement) => statement.to_bytes(),
            Self::TrustReset(statement) => statement.to_bytes(),
        }
    }

    pub(super) fn document(&self) -> Result<Document, NotALeaf> {
        let kind = match self {
            Self::Receipt(..) => LeafKind::Receipt,
            Self::Refusal(_) => LeafKind::Refusal,
            Self::Finding(_) => LeafKind::Finding,
            Self::TrustReset(_) => LeafKind::TrustReset,
        };
        let Header { agent_id, seq, .. } = self.header();
        let change = self.change().map(|(id, _)| id);
        Document::of_host(kind, self.digest(), (*agent_id, *seq), change, self.to_bytes())
    }
}

/// What becomes of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next of its chain.
    Next,
    /// As `Next`, but statements before it were lost with a restored database.
    NextAfterLoss { lost: u64 },
    /// It was recorded before.
    Again,
    /// Something before it is missing.
    Gap { expected: u64 },
    /// Its place in the chain belongs to another statement: two machines speak as one host.
    Fork,
    /// The host is not enrolled here.
    Unknown,
}

fn bad(detail: String) -> Refused {
    Refused::unprocessable("statement.invalid").with("detail", detail)
}

/// The place of a statement behind the chain's end. `known` says that it was recorded before.
pub(super) fn judge(head: Option<&ChainHead>, header: &Header, known: bool) -> Verdict {
    let Some(head) = head else { return Verdict::Unknown };
    let expected = head.seq + 1;
    match () {
        () if known => Verdict::Again,
        () if header.seq > expected && head.gap_allowed => {
            Verdict::NextAfterLoss { lost: header.seq - expected }
        }
        () if header.seq > expected => Verdict::Gap { expected },
        () if header.seq == expected && header.prev == Some(head.last) => Verdict::Next,
        () => Verdict::Fork,
    }
}

/// Something that a person must look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// Two different statements for one place of a host's chain.
    ChainFork,
    /// The end of a chain in the database was not its last statement.
    ChainEdited,
    /// A restored database had lost statements of this host.
    ChainLoss,
    /// Something in a host's chain has been missing for longer than a host needs to send it.
    ChainGap,
    /// A host saw another ledger than this one.
    LogContradiction,
    /// A host sent a statement that is not its own or not signed by it.
    Forged,
    /// One person broke the glass, and a host ran a change on that word alone.
    BrokenGlass,
    /// A host reports a run that nothing approved on this server covers.
    Unapproved,
}

impl AlarmKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChainFork => "chain_fork",
            Self::ChainEdited => "chain_edited",
            Self::ChainLoss => "chain_loss",
            Self::ChainGap => "chain_gap",
            Self::LogContradiction => "log_contradiction",
            Self::Forged => "forged",
            Self::BrokenGlass => "broken_glass",
            Self::Unapproved => "unapproved_run",
        }
    }
}

#[derive(Debug, Clone)]
pub struct NewAlarm {
    pub kind: AlarmKind,
    pub agent: AgentId,
    pub detail: String,
    /// Digest of what raised it; the same alarm is recorded once.
    pub evidence: Digest,
    /// The statement that was not recorded, if it is one.
    pub held: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Alarm {
    pub id: i64,
    pub at: Timestamp,
    pub kind: String,
    pub agent: String,
    pub detail: String,
    pub evidence: Digest,
}

/// A recorded receipt, as lists and exports need it; the statement itself is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptLine {
    pub statement: Digest,
    pub agent: AgentId,
    pub ci: crate::cmdb::CiId,
    pub seq: u64,
    pub change_id: ChangeId,
    pub revision: u32,
    pub wave: u32,
    pub outcome: HostOutcome,
    pub self_approved: bool,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub received: Timestamp,
    pub ledger_index: u64,
}

/// A recorded refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalLine {
    pub statement: Digest,
    pub agent: AgentId,
    pub seq: u64,
    pub change_id: Option<ChangeId>,
    pub revision: Option<u32>,
    pub code: String,
    pub message: String,
    pub retry_at: Option<Timestamp>,
    pub at: Timestamp,
    pub ledger_index: u64,
}
