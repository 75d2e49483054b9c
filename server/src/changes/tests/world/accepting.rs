//! Retroactive changes of tests: what their author writes about findings, and how far they have come.

use super::{Reviewed, World};
use serde_json::json;
use shared::change::{Accepted, Change, ChangeType, Missed, PlanBinding, Reboot, UndoPlan};
use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::statement::Statement;
use std::collections::{BTreeMap, BTreeSet};

/// How long such a change may be reviewed.
pub const WEEK: i64 = 7 * 86_400;

/// Where a revision of such a change is sent.
pub fn door(change: &Statement<Change>) -> String {
    format!("/v1/retroactive-changes/{}/revisions/{}", change.body.change_id, change.body.revision)
}

impl World {
    /// The next number of a change.
    pub async fn number(&self) -> ChangeId {
        let created = self.good("POST", "/v1/changes", json!({})).await;
        serde_json::from_value(created["change_id"].clone()).unwrap()
    }

    /// A revision about findings of hosts, by their places in the world.
    pub fn accepted(&self, id: &ChangeId, revision: u32, found: &[(usize, Digest)]) -> Change {
        let accepts: BTreeSet<Accepted> = found
            .iter()
            .map(|(host, finding)| Accepted { agent: self.hosts[*host].agent(), finding: *finding })
            .collect();
        let targets: BTreeSet<_> = found.iter().map(|(host, _)| self.hosts[*host].target()).collect();
        Change {
            site: self.site.clone(),
            change_id: id.clone(),
            revision,
            change_type: ChangeType::Retroactive,
            title: "Hotfix of last night".into(),
            reason: "the mail queue was full".into(),
            author: "lead".parse().unwrap(),
            created: self.now(),
            manifests: Vec::new(),
            targets: targets.into_iter().collect(),
            intervals: Vec::new(),
            not_after: self.now().plus(WEEK),
            missed: Missed::Skip,
            waves: Vec::new(),
            plan_binding: PlanBinding::Exact,
            action_classes: BTreeSet::new(),
            downgrade: false,
            reboot: Reboot::Never,
            undo: UndoPlan { text: "a change brings it back".into(), automatic: false },
            lift_quarantine: false,
            correct_until: None,
            supersedes: None,
            accepts: accepts.into_iter().collect(),
        }
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
