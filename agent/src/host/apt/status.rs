//! The package database: the architecture that it is of, and what it would be, for solving on a state that the host does not
//! have yet. Pure.

use std::collections::BTreeMap;
use std::io::BufRead;

/// The native architecture of a status file: that of its dpkg, which is built for it. `None` where dpkg is no package of it
/// that is installed; then only the program knows.
pub fn native(mut status: impl BufRead) -> Option<String> {
    let (mut line, mut stanza) = (Vec::new(), String::new());
    loop {
        line.clear();
        let length = status.read_until(b'\n', &mut line).ok()?;
        let text = line.trim_ascii_end();
        if !stanza.is_empty() && !text.is_empty() {
            stanza.push('\n');
            stanza.push_str(std::str::from_utf8(text).unwrap_or_default());
        } else if !stanza.is_empty() {
            let installed = field(&stanza, "Status").is_some_and(|status| status.ends_with(" installed"));
            return field(&stanza, "Architecture").filter(|_| installed).map(str::to_owned);
        } else if length == 0 {
            return None;
        } else if text == b"Package: dpkg" {
            stanza.push_str("Package: dpkg");
        }
    }
}

/// The value of a field of a stanza, first line only.
pub fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A status file with some stanzas replaced or taken out.
#[derive(Debug, Default)]
pub struct Supposed {
    /// By name and architecture (`all` counts as such): the stanza without its status, or none when it is gone.
    changed: BTreeMap<(String, String), Option<String>>,
}

impl Supposed {
    /// The package is installed whole as this stanza of a list or status file describes it.
    pub fn installed(&mut self, stanza: &str) {
        let (Some(name), Some(arch)) = (field(stanza, "Package"), field(stanza, "Architecture")) else {
            return;
        };
        let kept = stanza.lines().filter(|line| !line.starts_with("Status:") && !line.is_empty());
        let text = kept.collect::<Vec<_>>().join("\n");
        self.changed.insert((name.to_owned(), arch.to_owned()), Some(text));
    }

    pub fn gone(&mut self, name: &str, arch: &str) {
        self.changed.insert((name.to_owned(), arch.to_owned()), None);
    }

    /// The status file `text` with these suppositions.
    pub fn apply(&self, text: &str) -> String {
        let key = |stanza: &str| {
            Some((field(stanza, "Package")?.to_owned(), field(stanza, "Architecture")?.to_owned()))
        };
        let names: Vec<&String> = self.changed.keys().map(|(name, _)| name).collect();
        let mut out = String::with_capacity(text.len());
        let mut held = BTreeMap::new();
        for stanza in text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
            let Some(key) = key(stanza) else { continue };
            if self.changed.contains_key(&key) || (names.contains(&&key.0) && same_slot(&key, self)) {
                held.insert(key.0, field(stanza, "Status").is_some_and(|s| s.starts_with("hold ")));
                continue;
            }
            out.push_str(stanza.trim_matches('\n'));
            out.push_str("\n\n");
        }
        for ((name, _), stanza) in &self.changed {
            let Some(stanza) = stanza else { continue };
            let want = if held.get(name) == Some(&true) { "hold" } else { "install" };
            out.push_str(&format!("{stanza}\nStatus: {want} ok installed\n\n"));
        }
        out
    }
}

/// A package that changes between `all` and the native architecture keeps its place.
fn same_slot(key: &(String, String), supposed: &Supposed) -> bool {
    let all = |arch: &str| arch == "all";
    supposed.changed.keys().any(|(name, arch)| *name == key.0 && (all(arch) || all(&key.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: a\nStatus: install reinstreq half-installed\nArchitecture: all\nVersion: 1\n\nPackage: b\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\nConffiles:\n /etc/b 00\n\nPackage: b\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n\n";

    #[test]
    fn the_native_architecture_is_that_of_the_dpkg_that_is_installed() {
        let of = |dpkg: &str| native(format!("{STATUS}{dpkg}").as_bytes());
        let stanza =
            "Package: dpkg\nEssential: yes\nStatus: hold ok installed\nArchitecture: arm64\nVersion: 1\n";
        for end in ["", "\n", "\nPackage: z\nStatus: install ok installed\nArchitecture: i386\n"] {
            assert_eq!(of(&format!("{stanza}{end}")).as_deref(), Some("arm64"), "{end:?}");
        }
        // Cut off, not there, not installed, of another name: the program is asked.
        for other in [
            "",
            "Package: dpkg\nStatus: install ok installed\n",
            "Package: dpkg\nStatus: deinstall ok config-files\nArchitecture: arm64\n",
            "Package: dpkg-dev\nStatus: install ok installed\nArchitecture: arm64\n",
            "Description: of\n Package: dpkg\nStatus: install ok installed\nArchitecture: arm64\n",
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn stanzas_are_replaced_in_their_slot_and_nothing_else_moves() {
        let mut supposed = Supposed::default();
        supposed.installed(
            "Package: a\nStatus: install reinstreq half-installed\nArchitecture: all\nVersion: 1\n",
        );
        supposed.installed("Package: b\nArchitecture: all\nVersion: 2\nSHA256: 00\n");
        supposed.gone("c", "amd64");
        assert_eq!(
            supposed.apply(STATUS),
            "Package: a\nArchitecture: all\nVersion: 1\nStatus: install ok installed\n\nPackage: b\nArchitecture: all\nVersion: 2\nSHA256: 00\nStatus: install ok installed\n\n",
            "b moves from amd64 and i386 to all"
        );
        let mut gone = Supposed::default();
        gone.gone("b", "amd64");
        assert!(gone.apply(STATUS).contains("Architecture: i386") && !gone.apply(STATUS).contains("hold ok"));
        let mut held = Supposed::default();
        held.installed("Package: b\nArchitecture: amd64\nVersion: 2");
        assert!(held.apply(STATUS).contains("Version: 2\nStatus: hold ok installed"));
    }
}
