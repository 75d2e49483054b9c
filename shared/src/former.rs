//! What a host kept of a site that it has left: its own chain there, for whoever asks it when the server is gone.
//!
//! `assent-agent former export` writes it, `assent verify` reads it. It proves what this host said, in which order; whether a
//! ledger ever held it, it does not.

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::finding::Finding;
use crate::ids::{AgentId, SiteId};
use crate::receipt::{Chained, Enrolment, Header, Receipt, Refusal, open_chained};
use crate::reset::TrustReset;
use crate::statement::{self, Predicate};
use crate::strict::{self, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A host keeps the last 256 statements that were proven, and all that were not.
const FORMER_BYTES: usize = 64 << 20;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Former {
    /// Always [`Former::SCHEMA`].
    pub schema: String,
    pub site: SiteId,
    /// SHA-256 of that site's first root, as the host knew it.
    pub root: Digest,
    pub agent: AgentId,
    /// Places in the chain that the host never saw proven.
    pub undelivered: Vec<u64>,
    /// In the order of the chain.
    pub statements: Vec<Envelope>,
}

/// One statement, as it is told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub seq: u64,
    pub at: Timestamp,
    pub kind: &'static str,
    /// The change or the site that it is about, and what it says.
    pub about: String,
    pub digest: Digest,
    pub delivered: bool,
}

impl Former {
    pub const SCHEMA: &'static str = "assent-former/1";

    /// # Errors
    /// Not this form, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let what = "the former chain";
        let former: Self = strict::from_json(what, bytes, FORMER_BYTES)?;
        match former.schema.as_str() {
            Self::SCHEMA => Ok(former),
            other => {
                let why = format!("its schema is {:?}, expected {:?}", strict::shorten(other), Self::SCHEMA);
                Err(ReadError::Invalid { what, why })
            }
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Checks that all statements are of one host, signed by it for this site, and that each names the one before.
    ///
    /// # Errors
    /// The first one that does not fit.
    pub fn check(&self) -> Result<Vec<Kept>, String> {
        let mut kept = Vec::with_capacity(self.statements.len());
        let mut before: Option<(Header, Digest)> = None;
        for envelope in &self.statements {
            let (header, one) = self.read(envelope).map_err(|why| format!("{}: {why}", envelope.digest()))?;
            let place = format!("statement {} ({})", header.seq, one.digest);
            if header.agent_id != self.agent {
                return Err(format!("{place} is of another host, {}", header.agent_id));
            }
            if let Some((earlier, digest)) = &before {
                if header.seq <= earlier.seq {
                    return Err(format!("{place} does not come after statement {}", earlier.seq));
                }
                if header.seq == earlier.seq + 1 && header.prev != Some(*digest) {
                    return Err(format!("{place} does not name its predecessor in the host's chain"));
                }
            }
            before = Some((header, one.digest));
            kept.push(one);
        }
        let known = |seq: &u64| kept.iter().any(|one| one.seq == *seq);
        match self.undelivered.iter().find(|seq| !known(seq)) {
            Some(seq) => Err(format!("statement {seq} is told to be undelivered and is not here")),
            None => Ok(kept),
        }
    }

    fn read(&self, envelope: &Envelope) -> Result<(Header, Kept), String> {
        let kind = statement::type_of(envelope).map_err(|e| e.to_string())?;
        match kind.as_str() {
            Enrolment::TYPE => self.open(envelope, "enrolment", |own: &Enrolment| own.hostname.clone()),
            Receipt::TYPE => self.open(envelope, "receipt", |own: &Receipt| {
                format!("{} revision {}: {}", own.change_id, own.revision, own.outcome.as_str())
            }),
            Refusal::TYPE => self.open(envelope, "refusal", |own: &Refusal| {
                let change = own.change_id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
                format!("{change}{}", own.reason)
            }),
            Finding::TYPE => self.open(envelope, "finding", |_: &Finding| String::new()),
            TrustReset::TYPE => self.open(envelope, "left the site", |own: &TrustReset| {
                format!("for site {} (first root {})", own.new_site, own.new_root)
            }),
            other => Err(format!("is of the unknown type {:?}", strict::shorten(other))),
        }
    }

    fn open<P: Chained>(
        &self,
        envelope: &Envelope,
        kind: &'static str,
        about: impl FnOnce(&P) -> String,
    ) -> Result<(Header, Kept), String> {
        let opened = open_chained::<P>(&envelope.to_bytes(), &self.site).map_err(|e| e.to_string())?;
        let header = opened.body.header().clone();
        let delivered = !self.undelivered.contains(&header.seq);
        let (seq, at, about) = (header.seq, header.at, about(&opened.body));
        Ok((header, Kept { seq, at, kind, about, digest: opened.digest, delivered }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::statement::Statement;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&[n; 32])
    }

    fn left(key: &SigningKey, seq: u64, prev: Option<Digest>) -> Statement<TrustReset> {
        let header = Header {
            site: "00112233aabbccdd".parse().unwrap(),
            agent_id: key.public().agent_id(),
            key: key.public(),
            host_class: "lab".parse().unwrap(),
            seq,
            prev,
            at: Timestamp(1_893_456_000),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        };
        let new_site = "ffeeddccbbaa0099".parse().unwrap();
        Statement::sign(
            TrustReset { header, root: Digest::of(b"o"), new_site, new_root: Digest::of(b"n") },
            key,
        )
    }

    /// Statements 7, 8 and 12; the last one was not delivered.
    fn former() -> Former {
        let seven = left(&key(1), 7, Some(Digest::of(b"six")));
        let eight = left(&key(1), 8, Some(seven.digest));
        let twelve = left(&key(1), 12, Some(Digest::of(b"eleven")));
        Former {
            schema: Former::SCHEMA.into(),
            site: "00112233aabbccdd".parse().unwrap(),
            root: Digest::of(b"o"),
            agent: key(1).public().agent_id(),
            undelivered: vec![12],
            statements: [seven, eight, twelve].map(|one| one.envelope).into(),
        }
    }

    #[test]
    fn a_former_chain_holds_as_it_was_kept_and_not_bent() {
        let good = Former::parse(&former().to_bytes()).unwrap();
        let told: Vec<_> = good.check().unwrap().into_iter().map(|one| (one.seq, one.delivered)).collect();
        assert_eq!(told, [(7, true), (8, true), (12, false)]);
        type Bend = fn(&mut Former);
        let bends: [(&str, Bend); 8] = [
            ("another host", |f| f.agent = key(2).public().agent_id()),
            ("another site", |f| f.site = "ffffffffffffffff".parse().unwrap()),
            ("does not come after", |f| f.statements.swap(0, 1)),
            ("does not come after", |f| f.statements.insert(1, f.statements[0].clone())),
            ("its predecessor", |f| f.statements[1] = left(&key(1), 8, Some(Digest::of(b"x"))).envelope),
            ("another host", |f| f.statements[2] = left(&key(2), 12, Some(Digest::of(b"x"))).envelope),
            ("", |f| f.statements[0].payload.push(b' ')),
            ("is not here", |f| f.undelivered.push(9)),
        ];
        for (why, bend) in bends {
            let mut bent = former();
            bend(&mut bent);
            let refused = bent.check().expect_err(why);
            assert!(why == "another site" || refused.contains(why), "{why}: {refused}");
        }
        let other = Former { schema: "assent-former/2".into(), ..former() };
        assert!(Former::parse(&other.to_bytes()).unwrap_err().to_string().contains("assent-former/1"));
        let extra = String::from_utf8(former().to_bytes()).unwrap().replacen('{', "{\"extra\":1,", 1);
        assert!(Former::parse(extra.as_bytes()).is_err());
    }
}
