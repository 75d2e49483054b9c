//! What an edition of the policy asks for less than the one before: approvals that were given already begin to count then.
//!
//! Pure. Never: a refusal; whoever governs may loosen rules, and is told before signing.

use shared::policy::{DistinctFrom, Policy, Rule};

/// One line for each thing that is asked for no longer; empty when nothing is.
pub fn loosened(before: &Policy, after: &Policy) -> Vec<String> {
    let mut lines = Vec::new();
    for old in &before.rules {
        match after.rules.iter().find(|rule| rule.name == old.name) {
            Some(new) => lines.extend(less(old, new)),
            None => lines.push(format!(
                "rule \"{}\" is gone: what it asked for is asked for by the other rules alone, also of approvals given before",
                old.name
            )),
        }
    }
    for old in &before.groups {
        let more: Vec<&str> =
            after.members(&old.name).difference(&old.persons).map(|id| id.as_str()).collect();
        if !more.is_empty() {
            lines.push(format!(
                "group {}: {} may give its words, also with those given before",
                old.name,
                more.join(", ")
            ));
        }
    }
    let rules = |policy: &Policy| policy.conflicts.clone().unwrap_or_default();
    let (old, new) = (rules(before), rules(after));
    for kind in old.block.difference(&new.block) {
        lines.push(format!("conflicts of kind {} no longer keep changes from being approved", kind.as_str()));
    }
    if !old.block.is_empty() && !new.except.is_subset(&old.except) {
        lines.push("more types of changes are approved in spite of conflicts; see the difference".into());
    }
    if after.one_person && !before.one_person {
        lines.push("the site has one person: whoever breaks the glass may review that alone".into());
    }
    lines
}

fn less(old: &Rule, new: &Rule) -> Vec<String> {
    let (name, before, after) = (&old.name, &old.require, &new.require);
    let mut lines = Vec::new();
    for (who, whose) in [(DistinctFrom::Author, "author"), (DistinctFrom::Publisher, "publisher")] {
        if before.distinct_from.contains(&who) && !after.distinct_from.contains(&who) {
            lines
                .push(format!("rule \"{name}\": the {whose}'s own approvals count, also those given before"));
        }
    }
    if after.approvals < before.approvals {
        lines.push(format!(
            "rule \"{name}\": {} suffices where {} were asked for, also of approvals given before",
            after.approvals, before.approvals
        ));
    }
    if after.min_assurance < before.min_assurance {
        lines.push(format!(
            "rule \"{name}\": approvals in a page of the server count, also those given before"
        ));
    }
    if after.max_validity_h > before.max_validity_h {
        lines.push(format!(
            "rule \"{name}\": approvals count for {} hours instead of {}, also those given before",
            after.max_validity_h, before.max_validity_h
        ));
    }
    if let Some(group) = before.from.as_ref().filter(|_| after.from != before.from) {
        lines.push(format!(
            "rule \"{name}\": others than the group {group} may give the words that it asks for"
        ));
    }
    if before.everyone && !after.everyone {
        lines.push(format!("rule \"{name}\": not everyone of the group is needed any more"));
    }
    for first in before.after.difference(&after.after) {
        lines.push(format!("rule \"{name}\": its words count also before rule \"{first}\" is satisfied"));
    }
    if new.matches != old.matches {
        lines.push(format!("rule \"{name}\": it is about other changes or hosts; see the difference"));
    }
    lines
}

/// The same as a block of lines that must not be overlooked.
pub fn warning(before: &Policy, after: &Policy) -> String {
    loosened(before, after).iter().map(|line| format!("! {}\n", crate::text::clean(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::loosened;
    use shared::change::ChangeType;
    use shared::conflict::{ConflictKind, ConflictRules};
    use shared::policy::{Assurance, DistinctFrom, Policy, Rule};

    fn policy() -> Policy {
        let text = r#"{"schema":"assent-policy/1","site":"00112233aabbccdd","version":5,"issued":"2027-01-15T08:00:00Z",
            "one_person":false,"ca_spki":[],"server_urls":[],"persons":[],"rules":[{"name":"normal","match":{},"require":{"approvals":2,
            "distinct_from":["author","publisher"],"min_assurance":"independent","max_validity_h":48,"from":"owners","everyone":true,"after":["first"]}}],"groups":[{"name":"owners","persons":["lead"]}],
            "clock":{"max_skew_s":300,"offline_grace_h":24},"log":{"vkeys":[]}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_asked_for_no_longer_is_told_and_nothing_else() {
        let after = |bend: fn(&mut Rule)| {
            let mut next = policy();
            bend(&mut next.rules[0]);
            loosened(&policy(), &next)
        };
        assert_eq!(after(|_| {}), Vec::<String>::new());
        assert_eq!(after(|rule| rule.require.approvals = 3), Vec::<String>::new(), "more is no loosening");
        for (bend, told) in [
            (
                (|rule: &mut Rule| rule.require.distinct_from.retain(|who| *who != DistinctFrom::Author))
                    as fn(&mut Rule),
                "the author's own approvals count, also those given before",
            ),
            (
                |rule| rule.require.distinct_from.retain(|who| *who != DistinctFrom::Publisher),
                "the publisher's own approvals",
            ),
            (|rule| rule.require.approvals = 1, "1 suffices where 2 were asked for"),
            (|rule| rule.require.min_assurance = Assurance::ServerRendered, "in a page of the server"),
            (|rule| rule.require.max_validity_h = 49, "49 hours instead of 48"),
            (|rule| rule.matches.change_types = Some([].into()), "other changes or hosts"),
            (|rule| rule.require.from = None, "others than the group owners"),
            (|rule| rule.require.everyone = false, "not everyone of the group"),
            (|rule| rule.require.after.clear(), "also before rule \"first\" is satisfied"),
            (|rule| rule.name = "other".into(), "rule \"normal\" is gone"),
        ] {
            let lines = after(bend);
            assert!(lines.len() == 1 && lines[0].contains(told), "{told}: {lines:?}");
        }
        let mut larger = policy();
        larger.groups[0].persons.insert("deputy".parse().unwrap());
        let told = loosened(&policy(), &larger);
        assert!(told.len() == 1 && told[0].contains("group owners: deputy may give its words"), "{told:?}");
        assert_eq!(loosened(&larger, &policy()), Vec::<String>::new());
        let block = |kinds: &[ConflictKind], except: &[ChangeType]| {
            let (block, except) = (kinds.iter().copied().collect(), except.iter().copied().collect());
            Policy { conflicts: Some(ConflictRules { block, except }), ..policy() }
        };
        let both = block(&[ConflictKind::SameHosts, ConflictKind::Slots], &[]);
        let one = block(&[ConflictKind::SameHosts], &[]);
        let told = loosened(&both, &one);
        assert!(told.len() == 1 && told[0].contains("kind slots no longer keep"), "{told:?}");
        assert_eq!(loosened(&one, &both), Vec::<String>::new());
        assert_eq!(loosened(&one, &policy()).len(), 1);
        let excepted = block(&[ConflictKind::SameHosts], &[ChangeType::Emergency]);
        let told = loosened(&one, &excepted);
        assert!(told.len() == 1 && told[0].contains("more types of changes"), "{told:?}");
        assert_eq!(loosened(&excepted, &one), Vec::<String>::new());
        let alone = Policy { one_person: true, ..policy() };
        assert_eq!(loosened(&policy(), &alone).len(), 1);
        assert_eq!(loosened(&alone, &policy()), Vec::<String>::new());
    }
}
