//! Which kinds of effect a manifest can have: the author's upper bound in the signed change.

use shared::change::Reboot;
use shared::manifest::Manifest;
use shared::risk::ActionClass;
use std::collections::BTreeSet;

/// Every class that a plan for these manifests may contain; hosts refuse a plan with any other.
pub fn classes<'m>(
    manifests: impl IntoIterator<Item = &'m Manifest>,
    reboot: Reboot,
) -> BTreeSet<ActionClass> {
    let mut classes = BTreeSet::new();
    for manifest in manifests {
        classes.extend(manifest.classes());
    }
    if reboot != Reboot::Never {
        classes.insert(ActionClass::Reboot);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::manifest::yaml;

    #[test]
    fn the_bound_holds_every_kind_of_effect_and_no_other() {
        let text = b"manifest: m\nversion: \"1.0.0\"\nresources:\n\
            - file: { path: /etc/motd, content: x, on_change: [\"service:app\"] }\n\
            - file: { path: /etc/sudoers.d/x, content: x }\n\
            - service: { name: app, state: running }\n";
        let manifest = yaml::compile(text).unwrap();
        let found = classes([&manifest], Reboot::Never);
        assert_eq!(found, [ActionClass::File, ActionClass::SensitiveFile, ActionClass::Service].into());
        let found = classes([&manifest], Reboot::IfNeeded);
        assert!(found.contains(&ActionClass::Reboot));
        let patch = yaml::compile(b"manifest: p\nversion: \"1.0.0\"\npatch: { select: security }\n").unwrap();
        assert_eq!(classes([&patch], Reboot::Never), [ActionClass::Package, ActionClass::Service].into());
        let text = b"manifest: p\nversion: \"1.0.0\"\npatch: { select: all, restart: { services: never } }\n";
        let quiet = yaml::compile(text).unwrap();
        assert_eq!(classes([&quiet], Reboot::Never), [ActionClass::Package].into());
        let text = b"manifest: p\nversion: \"1.0.0\"\npatch: { select: all }\nhealth:\n  - { name: ok, command: { run: [/bin/true] } }\n";
        let found = classes([&yaml::compile(text).unwrap()], Reboot::Never);
        assert_eq!(found, [ActionClass::Service, ActionClass::Package, ActionClass::Command].into());
        let text = b"manifest: p\nversion: \"1.0.0\"\npatch: { select: all }\nhooks: { before: [{ name: drain, run: [/bin/true] }] }\n";
        let found = classes([&yaml::compile(text).unwrap()], Reboot::Never);
        assert!(found.contains(&ActionClass::Command), "{found:?}");
    }
}
