//! The rehearsal: whoever keeps the print-out types it in, and the key signs that it works and is one that governs.

use super::{METADATA_DAYS, holder_of};
use crate::error::{Context as _, Done, Failure};
use crate::profile::Profile;
use crate::session::Session;
use crate::trust::Site;
use crate::{files, key, term, window};
use shared::governance::{REHEARSAL_DAYS, Rehearsal};
use shared::limits;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::path::{Path, PathBuf};

pub fn run(session: &Session, from: Option<&Path>) -> Done {
    let site = session.site()?;
    let root = site.trusted.root();
    let typed = key::typed(from)?;
    let (id, public) = (&session.profile.config.site, typed.public());
    let body = Rehearsal { site: id.clone(), key: public, root: root.version, at: session.now };
    let statement = Statement::sign(body, &typed);
    if !Rehearsal::proves(&statement, id, root) {
        return Err(Failure::refused(
            "this print-out is in order, but its key does not govern this site (any more)",
        )
        .why(format!("root {} does not name the key {public}", root.version))
        .remedy(
            "look for the newest print-out; `assent governance change --new-recovery` makes another one",
        ));
    }
    files::replace(&place(&session.profile), &statement.to_bytes())?;
    term::print(&format!(
        "the print-out works: {} ({public}) governs by root {}, {} of {} keys sign\n\
         nothing was changed; the proof is in {}, the next rehearsal is due {}\n",
        holder_of(&public, &site.policy.governance),
        root.version,
        root.roles.root.threshold,
        root.roles.root.keyids.len(),
        place(&session.profile).display(),
        window::local(statement.body.due(), &window::zone(None)?)
    ))
}

fn place(profile: &Profile) -> PathBuf {
    profile.dir.join("trust/rehearsal.json")
}

/// The last one on record here whose key governs still.
fn last(profile: &Profile, site: &Site) -> Done<Option<Rehearsal>> {
    let Some(bytes) = files::try_read(&place(profile), limits::RELEASE_BYTES)? else { return Ok(None) };
    let statement = Statement::<Rehearsal>::parse(&bytes).or_fault("trust/rehearsal.json is damaged")?;
    let proves = Rehearsal::proves(&statement, &profile.config.site, site.trusted.root());
    Ok(proves.then_some(statement.body))
}

/// When the next rehearsal is due. Without any, the root counts: its recovery key was new or proven about then.
pub fn due(profile: &Profile, site: &Site) -> Done<Timestamp> {
    let made = site.trusted.root().expires.plus(-METADATA_DAYS * 86_400);
    Ok(last(profile, site)?.map_or(made.plus(REHEARSAL_DAYS * 86_400), |last| last.due()))
}

pub fn line(session: &Session, site: &Site) -> Done<String> {
    let zone = window::zone(None)?;
    let due = window::local(due(&session.profile, site)?, &zone);
    Ok(match last(&session.profile, site)? {
        Some(last) => format!("recovery key rehearsed {}, due again {due}\n", window::local(last.at, &zone)),
        None => format!(
            "recovery key not rehearsed from this directory yet, due {due}: assent governance rehearse\n"
        ),
    })
}
