//! A person leaves, or gets a new key: with the old key goes everything that it has approved and no host has begun.

use super::args::{RemoveArgs, RotateArgs};
use super::{compare, current, refuse_out_of_reach};
use crate::error::{Done, Failure};
use crate::governance::Concluded;
use crate::policy::{self, Draft, keys};
use crate::session::Session;
use crate::term;
use shared::governance::Keeper;
use shared::ids::PersonId;
use shared::keys::PublicKey;
use shared::policy::{DistinctFrom, Person, Policy};
use shared::signature::KeyKind;
use shared::words;

pub fn remove(session: &Session, args: &RemoveArgs) -> Done {
    let json = args.sign.json.begin();
    let site = current(session)?;
    let mut draft = Draft::of(&site)?;
    let id = &args.person;
    let person = site.policy.person(id).cloned();
    if let Some(person) = &person {
        refuse_governing(&site.policy, id)?;
        draft.policy.persons.retain(|other| other.id != *id);
        draft.policy.delegations.retain(|delegation| delegation.by != *id && delegation.to != *id);
        draft.teams = policy::teams(&site.targets()?, &args.team)?;
        leave_teams(&mut draft, person)?;
        if args.one_person {
            approves_alone(&mut draft.policy)?;
        }
        refuse_out_of_reach(
            session,
            &draft.policy,
            "assent policy edit changes the rules; for the last approver: --one-person",
        )?;
    }
    let concluded = policy::conclude(session, &site, draft, (&args.sign.by, args.sign.yes))?;
    let had_access = session.api.end_access(id)?;
    if person.is_none() && !had_access {
        return Err(Failure::refused(format!("{id} is neither in the policy nor known to the server")));
    }
    let rest = match &concluded {
        Some(Concluded::Proposed(_)) => "; their approvals count until the proposal is published",
        Some(Concluded::Published) | None => {
            "; what they have approved and no host has begun does not run any more"
        }
    };
    term::print(&format!("{id} has no access to the server{rest}\n"))?;
    policy::tell(session, concluded.as_ref(), json)
}

/// A governance key goes by a new root, which says by itself what is left of governance.
fn refuse_governing(policy: &Policy, id: &PersonId) -> Done {
    let held = policy.governance.iter().find(|holder| holder.keeper == Keeper::Person(id.clone()));
    let Some(held) = held else { return Ok(()) };
    Err(Failure::refused(format!("{id} holds a governance key"))
        .why("it would go on signing root and policy")
        .remedy(format!(
            "first: assent governance change --remove {} (and --add or --threshold)",
            held.public
        )))
}

fn leave_teams(draft: &mut Draft, person: &Person) -> Done {
    let gone: Vec<PublicKey> = person.keys.iter().filter_map(|key| key.public.ed25519().copied()).collect();
    for (team, set) in &mut draft.teams {
        set.keys.retain(|key| !gone.contains(key));
        if set.keys.is_empty() || set.threshold as usize > set.keys.len() {
            return Err(Failure::refused(format!("nobody could publish for the team {team} afterwards"))
                .remedy(format!("give --team {team}=KEY with the key of another publisher")));
        }
    }
    Ok(())
}

/// Honest about what is left: one person, who approves own changes, and receipts that say so.
fn approves_alone(policy: &mut Policy) -> Done {
    if policy.persons.len() != 1 {
        return Err(Failure::refused(format!("{} persons are left", policy.persons.len()))
            .remedy("leave out --one-person; assent policy edit changes the rules"));
    }
    policy.one_person = true;
    for rule in &mut policy.rules {
        rule.require.approvals = 1;
        rule.require.distinct_from.remove(&DistinctFrom::Author);
        rule.require.distinct_from.remove(&DistinctFrom::Publisher);
    }
    Ok(())
}

pub fn rotate(session: &Session, args: &RotateArgs) -> Done {
    let json = args.sign.json.begin();
    let (public, kind) = match (&args.ssh, args.public) {
        (Some(path), _) => keys::read_ssh(path)?,
        (None, Some(public)) => (public, KeyKind::File),
        (None, None) => return Err(Failure::usage("give --ssh or --public")),
    };
    let site = current(session)?;
    let mut draft = Draft::of(&site)?;
    let person = draft.policy.persons.iter_mut().find(|person| person.id == args.person);
    let key = person.and_then(|person| person.keys.iter_mut().find(|key| key.public == args.old));
    let key = key.ok_or_else(|| {
        Failure::refused(format!("the policy names no such key of {}", args.person))
            .remedy("see `assent person list`")
    })?;
    (key.public, key.kind) = (public, kind);
    let mut publishes = false;
    if let (Some(old), Some(new)) = (args.old.ed25519(), public.ed25519()) {
        for key in draft.teams.values_mut().flat_map(|set| &mut set.keys).filter(|key| *key == old) {
            (*key, publishes) = (*new, true);
        }
    }
    compare(&words::of_introduction(&public.digest()), args.person.as_str(), args.sign.yes)?;
    let concluded = policy::conclude(session, &site, draft, (&args.sign.by, args.sign.yes))?;
    let team = if publishes {
        "; then `assent renew --content` with the new publisher key, and publish under new versions what shall still be used"
    } else {
        ""
    };
    term::print(&format!("next, on the machine of {}: put the new key into cli.toml{team}\n", args.person))?;
    policy::tell(session, concluded.as_ref(), json)
}
