//! Patches: which pending updates are selected, as exact versions. From then on they are packages.

use super::package::Inventory;
use crate::host::{Offer, PackageState};
use shared::manifest::{Patch, Select};
use shared::version::DebVersion;

/// The selected updates, and what people should know about those left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub install: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// The packages whose offers are needed: installed whole and not excluded by name.
pub fn candidates<'a>(patch: &Patch, inventory: &'a Inventory) -> Vec<&'a str> {
    let whole = inventory.values().filter(|p| p.state == PackageState::Installed);
    whole.map(|p| p.name.as_str()).filter(|name| patch.selects(name, true)).collect()
}

/// Chooses a version for each candidate: the host's preferred one, or for security the newest one that a
/// security source offers. Packages on hold are left alone and noted.
pub fn select(patch: &Patch, offers: &[Offer], inventory: &Inventory) -> Selection {
    let mut selection = Selection::default();
    for offer in offers {
        let Some(installed) = inventory.get(&offer.name) else { continue };
        let Some(version) = version(patch, offer, &installed.version) else { continue };
        if installed.held {
            let note = format!(
                "{} stays at {} because it is on hold; {version} is offered",
                offer.name, installed.version
            );
            selection.notes.push(note);
        } else {
            selection.install.push((offer.name.clone(), version));
        }
    }
    selection
}

fn version(patch: &Patch, offer: &Offer, installed: &str) -> Option<String> {
    let newer = |version: &str| {
        let (version, installed) =
            (version.parse::<DebVersion>().ok()?, installed.parse::<DebVersion>().ok()?);
        (version > installed).then_some(version)
    };
    match patch.select {
        Select::All | Select::Named => {
            let candidate = offer.candidate.as_deref()?;
            newer(candidate).map(|_| candidate.to_owned())
        }
        Select::Security => {
            let secure = offer.versions.iter().filter(|(_, origins)| origins.iter().any(|o| is_security(o)));
            let best = secure.filter_map(|(v, _)| Some((newer(v)?, v))).max_by(|a, b| a.0.cmp(&b.0));
            best.map(|(_, text)| text.clone())
        }
    }
}

/// Debian (`Debian-Security:stable-security`), Ubuntu (`Ubuntu:jammy-security`) and relatives say it in the
/// label or the suite.
fn is_security(origin: &str) -> bool {
    origin.to_ascii_lowercase().contains("security")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Installed;

    fn installed(name: &str, version: &str, held: bool) -> (String, Installed) {
        let text = |t: &str| t.to_owned();
        let package = Installed {
            name: text(name),
            arch: text("all"),
            version: text(version),
            source: text(name),
            source_version: text(version),
            held,
            state: PackageState::Installed,
        };
        (text(name), package)
    }

    fn offer(name: &str, candidate: &str, versions: &[(&str, &str)]) -> Offer {
        let versions = versions.iter().map(|(v, o)| ((*v).to_owned(), vec![(*o).to_owned()])).collect();
        Offer { name: name.into(), installed: None, candidate: Some(candidate.into()), versions }
    }

    #[test]
    fn each_selection_takes_its_versions() {
        let inventory: Inventory =
            [installed("a", "1.0", false), installed("b", "1.0", true), installed("c", "2.0", false)].into();
        let offers = [
            offer("a", "1.2", &[("1.2", "Lab:stable"), ("1.1", "Lab:jammy-security"), ("1.0", "Lab:stable")]),
            offer("b", "1.1", &[("1.1", "Lab-Security:stable-security")]),
            offer("c", "1.9", &[("1.9", "Lab-Security:x")]),
        ];
        for (select, names, exclude, installs, notes) in [
            ("all", "", "", "a=1.2", 1),
            ("security", "", "", "a=1.1", 1),
            ("named", r#""names":["a*"],"#, "", "a=1.2", 0),
            ("all", "", "a", "", 1),
            ("security", "", "?", "", 0),
        ] {
            let text = format!(
                r#"{{"select":"{select}",{names}"exclude":[{}]}}"#,
                if exclude.is_empty() { String::new() } else { format!("\"{exclude}\"") }
            );
            let patch: Patch = serde_json::from_str(&text).unwrap();
            let asked = candidates(&patch, &inventory);
            let offers: Vec<Offer> =
                offers.iter().filter(|o| asked.contains(&o.name.as_str())).cloned().collect();
            let got = select_text(&super::select(&patch, &offers, &inventory));
            assert_eq!(got, (installs.to_owned(), notes), "{text}");
        }
    }

    fn select_text(selection: &Selection) -> (String, usize) {
        let installs: Vec<String> = selection.install.iter().map(|(n, v)| format!("{n}={v}")).collect();
        (installs.join(" "), selection.notes.len())
    }
}
