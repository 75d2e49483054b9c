//! What the tests of the machine-changing half share: real approvals, private roots, package repositories.

pub mod aptrepo;
pub mod rpmrepo;
pub mod secret;
pub mod site;
pub mod tree;

/// Records that a test could not run here.
///
/// # Panics
/// When CI=true: what CI skips is not tested anywhere.
pub fn skip(name: &str, why: &str) {
    use std::io::Write;
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{name}: {why}");
    let Some(file) = std::env::var_os("ASSENT_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{name}: {why}\n").as_bytes()).unwrap();
}
