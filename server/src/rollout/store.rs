//! Collects the facts for one host and one change from the slices below. It has no tables of its own.

use super::model::{Because, Facts, HostRefusal, Report, Standing, Target, because};
use crate::budgets;
use crate::calendars;
use crate::changes;
use crate::fleet::{self, Contact, Hindrance};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use crate::ledger;
use shared::admit;
use shared::approval::Reach;
use shared::bundle::Control;
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::windows::{Blackout, Closed};
use shared::wire::{Waiting, WaveLine, Why};
use std::collections::BTreeMap;

/// Hosts that a group names.
const SOME: usize = 5;

/// Why `host` (name, CI or agent id) is not changing yet. `heard_here` is what this node has heard of it.
pub fn why(
    tx: &mut Conn,
    (host, id): (&str, &ChangeId),
    heard_here: impl Fn(AgentId) -> Contact,
    language: Language,
    now: Timestamp,
) -> Result<Why, Error> {
    let host = fleet::get(tx, host)?;
    let row = changes::get(tx, id)?;
    let contact = heard_here(host.agent);
    let last_seen = host.last_seen.max(contact.seen);
    let mut refusal = None;
    let because = match row.statement.is_some() {
        false => Because {
            standing: Standing::NotTargeted,
            code: "change.draft".into(),
            message: None,
            by_host: false,
            retry_at: None,
        },
        true => {
            let known = Known::of(tx, &row, Some(host.agent), now)?;
            let why = because(&known.facts(&host, contact, now), now);
            let said = known.refusals.get(&host.agent).map(|said| &said.statement);
            // A word about the host as a whole is told only where it is the answer.
            let hindered = known.hindrance(host.agent, contact).filter(|said| said.code == why.code);
            refusal = match hindered.map(|said| &said.statement).or(said) {
                Some(digest) => envelope(tx, digest)?,
                None => None,
            };
            why
        }
    };
    Ok(Why {
        hostname: host.hostname,
        agent: host.agent,
        change_id: id.clone(),
        standing: because.standing.as_str().into(),
        message: because.text(language),
        code: because.code,
        retry_at: because.retry_at,
        last_seen,
        refusal,
    })
}

/// What is known of a change and some or all of its hosts, read once.
struct Known {
    state: State,
    retroactive: bool,
    retires: bool,
    change: Statement<Change>,
    targets: BTreeMap<AgentId, Target>,
    /// Of hosts in the plan set, where the answer counts: it verifies every approval.
    carried: BTreeMap<AgentId, Result<(), Refused>>,
    refusals: BTreeMap<AgentId, changes::RefusalRow>,
    /// Hosts that judge no change at all.
    hindrances: BTreeMap<AgentId, Hindrance>,
    blackouts: Vec<Blackout>,
    budgets: budgets::Standing,
    /// The wave of each host: to look for it in the waves, host by host, takes the square of their number.
    waves: BTreeMap<AgentId, usize>,
    /// By wave: the gate, by the same function that hosts use.
    turns: Vec<Result<(), Refused>>,
}

impl Known {
    /// Of one host, or of all of them. The change has a revision.
    fn of(tx: &mut Conn, row: &changes::Row, only: Option<AgentId>, now: Timestamp) -> Result<Self, Error> {
        let change = changes::revision(tx, row)?;
        let plans = match row.plan_set()? {
            Some(set) => changes::plan_set(tx, &set)?.plans,
            None => Map::default(),
        };
        let found = match only {
            Some(agent) => changes::find_target(tx, &change.digest, agent)?.into_iter().collect(),
            None => changes::list_targets(tx, &change.digest)?,
        };
        let mut targets = BTreeMap::new();
        for found in found {
            let agent = found.agent()?;
            let report = found.report.map(|_| Report::of(found.succeeded, found.unhealthy));
            let approved = plans.contains_key(&agent);
            targets.insert(agent, Target { planned: found.plan.is_some(), approved, report });
        }
        let state = row.state()?;
        let active = matches!(state, State::Approved | State::Running);
        let carried = match (active, only) {
            (false, _) => BTreeMap::new(),
            (true, Some(agent)) if plans.contains_key(&agent) => {
                BTreeMap::from([(agent, changes::carried(tx, row, agent, now)?)])
            }
            (true, Some(_)) => BTreeMap::new(),
            (true, None) => changes::all_carried(tx, row, now)?,
        };
        let refusals = match only {
            Some(agent) => {
                let found = changes::find_refusal(tx, &change.digest, agent)?;
                found.map(|found| (agent, found)).into_iter().collect()
            }
            None => changes::last_refusals(tx, &change.digest)?,
        };
        let hindrances = match only {
            Some(agent) => {
                fleet::find_hindrance(tx, agent)?.map(|found| (agent, found)).into_iter().collect()
            }
            None => fleet::list_hindrances(tx)?,
        };
        let reach = if active { changes::reach(tx, row, now)? } else { Reach::default() };
        let mut turns = Vec::new();
        for (number, wave) in change.body.waves.iter().enumerate() {
            let ends = match wave.gate.is_some() && active {
                true => changes::ends_before(tx, &change, number)?,
                false => Vec::new(),
            };
            let one = wave.agents.first().copied();
            turns.push(one.map_or(Ok(()), |one| {
                admit::open_gate(&change, &Control::default(), &ends, &reach, one, now).map(drop)
            }));
        }
        let blackouts = calendars::published(tx, now)?;
        let budgets = budgets::Standing::of(tx, now)?;
        let (waves, retroactive, retires) = (waves(&change.body), row.retroactive, row.retires);
        Ok(Self {
            state,
            retroactive,
            retires,
            change,
            targets,
            carried,
            refusals,
            hindrances,
            blackouts,
            budgets,
            waves,
            turns,
        })
    }

    /// A wave before its hosts are counted; `runs` says that hosts may begin.
    fn wave_line(&self, number: usize, runs: bool) -> WaveLine {
        let gate = self.change.body.waves.get(number).and_then(|wave| wave.gate);
        let turn = self.turns.get(number).filter(|_| runs);
        let shut = turn.and_then(|turn| turn.as_ref().err());
        WaveLine {
            wave: u32::try_from(number + 1).unwrap_or(u32::MAX),
            targets: 0,
            planned: 0,
            waiting: 0,
            refused: 0,
            running: 0,
            succeeded: 0,
            failed: 0,
            pending: 0,
            gate,
            open: runs.then_some(shut.is_none()),
            message: shut.map(|refused| refused.message.clone()),
            opens: shut.and_then(|refused| refused.retry_at),
        }
    }

    fn hindrance(&self, agent: AgentId, contact: Contact) -> Option<&Hindrance> {
        self.hindrances.get(&agent).filter(|said| said.stands(contact.judged))
    }

    fn facts(&self, host: &fleet::Host, contact: Contact, now: Timestamp) -> Facts {
        let (change, agent) = (&self.change.body, host.agent);
        let closed = Closed { blackouts: &self.blackouts, host: agent };
        let nowhere = || Err(Refused::new(Code::ChangeNotForMe, "this host is in no wave"));
        Facts {
            state: self.state,
            retroactive: self.retroactive,
            retires: self.retires,
            retired: host.retired.is_some(),
            target: self.targets.get(&agent).copied(),
            enabled: host.enabled,
            held: host.held.is_some(),
            last_seen: host.last_seen.max(contact.seen),
            carried: self.carried.get(&agent).cloned().unwrap_or(Ok(())),
            interval: change.interval_at(now).and_then(|open| closed.leaves(change.change_type, open, now)),
            turn: match self.waves.get(&agent) {
                Some(wave) => self.turns.get(*wave).cloned().unwrap_or(Ok(())),
                None => nowhere(),
            },
            slots: self.budgets.free_for(agent),
            refusal: self.refusals.get(&agent).map(|refusal| HostRefusal {
                code: refusal.code.clone(),
                message: refusal.message.clone(),
                retry_at: refusal.retry_at.map(Timestamp),
                at: Timestamp(refusal.at),
            }),
            hindered: self.hindrance(agent, contact).map(|said| HostRefusal {
                code: said.code.clone(),
                message: said.message.clone(),
                retry_at: said.retry_at.map(Timestamp),
                at: Timestamp(said.received),
            }),
        }
    }
}

/// Without waves all targets are in the first one.
fn waves(change: &Change) -> BTreeMap<AgentId, usize> {
    match change.waves.is_empty() {
        true => change.targets.iter().map(|target| (target.agent, 0)).collect(),
        false => {
            let waves = change.waves.iter().enumerate();
            waves.flat_map(|(number, wave)| wave.agents.iter().map(move |agent| (*agent, number))).collect()
        }
    }
}

/// What hosts wait for: of one change, or of all that are open. Most hosts first.
pub(super) fn waiting(
    tx: &mut Conn,
    id: Option<&ChangeId>,
    heard_here: impl Fn(AgentId) -> Contact,
    language: Language,
    now: Timestamp,
) -> Result<Vec<Waiting>, Error> {
    let rows = match id {
        Some(id) => vec![changes::get(tx, id)?],
        None => changes::list_open(tx)?,
    };
    let hosts: BTreeMap<AgentId, fleet::Host> =
        fleet::list(tx)?.into_iter().map(|host| (host.agent, host)).collect();
    // By the change's number, its place among the rows.
    let mut groups: BTreeMap<(usize, &'static str, String), Waiting> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.statement.is_some()) {
        let known = Known::of(tx, row, None, now)?;
        for host in known.targets.keys().filter_map(|agent| hosts.get(agent)) {
            let why = because(&known.facts(host, heard_here(host.agent), now), now);
            let change_id = known.change.body.change_id.clone();
            let group = groups.entry((place, why.standing.as_str(), why.code.clone()));
            let group = group.or_insert_with(|| Waiting {
                change_id,
                standing: why.standing.as_str().into(),
                message: why.text(language),
                code: why.code.clone(),
                hosts: 0,
                some: Vec::new(),
                retry_at: None,
            });
            group.hosts = group.hosts.saturating_add(1);
            if group.some.len() < SOME {
                group.some.push(host.hostname.clone());
            }
            group.retry_at = group.retry_at.into_iter().chain(why.retry_at).min();
        }
    }
    let mut all: Vec<Waiting> = groups.into_values().collect();
    all.sort_by_key(|group| std::cmp::Reverse(group.hosts));
    Ok(all)
}

/// Where the hosts of each wave of a change stand; without waves all of them are in the first one.
pub(super) fn in_waves(
    tx: &mut Conn,
    id: &ChangeId,
    heard_here: impl Fn(AgentId) -> Contact,
    now: Timestamp,
) -> Result<Vec<WaveLine>, Error> {
    let row = changes::get(tx, id)?;
    if row.statement.is_none() || row.is_record() {
        return Ok(Vec::new());
    }
    let known = Known::of(tx, &row, None, now)?;
    let hosts: BTreeMap<AgentId, fleet::Host> =
        fleet::list(tx)?.into_iter().map(|host| (host.agent, host)).collect();
    let runs = matches!(known.state, State::Approved | State::Running);
    let mut lines: Vec<WaveLine> =
        (0..known.change.body.waves.len().max(1)).map(|number| known.wave_line(number, runs)).collect();
    for (agent, target) in &known.targets {
        let wave = known.waves.get(agent).and_then(|wave| lines.get_mut(*wave));
        let (Some(line), Some(host)) = (wave, hosts.get(agent)) else { continue };
        line.targets += 1;
        line.planned += u32::from(target.planned);
        let because = because(&known.facts(host, heard_here(*agent), now), now);
        *match (because.standing, target.report) {
            (_, Some(Report::Applied)) => &mut line.succeeded,
            (_, Some(Report::Failed | Report::Unhealthy)) => &mut line.failed,
            (_, Some(Report::PendingReboot)) => &mut line.pending,
            (Standing::Running, None) => &mut line.running,
            (Standing::Refused | Standing::NotTargeted, None) => &mut line.refused,
            (Standing::Waiting | Standing::Reported, None) => &mut line.waiting,
        } += 1;
    }
    Ok(lines)
}

fn envelope(tx: &mut Conn, digest: &[u8]) -> Result<Option<Envelope>, Error> {
    let Ok(digest) = digest.try_into().map(Digest) else { return Ok(None) };
    let bytes = ledger::find_statement(tx, &digest)?;
    Ok(bytes.and_then(|bytes| Envelope::parse(&bytes).ok()))
}
