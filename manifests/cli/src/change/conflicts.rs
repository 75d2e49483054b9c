//! What gets in the way of a change: the server's word, beside what is signed.

use super::review::Review;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::conflict::{Conflict, ConflictKind};
use shared::ids::ChangeId;

/// The conflicts of a change that is not over.
pub fn list(session: &Session, review: &Review) -> Done<Vec<Conflict>> {
    let open =
        matches!(review.line.state.as_str(), "draft" | "in_review" | "approved" | "running" | "halted");
    if !open || review.change.body.is_record() {
        return Ok(Vec::new());
    }
    session.api.conflicts(&review.change.body.change_id)
}

/// Prints them, if there are any.
pub fn tell(session: &Session, review: &Review) -> Done {
    term::print(&lines(&list(session, review)?, session.lang, &window::zone(None)?))
}

/// Nobody signs in vain what the server does not take by the policy. It judges again, by the hosts that were approved.
pub fn check(session: &Session, id: &ChangeId) -> Done {
    let found = session.api.conflicts(id)?;
    let blocking = |conflict: &&Conflict| conflict.blocks;
    match found.iter().find(blocking) {
        None => Ok(()),
        Some(first) => {
            let what = format!("{}: {}", first.kind.as_str(), text::clean(&first.with));
            Err(Failure::refused(format!("the policy lets nobody approve {id} now"))
                .why(format!(
                    "{what} is in its way on {} hosts from {} to {}",
                    first.hosts, first.at.from, first.at.until
                ))
                .remedy("wait until that is over, move a window, or leave those hosts out with --skip"))
        }
    }
}

fn lines(found: &[Conflict], lang: Lang, zone: &TimeZone) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut out = format!("{}\n", lang.word(Word::Conflicts));
    for conflict in found {
        let word = match conflict.kind {
            ConflictKind::Closed => Word::ConflictClosed,
            ConflictKind::Blackout => Word::ConflictBlackout,
            ConflictKind::OutsideWindow => Word::ConflictOutside,
            ConflictKind::Warning => Word::ConflictWarning,
            ConflictKind::SameHosts => Word::ConflictSameHosts,
            ConflictKind::Related => Word::ConflictRelated,
            ConflictKind::Slots => Word::ConflictSlots,
        };
        let told = lang.fill(word, &text::clean(&conflict.with));
        let [from, until] = [conflict.at.from, conflict.at.until].map(|at| window::local_in(lang, at, zone));
        let hosts = lang.word(Word::Hosts);
        let blocks =
            if conflict.blocks { format!("; {}", lang.word(Word::ConflictBlocks)) } else { String::new() };
        out.push_str(&format!("  {told} ({}){blocks}\n", text::clean(&conflict.title)));
        out.push_str(&format!("    {from} .. {until}, {hosts}: {}\n", conflict.hosts));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::{Interval, Timestamp};

    #[test]
    fn each_conflict_says_what_when_and_on_how_many_hosts() {
        let zone = window::zone(Some("Europe/Berlin")).unwrap();
        let from = Timestamp(1_795_222_800); // 2026-11-21T01:00:00Z
        let conflict = |kind, with: &str| Conflict {
            kind,
            with: with.into(),
            title: "Closing\u{1b}[2J of the books".into(),
            at: Interval { from, until: from.plus(3_600) },
            hosts: 3,
            some: vec![],
            blocks: kind == ConflictKind::SameHosts,
        };
        assert_eq!(lines(&[], Lang::En, &zone), "");
        let found = [
            conflict(ConflictKind::Closed, "year-end"),
            conflict(ConflictKind::OutsideWindow, "nights, weekends"),
            conflict(ConflictKind::SameHosts, "C-8"),
        ];
        let told = lines(&found, Lang::En, &zone);
        assert!(
            told.contains("  CLOSED by the blackout year-end: nothing of the windows is left (Closing"),
            "{told}"
        );
        assert!(
            told.contains("    Sat 2026-11-21 02:00 +01:00 .. Sat 2026-11-21 03:00 +01:00, hosts: 3\n"),
            "{told}"
        );
        assert!(told.contains("  outside of the maintenance windows of nights, weekends ("), "{told}");
        assert!(told.contains("  C-8 may run on the same hosts at the same time"), "{told}");
        assert_eq!(told.matches("the policy lets nobody approve the change").count(), 1, "{told}");
        assert!(!told.contains('\u{1b}'), "a title steers the terminal");
        assert!(lines(&found, Lang::De, &zone).contains("GESPERRT durch den Kalender year-end"));
    }
}
