//! A host leaves its site for another one: what it says last there, and first at the new one.
//!
//! A site is its first root. When all keys that govern it are lost there is another site, and each host changes to it by
//! a deliberate act of its own root (`shared/decisions/0041-reset-trust.md`).

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::ids::SiteId;
use crate::receipt::{Chained, Enrolment, Header, open_chained};
use crate::statement::{Predicate, Statement, Subject};
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
    /// That statement itself, so that whoever has the enrolment can verify it without the old site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Envelope>,
}

/// The word with which a host left its former site, as its enrolment encloses it; none when it encloses none. `root` is
/// the first root of the new site, if the caller knows it.
///
/// # Errors
/// It is not the statement that the enrolment names, not of this host, or leads to another site.
pub fn departure(
    enrolment: &Enrolment,
    root: Option<&Digest>,
) -> Result<Option<Statement<TrustReset>>, String> {
    let Some(came_from) = &enrolment.came_from else { return Ok(None) };
    let Some(said) = &came_from.said else { return Ok(None) };
    let said = open_chained::<TrustReset>(&said.to_bytes(), &came_from.site)
        .map_err(|why| format!("the word with which the host left its former site does not hold: {why}"))?;
    let (body, header) = (&said.body, &said.body.header);
    let differs = [
        (said.digest == came_from.statement, "it is another statement than the one that is named"),
        (header.seq == came_from.seq, "it stands at another place of the host's chain"),
        (header.key == enrolment.header.key, "it is of another host"),
        (body.root == came_from.root, "it names another first root of the former site"),
        (body.new_site == enrolment.header.site, "it leads to another site"),
        (root.is_none_or(|root| body.new_root == *root), "it leads to another first root"),
    ];
    match differs.into_iter().find(|(same, _)| !same) {
        Some((_, why)) => {
            Err(format!("the word with which the host left its former site does not fit: {why}"))
        }
        None => Ok(Some(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
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

    /// An enrolment at the new site that encloses what the host said at the old one.
    fn enrolment(key: &SigningKey, said: &Statement<TrustReset>) -> Enrolment {
        let header =
            Header { seq: 1, prev: None, site: said.body.new_site.clone(), ..said.body.header.clone() };
        let came_from = CameFrom {
            site: said.body.header.site.clone(),
            root: said.body.root,
            statement: said.digest,
            seq: said.body.header.seq,
            said: Some(said.envelope.clone()),
        };
        Enrolment {
            header: Header { key: key.public(), agent_id: key.public().agent_id(), ..header },
            hostname: "web1".into(),
            token: Digest::of(b"token"),
            csr: String::new(),
            recipient: None,
            came_from: Some(came_from),
        }
    }

    #[test]
    fn an_enrolment_proves_where_the_host_came_from_and_nothing_bent() {
        let key = SigningKey::from_seed(&[1; 32]);
        let said = Statement::sign(reset(&key), &key);
        let root = Digest::of(b"new");
        let good = enrolment(&key, &said);
        assert_eq!(departure(&good, Some(&root)).unwrap().unwrap().digest, said.digest);
        assert_eq!(departure(&good, None).unwrap().unwrap().digest, said.digest);
        assert!(departure(&good, Some(&Digest::of(b"other"))).unwrap_err().contains("another first root"));
        let (stranger, mut other) = (SigningKey::from_seed(&[2; 32]), reset(&key));
        other.header.seq = 8;
        let other = Statement::sign(other, &key);
        type Bend = Box<dyn Fn(&mut CameFrom)>;
        let bends: [(&str, Bend); 6] = [
            ("another statement", Box::new(move |c| c.said = Some(other.envelope.clone()))),
            ("another statement", Box::new(|c| c.statement = Digest::of(b"x"))),
            ("another place", Box::new(|c| c.seq = 6)),
            ("former site", Box::new(|c| c.root = Digest::of(b"x"))),
            ("does not hold", Box::new(|c| c.site = "ffffffffffffffff".parse().unwrap())),
            ("does not hold", Box::new(|c| c.said.as_mut().unwrap().payload.push(b' '))),
        ];
        for (why, bend) in bends {
            let mut bent = good.clone();
            bend(bent.came_from.as_mut().unwrap());
            let told = departure(&bent, Some(&root)).unwrap_err();
            assert!(told.contains(why), "{why}: {told}");
        }
        let elsewhere = Enrolment {
            header: Header { site: "ffffffffffffffff".parse().unwrap(), ..good.header.clone() },
            ..good.clone()
        };
        assert!(departure(&elsewhere, Some(&root)).unwrap_err().contains("another site"));
        // A word that somebody else has signed, of a host with another key.
        let foreign = enrolment(&stranger, &said);
        assert!(departure(&foreign, Some(&root)).unwrap_err().contains("another host"));
        let mut silent = good;
        silent.came_from.as_mut().unwrap().said = None;
        assert_eq!(departure(&silent, Some(&root)).unwrap(), None);
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
