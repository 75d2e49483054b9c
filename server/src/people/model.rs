//! Who may use the server, and the file that brings the first of them.

use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::Access;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::{PersonId, SiteId};
use shared::ledger::VerifierKey;
use shared::time::Timestamp;

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
        if !(1..=TOKEN_DAYS).contains(&self.days) {
            return Err(Refusal::unprocessable("person.bad_days").with("days", self.days).into());
        }
        Ok((access, i64::from(self.days) * 86_400))
    }
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
