//! Changes of tests that retire hosts: how their hosts joined, and how far such a change has come.

use super::{Host, Reviewed, WEEK, World};
use crate::fleet;
use serde_json::json;
use shared::change::{Change, Target};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::statement::Statement;
use shared::wire::{Invitation, Invite};
use std::collections::BTreeMap;

impl World {
    /// Lets a machine in with a class of its own, as the last of the hosts.
    pub async fn join_as(&mut self, mut host: Host, class: &str) {
        let invite = Invite { host_class: class.parse().unwrap(), labels: Default::default(), minutes: 10 };
        let invitation: Invitation =
            serde_json::from_value(self.good("POST", "/v1/join-tokens", invite).await).unwrap();
        let join = self.joining_as(&mut host, invitation, class);
        self.good("POST", "/v1/join", join).await;
        self.hosts.push(host);
    }

    /// Shuts a host out, or lets it in again: `disable` or `enable`.
    pub async fn switch(&self, n: usize, door: &str) {
        let path = format!("/v1/hosts/{}/{door}", self.hosts[n].agent());
        self.good("POST", &path, json!({ "reason": "test" })).await;
    }

    /// How a host joined.
    pub async fn enrolment(&self, n: usize) -> (Target, Digest) {
        let agent = self.hosts[n].agent();
        let found = self.read(move |tx| Ok(fleet::find(tx, agent)?.unwrap().enrolment)).await;
        (self.hosts[n].target(), found)
    }

    /// A revision that retires these hosts, by their places in the world, each with its successor.
    pub async fn retired(&self, id: &ChangeId, revision: u32, pairs: &[(usize, Option<usize>)]) -> Change {
        let words = Change {
            title: "web1 was installed anew".into(),
            reason: "the disk had failed".into(),
            not_after: self.now().plus(WEEK),
            ..self.words(id, revision)
        };
        let mut hosts = Vec::new();
        for (host, successor) in pairs {
            let successor = match successor {
                Some(successor) => Some(self.enrolment(*successor).await),
                None => None,
            };
            hosts.push((self.enrolment(*host).await, successor));
        }
        words.retiring(hosts)
    }

    /// Stores the revision; or the code of the refusal.
    pub async fn propose(&self, change: &Statement<Change>) -> Result<(), String> {
        let (id, revision) = (&change.body.change_id, change.body.revision);
        let path = format!("/v1/changes/{id}/revisions/{revision}");
        let (status, answer) = self.call("PUT", &path, &change.envelope).await;
        if status < 300 { Ok(()) } else { Err(answer["code"].as_str().unwrap().to_owned()) }
    }

    /// The same in its review.
    pub async fn retiring(&self, pairs: &[(usize, Option<usize>)]) -> Reviewed {
        let id = self.number().await;
        let change = self.sign(self.retired(&id, 1, pairs).await);
        self.propose(&change).await.unwrap();
        let line = self.good("POST", &format!("/v1/changes/{id}/submit"), json!({})).await;
        assert_eq!((&line["state"], &line["retires"]), (&json!("review"), &json!(true)));
        Reviewed { id, change, plans: BTreeMap::new() }
    }

    /// The entry under which a host stands now.
    pub async fn entry_of(&self, agent: AgentId) -> String {
        self.read(move |tx| Ok(fleet::find(tx, agent)?.unwrap().ci.to_string())).await
    }
}
