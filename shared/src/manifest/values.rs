//! The small typed values inside a manifest. Each is parsed once; a value of the type is always well-formed.

use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is not a value of its kind, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: {rule}")]
pub struct NotAValue {
    pub kind: &'static str,
    pub rule: &'static str,
    pub text: String,
}

macro_rules! text_value {
    ($(#[$doc:meta])* $type:ident, $format:literal, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The `format` keyword of this value in the JSON Schema.
            pub const FORMAT: &'static str = $format;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NotAValue;
            fn from_str(text: &str) -> Result<Self, NotAValue> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    return Ok(Self(Self::canonical(text).to_owned()));
                }
                Err(NotAValue { kind: $kind, rule: $rule, text: strict::shorten(text) })
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
        strict::text_serde!($type);
        #[cfg(feature = "authoring")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

/// For values that are stored as they are written.
macro_rules! as_written {
    ($($type:ident)*) => {$(
        impl $type {
            fn canonical(text: &str) -> &str {
                text
            }
        }
    )*};
}

pub(super) use {as_written, text_value};

/// The longest path: the resource id `directory:<path>` must fit its 300 bytes.
const PATH_BYTES: usize = 280;

fn absolute_path(text: &str) -> bool {
    let segments = text.strip_prefix('/').map(|rest| rest.split('/'));
    text.len() <= PATH_BYTES
        && !text.chars().any(char::is_control)
        && segments.is_some_and(|mut all| all.all(|s| !matches!(s, "" | "." | "..")))
}

pub(super) fn made_of(text: &str, longest: usize, first: fn(u8) -> bool, others: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && first(text.as_bytes()[0])
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || others.contains(&c))
}

fn lower_or_underscore(c: u8) -> bool {
    c.is_ascii_lowercase() || c == b'_'
}

text_value!(
    /// An absolute path without `.`, `..`, `//`, a trailing `/` or control characters; at most 280 bytes.
    AbsolutePath, "absolute-path", "an absolute path",
    "start with '/', no '.', '..', '//', trailing '/' or control characters, at most 280 bytes",
    absolute_path
);
text_value!(
    /// A user or group name of the host (shadow-utils charset).
    AccountName, "account-name", "a user or group name",
    "1 to 32 of a-z, 0-9, '_' and '-', starting with a letter or '_'",
    |t| made_of(t, 32, lower_or_underscore, b"_-") && !t.bytes().any(|c| c.is_ascii_uppercase())
);
text_value!(
    /// A package name (Debian policy 5.6.1 and rpm names).
    PackageName, "package-name", "a package name",
    "1 to 128 of letters, digits, '+', '.', '_' and '-', starting with a letter or digit; the version is its own key",
    |t| made_of(t, 128, |c| c.is_ascii_alphanumeric(), b"+._-")
);
text_value!(
    /// An exact package version as dpkg or rpm prints it, such as `1:2.4.62-1~deb12u2`.
    PackageVersion, "package-version", "an exact package version",
    "1 to 128 of letters, digits and '.+-~:^_', starting with a letter or digit; bounds are the key range",
    |t| made_of(t, 128, |c| c.is_ascii_alphanumeric(), b".+-~:^_")
);
text_value!(
    /// A systemd unit; `.service` is implied and not stored (`app`, `apt-daily.timer`, `getty@tty1`).
    ServiceName, "service-name", "a systemd unit name",
    "1 to 200 of letters, digits and ':_.\\@-', not starting with '-' or '.'",
    |t| made_of(Self::canonical(t), 200, |c| c != b'-' && c != b'.', b":_.\\@-")
);
text_value!(
    /// The name of a command resource.
    CommandName, "command-name", "a command name",
    "1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter",
    |t| made_of(t, 64, |c| c.is_ascii_lowercase(), b"._-") && !t.bytes().any(|c| c.is_ascii_uppercase())
);
text_value!(
    /// The name of an environment variable.
    EnvName, "env-name", "an environment variable name",
    "1 to 64 of letters, digits and '_', starting with a letter or '_'",
    |t| made_of(t, 64, |c| c.is_ascii_alphabetic() || c == b'_', b"_")
);
text_value!(
    /// The name of a parameter, used in templates as `params.<name>`.
    ParamName, "parameter-name", "a parameter name",
    "1 to 64 of a-z, 0-9 and '_', starting with a letter",
    |t| made_of(t, 64, |c| c.is_ascii_lowercase(), b"_") && !t.bytes().any(|c| c.is_ascii_uppercase())
);
text_value!(
    /// A pattern for package names: `*` any characters, `?` one character, everything else literal.
    NameGlob, "name-glob", "a package name pattern",
    "1 to 128 of letters, digits, '+._-', '*' and '?'",
    |t| made_of(t, 128, |_| true, b"+._-*?")
);
text_value!(
    /// A pattern for names of units: `*` any characters, `?` one character, everything else literal. Without a
    /// suffix such as `.timer` it means services.
    UnitGlob, "unit-glob", "a unit name pattern",
    "1 to 255 of letters, digits, ':-_.@\\', '*' and '?'",
    |t| made_of(t, 255, |_| true, b":-_.@\\*?")
);

as_written!(AbsolutePath AccountName PackageName PackageVersion CommandName EnvName ParamName NameGlob UnitGlob);

impl AbsolutePath {
    /// True when `self` lies below `other`, at any depth.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Unit types that are named with their suffix; any other name is a `.service`.
const UNIT_SUFFIXES: [&str; 7] = [".timer", ".socket", ".target", ".mount", ".path", ".slice", ".swap"];

impl ServiceName {
    fn canonical(text: &str) -> &str {
        text.strip_suffix(".service").unwrap_or(text)
    }

    /// The full unit name, such as `app.service`.
    pub fn unit(&self) -> String {
        if UNIT_SUFFIXES.iter().any(|suffix| self.0.ends_with(suffix)) {
            return self.0.clone();
        }
        format!("{}.service", self.0)
    }
}

impl NameGlob {
    /// True when the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.0, name)
    }
}

impl UnitGlob {
    /// True when the whole name of a unit, with or without `.service`, matches.
    pub fn matches(&self, unit: &str) -> bool {
        glob(&self.0, unit) || unit.strip_suffix(".service").is_some_and(|name| glob(&self.0, name))
    }
}

/// `*` and `?` as in file names; time is bounded by the product of both lengths.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    (p, n) = (after_star, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Permission bits; text form is octal with four digits, such as `0644`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode(u32);

impl Mode {
    pub const FORMAT: &'static str = "file-mode";

    /// The bits, 0 to 0o7777.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The mode of these bits; higher bits (the file type of `st_mode`) are dropped.
    pub fn of_bits(bits: u32) -> Self {
        Self(bits & 0o7777)
    }
}

impl FromStr for Mode {
    type Err = NotAValue;
    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        bits.map(Self).ok_or_else(|| NotAValue {
            kind: "a file mode",
            rule: "3 or 4 octal digits in quotes, such as \"0644\"",
            text: strict::shorten(text),
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

strict::text_serde!(Mode);

/// A program with an absolute path and its arguments; run directly, never through a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Argv(Vec<String>);

/// Arguments in one argv; more belong into a file.
pub const ARGV_ITEMS: usize = 256;
/// Bytes of one argument.
pub const ARGUMENT_BYTES: usize = 16 << 10;

impl Argv {
    pub const FORMAT: &'static str = "argv";

    /// A program and its arguments that are known to be right.
    pub(super) fn of(items: &[&str]) -> Self {
        Self(items.iter().map(|&item| item.to_owned()).collect())
    }

    pub fn program(&self) -> &str {
        &self.0[0]
    }

    pub fn arguments(&self) -> &[String] {
        &self.0[1..]
    }

    /// The same with `path` for each argument that is `placeholder`.
    #[must_use]
    pub fn with(&self, placeholder: &str, path: &str) -> Self {
        let word = |word: &String| if word == placeholder { path.to_owned() } else { word.clone() };
        let arguments = self.arguments().iter().map(word);
        Self(std::iter::once(self.0[0].clone()).chain(arguments).collect())
    }

    /// Program and arguments.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Argv {
    type Error = NotAValue;
    fn try_from(items: Vec<String>) -> Result<Self, NotAValue> {
        let bad = |rule| NotAValue { kind: "a command", rule, text: strict::shorten(&items.join(" ")) };
        if !items.first().is_some_and(|program| absolute_path(program)) {
            return Err(bad("the first item is the absolute path of the program, such as /usr/bin/test"));
        }
        if items.len() > ARGV_ITEMS || items.iter().any(|i| i.len() > ARGUMENT_BYTES || i.contains('\0')) {
            return Err(bad("at most 256 items of 16 KiB each, without NUL"));
        }
        Ok(Self(items))
    }
}

impl From<Argv> for Vec<String> {
    fn from(argv: Argv) -> Self {
        argv.0
    }
}
