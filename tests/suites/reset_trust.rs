//! All keys that govern a site are lost: a host changes to a new site, on purpose, and both can be proved afterwards.

use std::path::Path;
use std::process::Command;
use tests::programs::own;
use tests::world::{Database, NewChange};
use tests::{Said, World};

/// A change that sets the message of the day, and its bundle.
fn run_and_export(world: &mut World, version: &str, text: &str, to: &Path) {
    let body = format!("resources:\n  - file: {{path: /etc/motd, content: \"{text}\\n\"}}\n");
    world.publish("base", version, &body).ok();
    let manifest = format!("base@{version}");
    let id = world.request_and_approve(&NewChange { manifests: &[&manifest], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    world.tick_all();
    world.assent(&["export", "--change", &id, "--out", to.to_str().unwrap()]).ok();
}

fn first_root_in_words(world: &World) -> String {
    let shown = world.assent(&["site", "show"]).ok();
    let line = shown.out.lines().find_map(|line| line.strip_prefix("in words"));
    line.unwrap_or_else(|| panic!("{shown}")).trim().to_owned()
}

#[test]
fn a_host_of_a_lost_site_changes_to_a_new_one_and_says_where_it_came_from() {
    let home = tempfile::tempdir().unwrap();
    let (root, old_bundle, new_bundle) =
        (home.path().join("a1"), home.path().join("old.tar"), home.path().join("new.tar"));
    // Its governance keys are lost; the server is away at first, and comes back when somebody finds it in a cellar.
    let mut old = World::new("reset_trust::old", Database::Sqlite).unwrap();
    old.join_at("a1", "production", &root);
    run_and_export(&mut old, "1.0.0", "old", &old_bundle);
    let (agent, key) = (old.hosts["a1"].agent(), old.hosts["a1"].key().public());
    let old_site = old.get("/v1/site").json()["site"].as_str().unwrap().to_owned();
    old.stop_server();

    let mut new = World::new("reset_trust::new", Database::Sqlite).unwrap();
    let words = new.join_words("a1", "production", &root);
    let six = first_root_in_words(&new);
    let reset = |words: &[String], six: &str| {
        let mut command = new.agent(&new.hosts["a1"], &["reset-trust"]);
        Said::of(command.args(words).args(["--words", six]))
    };
    let before = std::fs::read_to_string(root.join("var/lib/assent/site.json")).unwrap();
    let wrong = reset(&words, "abandon abandon abandon abandon abandon abandon");
    assert_eq!(wrong.code, 1, "{wrong}");
    assert!(wrong.err.contains("not the words of the new first root"), "{wrong}");
    assert!(wrong.out.contains(&old_site) && wrong.out.contains(&six), "{wrong}");
    let mut foreign = words.clone();
    let at = foreign.iter().position(|word| word == "--pin").unwrap();
    foreign[at + 1] = "00".repeat(32);
    assert_eq!(reset(&foreign, &six).code, 3, "another server");
    assert_eq!(std::fs::read_to_string(root.join("var/lib/assent/site.json")).unwrap(), before);

    let said = reset(&words, &six).ok();
    assert!(said.out.contains("this host belongs to site "), "{said}");
    new.has_joined("a1");
    let host = &new.hosts["a1"];
    assert_eq!((host.agent(), host.key().public()), (agent, key), "the host keeps its key");
    assert_eq!(host.read("/etc/motd").as_deref(), Some("old\n"), "what was applied stays");
    let former =
        std::fs::read_dir(root.join("var/lib/assent/former")).unwrap().next().unwrap().unwrap().path();
    assert!(former.to_str().unwrap().ends_with(&old_site), "{former:?}");
    assert_eq!(std::fs::read_to_string(former.join("site.json")).unwrap(), before);

    // Nothing of the old site counts here; the new one plans, approves and runs its own.
    run_and_export(&mut new, "1.0.0", "new", &new_bundle);
    assert_eq!(new.hosts["a1"].read("/etc/motd").as_deref(), Some("new\n"));
    new.check();
    let verify = |bundle: &Path| Said::of(Command::new(own("assent")).arg("verify").arg(bundle)).ok();
    assert!(!verify(&old_bundle).all().contains("came from"));
    let proven = verify(&new_bundle).all();
    assert!(proven.contains(&format!("a1 came from site {old_site} (first root ")), "{proven}");
    assert!(proven.contains("is enclosed and holds"), "{proven}");

    // What the old server never got: for whoever audits it, and for that server when it is there again.
    let name = former.file_name().unwrap().to_str().unwrap();
    let agent = |words: &[&str]| Said::of(&mut new.agent(&new.hosts["a1"], words));
    let listed = agent(&["former", "list"]).ok().out;
    assert!(listed.contains(&format!("{name}: site {old_site}, 1 statements not delivered")), "{listed}");
    agent(&["former", "send", "../.."]).refused("has left no site of that name");
    let nobody = agent(&["former", "send", name]);
    assert!(nobody.code == 3 && nobody.err.contains("former export"), "{nobody}");
    let kept = home.path().join("a1.former");
    agent(&["former", "export", name, "--out", kept.to_str().unwrap()]).ok();
    let told = verify(&kept).all();
    assert!(
        told.contains("left the site") && told.contains("not delivered") && told.contains("receipt"),
        "{told}"
    );
    let text = std::fs::read_to_string(&kept).unwrap();
    for (from, to) in [("\"payload\":\"ey", "\"payload\":\"eX"), (old_site.as_str(), "00112233aabbccdd")] {
        std::fs::write(&kept, text.replacen(from, to, 1)).unwrap();
        Said::of(Command::new(own("assent")).arg("verify").arg(&kept)).refused("does not hold");
    }
    old.start_server();
    let sent = agent(&["former", "send", name]).ok().out;
    assert!(sent.contains("1 statements are proven"), "{sent}");
    assert!(agent(&["former", "list"]).ok().out.contains("0 statements not delivered"));
    old.assent(&[
        "export",
        "--change",
        "C-1",
        "--out",
        old_bundle.with_extension("late.tar").to_str().unwrap(),
    ])
    .ok();
    let proven = verify(&old_bundle.with_extension("late.tar")).all();
    assert!(proven.contains(&format!("host {} left for site ", new.hosts["a1"].agent())), "{proven}");
    new.check();
}
