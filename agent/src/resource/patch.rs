//! Patches: which pending updates are selected, as exact versions. From then on they are packages.

use super::package::Inventory;
use crate::host::{Offer, PackageState};
use shared::manifest::{Patterns, Select};
use shared::version::Order;

/// Packages named in one note; more help nobody.
const NAMED: usize = 10;

/// The selected updates, and what people should know about those left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub install: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// The packages whose offers are looked at: all that are installed whole, so that what is left out is known, too.
pub fn candidates(inventory: &Inventory) -> Vec<&str> {
    let whole = inventory.values().filter(|p| p.state == PackageState::Installed);
    whole.map(|p| p.name.as_str()).collect()
}

/// Chooses a version for each package: the host's preferred one, or for security the newest one that a security
/// source offers. What a hold mark or a pattern leaves behind is noted with the version that is missed.
pub fn select(
    select: Select,
    patterns: &Patterns,
    offers: &[Offer],
    inventory: &Inventory,
    order: Order,
) -> Selection {
    let mut selection = Selection::default();
    let mut strangers = Vec::new();
    for offer in offers {
        let Some(installed) = inventory.get(&offer.name) else { continue };
        if offer.versions.iter().all(|o| o.origins.is_empty()) {
            strangers.push(offer.name.as_str());
        }
        let fix = security(offer, &installed.version, order);
        let update = match select {
            Select::All | Select::Named => {
                offer.candidate.clone().filter(|version| order.is_newer(version, &installed.version))
            }
            Select::Security => fix.clone(),
        };
        let Some(version) = update else { continue };
        let named = patterns.selects(&offer.name, true);
        match (installed.held, named) {
            (false, true) => selection.install.push((offer.name.clone(), version)),
            (true, true) => {
                selection.notes.push(left(offer, &installed.version, "it is on hold", &version, fix))
            }
            // An exclusion that keeps a known hole open is never silent.
            (_, false) if patterns.excludes(&offer.name) && fix.is_some() => {
                selection.notes.push(left(offer, &installed.version, "it is excluded", &version, fix));
            }
            (_, false) => {}
        }
    }
    selection.notes.extend(foreign(&strangers));
    selection
}

fn left(offer: &Offer, installed: &str, why: &str, version: &str, fix: Option<String>) -> String {
    let what = match fix {
        Some(fix) => format!("the security fix {fix}{}", origins(offer, &fix)),
        None => format!("{version}{}", origins(offer, version)),
    };
    format!("{} stays at {installed} because {why}; it misses {what}", offer.name)
}

fn origins(offer: &Offer, version: &str) -> String {
    let found = offer.versions.iter().find(|o| o.version == version && !o.origins.is_empty());
    found.map_or_else(String::new, |o| format!(" ({})", o.origins.join(", ")))
}

/// The newest version above the installed one that brings a fix of security.
fn security(offer: &Offer, installed: &str, order: Order) -> Option<String> {
    let secure = offer.versions.iter().filter(|o| o.security);
    let newer = secure.map(|o| &o.version).filter(|version| order.is_newer(version, installed));
    // Versions that are none are not newer than anything, so all of these can be compared.
    newer.max_by(|a, b| order.compare(a, b).unwrap_or(std::cmp::Ordering::Equal)).cloned()
}

/// Packages that nobody brings updates for.
fn foreign(names: &[&str]) -> Option<String> {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = match names.len() {
        0 => return None,
        count if count > NAMED => format!(" and {} more", count - NAMED),
        _ => String::new(),
    };
    Some(format!("no source of this host has any version of {shown}{more}: they get no updates"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Installed, OnOffer};
    use shared::manifest::Patch;
    use shared::strict::Map;

    fn installed(name: &str, version: &str, held: bool) -> (String, Installed) {
        let text = |t: &str| t.to_owned();
        let package = Installed {
            name: text(name),
            arch: text("all"),
            version: text(version),
            source: text(name),
            source_version: text(version),
            vendor: None,
            held,
            state: PackageState::Installed,
        };
        (text(name), package)
    }

    fn offer(name: &str, candidate: &str, versions: &[(&str, &str)]) -> Offer {
        let origins = |o: &str| if o.is_empty() { Vec::new() } else { vec![o.to_owned()] };
        let on_offer = |(version, origin): &(&str, &str)| OnOffer {
            version: (*version).to_owned(),
            origins: origins(origin),
            security: origin.contains("ecurity"),
        };
        let versions = versions.iter().map(on_offer).collect();
        Offer { name: name.into(), installed: None, candidate: Some(candidate.into()), versions }
    }

    #[test]
    fn each_selection_takes_its_versions_and_tells_what_it_leaves() {
        let inventory: Inventory = [
            installed("a", "1.0", false),
            installed("b", "1.0", true),
            installed("c", "2.0", false),
            installed("own", "1.0", false),
        ]
        .into();
        let offers = [
            offer("a", "1.2", &[("1.2", "Lab:stable"), ("1.1", "Lab:jammy-security"), ("1.0", "Lab:stable")]),
            offer("b", "1.1", &[("1.1", "Lab-Security:stable-security")]),
            offer("c", "1.9", &[("1.9", "Lab-Security:x")]),
            offer("own", "1.0", &[("1.0", "")]),
        ];
        let held = "b stays at 1.0 because it is on hold; it misses the security fix 1.1 (Lab-Security:stable-security)";
        let kept =
            "a stays at 1.0 because it is excluded; it misses the security fix 1.1 (Lab:jammy-security)";
        let both = "b stays at 1.0 because it is excluded; it misses the security fix 1.1 (Lab-Security:stable-security)";
        let own = "no source of this host has any version of own: they get no updates";
        for (select, names, exclude, installs, notes) in [
            ("all", "", "", "a=1.2", vec![held, own]),
            ("security", "", "", "a=1.1", vec![held, own]),
            ("named", r#""names":["a*"],"#, "", "a=1.2", vec![own]),
            ("all", "", "a", "", vec![kept, held, own]),
            ("security", "", "?", "", vec![kept, both, own]),
        ] {
            let text = format!(
                r#"{{"select":"{select}",{names}"exclude":[{}]}}"#,
                if exclude.is_empty() { String::new() } else { format!("\"{exclude}\"") }
            );
            let patch: Patch = serde_json::from_str(&text).unwrap();
            let patterns = patch.patterns(&Map::default()).unwrap();
            let got = super::select(patch.select, &patterns, &offers, &inventory, Order::Deb);
            let list: Vec<String> = got.install.iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!(
                (list.join(" ").as_str(), got.notes),
                (installs, notes.iter().map(|n| (*n).to_owned()).collect()),
                "{text}"
            );
        }
    }
}
