//! `assent renew`: signs again what would end, with keys that the server does not hold.
//!
//! Root and targets get their next version with the same contents, the own team's content too. Never: freshness of what it
//! signs again; signatures and versions are checked, and the newest that was ever seen here counts.

use crate::author::list::print_json;
use crate::error::{Context as _, Done};
use crate::governance::{self, Concluded, Next, Signers, change, expires};
use crate::net::api::Publish;
use crate::profile::KeyUse;
use crate::session::Session;
use crate::site::expiry;
use crate::trust::{self, Site};
use crate::{clock, files, init, policy, term};
use shared::keys::SigningKey;
use shared::time::Timestamp;
use shared::tuf::{Root, Signed, Targets};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a renewal is asked to do.
#[derive(Debug, clap::Args)]
pub struct RenewArgs {
    /// Only show what ends when, and what would be renewed
    #[arg(long)]
    pub dry_run: bool,
    /// Only your own team's list of manifests; needs no governance key
    #[arg(long, conflicts_with_all = ["key", "propose", "replace_lost"])]
    pub content: bool,
    /// Governance keys that do not sign now are lost: drop them, and make a new one in this file
    #[arg(long, value_name = "FILE", conflicts_with = "propose")]
    pub replace_lost: Option<PathBuf>,
    #[command(flatten)]
    pub by: Signers,
    /// As JSON: what ends when, as `assent site show` has it; with --propose, the proposal
    #[arg(long)]
    pub json: bool,
}

const OTHERS: &str = "the server renews timestamp, snapshot, changes and certificates of the site's authority by itself, and \
                      hosts theirs;\nkeys of persons, models and delegations get another end with an edition of the policy \
                      (assent policy edit)";

pub fn run(session: &Session, args: &RenewArgs) -> Done {
    term::for_programs(args.json);
    let (info, _) = session.api.site()?;
    let before = trust::refresh_expired(&session.profile, &session.api, session.now)?;
    let team = &session.profile.config.team;
    let until = expires(session.now);
    let ends = expiry::expiries(session, &info, &before)?;
    term::print(&expiry::table(&ends, session.now, session.lang)?)?;
    let everything = format!("root, targets (with the policy) and content.{team}");
    let what = if args.content { format!("content.{team}") } else { everything };
    if args.dry_run {
        let set = shared::governance::keys_of(before.trusted.root(), &before.trusted.root().roles.root);
        let many = if args.content || set.threshold == 1 {
            String::new()
        } else {
            format!(
                "{} of {} governance keys have to sign: give --propose FILE\n",
                set.threshold,
                set.keys.len()
            )
        };
        term::print(&format!("\nassent renew would sign {what} until {until}\n{many}{OTHERS}\n"))?;
        return if args.json { print_json(&ends) } else { Ok(()) };
    }
    if !args.content {
        let concluded = sign_again(session, &before, args)?;
        if concluded != Concluded::Published {
            term::print(&format!("then: assent renew --content, for content.{team}\n"))?;
            return policy::tell(session, Some(&concluded), args.json);
        }
    }
    renew_content(session, &before, until)?;
    let after = session.site()?;
    let (info, _) = session.api.site()?;
    let ends = expiry::expiries(session, &info, &after)?;
    let table = expiry::table(&ends, session.now, session.lang)?;
    term::print(&format!("\nrenewed: {what}\n{table}\n{OTHERS}\n"))?;
    if args.json { print_json(&ends) } else { Ok(()) }
}

/// Root and targets with the same contents, or with a new key in the place of the lost.
fn sign_again(session: &Session, before: &Site, args: &RenewArgs) -> Done<Concluded> {
    if let Some(path) = &args.replace_lost {
        return replace_lost(session, before, &args.by, path);
    }
    let (old, until) = (before.trusted.root(), expires(session.now));
    let signers = governance::keys(session, &args.by)?;
    let root = Root { version: old.version + 1, expires: until, ..old.clone() };
    let targets = before.targets()?;
    let targets = Targets { version: targets.version + 1, expires: until, ..targets };
    let policy = before.policy_bytes(&session.api)?;
    let next = Next { root: Some(root), roots: Vec::new(), targets, policy: &policy };
    governance::conclude(session, (old, &before.policy), &signers, next, args.by.propose.as_deref())
}

fn replace_lost(session: &Session, before: &Site, by: &Signers, path: &Path) -> Done<Concluded> {
    change::one_key_suffices(before)?;
    // It asks for the passphrase of the keys that sign, which the new one gets too.
    let signers = governance::keys(session, by)?;
    let new = SigningKey::from_seed(&Zeroizing::new(clock::random::<32>()?));
    let passphrase = session.secrets.passphrase_for_new()?;
    let (public, sealed) = (new.public(), init::sealed(&new, &passphrase)?);
    let draft = change::without_lost(session, before, &signers, new)?;
    files::write_new(path, sealed.as_bytes())?;
    let concluded = policy::conclude(session, before, draft, (by, true))?;
    term::print(&format!(
        "{} holds a new governance key, sealed; every governance key that did not sign is dropped\n  public key  {public}\n\
         next: put it into cli.toml (keys.governance), and see `assent governance show`\n",
        path.display(),
    ))?;
    Ok(concluded.unwrap_or(Concluded::Published))
}

/// The own team's list of manifests; other teams renew theirs.
fn renew_content(session: &Session, before: &Site, until: Timestamp) -> Done {
    let team = &session.profile.config.team;
    let Some(content) = before.expired_content(team)? else { return Ok(()) };
    if session.profile.key_file(KeyUse::Publisher).is_none() {
        return Ok(());
    }
    let next = Targets { version: content.version + 1, expires: until, ..content };
    let text = Signed::by(next, &[&session.key(KeyUse::Publisher)?]).to_bytes();
    let text = String::from_utf8(text).or_fault("the new metadata is not text")?;
    session.api.publish(&Publish { team, content: &text, target: None, older: false })
}
