//! Kinds that own a part of a file: a line, a block between markers, a setting. Several may edit one file;
//! they are applied in their order, each to what the one before it leaves.

use super::names::{
    Checker, CommentMark, LinePattern, LineText, PartName, SectionName, SettingKey, SettingValue,
};
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::AbsolutePath;
use serde::{Deserialize, Serialize};

/// A line of a file, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "LineEntry", into = "LineEntry")]
pub struct Line {
    pub path: AbsolutePath,
    pub name: PartName,
    pub want: LineWant,
    pub validate: Option<Checker>,
    pub requires: Vec<crate::ids::ResourceId>,
    pub on_change: Vec<crate::ids::ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineWant {
    /// Lines equal to `line` or matching `pattern` go; at least one of the two is given.
    Absent { line: Option<LineText>, pattern: Option<LinePattern> },
    /// The line stands in the file, and no other line matches `pattern`.
    Present { line: LineText, pattern: Option<LinePattern>, place: Place, create: bool },
}

/// Where something is inserted that is not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At the end of the file.
    #[default]
    End,
    /// At the start of the file.
    Start,
    /// After the last line that matches this regular expression; there must be one.
    After(LinePattern),
    /// Before the first line that matches this regular expression; there must be one.
    Before(LinePattern),
}

impl Place {
    fn is_end(&self) -> bool {
        *self == Self::End
    }
}

resource! {
    /// One line of a file. With `match`, other lines that match are replaced by it; without, it is only inserted.
    #[schemars = "Line"]
    struct LineEntry {
        /// Absolute path of the file.
        path: AbsolutePath,
        /// Its name within the file, for plans and `requires`.
        name: PartName,
        /// `absent` removes all lines equal to `line` or matching `match`.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The whole line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<LineText>,
        /// Regular expression: lines that match give way to `line`.
        #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
        pattern: Option<LinePattern>,
        /// Where the line is inserted when nothing matches: `end`, `start`, or a key `after` or `before`.
        #[serde(default, skip_serializing_if = "Place::is_end")]
        place: Place,
        /// True makes the file when it does not exist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        create: bool,
        /// Program and arguments that must accept the file before it goes live; `{file}` stands for the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validate: Option<Checker>,
    }
}

/// A block of lines between two marker lines that name it, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "BlockEntry", into = "BlockEntry")]
pub struct Block {
    pub path: AbsolutePath,
    pub name: PartName,
    pub want: BlockWant,
    /// What the marker lines start with.
    pub comment: CommentMark,
    pub validate: Option<Checker>,
    pub requires: Vec<crate::ids::ResourceId>,
    pub on_change: Vec<crate::ids::ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockWant {
    Absent,
    Present { source: TextSource, place: Place, create: bool },
}

/// A text that is written in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextSource {
    Content(String),
    /// A handlebars template over `params.*` and `facts.*`.
    Template(String),
}

impl TextSource {
    /// What the keys `state`, `content` and `template` say; `None` is absence.
    pub(super) fn of(
        state: Presence,
        content: Option<String>,
        template: Option<String>,
    ) -> Result<Option<Self>, &'static str> {
        match (state, content, template) {
            (Presence::Present, Some(content), None) => Ok(Some(Self::Content(content))),
            (Presence::Present, None, Some(template)) => Ok(Some(Self::Template(template))),
            (Presence::Absent, None, None) => Ok(None),
            (Presence::Present, ..) => {
                Err("has no clear contents; exactly one of content and template, or state: absent")
            }
            (Presence::Absent, ..) => {
                Err("is absent, so content and template say nothing; only its name with state: absent")
            }
        }
    }

    /// The keys `content` and `template`.
    pub(super) fn keys(source: Option<Self>) -> (Option<String>, Option<String>) {
        match source {
            None => (None, None),
            Some(Self::Content(content)) => (Some(content), None),
            Some(Self::Template(template)) => (None, Some(template)),
        }
    }
}

impl Block {
    /// The two lines that enclose the block.
    pub fn markers(&self) -> (String, String) {
        let Self { comment, name, .. } = self;
        (format!("{comment} BEGIN assent {name}"), format!("{comment} END assent {name}"))
    }
}

resource! {
    /// Lines between `# BEGIN assent NAME` and `# END assent NAME`; exactly one of `content` and `template` when
    /// present. The rest of the file is not touched.
    #[schemars = "Block", extend("oneOf" = [
        { "required": ["content"] }, { "required": ["template"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct BlockEntry {
        /// Absolute path of the file.
        path: AbsolutePath,
        /// Its name within the file; the marker lines hold it.
        name: PartName,
        /// `absent` removes the block with its markers.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The lines as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// The lines as a handlebars template over `params.*` and `facts.*`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// What a comment of this file starts with; `#` when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<CommentMark>,
        /// Where the block is inserted: `end`, `start`, or a key `after` or `before`.
        #[serde(default, skip_serializing_if = "Place::is_end")]
        place: Place,
        /// True makes the file when it does not exist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        create: bool,
        /// Program and arguments that must accept the file before it goes live; `{file}` stands for the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validate: Option<Checker>,
    }
}

/// A key with its value in an ini or key-value file, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "SettingEntry", into = "SettingEntry")]
pub struct Setting {
    pub path: AbsolutePath,
    /// `None` is the part of the file before its first section.
    pub section: Option<SectionName>,
    pub key: SettingKey,
    pub want: SettingWant,
    pub separator: Separator,
    pub validate: Option<Checker>,
    pub requires: Vec<crate::ids::ResourceId>,
    pub on_change: Vec<crate::ids::ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingWant {
    Absent,
    Present { value: SettingValue, create: bool },
}

/// What stands between key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `key=value`
    #[default]
    Equals,
    /// `key = value`
    SpacedEquals,
    /// `key value`
    Space,
    /// `key: value`
    Colon,
}

impl Separator {
    fn is_equals(&self) -> bool {
        *self == Self::Equals
    }

    pub fn join(self, key: &str, value: &str) -> String {
        match self {
            Self::Equals => format!("{key}={value}"),
            Self::SpacedEquals => format!("{key} = {value}"),
            Self::Space => format!("{key} {value}"),
            Self::Colon => format!("{key}: {value}"),
        }
    }

    /// Key and value of a line, without blanks around them.
    pub fn split(self, line: &str) -> Option<(&str, &str)> {
        let (key, value) = match self {
            Self::Equals | Self::SpacedEquals => line.split_once('=')?,
            Self::Space => line.trim().split_once([' ', '\t'])?,
            Self::Colon => line.split_once(':')?,
        };
        Some((key.trim(), value.trim()))
    }
}

resource! {
    /// A key with its value in an ini or key-value file; the key then stands once in its section.
    /// `value` is required when present.
    #[schemars = "Setting", extend("oneOf" = [
        { "required": ["value"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct SettingEntry {
        /// Absolute path of the file.
        path: AbsolutePath,
        /// Name of the section without brackets; not given: the part before the first section.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        section: Option<SectionName>,
        /// The key, exactly as the program reads it.
        key: SettingKey,
        /// `absent` removes the key from its section.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The value, in quotes if it is a number or a word such as yes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<SettingValue>,
        /// `equals`, `spaced_equals`, `space` or `colon`; lines that are right but for blanks stay as they are.
        #[serde(default, skip_serializing_if = "Separator::is_equals")]
        separator: Separator,
        /// True makes the file when it does not exist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        create: bool,
        /// Program and arguments that must accept the file before it goes live; `{file}` stands for the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validate: Option<Checker>,
    }
}

impl TryFrom<LineEntry> for Line {
    type Error = Contradiction;
    fn try_from(text: LineEntry) -> Result<Self, Contradiction> {
        let LineEntry { path, name, state, line, pattern, place, create, .. } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("line {name} of {path}"), why));
        let want = match (state, line, pattern) {
            (Presence::Present, Some(line), pattern) => LineWant::Present { line, pattern, place, create },
            (Presence::Present, None, _) => return refuse("has no line; give line, or state: absent"),
            (Presence::Absent, None, None) => {
                return refuse("does not say which lines go; give line, match or both");
            }
            (Presence::Absent, ..) if !place.is_end() || create => {
                return refuse("is absent, so place and create say nothing; only line and match");
            }
            (Presence::Absent, line, pattern) => LineWant::Absent { line, pattern },
        };
        let (requires, on_change, satisfies) = (text.requires, text.on_change, text.satisfies);
        Ok(Self { path, name, want, validate: text.validate, requires, on_change, satisfies })
    }
}

impl From<Line> for LineEntry {
    fn from(own: Line) -> Self {
        let Line { path, name, want, validate, requires, on_change, satisfies } = own;
        let (state, line, pattern, place, create) = match want {
            LineWant::Absent { line, pattern } => (Presence::Absent, line, pattern, Place::End, false),
            LineWant::Present { line, pattern, place, create } => {
                (Presence::Present, Some(line), pattern, place, create)
            }
        };
        Self { path, name, state, line, pattern, place, create, validate, requires, on_change, satisfies }
    }
}

impl TryFrom<BlockEntry> for Block {
    type Error = Contradiction;
    fn try_from(text: BlockEntry) -> Result<Self, Contradiction> {
        let BlockEntry { path, name, state, content, template, comment, place, create, .. } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("block {name} of {path}"), why));
        let source = match (content, template) {
            (Some(content), None) => Some(TextSource::Content(content)),
            (None, Some(template)) => Some(TextSource::Template(template)),
            (None, None) => None,
            _ => return refuse("has no clear contents; exactly one of content and template"),
        };
        let want = match (state, source) {
            (Presence::Present, Some(source)) => BlockWant::Present { source, place, create },
            (Presence::Present, None) => {
                return refuse("has no contents; content or template, or state: absent");
            }
            (Presence::Absent, None) if place.is_end() && !create => BlockWant::Absent,
            (Presence::Absent, _) => {
                return refuse("is absent, so its contents, place and create say nothing; leave them out");
            }
        };
        #[expect(clippy::expect_used, reason = "a constant that is a comment mark")]
        let comment = comment.unwrap_or_else(|| "#".parse().expect("# is a comment mark"));
        let (requires, on_change, satisfies) = (text.requires, text.on_change, text.satisfies);
        Ok(Self { path, name, want, comment, validate: text.validate, requires, on_change, satisfies })
    }
}

impl From<Block> for BlockEntry {
    fn from(own: Block) -> Self {
        let Block { path, name, want, comment, validate, requires, on_change, satisfies } = own;
        let comment = (comment.as_str() != "#").then_some(comment);
        let mut text = Self {
            path,
            name,
            state: Presence::Absent,
            content: None,
            template: None,
            comment,
            place: Place::End,
            create: false,
            validate,
            requires,
            on_change,
            satisfies,
        };
        let BlockWant::Present { source, place, create } = want else { return text };
        match source {
            TextSource::Content(content) => text.content = Some(content),
            TextSource::Template(template) => text.template = Some(template),
        }
        Self { state: Presence::Present, place, create, ..text }
    }
}

impl TryFrom<SettingEntry> for Setting {
    type Error = Contradiction;
    fn try_from(text: SettingEntry) -> Result<Self, Contradiction> {
        let SettingEntry { path, section, key, state, value, separator, create, .. } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("setting {key} of {path}"), why));
        let unfit = match separator {
            Separator::Space => key.as_str().contains([' ', '\t']),
            Separator::Colon => key.as_str().contains(':'),
            Separator::Equals | Separator::SpacedEquals => false,
        };
        if unfit {
            return refuse("holds its own separator; use another separator or key");
        }
        let want = match (state, value) {
            (Presence::Present, Some(value))
                if separator == Separator::Space && value.as_str().is_empty() =>
            {
                return refuse("has an empty value behind a blank; use separator: equals, or a line");
            }
            (Presence::Present, Some(value)) => SettingWant::Present { value, create },
            (Presence::Present, None) => return refuse("has no value; a value, or state: absent"),
            (Presence::Absent, None) if !create => SettingWant::Absent,
            (Presence::Absent, _) => {
                return refuse("is absent, so value and create say nothing; leave them out");
            }
        };
        let (requires, on_change, satisfies) = (text.requires, text.on_change, text.satisfies);
        Ok(Self {
            path,
            section,
            key,
            want,
            separator,
            validate: text.validate,
            requires,
            on_change,
            satisfies,
        })
    }
}

impl From<Setting> for SettingEntry {
    fn from(own: Setting) -> Self {
        let Setting { path, section, key, want, separator, validate, requires, on_change, satisfies } = own;
        let (state, value, create) = match want {
            SettingWant::Absent => (Presence::Absent, None, false),
            SettingWant::Present { value, create } => (Presence::Present, Some(value), create),
        };
        Self { path, section, key, state, value, separator, create, validate, requires, on_change, satisfies }
    }
}
