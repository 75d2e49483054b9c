//! The files of a record: which there are, and what stands in one of them, packed or not.

use super::{KNOWN_BYTES, LINE_BYTES, Mark, STAMP, known};
use crate::host::process::{Exec, run};
use flate2::read::MultiGzDecoder;
use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one packed file that are unpacked.
const UNPACKED_BYTES: usize = 64 << 20;
const UNPACKING: Duration = Duration::from_secs(120);

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Zstd,
    Xz,
}

/// The files of a record, the newest first: `log`, `log.1`, `log.2.gz`, or `log-20261101.xz`.
pub fn rotations(newest: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(base)) = (newest.parent(), newest.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(base)) else { continue };
        let (stem, _) = packing(rest);
        let number = stem.strip_prefix('.').map(str::parse::<u64>);
        let date = stem.strip_prefix('-').filter(|date| date.chars().all(|c| c.is_ascii_digit() || c == '-'));
        match (number, date) {
            (Some(Ok(number)), _) => all.push((1, number, Reverse(String::new()), dir.join(&name))),
            (_, Some(date)) => all.push((2, 0, Reverse(date.to_owned()), dir.join(&name))),
            _ if rest.is_empty() => all.push((0, 0, Reverse(String::new()), dir.join(&name))),
            _ => {}
        }
    }
    all.sort();
    Ok(all.into_iter().map(|(.., path)| path).collect())
}

fn packing(name: &str) -> (&str, Packing) {
    let packings = [(".gz", Packing::Gzip), (".zst", Packing::Zstd), (".xz", Packing::Xz)];
    let found = packings.into_iter().find_map(|(end, packing)| Some((name.strip_suffix(end)?, packing)));
    found.unwrap_or((name, Packing::None))
}

/// The file as it stands.
pub fn standing(meta: &fs::Metadata) -> Mark {
    let changed = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    Mark { inode: meta.ino(), bytes: meta.len(), changed, ..Mark::default() }
}

/// The time at which a line begins.
pub fn stamp(line: &[u8]) -> Option<String> {
    let text = line.get(..STAMP).filter(|text| text.is_ascii() && text[0].is_ascii_digit())?;
    Some(String::from_utf8_lossy(text).into_owned())
}

enum Content {
    Plain(File),
    Unpacked(Vec<u8>),
    /// Packed, and as it was.
    Unopened,
}

/// One file of a record, opened.
pub struct Found {
    pub mark: Mark,
    pub is_as_it_was: bool,
    content: Content,
}

impl Found {
    /// None when it is gone, no file, or cannot be unpacked.
    pub fn look(path: PathBuf, marks: &[Mark]) -> io::Result<Option<Self>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let now = standing(&meta);
        let is_same =
            |mark: &&Mark| (mark.inode, mark.bytes, mark.changed) == (now.inode, now.bytes, now.changed);
        let same = marks.iter().find(is_same);
        let content = match (packing(&path.to_string_lossy()).1, same) {
            (Packing::None, _) => Content::Plain(file),
            (_, Some(_)) => Content::Unopened,
            (packing, None) => match unpacked(file, &path, packing) {
                Ok(bytes) => Content::Unpacked(bytes),
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a file of a record cannot be unpacked");
                    return Ok(None);
                }
            },
        };
        let mut found = Self { mark: now, is_as_it_was: true, content };
        if let Some(same) = same {
            found.mark = same.clone();
            return Ok(Some(found));
        }
        found.is_as_it_was = false;
        found.measure()?;
        Ok(Some(found))
    }

    /// Its first line, and its last one that is whole.
    fn measure(&mut self) -> io::Result<()> {
        let mut end = match &self.content {
            Content::Plain(_) => self.mark.bytes,
            Content::Unpacked(bytes) => bytes.len() as u64,
            Content::Unopened => 0,
        };
        while end > 0 {
            let from = end.saturating_sub(LINE_BYTES as u64);
            let piece = self.at(from, LINE_BYTES)?;
            let piece = &piece[..piece.len().min((end - from) as usize)];
            if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
                self.mark.read = from + newline as u64 + 1;
                break;
            }
            end = from;
        }
        if self.mark.read > 0 {
            let first = self.at(0, KNOWN_BYTES)?;
            self.mark.head = known(first.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default());
            let last = self.before(self.mark.read)?;
            self.mark.last = known(&last);
            self.mark.stamp = self.latest()?;
        }
        Ok(())
    }

    /// The time of the last line that begins with one.
    fn latest(&self) -> io::Result<String> {
        let from = self.mark.read.saturating_sub(LINE_BYTES as u64);
        let piece = self.at(from, (self.mark.read - from) as usize)?;
        let mut lines = piece.split(|byte| *byte == b'\n').skip(usize::from(from > 0));
        Ok(lines.by_ref().filter_map(stamp).last().unwrap_or_default())
    }

    /// What stands from there on, up to so many bytes.
    pub fn at(&self, from: u64, bytes: usize) -> io::Result<Vec<u8>> {
        match &self.content {
            Content::Plain(file) => {
                let mut piece =
                    vec![0; bytes.min(usize::try_from(self.mark.bytes.saturating_sub(from)).unwrap_or(0))];
                let mut filled = 0;
                while filled < piece.len() {
                    match file.read_at(&mut piece[filled..], from + filled as u64) {
                        Ok(0) => break,
                        Ok(more) => filled += more,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
                piece.truncate(filled);
                Ok(piece)
            }
            Content::Unpacked(all) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
                Ok(all[from..from.saturating_add(bytes).min(all.len())].to_vec())
            }
            Content::Unopened => Ok(Vec::new()),
        }
    }

    /// The line that ends there, with its end; of a long one its last bytes.
    fn before(&self, end: u64) -> io::Result<Vec<u8>> {
        let from = end.saturating_sub(KNOWN_BYTES as u64);
        let piece = self.at(from, (end - from) as usize)?;
        let inner = &piece[..piece.len().saturating_sub(1)];
        let begin = inner.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        Ok(piece[begin..].to_vec())
    }

    /// Whether it begins with what was read up to that mark.
    pub fn holds(&self, mark: &Mark) -> io::Result<bool> {
        if mark.read == 0 || mark.read > self.mark.read || mark.head != self.mark.head {
            return Ok(false);
        }
        if mark.read == self.mark.read {
            return Ok(mark.last == self.mark.last);
        }
        let line = self.before(mark.read)?;
        Ok(line.last() == Some(&b'\n') && known(&line) == mark.last)
    }

    /// Each whole line from there on, with its end; long ones in pieces.
    pub fn each(&self, from: u64, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let (mut at, mut rest) = (from, Vec::new());
        while at < self.mark.read {
            let piece = self.at(at, LINE_BYTES.min((self.mark.read - at) as usize))?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            rest.extend(piece);
            let mut begin = 0;
            for line in rest.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
                tell(line);
                begin += line.len();
            }
            rest.drain(..begin);
            if rest.len() > LINE_BYTES {
                tell(&rest);
                rest.clear();
            }
        }
        Ok(())
    }

    /// The same as text without its end.
    pub fn lines(&self, from: u64, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.each(from, &mut |line| tell(String::from_utf8_lossy(line).trim_end()))
    }
}

/// As much as is there: a file may still be packed.
fn unpacked(file: File, path: &Path, packing: Packing) -> io::Result<Vec<u8>> {
    let mut source: Box<dyn Read> = match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(file).map_err(io::Error::other)?),
        Packing::Xz => {
            let exec = Exec::new("xz", ["--decompress", "--stdout", "--", &path.display().to_string()]);
            let ran = run(&exec.timeout(UNPACKING).output_bytes(UNPACKED_BYTES));
            return Ok(ran.map_err(|fault| io::Error::other(fault.text()))?.stdout);
        }
    };
    let (mut all, mut piece) = (Vec::new(), vec![0; LINE_BYTES]);
    while all.len() < UNPACKED_BYTES {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(more) => all.extend_from_slice(&piece[..more]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "a packed file of a record ends early");
                break;
            }
        }
    }
    Ok(all)
}
