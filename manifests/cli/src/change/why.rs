//! `assent why HOST CHANGE`: the server's answer, and the host's own signed refusal where there is one.

use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use serde::Serialize;
use shared::ids::{ChangeId, SiteId};
use shared::receipt::{Refusal, open_chained};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{Waiting, Why};

/// The server's answer as programs read it, with what the host signed.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    why: &'a Why,
    /// Verified here.
    signed: Option<&'a Refusal>,
}

pub fn run(session: &Session, host: &str, id: &ChangeId, json: bool) -> Done {
    let why = session.api.why(host, id)?;
    if why.change_id != *id {
        return Err(Failure::fault(format!("the server answered about {}", why.change_id)));
    }
    let refusal = checked(&why, &session.profile.config.site)?;
    if json {
        return print_json(&Answer { why: &why, signed: refusal.as_ref().map(|refusal| &refusal.body) });
    }
    let zone = window::zone(None)?;
    term::print(&rendered(&why, refusal.as_ref(), session.now, (session.lang, &zone)))
}

/// `assent waiting`: how many hosts wait for what.
pub fn overview(session: &Session, id: Option<&ChangeId>, json: bool) -> Done {
    let groups = session.api.waiting(id)?;
    if json {
        return print_json(&groups);
    }
    if groups.is_empty() {
        return term::print(&format!("{}\n", session.lang.word(Word::NobodyWaits)));
    }
    let zone = window::zone(None)?;
    term::print(&table_of(&groups, session.lang, &zone))
}

fn table_of(groups: &[Waiting], lang: Lang, zone: &jiff::tz::TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfWaiting)];
    rows.extend(groups.iter().map(|group| {
        let some: Vec<String> = group.some.iter().map(|name| text::clean(name)).collect();
        let more =
            if usize::try_from(group.hosts).is_ok_and(|hosts| hosts > some.len()) { ", ..." } else { "" };
        vec![
            group.hosts.to_string(),
            group.change_id.to_string(),
            text::clean(&group.standing),
            text::clean(&group.code),
            group.retry_at.map_or("-".to_owned(), |at| window::local_in(lang, at, zone)),
            format!("{}{more}", some.join(", ")),
        ]
    }));
    let mut out = text::table(&rows);
    let mut told = std::collections::BTreeSet::new();
    out.push('\n');
    for group in groups.iter().filter(|group| told.insert(&group.code)) {
        out.push_str(&format!("{}: {}\n", text::clean(&group.code), text::clean(&group.message)));
    }
    out
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

    #[test]
    fn hosts_that_wait_for_the_same_are_one_line() {
        let group = |hosts, code: &str, some: &[&str]| Waiting {
            change_id: "C-7".parse().unwrap(),
            standing: "waiting".into(),
            code: code.into(),
            message: format!("about {code}\u{1b}[2J"),
            hosts,
            some: some.iter().map(|&name| name.to_owned()).collect(),
            retry_at: (hosts == 3).then_some(NOW),
        };
        let groups = [group(3, "time.window", &["web1", "web2"]), group(1, "host.away", &["db1"])];
        let zone = window::zone(Some("Europe/Berlin")).unwrap();
        let shown = table_of(&groups, Lang::En, &zone);
        assert!(
            shown.contains(
                "3      C-7     waiting  time.window  Fri 2026-11-20 12:07 +01:00  web1, web2, ..."
            ),
            "{shown}"
        );
        assert!(shown.contains("host.away: about host.away") && !shown.contains('\u{1b}'), "{shown}");
    }

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
