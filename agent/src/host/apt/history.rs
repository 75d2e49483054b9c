//! What dpkg wrote down of its work, and what apt wrote down of whose wish it was.
//!
//! Never: a judgement of what was done.

use super::parse::called;
use crate::host::packages::{Cause, PackageEvent, Place};
use crate::host::{Fault, record};
use std::path::Path;

/// Transactions of apt are looked up in so many files of its record, and so much of each: what is older explains
/// nothing that is still unread.
const APT_FILES: usize = 3;
const APT_BYTES: usize = 32 << 20;

/// Reads on from `since` in the directory of logs of a machine of the `native` architecture.
pub fn read(logs: &Path, native: &str, since: Option<&Place>) -> Result<(Vec<PackageEvent>, Place), Fault> {
    let fail = |e| Fault::io("read the record of dpkg")(e);
    let marks = since.and_then(|place| place.record.as_deref());
    let mut events = Vec::new();
    let marks = record::read(&logs.join("dpkg.log"), marks, &mut |line| events.extend(entry(line, native)))
        .map_err(fail)?;
    if !events.is_empty() {
        let texts = record::texts(&logs.join("apt/history.log"), APT_FILES, APT_BYTES).map_err(fail)?;
        let blocks = texts.iter().flat_map(|text| text.split("\n\n"));
        explain(&mut events, &blocks.filter_map(|block| told(block, native)).collect::<Vec<_>>());
    }
    Ok((events, Place { record: Some(marks), ..Place::default() }))
}

/// `2026-11-20 17:00:00 upgrade curl:amd64 7.88.1-10 7.88.1-11`, when it changes which version is there.
pub(crate) fn entry(line: &str, native: &str) -> Option<PackageEvent> {
    let mut words = line.split(' ');
    let (date, time, verb) = (words.next()?, words.next()?, words.next()?);
    let (package, from, to) = (words.next()?, words.next()?, words.next()?);
    if !matches!(verb, "install" | "upgrade" | "remove") || words.next().is_some() {
        return None;
    }
    let version = |text: &str| (text != "<none>").then(|| text.to_owned());
    let name = name(package, native);
    let (when, from, to) = (format!("{date} {time}"), version(from), version(to));
    Some(PackageEvent { when, name, from, to, cause: None })
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
    fn a_host_without_a_record_has_no_history_until_it_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let (events, place) = read(dir.path(), "amd64", None).unwrap();
        assert_eq!((events, place.record.as_deref()), (vec![], Some(&[][..])));
        append(&dir.path().join("dpkg.log"), ONE);
        let (events, _) = read(dir.path(), "amd64", Some(&place)).unwrap();
        assert_eq!(names(&events), ["alpha - 1.0"]);
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
