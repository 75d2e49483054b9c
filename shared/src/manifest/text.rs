//! The written form of resources whose keys depend on each other, and its reading into exact types.

use super::names::Checker;
use super::resource::{Artifact, File, FileSource, FileWant};
use super::rule::RuleId;
use super::values::{AbsolutePath, AccountName, Mode};
use crate::ids::ResourceId;
use crate::secret::{Hidden, Secret};
use serde::{Deserialize, Serialize};

/// Whether a thing should be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Presence {
    #[default]
    Present,
    Absent,
}

impl Presence {
    pub(super) fn is_present(&self) -> bool {
        *self == Self::Present
    }

    pub(super) fn of(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}

/// Contents in the open or encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ContentText {
    Open(String),
    Hidden(Hidden),
}

impl From<ContentText> for FileSource {
    fn from(content: ContentText) -> Self {
        match content {
            ContentText::Open(text) => Self::Content(text),
            ContentText::Hidden(Hidden { secret }) => Self::Secret(secret),
        }
    }
}

impl From<Secret> for ContentText {
    fn from(secret: Secret) -> Self {
        Self::Hidden(Hidden { secret })
    }
}

/// A regular file, or its absence; exactly one of `content`, `template` and `artifact` when present.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "authoring", schemars(rename = "File", extend("oneOf" = [
    { "required": ["content"] }, { "required": ["template"] }, { "required": ["artifact"] },
    { "required": ["state"], "properties": { "state": { "const": "absent" } } }
])))]
#[serde(deny_unknown_fields)]
pub struct FileText {
    /// Absolute path of the file.
    path: AbsolutePath,
    /// `absent` removes the file.
    #[serde(default, skip_serializing_if = "Presence::is_present")]
    state: Presence,
    /// The contents as they are, or encrypted as {secret: …}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<ContentText>,
    /// The contents as a handlebars template over `params.*` and `facts.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// The contents as a blob of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact: Option<Artifact>,
    /// Name of the owning user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<AccountName>,
    /// Name of the owning group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<AccountName>,
    /// Permission bits in quotes, such as "0644".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// True keeps the contents out of plans, receipts and logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    /// Program and arguments that must accept the file before it goes live; `{file}` stands for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validate: Option<Checker>,
    /// Ids of resources that are done first, such as `package:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    requires: Vec<ResourceId>,
    /// Ids of services that are restarted when this resource was changed, such as `service:app`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "authoring", schemars(with = "Vec<super::schema::ResourceIdText>"))]
    on_change: Vec<ResourceId>,
    /// Identifiers of the XCCDF rules that a host follows by it, for plans and evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    satisfies: Vec<RuleId>,
}

/// Which keys of a resource do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    #[error(
        "file {0} has no clear contents; exactly one of content, template and artifact, or state: absent"
    )]
    FileSource(String),
    #[error(
        "file {0} is absent, so owner, group, mode, sensitive and validate say nothing; only path, requires and on_change with state: absent"
    )]
    AbsentFile(String),
    /// Which resource, and what is wrong with its keys.
    #[error("{0} {1}")]
    Keys(String, &'static str),
}

impl TryFrom<FileText> for File {
    type Error = Contradiction;
    fn try_from(text: FileText) -> Result<Self, Contradiction> {
        let FileText { path, state, content, template, artifact, .. } = text;
        let FileText { owner, group, mode, sensitive, validate, .. } = text;
        let source = match (content, template, artifact) {
            (Some(content), None, None) => Some(content.into()),
            (None, Some(template), None) => Some(FileSource::Template(template)),
            (None, None, Some(artifact)) => Some(FileSource::Artifact(artifact)),
            (None, None, None) => None,
            _ => return Err(Contradiction::FileSource(path.to_string())),
        };
        let want = match (state, source) {
            (Presence::Present, Some(source)) => {
                FileWant::Present { source, owner, group, mode, sensitive, validate }
            }
            (Presence::Present, None) => return Err(Contradiction::FileSource(path.to_string())),
            (Presence::Absent, None)
                if owner.is_none()
                    && group.is_none()
                    && mode.is_none()
                    && !sensitive
                    && validate.is_none() =>
            {
                FileWant::Absent
            }
            (Presence::Absent, _) => return Err(Contradiction::AbsentFile(path.to_string())),
        };
        Ok(Self { path, want, requires: text.requires, on_change: text.on_change, satisfies: text.satisfies })
    }
}

impl From<File> for FileText {
    fn from(file: File) -> Self {
        let mut text = Self {
            path: file.path,
            state: Presence::Absent,
            content: None,
            template: None,
            artifact: None,
            owner: None,
            group: None,
            mode: None,
            sensitive: false,
            validate: None,
            requires: file.requires,
            on_change: file.on_change,
            satisfies: file.satisfies,
        };
        let FileWant::Present { source, owner, group, mode, sensitive, validate } = file.want else {
            return text;
        };
        match source {
            FileSource::Content(content) => text.content = Some(ContentText::Open(content)),
            FileSource::Secret(secret) => text.content = Some(secret.into()),
            FileSource::Template(template) => text.template = Some(template),
            FileSource::Artifact(artifact) => text.artifact = Some(artifact),
        }
        Self { state: Presence::Present, owner, group, mode, sensitive, validate, ..text }
    }
}
