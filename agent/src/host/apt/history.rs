//! What dpkg wrote down of its work, and what apt wrote down of whose wish it was.
//!
//! The record is followed by file and offset through rotations; when the file was compressed or is gone, by the times
//! of its entries. Never: a judgement of what was done.

use super::parse::called;
use crate::host::Fault;
use crate::host::packages::{Cause, PackageEvent, Place};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Rotated records that are looked for: a year, as Debian keeps them.
const ROTATIONS: usize = 13;
/// Bytes of one line; longer ones are no entries of dpkg.
const LINE_BYTES: u64 = 16 << 10;
/// Transactions of apt are looked up in so much of its record.
const APT_BYTES: u64 = 32 << 20;

/// Reads on from `since` in the directory of logs of a machine of the `native` architecture.
pub fn read(logs: &Path, native: &str, since: Option<&Place>) -> Result<(Vec<PackageEvent>, Place), Fault> {
    let fail = |e| Fault::io("read the record of dpkg")(e);
    let mut reader = Reader { native, ..Reader::default() };
    let files = rotations(&logs.join("dpkg.log")).map_err(fail)?;
    let known = since.and_then(|place| {
        let holds =
            |file: &&Rotated| !file.packed && file.inode == place.inode && file.length >= place.offset;
        files.iter().position(|file| holds(&file)).map(|at| (at, place))
    });
    match (known, since) {
        (Some((at, place)), _) => {
            (reader.last, reader.same) = (place.last.clone(), place.same);
            for (number, file) in files.iter().enumerate().take(at + 1).rev() {
                reader.file(file, if number == at { place.offset } else { 0 }, None).map_err(fail)?;
            }
        }
        (None, Some(place)) => {
            let mut skip = place.same;
            for file in files.iter().rev() {
                reader.file(file, 0, Some((&place.last, &mut skip))).map_err(fail)?;
            }
            if reader.last.is_empty() {
                (reader.last, reader.same) = (place.last.clone(), place.same);
            }
        }
        (None, None) => {
            if let Some(newest) = files.first() {
                reader.file(newest, 0, None).map_err(fail)?;
            }
            reader.events.clear();
        }
    }
    let mut events = reader.events;
    if !events.is_empty() {
        explain(&mut events, &transactions(&logs.join("apt/history.log"), native).map_err(fail)?);
    }
    let place = Place { inode: reader.inode, offset: reader.offset, last: reader.last, same: reader.same };
    // Without any record there is nothing to be remembered but where we were.
    Ok((events, if files.is_empty() { since.cloned().unwrap_or_default() } else { place }))
}

/// One file of a record.
struct Rotated {
    path: PathBuf,
    inode: u64,
    length: u64,
    packed: bool,
}

/// The newest first.
fn rotations(newest: &Path) -> io::Result<Vec<Rotated>> {
    let mut all = Vec::new();
    for number in 0..ROTATIONS {
        let plain = match number {
            0 => newest.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", newest.display())),
        };
        let packed = PathBuf::from(format!("{}.gz", plain.display()));
        for (path, packed) in [(plain, false), (packed, true)] {
            match path.metadata() {
                Ok(meta) if meta.is_file() => {
                    all.push(Rotated { path, inode: meta.ino(), length: meta.len(), packed });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(all)
}

fn open(file: &Rotated, from: u64) -> io::Result<Box<dyn Read>> {
    let mut bytes = File::open(&file.path)?;
    if file.packed {
        return Ok(Box::new(GzDecoder::new(bytes)));
    }
    bytes.seek(SeekFrom::Start(from))?;
    Ok(Box::new(bytes))
}

#[derive(Default)]
struct Reader<'a> {
    native: &'a str,
    events: Vec<PackageEvent>,
    inode: u64,
    offset: u64,
    last: String,
    same: u32,
}

impl Reader<'_> {
    /// Reads whole lines from `from` on; `after` leaves out entries up to that time, and so many of that very time.
    fn file(&mut self, file: &Rotated, from: u64, mut after: Option<(&str, &mut u32)>) -> io::Result<()> {
        (self.inode, self.offset) = (file.inode, from);
        let mut lines = BufReader::new(open(file, from)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut lines).take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if length == 0 || (line.last() != Some(&b'\n') && (length as u64) < LINE_BYTES) {
                // What is not ended yet is read the next time.
                return Ok(());
            }
            self.offset += length as u64;
            let text = String::from_utf8_lossy(&line);
            let Some((when, event)) = entry(text.trim_end(), self.native) else { continue };
            if let Some((last, skip)) = &mut after {
                match when.as_str().cmp(last) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal if **skip > 0 => {
                        **skip -= 1;
                        continue;
                    }
                    _ => {}
                }
            }
            self.same = if self.last == when { self.same.saturating_add(1) } else { 1 };
            self.last = when;
            self.events.push(event);
        }
    }
}

/// `2026-11-20 17:00:00 upgrade curl:amd64 7.88.1-10 7.88.1-11`, when it changes which version is there.
pub(crate) fn entry(line: &str, native: &str) -> Option<(String, PackageEvent)> {
    let mut words = line.split(' ');
    let (date, time, verb) = (words.next()?, words.next()?, words.next()?);
    let (package, from, to) = (words.next()?, words.next()?, words.next()?);
    if !matches!(verb, "install" | "upgrade" | "remove") || words.next().is_some() {
        return None;
    }
    let version = |text: &str| (text != "<none>").then(|| text.to_owned());
    let name = name(package, native);
    let when = format!("{date} {time}");
    let (from, to) = (version(from), version(to));
    Some((when.clone(), PackageEvent { when, name, from, to, cause: None }))
}

/// As pins name it: dpkg and apt write the architecture of each package, an old dpkg that of none.
fn name(package: &str, native: &str) -> String {
    let (name, arch) = package.split_once(':').unwrap_or((package, native));
    called(name, arch, native)
}

/// One transaction of apt with the packages that it names.
pub(crate) struct Told {
    cause: Cause,
    until: String,
    packages: Vec<String>,
}

/// The newest records of apt; what is older than a rotation explains nothing that is still unread.
fn transactions(newest: &Path, native: &str) -> io::Result<Vec<Told>> {
    let mut all = Vec::new();
    for file in rotations(newest)?.iter().take(3).rev() {
        let mut text = String::new();
        // Bytes that are not text end the reading of this file, not of the others.
        if open(file, 0)?.take(APT_BYTES).read_to_string(&mut text).is_ok() {
            all.extend(text.split("\n\n").filter_map(|block| told(block, native)));
        }
    }
    Ok(all)
}

pub(crate) fn told(block: &str, native: &str) -> Option<Told> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let moment = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let began = moment(field("Start-Date")?);
    let lists = ["Install", "Upgrade", "Downgrade", "Remove", "Purge", "Reinstall"];
    let packages = lists.iter().filter_map(|name| field(name)).flat_map(|list| {
        // `curl:amd64 (7.88.1-10, 7.88.1-11), wget:amd64 (1.21, automatic)`
        list.split("), ").filter_map(|one| Some(name(one.split_once(" (")?.0, native)))
    });
    Some(Told {
        until: field("End-Date").map_or_else(|| "9999".into(), moment),
        packages: packages.collect(),
        cause: Cause {
            began,
            command: field("Commandline").unwrap_or_default().to_owned(),
            by: field("Requested-By").unwrap_or_default().to_owned(),
        },
    })
}

pub(crate) fn explain(events: &mut [PackageEvent], all: &[Told]) {
    for event in events {
        let fits = |told: &&Told| {
            told.cause.began <= event.when && event.when <= told.until && told.packages.contains(&event.name)
        };
        event.cause = all.iter().rev().find(fits).map(|told| told.cause.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    const ONE: &str = "2026-11-20 17:00:00 startup archives unpack\n\
        2026-11-20 17:00:00 install alpha:all <none> 1.0\n2026-11-20 17:00:00 status half-installed alpha:all 1.0\n";
    const TWO: &str =
        "2026-11-20 17:00:00 upgrade beta:amd64 1.0 1.1\n2026-11-21 08:00:00 remove alpha:all 1.0 <none>\n";
    const THREE: &str = "2026-11-22 08:00:00 upgrade beta:amd64 1.1 1.0\n";

    fn names(events: &[PackageEvent]) -> Vec<String> {
        let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".into());
        events.iter().map(|e| format!("{} {} {}", e.name, version(&e.from), version(&e.to))).collect()
    }

    fn append(path: &Path, text: &str) {
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    #[test]
    fn each_entry_is_read_once_however_the_record_is_rotated() {
        // 0: stays; 1: renamed; 2: renamed and begun anew; 3: compressed; 4: renamed twice, compressed once
        for rotation in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("dpkg.log");
            let older = |number: u32| dir.path().join(format!("dpkg.log.{number}"));
            let pack = |from: &Path| {
                let file = File::create(format!("{}.gz", from.display())).unwrap();
                let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                packer.write_all(&fs::read(from).unwrap()).unwrap();
                packer.finish().unwrap();
                fs::remove_file(from).unwrap();
            };
            append(&log, "2026-11-01 00:00:00 install old:all <none> 1\n");
            let (events, place) = read(dir.path(), "amd64", None).unwrap();
            assert_eq!(events, [], "what was before is nobody's matter");
            append(&log, ONE);
            let (events, place) = read(dir.path(), "amd64", Some(&place)).unwrap();
            assert_eq!(names(&events), ["alpha - 1.0"]);
            append(&log, TWO);
            match rotation {
                0 => {}
                1 => fs::rename(&log, older(1)).unwrap(),
                2 => {
                    fs::rename(&log, older(1)).unwrap();
                    append(&log, "");
                }
                3 => {
                    fs::rename(&log, older(1)).unwrap();
                    pack(&older(1));
                }
                _ => {
                    fs::rename(&log, older(2)).unwrap();
                    pack(&older(2));
                    append(&older(1), "");
                }
            }
            let (events, place) = read(dir.path(), "amd64", Some(&place)).unwrap();
            assert_eq!(names(&events), ["beta 1.0 1.1", "alpha 1.0 -"], "rotation {rotation}");
            assert_eq!(read(dir.path(), "amd64", Some(&place)).unwrap().0, [], "rotation {rotation}");
            append(&log, THREE);
            let (events, place) = read(dir.path(), "amd64", Some(&place)).unwrap();
            assert_eq!(names(&events), ["beta 1.1 1.0"], "rotation {rotation}");
            assert_eq!(read(dir.path(), "amd64", Some(&place)).unwrap().0, [], "rotation {rotation}");
        }
    }

    #[test]
    fn an_entry_that_is_being_written_is_read_when_it_is_whole_and_garbage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("dpkg.log");
        append(&log, "");
        let (_, place) = read(dir.path(), "amd64", None).unwrap();
        append(&log, "\u{0}\u{1} garbage\n2026-11-20 17:00:00 install alp");
        let (events, place) = read(dir.path(), "amd64", Some(&place)).unwrap();
        assert_eq!(events, []);
        append(&log, "ha:all <none> 1.0\n");
        append(&log, &format!("{}\n2026-11-20 17:00:01 install beta <none> 2\n", "x".repeat(40_000)));
        let (events, _) = read(dir.path(), "amd64", Some(&place)).unwrap();
        assert_eq!(names(&events), ["alpha - 1.0", "beta - 2"]);
    }

    #[test]
    fn a_host_without_a_record_has_no_history() {
        let dir = tempfile::tempdir().unwrap();
        let (events, place) = read(dir.path(), "amd64", None).unwrap();
        assert_eq!((events, place), (vec![], Place::default()));
    }

    #[test]
    fn packages_of_two_architectures_are_told_apart_as_pins_name_them() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("dpkg.log"), "");
        let (_, place) = read(dir.path(), "amd64", None).unwrap();
        append(
            &dir.path().join("dpkg.log"),
            "2026-11-20 17:00:00 install libc6:i386 <none> 2.36\n2026-11-20 17:00:00 upgrade libc6:amd64 2.35 2.36\n\
             2026-11-20 17:00:00 install data:all <none> 1\n2026-11-20 17:00:00 remove old 1 <none>\n",
        );
        fs::create_dir(dir.path().join("apt")).unwrap();
        append(
            &dir.path().join("apt/history.log"),
            "\nStart-Date: 2026-11-20  16:59:58\nCommandline: apt-get install libc6:i386\n\
             Install: libc6:i386 (2.36), data:amd64 (1, automatic)\nEnd-Date: 2026-11-20  17:00:01\n\n",
        );
        let (events, _) = read(dir.path(), "amd64", Some(&place)).unwrap();
        assert_eq!(names(&events), ["libc6:i386 - 2.36", "libc6 2.35 2.36", "data - 1", "old 1 -"]);
        let explained: Vec<bool> = events.iter().map(|event| event.cause.is_some()).collect();
        assert_eq!(explained, [true, false, true, false]);
    }

    #[test]
    fn apt_knows_whose_wish_it_was() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("dpkg.log"), "");
        let (_, place) = read(dir.path(), "amd64", None).unwrap();
        fs::create_dir(dir.path().join("apt")).unwrap();
        append(
            &dir.path().join("apt/history.log"),
            "\nStart-Date: 2026-11-20  16:59:58\nCommandline: apt-get install alpha\nRequested-By: app (1001)\n\
             Install: alpha:amd64 (1.0), gamma:amd64 (2.0, automatic)\nEnd-Date: 2026-11-20  17:00:01\n\n\
             Start-Date: 2026-11-21  07:59:00\nCommandline: /usr/bin/unattended-upgrade\nUpgrade: zeta:amd64 (1, 2)\n\
             End-Date: 2026-11-21  08:00:00\n",
        );
        append(&dir.path().join("dpkg.log"), &format!("{ONE}{TWO}"));
        let (events, _) = read(dir.path(), "amd64", Some(&place)).unwrap();
        let causes: Vec<_> =
            events.iter().map(|e| e.cause.as_ref().map(|c| (c.command.as_str(), c.by.as_str()))).collect();
        assert_eq!(causes, [Some(("apt-get install alpha", "app (1001)")), None, None]);
    }
}
