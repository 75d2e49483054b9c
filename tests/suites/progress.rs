//! Watching a change while it runs: what hosts tell, an operator's halt, and everything that breaks in between.

use shared::keys::SigningKey;
use shared::progress::{Event, Progress, What};
use shared::receipt::StepStatus;
use shared::statement::Statement;
use shared::wire::{ChangeFile, ProgressPage};
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::http::Message;
use tests::world::{Database, Host, NewChange};
use tests::{World, check};

/// Steps of so many seconds, one after the other.
fn slow(steps: usize, seconds: usize) -> String {
    let step = |n: usize| {
        let after = if n > 1 { format!(", requires: [\"command:s{}\"]", n - 1) } else { String::new() };
        format!(
            "  - command: {{name: s{n}, run: [/bin/sh, -c, \"echo said {n}; sleep {seconds}\"], needed: always{after}}}\n"
        )
    };
    format!("resources:\n{}", (1..=steps).map(step).collect::<String>())
}

/// A command that is read while it runs.
struct Following {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Following {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        for pipe in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
            let into = text.clone();
            std::thread::spawn(move || {
                for line in std::io::BufReader::new(pipe).lines().map_while(Result::ok) {
                    into.lock().unwrap().push_str(&format!("{line}\n"));
                }
            });
        }
        Self { child, text }
    }

    fn watch(world: &World, id: &str) -> Self {
        Self::start(world.command(&world.site(), &["change", "watch", id]))
    }

    fn until(&mut self, text: &str) {
        let started = Instant::now();
        while !self.text.lock().unwrap().contains(text) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{text:?} is not in {}",
                self.text.lock().unwrap()
            );
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.text.lock().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Exit code and all that it said.
    fn end(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(90), "{}", self.text.lock().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        let code = self.child.wait().unwrap().code();
        // The last lines may still be on their way through the pipes.
        std::thread::sleep(Duration::from_millis(200));
        let text = self.text.lock().unwrap().clone();
        (code, text)
    }
}

/// A joined host with an approved change of slow steps.
fn ready(world: &mut World, steps: usize, seconds: usize) -> (Host, String) {
    world.join("a1", "production");
    world.publish("slow", "1.0.0", &slow(steps, seconds)).ok();
    let id = world.request_and_approve(&NewChange { manifests: &["slow@1.0.0"], ..NewChange::default() });
    world.settle();
    (world.hosts["a1"].clone(), id)
}

on_both! {
    fn a_halt_reaches_a_running_host_before_its_next_step_and_whoever_watches_sees_it(world) {
        let (host, id) = ready(world, 6, 8);
        let agent = Following::start(world.agent(&host, &["once"]));
        let mut watch = Following::watch(world, &id);
        watch.until("1/6 run command:s1 done");
        world.assent(&["change", "halt", &id, "--note", "the shop is down"]).ok();
        let (_, said) = agent.end();
        let receipt = host.receipt(&id).unwrap_or_else(|| panic!("no receipt: {said}"));
        let done = receipt.body.results.iter().filter(|step| step.status == StepStatus::Done).count();
        assert_eq!(done, 2, "the step that ran when it was halted is the last one: {:#?}", receipt.body);
        assert!(receipt.body.note.contains("halted"), "{}", receipt.body.note);
        let (code, text) = watch.end();
        assert_eq!(code, Some(1), "{text}");
        for expected in ["begins, 6 steps", "| said 1", "2/6 run command:s2 …", "2/6 run command:s2 done", "FAILED", "by its signed receipt"] {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        assert!(!text.contains("3/6 run"), "{text}");

        // Who comes late sees what was, in both forms.
        let late = world.assent(&["change", "watch", &id]);
        assert!(late.code == 1 && late.out.contains("2/6 run command:s2 done"), "{late}");
        let json = world.assent(&["change", "watch", &id, "--host", "a1", "--json"]);
        let lines: Vec<serde_json::Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (last, messages) = lines.split_last().unwrap();
        assert!(messages.len() > 2 && messages.iter().all(|m| m["message"]["change_id"] == id.as_str()), "{json}");
        assert_eq!(last["hosts"][0]["outcome"], receipt.body.outcome.as_str());
        let from = messages[messages.len() - 2]["place"].to_string();
        let rest = world.assent(&["change", "watch", &id, "--after", &from, "--json"]);
        assert_eq!(rest.out.lines().count(), 2, "{rest}");
        check::accept(world, "a1");
    }
}

on_both! {
    fn a_server_that_goes_and_comes_changes_nothing_of_a_run_and_is_told_the_rest(world) {
        let (host, id) = ready(world, 4, 4);
        let agent = Following::start(world.agent(&host, &["once"]));
        let mut watch = Following::watch(world, &id);
        watch.until("1/4 run command:s1 done");
        world.kill_server();
        watch.until("asking again");
        world.start_server();
        let (code, said) = agent.end();
        assert_eq!(code, Some(0), "{said}");
        let took = host.receipt(&id).unwrap().body;
        assert!(took.finished.since(took.started) < 4 * 4 + 6, "{took:?}");
        let (code, text) = watch.end();
        assert_eq!(code, Some(0), "{text}");
        for expected in ["4/4 run command:s4 done", "ended: applied", "applied, by its signed receipt"] {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        assert!(!text.contains("missing"), "{text}");
        check::accept(world, "a1");
    }
}

on_both! {
    fn an_agent_that_was_killed_in_a_run_goes_on_telling_of_it(world) {
        let (host, id) = ready(world, 3, 4);
        let mut agent = Following::start(world.agent(&host, &["once"]));
        let mut watch = Following::watch(world, &id);
        watch.until("2/3 run command:s2 …");
        agent.child.kill().unwrap();
        agent.child.wait().unwrap();
        world.tick_unchecked("a1");
        let (code, text) = watch.end();
        assert_eq!(code, Some(1), "{text}");
        for expected in ["goes on after the agent was started again", "ended: failed", "failed, by its signed receipt"] {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        check::accept(world, "a1");
    }
}

on_both! {
    fn what_is_told_of_a_run_is_the_hosts_own_bounded_and_the_same_on_all_nodes(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        if world.database == Database::Postgresql {
            world.add_node();
        }
        let file = world.change_file(&id);
        let post = |from: &str, body: Vec<u8>| {
            let reply = world.as_host(from).send(Message::request("POST", "/agent/v1/progress", &body));
            (reply.status(), reply.text())
        };
        let key = world.hosts["a1"].key();
        let good = message(&file, &key, 1, "\u{1b}[2Jhello").to_bytes();
        assert_eq!(post("a1", good.clone()).0, 204);
        assert_eq!(post("a1", good.clone()).0, 204, "a replay");
        assert_eq!(post("a1", message(&file, &key, 1, "instead").to_bytes()).0, 204);
        let stranger = SigningKey::from_seed(&[9; 32]);
        let mut stolen = message(&file, &key, 2, "x").body;
        stolen.agent_id = stranger.public().agent_id();
        let mut other = message(&file, &key, 2, "x").body;
        other.change = shared::digest::Digest::of(b"another");
        for (from, body, status, why) in [
            ("a2", good.clone(), 403, "statement.other_host"),
            ("a1", message(&file, &stranger, 1, "x").to_bytes(), 403, "statement.other_host"),
            ("a1", Statement::sign(stolen, &key).to_bytes(), 422, "statement.invalid"),
            ("a1", Statement::sign(message(&file, &key, 2, "x").body, &stranger).to_bytes(), 422, "statement.invalid"),
            ("a1", Statement::sign(other, &key).to_bytes(), 404, "progress.not_expected"),
            ("a1", message(&file, &key, 2, &"x".repeat(2_000)).to_bytes(), 422, "statement.invalid"),
            ("a1", vec![b'{'; 200 << 10], 413, "request.rejected"),
            ("a1", b"{}".to_vec(), 422, "statement.invalid"),
        ] {
            let (found, text) = post(from, body);
            assert!(found == status && text.contains(why), "{why}: {found} {text}");
        }
        for node in 0..world.nodes.len() {
            let request = Message::request("GET", &format!("/v1/changes/{id}/progress"), b"");
            let reply = world.people_of(node).send(request.with("authorization", &format!("Bearer {}", world.token())));
            let page: ProgressPage = serde_json::from_slice(&reply.body).unwrap();
            let told: Vec<Vec<u8>> = page.messages.iter().map(|line| line.statement.to_bytes()).collect();
            assert_eq!((told, page.hosts.len()), (vec![good.clone()], 2));
        }
        // A flood is told to wait, once the first 300 and what is added each minute are used up.
        let started = Instant::now();
        let is_refused = |n: &u64| post("a1", message(&file, &key, *n, "x").to_bytes()).0 == 429;
        let refused = (2..2_000).find(is_refused).expect("a flood is told to wait");
        assert!(refused < 300 + 240 * (1 + started.elapsed().as_secs() / 60), "{refused}");

        // What a host writes steers no terminal, and a message that somebody bent in the database is not shown.
        world.assent(&["change", "withdraw", &id]).ok();
        let shown = world.assent(&["change", "watch", &id]);
        assert!(shown.out.contains("\\u{1b}[2Jhello") && !shown.out.contains('\u{1b}'), "{shown}");
        let bent = String::from_utf8(good).unwrap().replace("\"payload\":\"", "\"payload\":\"AAAA");
        let bent: String = bent.bytes().map(|byte| format!("{byte:02x}")).collect();
        let bytes = if world.database == Database::Postgresql { format!("'\\x{bent}'") } else { format!("X'{bent}'") };
        world.sql(&format!("UPDATE progress SET statement = {bytes} WHERE number = 1"));
        let shown = world.assent(&["change", "watch", &id]);
        assert!(!shown.out.contains("hello") && shown.err.contains("is not one of a host"), "{shown}");
    }
}

fn message(file: &ChangeFile, key: &SigningKey, number: u64, text: &str) -> Statement<Progress> {
    let change = Statement::<shared::change::Change>::open(file.change.clone()).unwrap();
    let body = Progress {
        site: change.body.site.clone(),
        agent_id: key.public().agent_id(),
        key: key.public(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        started: change.body.created,
        part: 1,
        number,
        lost: 0,
        events: vec![Event { at: change.body.created, what: What::Note { text: text.into() } }],
    };
    Statement::sign(body, key)
}
