//! The network process of a real agent: what it may, and that the agent outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::programs::{Said, has_tool};
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
        // Not for ever: on a busy machine each of them may be gone before it has carried anything.
        let kill = |agent: u32, left: &mut u32| {
            *left = left.saturating_sub(1);
            if *left > 0 && let Some(pid) = child_of(agent) {
                drop(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status());
            }
        };
        let (mut first, mut second) = (40, 40);
        until("a plan", || {
            kill(agent.id(), &mut first);
            (world.change_file(&id).line.plans == 1).then_some(())
        });
        world.approve(&id).ok();
        until("the change", || {
            kill(agent.id(), &mut second);
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

/// What a traced process and its threads and children did, by process id (strace -ff).
struct Traces(BTreeMap<u32, String>);

impl Traces {
    fn read(dir: &std::path::Path) -> Self {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let pid = |path: &std::path::Path| path.extension()?.to_str()?.parse().ok();
        let read = |path: std::path::PathBuf| Some((pid(&path)?, std::fs::read_to_string(&path).unwrap()));
        Self(files.filter_map(read).collect())
    }

    /// Network processes with their threads.
    fn network(&self) -> BTreeSet<u32> {
        let starts = |text: &String| text.contains("[\"/proc/self/exe\", \"courier\"]");
        let mut found: BTreeSet<u32> =
            self.0.iter().filter(|(_, text)| starts(text)).map(|(pid, _)| *pid).collect();
        loop {
            let known = found.len();
            let begun = |pid: &u32| -> Vec<u32> {
                let lines = self.0[pid].lines().filter(|line| line.starts_with("clone"));
                lines.filter_map(|line| line.rsplit(" = ").next()?.trim().parse().ok()).collect()
            };
            found.extend(
                found.iter().flat_map(begun).filter(|pid| self.0.contains_key(pid)).collect::<Vec<_>>(),
            );
            if found.len() == known {
                return found;
            }
        }
    }
}

/// Answers HTTP requests until the test ends; the port.
fn answering() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = [0; 1_024];
            // A check of kind tcp says nothing and wants nothing.
            if stream.read(&mut seen).is_ok_and(|n| n > 0) {
                drop(stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall is well"));
            }
        }
    });
    port
}

on_both! {
    fn what_changes_the_machine_opens_no_socket_to_the_network_not_even_for_health_checks(world) {
        if !has_tool(module_path!(), "strace") {
            return;
        }
        world.join("a1", "production");
        let (http, tcp) = (answering(), answering());
        let body = format!(
            "resources:\n  - file: {{path: /etc/motd, content: \"Welcome\\n\"}}\nhealth:\n  \
             - {{name: web, http: {{url: \"http://localhost:{http}/\", contains: well}}}}\n  \
             - {{name: port, tcp: {{host: localhost, port: {tcp}}}}}\n"
        );
        world.publish("base", "1.0.0", &body).ok();
        let id = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let host = world.hosts["a1"].clone();
        let dir = world.path("traces");
        std::fs::create_dir(&dir).unwrap();
        let agent = world.agent(&host, &["once"]);
        let mut traced = Command::new("strace");
        traced.args(["-ff", "-qq", "-e", "trace=execve,socket,connect,clone,clone3,vfork,fork", "-o"]);
        traced.arg(dir.join("call")).arg(agent.get_program()).args(agent.get_args());
        traced.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Said::of(&mut traced).ok();
        let receipt = host.receipt(&id).expect("a receipt");
        assert!(receipt.body.health.len() == 2 && receipt.body.health.iter().all(|h| h.ok), "{:?}", receipt.body);

        let traces = Traces::read(&dir);
        let network = traces.network();
        let (theirs, ours): (Vec<_>, Vec<_>) = traces.0.iter().partition(|(pid, _)| network.contains(pid));
        for (pid, text) in &ours {
            assert!(!text.contains("AF_INET"), "process {pid}: {text}");
        }
        let connects = |port: u16| {
            let to = format!("htons({port})");
            theirs.iter().filter(|(_, text)| text.contains(&to)).map(|(pid, _)| **pid).collect::<BTreeSet<_>>()
        };
        let server = connects(world.proxy.address.port());
        for port in [http, tcp] {
            let seen = connects(port);
            assert!(seen.len() == 1 && seen.is_disjoint(&server), "{port}: {seen:?}, server {server:?}");
        }
        assert!(!server.is_empty());
    }
}
