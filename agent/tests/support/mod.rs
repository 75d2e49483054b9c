//! What the tests of the machine-changing half share: real approvals, private roots, package repositories.

pub mod aptrepo;
pub mod rpmrepo;
pub mod secret;
pub mod site;
pub mod tools;
pub mod tree;

pub use tools::run;

/// What is told of the machine, within the limits.
pub fn facts(machine: &agent::host::Machine) -> shared::facts::Facts {
    let (settings, mut memory) = (agent::facts::Settings::default(), agent::facts::Memory::default());
    let (class, version) = ("lab".parse().unwrap(), semver::Version::new(0, 1, 0));
    let facts = agent::facts::collect(machine, &class, version, &settings, &mut memory).unwrap();
    facts.check().unwrap();
    facts
}
