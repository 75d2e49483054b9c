//! What people declare of the CMDB's entries, by one command or by tables. The server's record; hosts' own facts are apart.

pub mod args;
mod table;

use crate::author::list::print_json;
use crate::change::pairs;
use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::net::Seen;
use crate::session::Session;
use crate::written::{Outcome, Written};
use crate::{files, term, text, window};
use args::{DeclareArgs, DeclaredCommand, ImportArgs};
use jiff::tz::TimeZone;
use shared::wire::{
    CiFile, Declare, DeclareDone, DeclareItem, Impact, ImpactLine, Item, Relation, RelationKind,
};
use std::collections::BTreeSet;

/// As much as the server takes in one request.
const LARGEST: usize = 16 << 20;

pub fn run(session: &Session, command: DeclaredCommand) -> Done {
    match command {
        DeclaredCommand::Declare(args) => declare(session, *args),
        DeclaredCommand::Impact { entry, depth, json } => {
            let impact = session.api.impact(&entry, depth)?;
            if json { print_json(&impact) } else { term::print(&reached(session, &impact)) }
        }
        DeclaredCommand::Import(args) => import(session, &args),
        DeclaredCommand::Export { json } => {
            let items = session.api.declarations()?;
            if json { print_json(&items) } else { term::print(&table::write(&items)?) }
        }
    }
}

/// What it says now with what is given laid over it, for what was seen and nothing else.
fn declare(session: &Session, args: DeclareArgs) -> Done {
    let seen = session.api.declaration(&args.entry)?;
    let only = Seen::only(seen.as_ref());
    let old = seen.map(|seen| seen.it);
    let mut declared = old.as_ref().map(|old| old.declared.clone()).unwrap_or_default();
    let mut relations = old.and_then(|old| old.relations).unwrap_or_default();
    let over = |old: &mut Option<String>, new: Option<String>| {
        if let Some(new) = new {
            *old = Some(new).filter(|new| !new.is_empty());
        }
    };
    over(&mut declared.owner, args.owner);
    over(&mut declared.environment, args.environment);
    over(&mut declared.description, args.description);
    declared.criticality = args.criticality.map(Into::into).or(declared.criticality);
    declared.confidentiality = args.confidentiality.map(Into::into).or(declared.confidentiality);
    declared.integrity = args.integrity.map(Into::into).or(declared.integrity);
    declared.availability = args.availability.map(Into::into).or(declared.availability);
    declared.lifecycle = args.lifecycle.map(Into::into).unwrap_or(declared.lifecycle);
    for scope in args.scope {
        match scope.strip_suffix('-') {
            Some(gone) => declared.scopes.remove(gone),
            None => declared.scopes.insert(scope),
        };
    }
    for (name, value) in pairs(&args.label)? {
        match value.is_empty() {
            true => declared.labels.remove(&name),
            false => declared.labels.insert(name, value),
        };
    }
    relations.retain(|relation| !args.unrelate.contains(&relation.to));
    let kinds = [
        (RelationKind::DependsOn, args.depends_on),
        (RelationKind::RunsOn, args.runs_on),
        (RelationKind::PartOf, args.part_of),
    ];
    for (kind, others) in kinds {
        relations.extend(others.into_iter().map(|to| Relation { kind, to }));
    }
    let (reason, dry_run, json) = (args.reason, args.dry_run, args.json.json);
    let wish = DeclareItem { reason, dry_run, declared, relations: Some(relations) };
    tell(session, &session.api.declare_item(&args.entry, &wish, only)?, (dry_run, json))
}

fn import(session: &Session, args: &ImportArgs) -> Done {
    let text = files::read_text_or_input(&args.file, LARGEST)?;
    let items: Vec<Item> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text).or_usage("the file is no export of `assent ci export --json`")?,
        false => {
            let reading = table::Reading::of(&args.table)?;
            table::read(&text, &reading)?
        }
    };
    if items.is_empty() {
        return Err(Failure::usage("the file has no entries"));
    }
    let wish = Declare { reason: args.reason.clone(), dry_run: args.dry_run, after: None, items };
    tell(session, &session.api.declare(&wish)?, (args.dry_run, args.json.json))
}

fn tell(session: &Session, done: &DeclareDone, (dry, json): (bool, bool)) -> Done {
    if json && dry {
        return print_json(done);
    }
    if json {
        let mut outcome = Outcome::default();
        for diff in &done.changed {
            outcome.add(Written::of("declaration", &diff.item, diff)?);
        }
        return outcome.print();
    }
    let lang = session.lang;
    let mut out = String::new();
    for diff in &done.changed {
        let mark = if diff.new { "+" } else { "~" };
        out.push_str(&format!("{mark} {}\n", text::clean(&diff.item.to_string())));
        for line in &diff.lines {
            out.push_str(&format!("    {}\n", text::clean(line)));
        }
    }
    let counts =
        format!("{}/{}", done.changed.len(), done.changed.len() + usize::try_from(done.same).unwrap_or(0));
    let word = if dry { Word::WouldChange } else { Word::DidChange };
    out.push_str(&format!("{}\n", lang.fill(word, &counts)));
    term::print(&out)
}

fn reached(session: &Session, impact: &Impact) -> String {
    let lang = session.lang;
    let mut out = format!("{}\n", text::clean(&impact.of.to_string()));
    let sides: [(Word, &[ImpactLine]); 2] = [(Word::Affects, &impact.affects), (Word::Needs, &impact.needs)];
    for (word, lines) in sides {
        if lines.is_empty() {
            continue;
        }
        out.push_str(&format!("{}\n", lang.word(word)));
        for line in lines {
            let indent = "  ".repeat(usize::try_from(line.distance).unwrap_or(1).min(20));
            let criticality = line.criticality.and_then(|c| serde_json::to_value(c).ok());
            let criticality = criticality.as_ref().and_then(|c| c.as_str()).map(str::to_owned);
            let more: BTreeSet<String> = criticality.into_iter().chain(line.owner.clone()).collect();
            let more: Vec<_> = more.into_iter().map(|word| text::clean(&word)).collect();
            let more = if more.is_empty() { String::new() } else { format!("  [{}]", more.join(", ")) };
            out.push_str(&format!(
                "{indent}{}  ({} {}){more}\n",
                text::clean(&line.item.to_string()),
                line.kind.as_str(),
                text::clean(&line.via.to_string())
            ));
        }
    }
    if impact.affects.is_empty() && impact.needs.is_empty() {
        out.push_str(&format!("{}\n", lang.word(Word::Unrelated)));
    }
    if impact.cut {
        out.push_str(&format!("{}\n", lang.word(Word::ThereIsMore)));
    }
    out
}

/// What is declared of one entry, who said so, and what it belongs to; nothing when nothing is.
pub fn told(file: &CiFile, lang: Lang, zone: &TimeZone) -> String {
    let mut out = String::new();
    if let Some(said) = &file.declared {
        let at = window::local_in(lang, said.at, zone);
        out.push_str(&format!(
            "\n{} {} {at}: {}\n",
            lang.word(Word::DeclaredBy),
            said.by,
            text::clean(&said.reason)
        ));
        let fields = serde_json::to_value(&said.declared).ok();
        for (name, value) in fields.as_ref().and_then(|fields| fields.as_object()).into_iter().flatten() {
            let words = |values: Vec<String>| values.join(" ");
            let shown = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(all) => {
                    words(all.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect())
                }
                serde_json::Value::Object(all) => {
                    words(all.iter().filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?))).collect())
                }
                other => other.to_string(),
            };
            if !shown.is_empty() {
                out.push_str(&format!("  {name:<16}{}\n", text::clean(&shown)));
            }
        }
    }
    for relation in &file.relations {
        let other = text::clean(&relation.other.to_string());
        let kind = relation.kind.as_str();
        out.push_str(&match relation.inward {
            true => format!("  {other} {kind} {}\n", lang.word(Word::This)),
            false => format!("  {kind} {other}\n"),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;
    use shared::wire::{CiLine, Declared, DeclaredFile, Need, RelationLine};

    #[test]
    fn what_is_declared_is_shown_with_who_said_so() {
        let line: CiLine = serde_json::from_value(serde_json::json!({
            "ci": "CI-7", "kind": "service", "name": "shop", "created": "2026-11-20T11:07:16Z",
        }))
        .unwrap();
        let declared = Declared {
            owner: Some("shop\u{1b}[2J".into()),
            availability: Some(Need::VeryHigh),
            labels: [("team".to_owned(), "red".to_owned())].into_iter().collect(),
            ..Declared::default()
        };
        let at = Timestamp(1_795_172_836);
        let said = DeclaredFile { declared, at, by: "lead".parse().unwrap(), reason: "survey".into() };
        let relation = |inward, other: &str| RelationLine {
            kind: RelationKind::DependsOn,
            inward,
            other: other.parse().unwrap(),
        };
        let relations = vec![relation(false, "data:orders"), relation(true, "service:portal")];
        let file = CiFile {
            line,
            facts: None,
            declared: Some(said),
            relations,
            states: vec![],
            health: vec![],
            history: vec![],
            then: None,
        };
        let zone = window::zone(Some("Europe/Berlin")).unwrap();
        let shown = told(&file, Lang::En, &zone);
        for part in [
            "declared by lead Fri 2026-11-20 12:07 +01:00: survey\n",
            "  availability    very_high\n",
            "  labels          team=red\n",
            "  depends_on data:orders\n",
            "  service:portal depends_on this\n",
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "a name steers the terminal");
    }
}
