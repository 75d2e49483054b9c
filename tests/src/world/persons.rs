//! What persons do: publish, request, approve. The first person uses the command line for everything.

use super::World;
use crate::programs::Said;
use shared::approval::{Approval, Decision, Saw};
use shared::change::Change;
use shared::keys::SigningKey;
use shared::plan::PlanSet;
use shared::policy::{Match, Person, PersonKey, Policy, Require, Role, Rule};
use shared::statement::Statement;
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Role as TufRole, Signed, Targets};
use shared::wire::{Approve, ChangeFile};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A change as a test asks for it; everything else has a sensible value.
#[derive(Clone, Debug)]
pub struct NewChange<'a> {
    pub manifests: &'a [&'a str],
    /// Host names; empty means all.
    pub targets: &'a [&'a str],
    pub window: &'a str,
    /// Further options of `assent change new`.
    pub more: &'a [&'a str],
}

impl Default for NewChange<'_> {
    fn default() -> Self {
        Self { manifests: &[], targets: &[], window: "now..+2h", more: &[] }
    }
}

/// A second approver, who is not the first person.
pub struct Second {
    pub key: SigningKey,
}

/// The first number of a change that a command has printed.
fn number_in(said: &Said) -> String {
    let id = said.out.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|word| {
        word.strip_prefix("C-").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    });
    id.unwrap_or_else(|| panic!("no change id: {said}")).to_owned()
}

impl World {
    /// Writes a manifest and publishes it: `body` is everything after name and version.
    pub fn publish(&self, name: &str, version: &str, body: &str) -> Said {
        let text = format!("manifest: {name}\nversion: \"{version}\"\ntitle: {name}\n{body}");
        let file = self.file(&format!("{name}-{version}.yaml"), &text);
        self.assent(&["publish", file.to_str().unwrap()])
    }

    /// Writes and signs a change; gives its id.
    pub fn draft(&self, new: &NewChange<'_>) -> String {
        number_in(&self.try_draft(new).ok())
    }

    /// Writes and signs a retroactive change about these findings; gives its id.
    pub fn accept_afterwards(&self, findings: &[&str]) -> String {
        let words = ["--retroactive", "--title", "What was done by hand", "--reason", "it had to be quick"];
        number_in(&self.assent(&[&["finding", "accept"], findings, &words].concat()).ok())
    }

    pub fn try_draft(&self, new: &NewChange<'_>) -> Said {
        let mut args = vec!["change", "new", "--window", new.window, "--zone", "UTC"];
        args.extend(["--title", "A change of the tests", "--reason", "it is tested", "--undo", "by itself"]);
        new.manifests.iter().for_each(|m| args.extend(["--manifest", m]));
        new.targets.iter().for_each(|t| args.extend(["--target", t]));
        if new.targets.is_empty() && !new.more.contains(&"--label") {
            args.push("--all");
        }
        args.extend(new.more);
        self.assent(&args)
    }

    pub fn submit(&self, change: &str) {
        self.assent(&["change", "submit", change]).ok();
    }

    /// Approves as the first person, with the command line.
    pub fn approve(&self, change: &str) -> Said {
        self.assent(&["approve", change, "--yes", "--expires", "24h"])
    }

    /// From request to a plan of every host: draft, submit, one round of ticks.
    ///
    /// With several nodes there may be more rounds: one of them may learn of the wish a second after the other.
    pub fn request(&mut self, new: &NewChange<'_>) -> String {
        let id = self.draft(new);
        self.submit(&id);
        let rounds = if self.nodes.len() > 1 { 10 } else { 1 };
        for _ in 0..rounds {
            self.tick_all();
            let line = self.change_file(&id).line;
            if line.plans == line.targets {
                break;
            }
        }
        id
    }

    /// From request to an approval that the server has published.
    pub fn request_and_approve(&mut self, new: &NewChange<'_>) -> String {
        let id = self.request(new);
        self.approve(&id).ok();
        id
    }

    /// The first person may break the glass; changes need two persons.
    pub fn let_lead_break_the_glass(&self) {
        self.add_second_person();
        let mut policy = self.policy();
        policy.version += 1;
        for rule in &mut policy.rules {
            rule.require.approvals = 2;
        }
        for key in policy.persons.iter_mut().filter(|p| p.id.as_str() == "lead").flat_map(|p| &mut p.keys) {
            key.roles.insert(Role::BreakGlass);
        }
        self.publish_policy(&policy);
    }

    /// A change of one manifest with these resources, up to where each host has everything that it needs and the
    /// server is gone before the window begins.
    pub fn pull_without_running(&mut self, body: &str) -> String {
        self.publish("steps", "1.0.0", body).ok();
        let new = NewChange { manifests: &["steps@1.0.0"], window: "now+1h..+4h", ..NewChange::default() };
        let change = self.request_and_approve(&new);
        self.tick_all();
        self.kill_server();
        self.proxy.cut();
        self.offset += 2 * 3_600;
        change
    }

    /// What the server holds about a change.
    pub fn change_file(&self, id: &str) -> ChangeFile {
        serde_json::from_slice(&self.get(&format!("/v1/changes/{id}")).body).unwrap()
    }

    pub fn state(&self, id: &str) -> (String, Option<String>) {
        let line = self.change_file(id).line;
        (line.state, line.outcome)
    }

    /// `standing` and `code` of `GET /v1/why`.
    pub fn why(&self, host: &str, id: &str) -> (String, String) {
        let why = self.get(&format!("/v1/why/{host}/{id}")).json();
        let text = |key: &str| why[key].as_str().unwrap_or_default().to_owned();
        (text("standing"), text("code"))
    }

    /// One of the first person's keys.
    pub fn own_key(&self, name: &str) -> SigningKey {
        let pem = std::fs::read_to_string(self.site().join(format!("keys/{name}.pem"))).unwrap();
        SigningKey::from_pem(&pem, Some(super::PASSPHRASE)).unwrap()
    }

    /// One of the keys that the server holds.
    pub fn server_key(&self, name: &str) -> SigningKey {
        let pem = std::fs::read_to_string(self.site().join(format!("server/keys/{name}.key"))).unwrap();
        SigningKey::from_pem(&pem, None).unwrap()
    }

    pub fn policy(&self) -> Policy {
        let targets = self.current_targets();
        let file = targets.targets.values().next().unwrap();
        let name = format!("/v1/tuf/{}.policy.json", file.hashes.sha256);
        Policy::parse(&self.get(&name).body).unwrap()
    }

    /// The newest top-level targets that the server serves.
    pub fn current_targets(&self) -> Targets {
        let snapshot = self.current_snapshot();
        let version = snapshot.pin(&TufRole::Targets).unwrap().version;
        let bytes = self.get(&format!("/v1/tuf/{version}.targets.json")).body;
        Signed::<Targets>::parse(&TufRole::Targets, &bytes).unwrap().signed
    }

    pub fn current_snapshot(&self) -> shared::tuf::Snapshot {
        let timestamp = self.get("/v1/tuf/timestamp.json").body;
        let timestamp =
            Signed::<shared::tuf::Timestamp>::parse(&TufRole::Timestamp, &timestamp).unwrap().signed;
        let version = timestamp.meta.snapshot.version;
        let bytes = self.get(&format!("/v1/tuf/{version}.snapshot.json")).body;
        Signed::parse(&TufRole::Snapshot, &bytes).unwrap().signed
    }

    /// The next targets file with this edition of the policy and the site's keys, signed by `signer`, and the edition's bytes.
    pub fn targets_with(&self, policy: &Policy, signer: &SigningKey) -> (Signed<Targets>, Vec<u8>) {
        let old = self.current_targets();
        let teams =
            BTreeMap::from([("main".parse().unwrap(), KeySet::one(self.own_key("publisher").public()))]);
        let online = KeySet::one(self.server_key("online").public());
        let bytes = shared::strict::to_json(policy);
        let expires = self.now().plus(400 * 86_400);
        let targets = writer::targets_with_policy(old.version + 1, expires, &bytes, &teams, &online).unwrap();
        (Signed::by(targets, &[signer]), bytes)
    }

    /// A new edition of the policy, signed with the governance key and put before the server.
    pub fn publish_policy(&self, policy: &Policy) {
        let (targets, policy) = self.targets_with(policy, &self.own_key("governance"));
        let [targets, policy] = [targets.to_bytes(), policy].map(|bytes| String::from_utf8(bytes).unwrap());
        let body = serde_json::json!({ "targets": targets, "policy": policy });
        let reply = self.api("POST", "/v1/tuf/policy", body.to_string().as_bytes());
        assert!(reply.status() < 300, "policy: {} {}", reply.status(), reply.text());
    }

    /// Invites, joins and adds a person as their two machines would; gives the directory of the new one.
    pub fn add_person(&self, id: &str, roles: &[&str], more: &[&str]) -> PathBuf {
        let [invitation, introduction] =
            ["invitation", "introduction"].map(|kind| format!("{id}.{kind}.json"));
        let mut invite = vec!["person", "invite", id, "--name", "One More Person"];
        roles.iter().for_each(|role| invite.extend(["--role", role]));
        self.assent(&invite).ok();
        let dir = self.path(&format!("machine-of-{id}"));
        let joined = self.assent_at(&dir, &["person", "join", &invitation, dir.to_str().unwrap()]).ok();
        let words = joined.after("six words");
        let added = self.assent(&[&["person", "add", &introduction, "--yes"], more].concat()).ok();
        assert!(words.split(' ').count() == 6 && added.out.contains(words), "{words}: {added}");
        dir
    }

    /// Adds `second`, and a rule: hosts of class `vault` need both persons.
    pub fn add_second_person(&self) -> Second {
        let key = SigningKey::from_seed(&[77; 32]);
        let mut policy = self.policy();
        policy.version += 1;
        policy.one_person = false;
        policy.persons.push(Person {
            id: "second".parse().unwrap(),
            name: "Second Approver".into(),
            keys: vec![PersonKey::file(key.public(), &[Role::Approver])],
        });
        policy.rules.push(Rule {
            name: "vault needs two".into(),
            matches: Match { host_classes: Some([("vault".parse().unwrap())].into()), ..Match::default() },
            require: Require::of(2, 48),
        });
        self.publish_policy(&policy);
        Second { key }
    }

    /// Every rule of the policy lets approvals stand for corrections, for so many hours.
    pub fn let_corrections_stand(&self, hours: u32) {
        let mut policy = self.policy();
        policy.version += 1;
        for rule in &mut policy.rules {
            rule.require.max_correction_h = hours;
        }
        self.publish_policy(&policy);
    }

    /// An approval as any program could write it; `bend` makes it wrong before it is signed.
    pub fn sign_approval(
        &self,
        change: &Statement<Change>,
        plans: &PlanSet,
        person: &str,
        key: &SigningKey,
        bend: impl FnOnce(&mut Approval),
    ) -> Statement<Approval> {
        let now = self.now();
        let mut approval = Approval {
            site: change.body.site.clone(),
            change_id: change.body.change_id.clone(),
            revision: change.body.revision,
            change: change.digest,
            decision: Decision::Approve,
            person: person.parse().unwrap(),
            at: now,
            expires: now.plus(86_400),
            saw: Saw { plan_set: plans.digest(), renderer: "tests".into() },
            agents: None,
            nonce: shared::digest::hex(&plans.digest().0[..16]),
            comment: String::new(),
            breakglass: None,
        };
        bend(&mut approval);
        Statement::sign(approval, key)
    }

    /// Sends an approval as the first person's program would.
    pub fn send_approval(
        &self,
        id: &str,
        plan_set: &PlanSet,
        approval: &Statement<Approval>,
    ) -> crate::http::Message {
        let body = Approve { plan_set: plan_set.clone(), approval: approval.envelope.clone() };
        self.api("POST", &format!("/v1/changes/{id}/approvals"), &serde_json::to_vec(&body).unwrap())
    }
}
