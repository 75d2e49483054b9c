//! Package sources that lie, and packages that fail, with real apt and dpkg.

use std::fs;
use tests::World;
use tests::apt::{Package, Repository};
use tests::root;
use tests::world::NewChange;

fn package<'a>(version: &'a str, postinst: &'a str) -> Package<'a> {
    Package { suite: "stable", name: "alpha", version, postinst }
}

/// A host with alpha 1.0 and a repository that now also has 1.1.
fn stage(world: &mut World, newer: &Package<'_>) -> Repository {
    let repository = Repository::new(&[package("1.0", "")]);
    world.join_with_packages("a1", &repository, &["alpha"]);
    repository.add(newer);
    repository.sign();
    world.publish("tools", "1.0.0", "resources:\n  - package: {name: alpha, version: \"1.1\"}\n").ok();
    repository
}

fn upgrade(world: &mut World) -> String {
    world.request(&NewChange { manifests: &["tools@1.0.0"], ..NewChange::default() })
}

fn has_version(world: &World, version: &str) {
    let host = &world.hosts["a1"];
    let installed = root::snapshot(&host.root).remove("dpkg:alpha").map(|node| node.content);
    assert_eq!(installed, Some(format!("install ok installed\t{version}")));
    assert_eq!(host.read("/usr/share/lab/alpha"), Some(format!("{version}\n")));
}

on_both! {
    fn a_package_file_that_was_changed_on_the_mirror_is_not_installed(world) {
        let newer = package("1.1", "");
        let repository = stage(world, &newer);
        let id = upgrade(world);
        assert_eq!(world.change_file(&id).plans.len(), 1);
        let mut bytes = fs::read(repository.file(&newer)).unwrap();
        let good = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(repository.file(&newer), bytes).unwrap();
        world.approve(&id).ok();
        world.tick("a1");
        world.tick("a1");
        has_version(world, "1.0");
        // Files are fetched before anything begins: there is no run to take back, and the change is not used up.
        assert!(world.hosts["a1"].receipt(&id).is_none());
        assert_eq!(world.hosts["a1"].refusal_codes(&id), ["plan.failed"]);
        fs::write(repository.file(&newer), good).unwrap();
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        has_version(world, "1.1");
    }
}

on_both! {
    fn a_repository_with_a_bad_signature_is_not_believed(world) {
        let repository = stage(world, &package("1.1", ""));
        let index = repository.public_key().with_file_name("dists/stable/InRelease");
        let text = fs::read_to_string(&index).unwrap();
        fs::write(&index, text.replacen("Label: Lab", "Label: Bad", 1)).unwrap();
        let id = upgrade(world);
        assert_eq!(world.change_file(&id).plans.len(), 0, "a plan from it would be a lie");
        let codes = world.hosts["a1"].refusal_codes(&id);
        assert_eq!(codes, ["plan.failed"], "the host says that it cannot plan");
        has_version(world, "1.0");
        fs::write(&index, text).unwrap();
        world.tick("a1");
        assert_eq!(world.change_file(&id).plans.len(), 1);
    }
}

on_both! {
    fn a_package_whose_script_fails_is_replaced_by_the_one_that_was_there(world) {
        let _repository = stage(world, &package("1.1", "exit 1"));
        let id = upgrade(world);
        world.approve(&id).ok();
        let receipt = world.tick_until_receipt("a1", &id);
        assert_eq!(receipt.body.outcome.as_str(), "rolled_back", "{:#?}", receipt.body.results);
        has_version(world, "1.0");
    }
}
