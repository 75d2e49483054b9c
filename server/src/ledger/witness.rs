//! Witnesses of the ledger: what they have signed is taken, kept and shown.
//!
//! Never: asks for it. A witness comes by itself, and has checked the tiles before it signs.

use super::log::{Log, broken, consistency};
use super::store::{self, Head, Row, damaged, list_witnesses, update_witness};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::ledger::{Checkpoint, SignedNote, VerifierKey, WitnessKey, Witnessed, tree};
use shared::limits;
use shared::time::Timestamp;
use shared::wire::{WitnessList, WitnessSeen};

fn bad(why: impl ToString) -> Refusal {
    Refusal::unprocessable("ledger.bad_cosignature").with("why", why.to_string())
}

impl Log {
    /// Takes a checkpoint of this log that a witness of the policy has signed.
    ///
    /// # Errors
    /// `ledger.bad_cosignature`: the note is not of this log, no witness of the policy signed it, or its time is ahead.
    /// `ledger.other_log`: this log never was as the note says.
    pub fn take_cosigned(&self, tx: &mut Conn, text: &str, now: Timestamp) -> Result<(), Error> {
        let head = store::current(tx)?;
        let vkey = self.verifier(&head)?;
        let seen = Checkpoint::open(text, &vkey).map_err(bad)?;
        self.check_own(tx, &head, &seen)?;
        let note = SignedNote::parse(text).map_err(bad)?;
        let mut taken = false;
        for Row { vkey: witness, .. } in list_witnesses(tx)? {
            let key: WitnessKey = witness.parse().map_err(|error| damaged("the key of a witness", error))?;
            let Some(at) = note.cosigned(&key).map_err(bad)? else { continue };
            if at > now.plus(limits::CLOCK_SKEW_SECS) {
                return Err(bad(format!("{} signed it at {at}, it is {now} here", key.name())).into());
            }
            // Lines of others would come along unchecked.
            let kept = note.clone().only(&[vkey.id(), key.id()]).to_string();
            update_witness(tx, &witness, (head.log, &seen), &kept, now)?;
            taken = true;
        }
        if taken { Ok(()) } else { Err(bad("no witness of the policy signed it").into()) }
    }

    fn verifier(&self, head: &Head) -> Result<VerifierKey, Error> {
        let checkpoint = head.checkpoint()?;
        Ok(VerifierKey::new(checkpoint.origin, self.signing(&head.origin)?.public()))
    }

    /// A checkpoint with this log's own signature that it does not have: the key or an older copy of it is at work elsewhere.
    fn check_own(&self, tx: &mut Conn, head: &Head, seen: &Checkpoint) -> Result<(), Error> {
        let size = head.frontier.size();
        let other = |have: String| {
            let refusal =
                Refusal::conflict("ledger.other_log").with("size", seen.size).with("root", seen.root);
            Error::from(refusal.with("have", have))
        };
        if seen.size > size {
            return Err(other(format!("{size} statements")));
        }
        let nodes = self.nodes(tx, head, &tree::root_nodes(seen.size))?;
        let root = tree::root(seen.size, &nodes).map_err(broken)?;
        if root == seen.root { Ok(()) } else { Err(other(format!("the root {root} at that size"))) }
    }

    /// What each witness of the policy has seen of the current log, with proofs to its newest checkpoint.
    ///
    /// `tx` is a reading one: only durable sizes are ever signed.
    pub fn witnesses(&self, tx: &mut Conn) -> Result<WitnessList, Error> {
        let head = store::current(tx)?;
        let newest = head.checkpoint()?;
        Ok(WitnessList {
            checkpoint: self.sign(&newest)?,
            witnesses: self.all_witnesses(tx, &head, &newest)?,
        })
    }

    fn all_witnesses(&self, tx: &mut Conn, head: &Head, to: &Checkpoint) -> Result<Vec<WitnessSeen>, Error> {
        let mut witnesses = Vec::new();
        for row in list_witnesses(tx)? {
            let name = row.vkey.clone();
            let seen = self.seen_by(tx, (head, to.size), &row)?;
            let received = seen.as_ref().and(row.received).map(Timestamp);
            witnesses.push(WitnessSeen { witness: name, seen, received });
        }
        Ok(witnesses)
    }

    /// What those who have looked saw of the current log, up to a checkpoint of it, with proofs to that one.
    pub fn witnessed(&self, tx: &mut Conn, to: &Checkpoint) -> Result<Vec<Witnessed>, Error> {
        let head = store::current(tx)?;
        Ok(self.all_witnesses(tx, &head, to)?.into_iter().filter_map(|witness| witness.seen).collect())
    }

    fn seen_by(
        &self,
        tx: &mut Conn,
        (head, size): (&Head, u64),
        row: &Row,
    ) -> Result<Option<Witnessed>, Error> {
        let (Some(log), Some(note)) = (row.log, &row.checkpoint) else { return Ok(None) };
        let seen = Checkpoint::open(note, &self.verifier(head)?).ok();
        // Of a log before a restore, or of more than a backup had: a witness that looks again sees what is here.
        let Some(seen) = seen.filter(|seen| log == head.log && seen.size <= size) else { return Ok(None) };
        let ranges = tree::consistency_nodes(seen.size, size).map_err(broken)?;
        let nodes = self.nodes(tx, head, &ranges)?;
        let proof = consistency(Some(seen.size), size, &nodes)?;
        Ok(proof.map(|consistency| Witnessed { checkpoint: note.clone(), consistency }))
    }
}
