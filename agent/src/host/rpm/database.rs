//! Reading rpm's database: what is installed, what it is called here, and what its files are.

use super::place::{LOOK, NAMES, Place};
use crate::host::packages::{Conffile, Sum};
use crate::host::process::Exec;
use crate::host::{Fault, packages};
use shared::version::Order;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// What [`rows`] reads.
const QUERY: &str = "%{NAME}\\t%{ARCH}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{SOURCERPM}\\t%{INSTALLTIME}\\t%{SIZE}\\t%{VENDOR}\\n";

/// What packages provide of which several versions are installed beside each other.
const BESIDE: [&str; 4] =
    ["installonlypkg(kernel)", "installonlypkg(kernel-module)", "installonlypkg(vm)", "multiversion(kernel)"];

/// One package in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub arch: String,
    /// `[epoch:]version-release`; no epoch is as 0, and is not written.
    pub evr: String,
    pub source: String,
    /// Seconds since 1970 by the host's clock.
    pub installed_at: i64,
    pub bytes: u64,
    /// Empty when it names none.
    pub vendor: String,
}

/// A row and what the agent calls it: the name, with `:arch` when the machine is of another one; an older version
/// beside a newer one (kernels) is called by name, version and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub called: String,
    pub row: Row,
    pub older: bool,
    /// Other versions that are registered and should have gone: an earlier run broke off in between.
    pub doubles: Vec<Row>,
}

/// Splits an epoch of 0 off.
pub fn evr(text: &str) -> &str {
    text.strip_prefix("0:").unwrap_or(text)
}

/// All packages but keys, sorted by what they are called.
pub fn entries(place: &Place, native: &str) -> Result<Vec<Entry>, Fault> {
    let ran = place.exec(place.rpm(["-qa", "--qf", QUERY]))?;
    let text = ran.success("rpm -qa").map_err(unreadable)?.stdout;
    let rows = rows(&String::from_utf8_lossy(&text)).map_err(Fault::Refused)?;
    let mut slots: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        slots.entry(slot(&row.name, &row.arch, native)).or_default().push(row);
    }
    let beside = if slots.values().any(|rows| rows.len() > 1) { beside(place)? } else { BTreeSet::new() };
    let mut all = Vec::new();
    for (slot, rows) in slots {
        all.extend(called(&slot, rows, &beside, native));
    }
    all.sort_by(|a, b| a.called.cmp(&b.called));
    Ok(all)
}

/// A database that cannot be read is a person's matter: rebuilding it may lose what is damaged.
fn unreadable(fault: Fault) -> Fault {
    Fault::Refused(format!(
        "the rpm database cannot be read: {}; look at it, save it, and try rpm --rebuilddb",
        fault.text()
    ))
}

pub(crate) fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut all = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, arch, version, source, time, size, vendor] = fields[..] else {
            return Err(format!("rpm printed {:?}", shared::strict::shorten(line)));
        };
        // Keys are registered as packages.
        if name == "gpg-pubkey" {
            continue;
        }
        all.push(Row {
            name: name.to_owned(),
            arch: arch.to_owned(),
            evr: evr(version).to_owned(),
            source: source.to_owned(),
            installed_at: time.parse().unwrap_or_default(),
            bytes: size.parse().unwrap_or_default(),
            vendor: if vendor == "(none)" { String::new() } else { vendor.to_owned() },
        });
    }
    Ok(all)
}

/// What a package of this name and architecture is called.
pub fn slot(name: &str, arch: &str, native: &str) -> String {
    if arch == "noarch" || arch == native { name.to_owned() } else { format!("{name}:{arch}") }
}

/// The name without `:arch`, and the architecture if it is given.
pub fn split(called: &str) -> (&str, Option<&str>) {
    called.split_once(':').map_or((called, None), |(name, arch)| (name, Some(arch)))
}

/// How rpm wants a package named.
pub fn spec(called: &str) -> String {
    called.replace(':', ".")
}

pub(crate) fn called(slot: &str, mut rows: Vec<Row>, beside: &BTreeSet<String>, native: &str) -> Vec<Entry> {
    let entry =
        |called: &str, row, older| Entry { called: called.to_owned(), row, older, doubles: Vec::new() };
    let by_version = |a: &Row, b: &Row| Order::Rpm.compare(&a.evr, &b.evr).unwrap_or(Ordering::Equal);
    if rows.iter().all(|row| beside.contains(&row.name)) {
        rows.sort_by(by_version);
        let newest = rows.pop();
        let older = rows.into_iter().map(|row| {
            let plain = row.evr.split_once(':').map_or(row.evr.as_str(), |(_, plain)| plain);
            entry(&slot_of_version(&row, plain, native), row, true)
        });
        return older.chain(newest.map(|row| entry(slot, row, false))).collect();
    }
    // What came last is what the run was about.
    rows.sort_by(|a, b| a.installed_at.cmp(&b.installed_at).then_with(|| by_version(a, b)));
    let last = rows.pop();
    last.map(|row| Entry { doubles: rows, ..entry(slot, row, false) }).into_iter().collect()
}

fn slot_of_version(row: &Row, plain: &str, native: &str) -> String {
    slot(&format!("{}-{plain}", row.name), &row.arch, native)
}

/// Names of installed packages of which versions live beside each other.
fn beside(place: &Place) -> Result<BTreeSet<String>, Fault> {
    let arguments = ["-q", "--qf", "\\t%{NAME}\\n", "--whatprovides"].into_iter().chain(BESIDE);
    let (_, text) = place.text(place.rpm(arguments))?;
    // What nobody provides is told in a sentence.
    Ok(text.lines().filter_map(|line| line.strip_prefix('\t')).map(str::to_owned).collect())
}

/// `name-version-release.src.rpm` as name and version.
pub fn source(file: &str) -> Option<(&str, String)> {
    let stem = file.strip_suffix(".rpm")?.rsplit_once('.')?.0;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name, format!("{version}-{release}")))
}

/// Whether the package brings the file at `path`.
pub fn ships(place: &Place, package: &str, path: &str) -> Result<bool, Fault> {
    let (_, text) = place.text(place.rpm(["-ql".to_owned(), spec(package)]))?;
    Ok(text.lines().any(|line| packages::same_path(line, path)))
}

/// Bits of FILEFLAGS (rpmfiles.h): configuration, and files that packages only own.
const CONFIG: u32 = 1;
const GHOST: u32 = 1 << 6;

/// Configuration files of installed packages.
pub fn conffiles(place: &Place, called: &[&str]) -> Result<Vec<Conffile>, Fault> {
    const FILES: &str = "[%{=NAME}\\t%{=FILEDIGESTALGO}\\t%{FILEFLAGS}\\t%{FILEDIGESTS}\\t%{FILENAMES}\\n]";
    let mut all = Vec::new();
    for called in called.chunks(NAMES) {
        let specs = called.iter().map(|name| spec(name));
        let arguments = ["-q", "--qf", FILES].map(str::to_owned).into_iter().chain(specs);
        let (_, text) = place.text(place.rpm(arguments))?;
        all.extend(text.lines().filter_map(conffile));
    }
    Ok(all)
}

pub(crate) fn conffile(line: &str) -> Option<Conffile> {
    let fields: Vec<&str> = line.splitn(5, '\t').collect();
    let [name, algorithm, flags, digest, path] = fields[..] else { return None };
    let flags: u32 = flags.parse().ok()?;
    if flags & CONFIG == 0 || flags & GHOST != 0 || digest.is_empty() {
        return None;
    }
    let digest = digest.to_owned();
    // Numbers of RFC 9580, section 9.5; none is MD5.
    let sum = match algorithm {
        "8" => Sum::Sha256(digest),
        "10" => Sum::Sha512(digest),
        _ => Sum::Md5(digest),
    };
    Some(Conffile { package: name.to_owned(), path: path.to_owned(), sum })
}

/// Files of a package, besides configuration, that are not as it brought them.
pub fn damaged(place: &Place, called: &str) -> Result<Vec<String>, Fault> {
    let (_, text) = place.text(place.rpm(["-V", "--nodeps", "--noscripts", &spec(called)]))?;
    Ok(text.lines().filter_map(damage).map(str::to_owned).collect())
}

/// Lines: `S.5....T.  c /path`, `missing     /path`; a letter names the kind of the file.
pub(crate) fn damage(line: &str) -> Option<&str> {
    let (marks, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let (kind, path) = if rest.starts_with('/') { ("", rest) } else { rest.split_once(' ')? };
    let bad = marks == "missing" || marks.contains('5') || marks.contains('L');
    (bad && !matches!(kind, "c" | "g" | "d")).then(|| path.trim())
}

/// What the dependencies of these packages lack, as they are installed now.
pub fn unsatisfied(place: &Place, called: &[&str]) -> Result<Option<String>, Fault> {
    for called in called.chunks(NAMES) {
        let specs = called.iter().map(|name| spec(name));
        let arguments = ["-V", "--nofiles", "--noscripts"].map(str::to_owned).into_iter().chain(specs);
        let (_, text) = place.text(place.rpm(arguments))?;
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| line.contains(" is needed by ")).collect();
        if !lines.is_empty() {
            return Ok(Some(lines.into_iter().take(3).collect::<Vec<_>>().join("; ")));
        }
    }
    Ok(None)
}

/// Bytes that the package in a file needs on the disk.
pub fn size_of_file(place: &Place, file: &std::path::Path) -> Result<u64, Fault> {
    let arguments = ["-qp".to_owned(), "--qf".into(), "%{SIZE}".into(), file.display().to_string()];
    let ran = place.exec(Exec::new("rpm", arguments).timeout(LOOK))?.success("rpm -qp")?;
    Ok(String::from_utf8_lossy(&ran.stdout).trim().parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, arch: &str, evr: &str, at: i64) -> Row {
        let text = |t: &str| t.to_owned();
        Row {
            name: text(name),
            arch: text(arch),
            evr: text(evr),
            source: text(""),
            installed_at: at,
            bytes: 0,
            vendor: text(""),
        }
    }

    #[test]
    fn lines_of_the_database() {
        let text = "bash\tx86_64\t5.2-1\tbash-5.2-1.src.rpm\t1700000000\t900\tLab\ngpg-pubkey\t(none)\ta-b\t(none)\t1\t0\t(none)\nlib\tnoarch\t0:1-1\t(none)\t5\t1\t(none)\n";
        let all = rows(text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].bytes, all[0].installed_at, all[1].evr.as_str()), (900, 1_700_000_000, "1-1"));
        assert_eq!((all[0].vendor.as_str(), all[1].vendor.as_str()), ("Lab", ""));
        assert!(rows("bash\n").is_err());
        assert_eq!(source("python3-a-b-1.0-2.el9.src.rpm"), Some(("python3-a-b", "1.0-2.el9".to_owned())));
        assert_eq!(source("(none)"), None);
    }

    #[test]
    fn several_versions_are_kernels_or_a_broken_run() {
        let beside = BTreeSet::from(["kernel-core".to_owned()]);
        let show = |slot: &str, rows| -> Vec<String> {
            let all = called(slot, rows, &beside, "x86_64");
            all.iter()
                .map(|e| format!("{} {} {} {}", e.called, e.row.evr, e.older, e.doubles.len()))
                .collect()
        };
        let kernels =
            vec![row("kernel-core", "x86_64", "6.1-10", 3), row("kernel-core", "x86_64", "6.1-9", 9)];
        assert_eq!(
            show("kernel-core", kernels),
            ["kernel-core-6.1-9 6.1-9 true 0", "kernel-core 6.1-10 false 0"]
        );
        let broken = vec![row("app", "noarch", "2-1", 9), row("app", "noarch", "1-1", 3)];
        assert_eq!(show("app", broken), ["app 2-1 false 1"]);
        assert_eq!(show("app", vec![row("app", "noarch", "1-1", 3)]), ["app 1-1 false 0"]);
        assert_eq!(slot("glibc", "i686", "x86_64"), "glibc:i686");
        assert_eq!(
            (split("glibc:i686"), spec("glibc:i686")),
            (("glibc", Some("i686")), "glibc.i686".to_owned())
        );
    }

    #[test]
    fn damage_is_told_without_what_people_may_change() {
        let lines = "S.5....T.    /usr/bin/a b\n.......T.    /usr/bin/x\nS.5....T.  c /etc/a\nmissing     /usr/lib/l\nmissing   g /run/x\n....L....    /usr/lib/s\nUnsatisfied dependencies for a-1-1.noarch:\n";
        let found: Vec<&str> = lines.lines().filter_map(damage).collect();
        assert_eq!(found, ["/usr/bin/a b", "/usr/lib/l", "/usr/lib/s"]);
    }

    #[test]
    fn configuration_files_have_the_digest_of_their_database() {
        let one = |text: &str| conffile(text).map(|c| (c.path, c.sum));
        assert_eq!(one("a\t8\t17\tab\t/etc/a"), Some(("/etc/a".into(), Sum::Sha256("ab".into()))));
        assert_eq!(one("a\t(none)\t1\tab\t/etc/a"), Some(("/etc/a".into(), Sum::Md5("ab".into()))));
        for none in ["a\t8\t0\tab\t/usr/a", "a\t8\t65\tab\t/etc/a", "a\t8\t1\t\t/etc/a.d", "no package"] {
            assert_eq!(one(none), None, "{none}");
        }
    }
}
