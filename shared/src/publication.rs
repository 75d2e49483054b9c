//! A published manifest: the compiled manifest inside a statement signed by its publisher.
//!
//! The repository (TUF) says which of them exist now; this signature says who vouched for it, for ever.

use crate::digest::Digest;
use crate::ids::{PersonId, SiteId};
use crate::manifest::Manifest;
use crate::statement::{Predicate, Subject};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    pub site: SiteId,
    pub publisher: PersonId,
    pub at: Timestamp,
    /// Digest of the file as its author wrote it.
    pub source: Digest,
    pub manifest: Manifest,
}

impl Predicate for Publication {
    const TYPE: &'static str = "urn:assent:manifest:v1";

    fn subjects(&self) -> Vec<Subject> {
        let m = &self.manifest;
        vec![Subject::new(format!("manifest:{}/{}@{}", m.team, m.name, m.version), self.source)]
    }
}

impl Publication {
    /// The repository's name for this manifest.
    pub fn target_name(&self) -> String {
        let m = &self.manifest;
        format!("manifest.{}.{}.{}.json", m.team, m.name, m.version)
    }
}
