//! `assent site restore`: a server that was put back to a backup goes on, because governance says so.
//!
//! Its new repository key goes into the next root, which makes hosts forget the newer files that they have seen; its
//! new ledger goes into the next policy, in front of the old one. Never: contents from the backup; what governance signed
//! last is read from this machine.

use crate::error::{Context as _, Done, Failure};
use crate::governance::{self, Concluded, Next, SignArgs};
use crate::net::api::NextKeys;
use crate::session::Session;
use crate::trust::{self, Last};
use crate::{policy, term, text};
use shared::governance::keys_of;
use shared::ledger::VerifierKey;
use shared::policy::Policy;
use shared::strict;
use shared::tuf::Role;
use shared::tuf::writer::{self, KeySet};

pub fn run(session: &Session, sign: &SignArgs) -> Done {
    let json = sign.json.begin();
    let (info, _) = session.api.site()?;
    let next = info.next.ok_or_else(|| {
        Failure::refused("the server has no new keys, so it was not put back to a backup, or goes on already")
            .remedy("on the server, while it does not run: assent-server restored --config FILE")
    })?;
    // A server that is not behind may have news; one that is behind is refused here, as it should be.
    drop(trust::refresh_expired(&session.profile, &session.api, session.now));
    let last = trust::last(&session.profile)?;
    confirm(&last, &next, sign.yes)?;
    let signers = governance::keys(session, &sign.by)?;
    let (until, unfit) = (governance::expires(session.now), "the new metadata would not be accepted");
    let online = KeySet::one(next.online);
    let set = keys_of(&last.root, &last.root.roles.root);
    let root = writer::new_root(last.root.version + 1, until, &set, &online).or_refuse(unfit)?;
    let document = strict::to_json(&edition(session, &last.policy, &next)?);
    let teams = policy::teams(&last.targets, &[])?;
    let targets = writer::targets_with_policy(last.targets.version + 1, until, &document, &teams, &online)
        .or_refuse(unfit)?;
    let signed = Next { root: Some(root), roots: lost_roots(session, &last)?, targets, policy: &document };
    let base = (&last.root, &last.policy);
    let concluded = governance::conclude(session, base, &signers, signed, sign.by.propose.as_deref())?;
    if concluded != Concluded::Published {
        return policy::tell(session, Some(&concluded), json);
    }
    let site = session.site()?;
    term::print(&format!(
        "the site goes on: root {}, policy {}, ledger {}\n\
         hosts take it over at their next check-in, and send again what the backup did not have\n\
         next: look at the changes that are held (assent change list), then assent change resume CHANGE; publish \
         manifests again that were published since the backup; hosts that joined since then join again\n",
        site.trusted.versions().root,
        site.policy.version,
        log_name(&next)?.name()
    ))?;
    policy::tell(session, Some(&concluded), json)
}

fn log_name(next: &NextKeys) -> Done<VerifierKey> {
    next.log_vkey.parse().or_refuse("the server's new ledger key cannot be used")
}

fn confirm(last: &Last, next: &NextKeys, yes: bool) -> Done {
    let Policy { version, issued, .. } = last.policy;
    term::print(&format!(
        "the server says that it was put back to a backup, and has made\n  new repository key  {}\n  new ledger key      \
         {}\ncompare them with what `assent-server restored` printed: whoever holds the new ledger key can hide what was in \
         the old one\non this machine governance signed last: root {}, policy {version} of {issued}\n",
        next.online,
        text::clean(&next.log_vkey),
        last.root.version
    ))?;
    term::confirm("type restore to sign:", "restore", yes)
}

/// The same policy with the new ledger in front; what the old one proves stays provable.
fn edition(session: &Session, last: &Policy, next: &NextKeys) -> Done<Policy> {
    let vkey = log_name(next)?.to_string();
    let mut policy = last.clone();
    policy.version += 1;
    policy.issued = session.now;
    policy.log.vkeys.retain(|known| *known != vkey);
    policy.log.vkeys.insert(0, vkey);
    Policy::parse(&strict::to_json(&policy)).or_refuse("the policy breaks its own rules")
}

/// Roots that the server does not have any more, oldest first.
fn lost_roots(session: &Session, last: &Last) -> Done<Vec<String>> {
    let mut lost = Vec::new();
    for version in (1..=last.root.version).rev() {
        if session.api.tuf(&Role::Root.file(version), Role::Root.max_bytes() as u64)?.is_some() {
            break;
        }
        let kept = last.root(version)?.ok_or_else(|| {
            Failure::refused(format!("root {version} is lost: neither the server nor this machine has it"))
                .remedy("take it from an evidence bundle (keys/), and put it into trust/ of this profile")
        })?;
        lost.insert(0, String::from_utf8(kept).or_fault("a kept root is damaged")?);
    }
    Ok(lost)
}
