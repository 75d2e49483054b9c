//! `assent why HOST CHANGE`: the server's answer, and the host's own signed refusal where there is one.

use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use shared::ids::{ChangeId, SiteId};
use shared::receipt::{Refusal, open_chained};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::Why;

pub fn run(session: &Session, host: &str, id: &ChangeId) -> Done {
    let why = session.api.why(host, id)?;
    if why.change_id != *id {
        return Err(Failure::fault(format!("the server answered about {}", why.change_id)));
    }
    let refusal = checked(&why, &session.profile.config.site)?;
    let zone = window::zone(None)?;
    term::print(&rendered(&why, refusal.as_ref(), session.now, (session.lang, &zone)))
}

/// The refusal, if the host that was asked about signed it for this change.
fn checked(why: &Why, site: &SiteId) -> Done<Option<Statement<Refusal>>> {
    let Some(envelope) = &why.refusal else { return Ok(None) };
    let refused = "the refusal that the server sent is not one of this host";
    let refusal = open_chained::<Refusal>(&envelope.to_bytes(), site).or_refuse(refused)?;
    let other = refusal.body.change_id.as_ref().is_some_and(|id| *id != why.change_id);
    if refusal.body.header.agent_id != why.agent || other {
        return Err(Failure::refused(refused).why("it is about another host or change"));
    }
    Ok(Some(refusal))
}

fn rendered(
    why: &Why,
    refusal: Option<&Statement<Refusal>>,
    now: Timestamp,
    (lang, zone): (Lang, &jiff::tz::TimeZone),
) -> String {
    let moment = |at: Timestamp| {
        let span = text::span(at.since(now));
        let relation = lang.fill(if at > now { Word::In } else { Word::Ago }, &span);
        format!("{} ({relation})", window::local_in(lang, at, zone))
    };
    let (host, standing, and) =
        (text::clean(&why.hostname), text::clean(&why.standing), lang.word(Word::And));
    let mut out = format!("{host} {and} {}: {standing}\n", why.change_id);
    let mut retry = why.retry_at;
    match refusal {
        Some(refusal) => {
            let reason = &refusal.body.reason;
            out.push_str(&format!("  {}: {}\n", reason.code, text::clean(&reason.message)));
            out.push_str(&format!(
                "  {} {}\n",
                lang.word(Word::SignedByHost),
                moment(refusal.body.header.at)
            ));
            retry = reason.retry_at.or(retry);
        }
        None => out.push_str(&format!(
            "  {}: {} ({})\n",
            text::clean(&why.code),
            text::clean(&why.message),
            lang.word(Word::SaidByServer)
        )),
    }
    if let Some(at) = retry {
        out.push_str(&format!("  {} {}\n", lang.word(Word::AnswerMayChange), moment(at)));
    }
    let seen = why.last_seen.map_or(lang.word(Word::Never).to_owned(), moment);
    out.push_str(&format!("  {} {seen}\n", lang.word(Word::LastSeen)));
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, policy, refusal};
    use super::*;

    fn why(refusal: Option<Statement<Refusal>>) -> Why {
        Why {
            hostname: "web9".into(),
            agent: super::super::tests::refusal().body.header.agent_id,
            change_id: "C-7".parse().unwrap(),
            standing: "refused".into(),
            code: "plan.failed".into(),
            message: "it failed".into(),
            retry_at: Some(NOW.plus(5_400)),
            last_seen: Some(NOW.plus(-40)),
            refusal: refusal.map(|statement| statement.envelope),
        }
    }

    #[test]
    fn the_hosts_own_words_come_first_and_the_servers_are_marked() {
        let zone = window::zone(Some("UTC")).unwrap();
        let signed = why(Some(refusal()));
        let refusal = checked(&signed, &policy().site).unwrap();
        assert_eq!(
            rendered(&signed, refusal.as_ref(), NOW, (Lang::En, &zone)),
            "web9 and C-7: refused\n  plan.failed: apt is locked by another program\n  \
             signed by the host Fri 2026-11-20 11:07 +00:00 (0 s ago)\n  \
             the answer may change at Fri 2026-11-20 12:37 +00:00 (in 1 h 30 min)\n  \
             last seen Fri 2026-11-20 11:06 +00:00 (40 s ago)\n"
        );
        assert!(
            rendered(&why(None), None, NOW, (Lang::En, &zone))
                .contains("plan.failed: it failed (the server's word)")
        );
    }

    #[test]
    fn what_a_server_says_steers_no_terminal_and_adds_no_line() {
        let hostile = "a\u{1b}[2J\u{202e}\r\n  signed by the host";
        let said = Why {
            hostname: hostile.into(),
            standing: hostile.into(),
            code: hostile.into(),
            message: hostile.into(),
            ..why(None)
        };
        let shown = rendered(&said, None, NOW, (Lang::En, &window::zone(Some("UTC")).unwrap()));
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || !shared::visible::is_hidden(c)), "{shown:?}");
    }

    #[test]
    fn a_refusal_of_another_host_change_or_site_is_not_shown() {
        let site = policy().site;
        let mut other_host = why(Some(refusal()));
        other_host.agent = "00112233445566778899aabbccddeeff".parse().unwrap();
        assert!(checked(&other_host, &site).is_err());
        let mut other_change = why(Some(refusal()));
        other_change.change_id = "C-8".parse().unwrap();
        assert!(checked(&other_change, &site).is_err());
        assert!(checked(&why(Some(refusal())), &"ffffffffffffffff".parse().unwrap()).is_err());
    }
}
