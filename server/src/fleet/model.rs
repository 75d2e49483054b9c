//! Hosts, join tokens and what may be said about them.

use crate::cmdb::CiId;
use crate::kernel::error::{Error, Refusal};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId, HostClass, PersonId};
use shared::keys::PublicKey;
use shared::limits;
use shared::strict::Map;
use shared::time::Timestamp;
use std::collections::BTreeMap;

/// Labels of one host; more would not be read by anybody.
const LABELS: usize = 32;
const LABEL_VALUE_BYTES: usize = 64;
const LABEL_NAME_BYTES: usize = 32;

pub type Labels = BTreeMap<String, String>;

/// Names are lower case words with `-`, `_` and `.`; values are short texts without control characters.
pub(super) fn check_labels(labels: Map<String, String>) -> Result<Labels, Error> {
    let bad =
        |name: &str| Refusal::unprocessable("host.bad_label").with("label", shared::strict::shorten(name));
    if labels.len() > LABELS {
        return Err(Refusal::unprocessable("host.too_many_labels").with("limit", LABELS).into());
    }
    for (name, value) in labels.iter() {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
        let name_ok = (1..=LABEL_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain);
        let value_ok = value.len() <= LABEL_VALUE_BYTES && !value.chars().any(char::is_control);
        if !name_ok || !value_ok {
            return Err(bad(name).into());
        }
    }
    Ok(labels.0)
}

/// Why a host is changed by hand: something that can be read later.
pub(super) fn check_reason(reason: &str) -> Result<(), Error> {
    if limits::is_text(reason) {
        return Ok(());
    }
    Err(Refusal::unprocessable("host.bad_reason").with("limit", limits::TEXT_BYTES).into())
}

/// A host name as it may stand in lists: 1 to 253 printable characters without spaces.
pub(super) fn check_hostname(name: &str) -> Result<(), Error> {
    let good = (1..=253).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic());
    if good { Ok(()) } else { Err(Refusal::unprocessable("join.bad_hostname").into()) }
}

/// A managed host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub agent: AgentId,
    pub key: PublicKey,
    pub ci: CiId,
    /// The entry that it got when it joined; another one than `ci` when it follows another host.
    pub joined_as: CiId,
    pub hostname: String,
    pub host_class: HostClass,
    pub labels: Labels,
    pub enabled: bool,
    /// Why the host gets no new work although it is enabled, for people.
    pub held: Option<String>,
    pub enrolment: Digest,
    /// Who let it in: the person that made the join token.
    pub invited_by: PersonId,
    pub enrolled: Timestamp,
    pub not_after: Timestamp,
    pub last_seen: Option<Timestamp>,
    /// The change with which it left for good.
    pub retired: Option<ChangeId>,
}

impl Host {
    /// Whether it has all of these labels, each with its value.
    pub fn has_labels<'l>(&self, wanted: impl IntoIterator<Item = (&'l String, &'l String)>) -> bool {
        wanted.into_iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// The end of a host's chain as this server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    pub ci: CiId,
    /// As of [`Host`]: what its receipts put on record is filed there.
    pub joined_as: CiId,
    /// Place of the last statement, from 1 (the enrolment).
    pub seq: u64,
    pub last: Digest,
    /// The database was restored and may have lost statements that the host does not keep any more.
    pub gap_allowed: bool,
}

/// What a check-in answers with, as far as fleet and CMDB know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub agent: AgentId,
    pub ci: CiId,
    pub enabled: bool,
    pub held: bool,
    pub next_seq: u64,
}
