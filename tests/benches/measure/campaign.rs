//! Real changes over all simulated hosts: requested, planned by each host, approved by a person; and the
//! receipts about them that the hosts sign.

use crate::fleet::Agent;
use crate::link::{self, Link};
use shared::change::{Change, Target};
use shared::digest::Digest;
use shared::health::{HealthResult, HealthState};
use shared::keys::SigningKey;
use shared::plan::{Action, Plan, PlanSet, Reversibility, UndoContract, Verb};
use shared::receipt::{Header, HostOutcome, Receipt, StepResult, StepStatus, TufVersions};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::Interval;
use std::net::SocketAddr;
use tests::World;
use tests::world::NewChange;

/// Hosts that send their plans at once.
const CONNECTIONS: usize = 256;
const FILES: [&str; 2] = ["/etc/motd", "/etc/bench.conf"];

/// What all receipts have in common.
pub struct Campaign {
    pub id: String,
    change: Statement<Change>,
    plan_set: PlanSet,
    approval: Digest,
}

/// A change as the command line writes it, from which further ones are made, and the key of its author.
pub struct Pattern {
    change: Change,
    key: SigningKey,
}

impl Pattern {
    /// Publishes a manifest and asks for it on all hosts.
    pub fn new(world: &World) -> Self {
        let file = |path| format!("  - file: {{ path: {path}, content: \"bench\\n\", mode: \"0644\" }}\n");
        world.publish("bench", "1.0.0", &format!("resources:\n{}", FILES.map(file).concat())).ok();
        let id = world.draft(&NewChange { manifests: &["bench@1.0.0"], ..NewChange::default() });
        let change = Statement::<Change>::open(world.change_file(&id).change).unwrap().body;
        Self { change, key: world.own_key("approver") }
    }

    /// Another change like this one over these hosts, submitted; `bend` has a hand in it before its author signs.
    fn request(&self, world: &World, agents: &[Agent], bend: impl Fn(&mut Change)) -> Statement<Change> {
        let call = |method, path: &str, body: &[u8]| {
            let reply = world.api(method, path, body);
            assert!(reply.status() < 300, "{method} {path}: {}", reply.text());
            reply
        };
        let change_id =
            call("POST", "/v1/changes", b"{}").json()["change_id"].as_str().unwrap().parse().unwrap();
        let target =
            |agent: &Agent| Target { agent: agent.header.agent_id, key: agent.key.public().digest() };
        let mut targets: Vec<_> = agents.iter().map(target).collect();
        targets.sort_by_key(|target| target.agent);
        let mut change = Change { change_id, targets, ..self.change.clone() };
        bend(&mut change);
        let change = Statement::sign(change, &self.key);
        let path = format!("/v1/changes/{}", change.body.change_id);
        call("PUT", &format!("{path}/revisions/1"), &change.to_bytes());
        call("POST", &format!("{path}/submit"), b"");
        change
    }
}

impl Campaign {
    /// From request to approval.
    pub fn run(
        pattern: &Pattern,
        world: &World,
        agents: &[Agent],
        server: SocketAddr,
        bend: impl Fn(&mut Change),
    ) -> Self {
        let change = pattern.request(world, agents, bend);
        let id = change.body.change_id.to_string();
        let planned: Vec<_> = agents.iter().map(|agent| (agent, plan(agent, &change))).collect();
        let plans = planned.iter().map(|(agent, plan)| (agent.header.agent_id, plan.digest)).collect();
        let plan_set = PlanSet { change: change.digest, plans };
        for some in planned.chunks(CONNECTIONS) {
            let requests = some.iter().map(|(agent, plan)| (agent.tls.clone(), plan.to_bytes())).collect();
            link::spread(requests, move |(tls, plan): (_, Vec<u8>)| async move {
                let mut link = Link::open(server, tls).await;
                let status = link.call(&link::post("/agent/v1/plans", &plan)).await.unwrap();
                assert_eq!(status, 204, "{}", String::from_utf8_lossy(link.body()));
            });
        }
        let approval =
            world.sign_approval(&change, &plan_set, pattern.change.author.as_str(), &pattern.key, |_| ());
        let reply = world.send_approval(&id, &plan_set, &approval);
        assert_eq!(reply.status(), 200, "{}", reply.text());
        Self { id, change, plan_set, approval: approval.digest }
    }

    /// The next receipt of a host's chain, which moves on.
    pub fn receipt(&self, agent: &mut Agent) -> Statement<Receipt> {
        let at = agent.header.at;
        let step = |path: &&str| StepResult {
            resource: format!("file:{path}").parse().unwrap(),
            verb: Verb::Update,
            before: Some(Digest::of(b"before")),
            after: Digest::of(&agent.header.seq.to_le_bytes()),
            status: StepStatus::Done,
            ms: 3,
            note: String::new(),
        };
        let health = HealthResult {
            name: "still there".into(),
            ok: true,
            state: Some(HealthState::Ok),
            output: "ok".into(),
            long: String::new(),
            metrics: Vec::new(),
            unread: String::new(),
            ms: 2,
        };
        let receipt = Receipt {
            header: agent.header.clone(),
            change_id: self.change.body.change_id.clone(),
            revision: self.change.body.revision,
            change: self.change.digest,
            wave: 0,
            interval: Interval { from: at, until: at.plus(3_600) },
            plan: self.plan_set.plans[&agent.header.agent_id],
            plan_set: self.plan_set.digest(),
            approvals: vec![self.approval],
            policy: Digest::of(b"policy"),
            policy_version: 1,
            self_approved: true,
            tuf: TufVersions { root: 1, timestamp: 3, snapshot: 3, targets: 1 },
            started: at,
            finished: at,
            results: FILES.iter().map(step).collect(),
            health: vec![health],
            outcome: HostOutcome::Applied,
            patched: None,
            follows: None,
            corrects: None,
            breakglass: false,
            note: String::new(),
        };
        let receipt = Statement::sign(receipt, &agent.key);
        let Header { seq, prev, .. } = &mut agent.header;
        (*seq, *prev) = (*seq + 1, Some(receipt.digest));
        receipt
    }
}

fn plan(agent: &Agent, change: &Statement<Change>) -> Statement<Plan> {
    let action = |path: &&str| Action {
        resource: format!("file:{path}").parse().unwrap(),
        verb: Verb::Update,
        class: ActionClass::File,
        before: Some(Digest::of(b"before")),
        after: Digest::of(path.as_bytes()),
        summary: format!("update {path}"),
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    };
    let plan = Plan {
        site: agent.header.site.clone(),
        agent_id: agent.header.agent_id,
        key: agent.header.key,
        hostname: agent.hostname.clone(),
        host_class: agent.header.host_class.clone(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        at: agent.header.at,
        actions: FILES.iter().map(action).collect(),
        health: Vec::new(),
        upholds: Vec::new(),
        notes: Vec::new(),
        agent_version: agent.header.agent_version.clone(),
    };
    Statement::sign(plan, &agent.key)
}
