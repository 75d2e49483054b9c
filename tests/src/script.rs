//! Scenarios as text that a person can read: one step a line, blocks are indented below their step.
//!
//! `C1`, `C2`, … stand for changes in the order in which a scenario names them. A step that must be refused is
//! written as `refused "TEXT" STEP`, and one that must print something as `says "TEXT" STEP`. `prints STEP` has the whole output
//! as its block, with `TIME` and `ID` in the place of what differs from run to run. `file NAME` writes a file of the person from its
//! block; `@NAME` is its path. `THIS-YEAR` is the period of the current year. `zone NAME as OTHER` gives a zone the clocks of another one.

use crate::apt::{Package, Repository};
use crate::check;
use crate::feed::Feed;
use crate::golden;
use crate::programs::Said;
use crate::world::{NewChange, Second, World};
use shared::time::{Interval, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

/// One line of a scenario.
#[derive(Clone, Debug)]
struct Step {
    line: usize,
    words: Vec<String>,
    block: String,
}

/// What a scenario has made so far.
struct Run<'w> {
    world: &'w mut World,
    changes: BTreeMap<String, String>,
    repository: Option<Repository>,
    second: Option<Second>,
    /// With the time from which its times count.
    feed: Option<(Feed, Timestamp)>,
    /// What `prints` has found, by its line, where it is to be written down and not compared.
    found: Option<BTreeMap<usize, String>>,
}

/// Plays a scenario on a new world.
///
/// # Panics
/// At the first step that does not end as written; the message has its line.
pub fn play(name: &str, text: &str, world: &mut World) {
    let found = std::env::var_os("UPDATE_GOLDEN").map(|_| BTreeMap::new());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    // What is written anew is read as it lies there now, not as it was built in.
    let now = found.as_ref().map(|_| std::fs::read_to_string(&path).unwrap());
    let text = now.as_deref().unwrap_or(text);
    let mut run = Run { world, changes: BTreeMap::new(), repository: None, second: None, feed: None, found };
    for step in parse(text) {
        let at = format!("{name}:{}: {}", step.line, step.words.join(" "));
        if let Err(why) = run.step(&step) {
            panic!("{at}\n{why}");
        }
        run.world.check();
    }
    if let Some(found) = run.found.filter(|found| !found.is_empty()) {
        std::fs::write(path, golden::written(text, &found)).unwrap();
    }
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with(' ') {
            let step = steps.last_mut().expect("a block belongs to a step");
            step.block.push_str(line.strip_prefix("  ").unwrap_or(line));
            step.block.push('\n');
        } else if !line.is_empty() && !line.starts_with('#') {
            steps.push(Step { line: number + 1, words: words(line), block: String::new() });
        }
    }
    steps
}

/// Splits at spaces; `"…"` is one word, in which `\n` is a line break.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or_else(|| panic!("no closing quote: {line}")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.replace("\\n", "\n"));
        rest = after.trim_start();
    }
    words
}

type Outcome = Result<(), String>;

fn ensure(holds: bool, found: impl std::fmt::Display) -> Outcome {
    if holds { Ok(()) } else { Err(format!("but: {found}")) }
}

fn done(said: Said) -> Outcome {
    ensure(said.code == 0, said)
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Outcome {
        let block = step.block.as_str();
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        match *words.as_slice() {
            ["repository"] => self.repository(block),
            ["feed"] => self.feed(block),
            ["hosts", ref names @ ..] => self.hosts(names),
            ["corrections", hours] => {
                self.world.let_corrections_stand(hours.parse().unwrap());
                Ok(())
            }
            ["second", "person"] => {
                self.second = Some(self.world.add_second_person());
                Ok(())
            }
            ["second", "approves", alias] => self.second_approves(alias),
            ["retroactive", alias, "accepts", ref findings @ ..] => {
                let id = self.world.accept_afterwards(findings);
                self.changes.insert(alias.into(), id);
                Ok(())
            }
            ["publish", name, version] => done(self.world.publish(name, version, block)),
            ["change", alias, manifest, "on", targets, "window", window, ref more @ ..] => {
                self.change(alias, manifest, targets, window, more)
            }
            ["refused", text, ref step @ ..] => self.refused(text, step),
            ["says", text, ref command @ ..] => {
                let args = self.command(command);
                let said = self.world.assent(&args.iter().map(String::as_str).collect::<Vec<_>>());
                ensure(said.code == 0 && said.out.contains(text), said)
            }
            ["prints", ref command @ ..] => {
                let args = self.command(command);
                let said = self.world.assent(&args.iter().map(String::as_str).collect::<Vec<_>>());
                let found = golden::plain(&said.out);
                match &mut self.found {
                    Some(all) if said.code == 0 => {
                        all.insert(step.line, found);
                        Ok(())
                    }
                    _ => ensure(said.code == 0 && found == golden::plain(block), format!("{found}\n{said}")),
                }
            }
            ["file", name] => {
                self.world.file(name, block);
                Ok(())
            }
            ["tick", who] => self.tick(who, 1),
            ["tick", who, times] => self.tick(who, times.trim_start_matches('x').parse().unwrap()),
            ["clock", shift] => {
                self.world.shift_clock(seconds(shift));
                Ok(())
            }
            ["clock-of-hosts", shift] => {
                self.world.offset += seconds(shift);
                Ok(())
            }
            ["server", what] => self.server(what),
            ["zone", name, "as", other] => {
                self.world.set_zone(name, other);
                Ok(())
            }
            ["write", host, path, text] => self.write(host, path, text),
            ["remove", host, path] => self.remove(host, path),
            ["install", host, ref packages @ ..] => self.install(host, packages),
            ["expect", ref what @ ..] => self.expect(what),
            ["verify", alias] => self.verify(alias),
            ref command => {
                let args = self.command(command);
                done(self.world.assent(&args.iter().map(String::as_str).collect::<Vec<_>>()))
            }
        }
    }

    /// `approve C1`, `reject C1 WHY`, and everything that begins with `assent` or is a subcommand of change.
    fn command(&self, words: &[&str]) -> Vec<String> {
        let id = |alias: &str| match (alias, &self.feed) {
            ("FEED", Some((feed, _))) => feed.url.clone(),
            ("THIS-YEAR", _) => this_year(self.world.now()),
            (name, _) if name.starts_with('@') => self.world.path(&name[1..]).display().to_string(),
            _ => self.changes.get(alias).cloned().unwrap_or_else(|| alias.to_owned()),
        };
        let all: Vec<String> = match *words {
            ["approve", alias] => {
                vec!["approve".into(), id(alias), "--yes".into(), "--expires".into(), "24h".into()]
            }
            ["reject", alias, why] => vec!["reject".into(), id(alias), "--comment".into(), why.into()],
            ["unapprove", alias] => vec!["withdraw".into(), id(alias)],
            [verb @ ("submit" | "halt" | "resume" | "withdraw"), alias] => {
                vec!["change".into(), verb.into(), id(alias)]
            }
            ["close", alias, outcome] => {
                vec!["change".into(), "close".into(), id(alias), "--outcome".into(), outcome.into()]
            }
            ["close", alias, outcome, note] => {
                let close = ["change", "close", &id(alias), "--outcome", outcome, "--note", note];
                close.map(str::to_owned).into()
            }
            ["assent", ref rest @ ..] => rest.iter().map(|word| id(word)).collect(),
            _ => panic!("no step is written like {words:?}"),
        };
        all
    }

    fn refused(&mut self, text: &str, step: &[&str]) -> Outcome {
        let said = match *step {
            ["publish", ..] => panic!("write what must be refused as an assent command"),
            _ => {
                let args = self.command(step);
                self.world.assent(&args.iter().map(String::as_str).collect::<Vec<_>>())
            }
        };
        ensure(said.code != 0 && said.all().contains(text), said)
    }

    /// A calendar of somebody else's, from now on with these times; its address is `FEED`.
    fn feed(&mut self, block: &str) -> Outcome {
        if self.feed.is_none() {
            self.world.reach("127.0.0.0/8");
        }
        let (feed, now) = self.feed.get_or_insert_with(|| (Feed::open(), self.world.now()));
        let at = |text: &str| if text == "now" { *now } else { now.plus(seconds(text)) };
        let time = |line: &str| {
            let (from, until) = line.split_once("..").expect("a time is written FROM..UNTIL");
            Interval { from: at(from), until: at(until) }
        };
        let times: Vec<Interval> = block.lines().map(time).collect();
        feed.say(&times);
        Ok(())
    }

    fn repository(&mut self, block: &str) -> Outcome {
        let lines: Vec<Vec<&str>> = block.lines().map(|line| line.split_whitespace().collect()).collect();
        let packages: Vec<Package<'_>> = lines
            .iter()
            .map(|line| Package { suite: line[0], name: line[1], version: line[2], postinst: "" })
            .collect();
        match &self.repository {
            None => self.repository = Some(Repository::new(&packages)),
            Some(repository) => {
                packages.iter().for_each(|package| repository.add(package));
                repository.sign();
            }
        }
        Ok(())
    }

    /// `hosts a1 a2`, `hosts a1 with alpha`, `hosts v1 as vault`.
    fn hosts(&mut self, names: &[&str]) -> Outcome {
        let end = names.iter().position(|w| ["as", "with"].contains(w)).unwrap_or(names.len());
        let (hosts, how) = names.split_at(end);
        for host in hosts {
            match *how {
                [] => self.world.join(host, "production"),
                ["as", class] => self.world.join(host, class),
                ["with", ref packages @ ..] => {
                    let repository = self.repository.as_ref().expect("a repository comes first");
                    self.world.join_with_packages(host, repository, packages);
                }
                _ => panic!("hosts: {how:?}"),
            }
        }
        Ok(())
    }

    fn change(&mut self, alias: &str, manifest: &str, targets: &str, window: &str, more: &[&str]) -> Outcome {
        let manifests: Vec<&str> = manifest.split(',').collect();
        let targets: Vec<&str> = targets.split(',').filter(|t| *t != "all").collect();
        let new = NewChange { manifests: &manifests, targets: &targets, window, more };
        let id = self.world.draft(&new);
        self.changes.insert(alias.into(), id);
        Ok(())
    }

    /// The other person says yes to what there is to see of it.
    fn second_approves(&self, alias: &str) -> Outcome {
        let (id, second) = (&self.changes[alias], self.second.as_ref().expect("a second person comes first"));
        let bundle = self.world.bundle(id);
        let yes = self.world.sign_approval(&bundle.change, &bundle.plan_set, "second", &second.key, |_| {});
        let reply = self.world.send_approval(id, &bundle.plan_set, &yes);
        ensure(reply.status() < 300, reply.text())
    }

    fn tick(&mut self, who: &str, times: usize) -> Outcome {
        for _ in 0..times {
            match who {
                "all" => self.world.tick_all(),
                host => drop(self.world.tick(host)),
            }
        }
        Ok(())
    }

    fn server(&mut self, what: &str) -> Outcome {
        match what {
            "stop" => self.world.stop_server(),
            "start" => self.world.start_server(),
            "kill" => self.world.kill_server(),
            _ => panic!("server {what}"),
        }
        Ok(())
    }

    /// Somebody changes a host behind everybody's back.
    fn write(&mut self, host: &str, path: &str, text: &str) -> Outcome {
        std::fs::write(self.world.hosts[host].path(path), text).unwrap();
        check::accept(self.world, host);
        Ok(())
    }

    /// Somebody uses apt on a host.
    fn install(&mut self, host: &str, packages: &[&str]) -> Outcome {
        let repository = self.repository.as_ref().expect("a repository comes first");
        crate::root::install(&self.world.hosts[host].root, repository, packages);
        check::accept(self.world, host);
        Ok(())
    }

    fn remove(&mut self, host: &str, path: &str) -> Outcome {
        std::fs::remove_file(self.world.hosts[host].path(path)).unwrap();
        check::accept(self.world, host);
        Ok(())
    }

    fn verify(&mut self, alias: &str) -> Outcome {
        let (id, out) = (self.changes[alias].clone(), self.world.path(&format!("{alias}.tar")));
        let out = out.to_str().unwrap();
        done(self.world.assent(&["export", "--change", &id, "--out", out]))?;
        done(self.world.assent(&["verify", out]))
    }

    fn expect(&mut self, what: &[&str]) -> Outcome {
        match *what {
            [alias, "is", ref state @ ..] => {
                let (found, outcome) = self.world.state(&self.changes[alias]);
                let found = [Some(found), outcome].into_iter().flatten().collect::<Vec<_>>();
                ensure(found == state, format!("{alias} is {found:?}"))
            }
            [alias, "has", number, "plan", "classes"] => self.plan_classes(alias, number),
            ["calendar", name, ref texts @ ..] => self.calendar(name, texts),
            [host, "because", alias, ref why @ ..] => self.because(host, alias, why),
            [host, "receipt", alias, ref outcome @ ..] => {
                let receipt = self.world.hosts[host].receipt(&self.changes[alias]);
                let found = receipt.as_ref().map_or("none", |r| r.body.outcome.as_str());
                let detail = receipt.as_ref().map(|r| (&r.body.note, &r.body.results, &r.body.health));
                ensure(
                    outcome == [found],
                    format!("{host}: {found} {detail:#?}; refusals {:?}", self.codes(host, alias)),
                )
            }
            [host, "refused", alias, code] => {
                let found = self.codes(host, alias);
                ensure(found.iter().any(|c| c == code), format!("{host} refused with {found:?}"))
            }
            [host, "shows", ref texts @ ..] => {
                let said = self.world.assent(&["ci", "show", host]);
                let missing = texts.iter().map(|text| self.changes.get(*text).map_or(*text, String::as_str));
                let missing: Vec<&str> = missing.filter(|text| !said.out.contains(text)).collect();
                ensure(missing.is_empty() && said.code == 0, format!("{missing:?} is not in {said}"))
            }
            [host, "recorded", code] => {
                let host = &self.world.hosts[host];
                let refusals = host.statements().refusals;
                let codes: Vec<_> = refusals.values().map(|r| r.body.reason.code.to_string()).collect();
                let recorded = codes.iter().any(|c| c == code) && host.spooled() == 0;
                ensure(
                    recorded,
                    format!("{} refused with {codes:?} and spools {}", host.name, host.spooled()),
                )
            }
            [host, "no", "findings"] => {
                let said = self.world.hosts[host].statements().findings;
                ensure(said.is_empty(), format!("{said:?}"))
            }
            [host, "finding", ref texts @ ..] => self.finding(host, texts),
            [host, "seen"] => self.seen(host),
            [host, "says", text] => {
                let said = self.world.tick_unchecked(host);
                ensure(said.all().contains(text) && !said.err.contains("panicked"), said)
            }
            [host, ref state @ ..] => self.expect_on_host(host, state),
            [] => panic!("expect what?"),
        }
    }

    /// One line of the list of all findings of this host has these texts; the server hears of them in its own time.
    fn finding(&self, host: &str, texts: &[&str]) -> Outcome {
        let texts: Vec<&str> =
            texts.iter().map(|text| self.changes.get(*text).map_or(*text, String::as_str)).collect();
        let mut said = self.world.assent(&["finding", "list", "--all", "--host", host]);
        for _ in 0..100 {
            if said.out.lines().any(|line| texts.iter().all(|text| line.contains(text))) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            said = self.world.assent(&["finding", "list", "--all", "--host", host]);
        }
        let found = said.out.lines().any(|line| texts.iter().all(|text| line.contains(text)));
        ensure(found && said.code == 0, format!("{texts:?} is in no line of {said}"))
    }

    /// The server reads calendars in its own time.
    fn calendar(&self, name: &str, texts: &[&str]) -> Outcome {
        let mut said = self.world.assent(&["calendar", "show", name]);
        for _ in 0..100 {
            if texts.iter().all(|text| said.out.contains(text)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            said = self.world.assent(&["calendar", "show", name]);
        }
        ensure(texts.iter().all(|text| said.out.contains(text)), format!("{texts:?} is not in {said}"))
    }

    /// The server heard of the host in the last minutes by this world's clock.
    fn seen(&self, host: &str) -> Outcome {
        let hosts = self.world.get("/v1/hosts").body;
        let hosts: Vec<shared::wire::HostLine> = serde_json::from_slice(&hosts).unwrap();
        let last = hosts.iter().find(|line| line.hostname == host).and_then(|line| line.last_seen);
        let now = self.world.now();
        ensure(
            last.is_some_and(|at| now.since(at) < 300),
            format!("{host} was last seen {last:?}, it is {now}"),
        )
    }

    /// The server and the command line give the same reason.
    fn because(&self, host: &str, alias: &str, why: &[&str]) -> Outcome {
        let id = &self.changes[alias];
        let (standing, code) = self.world.why(host, id);
        let found = [standing.as_str(), code.as_str()];
        ensure(found.starts_with(why), format!("{host}: {found:?}"))?;
        let said = self.world.assent(&["why", host, id]);
        ensure(said.code == 0 && why.get(1).is_none_or(|code| said.out.contains(code)), said)
    }

    fn expect_on_host(&self, name: &str, what: &[&str]) -> Outcome {
        let host = &self.world.hosts[name];
        match *what {
            ["file", path, text] => {
                let found = host.read(path);
                ensure(found.as_deref() == Some(text), format!("{path} on {name} is {found:?}"))
            }
            ["no", "file", path] => ensure(!host.path(path).exists(), format!("{path} on {name} exists")),
            ["lines", path, number] => {
                let found = host.lines(path);
                ensure(found.to_string() == number, format!("{path} on {name} has {found} lines"))
            }
            ["package", package, version] => {
                let found = crate::root::snapshot(&host.root).remove(&format!("dpkg:{package}"));
                let wanted = format!("install ok installed\t{version}");
                ensure(
                    found.as_ref().is_some_and(|n| n.content == wanted),
                    format!("{package} on {name} is {found:?}"),
                )
            }
            ["spools", number] => {
                let found = host.spooled();
                ensure(found.to_string() == number, format!("{name} spools {found}"))
            }
            _ => panic!("expect {name} {what:?}"),
        }
    }

    fn codes(&self, host: &str, alias: &str) -> Vec<String> {
        self.world.hosts[host].refusal_codes(&self.changes[alias])
    }

    /// What the approver is shown, and the server's own count, which leaves no host out.
    fn plan_classes(&self, alias: &str, number: &str) -> Outcome {
        let id = &self.changes[alias];
        let said = self.world.assent(&["change", "show", id]);
        let last = format!("Plan class {number} of {number}:");
        ensure(said.code == 0 && said.out.contains(&last), &said)?;
        let line = self.world.change_file(id).line;
        let (classes, hosts) = (line.plan_classes.len(), line.plan_classes.iter().sum::<u32>());
        ensure(
            classes.to_string() == number && hosts == line.plans,
            format!("{alias} has plan classes of {:?} hosts, {} plans", line.plan_classes, line.plans),
        )
    }
}

/// As a period from its first day to the first of the next.
fn this_year(now: Timestamp) -> String {
    let year: u32 = now.to_string().split('-').next().and_then(|year| year.parse().ok()).unwrap();
    format!("{year}-01-01..{}-01-01", year + 1)
}

/// `+90m`, `-2h`, `+1825d`.
fn seconds(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => panic!("{text}: write s, m, h or d"),
    };
    number.trim_start_matches('+').parse::<i64>().unwrap() * unit
}
