//! What gets in the way of a change: the server's word, beside what is signed.

use super::review::Review;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::wire::{Conflict, ConflictKind};

/// Prints the conflicts of a change that is not over, if there are any.
pub fn tell(session: &Session, review: &Review) -> Done {
    let open =
        matches!(review.line.state.as_str(), "draft" | "in_review" | "approved" | "running" | "halted");
    if !open || review.change.body.is_retroactive() {
        return Ok(());
    }
    let found = session.api.conflicts(&review.change.body.change_id)?;
    term::print(&lines(&found, session.lang, &window::zone(None)?))
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
            ConflictKind::Warning => Word::ConflictWarning,
            ConflictKind::SameHosts => Word::ConflictSameHosts,
            ConflictKind::Related => Word::ConflictRelated,
            ConflictKind::Slots => Word::ConflictSlots,
        };
        let told = lang.fill(word, &text::clean(&conflict.with));
        let [from, until] = [conflict.at.from, conflict.at.until].map(|at| window::local_in(lang, at, zone));
        let hosts = lang.word(Word::Hosts);
        out.push_str(&format!("  {told} ({})\n", text::clean(&conflict.title)));
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
        };
        assert_eq!(lines(&[], Lang::En, &zone), "");
        let found = [conflict(ConflictKind::Closed, "year-end"), conflict(ConflictKind::SameHosts, "C-8")];
        let told = lines(&found, Lang::En, &zone);
        assert!(
            told.contains("  CLOSED by the blackout year-end: nothing of the windows is left (Closing"),
            "{told}"
        );
        assert!(
            told.contains("    Sat 2026-11-21 02:00 +01:00 .. Sat 2026-11-21 03:00 +01:00, hosts: 3\n"),
            "{told}"
        );
        assert!(told.contains("  C-8 may run on the same hosts at the same time"), "{told}");
        assert!(!told.contains('\u{1b}'), "a title steers the terminal");
        assert!(lines(&found, Lang::De, &zone).contains("GESPERRT durch den Kalender year-end"));
    }
}
