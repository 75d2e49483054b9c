//! Everything that ends, in one table with exact times: keys and documents as verified here, the rest by the server's word.

use crate::error::{Context as _, Done};
use crate::governance;
use crate::lang::{Lang, Word};
use crate::net::api::Wanted;
use crate::net::api::{Expiry, SiteInfo};
use crate::session::Session;
use crate::trust::Site;
use crate::{text, window};
use shared::approval::Approval;
use shared::change::Change;
use shared::policy::Policy;
use shared::statement::Statement;
use shared::time::Timestamp;

/// Days before the end at which a line is marked.
const SOON_DAYS: i64 = 30;
/// Changes that are looked into one by one; of more, people look at the list of changes.
const MOST_CHANGES: usize = 50;

/// The server's list; what was verified here replaces what it says of the same. Soonest first.
pub fn expiries(session: &Session, told: &SiteInfo, site: &Site) -> Done<Vec<Expiry>> {
    let verified = site.trusted.expiries().into_iter();
    let mut all: Vec<Expiry> = verified.map(|(role, expires)| ends(role.to_string(), expires)).collect();
    let names: Vec<_> = all.iter().map(|line| line.what.clone()).collect();
    let known = |line: &Expiry| {
        names.iter().any(|name| name == line.what.trim_end_matches(".json"))
            || line.what.starts_with("key of ")
    };
    all.extend(told.expiry.iter().filter(|line| !known(line)).cloned());
    all.extend(of_policy(&site.policy, session.now));
    all.push(ends("rehearsal of the recovery key", governance::due(&session.profile, site)?));
    all.extend(of_changes(session)?);
    all.sort_by(|a, b| (a.expires, &a.what).cmp(&(b.expires, &b.what)));
    Ok(all)
}

fn ends(what: impl Into<String>, expires: Timestamp) -> Expiry {
    Expiry { what: what.into(), expires }
}

/// Keys of persons, models, and delegations that are not over yet.
fn of_policy(policy: &Policy, now: Timestamp) -> Vec<Expiry> {
    let keys = policy.persons.iter().flat_map(|person| person.keys.iter().map(move |key| (person, key)));
    let keys = keys.filter_map(|(person, key)| Some(ends(format!("key of {}", person.id), key.not_after?)));
    let models = policy.models.iter().map(|model| ends(format!("model {}", model.name), model.expires));
    let delegations = policy.delegations.iter().filter(|delegation| delegation.until > now);
    let delegations = delegations.map(|delegation| {
        ends(format!("delegation of {} to {}", delegation.by, delegation.to), delegation.until)
    });
    keys.chain(models).chain(delegations).collect()
}

/// Open changes and the approvals that they stand on.
fn of_changes(session: &Session) -> Done<Vec<Expiry>> {
    let open = ["approved", "running", "halted", "in_review"];
    let mut lines = Vec::new();
    for state in open {
        lines.extend(session.api.changes(&Wanted { state: Some(state), ..Wanted::default() })?);
    }
    let mut all = Vec::new();
    for line in lines.iter().filter(|line| !line.retroactive && !line.retires).take(MOST_CHANGES) {
        let file = session.api.change(&line.change_id)?;
        let damaged = format!("the server's {} cannot be read", line.change_id);
        let change = Statement::<Change>::open(file.change).or_refuse(&*damaged)?;
        all.push(ends(format!("change {}", line.change_id), change.body.not_after));
        for approval in file.approvals {
            let approval = Statement::<Approval>::open(approval).or_refuse(&*damaged)?.body;
            if approval.decision == shared::approval::Decision::Approve {
                let what = format!("approval of {} by {}", line.change_id, approval.person);
                all.push(ends(what, approval.expires));
            }
        }
    }
    Ok(all)
}

/// What its holder signs again without anybody's doing, long before the end.
fn renews_itself(what: &str) -> bool {
    matches!(what, "timestamp" | "snapshot" | "changes")
        || what.ends_with("certificate")
        || what.starts_with("certificates of ")
}

/// What is meant to end, and is nothing to look after.
fn is_to_end(what: &str) -> bool {
    ["change ", "approval of ", "delegation of "].iter().any(|kind| what.starts_with(kind))
}

pub fn table(expiry: &[Expiry], now: Timestamp, lang: Lang) -> Done<String> {
    let zone = window::zone(None)?;
    let mut rows = vec![lang.heads(Word::HeadsOfExpiry)];
    for line in expiry {
        let left = line.expires.since(now);
        let soon = left < SOON_DAYS * 86_400 && !renews_itself(&line.what);
        let mark = if (left <= 0 || soon) && !is_to_end(&line.what) { "!" } else { "" };
        let rest = if left <= 0 { lang.word(Word::Expired).to_owned() } else { text::span(left) };
        rows.push(vec![
            mark.into(),
            text::clean(&line.what),
            window::local_in(lang, line.expires, &zone),
            rest,
        ]);
    }
    Ok(text::table(&rows))
}
