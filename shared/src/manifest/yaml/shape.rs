//! Compares a YAML tree with the JSON Schema of the types and turns it into JSON; collects every problem.
//!
//! Understands exactly the keywords that the schema of this crate uses.

use super::scalar::{self, Refused};
use super::tree::{Data, Entry, Node};
use crate::manifest::{
    Archive, Argv, AuthorizedKeys, Block, Certificate, Dropin, External, File, Group, KernelModule, Line,
    Mount, PROBLEMS, Package, PackageRepository, Problem, Setting, Sudoers, Symlink, Sysctl, Timer, User,
    suggest,
};
use crate::strict::shorten;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The JSON form of the document.
///
/// # Errors
/// All problems of keys, types and values, in the order of their lines.
pub(super) fn check(schema: &Value, document: &Node) -> Result<Value, Vec<Problem>> {
    let mut shape = Shape { root: schema, problems: Vec::new() };
    let value = shape.node(schema, document, "");
    match value {
        Some(value) if shape.problems.is_empty() => Ok(value),
        _ => {
            shape.problems.sort_by_key(|problem| problem.line);
            Err(shape.problems)
        }
    }
}

struct Shape<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

fn join(place: &str, key: &str) -> String {
    let key = shorten(key);
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

fn words(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl<'s> Shape<'s> {
    fn problem(&mut self, place: &str, line: usize, message: impl Into<String>, remedy: impl Into<String>) {
        if self.problems.len() < PROBLEMS {
            let problem = Problem::new(place, message, remedy);
            self.problems.push(Problem { line: Some(line), ..problem });
        }
    }

    fn take(&mut self, place: &str, line: usize, read: Result<Value, Refused>) -> Option<Value> {
        read.map_err(|(message, remedy)| self.problem(place, line, message, remedy)).ok()
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
        name.and_then(|name| self.root.get("$defs")?.get(name)).unwrap_or(schema)
    }

    fn node(&mut self, schema: &'s Value, node: &Node, place: &str) -> Option<Value> {
        let value = self.unconverted(self.resolve(schema), node, place)?;
        match schema.get("$ref").and_then(Value::as_str) {
            Some("#/$defs/File") => self.convert::<File>(value, node.line, place),
            Some("#/$defs/Package") => self.convert::<Package>(value, node.line, place),
            Some("#/$defs/Symlink") => self.convert::<Symlink>(value, node.line, place),
            Some("#/$defs/Line") => self.convert::<Line>(value, node.line, place),
            Some("#/$defs/Block") => self.convert::<Block>(value, node.line, place),
            Some("#/$defs/Setting") => self.convert::<Setting>(value, node.line, place),
            Some("#/$defs/Sysctl") => self.convert::<Sysctl>(value, node.line, place),
            Some("#/$defs/Sudoers") => self.convert::<Sudoers>(value, node.line, place),
            Some("#/$defs/AuthorizedKeys") => self.convert::<AuthorizedKeys>(value, node.line, place),
            Some("#/$defs/Group") => self.convert::<Group>(value, node.line, place),
            Some("#/$defs/User") => self.convert::<User>(value, node.line, place),
            Some("#/$defs/PackageRepository") => self.convert::<PackageRepository>(value, node.line, place),
            Some("#/$defs/Dropin") => self.convert::<Dropin>(value, node.line, place),
            Some("#/$defs/Timer") => self.convert::<Timer>(value, node.line, place),
            Some("#/$defs/Certificate") => self.convert::<Certificate>(value, node.line, place),
            Some("#/$defs/Archive") => self.convert::<Archive>(value, node.line, place),
            Some("#/$defs/Mount") => self.convert::<Mount>(value, node.line, place),
            Some("#/$defs/KernelModule") => self.convert::<KernelModule>(value, node.line, place),
            Some("#/$defs/External") => self.convert::<External>(value, node.line, place),
            _ => Some(value),
        }
    }

    /// Reads a complete part into its type, so that keys which contradict each other are told with their place.
    fn convert<T: DeserializeOwned>(&mut self, value: Value, line: usize, place: &str) -> Option<Value> {
        let known = self.problems.iter().any(|problem| problem.place.starts_with(place));
        if let Err(error) = T::deserialize(&value)
            && !known
        {
            let text = error.to_string();
            // Values that only the type checks tell their rule behind a colon.
            let (message, remedy) = scalar::split(&text, if text.contains("; ") { "; " } else { ": " });
            self.problem(place, line, message, remedy);
        }
        Some(value)
    }

    fn unconverted(&mut self, schema: &'s Value, node: &Node, place: &str) -> Option<Value> {
        let or_map = matches!(schema.get("type"), Some(Value::Array(_)));
        if schema.get("properties").is_some() && (!or_map || matches!(node.data, Data::Map(_))) {
            return self.object(schema, node, place);
        }
        if let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) {
            return self.alternatives(alternatives, node, place);
        }
        if schema.get("enum").is_some() {
            return self.word(words(schema.get("enum")).collect(), node, place);
        }
        let read = match schema.get("type") {
            Some(Value::Array(types)) if !types.contains(&Value::from("integer")) => scalar::text(&node.data),
            Some(Value::Array(_)) => scalar::any(&node.data),
            Some(Value::String(name)) => match name.as_str() {
                "array" => return self.list(schema, node, place),
                "object" if schema.get("format").is_some() => return self.free(node, place),
                "object" => return self.map(schema, node, place),
                "boolean" => scalar::boolean(&node.data),
                "integer" => scalar::integer(&node.data).and_then(|value| in_range(schema, value)),
                _ => scalar::text(&node.data).and_then(|value| in_format(schema, value)),
            },
            _ => Err(("this has no known type".to_owned(), "remove it".to_owned())),
        };
        self.take(place, node.line, read)
    }

    fn word(&mut self, known: Vec<&str>, node: &Node, place: &str) -> Option<Value> {
        let read = match &node.data {
            Data::Plain(word) | Data::Quoted(word) if known.contains(&word.as_str()) => {
                Ok(Value::from(word.as_str()))
            }
            Data::Plain(word) | Data::Quoted(word) => Err((
                format!("{:?} is not one of the words", shorten(word)),
                suggest(word, known.into_iter()),
            )),
            data => Err((
                format!("a word is wanted, this is {}", scalar::describe(data)),
                suggest("", known.into_iter()),
            )),
        };
        self.take(place, node.line, read)
    }

    /// An enum: a word, or a map with exactly one of some keys.
    fn alternatives(&mut self, alternatives: &'s [Value], node: &Node, place: &str) -> Option<Value> {
        let known: Vec<&str> =
            alternatives.iter().filter_map(|a| a.get("const")).filter_map(Value::as_str).collect();
        let mut keys: BTreeMap<&str, &'s Value> = BTreeMap::new();
        for properties in alternatives.iter().filter_map(|a| a.get("properties")?.as_object()) {
            keys.extend(properties.iter().map(|(key, schema)| (key.as_str(), schema)));
        }
        let all = || known.iter().copied().chain(keys.keys().copied());
        let Data::Map(entries) = &node.data else {
            if known.is_empty() {
                let message = format!("a map is wanted, this is {}", scalar::describe(&node.data));
                self.problem(place, node.line, message, suggest("", all()));
                return None;
            }
            if let Data::Plain(word) | Data::Quoted(word) = &node.data
                && keys.contains_key(word.as_str())
            {
                self.problem(
                    place,
                    node.line,
                    format!("{word} needs a value"),
                    format!("write {{{word}: …}}"),
                );
                return None;
            }
            return self.word(all().collect(), node, place);
        };
        let [Entry { key, line, value }] = entries.as_slice() else {
            let message = format!("exactly one key is wanted, there are {}", entries.len());
            let remedy = "start each item with '- ' and indent its keys below its kind";
            self.problem(place, node.line, message, format!("{remedy}; {}", suggest("", all())));
            return None;
        };
        let Some(schema) = keys.get(key.as_str()) else {
            let remedy = match known.contains(&key.as_str()) {
                true => format!("write {key} without a value"),
                false => suggest(key, all()),
            };
            self.problem(&join(place, key), *line, format!("{:?} is not known here", shorten(key)), remedy);
            return None;
        };
        let inner = self.node(schema, value, &join(place, key))?;
        Some(Value::Object(Map::from_iter([(key.clone(), inner)])))
    }

    fn list(&mut self, schema: &'s Value, node: &Node, place: &str) -> Option<Value> {
        let Data::List(items) = &node.data else {
            let message = format!("a list is wanted, this is {}", scalar::describe(&node.data));
            self.problem(place, node.line, message, "write [a, b], or one '- ' line for each item");
            return None;
        };
        let inner = schema.get("items").unwrap_or(&Value::Null);
        let before = self.problems.len();
        let values: Vec<Value> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.node(inner, item, &format!("{place}[{index}]")))
            .collect();
        if schema.get("format").and_then(Value::as_str) == Some(Argv::FORMAT) && self.problems.len() == before
        {
            let argv: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if let Err(error) = Argv::try_from(argv) {
                let (message, remedy) = (format!("{:?} is not {}", error.text, error.kind), error.rule);
                self.problem(place, node.line, message, remedy);
            }
        }
        Some(Value::Array(values))
    }

    /// A map with keys of the author's choice.
    fn map(&mut self, schema: &'s Value, node: &Node, place: &str) -> Option<Value> {
        let entries = self.entries(node, place)?;
        let names = schema.get("propertyNames").and_then(|n| n.get("format")).and_then(Value::as_str);
        let inner = schema.get("additionalProperties").unwrap_or(&Value::Null);
        let mut values = Map::new();
        for Entry { key, line, value } in entries {
            let place = join(place, key);
            if let Err((message, remedy)) = scalar::format(names.unwrap_or_default(), key) {
                self.problem(&place, *line, message, remedy);
            }
            if let Some(value) = self.node(inner, value, &place) {
                values.insert(key.clone(), value);
            }
        }
        Some(Value::Object(values))
    }

    /// A value whose keys and types are a program's matter.
    fn free(&mut self, node: &Node, place: &str) -> Option<Value> {
        match &node.data {
            Data::Map(_) => {
                let mut values = Map::new();
                for Entry { key, value, .. } in self.entries(node, place)? {
                    values.insert(key.clone(), self.free(value, &join(place, key))?);
                }
                Some(Value::Object(values))
            }
            Data::List(items) => {
                let each = |(index, item)| self.free(item, &format!("{place}[{index}]"));
                items.iter().enumerate().map(each).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            data => self.take(place, node.line, scalar::any(data)),
        }
    }

    /// A map with known keys.
    fn object(&mut self, schema: &'s Value, node: &Node, place: &str) -> Option<Value> {
        let entries = self.entries(node, place)?;
        let properties = schema.get("properties").and_then(Value::as_object)?;
        let mut values = Map::new();
        for Entry { key, line, value } in &entries {
            let place = join(place, key);
            match properties.get(key) {
                None => {
                    let remedy = suggest(key, properties.keys().map(String::as_str));
                    self.problem(
                        &place,
                        *line,
                        format!("the key {:?} is not known here", shorten(key)),
                        remedy,
                    );
                }
                Some(schema) => {
                    if let Some(value) = self.node(schema, value, &place) {
                        values.insert(key.clone(), value);
                    }
                }
            }
        }
        let given = |key: &str| entries.iter().any(|e| e.key == key);
        for key in words(schema.get("required")).filter(|key| !given(key)) {
            let what =
                properties.get(key).and_then(|p| p.get("description")).and_then(Value::as_str).unwrap_or("");
            self.problem(
                place,
                node.line,
                format!("the key {key:?} is missing"),
                format!("add {key}: {what}"),
            );
        }
        self.exactly_one(schema, node, place);
        Some(Value::Object(values))
    }

    /// `oneOf` with `required`: keys of which exactly one is given.
    fn exactly_one(&mut self, schema: &'s Value, node: &Node, place: &str) {
        let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
        let mut names = Vec::new();
        let mut given = Vec::new();
        for choice in choices {
            let key = words(choice.get("required")).next().unwrap_or_default();
            let wanted = choice.pointer(&format!("/properties/{key}/const")).and_then(Value::as_str);
            let name = wanted.map_or(key.to_owned(), |wanted| format!("{key}: {wanted}"));
            let matches = |node: &Node| match (wanted, &node.data) {
                (None, _) => true,
                (Some(wanted), Data::Plain(text) | Data::Quoted(text)) => wanted == text,
                (Some(_), _) => false,
            };
            if node.get(key).is_some_and(matches) {
                given.push(name.clone());
            }
            names.push(name);
        }
        let remedy = match given.len() {
            0 => format!("add one of {}", names.join(", ")),
            1 => return,
            _ => format!("keep one of {}", given.join(", ")),
        };
        self.problem(place, node.line, format!("exactly one of {} is wanted", names.join(", ")), remedy);
    }

    /// The entries of a map, each key once.
    fn entries<'n>(&mut self, node: &'n Node, place: &str) -> Option<Vec<&'n Entry>> {
        let Data::Map(entries) = &node.data else {
            let message = format!("a map is wanted, this is {}", scalar::describe(&node.data));
            self.problem(
                place,
                node.line,
                message,
                "write {key: value}, or one indented `key: value` line for each",
            );
            return None;
        };
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut unique = Vec::with_capacity(entries.len());
        for entry in entries {
            match first.get(entry.key.as_str()) {
                Some(line) => {
                    let message = format!("the key is given twice; it was given on line {line} already");
                    self.problem(&join(place, &entry.key), entry.line, message, "keep one of the two");
                }
                None => {
                    first.insert(&entry.key, entry.line);
                    unique.push(entry);
                }
            }
        }
        Some(unique)
    }
}

fn in_range(schema: &Value, value: Value) -> Result<Value, Refused> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let (min, max) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
    match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Ok(value),
        _ if max == i64::MAX => Err((format!("{value} is out of range"), format!("use {min} or more"))),
        _ => Err((format!("{value} is out of range"), format!("use {min} to {max}"))),
    }
}

fn in_format(schema: &Value, value: Value) -> Result<Value, Refused> {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    scalar::format(format, value.as_str().unwrap_or_default())?;
    Ok(value)
}
