//! The network process of a real agent: what it may, and that the agent outlives it.

use std::process::Stdio;
use std::time::{Duration, Instant};
use tests::world::NewChange;

/// A field of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn child_of(parent: u32) -> Option<u32> {
    let tasks = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    tasks.split_whitespace().next()?.parse().ok()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

on_both! {
    fn the_process_that_talks_to_the_network_has_no_rights_and_the_agent_outlives_it(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n").ok();
        let host = world.hosts["a1"].clone();
        std::fs::write(host.path("/etc/assent/agent.toml"), "poll_secs = 1\n").unwrap();
        let mut agent = world.agent(&host, &["run"]);
        let mut agent = agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let courier = until("the network process", || child_of(agent.id()).filter(|pid| status(*pid, "Seccomp") == "2"));
        assert_eq!(status(courier, "NoNewPrivs"), "1");
        assert_eq!(status(courier, "CapEff"), "0000000000000000");
        let own = status(agent.id(), "Uid");
        assert!(!own.starts_with("0 ") || !status(courier, "Uid").split(' ').any(|uid| uid == "0"), "{own}");
        // Neither does it hold what signs, nor does the agent hold a socket of the network.
        let sockets = |pid: u32| {
            let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let inodes = links.filter_map(|link| Some(std::fs::read_link(link.path()).ok()?.display().to_string()));
            inodes.filter_map(|text| Some(text.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())).collect::<Vec<_>>()
        };
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let of_network = |pid| sockets(pid).into_iter().filter(|inode| tcp.contains(&format!(" {inode} "))).count();
        assert_eq!(of_network(agent.id()), 0);

        // It is killed again and again, also while a change is under way.
        let id = world.draft(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        world.submit(&id);
        let kill = |agent: u32| {
            if let Some(pid) = child_of(agent) {
                drop(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status());
            }
        };
        until("a plan", || {
            kill(agent.id());
            (world.change_file(&id).line.plans == 1).then_some(())
        });
        world.approve(&id).ok();
        until("the change", || {
            kill(agent.id());
            (world.change_file(&id).line.reported == 1).then_some(())
        });
        assert_eq!(host.read("/etc/motd").as_deref(), Some("Welcome\n"));
        let rss: Vec<String> = [agent.id(), courier].iter().map(|pid| status(*pid, "VmRSS")).collect();
        println!("resident: {rss:?}");
        assert!(agent.try_wait().unwrap().is_none(), "the agent has ended");
        agent.kill().unwrap();
        agent.wait().unwrap();
        tests::check::accept(world, "a1");
    }
}
