//! A host leaves its site for another one: what it says last there, and first at the new one.
//!
//! A site is its first root. When all keys that govern it are lost there is another site, and each host changes to it by
//! a deliberate act of its own root (`shared/decisions/0038-reset-trust.md`).

use crate::digest::Digest;
use crate::ids::SiteId;
use crate::receipt::{Chained, Header};
use crate::statement::{Predicate, Subject};
use serde::{Deserialize, Serialize};

/// Said in the chain of the site that the host leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustReset {
    pub header: Header,
    /// SHA-256 of the first root that counted here so far.
    pub root: Digest,
    pub new_site: SiteId,
    /// SHA-256 of the first root that counts from now on.
    pub new_root: Digest,
}

impl Predicate for TrustReset {
    const TYPE: &'static str = "urn:assent:trust-reset:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("site:{}", self.new_site), self.new_root)]
    }
}

impl Chained for TrustReset {
    fn header(&self) -> &Header {
        &self.header
    }
}

/// Where a host was before, as its enrolment at the new site says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameFrom {
    pub site: SiteId,
    /// SHA-256 of that site's first root.
    pub root: Digest,
    /// The `TrustReset` in its chain there, and that statement's place.
    pub statement: Digest,
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::receipt::{Enrolment, open_chained};
    use crate::statement::Statement;
    use crate::time::Timestamp;

    fn reset(key: &SigningKey) -> TrustReset {
        let header = Header {
            site: "00112233aabbccdd".parse().unwrap(),
            agent_id: key.public().agent_id(),
            key: key.public(),
            host_class: "lab".parse().unwrap(),
            seq: 7,
            prev: Some(Digest::of(b"before")),
            at: Timestamp(1_893_456_000),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        };
        let new_site = "ffeeddccbbaa0099".parse().unwrap();
        TrustReset { header, root: Digest::of(b"old"), new_site, new_root: Digest::of(b"new") }
    }

    #[test]
    fn a_host_signs_where_it_goes_and_nothing_else_passes_for_it() {
        let key = SigningKey::from_seed(&[1; 32]);
        let (old, new): (SiteId, SiteId) =
            ("00112233aabbccdd".parse().unwrap(), "ffeeddccbbaa0099".parse().unwrap());
        let said = Statement::sign(reset(&key), &key);
        assert_eq!(open_chained::<TrustReset>(&said.to_bytes(), &old).unwrap().body, reset(&key));
        let text = String::from_utf8(said.envelope.payload.clone()).unwrap();
        for part in [
            r#""predicateType":"urn:assent:trust-reset:v1""#,
            r#""name":"site:ffeeddccbbaa0099""#,
            &format!(r#""root":"{}""#, Digest::of(b"old")),
            &format!(r#""new_root":"{}""#, Digest::of(b"new")),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(open_chained::<TrustReset>(&said.to_bytes(), &new).is_err(), "it is said at the old site");
        assert!(open_chained::<Enrolment>(&said.to_bytes(), &old).is_err(), "another type");
        let stranger = SigningKey::from_seed(&[2; 32]);
        let forged = Statement::sign(reset(&key), &stranger);
        assert!(open_chained::<TrustReset>(&forged.to_bytes(), &old).is_err(), "another key");
        let mut first = reset(&key);
        first.header.prev = None;
        let first = Statement::sign(first, &key);
        assert!(open_chained::<TrustReset>(&first.to_bytes(), &old).is_err(), "outside of the chain");
    }
}
