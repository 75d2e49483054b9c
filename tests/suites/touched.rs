//! A real agent asleep: nothing wakes it, until somebody touches what it watches.

use std::process::Stdio;
use std::time::{Duration, Instant};
use tests::check;
use tests::programs::sleeps;
use tests::world::NewChange;

fn until(what: &str, longest: Duration, mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() {
        assert!(started.elapsed() < longest, "waited {longest:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

on_both! {
    fn a_touched_file_is_compared_within_seconds_and_nothing_wakes_the_agent_otherwise(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n").ok();
        let id = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        world.tick_until_receipt("a1", &id);
        let host = world.hosts["a1"].clone();
        std::fs::write(host.path("/etc/assent/agent.toml"), "poll_secs = 3600\ncheck_secs = 86400\n").unwrap();
        check::accept(world, "a1");
        let status = host.path("/var/lib/assent/status.json");
        std::fs::remove_file(&status).unwrap();
        let mut agent = world.agent(&host, &["run"]);
        let mut agent = agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the first tick", Duration::from_secs(60), || status.exists());
        std::thread::sleep(Duration::from_secs(2));
        // The one that acts, and the one that talks to the network.
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.id())).unwrap();
        let courier: u32 = children.trim().parse().unwrap_or_else(|_| panic!("one network process: {children:?}"));
        let both = || [agent.id(), courier].map(sleeps);
        let before = both();
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(both(), before, "something wakes an agent that has nothing to do");
        std::fs::write(host.path("/etc/motd"), "by hand\n").unwrap();
        until("the finding", Duration::from_secs(20), || !host.statements().findings.is_empty());
        agent.kill().unwrap();
        agent.wait().unwrap();
        check::accept(world, "a1");
    }
}
