//! Facts that somebody put on the host: `/etc/assent/facts.d/*.toml` and `*.json`, text, whole numbers, true and false.
//!
//! Never: running anything. A file that is not root's alone, or cannot be read as a whole, is left out and told.

use crate::host::{Attrs, Entry, Fault, Host};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use shared::facts::{FACT_TEXT_BYTES, LOCAL, LocalFact};
use shared::strict::{self, Map};
use shared::visible;
use std::collections::BTreeMap;
use std::fmt;

pub const DIR: &str = "/etc/assent/facts.d";
/// A file of facts is something that people write.
const BYTES: u64 = 64 << 10;
const NAME_BYTES: usize = 64;

/// The facts of all files, sorted; notes tell which files are not used, and why.
pub fn read(host: &impl Host, notes: &mut Vec<String>) -> Vec<LocalFact> {
    let names = match names(host) {
        Ok(names) => names,
        Err(why) => {
            notes.push(format!("{DIR} is not used: {why}"));
            return Vec::new();
        }
    };
    let mut all = BTreeMap::new();
    for name in names {
        match file(host, &name) {
            Ok(facts) if all.len() + facts.len() > LOCAL => {
                notes.push(format!(
                    "{DIR}/{name} is not used: with it there are more than {LOCAL} local facts"
                ));
            }
            Ok(facts) => all.extend(facts),
            Err(why) => notes.push(format!("{DIR}/{name} is not used: {why}")),
        }
    }
    all.into_iter().map(|(name, value)| LocalFact { name, value }).collect()
}

fn names(host: &impl Host) -> Result<Vec<String>, String> {
    let looked = host.look(DIR).map_err(|fault| fault.text())?;
    match looked {
        Entry::Absent => Ok(Vec::new()),
        Entry::Directory { attrs } => {
            of_root(host, attrs)?;
            host.list(DIR).map_err(|fault| fault.text())
        }
        Entry::File { .. } | Entry::Link { .. } | Entry::Other => Err("it is no directory".into()),
    }
}

/// Whoever may write a fact speaks for the host.
fn of_root(host: &impl Host, attrs: Attrs) -> Result<(), String> {
    let owner = host.default_owner().0;
    if attrs.uid != owner {
        return Err(format!("it belongs to user {} and not to {owner}; use chown", attrs.uid));
    }
    if attrs.mode & 0o022 != 0 {
        return Err(format!("others may write it (mode {:o}); use chmod go-w", attrs.mode));
    }
    Ok(())
}

fn file(host: &impl Host, name: &str) -> Result<Vec<(String, String)>, String> {
    let path = format!("{DIR}/{name}");
    let (stem, kind) = name.rsplit_once('.').ok_or("its name ends neither in .toml nor in .json")?;
    word(stem).map_err(|why| format!("its name {why}"))?;
    let Entry::File { attrs, .. } = host.look(&path).map_err(|fault| fault.text())? else {
        return Err("it is no regular file".into());
    };
    of_root(host, attrs)?;
    let bytes = host.read(&path, BYTES).map_err(|fault: Fault| fault.text())?.unwrap_or_default();
    let values: BTreeMap<String, Plain> = match kind {
        "toml" => {
            let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8 text")?;
            toml::from_str(text).map_err(|error| visible::line(error.message()))?
        }
        "json" => {
            strict::from_json::<Map<String, Plain>>("it", &bytes, bytes.len()).map_err(|e| e.to_string())?.0
        }
        _ => return Err("its name ends neither in .toml nor in .json".into()),
    };
    let fact = |(key, Plain(value)): (String, Plain)| {
        word(&key).map_err(|why| format!("the key {} {why}", strict::shorten(&key)))?;
        if value.len() > FACT_TEXT_BYTES || value.contains(char::is_control) {
            return Err(format!(
                "the value of {key} is longer than {FACT_TEXT_BYTES} bytes or not printable"
            ));
        }
        Ok((format!("local.{stem}.{key}"), value))
    };
    values.into_iter().map(fact).collect()
}

fn word(text: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !text.is_empty() && text.len() <= NAME_BYTES && text.chars().all(fine) {
        true => Ok(()),
        false => Err(format!("has to be 1 to {NAME_BYTES} letters, digits, - or _")),
    }
}

/// A value as text.
struct Plain(String);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Plain;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Plain, E> {
                Ok(Plain(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Plain, E> {
                Ok(Plain(number.to_string()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Plain, E> {
                Ok(Plain(number.to_string()))
            }
            fn visit_bool<E: Error>(self, yes: bool) -> Result<Plain, E> {
                Ok(Plain(yes.to_string()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{Fake, Node, ROOT};

    fn put(host: &Fake, name: &str, text: &str, attrs: Attrs) {
        let mut world = host.world.borrow_mut();
        for dir in ["/etc/assent", DIR] {
            world.nodes.entry(dir.into()).or_insert(Node::Dir(Attrs { mode: 0o755, ..ROOT }));
        }
        world.nodes.insert(format!("{DIR}/{name}"), Node::File(attrs, text.into()));
    }

    #[test]
    fn local_facts_are_named_after_file_and_key() {
        let host = Fake::default();
        put(&host, "site.toml", "rack = \"B7\"\nunits = 2\nbackup = true\n", ROOT);
        put(&host, "owner.json", r#"{"team": "web"}"#, ROOT);
        let mut notes = Vec::new();
        let facts = read(&host, &mut notes);
        let told: Vec<String> = facts.iter().map(|fact| format!("{}={}", fact.name, fact.value)).collect();
        assert_eq!(
            told,
            ["local.owner.team=web", "local.site.backup=true", "local.site.rack=B7", "local.site.units=2"]
        );
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn a_bad_file_is_told_and_takes_no_other_one_along() {
        let host = Fake::default();
        let long = format!("a = \"{}\"\n", "x".repeat(FACT_TEXT_BYTES + 1));
        let many: String = (0..=LOCAL).map(|n| format!("k{n} = 1\n")).collect();
        for (name, text, attrs, why) in [
            (
                "others.toml",
                "a = 1\n",
                Attrs { mode: 0o666, ..ROOT },
                "others may write it (mode 666); use chmod go-w",
            ),
            ("web.toml", "a = 1\n", Attrs { uid: 33, ..ROOT }, "it belongs to user 33"),
            ("run.sh", "#!/bin/sh\n", ROOT, "its name ends neither in .toml nor in .json"),
            ("list.toml", "a = [1]\n", ROOT, "expected a text, a whole number, true or false"),
            ("half.toml", "a = 1.5\n", ROOT, "expected a text, a whole number, true or false"),
            ("twice.json", r#"{"a":1,"a":2}"#, ROOT, "duplicate key"),
            ("twice.toml", "a = 1\na = 2\n", ROOT, "duplicate key"),
            ("key.json", r#"{"a b":1}"#, ROOT, "the key a b has to be"),
            ("na me.json", "{}", ROOT, "its name has to be"),
            ("long.toml", &long, ROOT, "longer than 256 bytes"),
            ("steer.json", r#"{"a":"\u001b[1m"}"#, ROOT, "not printable"),
            ("many.toml", &many, ROOT, "more than 256 local facts"),
        ] {
            put(&host, name, text, attrs);
            put(&host, "good.toml", "here = true\n", ROOT);
            let mut notes = Vec::new();
            let facts = read(&host, &mut notes);
            assert_eq!(
                facts.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
                ["local.good.here"],
                "{name}"
            );
            assert_eq!(notes.len(), 1, "{name}: {notes:?}");
            assert!(
                notes[0].starts_with(&format!("{DIR}/{name} is not used: ")) && notes[0].contains(why),
                "{notes:?}"
            );
            host.world.borrow_mut().nodes.remove(&format!("{DIR}/{name}"));
        }
        host.world.borrow_mut().nodes.insert(DIR.into(), Node::Dir(Attrs { mode: 0o777, ..ROOT }));
        let mut notes = Vec::new();
        assert_eq!(read(&host, &mut notes), []);
        assert!(notes[0].contains("others may write it"), "{notes:?}");
    }
}
