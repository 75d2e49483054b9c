//! Retroactive changes of tests: what their author writes about findings, and how far they have come.

use super::{Reviewed, World};
use serde_json::json;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::statement::Statement;
use std::collections::BTreeMap;

/// How long such a change may be reviewed.
pub const WEEK: i64 = 7 * 86_400;

/// Where a revision of such a change is sent.
pub fn door(change: &Statement<Change>) -> String {
    format!("/v1/retroactive-changes/{}/revisions/{}", change.body.change_id, change.body.revision)
}

impl World {
    /// A revision about findings of hosts, by their places in the world.
    pub fn accepted(&self, id: &ChangeId, revision: u32, found: &[(usize, Digest)]) -> Change {
        let words = Change {
            title: "Hotfix of last night".into(),
            reason: "the mail queue was full".into(),
            not_after: self.now().plus(WEEK),
            ..self.words(id, revision)
        };
        words.accepting(found.iter().map(|(host, finding)| (self.hosts[*host].target(), *finding)))
    }

    /// A draft that accepts these findings.
    pub async fn accepting_draft(&self, found: &[(usize, Digest)]) -> Reviewed {
        let id = self.number().await;
        let change = self.sign(self.accepted(&id, 1, found));
        self.good("PUT", &door(&change), &change.envelope).await;
        Reviewed { id, change, plans: BTreeMap::new() }
    }

    /// The same in its review.
    pub async fn accepting(&self, found: &[(usize, Digest)]) -> Reviewed {
        let of = self.accepting_draft(found).await;
        let line = self.good("POST", &format!("/v1/changes/{}/submit", of.id), json!({})).await;
        assert_eq!((&line["state"], &line["retroactive"]), (&json!("review"), &json!(true)));
        of
    }
}
