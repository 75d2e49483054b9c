//! Kinds of the running kernel: mounted file systems and modules.

use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{AbsolutePath, NotAValue, as_written, made_of, text_value};
use crate::ids::ResourceId;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

fn word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

text_value!(
    /// What is mounted, as in fstab(5): a device, `UUID=…`, `server:/path`, or a word such as `tmpfs`.
    MountSource, "mount-source", "what is mounted",
    "1 to 255 bytes without blanks and control characters, such as UUID=… or server:/srv",
    |t| word(t, 255) && !t.starts_with('#')
);
text_value!(
    /// A type of file system.
    FsType, "fs-type", "a type of file system",
    "1 to 32 of letters, digits, '.', '_' and '-', such as ext4 or tmpfs",
    |t| made_of(t, 32, |c| c.is_ascii_alphanumeric(), b"._-")
);
text_value!(
    /// One mount option (mount(8)).
    MountOption, "mount-option", "a mount option",
    "1 to 255 bytes without ',', blanks and control characters, such as nosuid or size=1G",
    |t| word(t, 255) && !t.contains(',')
);
text_value!(
    /// The name of a kernel module; `-` and `_` are the same to the kernel, `_` is kept.
    ModuleName, "module-name", "the name of a kernel module",
    "1 to 64 of letters, digits, '_' and '-', starting with a letter or digit",
    |t| made_of(t, 64, |c| c.is_ascii_alphanumeric(), b"_-")
);
text_value!(
    /// One parameter of a kernel module.
    ModuleOption, "module-option", "a parameter of a kernel module",
    "NAME=VALUE of at most 255 bytes without blanks and control characters",
    |t| word(t, 255) && !t.starts_with('=') && t.bytes().all(|c| c.is_ascii_graphic() && c != b'\\' && c != b'#')
);
as_written!(MountSource FsType MountOption ModuleOption);

impl ModuleName {
    fn canonical(text: &str) -> String {
        text.replace('-', "_")
    }
}

/// A file system in `/etc/fstab` and in its place, or the absence of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "MountEntry", into = "MountEntry")]
pub struct Mount {
    pub path: AbsolutePath,
    /// `None`: it is not mounted, and not in the table.
    pub want: Option<MountWant>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountWant {
    pub source: MountSource,
    pub fstype: FsType,
    /// `defaults` when empty.
    pub options: Vec<MountOption>,
    /// Mounted now; otherwise that stays as it is.
    pub mounted: bool,
    /// The last field of fstab(5).
    pub pass: u32,
}

impl Mount {
    pub const TABLE: &'static str = "/etc/fstab";
}

resource! {
    /// A file system in `/etc/fstab`, mounted now and at boot; `source` and `fstype` are required when present.
    #[schemars = "Mount", extend("oneOf" = [
        { "required": ["source", "fstype"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct MountEntry {
        /// Absolute path of the mount point; the directory is made when it is missing.
        path: AbsolutePath,
        /// `absent` unmounts it and removes it from the table.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// What is mounted, such as `UUID=…`, `/dev/sdb1`, `server:/path` or `tmpfs`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<MountSource>,
        /// Type of the file system, such as ext4, nfs or tmpfs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fstype: Option<FsType>,
        /// Mount options; `defaults` when not given.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<MountOption>,
        /// False leaves it as it is until the next boot.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        mounted: bool,
        /// When it is checked at boot: 0 never, 1 first, 2 later.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 0, max = 2)))]
        pass: u32,
    }
}

/// A module of the kernel: loaded now and at boot, never to be loaded, or neither by us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "KernelModuleEntry", into = "KernelModuleEntry")]
pub struct KernelModule {
    pub name: ModuleName,
    pub want: ModuleWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleWant {
    Loaded { options: Vec<ModuleOption> },
    Blocked,
    Absent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum ModuleState {
    #[default]
    Loaded,
    Blocked,
    Absent,
}

impl ModuleState {
    fn is_loaded(&self) -> bool {
        *self == Self::Loaded
    }
}

impl KernelModule {
    /// The file that has it loaded at boot (modules-load.d(5)).
    pub fn load_file(&self) -> String {
        format!("/etc/modules-load.d/assent-{}.conf", self.name)
    }

    /// The file with its parameters, or that bars it (modprobe.d(5)).
    pub fn settings_file(&self) -> String {
        format!("/etc/modprobe.d/assent-{}.conf", self.name)
    }
}

resource! {
    /// A kernel module: loaded now and at boot, or barred from being loaded.
    #[schemars = "KernelModule"]
    struct KernelModuleEntry {
        /// Name of the module.
        name: ModuleName,
        /// `blocked`: it cannot be loaded, and is unloaded now. `absent`: no file says anything about it; a loaded one
        /// stays loaded.
        #[serde(default, skip_serializing_if = "ModuleState::is_loaded")]
        state: ModuleState,
        /// Parameters with which it is loaded, such as `numdummies=2`; a loaded one gets them when it is loaded next.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<ModuleOption>,
    }
}

fn yes() -> bool {
    true
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TryFrom<MountEntry> for Mount {
    type Error = Contradiction;
    fn try_from(text: MountEntry) -> Result<Self, Contradiction> {
        let MountEntry {
            path,
            state,
            source,
            fstype,
            options,
            mounted,
            pass,
            requires,
            on_change,
            satisfies,
        } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("mount {path}"), why));
        let want = match (state, source, fstype) {
            (Presence::Present, Some(source), Some(fstype)) => {
                Some(MountWant { source, fstype, options, mounted, pass })
            }
            (Presence::Absent, None, None) if options.is_empty() && mounted && pass == 0 => None,
            (Presence::Present, ..) => {
                return refuse("does not say what is mounted; source and fstype, or state: absent");
            }
            (Presence::Absent, ..) => {
                return refuse("is absent, so nothing else says anything; only path with state: absent");
            }
        };
        Ok(Self { path, want, requires, on_change, satisfies })
    }
}

impl From<Mount> for MountEntry {
    fn from(own: Mount) -> Self {
        let Mount { path, want, requires, on_change, satisfies } = own;
        let state = Presence::of(want.is_some());
        let Some(MountWant { source, fstype, options, mounted, pass }) = want else {
            let (source, fstype, options) = (None, None, Vec::new());
            return Self {
                path,
                state,
                source,
                fstype,
                options,
                mounted: true,
                pass: 0,
                requires,
                on_change,
                satisfies,
            };
        };
        let (source, fstype) = (Some(source), Some(fstype));
        Self { path, state, source, fstype, options, mounted, pass, requires, on_change, satisfies }
    }
}

impl TryFrom<KernelModuleEntry> for KernelModule {
    type Error = Contradiction;
    fn try_from(text: KernelModuleEntry) -> Result<Self, Contradiction> {
        let KernelModuleEntry { name, state, options, requires, on_change, satisfies } = text;
        let want = match state {
            ModuleState::Loaded => ModuleWant::Loaded { options },
            ModuleState::Blocked if options.is_empty() => ModuleWant::Blocked,
            ModuleState::Absent if options.is_empty() => ModuleWant::Absent,
            _ => {
                let why = "is not to be loaded, so options say nothing; only name with this state";
                return Err(Contradiction::Keys(format!("kernel_module {name}"), why));
            }
        };
        Ok(Self { name, want, requires, on_change, satisfies })
    }
}

impl From<KernelModule> for KernelModuleEntry {
    fn from(own: KernelModule) -> Self {
        let KernelModule { name, want, requires, on_change, satisfies } = own;
        let (state, options) = match want {
            ModuleWant::Loaded { options } => (ModuleState::Loaded, options),
            ModuleWant::Blocked => (ModuleState::Blocked, Vec::new()),
            ModuleWant::Absent => (ModuleState::Absent, Vec::new()),
        };
        Self { name, state, options, requires, on_change, satisfies }
    }
}
