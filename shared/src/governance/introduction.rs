//! A new person's own words: which keys are theirs. Made where the keys are, and compared with its maker by six words
//! before governance puts them into the policy.

use crate::digest::Digest;
use crate::ids::{PersonId, SiteId};
use crate::keys::PublicKey;
use crate::policy::{PersonKey, Role};
use crate::statement::{Predicate, Statement, Subject};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    pub site: SiteId,
    /// Digest of the first root that this person's machine trusts: who changes the invitation on its way changes the words.
    pub root: Digest,
    pub person: PersonId,
    pub name: String,
    pub keys: Vec<NewKey>,
    /// SHA-256 of the secret by which this person's command will ask the server; the secret stays with the person.
    pub token: Digest,
}

/// A key and what it is asked to be used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    pub public: PublicKey,
    pub roles: BTreeSet<Role>,
}

/// Why an introduction is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIntroduction {
    #[error("it is for another site, or its maker was given another first root than this site has")]
    OtherSite,
    #[error("it has no key, or more than 8")]
    Keys,
    #[error("a key has no role")]
    NoRole,
    #[error("the full name is empty or longer than 200 bytes")]
    Name,
    #[error("one of its keys has not signed it, so nobody has shown that they hold that key")]
    Unsigned,
}

const MOST_KEYS: usize = 8;
const NAME_BYTES: usize = 200;

impl Predicate for Introduction {
    const TYPE: &'static str = "urn:assent:introduction:v1";

    fn subjects(&self) -> Vec<Subject> {
        let subject =
            |key: &NewKey| Subject::new(format!("key:{}", key.public), Digest::of(key.public.as_bytes()));
        self.keys.iter().map(subject).collect()
    }
}

impl Introduction {
    /// Whether whoever made it holds every key in it, for this site.
    pub fn check(statement: &Statement<Self>, site: &SiteId, root: &Digest) -> Result<(), NoIntroduction> {
        let body = &statement.body;
        if body.site != *site || body.root != *root {
            return Err(NoIntroduction::OtherSite);
        }
        if !(1..=MOST_KEYS).contains(&body.keys.len()) {
            return Err(NoIntroduction::Keys);
        }
        if body.keys.iter().any(|key| key.roles.is_empty()) {
            return Err(NoIntroduction::NoRole);
        }
        if body.name.trim().is_empty() || body.name.len() > NAME_BYTES {
            return Err(NoIntroduction::Name);
        }
        if !body.keys.iter().all(|key| statement.is_signed_by(&key.public)) {
            return Err(NoIntroduction::Unsigned);
        }
        Ok(())
    }

    /// As the policy names them.
    pub fn person_keys(&self) -> Vec<PersonKey> {
        let key = |key: &NewKey| PersonKey { roles: key.roles.clone(), ..PersonKey::file(key.public, &[]) };
        self.keys.iter().map(key).collect()
    }
}
