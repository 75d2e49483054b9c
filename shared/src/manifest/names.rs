//! Typed values of the kinds that edit files and accounts. Each is parsed once, at the edge.

use super::values::{Argv, NotAValue, as_written, made_of, text_value};
use crate::strict;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Bytes of one line, value or pattern; configuration lines are far shorter.
const LINE_BYTES: usize = 4 << 10;
/// Bytes of a compiled pattern: enough for real ones, far from exhausting a small host.
const PATTERN_BYTES: usize = 256 << 10;

fn one_line(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.chars().any(|c| c.is_control() && c != '\t')
}

fn trimmed(text: &str) -> bool {
    text.trim() == text
}

text_value!(
    /// Where a symbolic link points: absolute, or relative to the directory of the link.
    LinkTarget, "link-target", "a link target",
    "1 to 4095 bytes without control characters",
    |t| !t.is_empty() && t.len() <= 4095 && !t.chars().any(char::is_control)
);
text_value!(
    /// The name of a line or block within its file.
    PartName, "part-name", "the name of a line or block",
    "1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter",
    |t| made_of(t, 64, |c| c.is_ascii_lowercase(), b"._-") && !t.bytes().any(|c| c.is_ascii_uppercase())
);
text_value!(
    /// One line of a file, without its line break.
    LineText, "line-text", "a line",
    "1 to 4096 bytes without line breaks and control characters (tabs are fine)",
    |t| !t.trim().is_empty() && one_line(t, LINE_BYTES)
);
text_value!(
    /// What a comment starts with in the file of a block.
    CommentMark, "comment-mark", "a comment mark",
    "1 to 4 printable characters other than letters, digits and blanks, such as # or //",
    |t| (1..=4).contains(&t.len()) && t.bytes().all(|c| c.is_ascii_punctuation())
);
text_value!(
    /// The key of a setting.
    SettingKey, "setting-key", "a setting's key",
    "1 to 100 bytes without '=', control characters or blanks around it, not starting with '#', ';' or '['",
    |t| !t.is_empty() && one_line(t, 100) && trimmed(t) && !t.contains('=') && !t.starts_with(['#', ';', '['])
);
text_value!(
    /// The section of a setting, without its brackets.
    SectionName, "section-name", "a section",
    "1 to 100 bytes without brackets, control characters or blanks around it",
    |t| !t.is_empty() && one_line(t, 100) && trimmed(t) && !t.contains(['[', ']'])
);
text_value!(
    /// The value of a setting; may be empty.
    SettingValue, "setting-value", "a setting's value",
    "at most 4096 bytes without control characters or blanks around it",
    |t| one_line(t, LINE_BYTES) && trimmed(t)
);
text_value!(
    /// A file below `/etc/sudoers.d`; sudo ignores names with a dot or a tilde at the end (sudoers(5)).
    SudoersName, "sudoers-name", "the name of a sudoers file",
    "1 to 64 of letters, digits, '_' and '-', starting with a letter or digit; sudo ignores names with a dot",
    |t| made_of(t, 64, |c| c.is_ascii_alphanumeric(), b"_-")
);
text_value!(
    /// A kernel parameter as sysctl(8) writes it; a dot within a name is written as `/`.
    SysctlKey, "sysctl-key", "a kernel parameter",
    "2 to 128 of letters, digits, '_', '-' and '/', in parts separated by '.', such as net.ipv4.ip_forward",
    |t| made_of(t, 128, |c| c.is_ascii_lowercase(), b"._-/")
        && t.contains('.')
        && t.split('.').next().is_some_and(|first| !first.contains('/'))
        && t.split('.').all(|part| !part.is_empty() && !part.starts_with('/') && !part.contains("//"))
);
text_value!(
    /// The host's own name (RFC 1123 labels); Linux takes at most 64 bytes.
    HostName, "host-name", "a host name",
    "1 to 64 of a-z, 0-9 and '-' in labels separated by '.', none starting or ending with '-'",
    |t| (1..=64).contains(&t.len()) && t.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    })
);
text_value!(
    /// A zone of the time zone database, such as `Europe/Berlin`.
    ZoneName, "zone-name", "a time zone",
    "1 to 64 of letters, digits, '_', '+' and '-' in parts separated by '/', such as Europe/Berlin",
    |t| t.len() <= 64 && t.split('/').all(|part| made_of(part, 64, |c| c.is_ascii_alphanumeric(), b"_+-"))
);
text_value!(
    /// The comment field of a user (passwd(5)).
    UserComment, "user-comment", "a user's comment",
    "at most 200 bytes without ':' and control characters",
    |t| t.len() <= 200 && !t.contains(':') && !t.chars().any(char::is_control)
);

as_written!(LinkTarget PartName LineText CommentMark SettingKey SectionName SettingValue SudoersName);
as_written!(SysctlKey HostName ZoneName UserComment AuthorizedKey);

impl SysctlKey {
    /// The file of the parameter below `/proc/sys`, by the rule of sysctl(8).
    pub fn path(&self) -> String {
        let swapped = self.as_str().chars().map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        });
        format!("/proc/sys/{}", swapped.collect::<String>())
    }
}

text_value!(
    /// One key of authorized_keys(5), with or without options and comment.
    AuthorizedKey, "authorized-key", "an authorized key",
    "one line as in authorized_keys, with options (if any), type, key in base64, comment (if any)",
    |t| trimmed(t) && one_line(t, 16 << 10) && identity(t).is_some()
);

impl AuthorizedKey {
    /// Type and key without options and comment: what makes two lines the same key.
    pub fn identity(&self) -> &str {
        identity(self.as_str()).unwrap_or_default()
    }

    /// Type and key of any line of an authorized_keys file; `None` for comments and other text.
    pub fn identity_of(line: &str) -> Option<&str> {
        identity(line.trim())
    }
}

fn identity(line: &str) -> Option<&str> {
    if line.starts_with('#') {
        return None;
    }
    let (kind_at, rest) = if is_type(line.split([' ', '\t']).next()?) {
        (0, line)
    } else {
        let at = after_options(line)?;
        (at, line.get(at..)?)
    };
    let mut words = rest.split([' ', '\t']).filter(|w| !w.is_empty());
    let (kind, key) = (words.next()?, words.next()?);
    let end = kind_at + rest.find(key)? + key.len();
    let blob = STANDARD.decode(key).ok()?;
    // The blob names its own type first (RFC 4253 section 6.6).
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
    (is_type(kind) && blob.get(4..4 + length)? == kind.as_bytes()).then(|| &line[kind_at..end])
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|prefix| word.starts_with(prefix))
}

/// Where the options end: the first blank outside of quotes.
fn after_options(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return Some(at + line[at..].len() - line[at..].trim_start().len()),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// A regular expression that a line is compared with; matching time is linear in the line.
#[derive(Clone)]
pub struct LinePattern {
    text: String,
    regex: regex_lite::Regex,
}

impl LinePattern {
    pub const FORMAT: &'static str = "line-pattern";

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_match(&self, line: &str) -> bool {
        self.regex.is_match(line)
    }
}

impl FromStr for LinePattern {
    type Err = NotAValue;
    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let bad = || NotAValue {
            kind: "a pattern for lines",
            rule: "a regular expression of 1 to 4096 bytes, such as ^#?PermitRootLogin",
            text: strict::shorten(text),
        };
        let regex = regex_lite::RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
        match regex {
            Ok(regex) if !text.is_empty() && one_line(text, LINE_BYTES) => {
                Ok(Self { text: text.to_owned(), regex })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for LinePattern {}

strict::text_serde!(LinePattern);

/// A program that must accept a file before it goes live; one argument holds `{file}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Argv", into = "Argv")]
pub struct Checker(Argv);

/// Checkers that only read the file they are given. They count as no command of their own.
///
/// `nginx -t` is not among them: it creates the logs and loads the modules that the file names.
const READERS: [&[&str]; 7] = [
    &["/usr/sbin/visudo", "-cf", "{file}"],
    &["/usr/sbin/visudo", "-c", "-f", "{file}"],
    &["/usr/sbin/sshd", "-t", "-f", "{file}"],
    &["/usr/sbin/nft", "-c", "-f", "{file}"],
    &["/usr/bin/named-checkconf", "{file}"],
    &["/usr/sbin/named-checkconf", "{file}"],
    &["/usr/bin/chronyd", "-p", "-f", "{file}"],
];

impl Checker {
    pub const PLACE: &'static str = "{file}";

    /// The check of rulesets of nftables.
    pub fn nft() -> Self {
        Self(Argv::of(READERS[3]))
    }

    /// No check: loads the ruleset that was checked.
    pub fn nft_load() -> Self {
        Self(Argv::of(&["/usr/sbin/nft", "-f", Self::PLACE]))
    }

    /// The check of sudo's own files.
    pub fn visudo() -> Self {
        Self(Argv::of(READERS[0]))
    }

    pub fn argv(&self) -> &Argv {
        &self.0
    }

    /// True when it is known to do nothing but read the file.
    pub fn only_reads(&self) -> bool {
        READERS.iter().any(|known| self.0.as_slice() == *known)
    }

    /// Program and arguments for the file at `path`.
    pub fn for_file(&self, path: &str) -> (String, Vec<String>) {
        let arguments = self.0.arguments().iter().map(|a| a.replace(Self::PLACE, path)).collect();
        (self.0.program().to_owned(), arguments)
    }
}

impl TryFrom<Argv> for Checker {
    type Error = NotAValue;
    fn try_from(argv: Argv) -> Result<Self, NotAValue> {
        let places: usize = argv.arguments().iter().map(|a| a.matches(Self::PLACE).count()).sum();
        if places == 1 {
            return Ok(Self(argv));
        }
        Err(NotAValue {
            kind: "a check of a file",
            rule: "program and arguments with {file} once among the arguments, such as [/usr/sbin/visudo, -cf, \"{file}\"]",
            text: strict::shorten(&argv.as_slice().join(" ")),
        })
    }
}

impl From<Checker> for Argv {
    fn from(checker: Checker) -> Self {
        checker.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";

    #[test]
    fn keys_are_told_apart_by_type_and_key_alone() {
        for line in [
            ED.to_owned(),
            format!("{ED} deploy@example.org"),
            format!("from=\"10.0.0.1 10.0.0.2\",command=\"echo \\\"hi there\\\"\" {ED} x y"),
            format!("restrict \t {ED}"),
        ] {
            assert_eq!(line.parse::<AuthorizedKey>().unwrap().identity(), ED, "{line}");
        }
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "# x",
            &ED.replace("ed25519 ", "rsa "),
            &format!("{ED}\n{ED}"),
        ] {
            assert!(bad.parse::<AuthorizedKey>().is_err(), "{bad}");
        }
        assert_eq!(AuthorizedKey::identity_of(&format!("# {ED}")), None);
    }

    #[test]
    fn names_are_checked() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.forwarding", "/proc/sys/net/ipv4/conf/eth0.100/forwarding"),
        ] {
            assert_eq!(key.parse::<SysctlKey>().unwrap().path(), path);
        }
        for bad in [
            "",
            "kernel",
            "kernel..x",
            ".kernel.x",
            "kernel.x.",
            "kernel.//.x",
            "kernel./x",
            "/kernel.x",
            "net/x.y",
            "a.b c",
        ] {
            assert!(bad.parse::<SysctlKey>().is_err(), "{bad}");
        }
        for bad in ["", "a_b", "A", "-a", "a-", "a..b", &"a".repeat(65)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        for bad in ["", "../etc/passwd", "/Europe/Berlin", "Europe//Berlin", "."] {
            assert!(bad.parse::<ZoneName>().is_err(), "{bad}");
        }
        for bad in ["", "a.conf", "x~", "../x"] {
            assert!(bad.parse::<SudoersName>().is_err(), "{bad}");
        }
        for bad in ["", "(", "a{1000}{1000}{1000}", "a\nb"] {
            assert!(bad.parse::<LinePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_check_names_its_file_once() {
        let check = |items: &[&str]| Checker::try_from(Argv::of(items));
        assert!(check(&["/usr/sbin/sshd", "-t", "-f", "{file}"]).unwrap().only_reads());
        assert!(!check(&["/usr/sbin/sshd", "-T", "-f", "{file}"]).unwrap().only_reads());
        assert!(!check(&["/usr/sbin/nginx", "-t", "-c", "{file}"]).unwrap().only_reads());
        for bad in [&["/bin/true"][..], &["/bin/true", "{file}{file}"], &["/bin/{file}", "x"]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(Checker::visudo().only_reads() && Checker::nft().only_reads());
        assert_eq!(Checker::nft().argv().program(), "/usr/sbin/nft");
        assert!(!Checker::nft_load().only_reads());
    }
}
