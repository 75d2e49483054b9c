//! What is in a tar archive, as far as it may be unpacked. Reading it writes nothing.
//!
//! Refused as a whole: absolute paths, `..`, links out of the directory, paths through links, hard links, devices,
//! set-id bits, more entries or bytes than the limits.

use crate::host::Fault;
use serde::{Deserialize, Serialize};
use shared::digest::{Digest, Hasher};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use tar::EntryType;

/// Entries of one archive: larger trees are packages.
const ENTRIES: usize = 10_000;
/// Bytes of all files together, so that a small archive does not fill a disk.
const UNPACKED_BYTES: u64 = 4 << 30;
/// Bytes that are decompressed at all, headers and padding included.
const STREAM_BYTES: u64 = UNPACKED_BYTES + (64 << 20);
/// Bytes of a path within the archive; with its directory it must be one that a manifest could name.
const PATH_BYTES: usize = 255;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Sorted by path, so that a directory comes before what is in it.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Relative to the directory, without `.` and `..`.
    pub path: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    Directory { mode: u32 },
    File { mode: u32, length: u64, sha256: Digest },
    Link { target: String },
}

impl Entry {
    pub fn length(&self) -> u64 {
        if let Kind::File { length, .. } = self.kind { length } else { 0 }
    }
}

impl Listing {
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.path.as_str())
    }

    /// Whether no entry leads out of the directory.
    pub fn is_safe(&self) -> bool {
        self.entries.iter().all(|entry| clean(&entry.path).as_deref() == Some(entry.path.as_str()))
    }
}

fn bad(why: impl Into<String>) -> Fault {
    Fault::Refused(format!("the archive is not unpacked: {}", why.into()))
}

fn unreadable(error: &io::Error) -> Fault {
    bad(format!("it cannot be read: {error}"))
}

/// Normal names only, joined by `/`; `None` for what leads elsewhere or cannot be shown.
fn clean(path: &str) -> Option<String> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return None,
            name => names.push(name),
        }
    }
    let joined = names.join("/");
    let good = !path.starts_with('/')
        && !joined.is_empty()
        && joined.len() <= PATH_BYTES
        && !joined.chars().any(char::is_control);
    good.then_some(joined)
}

/// The tar stream, decompressed by what its first bytes say.
fn open(archive: &mut dyn Read) -> Result<tar::Archive<Box<dyn Read + '_>>, Fault> {
    let mut raw = BufReader::with_capacity(64 << 10, archive);
    let magic = raw.fill_buf().map_err(|e| unreadable(&e))?;
    let stream: Box<dyn Read + '_> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(raw))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let zstd = ruzstd::decoding::StreamingDecoder::new(raw);
        Box::new(zstd.map_err(|e| bad(format!("its compression cannot be read: {e}")))?)
    } else {
        Box::new(raw)
    };
    Ok(tar::Archive::new(Box::new(stream.take(STREAM_BYTES))))
}

/// The path below the directory; `None` for what `strip` takes off as a whole.
fn path_of<R: Read>(entry: &tar::Entry<'_, R>, strip: u32) -> Result<Option<String>, Fault> {
    let bytes = entry.path_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("it has a path that is no UTF-8 text"))?;
    let shown = shared::strict::shorten(text);
    if text.trim_start_matches("./").is_empty() || text == "." {
        return Ok(None);
    }
    let path = clean(text).ok_or_else(|| bad(format!("{shown:?} is no path that it may have")))?;
    let mut rest = path.as_str();
    for _ in 0..strip {
        let Some((_, below)) = rest.split_once('/') else { return Ok(None) };
        rest = below;
    }
    Ok(Some(rest.to_owned()))
}

/// Reads the whole archive.
///
/// # Errors
/// It is damaged, or one of its entries is refused.
pub fn read(archive: &mut dyn Read, strip: u32) -> Result<Listing, Fault> {
    let mut found: BTreeMap<String, Kind> = BTreeMap::new();
    let mut total = 0;
    let mut tar = open(archive)?;
    for entry in tar.entries().map_err(|e| unreadable(&e))? {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let Some(path) = path_of(&entry, strip)? else { continue };
        let kind = kind(&path, &mut entry, &mut total)?;
        let directory = matches!(kind, Kind::Directory { .. });
        let twice = found.insert(path.clone(), kind);
        if twice.is_some_and(|first| !directory || !matches!(first, Kind::Directory { .. })) {
            return Err(bad(format!("it has {path} twice")));
        }
        if found.len() > ENTRIES {
            return Err(bad(format!("it has more than {ENTRIES} entries")));
        }
    }
    if found.is_empty() {
        return Err(bad("nothing is in it"));
    }
    let listing = complete(found)?;
    check_links(&listing)?;
    Ok(listing)
}

fn kind<R: Read>(path: &str, entry: &mut tar::Entry<'_, R>, total: &mut u64) -> Result<Kind, Fault> {
    let mode = entry.header().mode().map_err(|e| unreadable(&e))?;
    match entry.header().entry_type() {
        EntryType::Directory => Ok(Kind::Directory { mode: mode & 0o777 }),
        EntryType::Regular | EntryType::Continuous => {
            if mode & 0o6000 != 0 {
                return Err(bad(format!("{path} has a set-id bit")));
            }
            *total += entry.size();
            if *total > UNPACKED_BYTES {
                return Err(bad(format!("it has more than {} GiB", UNPACKED_BYTES >> 30)));
            }
            let (length, sha256) = hash(entry).map_err(|e| unreadable(&e))?;
            if length != entry.size() {
                return Err(bad("it ends early"));
            }
            Ok(Kind::File { mode: mode & 0o777, length, sha256 })
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = std::str::from_utf8(&target).unwrap_or_default().to_owned();
            if stays_inside(path, &target) {
                return Ok(Kind::Link { target });
            }
            Err(bad(format!("the link {path} leads out of it, to {:?}", shared::strict::shorten(&target))))
        }
        other => Err(bad(format!("{path} is neither file, directory nor symbolic link ({other:?})"))),
    }
}

fn hash(from: &mut impl Read) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut length, mut piece) = (Hasher::default(), 0, vec![0; 64 << 10]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok((length, hasher.finish())),
            n => {
                length += n as u64;
                hasher.update(&piece[..n]);
            }
        }
    }
}

/// Whether a relative target, taken from the link's own directory, stays below the archive's.
fn stays_inside(path: &str, target: &str) -> bool {
    let good = !target.is_empty()
        && target.len() <= PATH_BYTES
        && !target.starts_with('/')
        && !target.chars().any(char::is_control);
    let mut depth = path.matches('/').count();
    good && target.split('/').all(|name| match name {
        "" | "." => true,
        ".." => {
            let above = depth.checked_sub(1);
            depth = above.unwrap_or_default();
            above.is_some()
        }
        _ => {
            depth += 1;
            true
        }
    })
}

/// Directories that only show in the paths of other entries are entries as well.
fn complete(mut found: BTreeMap<String, Kind>) -> Result<Listing, Fault> {
    let implied: BTreeSet<String> =
        found.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned())).collect();
    for path in implied {
        match found.entry(path).or_insert(Kind::Directory { mode: 0o755 }) {
            Kind::Directory { .. } => {}
            _ => return Err(bad("it has a path through a file or link of its own")),
        }
    }
    Ok(Listing { entries: found.into_iter().map(|(path, kind)| Entry { path, kind }).collect() })
}

/// A link to a directory link could lead further up than its own text says.
fn check_links(listing: &Listing) -> Result<(), Fault> {
    let links: BTreeSet<&str> = listing
        .entries
        .iter()
        .filter(|e| matches!(e.kind, Kind::Link { .. }))
        .map(|e| e.path.as_str())
        .collect();
    for entry in &listing.entries {
        let Kind::Link { target } = &entry.kind else { continue };
        let mut at: Vec<&str> = entry.path.split('/').collect();
        at.pop();
        let mut names = target.split('/').peekable();
        while let Some(name) = names.next() {
            match name {
                "" | "." => {}
                ".." => drop(at.pop()),
                name => at.push(name),
            }
            if names.peek().is_some() && links.contains(at.join("/").as_str()) {
                return Err(bad(format!("the link {} goes through another link", entry.path)));
            }
        }
    }
    Ok(())
}

/// Gives each file of the listing, in the order of the archive, to `act`.
///
/// # Errors
/// The archive's or those of `act`.
pub fn each_file(
    archive: &mut dyn Read,
    strip: u32,
    listing: &Listing,
    act: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let known: BTreeSet<&str> = listing.paths().collect();
    let mut tar = open(archive)?;
    for entry in tar.entries().map_err(|e| unreadable(&e))? {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        let file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        let path = if file { path_of(&entry, strip)? } else { None };
        if let Some(path) = path.filter(|path| known.contains(path.as_str())) {
            act(&path, &mut entry)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    enum What<'a> {
        File(&'a str),
        Dir,
        Link(&'a str),
        Hard(&'a str),
        Device,
        SetId,
    }

    /// A tar file with these entries; names are written as they are, as only a forger's tool does.
    fn tar(entries: &[(&str, What<'_>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, what) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o644);
            let (kind, body, link) = match what {
                What::File(body) => (EntryType::Regular, *body, ""),
                What::SetId => (EntryType::Regular, "x", ""),
                What::Dir => (EntryType::Directory, "", ""),
                What::Link(to) => (EntryType::Symlink, "", *to),
                What::Hard(to) => (EntryType::Link, "", *to),
                What::Device => (EntryType::Block, "", ""),
            };
            if matches!(what, What::SetId | What::Dir) {
                header.set_mode(0o4755);
            }
            header.set_entry_type(kind);
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn listed(bytes: &[u8], strip: u32) -> Result<Vec<String>, String> {
        let listing = read(&mut &bytes[..], strip).map_err(|fault| fault.text())?;
        assert!(listing.is_safe());
        let show = |entry: &Entry| match &entry.kind {
            Kind::Directory { mode } => format!("{}/ {mode:o}", entry.path),
            Kind::File { mode, length, .. } => format!("{} {mode:o} {length}", entry.path),
            Kind::Link { target } => format!("{} -> {target}", entry.path),
        };
        Ok(listing.entries.iter().map(show).collect())
    }

    #[test]
    fn entries_are_listed_with_the_directories_that_they_need() {
        let bytes = tar(&[
            ("./app-1/", What::Dir),
            ("app-1/bin/tool", What::File("hello")),
            ("app-1/current", What::Link("bin/../bin/tool")),
            ("README", What::File("")),
        ]);
        let all = [
            "README 644 0",
            "app-1/ 755",
            "app-1/bin/ 755",
            "app-1/bin/tool 644 5",
            "app-1/current -> bin/../bin/tool",
        ];
        assert_eq!(listed(&bytes, 0).unwrap(), all);
        assert_eq!(listed(&bytes, 1).unwrap(), ["bin/ 755", "bin/tool 644 5", "current -> bin/../bin/tool"]);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&bytes).unwrap();
        assert_eq!(listed(&gz.finish().unwrap(), 0).unwrap(), all);
        let zstd =
            ruzstd::encoding::compress_to_vec(bytes.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(listed(&zstd, 0).unwrap(), all);
        let listing = read(&mut &zstd[..], 1).unwrap();
        let mut seen = Vec::new();
        each_file(&mut &zstd[..], 1, &listing, &mut |path, content| {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            seen.push(format!("{path} {text}"));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["bin/tool hello"]);
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        for (entries, told) in [
            (vec![("/etc/passwd", What::File("x"))], "no path that it may have"),
            (vec![("../x", What::File("x"))], "no path that it may have"),
            (vec![("a/../../x", What::File("x"))], "no path that it may have"),
            (vec![("a\nb", What::File("x"))], "no path that it may have"),
            (vec![("a", What::Link("/etc"))], "leads out of it"),
            (vec![("a", What::Link("../x"))], "leads out of it"),
            (vec![("d/a", What::Link("../../x"))], "leads out of it"),
            (vec![("a", What::Link(""))], "leads out of it"),
            (vec![("a", What::Link("d")), ("a/x", What::File("x"))], "path through a file or link"),
            (vec![("a", What::File("d")), ("a/x", What::File("x"))], "path through a file or link"),
            (vec![("d/e/l", What::Link("../..")), ("m", What::Link("d/e/l/../x"))], "through another link"),
            (vec![("a", What::Hard("/etc/shadow"))], "neither file, directory nor"),
            (vec![("a", What::Device)], "neither file, directory nor"),
            (vec![("a", What::SetId)], "set-id bit"),
            (vec![("a", What::File("1")), ("./a", What::File("2"))], "it has a twice"),
            (vec![], "nothing is in it"),
            (vec![("./", What::Dir)], "nothing is in it"),
        ] {
            let refused = listed(&tar(&entries), 0).unwrap_err();
            assert!(refused.contains(told), "{told}: {refused}");
        }
    }

    #[test]
    fn damaged_and_too_large_archives_are_refused() {
        let many: Vec<String> = (0..=ENTRIES).map(|n| format!("f{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), What::File(""))).collect();
        assert!(listed(&tar(&many), 0).unwrap_err().contains("more than 10000 entries"));
        let mut header = tar::Header::new_gnu();
        header.set_path("huge").unwrap();
        header.set_mode(0o644);
        header.set_size(UNPACKED_BYTES + 1);
        header.set_cksum();
        assert!(listed(header.as_bytes(), 0).unwrap_err().contains("more than 4 GiB"));
        let whole = tar(&[("a", What::File(&"x".repeat(2_000)))]);
        assert!(listed(&whole[..1_500], 0).is_err());
        for bytes in
            [&b""[..], b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"no tar at all, but long enough to look at"]
        {
            assert!(listed(bytes, 0).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_mutated_archive_panics_or_leads_out(edits in proptest::collection::vec((0usize..3000, 0u8..255), 1..8)) {
            let mut bytes = tar(&[("d/a", What::File("x")), ("d/l", What::Link("a")), ("e", What::Dir)]);
            for (at, byte) in edits {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(listing) = read(&mut &bytes[..], 0) {
                proptest::prop_assert!(listing.is_safe());
            }
        }
    }
}
