//! Tally: how many distinct persons one rule counts, and in words which of them and which not.
//!
//! A signer counts once and a person who is stood for counts once, whoever signed: the number is the largest set of pairs
//! in which nobody appears twice. So it can only grow with more approvals, and no order of them changes it.

use super::groups::in_order;
use super::{Case, DistinctFrom, Hearing, Policy, Purpose, Require, Rule, VerifiedApproval};
use crate::digest::Digest;
use crate::ids::{GroupName, PersonId};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Persons that are told one by one of those who do not count; the rest is a number.
const TOLD: usize = 8;

/// Whose word counted, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voice {
    pub person: PersonId,
    /// The same person, or the one who has delegated to `person`.
    pub stands_for: PersonId,
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.person == self.stands_for {
            true => write!(f, "{}", self.person),
            false => write!(f, "{} for {}", self.person, self.stands_for),
        }
    }
}

/// What one rule comes to.
#[derive(Clone)]
pub(super) struct Tally<'p> {
    rule: &'p Rule,
    needed: u32,
    /// Not its turn: rules before it are not satisfied.
    pub waits: bool,
    pub counted: BTreeMap<Voice, Digest>,
    not: BTreeMap<PersonId, String>,
}

/// How many distinct persons a rule asks for.
pub(super) fn needed(policy: &Policy, rule: &Rule, case: &Case<'_>) -> u32 {
    let group = rule.require.from.as_ref().filter(|_| rule.require.everyone);
    let free = |name| {
        let members = policy.members(name).iter();
        members.filter(|person| is_barred(&rule.require, case, person).is_none()).count()
    };
    let everyone = group.map_or(0, free);
    u32::try_from(everyone).unwrap_or(u32::MAX).max(rule.require.approvals)
}

/// From when on words count for a rule.
#[derive(Clone, Debug)]
enum Turn {
    /// From the beginning, or since the rules before it were satisfied.
    Since(Option<Timestamp>),
    /// Not before this rule is satisfied.
    Waits(String),
}

impl<'p> Tally<'p> {
    /// All rules, in the order in which they are given; each counts words that were signed when the rules before it were
    /// satisfied. Of several words of one person only the last one is heard: whoever signs an earlier rule's word anew moves
    /// the turn of the later ones.
    pub fn of_all(
        policy: &'p Policy,
        rules: &[&'p Rule],
        case: &Case<'_>,
        hearing: &Hearing,
        now: Timestamp,
    ) -> Vec<Self> {
        let mut satisfied: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
        let mut tallies: Vec<Self> = Vec::new();
        let (ordered, circle) = in_order(rules);
        for rule in ordered.into_iter().chain(circle) {
            let first =
                rule.require.after.iter().filter(|name| rules.iter().any(|other| other.name == **name));
            let mut turn = Turn::Since(None);
            for name in first {
                turn = match (turn, satisfied.get(name.as_str()).copied().flatten()) {
                    (Turn::Since(since), Some(at)) => Turn::Since(since.max(Some(at))),
                    (Turn::Since(_), None) => Turn::Waits(name.clone()),
                    (waits @ Turn::Waits(_), _) => waits,
                };
            }
            let tally = Self::of(policy, rule, case, hearing, (&turn, None), now);
            let at =
                tally.suffices().then(|| tally.satisfied_at(policy, case, hearing, &turn, now)).flatten();
            // Of several rules of one name, all must be satisfied.
            let known = satisfied.entry(&rule.name).or_insert(at);
            *known = known.zip(at).map(|(one, other)| one.max(other));
            tallies.push(tally);
        }
        let place = |tally: &Self| rules.iter().position(|rule| std::ptr::eq(*rule, tally.rule));
        tallies.sort_by_key(place);
        tallies
    }

    /// The first moment at which the words given until then sufficed.
    fn satisfied_at(
        &self,
        policy: &'p Policy,
        case: &Case<'_>,
        hearing: &Hearing,
        turn: &Turn,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut times: Vec<Timestamp> = hearing.words().map(|word| word.body().at).collect();
        times.sort_unstable();
        let suffices =
            |at: &Timestamp| Self::of(policy, self.rule, case, hearing, (turn, Some(*at)), now).suffices();
        times.into_iter().find(suffices)
    }

    /// One rule, of the words since its turn, and until `until`.
    fn of(
        policy: &'p Policy,
        rule: &'p Rule,
        case: &Case<'_>,
        hearing: &Hearing,
        (turn, until): (&Turn, Option<Timestamp>),
        now: Timestamp,
    ) -> Self {
        let mut not: BTreeMap<PersonId, String> =
            hearing.unheard().iter().map(|(person, why)| (person.clone(), why.message.clone())).collect();
        let mut able: BTreeMap<&PersonId, (BTreeSet<&PersonId>, Digest)> = BTreeMap::new();
        for word in hearing.words() {
            if until.is_some_and(|end| word.body().at > end) {
                continue;
            }
            let group = rule.require.from.as_ref().map(|name| (name, policy.members(name)));
            match has_turn(word, turn).and_then(|()| stands_for(rule, (group, case), word, now)) {
                Ok(whom) => drop(able.insert(&word.body().person, (whom, word.digest()))),
                Err(why) => drop(not.insert(word.body().person.clone(), why)),
            }
        }
        let paired = pair(&able);
        for (person, (whom, _)) in &able {
            if !paired.values().any(|signer| signer == person) {
                let whom: Vec<_> = whom.iter().map(|whom| whom.as_str()).collect();
                not.insert(
                    (*person).clone(),
                    format!("gives the word of {}, which counts already", whom.join(", ")),
                );
            }
        }
        let voice = |(whom, person): (&PersonId, &PersonId)| {
            let digest = able.get(person).map(|(_, digest)| *digest)?;
            Some((Voice { person: person.clone(), stands_for: whom.clone() }, digest))
        };
        let needed = needed(policy, rule, case);
        let waits = matches!(turn, Turn::Waits(_));
        Self { rule, needed, waits, counted: paired.into_iter().filter_map(voice).collect(), not }
    }

    /// Whether one more word of this person, signed now for all hosts, would count beside those that do.
    pub fn lacks(&self, policy: &Policy, case: &Case<'_>, person: &PersonId, now: Timestamp) -> bool {
        let require = &self.rule.require;
        let signed = self.counted.keys().any(|voice| voice.person == *person);
        if signed || is_barred(require, case, person).is_some() {
            return false;
        }
        let group = require.from.as_ref().map(|name| policy.members(name));
        let counts = |whom: &PersonId| {
            group.is_none_or(|group| group.contains(whom))
                && is_barred(require, case, whom).is_none()
                && !self.counted.keys().any(|voice| voice.stands_for == *whom)
        };
        let keys = policy.approving_keys(person, now).into_iter();
        let able = keys.filter(|key| key.assurance >= require.min_assurance);
        able.flat_map(|key| policy.stood_for(person, key, now, now)).any(|whom| counts(&whom))
    }

    pub fn suffices(&self) -> bool {
        self.counted.len() >= self.needed as usize
    }

    /// `rule "normal": 1 of 2 counted: person p1; person p2 not counted, is the author`.
    pub fn line(&self) -> String {
        let mut line =
            format!("rule {:?}: {} of {} counted", self.rule.name, self.counted.len(), self.needed);
        let voices: Vec<String> = self.counted.keys().map(|voice| format!("person {voice}")).collect();
        if !voices.is_empty() {
            line.push_str(&format!(": {}", voices.join(", ")));
        }
        for (person, why) in self.not.iter().take(TOLD) {
            line.push_str(&format!("; person {person} not counted, {why}"));
        }
        if self.not.len() > TOLD {
            line.push_str(&format!("; {} more not counted", self.not.len() - TOLD));
        }
        line
    }
}

/// The largest set of pairs (who is stood for, signer) in which nobody appears twice, by augmenting paths.
fn pair<'a>(
    able: &BTreeMap<&'a PersonId, (BTreeSet<&'a PersonId>, Digest)>,
) -> BTreeMap<&'a PersonId, &'a PersonId> {
    fn place<'a>(
        signer: &'a PersonId,
        able: &BTreeMap<&'a PersonId, (BTreeSet<&'a PersonId>, Digest)>,
        seen: &mut BTreeSet<&'a PersonId>,
        paired: &mut BTreeMap<&'a PersonId, &'a PersonId>,
    ) -> bool {
        let Some((whom, _)) = able.get(signer) else { return false };
        // The own word first, so that what is told is what people expect.
        let own = whom.get(signer).into_iter();
        for whom in own.chain(whom.iter().filter(|whom| **whom != signer)).copied() {
            if !seen.insert(whom) {
                continue;
            }
            let free = match paired.get(whom).copied() {
                None => true,
                Some(other) => place(other, able, seen, paired),
            };
            if free {
                paired.insert(whom, signer);
                return true;
            }
        }
        false
    }
    let mut paired = BTreeMap::new();
    // Those who speak for themselves are placed before those who stand in for somebody.
    let own = |signer: &&PersonId| able.get(*signer).is_some_and(|(whom, _)| whom.contains(*signer));
    let (own, others): (Vec<&PersonId>, Vec<&PersonId>) = able.keys().copied().partition(|s| own(s));
    for signer in own.into_iter().chain(others) {
        place(signer, able, &mut BTreeSet::new(), &mut paired);
    }
    paired
}

fn has_turn(word: &VerifiedApproval, turn: &Turn) -> Result<(), String> {
    match turn {
        Turn::Waits(name) => Err(format!("comes before rule {name:?} is satisfied")),
        Turn::Since(Some(since)) if word.body().at < *since => {
            Err(format!("was signed before {since}, when the rules before it were satisfied"))
        }
        Turn::Since(_) => Ok(()),
    }
}

/// For whom the word may count under a rule, or why it counts for nobody.
fn stands_for<'a>(
    rule: &Rule,
    (group, case): (Option<(&GroupName, &BTreeSet<PersonId>)>, &Case<'_>),
    word: &'a VerifiedApproval,
    now: Timestamp,
) -> Result<BTreeSet<&'a PersonId>, String> {
    let body = word.body();
    if let Some(why) = is_barred(&rule.require, case, &body.person) {
        return Err(why.into());
    }
    if body.saw.plan_set != case.plan_set {
        return Err("approved another plan set".into());
    }
    if body.agents.as_ref().is_some_and(|agents| !agents.contains(&case.agent)) {
        return Err("approved other hosts only".into());
    }
    if word.assurance() < rule.require.min_assurance {
        return Err("the key's assurance is too low for this rule".into());
    }
    if body.breakglass.is_some() {
        return Err("breaks the glass, which counts in no quorum".into());
    }
    is_too_old(rule, case, body.at, now)?;
    let (outside, members): (BTreeSet<&PersonId>, BTreeSet<&PersonId>) =
        word.stood_for().iter().partition(|whom| group.is_some_and(|(_, group)| !group.contains(*whom)));
    if let Some(((name, _), whom)) = group.zip(outside.first()).filter(|_| members.is_empty()) {
        return Err(match **whom == body.person {
            true => format!("is not of the group {name}"),
            false => format!("stands in for {whom}, who is not of the group {name}"),
        });
    }
    let (barred, free): (BTreeSet<_>, BTreeSet<_>) =
        members.into_iter().partition(|whom| is_barred(&rule.require, case, whom).is_some());
    match barred.first().filter(|_| free.is_empty()) {
        None => Ok(free),
        Some(whom) => {
            let why = is_barred(&rule.require, case, whom).unwrap_or_default();
            Err(format!("stands in for {whom}, who {why}"))
        }
    }
}

/// Whether a rule bars a person, as signer or as the one who is stood for.
fn is_barred(require: &Require, case: &Case<'_>, person: &PersonId) -> Option<&'static str> {
    if require.distinct_from.contains(&DistinctFrom::Author) && *person == case.change.author {
        return Some("is the author");
    }
    if require.distinct_from.contains(&DistinctFrom::Publisher) && case.publishers.contains(person) {
        return Some("published one of the manifests");
    }
    None
}

fn is_too_old(rule: &Rule, case: &Case<'_>, at: Timestamp, now: Timestamp) -> Result<(), String> {
    let (hours, what) = match case.purpose {
        Purpose::Start => (rule.require.max_validity_h, "is good"),
        Purpose::Correction => (rule.require.max_correction_h, "covers corrections"),
    };
    if case.purpose == Purpose::Correction && hours == 0 {
        return Err(format!("rule {:?} lets no approval stand for corrections", rule.name));
    }
    let end = at.plus(i64::from(hours) * 3_600);
    match now < end {
        true => Ok(()),
        false => Err(format!("an approval {what} for {hours} hours; this one was until {end}")),
    }
}
