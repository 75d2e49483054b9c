//! The slots of the agent on private roots, with real programs: what is tried, what runs, and what does not get there.

use std::path::PathBuf;
use std::sync::Arc;
use tests::http::Message;
use tests::programs::{Said, agent_as};
use tests::world::NewChange;
use tests::{Database, World};

/// A site with a vendor of three keys, and one host.
fn site(name: &str) -> Option<(World, Vec<PathBuf>)> {
    let mut world = World::new(name, Database::Sqlite)?;
    world.join("a1", "production");
    let keys = world.add_vendor(3);
    world.tick("a1");
    Some((world, keys))
}

fn status(world: &World) -> String {
    Said::of(&mut world.agent(&world.hosts["a1"], &["status"])).ok().out
}

/// Requested; the code of the refusal, or none when the host planned it and it was approved.
fn requested(world: &mut World, manifest: &str, more: &[&str]) -> (String, Option<String>) {
    let id = world.request(&NewChange { manifests: &[manifest], more, ..NewChange::default() });
    let refused = world.hosts["a1"].refusal_codes(&id).pop();
    if refused.is_none() {
        world.approve(&id).ok();
    }
    (id, refused)
}

/// A foreign program with a good mark.
fn foreign(world: &World, program: &str, version: &str) -> PathBuf {
    let real = std::fs::read(agent_as("0.2.0", world.path("").as_path())).unwrap();
    let (_, target) = shared::release::marked(&real).unwrap();
    let mut bytes = std::fs::read(program).unwrap();
    bytes.extend(shared::release::mark(version, &target.to_string()).into_bytes());
    let path = world.path(&format!("foreign-{version}"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn slot(world: &World, name: &str) -> PathBuf {
    world.hosts["a1"].state().join("slots").join(name)
}

#[test]
fn a_host_goes_on_as_the_new_program_and_back_from_one_that_fails() {
    let Some((mut world, keys)) = site("slots::goes_on") else { return };
    let program = agent_as("0.2.0", &world.path(""));
    let release = world.release(&program, &keys[1..]);
    world.assent(&["release", "verify", release.to_str().unwrap(), program.to_str().unwrap()]).ok();
    let manifest = world.publish_program(&program, &release, |text| text);
    let (id, refused) = requested(&mut world, &manifest, &[]);
    assert_eq!(refused, None);
    let receipt = world.tick_until_receipt("a1", &id);
    assert_eq!(receipt.body.outcome.as_str(), "applied", "{:#?}", receipt.body);
    assert_eq!(receipt.body.header.agent_version.to_string(), "0.2.0");
    assert!(status(&world).contains("0.2.0 (slot a)"), "{}", status(&world));
    assert_eq!(std::fs::read(slot(&world, "a")).unwrap(), std::fs::read(&program).unwrap());

    // While the server is away no program can show that it works: that ends the run, and proves nothing.
    std::fs::write(world.hosts["a1"].path("/etc/assent/agent.toml"), "trial_secs = 5\n").unwrap();
    tests::check::accept(&mut world, "a1");
    let program = agent_as("0.2.5", &world.path(""));
    let release = world.release(&program, &keys[1..]);
    let manifest = world.publish_program(&program, &release, |text| text);
    let (id, _) = requested(&mut world, &manifest, &[]);
    let file = slot(&world, "slots.json");
    world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let on_trial =
            std::fs::read_to_string(&file).is_ok_and(|slots| slots.contains(r#""stage":"trying""#));
        (!on_trial).then(|| ask(request))
    }));
    let receipt = world.tick_until_receipt("a1", &id);
    assert_eq!(receipt.body.outcome.as_str(), "rolled_back", "{:#?}", receipt.body);
    assert!(
        receipt.body.note.contains("0.2.0, which does the work now, cannot either"),
        "{}",
        receipt.body.note
    );
    world.proxy.through();
    let id = world.request(&NewChange { manifests: &[&manifest], ..NewChange::default() });
    assert_eq!(world.hosts["a1"].refusal_codes(&id), Vec::<String>::new(), "it may come again");

    // Those that follow fail their trial: the second version stays, and none of them comes again.
    let hangs = world.file("hangs", "#!/bin/sh\nexec sleep 60\n");
    let leaves = "#!/bin/sh\n[ $1 = trial ] && { echo healthy 0.3.3; exit 0; }\nexit 9\n";
    let leaves = world.file("leaves", leaves);
    for (program, version, why) in [
        ("/bin/false", "0.3.0", "0.3.0 ended with exit code 1 without"),
        ("/bin/true", "0.3.1", "0.3.1 did not report as itself"),
        (hangs.to_str().unwrap(), "0.3.2", "0.3.2 was ended after 5 s without"),
        (leaves.to_str().unwrap(), "0.3.3", "0.3.3 reported healthy, and then 3 times did not take over"),
    ] {
        let program = foreign(&world, program, version);
        let release = world.release(&program, &keys[..2]);
        let manifest = world.publish_program(&program, &release, |text| text);
        let (id, _) = requested(&mut world, &manifest, &[]);
        // Whoever starts the agent again and again, as systemd does.
        let ends = (0..5).map(|_| world.tick_unchecked("a1").code).filter(|code| *code == 9).count();
        assert_eq!(ends, if version == "0.3.3" { 3 } else { 0 }, "{version}");
        let receipt = world.tick_until_receipt("a1", &id);
        assert_eq!(receipt.body.outcome.as_str(), "rolled_back", "{:#?}", receipt.body);
        assert!(receipt.body.note.contains(why), "{}", receipt.body.note);
        assert!(status(&world).contains("0.2.0 (slot a)"), "{}", status(&world));
        assert!(!slot(&world, "b").exists());
        assert_eq!(requested(&mut world, &manifest, &[]).1.as_deref(), Some("plan.quarantined"));
    }

    // Its first tick has kept it in its place. One that never ends a tick is not started for ever.
    let file = slot(&world, "slots.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains(r#""current":"a""#) && !kept.contains("unproven"), "{kept}");
    let after =
        |starts: u32| kept.replace(r#""current":"a""#, &format!(r#""unproven":{starts},"current":"a""#));
    std::fs::write(&file, after(2)).unwrap();
    world.tick("a1");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept, "it has shown that it works");
    std::fs::write(&file, after(3)).unwrap();
    let said = world.tick_unchecked("a1");
    assert!(said.code == 3 && said.all().contains("took the place and was started 3 times"), "{said}");
    assert!(!status(&world).contains("(slot"), "{}", status(&world));
    std::fs::write(&file, kept).unwrap();
    world.tick("a1");
    assert!(status(&world).contains("0.2.0 (slot a)"), "{}", status(&world));

    // Damage is not run: the packaged program stands in and says so.
    let mut bytes = std::fs::read(slot(&world, "a")).unwrap();
    bytes[4_000] ^= 1;
    std::fs::write(slot(&world, "a"), bytes).unwrap();
    let said = world.tick_unchecked("a1");
    assert!(said.code == 3 && said.all().contains("is damaged"), "{said}");
    assert!(!status(&world).contains("(slot"), "{}", status(&world));
}

/// What a server that was taken over, or anybody without the vendor's keys, can offer.
#[test]
fn no_program_comes_without_its_vendor() {
    let Some((mut world, keys)) = site("slots::vendor") else { return };
    let program = agent_as("0.2.0", &world.path(""));
    let alone = world.release(&program, &keys[..1]);
    let manifest = world.publish_program(&program, &alone, |text| text);
    world.assent(&["release", "verify", alone.to_str().unwrap()]).refused("signed by 1 of the vendor's keys");
    assert_eq!(requested(&mut world, &manifest, &[]).1.as_deref(), Some("release.unsigned"));

    // The statement is about other bytes than those that the server hands out.
    let program = foreign(&world, "/bin/true", "0.4.0");
    let release = world.release(&program, &keys[..2]);
    let other =
        ["release", "cosign", release.to_str().unwrap(), "/bin/true", "--key", keys[2].to_str().unwrap()];
    world.assent(&other).refused("is no program of the agent");
    let manifest = world.publish_program(&program, &release, |text| text);
    let (id, refused) = requested(&mut world, &manifest, &[]);
    assert_eq!(refused, None);
    world.hook(Arc::new(|request: Message, ask: &dyn Fn(Message) -> Message| {
        let wanted = request.path().starts_with("/agent/v1/artifacts/");
        let mut reply = ask(request);
        if wanted && let Some(last) = reply.body.last_mut() {
            *last ^= 1;
        }
        Some(reply)
    }));
    world.tick("a1");
    let codes = world.hosts["a1"].refusal_codes(&id);
    assert!(codes.contains(&"artifact.digest".to_owned()), "{codes:?}");
    assert!(world.hosts["a1"].receipt(&id).is_none() && !slot(&world, "a").exists());
    assert!(!status(&world).contains("(slot"), "{}", status(&world));
}
