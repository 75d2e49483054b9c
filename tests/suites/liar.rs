//! A server that lies by leaving out, or shows a person something else than hosts get (research/trust.md §7, 1, 2, 31, 35, 45).

use shared::approval::Decision;
use shared::bundle::Bundle;
use shared::refusal::Code;
use shared::statement::Statement;
use shared::tuf::Snapshot;
use std::sync::{Arc, Mutex};
use tests::World;
use tests::forge::target;
use tests::http::Message;
use tests::world::NewChange;

const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
const HOUR: i64 = 3_600;

fn file(name: &str) -> String {
    format!("resources:\n  - file: {{path: /etc/{name}, content: \"x\\n\"}}\n")
}

/// Changes that the lead has approved, each of one file, with a window of its own.
fn approved(world: &mut World, wanted: &[(&str, &str)]) -> Vec<Bundle> {
    world.join("a1", "production");
    let ids: Vec<String> = wanted
        .iter()
        .map(|(name, window)| {
            world.publish(name, "1.0.0", &file(name)).ok();
            let manifest = format!("{name}@1.0.0");
            world.draft(&NewChange { manifests: &[&manifest], window, ..NewChange::default() })
        })
        .collect();
    ids.iter().for_each(|id| world.submit(id));
    world.tick("a1");
    let lead = world.own_key("approver");
    let with_yes = |id: &String| {
        let mut bundle = world.bundle(id);
        let yes = world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &lead, |_| {});
        bundle.approvals = vec![yes];
        bundle
    };
    ids.iter().map(with_yes).collect()
}

on_both! {
    /// 31: what everybody knows to be withdrawn can be hidden from hosts, and then runs: in its signed window and not
    /// a moment longer, which is the limit that the README names
    fn a_hidden_withdrawal_is_worth_nothing_outside_of_the_signed_window(world) {
        let (open, over) = ("now+2h..+4h", "now+1h..+1h");
        let wanted = [("hidden", open), ("over", over), ("shown", open), ("short", open), ("halted", open)];
        let [hidden, over, mut shown, mut short, halted] =
            <[Bundle; 5]>::try_from(approved(world, &wanted)).unwrap();
        let lead = world.own_key("approver");
        let said = |bundle: &Bundle, bend: &dyn Fn(&mut shared::approval::Approval)| {
            world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &lead, bend)
        };
        shown.approvals.push(said(&shown, &|a| (a.decision, a.at) = (Decision::Withdraw, a.at.plus(1))));
        short.approvals = vec![said(&short, &|a| a.expires = a.at.plus(HOUR))];
        let all = [&hidden, &over, &shown, &short, &halted];
        let id = |bundle: &Bundle| bundle.change.body.change_id.to_string();
        // Everything is withdrawn on the server, which keeps that to itself.
        all.iter().for_each(|bundle| drop(world.assent(&["change", "withdraw", &id(bundle)]).ok()));
        let listed: Vec<_> = all.iter().map(|bundle| target(bundle)).collect();
        let serve = |world: &World| world.take_over(world.forge(&listed));
        let none = |world: &World| wanted.iter().all(|(name, _)| !world.hosts["a1"].path(&format!("/etc/{name}")).exists());
        let codes = |world: &World, bundle: &Bundle| world.hosts["a1"].refusal_codes(&id(bundle));
        serve(world);
        world.tick("a1");
        assert!(none(world), "before any window nothing runs");
        world.shift_clock(3 * HOUR);
        serve(world);
        world.tick_until_receipt("a1", &id(&hidden));
        world.tick("a1");
        assert!(world.hosts["a1"].path("/etc/hidden").exists(), "the limit that the README names");
        for (bundle, name, code) in
            [(&over, "over", "time.over"), (&shown, "shown", "approval.withdrawn"), (&short, "short", "approval.expired")]
        {
            let found = codes(world, bundle);
            assert!(found.iter().any(|found| found == code), "{name}: expected {code}, found {found:?}");
            assert!(!world.hosts["a1"].path(&format!("/etc/{name}")).exists(), "{name}");
            assert!(world.hosts["a1"].receipt(&id(bundle)).is_none(), "{name}");
        }
        world.settle_spool("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0, "refusals are on record");
    }
}

on_both! {
    /// 1, 2: everything is as it was once and was correctly signed then; what came after it is kept back
    fn a_repository_that_stands_still_stops_changes_and_not_the_agent(world) {
        let [mut bundle] = <[Bundle; 1]>::try_from(approved(world, &[("late", "now+26h..+4h")])).unwrap();
        // Good for longer than the files live that are kept back.
        let lead = world.own_key("approver");
        let lasting = |a: &mut shared::approval::Approval| a.expires = a.at.plus(47 * HOUR);
        bundle.approvals = vec![world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &lead, lasting)];
        let id = bundle.change.body.change_id.to_string();
        let frozen = world.forge(&[target(&bundle)]);
        world.take_over(frozen.clone());
        let said = world.tick("a1");
        assert!(said.all().contains("time.window"), "nothing but its window is missing: {said}");
        world.shift_clock(27 * HOUR);
        let until = world.now().plus(24 * HOUR);
        let older = |s: &mut Snapshot| (s.version, s.expires) = (s.version - 1, until);
        for (what, files, code) in [
            ("everything as it was", frozen.clone(), "tuf.expired"),
            ("a new timestamp over it", world.reseal(frozen.clone(), |_| ()), "tuf.expired"),
            // What a host keeps is over by now; what it has seen is its floor all the same.
            ("an older snapshot that is not over", world.reseal(frozen.clone(), older), "tuf.rollback"),
            ("a new timestamp and snapshot over it", world.reseal(frozen, |s| (s.version, s.expires) = (s.version + 1, until)), "tuf.expired"),
        ] {
            world.take_over(files);
            let said = world.tick("a1");
            assert!(said.all().contains(code), "{what}: {said}");
            let host = &world.hosts["a1"];
            assert!(host.receipt(&id).is_none() && !host.path("/etc/late").exists(), "{what}: {said}");
            let line = world.get("/v1/hosts").json()[0].clone();
            let seen = line["last_seen"].as_str().unwrap().parse::<shared::time::Timestamp>().unwrap();
            assert!(world.now().since(seen) < 300, "{what}: it is heard: {line}");
        }
        world.settle_spool("a1");
        let refusals = world.hosts["a1"].statements().refusals;
        for code in [Code::TufExpired, Code::TufRollback] {
            assert!(refusals.values().any(|r| r.body.reason.code == code), "{code} is on record");
        }
        assert_eq!(world.hosts["a1"].spooled(), 0);
        world.take_over(world.forge(&[target(&bundle)]));
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
    }
}

on_both! {
    /// 45: the server says that it has a statement, and threw it away
    fn a_server_that_says_it_has_a_receipt_and_has_not_gets_it_again(world) {
        let bundles = approved(world, &[("first", "now..+2h"), ("second", "now..+2h")]);
        let answers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let memory = answers.clone();
        world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
            let to_statements = request.path() == "/agent/v1/statements";
            let reply = ask(request);
            if to_statements && reply.status() == 200 {
                memory.lock().unwrap().push(reply.body.clone());
            }
            Some(reply)
        }));
        let id = |n: usize| bundles[n].change.body.change_id.to_string();
        world.approve(&id(0)).ok();
        world.tick_until_receipt("a1", &id(0));
        world.settle_spool("a1");
        let true_answer = answers.lock().unwrap().last().expect("a proof of the first receipt").clone();
        let mut bent: serde_json::Value = serde_json::from_slice(&true_answer).unwrap();
        bent["inclusion"]["index"] = 0.into();
        let lies: [(&str, Vec<u8>); 5] = [
            ("nothing", Vec::new()),
            ("an empty object", b"{}".to_vec()),
            ("the proof of the receipt before", true_answer.clone()),
            ("the same proof at another place", bent.to_string().into_bytes()),
            ("words", b"\"recorded\"".to_vec()),
        ];
        world.approve(&id(1)).ok();
        let lying = |body: Vec<u8>| -> Arc<tests::proxy::Hook> {
            Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| match request.path() {
                "/agent/v1/statements" => Some(Message::reply(200, &body)),
                _ => Some(ask(request)),
            })
        };
        for (what, body) in &lies {
            world.hook(lying(body.clone()));
            let said = world.tick("a1");
            let receipt = world.hosts["a1"].receipt(&id(1)).expect("it was applied");
            assert_eq!(receipt.body.outcome.as_str(), "applied");
            assert!(world.hosts["a1"].spooled() > 0, "{what} was believed: {said}");
            assert_eq!(world.change_file(&id(1)).receipts.len(), 0, "{what}");
        }
        world.proxy.through();
        world.settle_spool("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        assert_eq!(world.change_file(&id(1)).receipts.len(), 1, "it is there, once");
    }
}

type Lie = Box<dyn Fn(&mut serde_json::Value) + Send + Sync>;

on_both! {
    /// 35, and 20 at the desk: the server answers `assent approve` with something else than it gave the hosts
    fn whoever_approves_with_the_command_signs_what_is_shown_or_nothing(world) {
        world.join("a1", "production");
        world.publish("good", "1.0.0", MOTD).ok();
        world.publish("evil", "1.0.0", &MOTD.replace("Welcome", "Send all money")).ok();
        let new = |manifest| NewChange { manifests: manifest, ..NewChange::default() };
        let (good, evil) = (world.request(&new(&["good@1.0.0"])), world.request(&new(&["evil@1.0.0"])));
        let (asked, other) = (world.get(&format!("/v1/changes/{good}")).json(), world.get(&format!("/v1/changes/{evil}")).json());
        let mut own = world.bundle(&good).change.body;
        own.manifests = world.bundle(&evil).change.body.manifests;
        let own = serde_json::to_value(Statement::sign(own, &world.server_key("online")).envelope).unwrap();
        let put = |name: &'static str, value: serde_json::Value| -> Lie { Box::new(move |file| file[name] = value.clone()) };
        let field = |name: &'static str| put(name, other[name].clone());
        let whole = { let other = other.clone(); Box::new(move |file: &mut serde_json::Value| {
            let line = file["line"].clone();
            *file = other.clone();
            file["line"] = line;
        }) as Lie };
        let lies: Vec<(&str, Lie)> = vec![
            ("another change under its number", whole),
            ("the signed words of another change", field("change")),
            ("a change of his own", put("change", own)),
            ("plans for another change", field("plans")),
            ("no plans", put("plans", serde_json::json!([]))),
        ];
        let current = Arc::new(Mutex::new(None::<Lie>));
        let posted = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let hook = {
            let (current, posted, path) = (current.clone(), posted.clone(), format!("/v1/changes/{good}"));
            Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
                if request.method() == "POST" {
                    posted.lock().unwrap().push(request.body.clone());
                }
                let is_file = request.method() == "GET" && request.path() == path;
                let reply = ask(request);
                let lie = current.lock().unwrap();
                let Some(lie) = lie.as_ref().filter(|_| is_file && reply.status() == 200) else { return Some(reply) };
                let mut file = reply.json();
                lie(&mut file);
                Some(reply.carrying(file.to_string().as_bytes()))
            })
        };
        let (_proxy, dir) = world.deceived(hook);
        let dir = dir.as_path();
        let approve = || world.assent_at(dir, &["approve", &good, "--yes", "--expires", "24h"]);
        for (what, lie) in lies {
            *current.lock().unwrap() = Some(lie);
            let said = approve();
            assert_ne!(said.code, 0, "{what}: {said}");
            assert!(posted.lock().unwrap().is_empty(), "{what}: something was signed and sent: {said}");
        }
        // Words are no document: the command shows its own, and what it signs is what it shows.
        *current.lock().unwrap() = Some(field("words"));
        let (true_words, false_words) = (asked["words"].as_str().unwrap(), other["words"].as_str().unwrap());
        let said = approve().ok();
        assert!(said.out.contains(true_words) && !said.all().contains(false_words), "{true_words}: {said}");
        let approvals = world.bundle(&good).approvals;
        assert_eq!(approvals.len(), 1);
        assert_eq!(approvals[0].body.change, world.bundle(&good).change.digest);
        world.settle();
        world.tick_until_receipt("a1", &good);
        assert_eq!(world.hosts["a1"].read("/etc/motd").as_deref(), Some("Welcome\n"));
        assert!(world.hosts["a1"].receipt(&evil).is_none());
    }
}
