//! One real change over all simulated hosts: requested, planned by each host, approved by a person; and the
//! receipts about it that the hosts sign.

use crate::fleet::Agent;
use crate::link::{self, Link};
use shared::change::Change;
use shared::digest::Digest;
use shared::plan::{Action, Plan, Reversibility, UndoContract, Verb};
use shared::receipt::{Header, HealthResult, HostOutcome, Receipt, StepResult, StepStatus, TufVersions};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::time::Interval;
use shared::wire::ChangeFile;
use std::net::SocketAddr;
use tests::World;
use tests::world::NewChange;

const FILES: [&str; 2] = ["/etc/motd", "/etc/bench.conf"];

/// What all receipts have in common.
pub struct Campaign {
    pub id: String,
    change: Statement<Change>,
    plan_set: Digest,
    approvals: Vec<Digest>,
}

impl Campaign {
    /// From request to approval.
    pub fn run(world: &World, agents: &[Agent], server: SocketAddr) -> Self {
        let file = |path| format!("  - file: {{ path: {path}, content: \"bench\\n\", mode: \"0644\" }}\n");
        world.publish("bench", "1.0.0", &format!("resources:\n{}", FILES.map(file).concat())).ok();
        let id = world.draft(&NewChange { manifests: &["bench@1.0.0"], ..NewChange::default() });
        world.submit(&id);
        let change: ChangeFile = world.change_file(&id);
        let change = Statement::<Change>::open(change.change).unwrap();
        let requests: Vec<_> = agents.iter().map(|agent| (agent.tls.clone(), plan(agent, &change))).collect();
        link::spread(requests, move |(tls, plan)| async move {
            let mut link = Link::open(server, tls).await;
            let status = link.call(&post("/agent/v1/plans", &plan)).await.unwrap();
            assert_eq!(status, 204, "{}", String::from_utf8_lossy(link.body()));
        });
        world.approve(&id).ok();
        let file = world.change_file(&id);
        let plan_set = file.plan_set.unwrap().digest();
        Self { id, change, plan_set, approvals: file.approvals.iter().map(|a| a.digest()).collect() }
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
            plan: Digest::of(b"plan"),
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
            note: String::new(),
        };
        let receipt = Statement::sign(receipt, &agent.key);
        let Header { seq, prev, .. } = &mut agent.header;
        (*seq, *prev) = (*seq + 1, Some(receipt.digest));
        receipt
    }
}

fn plan(agent: &Agent, change: &Statement<Change>) -> Vec<u8> {
    let action = |path: &&str| Action {
        resource: format!("file:{path}").parse().unwrap(),
        verb: Verb::Update,
        class: ActionClass::File,
        before: Some(Digest::of(b"before")),
        after: Digest::of(path.as_bytes()),
        summary: format!("update {path}"),
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        package: None,
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
        agent_version: agent.header.agent_version.clone(),
    };
    Statement::sign(plan, &agent.key).to_bytes()
}

/// A whole request.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
