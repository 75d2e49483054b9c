//! Keys in rpm's database: it believes them for the packages of any source.

use super::place::Place;
use crate::host::Fault;
use shared::digest::Digest;
use shared::manifest::OpenPgpKey;
use std::collections::BTreeSet;

/// No line of an armored key begins like this.
const HEAD: &str = "assent key ";

/// Each key by the name of its entry, as `gpg-pubkey-0b6da852-6b0b0ad1`.
fn entries(place: &Place) -> Result<Vec<(String, BTreeSet<Digest>)>, Fault> {
    let format = format!("{HEAD}%{{NAME}}-%{{VERSION}}-%{{RELEASE}}\\n%{{DESCRIPTION}}\\n");
    let ran = place.exec(place.rpm(["-qa", "gpg-pubkey", "--qf", &format]))?.success("rpm -qa gpg-pubkey")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let entry = |entry: &str| {
        let (name, key) = entry.split_once('\n').unwrap_or((entry, ""));
        (name.trim().to_owned(), OpenPgpKey::primaries_of(key))
    };
    Ok(text.split(HEAD).skip(1).map(entry).collect())
}

pub fn all(place: &Place) -> Result<BTreeSet<Digest>, Fault> {
    Ok(entries(place)?.into_iter().flat_map(|(_, keys)| keys).collect())
}

pub fn add(place: &Place, path: &str) -> Result<(), Fault> {
    let file = place.outside(path).display().to_string();
    place.exec(place.rpm(["--import".to_owned(), file]))?.success("rpm --import").map(drop)
}

pub fn remove(place: &Place, keys: &BTreeSet<Digest>) -> Result<(), Fault> {
    let entries = entries(place)?;
    let named = entries.into_iter().filter(|(_, own)| !own.is_disjoint(keys));
    let mut names: Vec<String> = named.map(|(name, _)| name).collect();
    // The same key may be there with several dates.
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    let arguments = ["--erase".to_owned(), "--allmatches".into()].into_iter().chain(names);
    place.exec(place.rpm(arguments))?.success("rpm --erase").map(drop)
}
