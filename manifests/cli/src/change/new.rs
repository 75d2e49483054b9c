//! `assent change new`: writes a revision from verified manifests and verified hosts, and signs it as author.

use super::args::NewArgs;
use super::effects;
use super::hosts::{Choice, choose};
use super::params::{self, Used};
use super::record::{Kind, kind_of};
use super::series;
use super::waves;
use super::when;
use crate::error::{Context as _, Done, Failure};
use crate::lang::Lang;
use crate::profile::KeyUse;
use crate::session::Session;
use crate::trust::Site;
use crate::window;
use crate::written::{self, Written};
use crate::{term, text};
use shared::admit::{Verified, check_author};
use shared::change::{Change, ChangeType, ManifestUse, Missed, PlanBinding, Reboot, Target, UndoPlan, Wave};
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId, ManifestName, ModelName, Team};
use shared::manifest::Manifest;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::{Interval, Timestamp};
use shared::windows::WindowRule;
use shared::wire::HostLine;
use std::collections::BTreeMap;

pub fn run(session: &Session, args: &NewArgs) -> Done {
    let site = session.site()?;
    let before = args.revise.as_ref().map(|named| previous(session, &session.change(named)?)).transpose()?;
    let base = base(session, args, before.as_ref())?;
    let old = base.as_ref();
    if let Some((old, kind)) = old.and_then(|old| Some((old, kind_of(old)?))) {
        let command = match kind {
            Kind::Retroactive => "finding accept --retroactive",
            Kind::Retirement => "ci retire",
        };
        let message = format!("{} brings nothing to hosts, and stays so", old.change_id);
        return Err(Failure::refused(message).remedy(format!("assent {command} --revise {}", old.change_id)));
    }
    let (hosts, targets) = targets(session, args, old)?;
    let names = hosts.iter().map(|host| (host.agent, text::clean(&host.hostname))).collect();
    let (intervals, window_rules) = when::windows(session, args, old)?;
    let parts = Parts {
        manifests: manifests(session, &site, args, old, &hosts)?,
        waves: waves::waves(session, args, old, &hosts, &targets)?,
        not_after: when::not_after(session, args, old, &intervals)?,
        correct_until: when::correct_until(session, args, old)?,
        targets,
        intervals,
        window_rules,
        words: Words::read(args, old)?,
    };
    if let Some(name) = &args.series {
        return series::make(session, &site, (name, args, old), &parts);
    }
    // The number is asked for last: a mistake above must not use one up.
    let change_id = match &before {
        Some(before) => before.body.change_id.clone(),
        None => session.api.new_change()?,
    };
    let corrects = parts.manifests.iter().any(|(_, manifest)| manifest.get().corrects());
    match parts.correct_until {
        None if corrects => term::note(
            "note: a manifest says on_drift: correct; hosts only report, unless you give --correct-until\n",
        ),
        Some(_) if !corrects => {
            term::note("note: --correct-until has no effect: no manifest says on_drift: correct\n");
        }
        _ => {}
    }
    let mut change = written(session, args, old, parts, change_id);
    change.supersedes = before.as_ref().map(|statement| statement.digest);
    send(session, &site, change, (&names, args.json.json))
}

/// What was looked up and checked.
#[derive(Clone)]
pub(super) struct Parts {
    pub manifests: Used,
    pub targets: Vec<Target>,
    pub waves: Vec<Wave>,
    pub intervals: Vec<Interval>,
    pub window_rules: Vec<WindowRule>,
    pub not_after: Timestamp,
    pub correct_until: Option<Timestamp>,
    pub words: Words,
}

/// What the author says in own words; none of it may be missing.
#[derive(Clone)]
pub(super) struct Words {
    pub title: String,
    pub reason: String,
    pub undo: String,
}

impl Words {
    fn read(args: &NewArgs, old: Option<&Change>) -> Done<Self> {
        Ok(Self {
            title: given(&args.title, old.map(|o| &o.title), "--title")?,
            reason: given(&args.reason, old.map(|o| &o.reason), "--reason")?,
            undo: given(&args.undo, old.map(|o| &o.undo.text), "--undo")?,
        })
    }
}

/// The revision: what is given now, else what the last one had, else the default.
pub(super) fn written(
    session: &Session,
    args: &NewArgs,
    old: Option<&Change>,
    parts: Parts,
    change_id: ChangeId,
) -> Change {
    let Parts { manifests, targets, waves, intervals, window_rules, not_after, correct_until, words } = parts;
    let wished = manifests.iter().filter_map(|(_, manifest)| manifest.get().patch());
    let wished = wished.map(|patch| patch.reboot).fold(Reboot::Never, Reboot::stronger);
    let reboot = args.reboot.map(Reboot::from).or(old.map(|o| o.reboot)).unwrap_or(wished);
    let shown = effects::classes(manifests.iter().map(|(_, manifest)| manifest.get()), reboot);
    let (change_type, model) = kind(args, old);
    Change {
        site: session.profile.config.site.clone(),
        change_id,
        revision: old.map_or(1, |o| o.revision.saturating_add(1)),
        change_type,
        model,
        title: words.title,
        reason: words.reason,
        author: session.profile.config.person.clone(),
        created: session.now,
        manifests: manifests.into_iter().map(|(named, _)| named).collect(),
        targets,
        intervals,
        window_rules,
        not_after,
        missed: args.missed.map(Missed::from).or(old.map(|o| o.missed)).unwrap_or(Missed::Next),
        waves,
        plan_binding: args
            .binding
            .map(PlanBinding::from)
            .or(old.map(|o| o.plan_binding))
            .unwrap_or(PlanBinding::Within),
        action_classes: shown.into_iter().chain(args.allow.iter().copied()).collect(),
        downgrade: args.downgrade || old.is_some_and(|o| o.downgrade),
        reboot,
        undo: UndoPlan {
            text: words.undo,
            automatic: !args.no_auto_undo && old.is_none_or(|o| o.undo.automatic),
        },
        lift_quarantine: args.lift_quarantine,
        correct_until,
        halt_above: args.halt_above.or(old.and_then(|o| o.halt_above)),
        series: args.series.clone().or(old.filter(|_| args.revise.is_some()).and_then(|o| o.series.clone())),
        supersedes: None,
        accepts: Vec::new(),
        retires: Vec::new(),
    }
}

/// What is named now replaces both: a model makes the change a standard one, and another type has no model.
fn kind(args: &NewArgs, old: Option<&Change>) -> (ChangeType, Option<ModelName>) {
    match (&args.model, args.change_type, old) {
        (Some(model), ..) => (ChangeType::Standard, Some(model.clone())),
        (None, Some(change_type), _) => (change_type.into(), None),
        (None, None, Some(old)) => (old.change_type, old.model.clone()),
        (None, None, None) => (ChangeType::Normal, None),
    }
}

/// The author's word for it, if hosts would accept it.
pub(super) fn signed(session: &Session, site: &Site, change: Change) -> Done<Statement<Change>> {
    if let Some(problem) = change.problems().into_iter().next() {
        return Err(Failure::usage(format!("this change would be refused: {problem}")));
    }
    let statement = Statement::sign(change, &session.key(KeyUse::Approver)?);
    check_author(&site.policy, &statement, session.now).or_refuse("hosts would not accept your signature")?;
    let body = &statement.body;
    if let Some(why) = site.policy.not_standard(body, session.now) {
        return Err(Failure::refused(why)
            .remedy("see `assent policy show`, or leave --model out and ask for approvals"));
    }
    Ok(statement)
}

fn send(
    session: &Session,
    site: &Site,
    change: Change,
    (names, json): (&BTreeMap<AgentId, String>, bool),
) -> Done {
    let statement = signed(session, site, change)?;
    let body = &statement.body;
    let line = session.api.put_revision(&body.change_id, body.revision, &statement.envelope)?;
    let hosts: Vec<_> = body
        .targets
        .iter()
        .take(12)
        .map(|t| names.get(&t.agent).cloned().unwrap_or_else(|| t.agent.to_string()))
        .collect();
    let more = if body.targets.len() > 12 { ", ..." } else { "" };
    let zone = window::zone(None)?;
    let mut out = format!(
        "{} revision {} is {}: {}\n",
        body.change_id,
        body.revision,
        text::clean(&line.state),
        body.title
    );
    for named in &body.manifests {
        out.push_str(&format!("  manifest  {}/{}\n", named.team, named.label()));
        out.push_str(&params::told(named, names));
    }
    out.push_str(&format!("  hosts     {}: {}{more}\n", body.targets.len(), hosts.join(", ")));
    for interval in &body.intervals {
        out.push_str(&format!("  window    {}\n", window::told(Lang::En, *interval, &zone)));
    }
    let classes: Vec<_> = body.action_classes.iter().map(|class| class.as_str()).collect();
    out.push_str(&format!(
        "  effects   at most {}\nnext: assent change submit {}\n",
        classes.join(", "),
        body.change_id
    ));
    written::tell(json, Written::seen("change", &body.change_id, &line)?, &out)
}

/// What counts where nothing is given: the last revision, an earlier one, or that of another change without its time.
fn base(session: &Session, args: &NewArgs, before: Option<&Statement<Change>>) -> Done<Option<Change>> {
    if let Some(named) = &args.like {
        let other = previous(session, &session.change(named)?)?.body;
        let (intervals, window_rules) = Default::default();
        return Ok(Some(Change { revision: 0, intervals, window_rules, correct_until: None, ..other }));
    }
    let (Some(last), Some(number)) = (before, args.from_revision) else {
        return Ok(before.map(|statement| statement.body.clone()));
    };
    let (id, revision) = (&last.body.change_id, last.body.revision);
    let earlier = opened(session, id, session.api.revision(id, number)?)?.body;
    if earlier.revision != number {
        return Err(Failure::refused(format!("the server sent another revision than {number} of {id}")));
    }
    // It is numbered on, and what was put off since is not put off again.
    Ok(Some(Change { revision, ..earlier }))
}

/// The revision that is replaced, as its author signed it.
pub fn previous(session: &Session, id: &ChangeId) -> Done<Statement<Change>> {
    opened(session, id, session.api.change(id)?.change)
}

fn opened(session: &Session, id: &ChangeId, sent: Envelope) -> Done<Statement<Change>> {
    let statement = Statement::<Change>::open(sent).or_refuse(format!("{id} cannot be read"))?;
    if statement.body.change_id != *id || statement.body.site != session.profile.config.site {
        return Err(Failure::refused(format!("the server sent another change than {id}")));
    }
    Ok(statement)
}

fn given(new: &Option<String>, old: Option<&String>, option: &str) -> Done<String> {
    let missing = || Failure::usage(format!("{option} is missing")).remedy("see `assent change new --help`");
    new.as_ref().or(old).cloned().ok_or_else(missing)
}

fn manifests(
    session: &Session,
    site: &Site,
    args: &NewArgs,
    old: Option<&Change>,
    hosts: &[HostLine],
) -> Done<Used> {
    let mut used: Used = match (args.manifest.is_empty(), old) {
        (true, Some(old)) => old
            .manifests
            .iter()
            .map(|named| Ok((named.clone(), site.manifest_of(&session.api, named)?)))
            .collect::<Done<_>>()?,
        (true, None) => {
            return Err(Failure::usage("--manifest is missing").remedy("see `assent manifest list`"));
        }
        (false, _) => {
            args.manifest.iter().map(|text| named_manifest(session, site, text)).collect::<Done<_>>()?
        }
    };
    for text in &args.param {
        params::set(&mut used, text)?;
    }
    params::set_rules(&mut used, &args.param_for, hosts)?;
    params::check(&used, hosts)?;
    Ok(used)
}

/// `[team/]name[@version]`; without a version the highest release.
pub fn named_manifest(session: &Session, site: &Site, text: &str) -> Done<(ManifestUse, Verified<Manifest>)> {
    let bad = |e: String| {
        Failure::usage(format!("{text:?} is not a manifest"))
            .why(e)
            .remedy("write name@version, such as web-base@1.2.0")
    };
    let (place, version) =
        text.split_once('@').map_or((text, None), |(place, version)| (place, Some(version)));
    let (team, name) = place.split_once('/').map_or((None, place), |(team, name)| (Some(team), name));
    let team: Team = match team {
        Some(team) => team.parse().map_err(|e| bad(format!("{e}")))?,
        None => session.profile.config.team.clone(),
    };
    let name: ManifestName = name.parse().map_err(|e| bad(format!("{e}")))?;
    let version = match version {
        Some(version) => semver::Version::parse(version).map_err(|e| bad(e.to_string()))?,
        None => newest(site, &team, &name)?,
    };
    let manifest = site.manifest(&session.api, &team, &name, &version)?;
    let named = ManifestUse {
        team,
        name,
        version,
        sha256: manifest.digest(),
        params: Map::default(),
        rules: Vec::new(),
    };
    Ok((named, manifest))
}

fn newest(site: &Site, team: &Team, name: &ManifestName) -> Done<semver::Version> {
    let listed =
        site.trusted.manifests(team).or_refuse(format!("the manifests of team {team} cannot be used"))?;
    let versions = listed.into_iter().filter(|(found, ..)| *found == name).map(|(_, version, _)| version);
    let newest = versions.filter(|version| version.pre.is_empty()).max();
    newest.cloned().ok_or_else(|| {
        Failure::refused(format!("no release of {team}/{name} is published"))
            .remedy("see `assent manifest list`")
    })
}

/// The targets, and what the server says about them: names and labels.
fn targets(session: &Session, args: &NewArgs, old: Option<&Change>) -> Done<(Vec<HostLine>, Vec<Target>)> {
    let choice =
        Choice { names: &args.target, labels: &args.label, all: args.all, search: args.search.as_deref() };
    if choice.is_empty() {
        let missing = || {
            Failure::usage("no hosts are chosen")
                .remedy("give --target HOST, --label KEY=VALUE, --search QUERY or --all")
        };
        let targets = old.ok_or_else(missing)?.targets.clone();
        let mut known: Vec<HostLine> = session.api.hosts(&[])?;
        known.retain(|host| targets.iter().any(|target| target.agent == host.agent));
        return Ok((known, targets));
    }
    let chosen = choose(&session.api, &session.profile.config.site, &choice)?;
    Ok(chosen.into_iter().map(|c| (c.host, c.target)).unzip())
}
