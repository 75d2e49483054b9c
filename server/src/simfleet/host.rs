//! One simulated host: the protocol of an agent with its own key, chain, spool and clock, and `shared`'s own admission.

use super::dice::Dice;
use super::line::Line;
use super::view::View;
use crate::changes::tests::world::{Host, World};
use shared::admit::{self, Me};
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::limits::CLOCK_SKEW_SECS;
use shared::plan::Plan;
use shared::receipt::{HostOutcome, Receipt, Refusal, open_chained};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::strict;
use shared::summary::Summary;
use shared::time::Timestamp;
use shared::wire::{Record, Work};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

/// A host has begun a change.
pub struct Begun {
    pub change: ChangeId,
    pub agent: AgentId,
    pub wave: usize,
    pub view: Rc<View>,
    /// Versions that the server has told it of.
    pub told: u64,
    pub at: Timestamp,
}

/// Makes the receipt of a run when it ends.
type Ending = Box<dyn FnOnce(&World, &mut Host, Timestamp) -> Statement<Receipt>>;

pub struct Sim {
    pub host: Host,
    /// Seconds by which its clock is ahead.
    pub skew: i64,
    /// How its run ends.
    pub outcome: HostOutcome,
    /// Ticks for which it is switched off.
    pub off: usize,
    /// Ticks for which it does not reach the server.
    pub cut: usize,
    pub agent: AgentId,
    /// How much its receipts have to tell.
    note_bytes: usize,
    tag: Option<String>,
    told: u64,
    wishes: Vec<Envelope>,
    view: Option<Rc<View>>,
    plan: Option<Statement<Plan>>,
    begun: BTreeSet<ChangeId>,
    refused: bool,
    /// It is between its first step and its receipt.
    running: Option<Ending>,
    spool: VecDeque<Envelope>,
}

/// What a host meets in one tick.
pub struct Weather<'a> {
    pub world: &'a World,
    pub line: &'a Line,
    pub newest: Option<&'a Rc<View>>,
    /// One in so many answers is lost; 0: none.
    pub losses: usize,
}

impl Sim {
    pub fn new(host: Host, skew: i64, outcome: HostOutcome, note_bytes: usize) -> Self {
        Self {
            agent: host.agent(),
            host,
            skew,
            outcome,
            off: 0,
            cut: 0,
            note_bytes,
            tag: None,
            told: 0,
            wishes: Vec::new(),
            view: None,
            plan: None,
            begun: BTreeSet::new(),
            refused: false,
            running: None,
            spool: VecDeque::new(),
        }
    }

    pub fn has_planned(&self) -> bool {
        self.plan.is_some()
    }

    pub fn plan(&self) -> &Statement<Plan> {
        self.plan.as_ref().unwrap()
    }

    /// Nothing of it is under way.
    pub fn is_settled(&self) -> bool {
        self.running.is_none() && self.spool.is_empty()
    }

    /// The server has its word that its clock cannot be right.
    pub fn has_complained(&self) -> bool {
        self.refused && self.spool.is_empty()
    }

    fn is_suspect(&self, view: &View, now: Timestamp) -> bool {
        now < view.issued.plus(-CLOCK_SKEW_SECS)
    }

    pub async fn tick(&mut self, weather: &Weather<'_>, dice: &mut Dice) -> Option<Begun> {
        if self.off > 0 {
            self.off -= 1;
            return None;
        }
        let reaches = self.cut == 0;
        self.cut = self.cut.saturating_sub(1);
        if reaches {
            self.check_in(weather, dice).await;
            self.plan_wishes(weather, dice).await;
        }
        let now = weather.world.now().plus(self.skew);
        let begun = match self.running.take() {
            Some(ending) => {
                let receipt = ending(weather.world, &mut self.host, now);
                self.spool.push_back(receipt.envelope);
                None
            }
            None => self.begin(weather.world, now),
        };
        if reaches {
            self.deliver(weather, dice).await;
        }
        begun
    }

    async fn check_in(&mut self, weather: &Weather<'_>, dice: &mut Dice) {
        let answer =
            weather.line.host(self.agent, ("GET", "/agent/v1/work"), self.tag.as_deref(), Vec::new()).await;
        if dice.one_in(weather.losses) {
            return;
        }
        match answer.status {
            304 => {}
            200 => {
                let work: Work = strict::from_json("work", &answer.body, 1 << 24).unwrap();
                (self.told, self.wishes, self.tag) = (work.timestamp_version, work.plan_wishes, answer.tag);
            }
            other => panic!("{}: {other} {}", self.host.name, answer.json()),
        }
        let newer = |view: &&Rc<View>| self.view.as_ref().is_none_or(|mine| mine.version < view.version);
        if let Some(view) = weather.newest.filter(newer) {
            self.view = Some(view.clone());
        }
    }

    async fn plan_wishes(&mut self, weather: &Weather<'_>, dice: &mut Dice) {
        let Some(wish) = self.wishes.first() else { return };
        let change = Statement::<Change>::open(wish.clone()).unwrap();
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => weather.world.plan(&self.host, &change, "hello"),
        };
        let answer = weather.line.host(self.agent, ("POST", "/agent/v1/plans"), None, plan.to_bytes()).await;
        assert_eq!(answer.status, 204, "{}: {}", self.host.name, answer.json());
        self.plan = Some(plan);
        // Without the answer it stays a wish, and the same plan goes out again.
        if !dice.one_in(weather.losses) {
            self.wishes.clear();
        }
    }

    fn begin(&mut self, world: &World, now: Timestamp) -> Option<Begun> {
        let view = self.view.clone()?;
        let plan = self.plan.clone()?;
        let id = plan.body.change_id.clone();
        if self.begun.contains(&id) || self.refused {
            return None;
        }
        let bundle = view.bundles.get(&id)?;
        let admitted = (|| {
            if self.is_suspect(&view, now) {
                return Err(Refused::new(Code::TimeSuspect, "the clock of this host is behind"));
            }
            let (policy, change) = (&view.policy, &bundle.change);
            // The agent judges approvals first; here what is cheap comes first, and everything has to hold.
            let open = view.control.closed(self.agent);
            let window = admit::in_window(policy, &change.body, open, now, now)?;
            let gate = view.gate(bundle, self.agent, now)?;
            let class = "production".parse().unwrap();
            let me = Me { key: self.host.key.public(), host_class: &class };
            let addressed = admit::address(policy, change.clone(), &me, now)?;
            let approved = admit::approve(policy, &addressed, bundle, &plan, &view.sources, &me, now)?;
            let needed = admit::budgets_of(&approved, &view.control, self.agent);
            Ok((admit::take_turn(gate, &needed, None, now)?, approved, window))
        })();
        let (turn, approved, window) = match admitted {
            Ok(admitted) => admitted,
            Err(refused) if refused.code == Code::TimeSuspect => {
                self.refused = true;
                self.refuse(world, refused, now);
                return None;
            }
            Err(_) => return None,
        };
        let (wave, outcome, started) = (turn.wave(), self.outcome, now);
        let (policy, set) = (view.policy.version, approved.plan_set());
        let (own, of) = (plan, approved.approvals().to_vec());
        let (interval, note_bytes) = (window.interval(), self.note_bytes);
        self.begun.insert(id.clone());
        self.running = Some(Box::new(move |world, host, finished| {
            let mut header = world.header(host);
            header.at = finished;
            let mut receipt = world.receipt(header, &own, outcome);
            // As long as what real hosts have to say of many steps.
            receipt.results[0].note = "x".repeat(note_bytes);
            let receipt = Receipt {
                wave: u32::try_from(wave).unwrap(),
                interval,
                plan_set: set,
                approvals: of,
                policy_version: policy,
                started,
                finished,
                ..receipt
            };
            host.chain(receipt)
        }));
        Some(Begun { change: id, agent: self.agent, wave, view, told: self.told, at: now })
    }

    /// About itself, as agents do it whose clock cannot be right: they judge no change.
    fn refuse(&mut self, world: &World, reason: Refused, now: Timestamp) {
        let mut header = world.header(&mut self.host);
        header.at = now;
        let refusal = Refusal {
            header,
            change_id: None,
            revision: None,
            evidence: Digest::of(now.to_string().as_bytes()),
            reason,
            breakglass: false,
        };
        self.spool.push_back(self.host.chain(refusal).envelope);
    }

    /// Oldest first; what is not answered stays.
    async fn deliver(&mut self, weather: &Weather<'_>, dice: &mut Dice) {
        while let Some(statement) = self.spool.front().cloned() {
            if dice.one_in(weather.losses * 2) {
                return;
            }
            let receipt = open_chained::<Receipt>(&statement.to_bytes(), &weather.world.config.site_id);
            let summary = receipt.ok().and_then(|receipt| Summary::signed(&receipt, &self.host.key));
            let record = strict::to_json(&Record { statement, summary, log_size: None });
            let answer = weather.line.host(self.agent, ("POST", "/agent/v1/statements"), None, record).await;
            assert!(answer.status < 300, "{}: {} {}", self.host.name, answer.status, answer.json());
            if dice.one_in(weather.losses) {
                return;
            }
            self.spool.pop_front();
        }
    }
}
