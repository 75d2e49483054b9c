//! Backups in one directory, named by their time: the oldest ones go when a new one is whole.
//!
//! Never: touches a file that it did not name itself, or removes anything before the new backup is on the disk.

use super::{Backup, failed, refused, run};
use crate::kernel::config::Config;
use crate::kernel::error::Error;
use shared::time::Timestamp;
use std::fs::{self, File};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

const BEFORE: &str = "assent-";
const AFTER: &str = ".age";
/// Held while a backup is made here: what another one left behind in the middle can then be told from what is under way.
const LOCK: &str = ".assent-backup.lock";

/// Makes a backup in `dir` and removes all but the newest `keep` ones, this one among them.
///
/// # Errors
/// As [`run`], before anything is removed; another backup is being made there; the disk's.
pub fn run_in(
    config: &Config,
    config_file: &Path,
    dir: &Path,
    keep: NonZeroU32,
    now: Timestamp,
) -> Result<(Backup, Vec<PathBuf>), Error> {
    let _alone = lock(dir)?;
    let made = run(config, config_file, &dir.join(name_at(now)))?;
    let mut removed = Vec::new();
    for old in too_many(dir, &made.path, keep)? {
        fs::remove_file(&old).map_err(|error| failed(&old, error))?;
        removed.push(old);
    }
    for part in parts(dir)? {
        fs::remove_dir_all(&part).map_err(|error| failed(&part, error))?;
    }
    Ok((made, removed))
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).append(true).open(&path).map_err(|error| failed(&path, error))?;
    let busy = |error| refused(dir, format!("another backup is being made there: {error}"));
    file.try_lock().map_err(busy)?;
    Ok(file)
}

/// The time without colons, which other systems do not take in names.
fn name_at(now: Timestamp) -> String {
    format!("{BEFORE}{}{AFTER}", now.to_string().replace(':', ""))
}

fn is_ours(name: &str) -> bool {
    let time = name.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER));
    let with_colons = time.filter(|time| time.is_ascii() && time.len() == 18).map(|time| {
        let (day, rest) = time.split_at(13);
        let (minute, rest) = rest.split_at(2);
        format!("{day}:{minute}:{rest}")
    });
    with_colons.is_some_and(|time| time.parse::<Timestamp>().is_ok())
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
        let name = entry.map_err(|error| failed(dir, error))?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The oldest ones beyond `keep`. The new one counts and stays, also when a clock that was ahead made others seem newer.
fn too_many(dir: &Path, new: &Path, keep: NonZeroU32) -> Result<Vec<PathBuf>, Error> {
    let ours = names(dir)?.into_iter().filter(|name| is_ours(name));
    let others = ours.filter(|name| new.file_name() != Some(name.as_ref())).map(|name| dir.join(name));
    let mut files: Vec<PathBuf> =
        others.filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_file())).collect();
    let stay = usize::try_from(keep.get() - 1).unwrap_or(usize::MAX);
    files.truncate(files.len().saturating_sub(stay));
    Ok(files)
}

/// What a backup left behind in whose middle the power went.
fn parts(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_part = |name: &String| name.split_once(".part-").is_some_and(|(name, _)| is_ours(name));
    let parts = names(dir)?.into_iter().filter(is_part).map(|name| dir.join(name));
    Ok(parts.filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp(1_893_456_000 + secs)
    }

    fn keep(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    #[test]
    fn only_names_that_were_given_here_are_taken_for_backups() {
        assert_eq!(name_at(at(61)), "assent-2030-01-01T000101Z.age");
        for name in ["assent-2030-01-01T000101Z.age", &name_at(at(86_400))] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "assent-2030-01-01T00:01:01Z.age",
            "assent-2030-13-01T000101Z.age",
            "assent-2030-01-01T000101Z.age.old",
            "assent-2030-01-01T000101Z",
            "my-assent-2030-01-01T000101Z.age",
            "assent-2030-01-01.age",
            "assent-\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}.age",
            "assent-.age",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn the_newest_stay_and_nothing_of_others_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for n in 0..5 {
            fs::write(path(&name_at(at(n))), "backup").unwrap();
        }
        for other in ["assent-2029.age", "notes.txt", "assent-2029-01-01T000000Z.age.sha256"] {
            fs::write(path(other), "mine").unwrap();
        }
        fs::create_dir(path("assent-2029-01-01T000000Z.age")).unwrap();
        std::os::unix::fs::symlink("notes.txt", path("assent-2029-01-02T000000Z.age")).unwrap();
        let gone = |new: i64, count: u32| {
            let gone = too_many(dir.path(), &path(&name_at(at(new))), keep(count)).unwrap();
            gone.into_iter()
                .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(gone(4, 3), [name_at(at(0)), name_at(at(1))]);
        assert_eq!(gone(4, 1).len(), 4);
        assert_eq!(gone(4, 9), [""; 0]);
        // The clock was ahead before: the new one has the oldest name and stays.
        assert_eq!(gone(0, 2), [name_at(at(1)), name_at(at(2)), name_at(at(3))]);
        assert_eq!(gone(0, 1), [1, 2, 3, 4].map(|n| name_at(at(n))));
    }
}
