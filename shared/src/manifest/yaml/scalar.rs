//! Scalars read by the type that is wanted. What YAML readers disagree about is refused, with the remedy.

use super::tree::Data;
use crate::digest::Digest;
use crate::ids::{ManifestName, ResourceId, Team};
use crate::manifest::kernel::{FsType, ModuleName, ModuleOption, MountOption, MountSource};
use crate::manifest::names::{
    AuthorizedKey, CommentMark, HostName, LinePattern, LineText, LinkTarget, PartName, SectionName,
    SettingKey, SettingValue, SudoersName, SysctlKey, UserComment, ZoneName,
};
use crate::manifest::openpgp::OpenPgpKey;
use crate::manifest::package::{NamePattern, PackageRange};
use crate::manifest::repository::{RepositoryName, RepositoryUri, RepositoryWord};
use crate::manifest::trust::{CaCertificate, CertificateName};
use crate::manifest::unit::{CalendarText, DropinName, TimerName};
use crate::manifest::values::{
    AbsolutePath, AccountName, CommandName, EnvName, Mode, NameGlob, PackageName, PackageVersion, ParamName,
    ServiceName, UnitGlob,
};
use crate::manifest::{AclEntry, DscType, RuleId};
use crate::release::SignedRelease;
use crate::secret::Secret;
use crate::strict::shorten;
use serde_json::Value;
use std::fmt::Display;
use std::str::FromStr;

/// Message and remedy.
pub(super) type Refused = (String, String);

/// What a scalar without quotes looks like to YAML readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Nothing,
    Boolean,
    Integer,
    OtherNumber,
    Text,
}

fn looks(text: &str) -> Looks {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "" | "~" | "null" => return Looks::Nothing,
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" => return Looks::Boolean,
        ".inf" | "+.inf" | "-.inf" | ".nan" => return Looks::OtherNumber,
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.is_empty();
    if plain && (digits == "0" || !digits.starts_with('0')) && text != "-0" {
        return Looks::Integer;
    }
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower).replace('_', "");
    let sexagesimal =
        unsigned.split(':').all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()));
    let based = |prefix: &str, base: u32| {
        unsigned.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(base)))
    };
    let number =
        unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok();
    if number || sexagesimal || based("0x", 16) || based("0o", 8) || based("0b", 2) {
        return Looks::OtherNumber;
    }
    Looks::Text
}

impl Looks {
    fn named(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Boolean => "a boolean",
            Self::Integer | Self::OtherNumber => "a number",
            Self::Text => "text",
        }
    }
}

/// What a node is, for messages.
pub(super) fn describe(data: &Data) -> String {
    match data {
        Data::Plain(text) if looks(text) == Looks::Nothing => "nothing".to_owned(),
        Data::Plain(text) => format!("{} ({})", shorten(text), looks(text).named()),
        Data::Quoted(text) => format!("{:?} (text)", shorten(text)),
        Data::List(_) => "a list".to_owned(),
        Data::Map(_) => "a map".to_owned(),
    }
}

pub(super) fn text(data: &Data) -> Result<Value, Refused> {
    match data {
        Data::Quoted(text) => Ok(Value::from(text.as_str())),
        Data::Plain(text) => match looks(text) {
            Looks::Text => Ok(Value::from(text.as_str())),
            Looks::Nothing => {
                Err(("text is wanted, this is nothing".into(), "give a text, or remove the key".into()))
            }
            other => Err((
                format!("text is wanted, {} is {}", shorten(text), other.named()),
                format!("quote it: \"{}\"", shorten(text)),
            )),
        },
        Data::List(_) | Data::Map(_) => {
            Err((format!("text is wanted, this is {}", describe(data)), "write one text".into()))
        }
    }
}

pub(super) fn integer(data: &Data) -> Result<Value, Refused> {
    let wanted = format!("an integer is wanted, this is {}", describe(data));
    match data {
        Data::Plain(text) => {
            let number: Option<i64> = text.parse().ok().filter(|_| looks(text) == Looks::Integer);
            number.map(Value::from).ok_or_else(|| (wanted, "write a decimal number such as 8080".into()))
        }
        Data::Quoted(text) if looks(text) == Looks::Integer => Err((wanted, "remove the quotes".into())),
        _ => Err((wanted, "write a decimal number such as 8080".into())),
    }
}

pub(super) fn boolean(data: &Data) -> Result<Value, Refused> {
    let refused =
        |remedy: &str| Err((format!("true or false is wanted, this is {}", describe(data)), remedy.into()));
    match data {
        Data::Plain(text) => match text.as_str() {
            "true" => Ok(Value::from(true)),
            "false" => Ok(Value::from(false)),
            other if matches!(other.to_ascii_lowercase().as_str(), "yes" | "on" | "y" | "true") => {
                refused("write true")
            }
            other if looks(other) == Looks::Boolean => refused("write false"),
            _ => refused("write true or false"),
        },
        _ => refused("write true or false, without quotes"),
    }
}

/// The value of a parameter: text, integer or boolean as written.
pub(super) fn any(data: &Data) -> Result<Value, Refused> {
    match data {
        Data::Plain(text) => match (text.as_str(), looks(text)) {
            ("true" | "false", _) => boolean(data),
            (_, Looks::Integer) => integer(data),
            (_, Looks::Boolean) => Err((
                format!("{} is a boolean to some readers and text to others", shorten(text)),
                "write true or false, or quote it".into(),
            )),
            _ => self::text(data),
        },
        _ => self::text(data),
    }
}

/// Checks a text against the `format` of its type; unknown formats accept everything.
pub(super) fn format(format: &str, text: &str) -> Result<(), Refused> {
    match format {
        "manifest-name" => parse::<ManifestName>(text),
        "team-name" => parse::<Team>(text),
        "resource-id" => parse::<ResourceId>(text),
        "semver" => text.parse::<semver::Version>().map(drop).map_err(|e| {
            (format!("{:?} is not a semantic version: {e}", shorten(text)), "write it as \"1.2.0\"".into())
        }),
        "sha256" => text
            .parse::<Digest>()
            .map(drop)
            .map_err(|e| (e.to_string(), "give the output of sha256sum for the artifact".into())),
        RuleId::FORMAT => parse::<RuleId>(text),
        AclEntry::FORMAT => parse::<AclEntry>(text),
        DscType::FORMAT => parse::<DscType>(text),
        Secret::FORMAT => parse::<Secret>(text),
        SignedRelease::FORMAT => parse::<SignedRelease>(text),
        AbsolutePath::FORMAT => parse::<AbsolutePath>(text),
        AccountName::FORMAT => parse::<AccountName>(text),
        PackageName::FORMAT => parse::<PackageName>(text),
        PackageVersion::FORMAT => parse::<PackageVersion>(text),
        PackageRange::FORMAT => parse::<PackageRange>(text),
        NamePattern::FORMAT => parse::<NamePattern>(text),
        ServiceName::FORMAT => parse::<ServiceName>(text),
        CommandName::FORMAT => parse::<CommandName>(text),
        EnvName::FORMAT => parse::<EnvName>(text),
        ParamName::FORMAT => parse::<ParamName>(text),
        UnitGlob::FORMAT => parse::<UnitGlob>(text),
        NameGlob::FORMAT => parse::<NameGlob>(text),
        Mode::FORMAT => parse::<Mode>(text),
        AuthorizedKey::FORMAT => parse::<AuthorizedKey>(text),
        CommentMark::FORMAT => parse::<CommentMark>(text),
        HostName::FORMAT => parse::<HostName>(text),
        LinePattern::FORMAT => parse::<LinePattern>(text),
        LineText::FORMAT => parse::<LineText>(text),
        LinkTarget::FORMAT => parse::<LinkTarget>(text),
        PartName::FORMAT => parse::<PartName>(text),
        SectionName::FORMAT => parse::<SectionName>(text),
        SettingKey::FORMAT => parse::<SettingKey>(text),
        SettingValue::FORMAT => parse::<SettingValue>(text),
        SudoersName::FORMAT => parse::<SudoersName>(text),
        SysctlKey::FORMAT => parse::<SysctlKey>(text),
        UserComment::FORMAT => parse::<UserComment>(text),
        ZoneName::FORMAT => parse::<ZoneName>(text),
        CaCertificate::FORMAT => parse::<CaCertificate>(text),
        OpenPgpKey::FORMAT => parse::<OpenPgpKey>(text),
        RepositoryName::FORMAT => parse::<RepositoryName>(text),
        RepositoryUri::FORMAT => parse::<RepositoryUri>(text),
        RepositoryWord::FORMAT => parse::<RepositoryWord>(text),
        CertificateName::FORMAT => parse::<CertificateName>(text),
        FsType::FORMAT => parse::<FsType>(text),
        ModuleName::FORMAT => parse::<ModuleName>(text),
        ModuleOption::FORMAT => parse::<ModuleOption>(text),
        MountOption::FORMAT => parse::<MountOption>(text),
        MountSource::FORMAT => parse::<MountSource>(text),
        CalendarText::FORMAT => parse::<CalendarText>(text),
        DropinName::FORMAT => parse::<DropinName>(text),
        TimerName::FORMAT => parse::<TimerName>(text),
        _ => Ok(()),
    }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<(), Refused> {
    text.parse::<T>().map(drop).map_err(|e| split(&e.to_string(), ": "))
}

/// Splits "what is wrong<separator>what is right" of an error into message and remedy.
pub(super) fn split(text: &str, separator: &str) -> Refused {
    match text.rsplit_once(separator) {
        Some((message, rule)) => (message.to_owned(), format!("use {rule}")),
        None => (text.to_owned(), "compare with the JSON Schema".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_disagree_about_is_not_text() {
        for (plain, expected) in [
            ("", Looks::Nothing),
            ("~", Looks::Nothing),
            ("NULL", Looks::Nothing),
            ("no", Looks::Boolean),
            ("On", Looks::Boolean),
            ("0", Looks::Integer),
            ("-17", Looks::Integer),
            ("0644", Looks::OtherNumber),
            ("1.10", Looks::OtherNumber),
            ("1e3", Looks::OtherNumber),
            ("+5", Looks::OtherNumber),
            ("1_000", Looks::OtherNumber),
            ("0x1F", Looks::OtherNumber),
            ("0o17", Looks::OtherNumber),
            ("12:30", Looks::OtherNumber),
            (".5", Looks::OtherNumber),
            (".inf", Looks::OtherNumber),
            ("1.2.0", Looks::Text),
            ("1:2.4.62-1", Looks::Text),
            ("infinity", Looks::Text),
            ("nan", Looks::Text),
            ("service:app", Looks::Text),
            ("/etc/motd", Looks::Text),
            ("-", Looks::Text),
            ("none", Looks::Text),
        ] {
            assert_eq!(looks(plain), expected, "{plain}");
        }
    }
}
