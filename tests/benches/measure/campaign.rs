//! Real changes over all simulated hosts: requested, planned by each host, approved by a person; and the
//! receipts about them that the hosts sign.

use crate::fleet::Agent;
use crate::link::{self, Link};
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::plan::{Action, Plan, Reversibility, UndoContract, Verb};
use shared::receipt::{Header, HealthResult, HostOutcome, Receipt, StepResult, StepStatus, TufVersions};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::Interval;
use shared::wire::ChangeFile;
use std::collections::HashMap;
use std::net::SocketAddr;
use tests::World;
use tests::world::NewChange;

const FILES: [&str; 2] = ["/etc/motd", "/etc/bench.conf"];

/// What all receipts have in common.
pub struct Campaign {
    pub id: String,
    change: Statement<Change>,
    plans: HashMap<AgentId, Digest>,
    plan_set: Digest,
    approvals: Vec<Digest>,
}

impl Campaign {
    /// Publishes the manifest of all campaigns.
    pub fn prepare(world: &World) {
        let file = |path| format!("  - file: {{ path: {path}, content: \"bench\\n\", mode: \"0644\" }}\n");
        world.publish("bench", "1.0.0", &format!("resources:\n{}", FILES.map(file).concat())).ok();
    }

    /// From request to approval.
    pub fn run(world: &World, agents: &[Agent], server: SocketAddr) -> Self {
        let id = world.draft(&NewChange { manifests: &["bench@1.0.0"], ..NewChange::default() });
        world.submit(&id);
        let change: ChangeFile = world.change_file(&id);
        let change = Statement::<Change>::open(change.change).unwrap();
        let planned: Vec<_> = agents.iter().map(|agent| (agent, plan(agent, &change))).collect();
        let plans = planned.iter().map(|(agent, plan)| (agent.header.agent_id, plan.digest)).collect();
        let requests = planned.iter().map(|(agent, plan)| (agent.tls.clone(), plan.to_bytes())).collect();
        link::spread(requests, move |(tls, plan): (_, Vec<u8>)| async move {
            let mut link = Link::open(server, tls).await;
            let status = link.call(&link::post("/agent/v1/plans", &plan)).await.unwrap();
            assert_eq!(status, 204, "{}", String::from_utf8_lossy(link.body()));
        });
        world.approve(&id).ok();
        let file = world.change_file(&id);
        let plan_set = file.plan_set.unwrap().digest();
        let approvals = file.approvals.iter().map(|approval| approval.digest()).collect();
        Self { id, change, plans, plan_set, approvals }
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
        let health = HealthResult { name: "still there".into(), ok: true, output: "ok".into(), ms: 2 };
        let receipt = Receipt {
            header: agent.header.clone(),
            change_id: self.change.body.change_id.clone(),
            revision: self.change.body.revision,
            change: self.change.digest,
            wave: 0,
            interval: Interval { from: at, until: at.plus(3_600) },
            plan: self.plans[&agent.header.agent_id],
            plan_set: self.plan_set,
            approvals: self.approvals.clone(),
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
        notes: Vec::new(),
        agent_version: agent.header.agent_version.clone(),
    };
    Statement::sign(plan, &agent.key)
}
