//! A record that another program writes line by line, followed through its rotated files.
//!
//! What was read is known again by what stands there: the first line of a file, and the line at which reading ended.
//! Names, numbers and times of files change with each rotation, and the clock of the entries may be set back.
//! Never: what a line means.

mod files;
#[cfg(test)]
mod tests;

use files::{Found, rotations};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use std::io;
use std::path::Path;

/// Files of one record that are looked at, the newest first: two years of months.
const FILES: usize = 26;
/// Bytes of one line; longer ones are told in pieces.
const LINE_BYTES: usize = 16 << 10;
/// Bytes of a line by which it is known again.
const KNOWN_BYTES: usize = 4 << 10;
/// Characters of the time at which a line begins: `2026-11-20 17:00:00`.
const STAMP: usize = 19;

/// How far one file of a record was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file as it was: one that is still the same need not be opened.
    pub inode: u64,
    pub bytes: u64,
    /// When it was written last, in nanoseconds since 1970.
    pub changed: i64,
    /// Digest of its first line.
    pub head: String,
    /// Bytes that were read, unpacked: whole lines.
    pub read: u64,
    /// Digest of the line at which they end, and the time at which that line begins.
    pub last: String,
    pub stamp: String,
}

/// What a line is known by.
fn known(line: &[u8]) -> String {
    Digest::of(&line[line.len().saturating_sub(KNOWN_BYTES)..]).hex()[..32].to_owned()
}

/// Tells each line that was written to the record since those marks, the oldest first; without marks none, for what was
/// before the first look is nobody's matter. The new marks tell the rest the next time.
///
/// A file of which the read part was changed goes on after the last line that was read, and where that is gone, with the
/// lines that are not older. Packed files that cannot be unpacked are passed over with a warning.
///
/// # Errors
/// The directory or a file of it cannot be read.
pub fn read(newest: &Path, since: Option<&[Mark]>, tell: &mut dyn FnMut(&str)) -> io::Result<Vec<Mark>> {
    let known = since.unwrap_or_default();
    let mut files: Vec<Found> = Vec::new();
    for path in rotations(newest)?.into_iter().take(FILES) {
        // A file that was renamed while its directory was read stands there twice.
        let found = Found::look(path, known)?;
        files.extend(found.filter(|found| files.iter().all(|file| file.mark.inode != found.mark.inode)));
    }
    for (at, file) in files.iter().enumerate().rev() {
        if since.is_some() && !file.is_as_it_was && !is_copy(at, &files)? {
            file.lines(unread(file, known)?, tell)?;
        }
    }
    let passed =
        |old: &&Mark| !files.iter().any(|file| file.mark.head == old.head && file.mark.read >= old.read);
    // Who looks while files are moved may miss one.
    let missed = known.iter().filter(passed).cloned();
    let marks = files.iter().map(|file| file.mark.clone()).filter(|mark| mark.read > 0);
    Ok(marks.chain(missed).take(2 * FILES).collect())
}

/// Whether another file has all of this one: while a file is copied or packed, both are there.
fn is_copy(at: usize, files: &[Found]) -> io::Result<bool> {
    let mark = &files[at].mark;
    for (number, other) in files.iter().enumerate().filter(|(number, _)| *number != at) {
        let longer = (other.mark.read, at) > (mark.read, number);
        if longer && other.holds(mark)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where what was not read yet begins.
fn unread(file: &Found, marks: &[Mark]) -> io::Result<u64> {
    let mut read = None;
    for mark in marks {
        if file.holds(mark)? {
            read = read.max(Some(mark.read));
        }
    }
    if let Some(read) = read {
        return Ok(read);
    }
    let stamp = marks.iter().filter(|mark| mark.head == file.mark.head).map(|mark| &mark.stamp).max();
    let (mut after, mut later, mut at) = (None, None, 0);
    file.each(0, &mut |line| {
        let is_later = stamp.is_some_and(|stamp| files::stamp(line).is_some_and(|own| own >= *stamp));
        if is_later && later.is_none() {
            later = Some(at);
        }
        at += line.len() as u64;
        let is_last = marks.iter().any(|mark| mark.last == known(line));
        if is_last {
            after = Some(at);
        }
    })?;
    let begins = if stamp.is_some() { later.unwrap_or(file.mark.read) } else { 0 };
    Ok(after.unwrap_or(begins))
}

/// A file that is looked at as a whole: the mark is another one when it was written since. None when it is not there.
///
/// # Errors
/// It cannot be looked at.
pub fn standing(path: &Path) -> io::Result<Option<Mark>> {
    match path.metadata() {
        Ok(meta) => Ok(Some(files::standing(&meta))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The whole text of the newest files of a record, the oldest of these first, each up to so many bytes. Bytes that are
/// no text are replaced.
///
/// # Errors
/// As for [`read`].
pub fn texts(newest: &Path, files: usize, bytes: usize) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for path in rotations(newest)?.into_iter().take(files) {
        if let Some(found) = Found::look(path, &[])? {
            all.push(String::from_utf8_lossy(&found.at(0, bytes)?).into_owned());
        }
    }
    all.reverse();
    Ok(all)
}
