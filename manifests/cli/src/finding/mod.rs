//! `assent finding …`: where hosts differ from what was approved for them, and what is made of it. A finding's own
//! words are the host's and verified here; everything else is the server's word, and says so.

pub mod args;
mod retroactive;

use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text, window};
use args::{FindingCommand, Judgement, RuleCommand, Shown};
use jiff::tz::TimeZone;
use shared::finding::{About, Area, Boot, Difference, Expected, Finding, Noticed, Transaction};
use shared::ids::SiteId;
use shared::receipt::open_chained;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{
    Dispose, Disposition, FindingFile, FindingLine, FindingStep, IgnoreRule, NewIgnoreRule, SeenFinding,
};
use std::collections::BTreeMap;

pub fn run(session: &Session, command: &FindingCommand) -> Done {
    match command {
        FindingCommand::List(shown) => list(session, shown),
        FindingCommand::Show { finding, json } => show(session, *finding, *json),
        FindingCommand::Accept { judgement, draft, retroactive: true, .. } => {
            retroactive::draft(session, judgement, draft)
        }
        FindingCommand::Accept { judgement, change, .. } => {
            judge(session, judgement, Disposition::Accepted, change.as_ref(), None)
        }
        FindingCommand::Revert { judgement, change } => {
            judge(session, judgement, Disposition::Reverted, change.as_ref(), None)
        }
        FindingCommand::Confirm { judgement, change } => {
            judge(session, judgement, Disposition::Confirmed, change.as_ref(), None)
        }
        FindingCommand::Ignore { judgement, until } => judge(
            session,
            judgement,
            Disposition::Ignored,
            None,
            Some(window::end(until, &window::zone(None)?, session.now)?),
        ),
        FindingCommand::Reopen { judgement } => judge(session, judgement, Disposition::Open, None, None),
        FindingCommand::Rule(command) => rule(session, command),
    }
}

fn list(session: &Session, shown: &Shown) -> Done {
    let mut wanted: BTreeMap<&str, String> = BTreeMap::new();
    if !shown.all {
        wanted.insert("current", "true".into());
        wanted.insert("disposition", "open".into());
    }
    if let Some(disposition) = &shown.disposition {
        wanted.insert("disposition", disposition.clone());
        wanted.remove("current");
    }
    wanted.extend(shown.host.clone().map(|host| ("host", host)));
    wanted.extend(shown.manifest.clone().map(|manifest| ("manifest", manifest)));
    if let Some(like) = shown.like {
        let line = session.api.finding(like)?.line;
        wanted.insert("fingerprint", line.fingerprint.to_string());
    }
    let findings = session.api.findings(&wanted)?;
    if shown.json {
        return print_json(&findings);
    }
    if findings.is_empty() {
        return term::print(&format!("{}\n", session.lang.word(Word::NoFindings)));
    }
    let mut rows = vec![session.lang.heads(Word::HeadsOfFindings)];
    rows.extend(findings.iter().map(|line| row(line, session.now, session.lang)));
    term::print(&format!("{}{}\n", text::table(&rows), session.lang.word(Word::ListedByServer)))
}

fn row(line: &FindingLine, now: Timestamp, lang: Lang) -> Vec<String> {
    let ago = lang.fill(Word::Ago, &text::span(now.since(line.first_seen)));
    let state = line.about.state();
    vec![
        line.id.to_string(),
        text::clean(&line.hostname),
        text::clean(&line.what),
        state.map_or("-".to_owned(), |of| text::clean(&format!("{} {}", of.manifest, of.version))),
        state.map_or("-".to_owned(), |of| of.change_id.to_string()),
        ago,
        line.count.to_string(),
        standing(line, lang),
    ]
}

/// Whether it is there, what people made of it, and which change waits to accept it.
fn standing(line: &FindingLine, lang: Lang) -> String {
    let proposed = line.proposed.as_ref();
    let proposed = proposed.map(|of| text::clean(&format!(" ({}: {})", of.change, of.state)));
    let disposition = line.disposition.as_str();
    format!("{}, {disposition}{}", lang.word(presence(line)), proposed.unwrap_or_default())
}

fn presence(line: &FindingLine) -> Word {
    match line.presence {
        shared::finding::Presence::There if line.flapping => Word::ComesAndGoes,
        shared::finding::Presence::There => Word::IsThere,
        shared::finding::Presence::Gone => Word::IsGone,
        shared::finding::Presence::Happened => Word::HasHappened,
    }
}

fn show(session: &Session, id: u64, json: bool) -> Done {
    let file = session.api.finding(id)?;
    let finding = checked(&file, &session.profile.config.site)?;
    if json {
        return print_json(&file);
    }
    let zone = window::zone(None)?;
    term::print(&rendered(&file, &finding.body, session.lang, &zone))
}

/// The finding, if the host that it is listed for signed it.
fn checked(file: &FindingFile, site: &SiteId) -> Done<Statement<Finding>> {
    let refused = "the finding that the server sent is not one of this host";
    let said = open_chained::<Finding>(&file.statement.to_bytes(), site).or_refuse(refused)?;
    said.body.check().or_refuse(refused)?;
    let same =
        said.body.header.agent_id == file.line.agent && said.body.fingerprint() == file.line.fingerprint;
    if same {
        Ok(said)
    } else {
        Err(Failure::refused(refused).why("it is about another host or other differences"))
    }
}

fn rendered(file: &FindingFile, finding: &Finding, lang: Lang, zone: &TimeZone) -> String {
    let line = &file.line;
    let at = |moment| window::local_in(lang, moment, zone);
    let mut out = format!("{} {} ({}): ", line.id, text::clean(&line.hostname), text::clean(&line.ci));
    out.push_str(&format!("{}\n", standing(line, lang)));
    out.push_str(&about(finding, lang, zone));
    if !finding.note.is_empty() {
        out.push_str(&format!("  {}: {}\n", lang.word(Word::NotPutBack), text::clean(&finding.note)));
    }
    out.push_str(&format!(
        "  {} {}, {} {}, {} ×\n",
        lang.word(Word::FirstSeen),
        at(finding.first_seen),
        lang.word(Word::LastSeen),
        at(finding.last_seen),
        finding.count
    ));
    out.push_str(&format!("\n{}\n", lang.word(Word::FoundAndSigned)));
    finding.differences.iter().for_each(|difference| out.push_str(&one(difference)));
    if finding.more > 0 {
        out.push_str(&format!("  +{}\n", finding.more));
    }
    if !file.history.is_empty() {
        out.push_str(&format!("\n{}\n", lang.word(Word::History)));
        let steps: Vec<_> = file.history.iter().map(|step| step_row(step, lang, zone)).collect();
        out.push_str(&text::table(&steps));
    }
    out
}

/// The approved state that it differs from, and what was done that nobody approved.
pub fn about(finding: &Finding, lang: Lang, zone: &TimeZone) -> String {
    let done = finding.transaction().map_or_else(String::new, |Transaction { when, command, by }| {
        let (when, command, by) = (text::clean(when), text::clean(command), text::clean(by));
        format!("  {} {when}  {command}  {by}\n", lang.word(Word::ByOthers))
    });
    match &finding.about {
        About::State(Expected { manifest, version, change_id, revision, .. }) => format!(
            "  {} {} {version}, {change_id}, {} {revision}\n{done}",
            lang.word(Word::Expected),
            text::clean(manifest),
            lang.word(Word::Revision)
        ),
        About::Packages(_) => done,
        About::Noticed(Noticed { area, since }) => {
            let what = match area {
                Area::Accounts => Word::AccountsChanged,
                Area::Units => Word::UnitsChanged,
            };
            format!("  {} {}\n", lang.word(what), window::local_in(lang, *since, zone))
        }
        About::Boot(Boot { at, .. }) => {
            format!("  {} {}\n", lang.word(Word::Restarted), window::local_in(lang, *at, zone))
        }
    }
}

/// One difference with what is readable of it.
pub fn one(difference: &Difference) -> String {
    let mut out =
        format!("  {}: {}\n", text::clean(difference.resource.as_str()), text::clean(&difference.summary));
    for line in difference.diff.iter().flat_map(|diff| text::clean_lines(diff)) {
        out.push_str(&format!("    {line}\n"));
    }
    out
}

fn step_row(step: &FindingStep, lang: Lang, zone: &TimeZone) -> Vec<String> {
    let by =
        step.by_person.as_ref().map_or_else(|| lang.word(Word::TheServer).to_owned(), ToString::to_string);
    let until =
        step.until.map(|at| format!(" {} {}", lang.word(Word::Until), window::local_in(lang, at, zone)));
    let change = step.change.as_ref().map(|change| format!(" ({change})"));
    vec![
        format!("  {}", window::local_in(lang, step.at, zone)),
        by,
        format!("{}{}{}", step.disposition.as_str(), change.unwrap_or_default(), until.unwrap_or_default()),
        text::clean(&step.reason),
    ]
}

fn judge(
    session: &Session,
    judgement: &Judgement,
    disposition: Disposition,
    change: Option<&shared::ids::ChangeRef>,
    until: Option<Timestamp>,
) -> Done {
    let waits = |line: &FindingLine| match disposition {
        Disposition::Open => line.disposition != Disposition::Open,
        _ => is_open(line),
    };
    let findings: Vec<SeenFinding> = chosen(session, judgement, waits)?.into_values().collect();
    let count = findings.len();
    let now = serde_json::json!({ "disposition": disposition, "reason": judgement.reason });
    let written = findings.iter().map(|seen| Written::of("finding", seen.id, &now)).collect::<Done<_>>()?;
    for findings in findings.chunks(Dispose::MOST) {
        session.api.dispose(&Dispose {
            findings: findings.to_vec(),
            disposition,
            reason: judgement.reason.clone(),
            change: change.cloned(),
            until,
        })?;
    }
    let words = format!("{count} {}: {}\n", session.lang.word(Word::FindingsAre), disposition.as_str());
    written::tell_all(judgement.json.json, written, &words)
}

/// Whether nobody has said anything of it, and no retroactive change waits to accept it.
fn is_open(line: &FindingLine) -> bool {
    line.disposition == Disposition::Open && line.proposed.is_none()
}

/// The findings that are named, each with how it looks, and on request those that are equal to them and wait for this.
fn chosen(
    session: &Session,
    judgement: &Judgement,
    waits: impl Fn(&FindingLine) -> bool,
) -> Done<BTreeMap<u64, SeenFinding>> {
    let mut findings: BTreeMap<u64, SeenFinding> = BTreeMap::new();
    for id in &judgement.findings {
        let file = session.api.finding(*id)?;
        checked(&file, &session.profile.config.site)?;
        let fingerprint = file.line.fingerprint;
        findings.insert(*id, SeenFinding { id: *id, fingerprint });
        if judgement.like {
            let wanted = BTreeMap::from([("fingerprint", fingerprint.to_string())]);
            let alike = session.api.findings(&wanted)?;
            let alike = alike.iter().filter(|line| waits(line));
            findings.extend(alike.map(|line| (line.id, SeenFinding { id: line.id, fingerprint })));
        }
    }
    Ok(findings)
}

fn rule(session: &Session, command: &RuleCommand) -> Done {
    match command {
        RuleCommand::List { json } => {
            let rules = session.api.rules()?;
            if *json {
                return print_json(&rules);
            }
            let zone = window::zone(None)?;
            let mut rows = vec![session.lang.heads(Word::HeadsOfRules)];
            rows.extend(rules.iter().map(|rule| rule_row(rule, session.lang, &zone)));
            term::print(&text::table(&rows))
        }
        RuleCommand::Add { resource, manifest, reason, until, json } => {
            let rule = NewIgnoreRule {
                manifest: manifest.clone(),
                resource: resource.clone(),
                reason: reason.clone(),
                until: window::end(until, &window::zone(None)?, session.now)?,
            };
            let made = session.api.add_rule(&rule)?;
            let zone = window::zone(None)?;
            let words = text::table(&[rule_row(&made, session.lang, &zone)]);
            written::tell(json.json, Written::of("rule", made.id, &made)?, &words)
        }
        RuleCommand::Remove { rule, json } => {
            session.api.remove_rule(*rule)?;
            written::tell(json.json, Written::ended("rule", rule), "")
        }
    }
}

fn rule_row(rule: &IgnoreRule, lang: Lang, zone: &TimeZone) -> Vec<String> {
    let NewIgnoreRule { manifest, resource, reason, until } = &rule.rule;
    vec![
        rule.id.to_string(),
        text::clean(manifest.as_deref().unwrap_or("*")),
        text::clean(resource),
        window::local_in(lang, *until, zone),
        rule.made_by.to_string(),
        text::clean(reason),
    ]
}
