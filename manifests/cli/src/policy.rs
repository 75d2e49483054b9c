//! `assent policy …`: the signed document that says which persons, keys and rules count.
//!
//! Never: a policy that its own rules refuse, or one that was not shown as a difference before it was signed.

pub mod args;
pub mod keys;
mod loosened;
mod standing;

pub use args::PolicyCommand;
pub use loosened::warning;

use crate::error::{Context as _, Done, Failure};
use crate::governance::{self, Concluded, Next, SignArgs, Signers, expires};
use crate::session::Session;
use crate::trust::{self, Site};
use crate::written::{self, Written};
use crate::{files, term, text};
use args::{GroupCommand, LedgerArgs, LedgerWishes, ModelCommand, PublishArgs};
use shared::governance::keys_of;
use shared::ids::Team;
use shared::keys::{PublicKey, SigningKey};
use shared::limits;
use shared::policy::Policy;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Role, Root, Targets};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

pub fn run(session: &Session, command: &PolicyCommand) -> Done {
    match command {
        PolicyCommand::Show => show(session),
        PolicyCommand::Edit(args) => edit(session, args),
        PolicyCommand::Publish { file, publish: args } => publish(session, file, args),
        PolicyCommand::AddKey(args) => keys::add(session, args),
        PolicyCommand::RemoveKey { person, public, sign } => keys::remove(session, (person, public), sign),
        PolicyCommand::Delegate { by, to, from, until, sign, .. } => match until {
            Some(until) => standing::delegate(session, (by, to), (from.as_deref(), until), sign),
            None => standing::end_delegation(session, by, to, sign),
        },
        PolicyCommand::Group(GroupCommand::Set { name, persons, sign }) => {
            standing::set_group(session, name, persons, sign)
        }
        PolicyCommand::Group(GroupCommand::Remove { name, sign }) => {
            standing::remove_group(session, name, sign)
        }
        PolicyCommand::Model(ModelCommand::Set(args)) => standing::set_model(session, args),
        PolicyCommand::Model(ModelCommand::Remove { name, sign }) => {
            standing::remove_model(session, name, sign)
        }
        PolicyCommand::Ledger(args) => ledger(session, args),
    }
}

fn show(session: &Session) -> Done {
    term::print_json(&pretty(&session.site()?.policy)?)
}

fn pretty(policy: &Policy) -> Done<String> {
    let text = serde_json::to_string_pretty(policy).or_fault("the policy could not be written")?;
    Ok(format!("{text}\n"))
}

/// The editor works on a private file beside the profile, which is removed when the policy is published.
fn edit(session: &Session, args: &PublishArgs) -> Done {
    let editor =
        std::env::var("EDITOR").ok().filter(|editor| !editor.trim().is_empty()).ok_or_else(|| {
            Failure::usage("no editor is set").remedy(
            "set EDITOR, or: assent policy show > policy.json, edit it, assent policy publish policy.json",
        )
        })?;
    let path = session.profile.dir.join("policy-edit.json");
    if files::try_read(&path, limits::ENVELOPE_BYTES)?.is_none() {
        files::write_new(&path, pretty(&session.site()?.policy)?.as_bytes())?;
    }
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program).args(words).arg(&path).status();
    let status = status.or_usage(format!("the editor {program:?} could not be started"))?;
    if !status.success() {
        let kept = format!("the file {} is kept; run the command again to go on", path.display());
        return Err(Failure::refused("the editor did not end well; nothing was signed").remedy(kept));
    }
    publish(session, &path, args)?;
    std::fs::remove_file(&path).or_fault(format!("could not remove {}", path.display()))
}

fn publish(session: &Session, file: &Path, args: &PublishArgs) -> Done {
    let site = current(session)?;
    let bytes = files::read(file, limits::ENVELOPE_BYTES)?;
    let next: Policy = strict::from_json("the policy", &bytes, limits::ENVELOPE_BYTES)
        .or_usage(format!("{} is not a policy", file.display()))?;
    let teams = teams(&site.targets()?, &args.team)?;
    let draft = Draft { policy: next, teams, ..Draft::of(&site)? };
    let json = args.sign.json.begin();
    let concluded = conclude(session, &site, draft, (&args.sign.by, args.sign.yes))?;
    tell(session, concluded.as_ref(), json)
}

/// The site as it is now, also where the policy is about to be renewed because it has ended.
pub fn current(session: &Session) -> Done<Site> {
    trust::refresh_expired(&session.profile, &session.api, session.now)
}

pub fn publish_next(session: &Session, site: &Site, next: Policy, sign: &SignArgs) -> Done {
    let json = sign.json.begin();
    let draft = Draft { policy: next, ..Draft::of(site)? };
    let concluded = conclude(session, site, draft, (&sign.by, sign.yes))?;
    tell(session, concluded.as_ref(), json)
}

/// For programs: the edition in force or the proposal, or that nothing was written.
pub fn tell(session: &Session, concluded: Option<&Concluded>, json: bool) -> Done {
    if !json {
        return Ok(());
    }
    let written = match concluded {
        None => Vec::new(),
        Some(Concluded::Proposed(proposed)) => vec![Written::of("proposal", &proposed.file, proposed)?],
        Some(Concluded::Published) => {
            let policy = session.site()?.policy;
            vec![Written::of("policy", policy.version, &policy)?]
        }
    };
    written::tell_all(json, written, "")
}

fn ledger(session: &Session, args: &LedgerArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    let LedgerWishes { proof_before_start, add_witness, remove_witness, quorum } = &args.wishes;
    if let Some(proof) = proof_before_start {
        next.log.proof_before_start = *proof;
    }
    for name in remove_witness {
        if !next.log.witnesses.iter().any(|witness| witness.name() == name) {
            return Err(Failure::refused(format!("the policy names no witness {name}"))
                .remedy("see `assent policy show`"));
        }
        next.log.witnesses.retain(|witness| witness.name() != name);
    }
    next.log.witnesses.extend(add_witness.iter().cloned());
    if let Some(quorum) = quorum {
        next.log.quorum = *quorum;
    }
    publish_next(session, &site, next, &args.sign)
}

/// The next edition, and what is signed with it.
pub struct Draft {
    /// Version and time are set when it is signed: the next edition, issued then.
    pub policy: Policy,
    pub teams: BTreeMap<Team, KeySet>,
    /// Who governs from then on, where that changes.
    pub governance: Option<KeySet>,
    /// Governance keys that were made for it and sign it at once.
    pub made: Vec<SigningKey>,
}

impl Draft {
    /// As everything is now.
    pub fn of(site: &Site) -> Done<Self> {
        let teams = teams(&site.targets()?, &[])?;
        Ok(Self { policy: site.policy.clone(), teams, governance: None, made: Vec::new() })
    }
}

/// Shows what differs, asks, signs; publishes, or proposes to others. `None` when nothing differs.
pub fn conclude(
    session: &Session,
    site: &Site,
    draft: Draft,
    (by, yes): (&Signers, bool),
) -> Done<Option<Concluded>> {
    let Draft { policy: mut next, teams, governance, made } = draft;
    let (old, old_root, until) = (site.targets()?, site.trusted.root(), expires(session.now));
    next.version = site.policy.version;
    next.issued = site.policy.issued;
    let root = governance.map(|set| next_root(old_root, &set, until)).transpose()?;
    let before = shown(&site.policy, &self::teams(&old, &[])?, old_root)?;
    let difference = difference(&before, &shown(&next, &teams, root.as_ref().unwrap_or(old_root))?);
    if difference.is_empty() {
        term::print("nothing differs from the policy in force; nothing was signed\n")?;
        return Ok(None);
    }
    next.version = site.policy.version + 1;
    next.issued = session.now;
    let document = strict::to_json(&next);
    Policy::parse(&document).or_refuse("the policy breaks its own rules")?;
    let loosened = warning(&site.policy, &next);
    term::print(&format!("edition {} of the policy\n{difference}{loosened}", next.version))?;
    term::confirm("type the number of the edition to sign it:", &next.version.to_string(), yes)?;
    let mut signers = governance::keys(session, by)?;
    signers.extend(made);
    let targets = writer::targets_with_policy(old.version + 1, until, &document, &teams, &changes(&old)?)
        .or_refuse("the new metadata would not be accepted")?;
    let signed = Next { root, roots: Vec::new(), targets, policy: &document };
    let base = (old_root, &site.policy);
    let concluded = governance::conclude(session, base, &signers, signed, by.propose.as_deref())?;
    if concluded == Concluded::Published {
        let site = session.site()?;
        let version = site.policy.version;
        term::print(&format!("edition {version} of the policy is in force, valid until {until}\n"))?;
    }
    Ok(Some(concluded))
}

fn next_root(old: &Root, governance: &KeySet, until: Timestamp) -> Done<Root> {
    let online = keys_of(old, &old.roles.timestamp);
    writer::new_root(old.version + 1, until, governance, &online)
        .or_refuse("the new root would not be accepted")
}

/// Everything that an edition may change, as text to be compared.
pub fn shown(policy: &Policy, teams: &BTreeMap<Team, KeySet>, root: &Root) -> Done<String> {
    let mut out = pretty(policy)?;
    let mut line = |what: &str, set: &KeySet| {
        let mut keys: Vec<_> = set.keys.iter().map(ToString::to_string).collect();
        keys.sort();
        out.push_str(&format!("{what}: {} of {}\n", set.threshold, keys.join(" ")));
    };
    teams.iter().for_each(|(team, set)| line(&format!("team {team}"), set));
    line("governance", &keys_of(root, &root.roles.root));
    line("repository of the server", &keys_of(root, &root.roles.timestamp));
    Ok(out)
}

/// Who publishes for each team now, changed by `TEAM=KEY,KEY`.
pub fn teams(targets: &Targets, wishes: &[String]) -> Done<BTreeMap<Team, KeySet>> {
    let mut teams = BTreeMap::new();
    for (role, set) in delegated(targets)? {
        if let Role::Content(team) = role {
            teams.insert(team, set);
        }
    }
    for wish in wishes {
        let example = "write TEAM=KEY or TEAM=KEY,KEY with public keys as `assent key show` prints them";
        let bad = || Failure::usage(format!("--team {wish:?} is not a team with its keys")).remedy(example);
        let (team, keys) = wish.split_once('=').ok_or_else(bad)?;
        let keys: Result<Vec<PublicKey>, _> = keys.split(',').map(|key| key.trim().parse()).collect();
        let keys = keys.map_err(|_| bad())?;
        teams.insert(team.parse().map_err(|_| bad())?, KeySet { keys, threshold: 1 });
    }
    Ok(teams)
}

/// The server's key for the list of active changes stays.
fn changes(targets: &Targets) -> Done<KeySet> {
    let found = delegated(targets)?.into_iter().find(|(role, _)| *role == Role::Changes);
    found
        .map(|(_, set)| set)
        .ok_or_else(|| Failure::fault("the trusted targets do not name the changes role"))
}

fn delegated(targets: &Targets) -> Done<Vec<(Role, KeySet)>> {
    let missing = || Failure::fault("the trusted targets name a key that they do not hold");
    let Some(delegations) = &targets.delegations else { return Ok(Vec::new()) };
    let set = |role: &shared::tuf::metadata::Delegation| {
        let keys: Option<Vec<_>> =
            role.keyids.iter().map(|id| delegations.keys.get(id).map(|key| *key.public())).collect();
        Ok((role.name.clone(), KeySet { keys: keys.ok_or_else(missing)?, threshold: role.threshold }))
    };
    delegations.roles.iter().map(set).collect()
}

/// Lines that went and came, with three around them.
pub fn difference(old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    let unified = diff.unified_diff().context_radius(3).to_string();
    text::clean_lines(&unified).map(|line| line + "\n").collect()
}
