//! Who may use the server, and the file that brings the first of them.

use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Access, PERMISSIONS, Scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::{PersonId, SiteId};
use shared::ledger::VerifierKey;
use shared::limits;
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// `bootstrap.json`, written at the key ceremony: the first administrator, and which site it is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bootstrap {
    pub site: SiteId,
    /// Digest of `1.root.json`; checked where the repository is imported.
    #[serde(rename = "root_sha256")]
    pub _root: Digest,
    pub person: PersonId,
    #[serde(rename = "name")]
    pub _name: String,
    pub token_sha256: Digest,
    pub log_vkey: VerifierKey,
}

/// The longest life of a token that is asked for over the interface.
const TOKEN_DAYS: u32 = 400;

#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub access: String,
    pub days: u32,
    /// SHA-256 of a secret that the person has made and keeps. Without it the server makes one and shows it once.
    #[serde(default)]
    pub token_sha256: Option<Digest>,
}

impl Grant {
    /// Access and seconds of life.
    pub fn read(&self) -> Result<(Access, i64), Error> {
        let access = Access::parse(&self.access).ok_or_else(|| {
            let shown = shared::strict::shorten(&self.access);
            Refusal::unprocessable("person.bad_access").with("access", shown)
        })?;
        Ok((access, seconds(self.days)?))
    }
}

/// Good tokens of one person: each is a way in.
pub(super) const OWN_TOKENS: usize = 50;

/// A token for a program, with less than its person may do.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What it is for.
    pub name: String,
    /// Names of permissions, such as `read` or `propose`.
    pub scopes: BTreeSet<String>,
    pub days: u32,
    /// SHA-256 of a secret that the caller has made and keeps. Without it the server makes one and shows it once.
    #[serde(default)]
    pub token_sha256: Option<Digest>,
}

impl NewToken {
    /// Seconds of life.
    ///
    /// # Errors
    /// It asks for more than the one who asks may do.
    pub fn read(&self, access: Access, own: Option<&Scopes>) -> Result<i64, Error> {
        let fits = !self.name.trim().is_empty()
            && self.name.len() <= limits::REFERENCE_BYTES
            && !self.name.chars().any(char::is_control);
        if !fits {
            return Err(Refusal::unprocessable("person.bad_token_name").into());
        }
        if self.scopes.is_empty() {
            return Err(Refusal::unprocessable("person.no_scope").into());
        }
        let may = |scope: &str| {
            let known = PERMISSIONS.iter().find(|(name, _)| *name == scope);
            known.is_some_and(|(_, needs)| *needs <= access) && own.is_none_or(|own| own.contains(scope))
        };
        if let Some(scope) = self.scopes.iter().find(|scope| !may(scope)) {
            let able: Vec<&str> =
                PERMISSIONS.iter().map(|(name, _)| *name).filter(|name| may(name)).collect();
            let refusal = Refusal::unprocessable("person.bad_scope");
            let refusal = refusal.with("scope", shared::strict::shorten(scope));
            return Err(refusal.with("scopes", able.join(", ")).into());
        }
        seconds(self.days)
    }
}

fn seconds(days: u32) -> Result<i64, Error> {
    if !(1..=TOKEN_DAYS).contains(&days) {
        return Err(Refusal::unprocessable("person.bad_days").with("days", days).into());
    }
    Ok(i64::from(days) * 86_400)
}

/// A token that is good, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TokenLine {
    /// Digest of its secret; by it the token is ended.
    pub sha256: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Absent: for all that its person may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<String>>,
    pub created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A secret that the server made is shown once and never stored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Granted {
    pub person: PersonId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub expires: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PersonLine {
    pub person: String,
    pub access: String,
    pub created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Timestamp>,
    /// Tokens that are still good.
    pub tokens: i64,
}
