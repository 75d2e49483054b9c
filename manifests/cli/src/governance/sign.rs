//! Proposals from hand to hand: each holder of a key looks at what this machine makes of the file, and signs that.

use super::{Concluded, Proposed, add_signatures, opened, publish as send, told, too_few};
use crate::args::AsJson;
use crate::error::{Context as _, Done};
use crate::session::Session;
use crate::trust::{self, Last};
use crate::{files, policy, term, text};
use shared::governance::{Base, Proposal};
use shared::limits;
use shared::policy::Policy;
use shared::tuf::Root;
use shared::words;
use std::path::{Path, PathBuf};

pub fn sign(session: &Session, file: &Path, keys: &[PathBuf], (yes, json): (bool, AsJson)) -> Done {
    let json = json.begin();
    let mut proposal = read(file)?;
    let last = last(session)?;
    let next = follows(&proposal, &last, session)?;
    term::print(&shown(&proposal, &last, &next)?)?;
    term::confirm(
        "compare the six words with whoever sent you the file; then type sign to sign it:",
        "sign",
        yes,
    )?;
    add_signatures(&mut proposal, &last.root, &opened(session, keys)?)?;
    files::replace(file, &proposal.to_bytes())?;
    term::print(&signatures(&proposal, &last.root, &last.policy, file))?;
    let proposed = Proposed::of(&proposal, &last.root, file);
    policy::tell(session, Some(&Concluded::Proposed(proposed)), json)
}

pub fn publish(session: &Session, file: &Path, json: AsJson) -> Done {
    let json = json.begin();
    let proposal = read(file)?;
    let last = last(session)?;
    if last.targets == proposal.targets.signed {
        term::print("this proposal is in force already\n")?;
        return policy::tell(session, None, json);
    }
    let next = follows(&proposal, &last, session)?;
    if !proposal.is_complete(&last.root) {
        return Err(too_few(&proposal, &last.root, &last.policy)
            .remedy(format!("assent governance sign {}, by those who may", file.display())));
    }
    send(session, &proposal)?;
    let site = session.site()?;
    term::print(&format!(
        "root {} and edition {} of the policy are in force, valid until {}\n",
        site.trusted.versions().root,
        next.version,
        proposal.targets.signed.expires
    ))?;
    policy::tell(session, Some(&Concluded::Published), json)
}

fn read(file: &Path) -> Done<Proposal> {
    let bytes = files::read(file, limits::PROPOSAL_BYTES)?;
    Proposal::parse(&bytes).or_usage(format!("{} is not a proposal", file.display()))
}

/// What was signed last. A server that cannot be reached has no news; what it says is verified, and a machine that is
/// behind refuses the proposal.
fn last(session: &Session) -> Done<Last> {
    drop(trust::refresh_expired(&session.profile, &session.api, session.now));
    trust::last(&session.profile)
}

fn follows(proposal: &Proposal, last: &Last, session: &Session) -> Done<Policy> {
    let base = Base { root: &last.root, targets: &last.targets, policy: &last.policy };
    proposal.check(base, session.now).or_refuse("this proposal is not the next step of this site").map_err(
        |failure| {
            failure.remedy(
                "`assent site show` brings this machine up to date; an outdated proposal is made anew",
            )
        },
    )
}

fn shown(proposal: &Proposal, last: &Last, next: &Policy) -> Done<String> {
    let root = proposal.root_after(&last.root);
    let before = policy::shown(&last.policy, &policy::teams(&last.targets, &[])?, &last.root)?;
    let after = policy::shown(next, &policy::teams(&proposal.targets.signed, &[])?, root)?;
    let difference = policy::difference(&before, &after);
    let loosened = policy::warning(&last.policy, next);
    let what = if difference.is_empty() {
        "nothing differs but the dates: a renewal\n".to_owned()
    } else {
        difference
    };
    Ok(format!(
        "{} proposed this at {} (by the file's own word)\n\
         compared with what this machine has verified last: root {}, policy {} of {}\n\n{what}{loosened}\n\
         root {} until {}, targets until {}\n{}",
        proposal.by,
        proposal.at,
        last.root.version,
        last.policy.version,
        last.policy.issued,
        root.version,
        root.expires,
        proposal.targets.signed.expires,
        comparison(proposal)
    ))
}

/// What two persons compare, so that both sign the same.
pub fn comparison(proposal: &Proposal) -> String {
    format!("six words to compare  {}\n", words::of_proposal(&proposal.digest()))
}

/// Who has signed, who may, and what comes next.
pub fn signatures(proposal: &Proposal, root: &Root, policy: &Policy, file: &Path) -> String {
    let holders = proposal.holders(policy);
    let lines: String = proposal
        .standing(root)
        .iter()
        .map(|part| format!("  {}\n", text::clean(&told(part, &holders))))
        .collect();
    let step = if proposal.is_complete(root) { "publish" } else { "sign" };
    format!("{lines}next: assent governance {step} {}\n", file.display())
}
