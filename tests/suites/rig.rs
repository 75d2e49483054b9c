//! The rig itself: what later tests build on must be true.

use tests::apt::{Package, Repository};
use tests::root;

/// A private root is a host to apt and dpkg, and nothing outside of it is touched.
#[test]
fn packages_are_installed_into_a_private_root_only() {
    let alpha = Package {
        suite: "stable",
        name: "alpha",
        version: "1.0",
        postinst: "echo done >\"$DPKG_ROOT/var/lib/lab/alpha\"",
    };
    let repository = Repository::new(&[alpha]);
    let dir = tempfile::tempdir().unwrap();
    root::prepare(dir.path(), "rig");
    let before = root::snapshot(dir.path());
    root::install(dir.path(), &repository, &["alpha=1.0"]);
    let changed = root::differences(&before, &root::snapshot(dir.path()));
    for path in ["dpkg:alpha", "/usr/share/lab/alpha", "/var/lib/lab/alpha"] {
        assert!(changed.iter().any(|c| c == path), "{path}: {changed:?}");
    }
    assert!(!std::path::Path::new("/usr/share/lab/alpha").exists());
}
