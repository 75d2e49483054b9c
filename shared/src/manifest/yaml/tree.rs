//! YAML text as a tree with lines; scalars stay as written.

use crate::manifest::Problem;
use granit_parser::{Event, Parser, ScalarStyle};

/// Nesting of a manifest is below ten.
const DEPTH: usize = 24;
/// Nodes: 20,000 resources with ten keys each, keys and values counted.
const NODES: usize = 600_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Line from 1; for a value in a map the line of its key.
    pub line: usize,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// A scalar without quotes; what it means depends on what is wanted.
    Plain(String),
    /// A quoted or block scalar: always text.
    Quoted(String),
    List(Vec<Node>),
    /// Entries as written, duplicates included.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Node,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    pub fn item(&self, index: usize) -> Option<&Node> {
        match &self.data {
            Data::List(items) => items.get(index),
            _ => None,
        }
    }
}

/// A collection whose end was not seen yet.
struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<(String, usize)>,
}

struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Problem>,
}

/// Reads one document.
///
/// # Errors
/// The first syntax error, everything that this subset of YAML leaves out, or no document.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
        emit_comments: false,
    };
    let mut builder = Builder { open: Vec::new(), root: None, nodes: 0, problems: Vec::new() };
    for next in Parser::new_from_str_with_options(text.strip_prefix('\u{feff}').unwrap_or(text), options) {
        match next {
            Ok((event, span)) => {
                if !builder.event(event, span.start.line()) {
                    return Err(builder.problems);
                }
            }
            Err(error) => {
                let remedy = "correct the YAML; check indentation, quotes and brackets before this line";
                let info: String = error.info().chars().filter(|c| !c.is_control()).take(200).collect();
                builder.problem(error.marker().line(), info, remedy);
                return Err(builder.problems);
            }
        }
    }
    match builder.root {
        _ if !builder.problems.is_empty() => Err(builder.problems),
        Some(root) => Ok(root),
        None => Err(vec![Problem::new("", "the document is empty", "start with `manifest: <name>`")]),
    }
}

impl Builder {
    fn problem(&mut self, line: usize, message: impl Into<String>, remedy: &str) {
        let problem = Problem::new("", message, remedy);
        self.problems.push(Problem { line: Some(line), ..problem });
    }

    /// Takes one event; false when going on makes no sense.
    fn event(&mut self, event: Event<'_>, line: usize) -> bool {
        let anchored = event.anchor_id().is_some();
        let tagged = event.tag().is_some();
        if anchored {
            self.problem(line, "anchors (&name) are not supported", "write the value out where it is needed");
        }
        if tagged {
            self.problem(
                line,
                "tags (!name) are not supported",
                "remove the tag; quote text that looks like a number",
            );
        }
        if event.is_node() {
            self.nodes += 1;
            if self.nodes > NODES {
                self.problem(
                    line,
                    format!("the document has more than {NODES} values"),
                    "split the manifest",
                );
                return false;
            }
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problem(line, "a second document starts here", "put each manifest into its own file");
                return false;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problem(line, "aliases (*name) are not supported", "write the value out");
                return false;
            }
            Event::Scalar(text, style, ..) => return self.scalar(text.into_owned(), style, line),
            Event::SequenceStart(..) => return self.open(Data::List(Vec::new()), line),
            Event::MappingStart(..) => return self.open(Data::Map(Vec::new()), line),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    self.add(done.node);
                }
            }
            _ => {}
        }
        true
    }

    fn open(&mut self, data: Data, line: usize) -> bool {
        if let Some(Open { node: Node { data: Data::Map(_), .. }, key: None }) = self.open.last() {
            self.problem(line, "a key must be a plain word", "remove the brackets");
            return false;
        }
        self.open.push(Open { node: Node { line, data }, key: None });
        true
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, line: usize) -> bool {
        if let Some(Open { node: Node { data: Data::Map(_), .. }, key: key @ None }) = self.open.last_mut() {
            *key = Some((text, line));
            return true;
        }
        let data = if style == ScalarStyle::Plain { Data::Plain(text) } else { Data::Quoted(text) };
        self.add(Node { line, data });
        true
    }

    fn add(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.node.data {
            Data::List(items) => items.push(node),
            Data::Map(entries) => {
                if let Some((key, line)) = parent.key.take() {
                    entries.push(Entry { key, line, value: Node { line, ..node } });
                }
            }
            Data::Plain(_) | Data::Quoted(_) => {}
        }
    }
}
