//! A simulated fleet: many hosts in one process, each with its own key, chain, spool and clock, through changes of five waves
//! with failures, halts, lost answers, cut lines and wrong clocks. Handlers, database and repository are the server's, the
//! admission is `shared`'s; what has to hold is checked after every step (`truth`).
//!
//! `ASSENT_TEST_FLEET` says how many hosts there are, else few; `ASSENT_TEST_FLEET_SEED` repeats or varies a run.

mod dice;
mod host;
mod line;
mod truth;
mod view;

use crate::changes;
use crate::changes::tests::world::{Host, NOW, Reviewed, World};
use dice::Dice;
use host::{Sim, Weather};
use line::Line;
use serde_json::{Value, json};
use shared::approval::Decision;
use shared::change::{Change, Gate, ManifestUse, Wave};
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::limits::{CHANGE_TARGETS, GATE_BYTES};
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::Interval;
use shared::wire::{Invite, Waiting};
use std::rc::Rc;
use truth::{Course, Truth};
use view::View;

/// Of every change, in hundredths, in each wave.
const WAVES: [usize; 5] = [3, 7, 20, 30, 40];
const SOAK_S: u32 = 120;
/// One answer in so many is lost.
const LOSSES: usize = 12;
const HOURS: i64 = 3_600;
/// A run that takes longer than this is stuck.
const STEPS: usize = 160;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

struct Fleet {
    world: World,
    people: Line,
    agents: Line,
    used: ManifestUse,
    hosts: Vec<Sim>,
    courses: Vec<Course>,
    truth: Truth,
    newest: Option<Rc<View>>,
    dice: Dice,
    steps: usize,
    halts: usize,
    /// The step in which a halted change goes on.
    resumes: Option<(usize, ChangeId)>,
}

impl Fleet {
    async fn enrol(mut world: World, count: usize, mut dice: Dice) -> Self {
        let used = world.publish("base", "1.0.0").await;
        let (people, agents) = (Line::people(&world).await, Line::agents(&world).await);
        let mut hosts = Vec::new();
        for n in 0..count {
            let host_class = "production".parse().unwrap();
            let invite = Invite { host_class, labels: Map::default(), minutes: 10 };
            let invitation = people.person("POST", "/v1/join-tokens", invite).await;
            let mut host = Host::new(n);
            let join = world.joining(&mut host, serde_json::from_value(invitation).unwrap());
            people.person("POST", "/v1/join", join).await;
            let skew = if dice.one_in(100) { -HOURS } else { [-240, 0, 240][dice.below(3)] };
            let outcome = match dice.below(50) {
                0 => HostOutcome::Failed,
                1 => HostOutcome::RolledBack,
                2 => HostOutcome::Unchanged,
                _ => HostOutcome::Applied,
            };
            // Together more than any file that hosts read may have.
            hosts.push(Sim::new(host, skew, outcome, 2 * GATE_BYTES / count));
        }
        Self {
            world,
            people,
            agents,
            used,
            hosts,
            courses: Vec::new(),
            truth: Truth::default(),
            newest: None,
            dice,
            steps: 0,
            halts: 0,
            resumes: None,
        }
    }

    /// A change over these hosts in five waves, in review: at least seven of ten hosts of earlier waves have to succeed.
    async fn submit(&mut self, hosts: std::ops::Range<usize>) -> Statement<Change> {
        let id: ChangeId = serde_json::from_value(
            self.people.person("POST", "/v1/changes", json!({})).await["change_id"].clone(),
        )
        .unwrap();
        let targets: Vec<_> = self.hosts[hosts].iter().map(|sim| sim.host.target()).collect();
        let mut waves = Vec::new();
        let mut earlier = 0;
        for (n, hundredths) in WAVES.iter().enumerate() {
            let size = (targets.len() * hundredths / 100).max(4).min(targets.len() - earlier);
            let part =
                if n + 1 == WAVES.len() { &targets[earlier..] } else { &targets[earlier..earlier + size] };
            let small = |count: usize| u32::try_from(count).unwrap();
            let (min_success, max_fail) = (small(earlier * 7 / 10), small(earlier * 15 / 100));
            let gate = (n > 0).then_some(Gate { min_success, max_fail, soak_s: SOAK_S });
            waves.push(Wave { agents: part.iter().map(|target| target.agent).collect(), gate });
            earlier += part.len();
        }
        let change = Change {
            targets,
            waves,
            intervals: vec![Interval { from: NOW.plus(HOURS), until: NOW.plus(10 * HOURS) }],
            ..self.world.change(&id, 1, &self.used)
        };
        let change = self.world.sign(change);
        let path = format!("/v1/changes/{id}");
        self.people.person("PUT", &format!("{path}/revisions/1"), &change.envelope).await;
        self.people.person("POST", &format!("{path}/submit"), json!({})).await;
        change
    }

    /// A person approves what the hosts of the change have planned.
    async fn approve(&mut self, change: Statement<Change>) {
        let id = change.body.change_id.clone();
        let of_it = |sim: &&Sim| sim.has_planned() && sim.plan().body.change_id == id;
        let plans = self.hosts.iter().filter(of_it).map(|sim| (sim.agent, sim.plan().clone())).collect();
        let of = Reviewed { id: id.clone(), change, plans };
        let sent = self.world.approving(&of, "peer", Decision::Approve);
        let approval = Envelope::digest(&sent.approval);
        let told = self.people.person("POST", &format!("/v1/changes/{id}/approvals"), sent).await;
        assert_eq!(told["state"], "approved", "{told}");
        self.courses.push(Course { plan_set: of.plan_set(), id, change: of.change, approval });
    }

    /// Time passes, an operator may step in, the repository is published, many hosts look for work; then everything is checked.
    async fn step(&mut self) {
        self.steps += 1;
        self.world.clock.set(self.world.now().plus(60 + i64::try_from(self.dice.below(120)).unwrap()));
        let halted = self.operate().await;
        self.world.publish_waiting().await;
        self.world.node.board.refresh(&self.world.node.db).await.unwrap();
        self.truth.read(&self.world, &self.courses).await;
        let version = self.world.node.board.timestamp_version();
        if self.newest.as_ref().is_none_or(|view| view.version < version) {
            let view = View::fetch(&self.world, &self.used, self.truth.size()).await;
            self.newest = Some(Rc::new(view));
        }
        if let (Some(id), Some(view)) = (halted, &self.newest) {
            assert!(view.control.halted.contains(&id), "a halt is told with the next version");
            self.truth.halted.insert(id, view.version);
        }
        for sim in &mut self.hosts {
            if self.dice.one_in(3) {
                continue;
            }
            if self.dice.one_in(150) {
                sim.off = sim.off.max(self.dice.below(4));
            }
            if self.dice.one_in(60) {
                sim.cut = self.dice.below(6);
            }
            let (world, newest) = (&self.world, self.newest.as_ref());
            let weather = Weather { world, line: &self.agents, newest, losses: LOSSES };
            if let Some(begun) = sim.tick(&weather, &mut self.dice).await {
                self.truth.begin(&begun, &self.courses);
            }
        }
        self.truth.read(&self.world, &self.courses).await;
        self.counts().await;
    }

    /// Halts a change now and then, and lets it go on some steps later.
    async fn operate(&mut self) -> Option<ChangeId> {
        if let Some((step, id)) = self.resumes.clone() {
            if step <= self.steps {
                self.resume(&id).await;
            }
            return None;
        }
        if self.courses.is_empty() || !self.dice.one_in(5) {
            return None;
        }
        let course = &self.courses[self.dice.below(self.courses.len())];
        if self.truth.ended(&course.id) == course.plan_set.plans.len() {
            return None;
        }
        let id = course.id.clone();
        self.people.person("POST", &format!("/v1/changes/{id}/halt"), json!({})).await;
        self.halts += 1;
        self.resumes = Some((self.steps + 2 + self.dice.below(3), id.clone()));
        Some(id)
    }

    /// Lets a halted change go on, unless it has come to its end by the hosts that had begun.
    async fn resume(&mut self, id: &ChangeId) {
        let course = self.courses.iter().find(|course| course.id == *id).unwrap();
        if self.truth.ended(id) < course.plan_set.plans.len() {
            self.people.person("POST", &format!("/v1/changes/{id}/resume"), json!({})).await;
        }
        self.truth.halted.remove(id);
        self.resumes = None;
    }

    /// What people are shown adds up to the fleet.
    async fn counts(&mut self) {
        let lines = self.people.person("GET", "/v1/changes", ()).await;
        for course in &self.courses {
            let is = |line: &&Value| line["change_id"] == json!(course.id);
            let line = lines.as_array().unwrap().iter().find(is).unwrap();
            let ended = self.truth.ended(&course.id);
            let targets = course.change.body.targets.len();
            let told = ["targets", "plans", "reported"].map(|part| line[part].as_u64().unwrap() as usize);
            assert_eq!(told, [targets, course.plan_set.plans.len(), ended], "{line}");
            let state = match self.truth.halted.contains_key(&course.id) {
                // Whoever had no plan when it was approved is not waited for; hosts that had begun end a halted change too.
                _ if ended == course.plan_set.plans.len() => "review",
                true => "halted",
                // Whoever lets a halted change go on says that it runs.
                false if ended == 0 && line["state"] == "approved" => "approved",
                false => "running",
            };
            assert_eq!(line["state"], state, "{line}");
        }
        if self.courses.is_empty() {
            return;
        }
        let course = &self.courses[self.steps % self.courses.len()];
        let told = self.people.person("GET", &format!("/v1/waiting?change={}", course.id), ()).await;
        let told: Vec<Waiting> = serde_json::from_value(told).unwrap();
        let sum = |groups: &mut dyn Iterator<Item = &Waiting>| {
            groups.map(|group| group.hosts as usize).sum::<usize>()
        };
        assert_eq!(sum(&mut told.iter()), course.change.body.targets.len(), "each host is in one group");
        let mut reported = told.iter().filter(|group| group.standing == "reported");
        assert_eq!(sum(&mut reported), self.truth.ended(&course.id));
        self.told_of_clocks(course, &told);
    }

    /// Hosts whose word about their clock has arrived are told as such where everything else holds, and no others.
    fn told_of_clocks(&self, course: &Course, told: &[Waiting]) {
        let group = told.iter().filter(|group| group.code == Code::TimeSuspect.as_str());
        let shown: usize = group.map(|group| group.hosts as usize).sum();
        let targets = |sim: &&Sim| course.change.body.wave_of(sim.agent).is_some();
        let suspect = self.hosts.iter().filter(targets).filter(|sim| sim.has_complained()).count();
        assert!(shown <= suspect, "{shown} of {suspect}");
        let open = course.change.body.interval_at(self.world.now()).is_ok();
        if open
            && !self.truth.halted.contains_key(&course.id)
            && told.iter().all(|group| group.code != "plan.missing")
        {
            assert_eq!(shown, suspect, "{told:?}");
        }
    }

    /// Hosts of the change that will run it: planned, and with a clock that can be right.
    fn able(&self, course: &Course) -> Vec<AgentId> {
        let able = |sim: &&Sim| course.plan_set.plans.contains_key(&sim.agent) && sim.skew > -HOURS;
        self.hosts.iter().filter(able).map(|sim| sim.agent).collect()
    }

    /// All hosts that can have reported; of a change that goes wrong those of the first two waves.
    fn is_through(&self, course: &Course, wrong: bool) -> bool {
        let waits = |agent: &AgentId| !wrong || course.change.body.wave_of(*agent) < Some(2);
        let mut able = self.able(course).into_iter().filter(waits);
        able.all(|agent| self.truth.has_ended(&course.id, agent))
    }
}

/// The last third of the fleet, or as many hosts of it as a change may have, has a change of its own, of which a wave goes wrong.
async fn go_through(world: World, count: usize, seed: u64) {
    let mut fleet = Fleet::enrol(world, count, Dice::new(seed)).await;
    let good = count - (count / 3).min(CHANGE_TARGETS);
    let mut ranges: Vec<_> =
        (0..good).step_by(CHANGE_TARGETS).map(|at| at..good.min(at + CHANGE_TARGETS)).collect();
    ranges.push(good..count);
    let mut changes = Vec::new();
    for range in ranges {
        let change = fleet.submit(range).await;
        for (n, sim) in fleet.hosts.iter_mut().enumerate() {
            let wave = change.body.wave_of(sim.agent);
            // The first hosts are chosen well; of the last change every other host of the second wave fails, and the
            // rest of that wave comes when this is known.
            if wave == Some(0) || (wave == Some(1) && n < good) {
                (sim.skew, sim.outcome) = (sim.skew.max(0), HostOutcome::Applied);
            } else if wave == Some(1) && n >= good && n % 2 == 0 {
                (sim.skew, sim.outcome) = (sim.skew.max(0), HostOutcome::Failed);
            } else if wave.is_some() && fleet.dice.one_in(50) {
                sim.off = 30;
            }
        }
        changes.push(change);
    }
    while fleet.hosts.iter().any(|sim| !sim.has_planned() && sim.off < 10) {
        fleet.step().await;
        assert!(fleet.steps < 25, "somebody does not plan");
    }
    for change in changes {
        fleet.approve(change).await;
    }
    fleet.world.clock.set(NOW.plus(HOURS - 600));
    let last = fleet.courses.len() - 1;
    let second = fleet.courses[last].change.body.waves[1].agents.clone();
    let late = |sim: &&mut Sim| second.contains(&sim.agent) && sim.outcome.is_success();
    let most = fleet.courses[last].change.body.waves[2].gate.unwrap().max_fail as usize;
    while !fleet.courses.iter().enumerate().all(|(n, course)| fleet.is_through(course, n == last)) {
        // The rest of the second wave comes when more have failed than the third one lets fail.
        if fleet.truth.failed_before(&fleet.courses[last].id, 2) <= most {
            fleet.hosts.iter_mut().filter(late).for_each(|sim| sim.off = sim.off.max(1));
        }
        fleet.step().await;
        let states: Vec<_> =
            fleet.courses.iter().map(|course| (course.id.clone(), fleet.truth.ended(&course.id))).collect();
        assert!(fleet.steps < STEPS, "stuck after {states:?}");
    }
    for _ in 0..5 {
        fleet.step().await;
    }
    let (bad, truth) = (&fleet.courses[last], &fleet.truth);
    assert!(truth.begun_in(bad, 1) > 0, "its second wave was let in");
    assert_eq!(
        [2, 3, 4].map(|wave| truth.begun_in(bad, wave)),
        [0; 3],
        "nobody follows a wave that went wrong"
    );
    assert!(fleet.halts > 0, "somebody halted something");
    // Their end comes whatever is missing.
    let end = bad.change.body.not_after;
    if let Some((_, id)) = fleet.resumes.clone() {
        fleet.resume(&id).await;
    }
    fleet.world.clock.set(end);
    changes::tend(&fleet.world.node.db, fleet.world.now()).await.unwrap();
    for course in &fleet.courses {
        assert_eq!(fleet.world.state(&course.id).await, "review");
    }
    assert!(fleet.world.read(crate::ledger::check).await.is_empty());
    let settled = fleet.hosts.iter().filter(|sim| sim.is_settled()).count();
    println!(
        "simulated fleet on {}: {count} hosts, {} changes, {} steps, {} halts, {} leaves, {settled} hosts settled",
        fleet.world.engine,
        fleet.courses.len(),
        fleet.steps,
        fleet.halts,
        fleet.truth.size()
    );
}

/// Hosts of a run that nobody asked for more: with real signatures of each, thousands take minutes.
const HOSTS: u64 = 60;

#[actix_web::test]
async fn a_fleet_goes_through_five_waves_with_failures_halts_lost_answers_and_wrong_clocks() {
    let count = from_env("ASSENT_TEST_FLEET").unwrap_or(HOSTS);
    let seed = from_env("ASSENT_TEST_FLEET_SEED").unwrap_or(1);
    for world in World::each(1, 0).await {
        go_through(world, usize::try_from(count).unwrap(), seed).await;
    }
}
