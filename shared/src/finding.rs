//! Findings: where a host differs from what was approved for it, as the host says it, in its chain of statements.
//!
//! One finding stands for one cause: what was noticed together, of one approved state. Never: what becomes of it; the
//! disposition is the site's.

use crate::digest::Digest;
use crate::ids::{ChangeId, ResourceId};
use crate::limits;
use crate::receipt::{Chained, Header};
use crate::statement::{Predicate, Subject};
use crate::strict::{self, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Differences that one finding shows; the others are counted.
pub const SHOWN: usize = 100;
/// Bytes of all readable differences of one finding together.
pub const DIFFS_BYTES: usize = 256 << 10;

/// The approved state that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Expected {
    /// `team/name`.
    pub manifest: String,
    pub version: semver::Version,
    pub change_id: ChangeId,
    pub revision: u32,
    /// Digest of the change's statement.
    pub change: Digest,
}

/// Something that was done to packages and that no receipt of this host explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transaction {
    /// When it began, as the package manager wrote it down: local time of the host.
    pub when: String,
    /// The command line that began it; empty where none is on record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Who asked for it; empty where nobody is on record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl Transaction {
    fn is_short(&self) -> bool {
        [&self.when, &self.command, &self.by].into_iter().all(|text| text.len() <= limits::TEXT_BYTES)
    }
}

/// A part of the host that is watched whether or not a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Area {
    /// Users, groups, sudo rules, and the keys with which users log in.
    Accounts,
    /// Which units systemd starts at boot, and units that people have made.
    Units,
}

impl Area {
    pub const ALL: [Self; 2] = [Self::Accounts, Self::Units];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Units => "units",
        }
    }
}

/// What was noticed at one look at an area, and no run of the agent explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Noticed {
    pub area: Area,
    /// The look before: it was done since.
    pub since: Timestamp,
}

/// A start of the machine that no approved change asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Boot {
    /// When the machine started, by its own clock.
    pub at: Timestamp,
    pub boot_id: String,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum About {
    /// The host is not as an approved change left it.
    State(Expected),
    /// Packages were changed by somebody else.
    Packages(Transaction),
    /// Something that no manifest names was changed by somebody else.
    Noticed(Noticed),
    /// Somebody else, or a power cut, has restarted the machine.
    Boot(Boot),
}

impl About {
    pub fn state(&self) -> Option<&Expected> {
        match self {
            Self::State(expected) => Some(expected),
            Self::Packages(_) | Self::Noticed(_) | Self::Boot(_) => None,
        }
    }
}

/// One resource that is not as it was approved, or was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    pub resource: ResourceId,
    /// Digest of the approved state, as in [`crate::plan::Action::after`]; of the state before, of what was done.
    pub expected: Digest,
    /// Digest of what was found; absent when nothing is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Digest>,
    /// What would bring it back, or what was done, as one line.
    pub summary: String,
    /// From what was found (`-`) to what was approved (`+`); absent for secrets and where there is nothing to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Difference {
    /// The same difference, whatever is said about it.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.resource, self.expected, self.observed) == (&other.resource, other.expected, other.observed)
    }
}

/// Whether what was found is still so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Presence {
    There,
    /// The host is as approved again, or another approved change has taken the place of the state.
    Gone,
    /// It took place; that does not go away.
    Happened,
}

impl Presence {
    pub const ALL: [Self; 3] = [Self::There, Self::Gone, Self::Happened];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Gone => "gone",
            Self::Happened => "happened",
        }
    }
}

/// What a host found. It is said when it appears, when it looks otherwise and when it is gone; not with each check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub header: Header,
    /// The host's own count of its findings, from 1: later statements with it are about the same finding.
    pub number: u64,
    pub about: About,
    /// What others did to packages that has brought it about (of one that is gone: that has ended it), where the record of
    /// the package manager tells. One finding stands for both: what else was done is among the differences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Transaction>,
    /// Sorted by resource; at most [`SHOWN`].
    pub differences: Vec<Difference>,
    /// Differences that are not shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// How often it appeared or came to look otherwise.
    pub count: u32,
    /// It comes and goes, and is therefore said less often.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    pub presence: Presence,
    /// Why the host does not put it back, where its manifest wants that; one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Predicate for Finding {
    const TYPE: &'static str = "urn:assent:finding:v1";

    fn subjects(&self) -> Vec<Subject> {
        match &self.about {
            About::State(Expected { change_id, revision, change, .. }) => {
                vec![Subject::new(format!("change:{change_id}.{revision}"), *change)]
            }
            About::Packages(_) | About::Noticed(_) | About::Boot(_) => {
                vec![Subject::new(format!("agent:{}", self.header.agent_id), self.header.key.digest())]
            }
        }
    }
}

impl Chained for Finding {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Finding {
    /// The rules that a reader may rely on.
    ///
    /// # Errors
    /// No number, no or too many differences, out of order, too long texts, times that contradict each other.
    pub fn check(&self) -> Result<(), ReadError> {
        let invalid = |why: String| Err(ReadError::Invalid { what: Self::TYPE, why });
        if self.number == 0 || self.count == 0 {
            return invalid("number and count begin with 1".into());
        }
        if self.first_seen > self.last_seen {
            return invalid("it was first seen after it was last seen".into());
        }
        let event = self.about.state().is_none();
        if event != (self.presence == Presence::Happened) {
            return invalid("a state is there or gone; what was done has happened".into());
        }
        if event && self.cause.is_some() {
            return invalid("what was done has no cause besides".into());
        }
        if self.transaction().is_some_and(|done| !done.is_short()) {
            return invalid("what it says of the transaction is too long".into());
        }
        if let About::Boot(Boot { boot_id, .. }) = &self.about
            && boot_id.len() > limits::TEXT_BYTES
        {
            return invalid("its boot id is too long".into());
        }
        if self.note.len() > limits::TEXT_BYTES {
            return invalid("its note is too long".into());
        }
        if self.differences.is_empty() || self.differences.len() > SHOWN {
            return invalid(format!("it has {} differences; 1 to {SHOWN} are shown", self.differences.len()));
        }
        if !self.differences.is_sorted_by(|a, b| a.resource < b.resource) {
            return invalid("its differences are not in the order of their resources".into());
        }
        let diff = |d: &Difference| d.diff.as_ref().map_or(0, String::len);
        let long = |d: &&Difference| d.summary.len() > limits::TEXT_BYTES || diff(d) > limits::DIFF_BYTES;
        if let Some(long) = self.differences.iter().find(long) {
            return invalid(format!("what it says of {} is too long", long.resource));
        }
        match self.differences.iter().map(diff).sum::<usize>() {
            all if all > DIFFS_BYTES => invalid(format!("its differences have {all} bytes of text")),
            _ => Ok(()),
        }
    }

    /// What others did to packages: what it is about, or what it comes from.
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.about {
            About::Packages(done) => Some(done),
            About::State(_) | About::Noticed(_) | About::Boot(_) => self.cause.as_ref(),
        }
    }

    /// The resources in one line, such as `file:/etc/motd, file:/etc/issue +3`.
    pub fn named(&self) -> String {
        const NAMED: usize = 3;
        let named: Vec<&str> = self.differences.iter().take(NAMED).map(|d| d.resource.as_str()).collect();
        let rest = self.differences.len() - named.len() + self.more as usize;
        let named = named.join(", ");
        if rest == 0 { named } else { format!("{named} +{rest}") }
    }

    /// What equal findings of several hosts have in common.
    pub fn fingerprint(&self) -> Digest {
        let differences = self.differences.iter().map(|d| (&d.resource, d.expected, d.observed));
        let differences: Vec<_> = differences.collect();
        let state = self.about.state().map(|Expected { manifest, version, .. }| (manifest, version));
        Digest::of(&strict::to_json(&(state, differences, self.more)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::receipt::open_chained;
    use crate::statement::Statement;

    fn site() -> crate::ids::SiteId {
        "00112233aabbccdd".parse().unwrap()
    }

    fn difference(resource: &str) -> Difference {
        Difference {
            resource: resource.parse().unwrap(),
            expected: Digest::of(b"approved"),
            observed: Some(Digest::of(b"found")),
            summary: "content".into(),
            diff: None,
        }
    }

    fn finding(key: &SigningKey) -> Finding {
        Finding {
            header: Header {
                site: site(),
                agent_id: key.public().agent_id(),
                key: key.public(),
                host_class: "server".parse().unwrap(),
                seq: 2,
                prev: Some(Digest::of(b"enrolment")),
                at: Timestamp(10),
                boot_id: "boot".into(),
                agent_version: semver::Version::new(0, 1, 0),
                log_seen: None,
            },
            number: 1,
            about: About::State(Expected {
                manifest: "ops/base".into(),
                version: semver::Version::new(1, 0, 0),
                change_id: "C-1".parse().unwrap(),
                revision: 1,
                change: Digest::of(b"change"),
            }),
            cause: None,
            differences: vec![difference("file:/etc/a"), difference("file:/etc/b")],
            more: 0,
            first_seen: Timestamp(5),
            last_seen: Timestamp(9),
            count: 1,
            flapping: false,
            note: String::new(),
            presence: Presence::There,
        }
    }

    fn done(when: &str) -> Transaction {
        Transaction { when: when.into(), command: "apt-get upgrade".into(), by: String::new() }
    }

    #[test]
    fn a_signed_finding_reads_back_and_belongs_to_its_host() {
        let key = SigningKey::from_seed(&[7; 32]);
        let said = Statement::sign(finding(&key), &key);
        let read = open_chained::<Finding>(&said.to_bytes(), &site()).unwrap();
        assert_eq!(read.body, said.body);
        read.body.check().unwrap();
        let caused = Finding { cause: Some(done("2026-11-20 17:00:00")), ..finding(&key) };
        caused.check().unwrap();
        assert_eq!(
            caused.fingerprint(),
            read.body.fingerprint(),
            "when it was done differs from host to host"
        );
        let forged = Statement::sign(finding(&key), &SigningKey::from_seed(&[8; 32]));
        assert!(open_chained::<Finding>(&forged.to_bytes(), &site()).is_err());
    }

    #[test]
    fn a_finding_that_contradicts_itself_is_refused() {
        let key = SigningKey::from_seed(&[7; 32]);
        type Break = fn(&mut Finding);
        let broken: [(Break, &str); 9] = [
            (|f| f.number = 0, "begin with 1"),
            (|f| f.first_seen = Timestamp(11), "first seen after"),
            (|f| f.presence = Presence::Happened, "there or gone"),
            (|f| f.differences.clear(), "0 differences"),
            (|f| f.cause = Some(done(&"x".repeat(5_000))), "the transaction is too long"),
            (
                |f| {
                    (f.presence, f.cause) = (Presence::Happened, Some(done("2026-11-20 17:00:00")));
                    f.about = About::Packages(done("2026-11-20 17:00:00"));
                },
                "no cause besides",
            ),
            (|f| f.differences.reverse(), "order"),
            (|f| f.differences = vec![difference("file:/etc/a"); 2], "order"),
            (|f| f.differences[1].diff = Some("x".repeat(64 << 10)), "file:/etc/b is too long"),
        ];
        for (breaks, why) in broken {
            let mut finding = finding(&key);
            breaks(&mut finding);
            assert!(finding.check().unwrap_err().to_string().contains(why), "{why}");
        }
    }

    #[test]
    fn equal_differences_of_two_hosts_have_one_fingerprint() {
        let (one, two) = (SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[9; 32]));
        let other = Finding { number: 12, count: 3, last_seen: Timestamp(99), ..finding(&two) };
        assert_eq!(finding(&one).fingerprint(), other.fingerprint());
        let mut less = finding(&one);
        less.differences.pop();
        assert_ne!(finding(&one).fingerprint(), less.fingerprint());
    }
}
