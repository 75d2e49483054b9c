//! Which package manager a root belongs to. One root has one.

use super::{Rpm, Tool, place::Place};
use crate::host::apt::Apt;
use crate::host::dnf::Dnf;
use crate::host::packages::PackageManager;
use crate::host::zypper::Zypper;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// dpkg's database counts when it knows packages: then an rpm beside it is only a tool. rpm's counts on a whole
/// machine when it knows packages as well, and below a private root by the settings of the one above it.
pub fn manager(root: &Path, whole: bool, state: &Path, lock_wait: Duration) -> Box<dyn PackageManager> {
    let there = |path: &str| root.join(path).exists();
    let dpkg = fs::metadata(root.join("var/lib/dpkg/status"));
    let tool = if dpkg.is_ok_and(|status| status.len() > 0 || !whole) {
        None
    } else if there("usr/bin/zypper") || (!whole && there("etc/zypp")) {
        Some((Tool::Zypper(Zypper), "zypp"))
    } else if there("usr/bin/dnf") || there("usr/bin/yum") || (!whole && there("etc/yum.repos.d")) {
        Some((Tool::Dnf(Dnf), "dnf"))
    } else {
        None
    };
    match tool.filter(|_| !whole || has_packages(root, state)) {
        Some((tool, name)) => Box::new(Rpm::new(root, whole, state.join(name), tool, lock_wait)),
        None => Box::new(Apt::new(root, whole, state.join("apt"), lock_wait)),
    }
}

/// An rpm that cannot be asked has none.
fn has_packages(root: &Path, state: &Path) -> bool {
    let place = Place::new(root, true, state.to_owned());
    let asked = place.text(place.rpm(["-qa", "--qf", "%{NAME}\\n"]));
    asked.is_ok_and(|(_, names)| names.lines().any(|name| name != "gpg-pubkey"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::version::Order;

    #[test]
    fn a_root_belongs_to_the_manager_of_its_database() {
        let dir = std::env::temp_dir().join(format!("assent-detect-{}", std::process::id()));
        for (name, files, order, is_there) in [
            ("nothing", vec![], Order::Deb, false),
            ("debian", vec!["var/lib/dpkg/status"], Order::Deb, true),
            (
                "debian-with-rpm",
                vec!["var/lib/dpkg/status", "etc/zypp/x", "etc/yum.repos.d/x"],
                Order::Deb,
                true,
            ),
            ("fedora", vec!["etc/yum.repos.d/x"], Order::Rpm, true),
            ("suse", vec!["etc/zypp/x", "etc/yum.repos.d/x"], Order::Rpm, true),
        ] {
            let root = dir.join(name);
            fs::create_dir_all(&root).unwrap();
            for file in files {
                fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
                fs::write(root.join(file), "Package: a\n").unwrap();
            }
            let found = manager(&root, false, &root.join("state"), Duration::ZERO);
            assert_eq!((found.order(), found.is_there()), (order, is_there), "{name}");
        }
        // The machine of the tests has rpm as a tool, or not at all.
        assert_eq!(manager(Path::new("/"), true, &dir, Duration::ZERO).order(), Order::Deb);
        fs::remove_dir_all(dir).unwrap();
    }
}
