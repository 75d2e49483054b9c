//! What gates need of a receipt: how the change ended on one host, signed by that host apart.
//!
//! A receipt tells of every step and may be a thousand times as long, and a host of a late wave reads what up to 2,000 others
//! have to say. A summary is derived from its receipt and says nothing more; it has no place in the host's chain.

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::ids::{AgentId, SiteId};
use crate::keys::{PublicKey, SigningKey};
use crate::receipt::{HostOutcome, Receipt, open_chained};
use crate::statement::{Predicate, Statement, Subject, type_of};
use crate::strict::ReadError;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    /// Digest of the change's statement.
    pub change: Digest,
    /// Digest of the receipt's statement.
    pub receipt: Digest,
    pub outcome: HostOutcome,
    pub started: Timestamp,
    pub finished: Timestamp,
}

impl Predicate for Summary {
    const TYPE: &'static str = "urn:assent:summary:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new("receipt", self.receipt)]
    }
}

impl Summary {
    /// `None` where a receipt says nothing to gates: its end is still open, or it says that something was put back.
    pub fn of(receipt: &Statement<Receipt>) -> Option<Self> {
        let body = &receipt.body;
        let counts = body.outcome.succeeded().is_some() && body.corrects.is_none();
        counts.then(|| Self {
            site: body.header.site.clone(),
            agent_id: body.header.agent_id,
            key: body.header.key,
            change: body.change,
            receipt: receipt.digest,
            outcome: body.outcome,
            started: body.started,
            finished: body.finished,
        })
    }

    /// Signed by the host that signed the receipt.
    pub fn signed(receipt: &Statement<Receipt>, key: &SigningKey) -> Option<Envelope> {
        Self::of(receipt).map(|summary| Statement::sign(summary, key).envelope)
    }

    /// Whether `envelope` is the host's own summary of this receipt.
    ///
    /// # Errors
    /// Unreadable, not signed by the host, or of something else.
    pub fn check(envelope: &Envelope, receipt: &Statement<Receipt>) -> Result<(), ReadError> {
        let summary = open(envelope, &receipt.body.header.site)?;
        match Self::of(receipt) {
            Some(own) if own == summary => Ok(()),
            Some(_) | None => {
                Err(ReadError::Invalid { what: Self::TYPE, why: "it is not of this receipt".into() })
            }
        }
    }

    /// What a host says of its end, as a summary or as the whole receipt; `None` where it says nothing to gates.
    ///
    /// # Errors
    /// Unreadable, of another site, or not signed by the host.
    pub fn told(envelope: &Envelope, site: &SiteId) -> Result<Option<Self>, ReadError> {
        if type_of(envelope)? == Receipt::TYPE {
            return Ok(Self::of(&open_chained(&envelope.to_bytes(), site)?));
        }
        open(envelope, site).map(Some)
    }
}

fn open(envelope: &Envelope, site: &SiteId) -> Result<Summary, ReadError> {
    let statement = Statement::<Summary>::open(envelope.clone())?;
    let invalid = |why: &str| Err(ReadError::Invalid { what: Summary::TYPE, why: why.into() });
    let body = &statement.body;
    if body.site != *site {
        return invalid("it belongs to another site");
    }
    if body.key.agent_id() != body.agent_id {
        return invalid("its key does not belong to its agent id");
    }
    if !statement.is_signed_by(&body.key) {
        return invalid("it is not signed by the host's key");
    }
    if body.outcome.succeeded().is_none() {
        return invalid("the end is still open");
    }
    Ok(statement.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::GateFile;
    use crate::fixtures as fix;
    use crate::limits;

    fn receipt(outcome: HostOutcome) -> Statement<Receipt> {
        fix::receipt(&fix::key(3), &Statement::sign(fix::change_body(), &fix::key(1)), fix::NOW, outcome)
    }

    #[test]
    fn a_summary_says_what_its_receipt_says_and_open_ends_and_corrections_have_none() {
        let good = receipt(HostOutcome::Applied);
        let site = &good.body.header.site;
        let own = Summary::signed(&good, &fix::key(3)).unwrap();
        assert_eq!(Summary::told(&own, site).unwrap(), Summary::of(&good));
        assert_eq!(Summary::told(&good.envelope, site).unwrap(), Summary::of(&good));
        Summary::check(&own, &good).unwrap();
        assert!(Summary::check(&own, &receipt(HostOutcome::Failed)).is_err());
        assert_eq!(Summary::of(&receipt(HostOutcome::PendingReboot)), None);
        let corrective = Receipt { corrects: Some(1), ..good.body.clone() };
        let corrective = Statement::sign(corrective, &fix::key(3));
        assert_eq!(Summary::of(&corrective), None);
        assert_eq!(Summary::told(&corrective.envelope, site).unwrap(), None);
        let body = Summary::of(&good).unwrap();
        let open = Summary { outcome: HostOutcome::PendingReboot, ..body.clone() };
        let elsewhere = Summary { site: "ffffffffffffffff".parse().unwrap(), ..body.clone() };
        let of_another = Summary { agent_id: fix::key(4).public().agent_id(), ..body.clone() };
        for (what, bad) in [
            ("another key", Statement::sign(body, &fix::key(4)).envelope),
            ("an open end", Statement::sign(open, &fix::key(3)).envelope),
            ("another site", Statement::sign(elsewhere, &fix::key(3)).envelope),
            ("another host", Statement::sign(of_another, &fix::key(3)).envelope),
            ("another kind", Statement::sign(fix::change_body(), &fix::key(3)).envelope),
        ] {
            assert!(Summary::told(&bad, site).is_err(), "{what}");
        }
    }

    /// The largest change has room for its gates, however much its hosts had to do.
    #[test]
    fn the_ends_of_all_hosts_that_a_change_may_have_fit_the_file_of_a_gate() {
        let end = Summary::signed(&receipt(HostOutcome::RolledBack), &fix::key(3)).unwrap();
        let file = |count| GateFile { ends: vec![end.clone(); count] }.to_bytes();
        let all = file(limits::CHANGE_TARGETS);
        assert!(all.len() < limits::GATE_BYTES / 2, "{}", all.len());
        assert_eq!(GateFile::parse(&all).unwrap().ends.len(), limits::CHANGE_TARGETS);
        let most = GateFile::parse(&file(limits::GATE_ENDS + 1)).unwrap_err().to_string();
        assert!(most.contains("it has 4001 ends; at most 4000"), "{most}");
        let large = vec![b' '; limits::GATE_BYTES + 1];
        assert!(matches!(GateFile::parse(&large), Err(ReadError::TooLarge { .. })));
    }
}
