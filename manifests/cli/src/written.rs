//! What a command has written: lines for people, or one JSON document of the same shape for each such command.

use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::net::{Only, Seen};
use crate::term;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;

/// One thing as it is now.
#[derive(Debug, Serialize)]
pub struct Written {
    kind: &'static str,
    id: String,
    /// The tag for `If-Match`, where the server gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    now: Value,
}

impl Written {
    pub fn of(kind: &'static str, id: impl Display, now: &impl Serialize) -> Done<Self> {
        let now = serde_json::to_value(now).or_fault("the output could not be written")?;
        Ok(Self { kind, id: id.to_string(), version: None, now })
    }

    /// What is not there any more.
    pub fn ended(kind: &'static str, id: impl Display) -> Self {
        Self { kind, id: id.to_string(), version: None, now: Value::Null }
    }

    /// With the version that the server has told.
    pub fn seen<T: Serialize>(kind: &'static str, id: impl Display, seen: &Seen<T>) -> Done<Self> {
        let version = match &seen.only {
            Only::Same(tag) => Some(tag.clone()),
            Only::Whatever | Only::New => None,
        };
        Ok(Self { version, ..Self::of(kind, id, &seen.it)? })
    }
}

/// One thing that stayed as it was.
#[derive(Debug, Serialize)]
struct Unwritten {
    id: String,
    why: String,
}

/// What became of a command.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    written: Vec<Written>,
    refused: Vec<Unwritten>,
}

impl Outcome {
    pub fn add(&mut self, written: Written) {
        self.written.push(written);
    }

    pub fn refuse(&mut self, id: impl Display, failure: &Failure) {
        self.refused.push(Unwritten { id: id.to_string(), why: failure.to_string() });
    }

    pub fn print(&self) -> Done {
        print_json(self)
    }
}

/// Several things were written at once.
pub fn tell_all(json: bool, written: Vec<Written>, words: &str) -> Done {
    match json {
        true => Outcome { written, refused: Vec::new() }.print(),
        false => term::print(words),
    }
}

/// One thing was written: told as JSON, or in the words for people.
pub fn tell(json: bool, written: Written, words: &str) -> Done {
    tell_all(json, vec![written], words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs read this: its form is kept.
    #[test]
    fn what_was_written_and_what_was_not_is_one_document() {
        let mut outcome = Outcome::default();
        let seen = Seen { it: "draft", only: Only::Same("\"C-1.2\"".into()) };
        outcome.add(Written::seen("change", "C-1", &seen).unwrap());
        outcome.add(Written::of("label", 7, &["a"]).unwrap());
        outcome.refuse("C-2", &Failure::refused("it is closed"));
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(
            text,
            r#"{"written":[{"kind":"change","id":"C-1","version":"\"C-1.2\"","now":"draft"},{"kind":"label","id":"7","now":["a"]}],"refused":[{"id":"C-2","why":"error: it is closed"}]}"#
        );
    }
}
