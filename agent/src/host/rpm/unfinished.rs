//! A transaction of the agent from before its first change until everything after it is done.
//!
//! rpm's database does not know half installed packages. What the run was to bring is written down first; how it
//! ended is written by a shell around the package manager, which outlives the agent. What began and has no end is
//! taken for broken, and is installed again from its file: scripts may not have run.

use super::database::{self, Entry};
use super::place::Place;
use crate::host::Fault;
use crate::host::packages::{PackageChange, Sum};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::manifest::Conffiles;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Larger configuration files count as not changed by people.
const CONFFILE_BYTES: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Seconds since 1970 by the host's clock, as rpm notes them.
    at: i64,
    ends: Vec<End>,
    conffiles: Conffiles,
    changed: Vec<Changed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    name: String,
    from: Option<String>,
    to: Option<String>,
}

/// A configuration file that people have changed, with the digest of what they wrote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    path: String,
    sha256: String,
    /// What lay beside it before under the name that rpm gives to new versions.
    beside: Option<String>,
}

fn file(place: &Place) -> PathBuf {
    place.dir().join("transaction.json")
}

/// Where the exit code of the package manager comes to stand.
pub fn ended(place: &Place) -> PathBuf {
    place.dir().join("transaction.ended")
}

/// Where the shell around the package manager leaves its number.
pub fn shell(place: &Place) -> PathBuf {
    place.dir().join("transaction.ended.pid")
}

fn digest(path: &Path) -> Option<String> {
    let length = fs::symlink_metadata(path).ok().filter(|meta| meta.is_file())?.len();
    let bytes = (length <= CONFFILE_BYTES).then(|| fs::read(path).ok()).flatten()?;
    Some(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes down what is going to happen, durably.
pub fn begin(place: &Place, changes: &[PackageChange], conffiles: Conffiles) -> Result<(), Fault> {
    let replaced: Vec<&str> =
        changes.iter().filter(|c| c.from.is_some() && c.to.is_some()).map(|c| c.name.as_str()).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let begun = Begun {
        at: i64::try_from(now.as_secs()).unwrap_or_default(),
        ends: changes
            .iter()
            .map(|c| End { name: c.name.clone(), from: c.from.clone(), to: c.to.clone() })
            .collect(),
        conffiles,
        changed: changed(place, &replaced)?,
    };
    let path = file(place);
    let write = || -> io::Result<()> {
        remove(&ended(place))?;
        remove(&shell(place))?;
        let new = beside(&path, ".new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&begun).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(place.dir())?.sync_all()
    };
    write().map_err(Fault::io(format!("write {}", path.display())))
}

fn changed(place: &Place, names: &[&str]) -> Result<Vec<Changed>, Fault> {
    let mut all = Vec::new();
    if names.is_empty() {
        return Ok(all);
    }
    for conffile in database::conffiles(place, names)? {
        let path = place.outside(&conffile.path);
        let Some(sha256) = digest(&path) else { continue };
        let as_brought = match &conffile.sum {
            Sum::Sha256(sum) => *sum == sha256,
            other => fs::read(&path).is_ok_and(|bytes| other.is_of(&bytes)),
        };
        if !as_brought {
            let beside = digest(&beside(&path, ".rpmnew"));
            all.push(Changed { path: conffile.path, sha256, beside });
        }
    }
    Ok(all)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The transaction that has begun and whose end is not worked off, if there is one.
pub fn begun(place: &Place) -> Result<Option<Begun>, Fault> {
    let path = file(place);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Fault::io(format!("read {}", path.display()))(e)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        Fault::Refused(format!(
            "{} cannot be read ({e}); verify the packages with rpm -Va and remove it",
            path.display()
        ))
    })
}

/// The transaction failed in a way that its exit code does not show, such as a script of a package: what it has
/// brought is in doubt.
pub fn doubt(place: &Place) -> Result<(), Fault> {
    remove(&ended(place)).map_err(Fault::io(format!("remove {}", ended(place).display())))
}

/// Whether the package manager came to a good end; zypper tells so that a reboot, or a restart of itself, is due.
fn has_ended(place: &Place) -> bool {
    fs::read_to_string(ended(place)).is_ok_and(|code| matches!(code.trim(), "0" | "102" | "103"))
}

/// What people and the transaction both have changed is put as the transaction was to have it, and the note of the
/// transaction goes. As long as packages are in doubt, nothing happens.
pub fn settle(place: &Place, entries: impl FnOnce() -> Result<Vec<Entry>, Fault>) -> Result<(), Fault> {
    let Some(begun) = begun(place)? else { return Ok(()) };
    if !has_ended(place) && !broken(place, &begun, &entries()?)?.is_empty() {
        return Ok(());
    }
    finish(place, &begun)
}

fn finish(place: &Place, begun: &Begun) -> Result<(), Fault> {
    for changed in &begun.changed {
        let path = place.outside(&changed.path);
        put(&path, changed, begun.conffiles).map_err(Fault::io(format!("put {} right", path.display())))?;
    }
    let clear = || -> io::Result<()> {
        remove(&file(place))?;
        File::open(place.dir())?.sync_all()
    };
    clear().map_err(Fault::io(format!("tidy {}", place.dir().display())))
}

/// rpm replaces some changed files and keeps others, as each package says; the manifest decides it for all.
fn put(path: &Path, changed: &Changed, conffiles: Conffiles) -> io::Result<()> {
    let (new, saved) = (beside(path, ".rpmnew"), beside(path, ".rpmsave"));
    let is_theirs = |path: &Path| digest(path).as_ref() == Some(&changed.sha256);
    match conffiles {
        Conffiles::Old if !is_theirs(path) && is_theirs(&saved) => {
            if path.exists() {
                fs::rename(path, &new)?;
            }
            fs::rename(&saved, path)
        }
        Conffiles::New if is_theirs(path) && new.is_file() && digest(&new) != changed.beside => {
            fs::rename(path, &saved)?;
            fs::rename(&new, path)
        }
        _ => Ok(()),
    }
}

/// What they call packages that the transaction has left in doubt: brought by it, or with files of both versions.
pub fn broken(place: &Place, begun: &Begun, entries: &[Entry]) -> Result<Vec<String>, Fault> {
    let mut broken = Vec::new();
    if has_ended(place) {
        return Ok(broken);
    }
    for end in &begun.ends {
        let Some(entry) = entries.iter().find(|entry| entry.called == end.name) else { continue };
        let is_at = |version: &Option<String>| version.as_ref() == Some(&entry.row.evr);
        let brought = is_at(&end.to) && entry.row.installed_at >= begun.at;
        if brought || (is_at(&end.from) && !database::damaged(place, &end.name)?.is_empty()) {
            broken.push(end.name.clone());
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::super::database::Row;
    use super::*;

    fn entry(name: &str, evr: &str, installed_at: i64) -> Entry {
        let text = |t: &str| t.to_owned();
        let row = Row {
            name: text(name),
            arch: text("noarch"),
            evr: text(evr),
            source: text(""),
            installed_at,
            bytes: 0,
            vendor: text(""),
        };
        Entry { called: text(name), row, older: false, doubles: Vec::new() }
    }

    #[test]
    fn what_a_transaction_without_an_end_has_brought_is_in_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), false, dir.path().join("own"));
        place.prepare().unwrap();
        let change = |name: &str, to: &str| PackageChange {
            name: name.into(),
            to: Some(to.into()),
            ..PackageChange::default()
        };
        begin(&place, &[change("came", "1-1"), change("was", "1-1"), change("not", "1-1")], Conffiles::Old)
            .unwrap();
        let since = begun(&place).unwrap().unwrap().at;
        let entries = || {
            Ok(vec![
                entry("came", "1-1", since),
                entry("other", "1-1", since),
                entry("was", "1-1", since - 9),
            ])
        };
        let doubts = || broken(&place, &begun(&place).unwrap().unwrap(), &entries().unwrap()).unwrap();
        assert_eq!(doubts(), ["came"]);
        settle(&place, entries).unwrap();
        assert!(begun(&place).unwrap().is_some(), "the note stays with the doubt");
        // Killed, or a bad end, as the shell around the package manager has noted it.
        for (code, left) in [("137", 1), ("1", 1), ("0", 0), ("102", 0)] {
            fs::write(ended(&place), format!("{code}\n")).unwrap();
            assert_eq!(doubts().len(), left, "{code}");
        }
        doubt(&place).unwrap();
        assert_eq!(doubts(), ["came"]);
        fs::write(ended(&place), "0\n").unwrap();
        settle(&place, entries).unwrap();
        assert!(begun(&place).unwrap().is_none());
        // Nothing was brought before it was stopped: nothing is in doubt.
        begin(&place, &[change("not", "1-1")], Conffiles::Old).unwrap();
        settle(&place, entries).unwrap();
        assert!(begun(&place).unwrap().is_none());
        fs::write(file(&place), "{").unwrap();
        assert!(begun(&place).unwrap_err().text().contains("rpm -Va"));
    }
}
