//! What a change reaches and how much may go wrong: the server's word, beside what is signed.

use super::review::Review;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text};
use shared::wire::Assessment;

/// What is named of all that is reached; the rest is a number.
const SHOWN: usize = 8;

/// The assessment of a change that somebody may still decide about.
pub fn find(session: &Session, review: &Review) -> Done<Option<Assessment>> {
    let open = matches!(review.line.state.as_str(), "draft" | "in_review" | "approved" | "halted");
    if !open || review.change.body.is_record() {
        return Ok(None);
    }
    session.api.assessment(&review.change.body.change_id).map(Some)
}

/// Prints it, if there is one.
pub fn tell(session: &Session, review: &Review) -> Done {
    find(session, review)?.map_or(Ok(()), |told| term::print(&lines(&told, session.lang)))
}

fn lines(of: &Assessment, lang: Lang) -> String {
    let mut out = format!("{} {}", lang.word(Word::AssessedRisk), of.told.risk);
    if let Some(rule) = &of.told.rule {
        let reasons: Vec<String> = of.told.reasons.iter().map(|reason| text::clean(reason)).collect();
        out.push_str(&format!(": {} ({})", text::clean(rule), reasons.join("; ")));
    }
    out.push('\n');
    if of.affects.is_empty() {
        return out;
    }
    let more = of.affects.len().saturating_sub(SHOWN);
    out.push_str(&format!("  {}\n", lang.word(Word::Affects)));
    for line in of.affects.iter().take(SHOWN) {
        let owner = line.owner.as_ref().map(|owner| format!(", {}", text::clean(owner))).unwrap_or_default();
        let criticality = line.criticality.map(|step| format!(", {}", step.as_str())).unwrap_or_default();
        out.push_str(&format!("    {}{criticality}{owner}\n", text::clean(&line.item.to_string())));
    }
    if more > 0 || of.cut {
        out.push_str(&format!("    +{more}{}\n", if of.cut { "+" } else { "" }));
    }
    if !of.owners.is_empty() {
        let owners: Vec<String> = of.owners.iter().map(|owner| text::clean(owner)).collect();
        out.push_str(&format!("  {} {}\n", lang.word(Word::AskThem), owners.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::assessment::{RiskFacts, RiskTold};
    use shared::risk::Risk;
    use shared::wire::{Criticality, ImpactLine, RelationKind};

    #[test]
    fn risk_reasons_and_what_is_reached_are_told() {
        let line = |n: u32| ImpactLine {
            item: format!("service:s{n}").parse().unwrap(),
            distance: n,
            via: "host:web1".parse().unwrap(),
            kind: RelationKind::RunsOn,
            criticality: Some(Criticality::High),
            owner: Some("shop\u{1b}[2J".into()),
        };
        let told = RiskTold {
            risk: Risk::High,
            rule: Some("important, with a reboot".into()),
            reasons: vec!["criticality: high".into(), "reboot: yes".into()],
        };
        let affects = (1..=10).map(line).collect();
        let owners = vec!["dba".into(), "shop\u{1b}[2J".into()];
        let of = Assessment { told, facts: RiskFacts::default(), affects, cut: true, owners };
        let text = lines(&of, Lang::En);
        let first = "Risk (according to the server): high: important, with a reboot (criticality: high; reboot: yes)\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("    service:s1, high, shop\\u{1b}[2J\n"), "{text}");
        assert!(text.contains("    +2+\n") && text.contains("  whom to ask: dba, shop"), "{text}");
        assert!(!text.contains('\u{1b}'));
        let none = RiskTold { risk: Risk::Low, rule: None, reasons: Vec::new() };
        let of = Assessment { told: none, affects: Vec::new(), cut: false, owners: Vec::new(), ..of };
        assert_eq!(lines(&of, Lang::De), "Risiko (laut Server): low\n");
    }
}
