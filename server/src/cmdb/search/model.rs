//! What is looked for: words of entries by field. Pure.

use crate::cmdb::model::{one_line, unknown};
use crate::kernel::error::Error;
use shared::facts::{Facts, PackageStatus};
use shared::search::{Key, folded};
use shared::version::Order;
use shared::wire::{Criticality, Declared, Need};
use std::collections::BTreeSet;

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Packages by dpkg's order and by rpm's, with their versions and sources.
    Deb,
    Rpm,
    Os,
    Kernel,
    Arch,
    Agent,
    Service,
    Label,
    /// Facts from files of the host, by name.
    Local,
    /// Of the machine.
    Serial,
    Virtualisation,
    Owner,
    Env,
    Criticality,
    Protection,
    Confidentiality,
    Integrity,
    Availability,
    Scope,
    Lifecycle,
    Description,
    Manifest,
    Finding,
}

impl Field {
    pub(super) const ALL: [Self; 23] = [
        Self::Deb,
        Self::Rpm,
        Self::Os,
        Self::Kernel,
        Self::Arch,
        Self::Agent,
        Self::Service,
        Self::Label,
        Self::Local,
        Self::Serial,
        Self::Virtualisation,
        Self::Owner,
        Self::Env,
        Self::Criticality,
        Self::Protection,
        Self::Confidentiality,
        Self::Integrity,
        Self::Availability,
        Self::Scope,
        Self::Lifecycle,
        Self::Description,
        Self::Manifest,
        Self::Finding,
    ];
    /// What hosts report.
    const FACTS: [Self; 10] = [
        Self::Deb,
        Self::Rpm,
        Self::Os,
        Self::Kernel,
        Self::Arch,
        Self::Agent,
        Self::Service,
        Self::Local,
        Self::Serial,
        Self::Virtualisation,
    ];
    /// What a look at the past tells.
    pub(in crate::cmdb) const TOLD: [Self; 8] =
        [Self::Deb, Self::Rpm, Self::Os, Self::Kernel, Self::Arch, Self::Agent, Self::Service, Self::Label];
    /// What people declare; labels only of what is no host.
    const DECLARED: [Self; 10] = [
        Self::Owner,
        Self::Env,
        Self::Criticality,
        Self::Protection,
        Self::Confidentiality,
        Self::Integrity,
        Self::Availability,
        Self::Scope,
        Self::Lifecycle,
        Self::Description,
    ];

    /// What is known of a host by what it says and does, and its labels.
    pub(in crate::cmdb) fn observed() -> Vec<Self> {
        Self::ALL.into_iter().filter(|field| !Self::DECLARED.contains(field)).collect()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Os => "os",
            Self::Kernel => "kernel",
            Self::Arch => "arch",
            Self::Agent => "agent",
            Self::Service => "service",
            Self::Label => "label",
            Self::Local => "local",
            Self::Serial => "serial",
            Self::Virtualisation => "virtualisation",
            Self::Owner => "owner",
            Self::Env => "env",
            Self::Criticality => "criticality",
            Self::Protection => "protection",
            Self::Confidentiality => "confidentiality",
            Self::Integrity => "integrity",
            Self::Availability => "availability",
            Self::Scope => "scope",
            Self::Lifecycle => "lifecycle",
            Self::Description => "description",
            Self::Manifest => "manifest",
            Self::Finding => "finding",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|field| field.as_str() == text)
            .ok_or_else(|| unknown("the word's field", text))
    }

    /// Where a key is looked up; `None` for keys that stand elsewhere than among the words.
    pub(super) fn of(key: Key) -> Option<&'static [Self]> {
        Some(match key {
            Key::Package | Key::Source => &[Self::Deb, Self::Rpm],
            Key::Os => &[Self::Os],
            Key::Kernel => &[Self::Kernel],
            Key::Arch => &[Self::Arch],
            Key::Agent => &[Self::Agent],
            Key::Service => &[Self::Service],
            Key::Label => &[Self::Label],
            Key::Local => &[Self::Local],
            Key::Owner => &[Self::Owner],
            Key::Env => &[Self::Env],
            Key::Criticality => &[Self::Criticality],
            Key::Protection => &[Self::Protection],
            Key::Confidentiality => &[Self::Confidentiality],
            Key::Integrity => &[Self::Integrity],
            Key::Availability => &[Self::Availability],
            Key::Scope => &[Self::Scope],
            Key::Lifecycle => &[Self::Lifecycle],
            Key::Manifest => &[Self::Manifest],
            Key::Finding => &[Self::Finding],
            Key::Text
            | Key::Name
            | Key::Class
            | Key::HostClass
            | Key::Change
            | Key::Serves
            | Key::Relies
            | Key::Saved => return None,
        })
    }

    /// How the versions of packages of this field are ordered.
    pub(super) fn order(self) -> Order {
        if self == Self::Rpm { Order::Rpm } else { Order::Deb }
    }
}

/// A word of an entry, in small letters, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub field: Field,
    pub word: String,
    pub detail: String,
    pub source: String,
    pub source_detail: String,
}

impl Known {
    /// A detail as it is, because versions have their own letters.
    pub fn new(field: Field, word: &str, detail: &str) -> Self {
        let (word, detail) = (folded(&one_line(word)), one_line(detail));
        Self { field, word, detail, source: String::new(), source_detail: String::new() }
    }
}

/// Labels, of hosts as of everything else.
pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> BTreeSet<Known> {
    pairs.into_iter().map(|(name, value)| Known::new(Field::Label, name, &folded(value))).collect()
}

/// Dispositions of an entry's findings that are not gone.
pub fn found<'a>(dispositions: impl IntoIterator<Item = &'a str>) -> BTreeSet<Known> {
    dispositions.into_iter().map(|said| Known::new(Field::Finding, said, "")).collect()
}

/// What of a host's facts is looked for.
pub(in crate::cmdb) fn of_facts(facts: &Facts) -> (&'static [Field], BTreeSet<Known>) {
    let field = if facts.package_order() == Order::Rpm { Field::Rpm } else { Field::Deb };
    let there = facts.packages.iter().filter(|package| package.status != PackageStatus::ConfigFiles);
    let mut all: BTreeSet<Known> = there
        .map(|package| Known {
            source: folded(&package.source),
            source_detail: package.source_version.clone(),
            ..Known::new(field, &package.name, &package.version)
        })
        .collect();
    all.extend(facts.services.iter().map(|service| Known::new(Field::Service, &service.name, "")));
    let agent = facts.agent_version.to_string();
    all.extend([
        Known::new(Field::Os, &facts.os.id, &facts.os.version),
        Known::new(Field::Kernel, &facts.kernel.release, ""),
        Known::new(Field::Arch, &facts.arch, ""),
        Known::new(Field::Agent, &agent, ""),
    ]);
    all.extend(facts.local.iter().map(|local| Known::new(Field::Local, &local.name, &folded(&local.value))));
    all.extend(facts.hardware.iter().map(|found| Known::new(Field::Serial, &found.serial, "")));
    all.extend(facts.virtualisation.iter().map(|found| Known::new(Field::Virtualisation, found, "")));
    all.retain(|known| !known.word.is_empty());
    (&Field::FACTS, all)
}

/// What of a declaration is looked for; its labels as well, which hosts have elsewhere.
pub(in crate::cmdb) fn of_declared(declared: &Declared, is_host: bool) -> (Vec<Field>, BTreeSet<Known>) {
    let Declared { confidentiality, integrity, availability, .. } = declared;
    let protection = [confidentiality, integrity, availability].into_iter().flatten().max().copied();
    let words = [
        (Field::Owner, declared.owner.as_deref()),
        (Field::Env, declared.environment.as_deref()),
        (Field::Criticality, declared.criticality.map(Criticality::as_str)),
        (Field::Protection, protection.map(Need::as_str)),
        (Field::Confidentiality, confidentiality.map(Need::as_str)),
        (Field::Integrity, integrity.map(Need::as_str)),
        (Field::Availability, availability.map(Need::as_str)),
        (Field::Lifecycle, Some(declared.lifecycle.as_str())),
        (Field::Description, declared.description.as_deref()),
    ];
    let mut all: BTreeSet<Known> =
        words.into_iter().filter_map(|(field, word)| Some(Known::new(field, word?, ""))).collect();
    all.extend(declared.scopes.iter().map(|scope| Known::new(Field::Scope, scope, "")));
    let mut fields = Field::DECLARED.to_vec();
    if !is_host {
        fields.push(Field::Label);
        all.extend(labels(&*declared.labels));
    }
    (fields, all)
}
