//! Reading what apt and dpkg print. Pure; anything unexpected is an error, never silence.

use super::status;
use crate::host::packages::{Conffile, Installed, Offer, OnOffer, PackageChange, PackageState, Sum};
use shared::digest::Digest;
use std::collections::BTreeMap;

/// The format that [`installed`] reads (dpkg-query(1)).
pub const QUERY: &str = "${Package}\\t${Architecture}\\t${Version}\\t${source:Package}\\t${source:Version}\\t${db:Status-Abbrev}\\n";

/// What a package of this name and architecture is called: `name:arch` when the machine is of another one.
pub fn called(name: &str, arch: &str, native: &str) -> String {
    if arch == "all" || arch == native { name.to_owned() } else { format!("{name}:{arch}") }
}

/// The packages of a `dpkg-query` listing, sorted by what they are called.
pub fn installed(text: &str, native: &str) -> Result<Vec<Installed>, String> {
    let mut all = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, arch, version, source, source_version, status] = fields[..] else {
            return Err(format!("dpkg-query printed {:?}", shared::strict::shorten(line)));
        };
        let mut marks = status.chars();
        let (want, is, error) = (marks.next(), marks.next(), marks.next());
        let state = match (is, error) {
            (Some('n') | None, _) => continue,
            (Some('c'), _) => PackageState::ConfigFiles,
            (_, Some('R')) | (Some('H'), _) => PackageState::Broken,
            (Some('i'), _) => PackageState::Installed,
            _ => PackageState::Unconfigured,
        };
        all.push(Installed {
            name: called(name, arch, native),
            arch: arch.to_owned(),
            version: version.to_owned(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            vendor: None,
            held: want == Some('h'),
            state,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The packages that a simulated run (`apt-get -s`) would install or remove, sorted by name.
///
/// Lines: `Inst name [old] (new Label:suite, … [arch]) […]`, `Remv name [old]`, `Purg name [old]`.
pub fn simulation(text: &str) -> Result<Vec<PackageChange>, String> {
    let mut changes = BTreeMap::new();
    for line in text.lines() {
        let change = match line.split_once(' ') {
            Some(("Inst", rest)) => inst(rest),
            Some(("Remv" | "Purg", rest)) => remv(rest),
            _ => continue,
        };
        let change = change.ok_or_else(|| format!("apt-get printed {:?}", shared::strict::shorten(line)))?;
        // A package may be removed for a moment and installed again; what counts is the end.
        changes.insert(change.name.clone(), change);
    }
    Ok(changes.into_values().collect())
}

fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('[')?.split_once(']')
}

fn inst(rest: &str) -> Option<PackageChange> {
    let (name, rest) = rest.split_once(' ')?;
    let (from, rest) = match bracketed(rest) {
        Some((old, rest)) => (Some(old.to_owned()), rest),
        None => (None, rest),
    };
    let inner = rest.trim_start().strip_prefix('(')?.split_once(')')?.0;
    let (to, rest) = inner.split_once(' ')?;
    let (origin, arch) = rest.rsplit_once('[')?;
    let origin = origin.trim().trim_end_matches(',');
    Some(PackageChange {
        name: name.to_owned(),
        arch: arch.strip_suffix(']')?.to_owned(),
        from,
        to: Some(to.to_owned()),
        origin: (!origin.is_empty()).then(|| origin.to_owned()),
        sha256: None,
    })
}

fn remv(rest: &str) -> Option<PackageChange> {
    let (name, rest) = rest.split_once(' ')?;
    let (from, _) = bracketed(rest)?;
    Some(PackageChange {
        name: name.to_owned(),
        arch: String::new(),
        from: Some(from.to_owned()),
        to: None,
        origin: None,
        sha256: None,
    })
}

/// What the lists say of one package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    pub arch: String,
    pub sha256: Digest,
    /// Bytes of the file, and on the disk when it is unpacked.
    pub bytes: u64,
    pub unpacked: u64,
    pub text: String,
}

/// The stanzas of `apt-cache show`, by name and version.
#[derive(Debug, Default)]
pub struct Stanzas(BTreeMap<(String, String), Vec<Stanza>>);

/// Reads the stanzas that name a file; those of the status file do not.
pub fn stanzas(text: &str) -> Stanzas {
    let mut all = Stanzas::default();
    for text in text.split("\n\n") {
        let field = |name: &str| status::field(text, name).unwrap_or_default();
        let Ok(sha256) = field("SHA256").parse::<Digest>() else { continue };
        let number = |name: &str| field(name).parse::<u64>().unwrap_or_default();
        let stanza = Stanza {
            arch: field("Architecture").to_owned(),
            sha256,
            bytes: number("Size"),
            unpacked: number("Installed-Size") << 10,
            text: text.trim_matches('\n').to_owned(),
        };
        all.0.entry((field("Package").to_owned(), field("Version").to_owned())).or_default().push(stanza);
    }
    all
}

impl Stanzas {
    /// The stanza of a package of one architecture.
    ///
    /// # Errors
    /// Two sources offer different files under one name and version: nobody can say which one is meant.
    pub fn get(&self, name: &str, version: &str, arch: &str) -> Result<Option<&Stanza>, String> {
        self.one(name, version, |stanza| stanza.arch == arch)
    }

    /// The stanza of a package; `name:arch` names one of a foreign architecture.
    ///
    /// # Errors
    /// As for [`Stanzas::get`].
    pub fn any(&self, name: &str, version: &str) -> Result<Option<&Stanza>, String> {
        self.one(name, version, |stanza| name.split_once(':').is_none_or(|(_, arch)| stanza.arch == arch))
    }

    fn one(
        &self,
        name: &str,
        version: &str,
        fits: impl Fn(&Stanza) -> bool,
    ) -> Result<Option<&Stanza>, String> {
        let bare = name.split(':').next().unwrap_or(name);
        let Some(found) = self.0.get(&(bare.to_owned(), version.to_owned())) else { return Ok(None) };
        let mut fitting = found.iter().filter(|stanza| fits(stanza));
        let first = fitting.next();
        match first {
            Some(first) if fitting.any(|other| other.sha256 != first.sha256) => {
                Err(format!("two sources offer different files as {name} {version}; remove one of them"))
            }
            _ => Ok(first),
        }
    }
}

/// The format that [`sizes`] reads.
pub const SIZES: &str = "${Package}\\t${Architecture}\\t${Installed-Size}\\n";

/// Bytes on the disk of installed packages, by name and architecture.
pub fn sizes(text: &str) -> BTreeMap<(String, String), u64> {
    let one = |line: &str| {
        let mut fields = line.split('\t');
        let key = (fields.next()?.to_owned(), fields.next()?.to_owned());
        Some((key, fields.next()?.parse::<u64>().ok()? << 10))
    };
    text.lines().filter_map(one).collect()
}

/// The format that [`conffiles`] reads.
pub const CONFFILES: &str = "\\t${binary:Package}\\n${Conffiles}\\n";

/// Configuration files as their packages brought them; those that a package has given up are left out.
pub fn conffiles(text: &str) -> Vec<Conffile> {
    let mut all = Vec::new();
    let mut package = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('\t') {
            package = name;
            continue;
        }
        // ` /etc/app.conf 0123… [obsolete]`; paths may have blanks, digests have not.
        let line = line.trim();
        if let Some((path, md5)) = line.rsplit_once(' ')
            && md5.len() == 32
        {
            let sum = Sum::Md5(md5.to_owned());
            all.push(Conffile { package: package.to_owned(), path: path.to_owned(), sum });
        }
    }
    all
}

/// Origins (`Label:suite`) of package sources by how `apt-cache policy` names the source.
pub fn sources(text: &str) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    let mut last: Option<&str> = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(release) = line.strip_prefix("release ") {
            let field = |key: &str| release.split(',').find_map(|f| f.strip_prefix(key)).unwrap_or_default();
            if let Some(source) = last.take() {
                let suite = if field("a=").is_empty() { field("n=") } else { field("a=") };
                sources.insert(source.to_owned(), format!("{}:{suite}", field("l=")));
            }
        } else if let Some((priority, source)) = line.split_once(' ')
            && priority.parse::<i32>().is_ok()
        {
            last = Some(source.trim());
        }
    }
    sources
}

/// The offers of `apt-cache policy NAME…`, with the origins of [`sources`].
pub fn offers(text: &str, sources: &BTreeMap<String, String>) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            let name = line.trim_end().trim_end_matches(':').to_owned();
            offers.push(Offer { name, installed: None, candidate: None, versions: Vec::new() });
            continue;
        }
        let Some(offer) = offers.last_mut() else { continue };
        let known = |v: &str| (v != "(none)").then(|| v.to_owned());
        let text = line.trim();
        if let Some(version) = text.strip_prefix("Installed: ") {
            offer.installed = known(version);
        } else if let Some(version) = text.strip_prefix("Candidate: ") {
            offer.candidate = known(version);
        } else if line.starts_with("     ") && !line.starts_with("      ") || line.starts_with(" *** ") {
            let version = text.trim_start_matches("*** ").split(' ').next().unwrap_or_default();
            offer.versions.push(OnOffer { version: version.to_owned(), ..OnOffer::default() });
        } else if let Some((_, source)) = text.split_once(' ')
            && let Some(version) = offer.versions.last_mut()
            && let Some(origin) = sources.get(source.trim())
            && !origin.ends_with(":now")
        {
            version.security |= is_security(origin);
            version.origins.push(origin.clone());
        }
    }
    offers
}

/// Debian (`Debian-Security:stable-security`), Ubuntu (`Ubuntu:jammy-security`) and relatives say it in the
/// label or the suite.
fn is_security(origin: &str) -> bool {
    origin.to_ascii_lowercase().contains("security")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_simulation() {
        let text = "NOTE: x\nInst alpha [1.0] (1.0+deb1 Lab-Security:stable-security [all])\nInst new:i386 (2:1.2-3 Debian:12.8/stable, Debian-Security:12/stable-security [i386]) []\nConf alpha (1.0+deb1 Lab:stable [all])\nRemv old [3.0] [x:amd64 ]\n";
        let all = simulation(text).unwrap();
        let show: Vec<String> = all
            .iter()
            .map(|c| {
                format!(
                    "{} {} {:?} {:?} {:?}",
                    c.name,
                    c.arch,
                    c.from.as_deref(),
                    c.to.as_deref(),
                    c.origin.as_deref()
                )
            })
            .collect();
        assert_eq!(
            show,
            [
                "alpha all Some(\"1.0\") Some(\"1.0+deb1\") Some(\"Lab-Security:stable-security\")",
                "new:i386 i386 None Some(\"2:1.2-3\") Some(\"Debian:12.8/stable, Debian-Security:12/stable-security\")",
                "old  Some(\"3.0\") None None",
            ]
        );
        assert!(simulation("Inst alpha something else").is_err());
    }

    #[test]
    fn states_of_packages() {
        let text = "a\tall\t1\ta\t1\tii \nb\tamd64\t1+b2\tsource-of-b\t1\thi \nc\ti386\t1\tc\t1\tiF \nd\tall\t1\td\t1\trc \ne\tall\t1\te\t1\tiHR\nf\tall\t1\tf\t1\tun \n";
        let all = installed(text, "amd64").unwrap();
        let show: Vec<_> = all.iter().map(|p| (p.name.as_str(), p.held, p.state)).collect();
        use PackageState::*;
        assert_eq!(
            show,
            [
                ("a", false, Installed),
                ("b", true, Installed),
                ("c:i386", false, Unconfigured),
                ("d", false, ConfigFiles),
                ("e", false, Broken)
            ]
        );
        let b = &all[1];
        let seen = [&b.arch, &b.version, &b.source, &b.source_version];
        assert_eq!(seen, ["amd64", "1+b2", "source-of-b", "1"]);
        assert!(installed("a b c\n", "amd64").is_err());
    }

    #[test]
    fn versions_have_the_origin_of_their_source() {
        let files = "Package files:\n 100 /r/var/lib/dpkg/status\n     release a=now\n 500 http://m/repo stable-security/main amd64 Packages\n     release o=Lab,a=stable-security,n=x,l=Lab-Security,c=main,b=amd64\n     origin m\nPinned packages:\n";
        let policy = "alpha:\n  Installed: 1.0\n  Candidate: 1.2\n  Version table:\n     1.2 500\n        500 http://m/repo stable-security/main amd64 Packages\n *** 1.0 100\n        100 /r/var/lib/dpkg/status\n";
        let offers = offers(policy, &sources(files));
        assert_eq!(offers.len(), 1);
        assert_eq!(
            (offers[0].installed.as_deref(), offers[0].candidate.as_deref()),
            (Some("1.0"), Some("1.2"))
        );
        assert_eq!(
            offers[0].versions,
            [
                OnOffer {
                    version: "1.2".to_owned(),
                    origins: vec!["Lab-Security:stable-security".to_owned()],
                    security: true
                },
                OnOffer { version: "1.0".to_owned(), ..OnOffer::default() }
            ]
        );
    }

    #[test]
    fn two_files_under_one_version_are_refused() {
        let one = format!(
            "Package: a\nVersion: 1\nArchitecture: all\nInstalled-Size: 3\nSize: 700\nSHA256: {}\n",
            "0".repeat(64)
        );
        let two = one.replace("SHA256: 0", "SHA256: 1");
        let same = stanzas(&format!("{one}\n{one}"));
        let found = same.get("a", "1", "all").unwrap().unwrap();
        assert_eq!((found.bytes, found.unpacked), (700, 3 << 10));
        assert_eq!(same.get("a", "1", "amd64"), Ok(None));
        assert!(stanzas(&format!("{one}\n{two}")).any("a", "1").unwrap_err().contains("two sources"));
    }

    #[test]
    fn configuration_files_with_the_digest_they_came_with() {
        let text = format!(
            "\ta\n\n\tb:i386\n /etc/b.conf {0}\n /etc/b c {0}\n /etc/old {0} obsolete\n",
            "0".repeat(32)
        );
        let all: Vec<String> = conffiles(&text).iter().map(|c| format!("{} {}", c.package, c.path)).collect();
        assert_eq!(all, ["b:i386 /etc/b.conf", "b:i386 /etc/b c"]);
    }
}
