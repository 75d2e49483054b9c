//! Typed ids. Each is parsed once, at the edge; a value of the type is always well-formed.

use crate::digest::{Digest, hex, unhex};
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct NotAnId {
    kind: &'static str,
    rule: &'static str,
    text: String,
}

macro_rules! name_id {
    ($(#[doc = $doc:literal])* $type:ident, $kind:literal, $rule:literal, $schema:tt, $valid:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(NotAnId { kind: $kind, rule: $rule, text: strict::shorten(text) })
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        strict::text_serde!($type);
        strict::text_schema!($type, concat!($($doc),*), $schema);
    };
}

fn lower_name(text: &str, longest: usize) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=longest).contains(&text.len())
        && text.bytes().all(inner)
        && text.as_bytes()[0].is_ascii_lowercase()
        && !text.ends_with('-')
        && !text.contains("--")
}

/// As a lower name, but words may be parted by `_` as well.
fn is_kind(kind: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = kind.as_bytes();
    (1..=32).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|c| is_word(*c) || matches!(c, b'-' | b'_'))
        && bytes.windows(2).all(|two| two.iter().any(|c| is_word(*c)))
        && bytes.last().is_some_and(|c| is_word(*c))
}

fn is_year_number(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some("S" | "N" | "E" | "R"), Some(year), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_number = |digits: &str| digits.bytes().all(|c| c.is_ascii_digit());
    // Filled up to four digits and never further, so that each number is written in one way.
    let filled = number.len() == 4 || !number.starts_with('0');
    year.len() == 4
        && is_number(year)
        && (4..=9).contains(&number.len())
        && is_number(number)
        && number != "0000"
        && filled
}

impl YearNumber {
    /// Kind and year, such as `N` and 2026.
    pub fn of_kind(&self) -> (&str, u16) {
        let year = self.0.get(2..6).and_then(|year| year.parse().ok());
        (self.0.get(..1).unwrap_or_default(), year.unwrap_or_default())
    }
}

fn is_resource(text: &str) -> bool {
    let printable = || text.bytes().all(|c| (0x20..0x7f).contains(&c)) || !text.chars().any(char::is_control);
    text.len() <= 300
        && text.split_once(':').is_some_and(|(kind, what)| is_kind(kind) && !what.is_empty())
        && printable()
}

impl ResourceId {
    /// `kind:what`; `None` when that is no id.
    pub(crate) fn of(kind: &str, what: &str) -> Option<Self> {
        let mut text = String::with_capacity(kind.len() + 1 + what.len());
        text.extend([kind, ":", what]);
        is_resource(&text).then_some(Self(text))
    }
}

name_id!(
    /// One installation: 16 hex digits, derived from its first root.
    SiteId, "site id", "16 lower-case hex digits",
    { "pattern": "^[0-9a-f]{16}$" },
    |t| unhex::<8>(t).is_some()
);
name_id!(
    /// A person of the policy, such as `lead` or `p-7`.
    PersonId, "person id", "1 to 32 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 32 },
    |t| lower_name(t, 32)
);
name_id!(
    /// A publishing team; names the repository role `content.<team>`.
    Team, "team name", "1 to 32 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 32 },
    |t| lower_name(t, 32)
);
name_id!(
    /// The name of a manifest within its team.
    ManifestName, "manifest name", "1 to 64 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 64 },
    |t| lower_name(t, 64)
);
name_id!(
    /// A host class, pinned in a file on the host at enrolment (`production`, `lab`, …).
    HostClass, "host class", "1 to 32 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 32 },
    |t| lower_name(t, 32)
);
name_id!(
    /// A model of standard changes in the policy, such as `web-patches`.
    ModelName, "model name", "1 to 32 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 32 },
    |t| lower_name(t, 32)
);
name_id!(
    /// A group of persons in the policy, such as `database-owners`.
    GroupName, "group name", "1 to 32 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 32 },
    |t| lower_name(t, 32)
);
name_id!(
    /// A disruption budget, such as `database-primaries`.
    BudgetName, "name of a budget", "1 to 40 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40 },
    |t| lower_name(t, 40)
);
name_id!(
    /// A series of changes that come again, such as `patch-day`.
    SeriesName, "name of a series", "1 to 40 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40 },
    |t| lower_name(t, 40)
);
name_id!(
    /// A subscription to news, such as `chat`.
    WebhookName, "name of a webhook", "1 to 40 of a-z, 0-9 and single '-', starting with a letter",
    { "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40 },
    |t| lower_name(t, 40)
);
name_id!(
    /// A change: `C-` and a number from 1, allotted by the server.
    ChangeId, "change id", "C- and a number, such as C-114",
    { "pattern": "^C-[1-9][0-9]{0,11}$" },
    |t| t.strip_prefix("C-").is_some_and(|n| {
        (1..=12).contains(&n.len()) && n.bytes().all(|c| c.is_ascii_digit()) && !n.starts_with('0')
    })
);
name_id!(
    /// A number of the year: S, N, E or R (standard, normal, emergency, retroactive), the year, and a number without gaps.
    YearNumber, "number of the year", "S, N, E or R, the year and a number of four digits or more, such as N-2026-0014",
    { "pattern": "^[SNER]-[0-9]{4}-(0{3}[1-9]|0{2}[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3,8})$" },
    is_year_number
);
name_id!(
    /// A resource within a manifest: `kind:what`, such as `file:/etc/motd`.
    ResourceId, "resource id", "kind:what, at most 300 characters, no control characters",
    {
        "pattern": "^[a-z][a-z0-9]*([-_][a-z0-9]+)*:[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "maxLength": 300
    },
    is_resource
);

/// A change as people name it: by its id, or by its number of the year. No text is both. What is signed has the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeRef {
    Id(ChangeId),
    Number(YearNumber),
}

impl FromStr for ChangeRef {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id = text.parse().map(Self::Id);
        id.or_else(|_| text.parse().map(Self::Number)).map_err(|_: NotAnId| NotAnId {
            kind: "change",
            rule: "its id, such as C-114, or its number of the year, such as N-2026-0014",
            text: strict::shorten(text),
        })
    }
}

impl fmt::Display for ChangeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl From<ChangeId> for ChangeRef {
    fn from(id: ChangeId) -> Self {
        Self::Id(id)
    }
}

strict::text_serde!(ChangeRef);
strict::text_schema!(
    ChangeRef,
    "A change: its id, or its number of the year.",
    {
        "pattern": "^(C-[1-9][0-9]{0,11}|[SNER]-[0-9]{4}-(0{3}[1-9]|0{2}[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3,8}))$"
    }
);

/// A host's identity: the first 128 bit of the SHA-256 of its own ed25519 public key (32 hex digits).
///
/// Self-certifying: whoever holds a public key can check the id, so no directory can redirect it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId([u8; 16]);

impl AgentId {
    /// The id that belongs to a raw 32-byte ed25519 public key.
    pub fn of_key(public: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&Digest::of(public).0[..16]);
        Self(id)
    }
}

impl FromStr for AgentId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bad =
            || NotAnId { kind: "agent id", rule: "32 lower-case hex digits", text: strict::shorten(text) };
        unhex(text).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent:{self}")
    }
}

strict::text_serde!(AgentId);
strict::text_schema!(
    AgentId,
    "A host's identity: the first 128 bit of the SHA-256 of its own ed25519 public key.",
    { "pattern": "^[0-9a-f]{32}$" }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_when_they_are_made() {
        for good in ["C-1", "C-114", "C-999999999999"] {
            assert_eq!(good.parse::<ChangeId>().unwrap().as_str(), good);
        }
        for bad in ["", "C-", "C-0", "C-01", "c-1", "C-1/../x", "C-1234567890123"] {
            assert!(bad.parse::<ChangeId>().is_err(), "{bad}");
        }
        for good in ["S-2026-0001", "N-2026-0014", "E-2026-9999", "R-2026-10000", "N-2026-123456789"] {
            assert_eq!(good.parse::<YearNumber>().unwrap().as_str(), good);
            assert_eq!(good.parse(), Ok(ChangeRef::Number(good.parse().unwrap())));
            assert!(good.parse::<ChangeId>().is_err(), "{good}");
        }
        assert_eq!("R-2026-10000".parse::<YearNumber>().unwrap().of_kind(), ("R", 2026));
        assert_eq!("C-114".parse(), Ok(ChangeRef::Id("C-114".parse().unwrap())));
        for bad in [
            "",
            "N-2026-0000",
            "N-2026-14",
            "N-2026-00014",
            "n-2026-0014",
            "C-2026-0014",
            "N-26-0014",
            "N-2026",
            "N-2026-0014-1",
            " N-2026-0014",
            "N-2026-001a",
            "N-2026-1234567890",
            "X-2026-0014",
            "N2026-0014",
        ] {
            assert!(bad.parse::<YearNumber>().is_err(), "{bad}");
            let told = bad.parse::<ChangeRef>().unwrap_err().to_string();
            assert!(told.contains("C-114") && told.contains("N-2026-0014"), "{told}");
        }
        for bad in ["", "Web", "web--base", "web-", "1web", "web.base", "wéb", &"a".repeat(65)] {
            assert!(bad.parse::<ManifestName>().is_err(), "{bad}");
        }
        for (text, good) in [
            ("file:/etc/motd", true),
            ("package:alpha", true),
            ("file:", false),
            ("/etc/motd", false),
            ("file:/a\nb", false),
        ] {
            assert_eq!(text.parse::<ResourceId>().is_ok(), good, "{text}");
        }
    }

    #[cfg(feature = "schema")]
    fn both<T: FromStr + schemars::JsonSchema>(text: &str) -> (bool, bool) {
        let schema = schemars::schema_for!(T);
        (text.parse::<T>().is_ok(), jsonschema::is_valid(schema.as_value(), &text.into()))
    }

    /// The rules are written twice, as code and as patterns of the schemas.
    #[cfg(feature = "schema")]
    #[test]
    fn schemas_accept_what_is_an_id_and_nothing_else() {
        let hex = |n: usize| "0f".repeat(n / 2);
        let names =
            ["web", "web-base", "w1", "Web", "web--base", "web-", "-web", "1web", "web.base", "wéb", ""];
        let more = ["C-1", "C-0", "C-01", "c-1", "C-999999999999", "C-1234567890123", " C-1", "C-1\n"];
        let resources =
            ["file:/etc/motd", "file:", "/etc/motd", "file:/a\nb", "ssh_key:a", "a:b:c", "file:\u{85}"];
        let times = ["2026-11-20T11:07:16Z", "2026-11-20 11:07:16Z", "2026-11-20T11:07:16.5Z"];
        let keys = [
            "1b2b",
            "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=",
            "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1x=",
        ];
        let long = [
            hex(16),
            hex(32),
            hex(64),
            hex(64).to_uppercase(),
            "a".repeat(33),
            "a".repeat(64),
            "a".repeat(65),
        ];
        let numbers =
            ["N-2026-0014", "N-2026-0000", "N-2026-00014", "E-2026-10000", "C-2026-0014", "R-2026-0100"];
        let texts =
            names.iter().chain(&more).chain(&numbers).chain(&resources).chain(&times).chain(&keys).copied();
        for text in texts.chain(long.iter().map(String::as_str)) {
            for (name, (parsed, valid)) in [
                ("site", both::<SiteId>(text)),
                ("person", both::<PersonId>(text)),
                ("team", both::<Team>(text)),
                ("manifest", both::<ManifestName>(text)),
                ("class", both::<HostClass>(text)),
                ("model", both::<ModelName>(text)),
                ("change", both::<ChangeId>(text)),
                ("number", both::<YearNumber>(text)),
                ("named", both::<ChangeRef>(text)),
                ("resource", both::<ResourceId>(text)),
                ("agent", both::<AgentId>(text)),
                ("digest", both::<Digest>(text)),
                ("time", both::<crate::time::Timestamp>(text)),
                ("key", both::<crate::keys::PublicKey>(text)),
            ] {
                assert_eq!(parsed, valid, "{name} {text:?}");
            }
        }
    }
}
