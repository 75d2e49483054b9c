//! What a change does, as text for the person who decides. Everything about hosts comes from verified plans.

mod retirement;
mod retroactive;

use super::page::Page;
use super::review::{PlanClass, Review};
use super::waves;
use crate::lang::{Lang, Word};
use crate::text::{clean, clean_lines};
use crate::window::{self, every};
use jiff::tz::TimeZone;
use shared::approval::Decision;
use shared::change::{Missed, PlanBinding, Reboot};
use shared::ids::AgentId;
use shared::manifest::Probe;
use shared::plan::{Action, UndoContract};
use shared::policy::Policy;
use shared::risk::ActionClass;
use shared::time::Timestamp;
use shared::words;
use std::collections::{BTreeMap, BTreeSet};

/// How and for whom it is rendered.
pub struct Style<'a> {
    pub lang: Lang,
    pub zone: &'a TimeZone,
    pub colour: bool,
    /// Names of hosts that have signed nothing here; the server's word.
    pub names: &'a BTreeMap<AgentId, String>,
}

/// Host names in one line; the rest is counted.
const NAMES: usize = 12;

/// The whole change. `policy` gives persons their names.
pub fn render(review: &Review, policy: &Policy, style: &Style<'_>) -> String {
    let mut page = Page::new(style.colour);
    let view = View { review, policy, style, w: |word| style.lang.word(word) };
    view.head(&mut page);
    if review.change.body.is_retroactive() {
        return view.retroactive(page);
    }
    if review.change.body.is_retirement() {
        return view.retirement(page);
    }
    view.effects(&mut page);
    view.windows(&mut page);
    let classes = review.classes();
    for (at, class) in classes.iter().enumerate() {
        view.class(&mut page, class, at + 1, classes.len());
    }
    view.health(&mut page);
    view.uncovered(&mut page);
    view.approvals(&mut page);
    view.receipts(&mut page);
    page.blank();
    if review.doubts.is_empty() {
        page.line(view.word(Word::VerifiedHere));
    }
    page.line(&format!("{} sha256:{}", view.word(Word::PlanSetDigest), review.set.digest()));
    view.words(&mut page);
    page.finish()
}

struct View<'a, F: Fn(Word) -> &'static str> {
    review: &'a Review,
    policy: &'a Policy,
    style: &'a Style<'a>,
    w: F,
}

impl<F: Fn(Word) -> &'static str> View<'_, F> {
    fn word(&self, word: Word) -> &'static str {
        (self.w)(word)
    }

    /// The same as the server shows for what it has; compared by people.
    fn words(&self, page: &mut Page) {
        let words = words::of_approval(&self.review.change.digest, &self.review.set.digest());
        page.line(&format!("{}: {words}", self.word(Word::SixWords)));
    }

    fn head(&self, page: &mut Page) {
        let (change, w) = (&self.review.change.body, &self.w);
        let kind = format!("{:?}", change.change_type).to_lowercase();
        let model = change.model.as_ref().map(|model| format!(", {} {model}", w(Word::Model)));
        let kind = kind + &model.unwrap_or_default();
        let revision = format!("{} {}", w(Word::Revision), change.revision);
        page.line(&format!(
            "{} {}, {revision} ({kind}): {}",
            w(Word::Change),
            change.change_id,
            clean(&change.title)
        ));
        for doubt in &self.review.doubts {
            page.alarm(&clean(&format!("{}: {}", doubt.message, doubt.why.as_deref().unwrap_or_default())));
        }
        page.field(w(Word::State), &self.state());
        page.field(w(Word::Reason), &clean(&change.reason));
        let author = self.person(&change.author);
        page.field(w(Word::Author), &format!("{author}, {} {}", w(Word::Signed), self.at(change.created)));
    }

    /// What it brings, and within which bounds.
    fn effects(&self, page: &mut Page) {
        let (change, w) = (&self.review.change.body, &self.w);
        for named in &change.manifests {
            let verified = self.review.manifests.iter().find(|m| m.digest() == named.sha256);
            let by = verified.map(|m| format!(", {} {}", w(Word::PublishedBy), self.person(m.publisher())));
            page.field(
                w(Word::Manifests),
                &format!("{}/{}{}", named.team, named.label(), by.unwrap_or_default()),
            );
            for (key, value) in named.params.iter() {
                page.field("", &clean(&format!("{key} = {value}")));
            }
            for rule in &named.rules {
                for (key, value) in rule.params.iter() {
                    let of = format!("{key} = {value}  ({}: {})", rule.chosen, self.names(&rule.agents));
                    page.field("", &clean(&of));
                }
            }
            for over in named.overruled() {
                let (host, name) = (self.review.host_name(over.agent), &over.name);
                page.alarm(&clean(&format!(
                    "{host}: {name}: {} {} {}",
                    over.later,
                    w(Word::WinsOver),
                    over.earlier
                )));
            }
        }
        let automatic = if change.undo.automatic { Word::UndoAutomatic } else { Word::UndoByHand };
        page.field(w(Word::UndoPlan), &format!("{} ({})", clean(&change.undo.text), w(automatic)));
        let (total, planned) = (change.targets.len(), self.review.plans.len());
        let counts =
            format!("{total}: {planned} {}, {} {}", w(Word::WithPlan), total - planned, w(Word::WithoutPlan));
        page.field(w(Word::Targets), &counts);
        page.field(w(Word::Binding), w(binding(change.plan_binding)));
        page.field(w(Word::Missed), w(missed(change.missed)));
        let classes: Vec<_> = change.action_classes.iter().map(|class| class.as_str()).collect();
        page.field(w(Word::MayUse), &classes.join(", "));
        page.field(w(Word::Reboot), reboot(change.reboot));
        if change.lift_quarantine {
            page.field(w(Word::Quarantine), w(Word::QuarantineLifted));
        }
        if let Some(series) = &change.series {
            page.field(w(Word::Series), series.as_str());
        }
        if let Some(most) = change.halt_above {
            let text = self.style.lang.fill(Word::HaltsAbove, &most.to_string());
            page.field(w(Word::Halts), &text);
        }
        page.field(w(Word::Ends), &self.at(change.not_after));
        if let Some(until) = change.correct_until {
            let text = self.style.lang.fill(Word::CorrectsUntil, &self.at(until));
            page.field(w(Word::Corrections), &text);
        }
    }

    /// The server's word; everything else on the page is signed.
    fn state(&self) -> String {
        let line = &self.review.line;
        let outcome = line.outcome.as_ref().map(|outcome| format!(", {outcome}"));
        clean(&format!("{}{}", line.state, outcome.unwrap_or_default()))
    }

    fn windows(&self, page: &mut Page) {
        page.blank();
        page.line(self.word(Word::Windows));
        for interval in &self.review.change.body.intervals {
            let local = [interval.from, interval.until]
                .map(|at| window::local_in(self.style.lang, at, self.style.zone));
            page.line(&format!("  {} .. {}  ({})", local[0], local[1], self.word(Word::Local)));
            page.line(&format!("  {} .. {}  (UTC)", interval.from, interval.until));
        }
        self.window_rules(page);
        let waves = &self.review.change.body.waves;
        if !waves.is_empty() {
            page.line(self.word(Word::Waves));
        }
        for (at, wave) in waves.iter().enumerate() {
            let gate = wave.gate.map(waves::told);
            page.line(&format!("  {}: {}{}", at + 1, self.names(&wave.agents), gate.unwrap_or_default()));
        }
    }

    /// The rules behind the windows, and whether they would give others today. The signed windows count.
    fn window_rules(&self, page: &mut Page) {
        let (change, lang) = (&self.review.change.body, self.style.lang);
        for rule in &change.window_rules {
            page.line(&format!("  {}", lang.fill(Word::WindowRule, &every::told(rule))));
        }
        let differs = match change.windows_differ(every::known) {
            Ok(None) => return,
            Ok(Some(differs)) => differs,
            Err(why) => return page.alarm(&format!("  {}", clean(&why.to_string()))),
        };
        page.alarm(&format!("  {}", self.word(Word::WindowsDiffer)));
        let told = differs.signed.iter().map(|one| (Word::WindowsGone, one));
        for (word, one) in told.chain(differs.now.iter().map(|one| (Word::WindowsUnsigned, one))) {
            page.line(&format!(
                "  {}",
                lang.fill(word, &format!("{} .. {}", self.at(one.from), self.at(one.until)))
            ));
        }
        page.line(&format!("  {}", lang.fill(Word::WindowsAnew, change.change_id.as_str())));
    }

    fn class(&self, page: &mut Page, class: &PlanClass<'_>, number: usize, of: usize) {
        let (plan, w) = (class.plan, &self.w);
        page.blank();
        page.line(&format!(
            "{} {number} {} {of}: {} {}, {} {}, {} {}",
            w(Word::PlanClass),
            w(Word::Of),
            class.hosts.len(),
            w(if class.hosts.len() == 1 { Word::Host } else { Word::Hosts }),
            w(Word::HostClass),
            plan.host_class,
            w(Word::Risk),
            plan.risk()
        ));
        let ids: Vec<_> = class.hosts.iter().map(|host| host.agent_id).collect();
        page.field(w(Word::Hosts), &self.names(&ids));
        self.values(page, &ids);
        if plan.actions.is_empty() {
            page.line(&format!("  {}", w(Word::NothingToDo)));
        }
        for action in &plan.actions {
            self.action(page, action);
        }
        for uphold in &plan.upholds {
            let resource = clean(uphold.resource.as_str());
            page.line(&format!("= {resource} [{}] {}", uphold.class, w(Word::Upholds)));
        }
        for health in &plan.health {
            for (path, sha256) in health.programs.iter() {
                let check = format!("{} {}", w(Word::HealthChecks), clean(&health.check));
                page.line(&format!("- {check}: {} sha256 {sha256}", clean(path)));
            }
        }
        for note in &plan.notes {
            page.field(w(Word::Note), &clean(note));
        }
    }

    /// The values that each host of a plan class takes, where they are not the same for all of the change.
    fn values(&self, page: &mut Page, ids: &[AgentId]) {
        for named in self.review.change.body.manifests.iter().filter(|named| !named.rules.is_empty()) {
            let mut groups: Vec<(_, Vec<AgentId>)> = Vec::new();
            for id in ids {
                let params = named.params_for(*id);
                match groups.iter_mut().find(|(known, _)| *known == params) {
                    Some((_, group)) => group.push(*id),
                    None => groups.push((params, vec![*id])),
                }
            }
            for (params, group) in groups {
                let all: Vec<_> = params.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                let line = format!("{}: {}: {}", named.name, self.names(&group), all.join(", "));
                page.field(self.word(Word::Values), &clean(&line));
            }
        }
    }

    fn action(&self, page: &mut Page, action: &Action) {
        let undo = match action.undo.undo {
            UndoContract::Yes => Word::UndoYes,
            UndoContract::Partly => Word::UndoPartly,
            UndoContract::No => Word::UndoNo,
        };
        let why =
            if action.undo.why.is_empty() { String::new() } else { format!(": {}", clean(&action.undo.why)) };
        let forbidden = !self.review.change.body.action_classes.contains(&action.class);
        let text = format!(
            "{} {} [{}; {}{why}]",
            action.verb.as_str(),
            clean(action.resource.as_str()),
            action.class,
            self.word(undo)
        );
        let red = matches!(
            action.class,
            ActionClass::Command | ActionClass::External | ActionClass::SensitiveFile | ActionClass::Trust
        );
        if red || forbidden || action.undo.undo == UndoContract::No {
            page.alarm(&format!("{text} ({})", self.word(Word::Attention)));
        } else {
            page.line(&format!("- {text}"));
        }
        page.line(&format!("    {}", clean(&action.summary)));
        for rule in &action.satisfies {
            page.line(&format!("    {} {rule}", self.word(Word::Satisfies)));
        }
        if let Some(pin) = &action.package {
            let version = |v: &Option<String>| v.as_deref().map_or("-".to_owned(), clean);
            let origin = pin.origin.as_deref().map(|origin| format!(" ({})", clean(origin)));
            page.line(&format!(
                "    {}:{} {} -> {}{}",
                clean(&pin.name),
                clean(&pin.arch),
                version(&pin.from),
                version(&pin.to),
                origin.unwrap_or_default()
            ));
        }
        for line in action.diff.iter().flat_map(|diff| clean_lines(diff)) {
            page.line(&format!("    | {line}"));
        }
    }

    /// Programs that hosts run for their health checks are in no plan, but run with the same power.
    fn health(&self, page: &mut Page) {
        let checks: Vec<_> = self.review.manifests.iter().flat_map(|m| &m.get().health).collect();
        if checks.is_empty() {
            return;
        }
        page.blank();
        page.line(self.word(Word::HealthChecks));
        for check in checks {
            let name = clean(&check.name);
            match &check.probe {
                Probe::Command(probe) => {
                    let items = probe.run.as_slice().iter().map(|item| format!("{:?}", item.as_str()));
                    let run = items.collect::<Vec<_>>().join(" ");
                    page.alarm(&format!(
                        "{name} [{}] ({})",
                        ActionClass::Command,
                        self.word(Word::Attention)
                    ));
                    page.line(&format!("    {}", clean(&run)));
                }
                Probe::Http(probe) => page.line(&format!("- {name}: {}", clean(&probe.url))),
                Probe::Tcp(probe) => page.line(&format!("- {name}: {}:{}", clean(&probe.host), probe.port)),
                Probe::Service(probe) => page.line(&format!("- {name}: {}", probe.name)),
            }
        }
    }

    fn uncovered(&self, page: &mut Page) {
        let (without_plan, late) = self.review.uncovered();
        if !without_plan.is_empty() {
            page.blank();
            page.alarm(self.word(Word::NotCovered));
        }
        for id in without_plan {
            let why = match self.review.refusals.get(&id) {
                Some(refusal) => {
                    let reason = &refusal.body.reason;
                    format!("{} {}: {}", self.word(Word::Refused), reason.code, clean(&reason.message))
                }
                None => self.word(Word::NoPlanYet).to_owned(),
            };
            let name = self
                .style
                .names
                .get(&id)
                .map(|name| format!(" ({}, {})", clean(name), self.word(Word::SaysServer)));
            page.line(&format!("  {id}{}  {why}", name.unwrap_or_default()));
        }
        if !late.is_empty() {
            page.blank();
            page.alarm(self.word(Word::NotInSet));
            page.line(&format!("  {}", self.names(&late)));
            if self.review.line.state == "in_review" {
                page.line(&format!("  ({})", self.word(Word::CoverLate)));
            }
        }
    }

    fn approvals(&self, page: &mut Page) {
        page.blank();
        page.line(self.word(Word::Approvals));
        if self.review.approvals.is_empty() {
            page.line(&format!("  {}", self.word(Word::None)));
        }
        for spoken in &self.review.approvals {
            let body = &spoken.statement.body;
            let until = match body.decision {
                Decision::Approve => format!(", {} {}", self.word(Word::Until), self.at(body.expires)),
                Decision::Reject | Decision::Withdraw => String::new(),
            };
            let text = format!(
                "{}: {}, {}{until}",
                self.person(&body.person),
                body.decision.as_str(),
                self.at(body.at)
            );
            let only = body.agents.as_ref().map(|agents| format!(" ({})", self.reach(agents)));
            let only = only.unwrap_or_default();
            match &spoken.checked {
                Ok(_) => page.line(&format!("  {text}{only}")),
                Err(refused) => page.alarm(&format!(
                    "{text}{only}: {}, {}",
                    self.word(Word::NotCounted),
                    clean(&refused.to_string())
                )),
            }
            if !body.comment.is_empty() {
                page.line(&format!("    \"{}\"", clean(&body.comment)));
            }
        }
    }

    fn receipts(&self, page: &mut Page) {
        if self.review.receipts.is_empty() {
            return;
        }
        page.blank();
        page.line(self.word(Word::Receipts));
        for (id, receipt) in &self.review.receipts {
            let body = &receipt.body;
            let text = format!(
                "{}: {}, {}",
                self.review.host_name(*id),
                body.outcome.as_str(),
                self.at(body.finished)
            );
            let note = if body.note.is_empty() { String::new() } else { format!(" ({})", clean(&body.note)) };
            if body.outcome.is_success() {
                page.line(&format!("  {text}{note}"))
            } else {
                page.alarm(&format!("{text}{note}"))
            }
        }
    }

    fn at(&self, at: Timestamp) -> String {
        window::local_in(self.style.lang, at, self.style.zone)
    }

    fn person(&self, id: &shared::ids::PersonId) -> String {
        match self.policy.person(id) {
            Some(person) => format!("{} ({id})", clean(&person.name)),
            None => id.to_string(),
        }
    }

    /// Whom an approval is for that is not for all: in fewer words.
    fn reach(&self, agents: &[AgentId]) -> String {
        let named: BTreeSet<AgentId> = agents.iter().copied().collect();
        let others: Vec<AgentId> =
            self.review.set.plans.keys().filter(|agent| !named.contains(agent)).copied().collect();
        match (1..agents.len()).contains(&others.len()) {
            true => self.style.lang.fill(Word::AllBut, &self.names(&others)),
            false => self.names(agents),
        }
    }

    fn names(&self, ids: &[AgentId]) -> String {
        let mut names: Vec<_> = ids.iter().take(NAMES).map(|id| self.review.host_name(*id)).collect();
        if ids.len() > NAMES {
            names.push(format!("+{}", ids.len() - NAMES));
        }
        names.join(", ")
    }
}

fn binding(binding: PlanBinding) -> Word {
    match binding {
        PlanBinding::Exact => Word::BindingExact,
        PlanBinding::Within => Word::BindingWithin,
    }
}

fn missed(missed: Missed) -> Word {
    match missed {
        Missed::Skip => Word::MissedSkip,
        Missed::Next => Word::MissedNext,
        Missed::UntilExpiry => Word::MissedUntilExpiry,
    }
}

fn reboot(reboot: Reboot) -> &'static str {
    match reboot {
        Reboot::Never => "never",
        Reboot::IfNeeded => "if_needed",
        Reboot::Always => "always",
    }
}
