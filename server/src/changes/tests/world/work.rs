//! What people and hosts do in a test: signed documents, sent as they are in reality.

use super::ceremony::{AUTHOR, DAY, NOW, PUBLISHER, approver, content, key};
use super::{Host, World};
use crate::changes::{self, approve, bundle, course, plans};
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use crate::manifests;
use crate::receipts::Incoming;
use shared::approval::{Approval, Decision, Saw};
use shared::change::{Change, ChangeType, ManifestUse, Missed, PlanBinding, Reboot, UndoPlan, Wave};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::{About, Difference, Expected, Finding, Presence};
use shared::ids::ChangeId;
use shared::ledger::Checkpoint;
use shared::manifest::Manifest;
use shared::plan::{Action, Plan, PlanSet, Reversibility, UndoContract, Verb};
use shared::publication::Publication;
use shared::receipt::{
    Header, HostOutcome, LogSeen, Receipt, Refusal as HostRefusal, StepResult, StepStatus, TufVersions,
};
use shared::refusal::{Code, Refused};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::summary::Summary;
use shared::time::{Interval, Timestamp};
use shared::tuf::{TargetFile, TargetName};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    pub fn publication(&self, name: &str, version: &str, text: &str) -> Statement<Publication> {
        let manifest = serde_json::json!({
            "manifest": name, "version": version, "team": "main", "title": "Test",
            "resources": [{"file": {"path": "/etc/motd", "content": text}}], "on_drift": "report",
        });
        let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        let body = Publication {
            site: self.site.clone(),
            publisher: "pia".parse().unwrap(),
            at: NOW.plus(-900),
            source: Digest::of(b"yaml"),
            manifest,
        };
        Statement::sign(body, &key(PUBLISHER))
    }

    /// The request that publishes this manifest next, and what the repository lists afterwards.
    pub fn publishing(
        &self,
        published: &Statement<Publication>,
    ) -> (manifests::Publish, Map<TargetName, TargetFile>) {
        let (version, mut listed) = self.content.clone();
        let name: TargetName = published.body.target_name().parse().unwrap();
        listed.insert(name, TargetFile::of(&published.to_bytes()));
        let text = String::from_utf8(content(version + 1, listed.clone(), PUBLISHER)).unwrap();
        let target = published.envelope.clone();
        (
            manifests::Publish {
                team: "main".parse().unwrap(),
                content: text,
                target: Some(target),
                older: false,
            },
            listed,
        )
    }

    /// Publishes a manifest over HTTP.
    pub async fn publish(&mut self, name: &str, version: &str) -> ManifestUse {
        let published = self.publication(name, version, version);
        let (request, listed) = self.publishing(&published);
        self.good("POST", "/v1/tuf/publish", &request).await;
        self.content = (self.content.0 + 1, listed);
        used(&published)
    }

    /// A revision of all hosts in waves of one each when `gate` is given.
    pub fn change(&self, id: &ChangeId, revision: u32, manifest: &ManifestUse) -> Change {
        Change { manifests: vec![manifest.clone()], ..self.words(id, revision) }
    }

    /// The same without anything that it brings.
    pub(super) fn words(&self, id: &ChangeId, revision: u32) -> Change {
        Change {
            site: self.site.clone(),
            change_id: id.clone(),
            revision,
            change_type: ChangeType::Normal,
            title: format!("Base of every web server, {revision}"),
            reason: "first roll-out".into(),
            author: "lead".parse().unwrap(),
            created: self.now(),
            manifests: Vec::new(),
            targets: self.hosts.iter().map(Host::target).collect(),
            intervals: vec![
                Interval { from: NOW.plus(3_600), until: NOW.plus(7_200) },
                Interval { from: NOW.plus(DAY), until: NOW.plus(DAY + 3_600) },
            ],
            window_rules: Vec::new(),
            not_after: NOW.plus(2 * DAY),
            missed: Missed::Next,
            waves: Vec::new(),
            plan_binding: PlanBinding::Within,
            action_classes: BTreeSet::from([ActionClass::File]),
            downgrade: false,
            reboot: Reboot::Never,
            undo: UndoPlan { text: "restore the old file".into(), automatic: true },
            lift_quarantine: false,
            correct_until: None,
            halt_above: None,
            series: None,
            model: None,
            supersedes: None,
            accepts: Vec::new(),
            retires: Vec::new(),
        }
    }

    /// The next number of a change.
    pub async fn number(&self) -> ChangeId {
        let created = self.good("POST", "/v1/changes", serde_json::json!({})).await;
        serde_json::from_value(created["change_id"].clone()).unwrap()
    }

    /// A change that all its hosts have planned for, in review.
    pub async fn in_review(&mut self, manifest: &ManifestUse, bend: impl Fn(&mut Change)) -> Reviewed {
        let id = self.number().await;
        let mut change = self.change(&id, 1, manifest);
        bend(&mut change);
        let change = Statement::sign(change, &key(AUTHOR));
        self.good("PUT", &format!("/v1/changes/{id}/revisions/1"), &change.envelope).await;
        self.good("POST", &format!("/v1/changes/{id}/submit"), serde_json::json!({})).await;
        let mut plans = BTreeMap::new();
        let named = |host: &&Host| change.body.targets.iter().any(|target| target.agent == host.agent());
        for host in self.hosts.iter().filter(named) {
            let plan = self.plan(host, &change, "hello");
            self.send_plan(host, &plan).await.unwrap();
            plans.insert(host.agent(), plan);
        }
        Reviewed { id, change, plans }
    }

    pub fn sign(&self, change: Change) -> Statement<Change> {
        Statement::sign(change, &key(AUTHOR))
    }

    pub fn plan(&self, host: &Host, change: &Statement<Change>, text: &str) -> Statement<Plan> {
        let action = Action {
            resource: "file:/etc/motd".parse().unwrap(),
            verb: Verb::Create,
            class: ActionClass::File,
            before: None,
            after: Digest::of(text.as_bytes()),
            summary: "create file:/etc/motd".into(),
            diff: None,
            undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
            content: None,
            package: None,
            programs: Map::default(),
            satisfies: Vec::new(),
        };
        let body = Plan {
            site: self.site.clone(),
            agent_id: host.agent(),
            key: host.key.public(),
            hostname: host.name.clone(),
            host_class: "production".parse().unwrap(),
            change_id: change.body.change_id.clone(),
            revision: change.body.revision,
            change: change.digest,
            at: self.now(),
            actions: vec![action],
            health: Vec::new(),
            upholds: Vec::new(),
            notes: Vec::new(),
            agent_version: semver::Version::new(0, 1, 0),
        };
        Statement::sign(body, &host.key)
    }

    pub async fn send_plan(&self, host: &Host, plan: &Statement<Plan>) -> Result<(), Error> {
        let (site, agent) = (self.site.clone(), host.agent());
        let bytes = plan.to_bytes();
        let now = self.now();
        self.write(move |tx| {
            let plan = shared::plan::open_plan(&bytes)
                .map_err(|e| Refusal::bad_request("request.bad_json").with("detail", e))?;
            plans::accept(tx, (&site, agent), &plan, now)
        })
        .await
    }

    pub fn approval(&self, of: &Reviewed, name: &str, decision: Decision) -> Approval {
        Approval {
            site: self.site.clone(),
            change_id: of.id.clone(),
            revision: of.change.body.revision,
            change: of.change.digest,
            decision,
            person: name.parse().unwrap(),
            at: self.now(),
            expires: self.now().plus(2 * DAY),
            saw: Saw { plan_set: of.plan_set().digest(), renderer: "test".into() },
            agents: None,
            nonce: format!("{name}-{}-{}", decision.as_str(), self.now()),
            comment: String::new(),
            breakglass: None,
        }
    }

    pub fn approving(&self, of: &Reviewed, name: &str, decision: Decision) -> shared::wire::Approve {
        let approval = Statement::sign(self.approval(of, name, decision), &key(approver(name)));
        shared::wire::Approve { plan_set: of.plan_set(), approval: approval.envelope }
    }

    pub async fn approve(&self, of: &Reviewed, name: &str) -> serde_json::Value {
        let sent = self.approving(of, name, Decision::Approve);
        self.good("POST", &format!("/v1/changes/{}/approvals", of.id), sent).await
    }

    pub async fn state(&self, id: &ChangeId) -> String {
        let id = id.clone();
        self.read(move |tx| Ok(changes::get(tx, &id)?.state)).await
    }

    /// Bundles that hosts would find now, by name, verified as a host does.
    pub async fn listed(&self) -> Vec<String> {
        let now = self.now();
        let trusted = self.read(move |tx| manifests::tests::as_client(tx, now)).await;
        trusted.changes().unwrap().iter().map(|(id, revision, _)| format!("{id}.{revision}")).collect()
    }

    /// A file of changes as hosts get it: verified by their client; `None` when it is not listed.
    pub async fn file(&self, name: &TargetName) -> Option<Vec<u8>> {
        let now = self.now();
        let trusted = self.read(move |tx| manifests::tests::as_client(tx, now)).await;
        let file = *trusted.find(name).unwrap()?;
        let stored = self.node.repository.files.get(&self.node.db, &name.served_as(&file)).await;
        let (bytes, _) = stored.unwrap().unwrap();
        file.check(name, &bytes).unwrap();
        Some(bytes.to_vec())
    }

    pub async fn bundle(&self, name: &str) -> shared::bundle::Bundle {
        let bytes = self.file(&name.parse().unwrap()).await.unwrap();
        shared::bundle::Bundle::parse(&bytes).unwrap()
    }

    /// What the gate of a wave of the first revision is judged by, where anything is listed.
    pub async fn gate(&self, id: &ChangeId, wave: u32) -> Option<Vec<Envelope>> {
        let bytes = self.file(&TargetName::Gate { id: id.clone(), revision: 1, wave }).await?;
        Some(shared::bundle::GateFile::parse(&bytes).unwrap().ends)
    }

    pub async fn checkpoint(&self) -> Checkpoint {
        self.read(ledger::head).await
    }

    /// The host's receipt for the change, sent and proven.
    pub async fn report(&mut self, n: usize, of: &Reviewed, outcome: HostOutcome) -> Digest {
        self.report_as(n, of, outcome, None, |_| {}).await
    }

    /// The same with something else in the receipt.
    pub async fn report_bent(
        &mut self,
        n: usize,
        of: &Reviewed,
        outcome: HostOutcome,
        bend: impl FnOnce(&mut Receipt),
    ) -> Digest {
        self.report_as(n, of, outcome, None, bend).await
    }

    /// The same of a correction that answers this finding of the host; the server has heard of it.
    pub async fn correct(&mut self, n: usize, of: &Reviewed, outcome: HostOutcome, finding: u64) -> Digest {
        let receipt = self.report_as(n, of, outcome, Some(finding), |_| {}).await;
        let (db, now) = (self.node.db.clone(), self.now());
        crate::findings::hear(&db, now).await.unwrap();
        receipt
    }

    /// A receipt of one step of this plan, for now and by nobody's approval.
    pub fn receipt(&self, header: Header, plan: &Statement<Plan>, outcome: HostOutcome) -> Receipt {
        let (now, step) = (self.now(), &plan.body.actions[0]);
        Receipt {
            header,
            change_id: plan.body.change_id.clone(),
            revision: plan.body.revision,
            change: plan.body.change,
            wave: 0,
            interval: Interval { from: now, until: now.plus(60) },
            plan: plan.digest,
            plan_set: plan.digest,
            approvals: Vec::new(),
            policy: Digest::of(b"policy"),
            policy_version: self.policy.version,
            self_approved: false,
            tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
            started: now,
            finished: now.plus(5),
            results: vec![StepResult {
                resource: step.resource.clone(),
                verb: step.verb,
                before: None,
                after: step.after,
                status: if outcome.is_success() { StepStatus::Done } else { StepStatus::Failed },
                ms: 5,
                note: String::new(),
            }],
            health: Vec::new(),
            outcome,
            patched: None,
            follows: None,
            corrects: None,
            breakglass: false,
            note: String::new(),
        }
    }

    async fn report_as(
        &mut self,
        n: usize,
        of: &Reviewed,
        outcome: HostOutcome,
        corrects: Option<u64>,
        bend: impl FnOnce(&mut Receipt),
    ) -> Digest {
        let head = self.checkpoint().await;
        let policy = self.read(manifests::policy).await;
        let mut host = self.hosts.remove(n);
        // A host that the change does not name claims another one's plan.
        let plan = of.plans.get(&host.agent()).or_else(|| of.plans.values().next()).unwrap();
        let mut header = self.header(&mut host);
        header.log_seen = Some(LogSeen { origin: head.origin.to_string(), size: head.size, root: head.root });
        let approvals = self.approvals_of(&of.change.digest).await;
        let breakglass = self.breaks_glass(&approvals).await;
        let mut body = Receipt {
            change: of.change.digest,
            wave: u32::try_from(of.change.body.wave_of(host.agent()).unwrap_or_default()).unwrap(),
            interval: match corrects {
                None if breakglass => Interval { from: self.now(), until: self.now().plus(60) },
                None => of.change.body.interval_at(self.now()).unwrap(),
                Some(_) => of.change.body.correction_interval().unwrap(),
            },
            plan_set: of.plan_set().digest(),
            approvals,
            policy: policy.digest,
            policy_version: policy.policy.version,
            corrects,
            breakglass,
            ..self.receipt(header, plan, outcome)
        };
        bend(&mut body);
        let receipt = Statement::sign(body, &host.key);
        host.prev = Some(receipt.digest);
        self.send_with(&host, &receipt.envelope, Summary::signed(&receipt, &host.key)).await;
        self.hosts.insert(n, host);
        receipt.digest
    }

    async fn approvals_of(&self, change: &Digest) -> Vec<Digest> {
        let change = *change;
        self.read(move |tx| changes::store::papers::list_approvals(tx, &change)).await
    }

    async fn breaks_glass(&self, approvals: &[Digest]) -> bool {
        let approvals = approvals.to_vec();
        let said = self.read(move |tx| ledger::find_statements(tx, &approvals)).await;
        said.values().any(|bytes| Statement::<Approval>::parse(bytes).unwrap().body.breakglass.is_some())
    }

    async fn send(&self, host: &Host, envelope: &Envelope) {
        self.send_with(host, envelope, None).await;
    }

    async fn send_with(&self, host: &Host, envelope: &Envelope, summary: Option<Envelope>) {
        let incoming = Incoming::open(envelope, &self.site, host.agent()).unwrap();
        self.node.intake.record(incoming.with_summary(summary).unwrap(), None).await.unwrap();
    }

    /// The host says that it does not do the change.
    pub async fn refuse(&mut self, n: usize, of: &Reviewed, code: Code, retry_at: Option<Timestamp>) {
        self.refuse_about(n, Some(of), code, retry_at).await;
    }

    /// The host says that it does not do the change; without one, that it judges none.
    pub async fn refuse_about(
        &mut self,
        n: usize,
        of: Option<&Reviewed>,
        code: Code,
        retry_at: Option<Timestamp>,
    ) {
        let mut host = self.hosts.remove(n);
        let body = HostRefusal {
            header: self.header(&mut host),
            change_id: of.map(|of| of.id.clone()),
            revision: of.map(|of| of.change.body.revision),
            evidence: of.map_or(Digest::of(b"host"), |of| of.change.digest),
            reason: Refused { code, message: "for the test".into(), retry_at },
            breakglass: false,
        };
        let refusal = Statement::sign(body, &host.key);
        host.prev = Some(refusal.digest);
        self.send(&host, &refusal.envelope).await;
        self.hosts.insert(n, host);
    }

    /// A host says that it is not as the change left it; the server has heard of it when this returns.
    pub async fn find(&mut self, n: usize, of: &Reviewed, bend: impl FnOnce(&mut Finding)) -> Digest {
        let mut host = self.hosts.remove(n);
        let named = &of.change.body.manifests[0];
        let mut body = Finding {
            header: self.header(&mut host),
            number: 1,
            about: About::State(Expected {
                manifest: format!("{}/{}", named.team, named.name),
                version: named.version.clone(),
                change_id: of.id.clone(),
                revision: of.change.body.revision,
                change: of.change.digest,
            }),
            cause: None,
            differences: vec![Difference {
                resource: "file:/etc/motd".parse().unwrap(),
                expected: Digest::of(b"approved"),
                observed: Some(Digest::of(b"found")),
                summary: "/etc/motd: content".into(),
                diff: Some("-found\n+approved\n".into()),
            }],
            more: 0,
            first_seen: self.now(),
            last_seen: self.now(),
            count: 1,
            flapping: false,
            note: String::new(),
            presence: Presence::There,
        };
        bend(&mut body);
        let finding = Statement::sign(body, &host.key);
        host.prev = Some(finding.digest);
        self.send(&host, &finding.envelope).await;
        self.hosts.insert(n, host);
        let (db, now) = (self.node.db.clone(), self.now());
        crate::findings::hear(&db, now).await.unwrap();
        finding.digest
    }

    /// What the publishing job does.
    pub async fn publish_waiting(&self) {
        changes::publish(&self.node.db, &self.node.repository, self.now()).await.unwrap();
    }

    /// What the job for standard changes of a model does.
    pub async fn begin_standard(&self) {
        changes::begin_standard(&self.node.db, self.now()).await.unwrap();
    }

    /// Publishes what a row says, as an intruder with the database would have it done.
    pub async fn refresh_all(&self) -> Result<(), Error> {
        let (online, now) = (self.node.repository.online.clone(), self.now());
        self.write(move |tx| {
            course::lock(tx)?;
            let mut rows = changes::store::list_unpublished(tx)?;
            bundle::refresh(tx, &online, &mut rows, now)
        })
        .await
    }
}

pub fn used(published: &Statement<Publication>) -> ManifestUse {
    let manifest = &published.body.manifest;
    ManifestUse {
        team: manifest.team.clone(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sha256: published.digest,
        params: Map::default(),
        rules: vec![],
    }
}

/// Each host its own wave; the later ones wait for one success of the earlier ones.
pub fn in_waves(change: &mut Change) {
    let gate = shared::change::Gate { min_success: 1, max_fail: 0, soak_s: 60 };
    change.waves = change
        .targets
        .iter()
        .enumerate()
        .map(|(n, target)| Wave { agents: vec![target.agent], gate: (n > 0).then_some(gate) })
        .collect();
}

/// So many hours after the test begins.
pub fn hours(from: i64, until: i64) -> Interval {
    Interval { from: NOW.plus(from * 3_600), until: NOW.plus(until * 3_600) }
}

/// The first revision of a calendar that holds normal changes at these times.
pub fn calendar(mode: &str, times: &[Interval]) -> serde_json::Value {
    let calendar = serde_json::json!({
        "title": "closing of the books", "mode": mode, "holds": ["normal"], "times": times
    });
    serde_json::json!({ "after": 0, "reason": "asked for", "calendar": calendar })
}

/// A change in review with the plans of its hosts.
pub struct Reviewed {
    pub id: ChangeId,
    pub change: Statement<Change>,
    pub plans: BTreeMap<shared::ids::AgentId, Statement<Plan>>,
}

impl Reviewed {
    pub fn plan_set(&self) -> PlanSet {
        let plans = self.plans.iter().map(|(agent, plan)| (*agent, plan.digest)).collect();
        PlanSet { change: self.change.digest, plans }
    }
}

pub fn answer(value: &serde_json::Value) -> approve::Answer {
    serde_json::from_value(value.clone()).unwrap()
}
