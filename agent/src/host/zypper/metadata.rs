//! Lists of repositories (rpm-md) as zypper keeps them, after it has verified them: names, digests, advisories.

use super::answer::{Repository, append, attributes};
use crate::host::Fault;
use crate::host::rpm::database::evr;
use crate::host::rpm::offers::{Advisory, Catalogue, Fixed, Listed};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Lists of the largest distributions have some 300 MB; one that unpacks to more is refused.
const LIST_BYTES: u64 = 4 << 30;

/// Adds what a repository says of these packages.
///
/// # Errors
/// A list is missing or damaged; the message names it.
pub fn read(
    raw: &Path,
    repository: &Repository,
    names: &[&str],
    catalogue: &mut Catalogue,
) -> Result<(), Fault> {
    let index = raw.join("repodata/repomd.xml");
    let bad = |path: &Path, why: String| {
        Fault::Refused(format!("the list {} cannot be used: {why}", path.display()))
    };
    if !index.is_file() {
        return Err(bad(&index, "there is none; the repository was not refreshed".into()));
    }
    let places = walk(&index, Places::default()).map_err(|why| bad(&index, why))?.0;
    let names: BTreeSet<&str> = names.iter().copied().collect();
    if let Some(place) = places.get("primary") {
        let path = raw.join(place);
        let packages = Packages { names: &names, repository, found: Vec::new(), now: None };
        catalogue.packages.extend(walk(&path, packages).map_err(|why| bad(&path, why))?.found);
    }
    if let Some(place) = places.get("updateinfo") {
        let path = raw.join(place);
        let advisories = Advisories { names: &names, found: Vec::new() };
        catalogue.advisories.extend(walk(&path, advisories).map_err(|why| bad(&path, why))?.found);
    }
    Ok(())
}

/// Elements whose attributes matter; lists have millions of others.
const ATTRIBUTED: [&[u8]; 7] =
    [b"data", b"location", b"package", b"version", b"size", b"checksum", b"update"];

/// Whoever listens to the elements of a list.
trait Listener {
    fn starts(&mut self, name: &str, attributes: &BTreeMap<String, String>);
    fn ends(&mut self, name: &str, text: &str);
}

fn walk<L: Listener>(path: &Path, listener: L) -> Result<L, String> {
    listen(unpacked(path)?, listener)
}

fn listen<L: Listener>(list: impl BufRead, mut listener: L) -> Result<L, String> {
    let mut reader = Reader::from_reader(list);
    let (mut buffer, mut text) = (Vec::new(), String::new());
    let mut depth = 0_usize;
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|e| e.to_string())?;
        if append(&event, &mut text)? {
            continue;
        }
        let name = |tag: &BytesStart<'_>| String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
        match &event {
            Event::Start(tag) => {
                listener.starts(&name(tag), &attributed(tag)?);
                depth += 1;
                text.clear();
            }
            Event::Empty(tag) => {
                listener.starts(&name(tag), &attributed(tag)?);
                listener.ends(&name(tag), "");
            }
            Event::End(tag) => {
                listener.ends(&String::from_utf8_lossy(tag.local_name().as_ref()), text.trim());
                depth = depth.saturating_sub(1);
                text.clear();
            }
            Event::Eof if depth == 0 => return Ok(listener),
            Event::Eof => return Err("it was cut off".into()),
            _ => {}
        }
    }
}

fn attributed(tag: &BytesStart<'_>) -> Result<BTreeMap<String, String>, String> {
    if ATTRIBUTED.contains(&tag.local_name().as_ref()) { attributes(tag) } else { Ok(BTreeMap::new()) }
}

fn unpacked(path: &Path) -> Result<Box<dyn BufRead>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    Ok(match extension {
        "xml" => Box::new(BufReader::new(file.take(LIST_BYTES))),
        "gz" => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file).take(LIST_BYTES))),
        "zst" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(|e| e.to_string())?;
            Box::new(BufReader::new(decoder.take(LIST_BYTES)))
        }
        other => return Err(format!("lists packed with {other} are not read; gz and zst are")),
    })
}

/// The index: where the lists are, by their kind.
#[derive(Default)]
struct Places(BTreeMap<String, String>, String);

impl Listener for Places {
    fn starts(&mut self, name: &str, attributes: &BTreeMap<String, String>) {
        match name {
            "data" => self.1 = attributes.get("type").cloned().unwrap_or_default(),
            "location" => {
                // A list lies in its repository.
                let place = attributes.get("href").filter(|place| !place.split('/').any(|part| part == ".."));
                self.0.extend(place.map(|place| (self.1.clone(), place.clone())));
            }
            _ => {}
        }
    }

    fn ends(&mut self, _: &str, _: &str) {}
}

struct Packages<'a> {
    names: &'a BTreeSet<&'a str>,
    repository: &'a Repository,
    found: Vec<Listed>,
    now: Option<Listed>,
}

impl Listener for Packages<'_> {
    fn starts(&mut self, name: &str, attributes: &BTreeMap<String, String>) {
        if name == "package" {
            self.now = Some(Listed {
                name: String::new(),
                arch: String::new(),
                evr: String::new(),
                repo: self.repository.alias.clone(),
                priority: self.repository.priority,
                vendor: String::new(),
                sha256: None,
                bytes: 0,
                unpacked: 0,
            });
        }
        let Some(now) = &mut self.now else { return };
        let number = |name: &str| attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        match name {
            "version" => now.evr = version(attributes, ["epoch", "ver", "rel"]),
            "size" => (now.bytes, now.unpacked) = (number("package"), number("installed")),
            // The digest comes as the text of the element.
            "checksum" if attributes.get("type").is_none_or(|kind| kind != "sha256") => {
                now.sha256 = None;
            }
            _ => {}
        }
    }

    fn ends(&mut self, name: &str, text: &str) {
        let Some(now) = &mut self.now else { return };
        match name {
            "name" if now.name.is_empty() => now.name = text.to_owned(),
            "arch" if now.arch.is_empty() => now.arch = text.to_owned(),
            "vendor" => now.vendor = text.to_owned(),
            // Sources are no packages of the host.
            "package" => {
                self.found.extend(self.now.take().filter(|now| now.arch != "src" && now.arch != "nosrc"));
            }
            // Only digests of 256 bits have this length.
            "checksum" => now.sha256 = text.parse().ok(),
            _ => {}
        }
        // Large lists have few of the wanted ones.
        if name == "name" && self.now.as_ref().is_some_and(|now| !self.names.contains(now.name.as_str())) {
            self.now = None;
        }
    }
}

fn version(attributes: &BTreeMap<String, String>, keys: [&str; 3]) -> String {
    let [epoch, version, release] = keys.map(|key| attributes.get(key).cloned().unwrap_or_default());
    let epoch = if epoch.is_empty() { "0".to_owned() } else { epoch };
    evr(&format!("{epoch}:{version}-{release}")).to_owned()
}

struct Advisories<'a> {
    names: &'a BTreeSet<&'a str>,
    found: Vec<Advisory>,
}

impl Listener for Advisories<'_> {
    fn starts(&mut self, name: &str, attributes: &BTreeMap<String, String>) {
        if name == "update" {
            let security = attributes.get("type").is_some_and(|kind| kind == "security");
            self.found.push(Advisory { security, ..Advisory::default() });
        }
        let Some(now) = self.found.last_mut() else { return };
        if name == "package" {
            let field = |name: &str| attributes.get(name).cloned().unwrap_or_default();
            if self.names.contains(field("name").as_str()) {
                let evr = version(attributes, ["epoch", "version", "release"]);
                now.packages.push(Fixed { name: field("name"), arch: field("arch"), evr });
            }
        }
    }

    fn ends(&mut self, name: &str, text: &str) {
        let Some(now) = self.found.last_mut() else { return };
        match name {
            "id" if now.id.is_empty() => now.id = text.to_owned(),
            "update" if now.packages.is_empty() => drop(self.found.pop()),
            _ => {}
        }
    }
}

/// Each kind of list, unpacked.
#[cfg(feature = "fuzzing")]
pub(crate) fn listened(list: &[u8]) {
    let (names, repository) = (BTreeSet::from(["app"]), Repository::default());
    drop(listen(list, Places::default()));
    drop(listen(list, Packages { names: &names, repository: &repository, found: Vec::new(), now: None }));
    drop(listen(list, Advisories { names: &names, found: Vec::new() }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const INDEX: &str = "<repomd><data type=\"primary\"><location href=\"repodata/p.xml.gz\"/></data><data type=\"updateinfo\"><location href=\"repodata/u.xml\"/></data><data type=\"other\"><location href=\"../../x\"/></data></repomd>";
    const PRIMARY: &str = "<metadata xmlns:rpm=\"r\"><package type=\"rpm\"><name>other</name><arch>noarch</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/></package><package type=\"rpm\"><name>app</name><arch>x86_64</arch><version epoch=\"1\" ver=\"2.0\" rel=\"3\"/><checksum type=\"sha256\" pkgid=\"YES\">0000000000000000000000000000000000000000000000000000000000000001</checksum><size package=\"6\" installed=\"7\" archive=\"8\"/><format><rpm:vendor>L &amp; B</rpm:vendor><rpm:provides><rpm:entry name=\"app\"/></rpm:provides></format></package><package type=\"rpm\"><name>app</name><arch>src</arch><version ver=\"2.0\" rel=\"3\"/></package></metadata>";
    const UPDATES: &str = "<updates><update type=\"security\"><id>LAB-1</id><references><reference id=\"CVE\"/></references><pkglist><collection><package name=\"app\" epoch=\"1\" version=\"2.0\" release=\"3\" arch=\"x86_64\"><filename>f</filename></package></collection></pkglist></update><update type=\"security\"><id>LAB-2</id><pkglist><collection><package name=\"other\" version=\"1\" release=\"1\" arch=\"noarch\"/></collection></pkglist></update></updates>";

    #[test]
    fn packages_and_advisories_of_the_wanted_names() {
        let dir = std::env::temp_dir().join(format!("assent-rpmmd-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("repodata")).unwrap();
        std::fs::write(dir.join("repodata/repomd.xml"), INDEX).unwrap();
        std::fs::write(dir.join("repodata/u.xml"), UPDATES).unwrap();
        let file = File::create(dir.join("repodata/p.xml.gz")).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(PRIMARY.as_bytes()).unwrap();
        gz.finish().unwrap();
        let repository = Repository { alias: "base".into(), priority: 90, enabled: true };
        let mut found = Catalogue::default();
        read(&dir, &repository, &["app"], &mut found).unwrap();
        assert_eq!(found.packages.len(), 1);
        let app = &found.packages[0];
        assert_eq!(
            (app.evr.as_str(), app.arch.as_str(), app.vendor.as_str()),
            ("1:2.0-3", "x86_64", "L & B")
        );
        assert_eq!((app.bytes, app.unpacked, app.priority), (6, 7, 90));
        assert!(app.sha256.unwrap().hex().ends_with("01"));
        assert_eq!(found.advisories.len(), 1);
        assert_eq!(found.advisories[0].id, "LAB-1");
        assert_eq!(found.advisories[0].packages[0].evr, "1:2.0-3");
        // Cut off, as after a full disk.
        let packed = std::fs::read(dir.join("repodata/p.xml.gz")).unwrap();
        std::fs::write(dir.join("repodata/p.xml.gz"), &packed[..packed.len() / 2]).unwrap();
        let fault = read(&dir, &repository, &["app"], &mut found).unwrap_err().text();
        assert!(fault.contains("p.xml.gz cannot be used"), "{fault}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
