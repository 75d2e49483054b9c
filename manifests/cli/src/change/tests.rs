//! What the approver sees, and what is refused before anybody is asked: forged, foreign and altered plans.

mod narrow;
mod record;
mod retired;
mod retroactive;

use super::forecast::Forecast;
use super::render::{Style, render};
use super::review::Review;
use crate::error::Done;
use crate::lang::Lang;
use crate::window;
use shared::admit::{Verified, verify_publication};
use shared::approval::{Approval, Decision, Saw};
use shared::change::*;
use shared::digest::Digest;
use shared::ids::{AgentId, PersonId};
use shared::keys::SigningKey;
use shared::manifest::{Manifest, yaml};
use shared::plan::*;
use shared::policy::*;
use shared::publication::Publication;
use shared::receipt::{Header, Refusal};
use shared::refusal::{Code, Refused};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::{Interval, Timestamp};
use shared::windows::Phrase;
use shared::wire::{ChangeFile, ChangeLine};

pub const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn person(name: &str) -> PersonId {
    name.parse().unwrap()
}

/// `lead` (key 1) writes and approves, `peer` (key 2) approves, `publisher` (key 3) publishes.
pub fn policy() -> Policy {
    let with = |id: &str, name: &str, n: u8, roles: &[Role]| Person {
        id: person(id),
        name: name.into(),
        keys: vec![PersonKey::file(key(n).public(), roles)],
    };
    Policy {
        schema: SCHEMA.into(),
        site: "00112233aabbccdd".parse().unwrap(),
        version: 3,
        issued: NOW,
        one_person: false,
        persons: vec![
            with("lead", "First Approver", 1, &[Role::Author, Role::Approver]),
            with("peer", "Second Approver", 2, &[Role::Approver]),
            with("publisher", "Publisher", 3, &[Role::Publisher]),
        ],
        rules: vec![Rule {
            name: "four eyes".into(),
            matches: Match::default(),
            require: Require { distinct_from: [DistinctFrom::Author].into(), ..Require::of(1, 168) },
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
        log: LogRules::new(vec!["log".into()]),
        ca_spki: vec![],
        server_urls: vec![],
        vendor: None,
        delegations: Vec::new(),
        groups: Vec::new(),
        risk_rules: Vec::new(),
        conflicts: None,
        models: Vec::new(),
        breakglass: None,
        governance: Vec::new(),
    }
}

fn publication() -> Statement<Publication> {
    let manifest = yaml::compile(
        b"manifest: web-base\nversion: \"1.2.0\"\nresources:\n- file: { path: /etc/motd, content: hello }\n",
    )
    .unwrap();
    let body = Publication {
        site: policy().site,
        publisher: person("publisher"),
        at: NOW,
        source: Digest::of(b"yaml"),
        manifest,
    };
    Statement::sign(body, &key(3))
}

fn manifest(named: &ManifestUse) -> Done<Verified<Manifest>> {
    use crate::error::Context as _;
    let bytes = publication().to_bytes();
    shared::admit::verify_manifest(&policy(), &bytes, named, NOW).or_refuse("the manifest is not accepted")
}

/// Names the hosts with keys 10 to 13.
pub fn change() -> Statement<Change> {
    let targets = (10..14).map(|n| key(n).public()).map(|k| Target { agent: k.agent_id(), key: k.digest() });
    let body = Change {
        site: policy().site,
        change_id: "C-7".parse().unwrap(),
        revision: 1,
        change_type: ChangeType::Normal,
        title: "Base of the web servers".into(),
        reason: "first roll-out".into(),
        author: person("lead"),
        created: NOW.plus(-600),
        manifests: vec![ManifestUse {
            team: "main".parse().unwrap(),
            name: "web-base".parse().unwrap(),
            version: semver::Version::new(1, 2, 0),
            sha256: publication().digest,
            params: Default::default(),
            rules: vec![],
        }],
        targets: targets.collect(),
        intervals: vec![Interval { from: Timestamp(1_795_222_800), until: Timestamp(1_795_230_000) }],
        window_rules: Vec::new(),
        not_after: Timestamp(1_795_230_000),
        missed: Missed::Next,
        waves: vec![],
        plan_binding: PlanBinding::Within,
        action_classes: [ActionClass::File, ActionClass::Command, ActionClass::Package].into(),
        downgrade: false,
        reboot: Reboot::Never,
        undo: UndoPlan { text: "put the old file back".into(), automatic: true },
        lift_quarantine: false,
        correct_until: None,
        halt_above: None,
        series: None,
        model: None,
        supersedes: None,
        accepts: Vec::new(),
        retires: Vec::new(),
    };
    Statement::sign(body, &key(1))
}

fn action(resource: &str, verb: Verb, class: ActionClass, undo: UndoContract) -> Action {
    let why = if undo == UndoContract::Yes { "" } else { "no undo command" };
    Action {
        resource: resource.parse().unwrap(),
        verb,
        class,
        before: None,
        after: Digest::of(resource.as_bytes()),
        summary: format!("{} {resource}", verb.as_str()),
        diff: None,
        undo: Reversibility { undo, why: why.into() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }
}

fn motd() -> Action {
    let diff = Some("-old\n+hello \u{1b}[2J\n".to_owned());
    Action { diff, ..action("file:/etc/motd", Verb::Update, ActionClass::File, UndoContract::Yes) }
}

fn plan_body(change: &Statement<Change>, host: u8, name: &str, actions: Vec<Action>) -> Plan {
    let key = key(host).public();
    Plan {
        site: policy().site,
        agent_id: key.agent_id(),
        key,
        hostname: name.into(),
        host_class: "production".parse().unwrap(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        at: NOW,
        actions,
        health: Vec::new(),
        upholds: Vec::new(),
        notes: Vec::new(),
        agent_version: semver::Version::new(0, 1, 0),
    }
}

fn plan(change: &Statement<Change>, host: u8, name: &str, actions: Vec<Action>) -> Statement<Plan> {
    Statement::sign(plan_body(change, host, name, actions), &key(host))
}

/// Two hosts with an equal plan, one with another, one that refused to plan.
fn plans(change: &Statement<Change>) -> Vec<Statement<Plan>> {
    let alpha = Action {
        content: None,
        package: Some(PackagePin {
            name: "alpha".into(),
            arch: "amd64".into(),
            from: Some("1.0".into()),
            to: Some("1.1".into()),
            sha256: None,
            origin: Some("Test:stable".into()),
            conffiles: Default::default(),
        }),
        ..action("package:alpha", Verb::Upgrade, ActionClass::Package, UndoContract::Partly)
    };
    let command = action("command:migrate", Verb::Run, ActionClass::Command, UndoContract::No);
    vec![
        plan(change, 10, "web1", vec![motd()]),
        plan(change, 11, "web2", vec![motd()]),
        plan(change, 12, "db1", vec![motd(), alpha, command]),
    ]
}

pub fn refusal() -> Statement<Refusal> {
    let header = Header {
        site: policy().site,
        agent_id: key(13).public().agent_id(),
        key: key(13).public(),
        host_class: "production".parse().unwrap(),
        seq: 2,
        prev: Some(Digest::of(b"enrolment")),
        at: NOW,
        boot_id: "b".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen: None,
    };
    let body = Refusal {
        header,
        change_id: Some("C-7".parse().unwrap()),
        revision: Some(1),
        evidence: change().digest,
        reason: Refused::new(Code::PlanFailed, "apt is locked by another program"),
        breakglass: false,
    };
    Statement::sign(body, &key(13))
}

/// The server's word about the change.
pub fn line() -> ChangeLine {
    ChangeLine {
        change_id: "C-7".parse().unwrap(),
        revision: 1,
        state: "in_review".into(),
        outcome: None,
        title: "Base of the web servers".into(),
        author: person("lead"),
        targets: 4,
        plan_classes: vec![],
        plans: 3,
        reported: 0,
        retroactive: false,
        retires: false,
        review_due: None,
        register: None,
        objections: 0,
        series: None,
        submit_at: None,
        next_interval: None,
    }
}

fn file(plans: Vec<Statement<Plan>>) -> ChangeFile {
    let change = change();
    ChangeFile {
        line: line(),
        change: change.envelope,
        plans: plans.into_iter().map(|plan| plan.envelope).collect(),
        refusals: vec![refusal().envelope],
        plan_set: None,
        approvals: vec![],
        receipts: vec![],
        findings: vec![],
        enrolments: vec![],
        words: String::new(),
    }
}

fn review(file: ChangeFile) -> Done<Review> {
    Review::of(&policy(), &"C-7".parse().unwrap(), file, manifest, NOW)
}

/// A change with the plans of its hosts.
pub fn planned() -> Review {
    review(file(plans(&change()))).unwrap()
}

fn approval(review: &Review, who: &str, n: u8) -> Statement<Approval> {
    let change = &review.change;
    let body = Approval {
        site: change.body.site.clone(),
        change_id: change.body.change_id.clone(),
        revision: 1,
        change: change.digest,
        decision: Decision::Approve,
        person: person(who),
        at: NOW,
        expires: NOW.plus(86_400),
        saw: Saw { plan_set: review.set.digest(), renderer: "test".into() },
        agents: None,
        nonce: who.into(),
        comment: String::new(),
        breakglass: None,
    };
    Statement::sign(body, &key(n))
}

pub(crate) fn check_golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name} differs; look at it, then run with UPDATE_GOLDEN=1");
}

fn page(review: &Review, lang: Lang) -> String {
    let zone = window::zone(Some("Europe/Berlin")).unwrap();
    let names = [(key(13).public().agent_id(), "web9".to_owned())].into();
    render(review, &policy(), &Style { lang, zone: &zone, colour: false, names: &names })
}

#[test]
fn the_approver_sees_classes_of_hosts_effects_windows_and_who_is_not_covered() {
    let review = review(file(plans(&change()))).unwrap();
    review.check_approvable().unwrap();
    check_golden("approve.en.txt", &page(&review, Lang::En));
    check_golden("approve.de.txt", &page(&review, Lang::De));
    assert!(!page(&review, Lang::En).contains('\u{1b}'), "a host steers the terminal");
}

/// However many hosts there are, people look at as many plans as there are different ones.
#[test]
fn ten_thousand_plans_are_as_many_classes_as_they_differ() {
    let mut review = review(file(plans(&change()))).unwrap();
    let pattern: Vec<_> = review.plans.values().cloned().collect();
    let kinds = review.classes().len();
    let plan = |n: u32| {
        let mut plan = pattern[n as usize % pattern.len()].clone();
        plan.body.agent_id = AgentId::of_key(&Digest::of(&n.to_be_bytes()).0);
        plan.body.hostname = format!("host{n}");
        (plan.body.agent_id, plan)
    };
    review.plans = (0..10_000).map(plan).collect();
    review.set.plans = review.plans.iter().map(|(id, plan)| (*id, plan.digest)).collect();
    let classes = review.classes();
    assert_eq!(
        (classes.len(), classes.iter().map(|class| class.hosts.len()).sum::<usize>()),
        (kinds, 10_000)
    );
}

#[test]
fn the_rules_behind_windows_are_shown_and_when_they_would_give_others() {
    let mut ruled = change().body;
    let shown_of = |ruled: &Change| {
        let signed = Statement::sign(ruled.clone(), &key(1));
        let file = file(plans(&signed));
        page(&review(ChangeFile { change: signed.envelope, ..file }).unwrap(), Lang::En)
    };
    let phrase: Phrase = "every 3rd saturday 22:00..+2h".parse().unwrap();
    ruled.window_rules =
        vec![phrase.begins(jiff::civil::date(2026, 11, 20), "Europe/Berlin".parse().unwrap())];
    let first = Timestamp(1_795_294_800); // 2026-11-21T21:00:00Z
    ruled.intervals = vec![Interval { from: first, until: first.plus(7_200) }];
    ruled.not_after = first.plus(7_200);
    let shown = shown_of(&ruled);
    assert!(
        shown.contains("  rule: FREQ=MONTHLY;BYDAY=3SA, from 2026-11-20T22:00, Europe/Berlin\n"),
        "{shown}"
    );
    assert!(!shown.contains("other windows"), "{shown}");
    ruled.intervals[0].from = first.plus(3_600);
    let shown = shown_of(&ruled);
    assert!(shown.contains("the rules give other windows by now"), "{shown}");
    let (signed, now) = (["23:00", "00:00"], ["22:00", "00:00"]);
    for (word, times) in [("signed, but by no rule", signed), ("not signed", now)] {
        let line =
            format!("  {word}: Sat 2026-11-21 {} +01:00 .. Sun 2026-11-22 {} +01:00\n", times[0], times[1]);
        assert!(shown.contains(&line), "{shown}");
    }
    ruled.window_rules[0].zone = "Europe/Entenhausen".parse().unwrap();
    let shown = shown_of(&ruled);
    assert!(shown.contains("\"Europe/Entenhausen\" is not a time zone that this machine knows"), "{shown}");
}

#[test]
fn approvals_that_count_and_those_that_do_not_are_told_apart() {
    let first = review(file(plans(&change()))).unwrap();
    let mut later = file(plans(&change()));
    later.plan_set = Some(first.set.clone());
    later.line.state = "approved".into();
    let mut expired = approval(&first, "peer", 2).body;
    expired.expires = NOW.plus(-1);
    let unknown = approval(&first, "peer", 9);
    later.approvals = vec![
        approval(&first, "peer", 2).envelope,
        Statement::sign(expired, &key(2)).envelope,
        unknown.envelope,
    ];
    let later = review(later).unwrap();
    check_golden("show.en.txt", &page(&later, Lang::En));
}

#[test]
fn plans_that_came_late_can_be_covered_until_the_change_is_approved() {
    let all = plans(&change());
    let mut narrow = file(all.clone());
    let first = PlanSet {
        plans: all.iter().take(1).map(|p| (p.body.agent_id, p.digest)).collect(),
        change: change().digest,
    };
    narrow.plan_set = Some(first);
    let mut approved = narrow.clone();
    approved.line.state = "approved".into();
    let mut review_now = review(narrow).unwrap();
    assert_eq!(review_now.set.plans.len(), 1);
    assert!(page(&review_now, Lang::En).contains("--all-plans covers them too"));
    assert!(review_now.widen() && review_now.set.plans.len() == all.len());
    assert!(!review_now.widen(), "there are no more");
    let mut later = review(approved).unwrap();
    assert!(!later.widen() && later.set.plans.len() == 1);
    assert!(!page(&later, Lang::En).contains("--all-plans"));
}

#[test]
fn hosts_with_one_name_are_told_apart_by_their_ids() {
    let change = change();
    let twins = vec![plan(&change, 10, "vm", vec![motd()]), plan(&change, 11, "vm", vec![motd()])];
    let review = review(file(twins)).unwrap();
    let ids = [10, 11].map(|n| key(n).public().agent_id());
    let text = page(&review, Lang::En);
    assert!(ids.iter().all(|id| text.contains(&format!("vm ({id})"))), "{text}");
}

/// Each entry bends what the server sends; nothing of it may reach the question "approve?".
#[test]
fn plans_that_their_hosts_did_not_make_for_this_change_are_refused() {
    let change = change();
    let good = plans(&change);
    type Bend = Box<dyn Fn(&mut ChangeFile)>;
    let bends: Vec<(&str, Bend)> = vec![
        ("signed by another host", {
            let forged = Statement::sign(plan_body(&change, 10, "web1", vec![]), &key(11));
            Box::new(move |f| f.plans[0] = forged.envelope.clone())
        }),
        ("altered after signing", {
            let mut altered = good[0].envelope.clone();
            let text = String::from_utf8(altered.payload.clone()).unwrap();
            altered.payload = text.replace("/etc/motd", "/etc/shad").into_bytes();
            Box::new(move |f| f.plans[0] = altered.clone())
        }),
        ("of a host that the change does not name", {
            let foreign = plan(&change, 20, "web1", vec![]);
            Box::new(move |f| f.plans.push(foreign.envelope.clone()))
        }),
        ("for another revision", {
            let mut body = plan_body(&change, 10, "web1", vec![]);
            body.revision = 2;
            let other = Statement::sign(body, &key(10));
            Box::new(move |f| f.plans[0] = other.envelope.clone())
        }),
        ("for another change document", {
            let mut body = plan_body(&change, 10, "web1", vec![]);
            body.change = Digest::of(b"other");
            let other = Statement::sign(body, &key(10));
            Box::new(move |f| f.plans[0] = other.envelope.clone())
        }),
        ("two plans of one host", {
            let second = plan(&change, 10, "web1", vec![]);
            Box::new(move |f| f.plans.push(second.envelope.clone()))
        }),
        ("a statement of another kind", {
            let other = change.envelope.clone();
            Box::new(move |f| f.plans[0] = other.clone())
        }),
    ];
    assert!(review(file(good.clone())).is_ok());
    for (what, bend) in bends {
        let mut bent = file(good.clone());
        bend(&mut bent);
        let failure = review(bent).err().unwrap_or_else(|| panic!("accepted: {what}"));
        assert_eq!(failure.exit_code(), 1, "{what}: {failure}");
    }
}

/// The server shows plan A and has the digest of plan B approved.
#[test]
fn a_plan_set_that_names_other_plans_than_those_shown_is_refused() {
    let change = change();
    let shown = plans(&change);
    let hidden = plan(
        &change,
        10,
        "web1",
        vec![action("command:evil", Verb::Run, ActionClass::Command, UndoContract::No)],
    );
    let set = |agents: &[(u8, Digest)], of: Digest| PlanSet {
        change: of,
        plans: agents.iter().map(|(n, digest)| (key(*n).public().agent_id(), *digest)).collect(),
    };
    let mut sent = file(shown.clone());
    sent.plan_set = Some(set(&[(10, shown[0].digest)], change.digest));
    let accepted = review(sent.clone()).unwrap();
    assert_eq!(accepted.set.plans.len(), 1);
    assert_eq!(accepted.uncovered().1.len(), 2);
    for bad in [
        set(&[(10, hidden.digest)], change.digest),
        set(&[(13, hidden.digest)], change.digest),
        set(&[(10, shown[0].digest)], Digest::of(b"other")),
    ] {
        sent.plan_set = Some(bad);
        let failure = review(sent.clone()).err().unwrap();
        assert!(failure.message.contains("plan set"), "{failure}");
    }
}

#[test]
fn another_change_author_or_manifest_is_never_approvable() {
    let mut other = file(vec![]);
    let mut body = change().body;
    body.change_id = "C-8".parse().unwrap();
    other.change = Statement::sign(body, &key(1)).envelope;
    assert!(review(other).is_err());

    let mut stranger = file(vec![]);
    stranger.change = Statement::sign(change().body, &key(2)).envelope;
    stranger.refusals.clear();
    assert_eq!(review(stranger).unwrap().check_approvable().unwrap_err().exit_code(), 1);

    let mut swapped = change().body;
    swapped.manifests[0].sha256 = Digest::of(b"other");
    let swapped = Statement::sign(swapped, &key(1));
    let mut sent = file(vec![]);
    sent.plans = vec![plan(&swapped, 10, "web1", vec![motd()]).envelope];
    sent.change = swapped.envelope;
    let doubtful = review(sent).unwrap();
    assert!(doubtful.check_approvable().unwrap_err().to_string().contains("manifest"));
    assert!(page(&doubtful, Lang::En).contains("! the manifest is not accepted"));
}

#[test]
fn drafts_and_changes_without_plans_are_not_approvable() {
    let mut draft = file(plans(&change()));
    draft.line.state = "draft".into();
    let failure = review(draft).unwrap().check_approvable().unwrap_err();
    assert_eq!(
        failure.to_string(),
        "error: change C-7 is draft, approving needs in_review\n  try: assent change submit C-7"
    );
    let failure = review(file(vec![])).unwrap().check_approvable().unwrap_err();
    assert!(failure.message.contains("no host has sent a plan"), "{failure}");
}

#[test]
fn the_forecast_is_what_each_host_would_decide() {
    let review = review(file(plans(&change()))).unwrap();
    let policy = policy();
    let nobody = Forecast::of(&policy, &review, None, NOW);
    assert_eq!((nobody.allowed(), nobody.hosts.len()), (0, 3));
    let author = Forecast::of(&policy, &review, Some(&approval(&review, "lead", 1)), NOW);
    assert_eq!(author.allowed(), 0);
    assert!(author.lines.iter().any(|line| line.contains("is the author")), "{:?}", author.lines);
    let peer = Forecast::of(&policy, &review, Some(&approval(&review, "peer", 2)), NOW);
    assert_eq!(peer.allowed(), 3);
    let mut narrow = approval(&review, "peer", 2).body;
    narrow.agents = Some(vec![key(10).public().agent_id()]);
    let narrow = Forecast::of(&policy, &review, Some(&Statement::sign(narrow, &key(2))), NOW);
    assert_eq!(narrow.allowed(), 1);
    assert!(verify_publication(&policy, &publication().to_bytes(), NOW).is_ok());
}

/// What the author did not allow stands out before the approval, and the host refuses it afterwards.
#[test]
fn effects_beyond_the_authors_bound_are_marked_and_not_admitted() {
    let change = change();
    let trust = action("file:/etc/assent/agent.toml", Verb::Update, ActionClass::Trust, UndoContract::Yes);
    let review = review(file(vec![plan(&change, 10, "web1", vec![trust])])).unwrap();
    let line = page(&review, Lang::En);
    assert!(
        line.contains("! update file:/etc/assent/agent.toml [trust; can be undone] (look closely)"),
        "{line}"
    );
    assert_eq!(Forecast::of(&policy(), &review, Some(&approval(&review, "peer", 2)), NOW).allowed(), 0);
}

/// A program of a health check is in no plan; whoever approves sees it all the same, and whole.
#[test]
fn the_approver_sees_the_programs_of_health_checks() {
    let text = format!(
        "manifest: web-base\nversion: \"1.2.0\"\nresources:\n- file: {{ path: /etc/motd, content: hello }}\n\
         health:\n- {{ name: fine, command: {{ run: [/bin/sh, -c, \"true {}; id\"] }} }}\n",
        "x".repeat(100)
    );
    let mut body = publication().body;
    body.manifest = yaml::compile(text.as_bytes()).unwrap();
    let published = Statement::sign(body, &key(3)).to_bytes();
    let verified = |_: &ManifestUse| Ok(verify_publication(&policy(), &published, NOW).unwrap());
    let id = "C-7".parse().unwrap();
    let review = Review::of(&policy(), &id, file(plans(&change())), verified, NOW).unwrap();
    let shown = page(&review, Lang::En);
    assert!(shown.contains("fine [command]") && shown.contains("xx; id\""), "{shown}");
}

/// A text that is too long for the plan is shown from the manifest, if it is the one that the host signed.
#[test]
fn what_a_plan_cuts_is_shown_whole_or_named_as_unseen() {
    use super::unseen::{hidden, shown};
    let change = change();
    let cut = |content: Option<&[u8]>| {
        let diff = Some(format!("+hel{}", shared::plan::CUT));
        Action { diff, content: content.map(Digest::of), ..motd() }
    };
    let review = |action: Action| {
        let file = file(vec![plan(&change, 10, "web1", vec![action])]);
        Review::of(&policy(), &change.body.change_id, file, manifest, NOW).unwrap()
    };
    let whole = hidden(&review(cut(Some(b"hello"))), |_| None);
    assert_eq!(whole[0].text.as_deref(), Some("hello"));
    assert!(shown(&whole).contains("    | hello\n"), "{}", shown(&whole));
    // Another digest than the manifest's text, or none: nobody has seen it.
    for content in [Some(&b"evil"[..]), None] {
        let unseen = hidden(&review(cut(content)), |_| None);
        assert!(
            unseen[0].text.is_none() && unseen[0].what.contains("file:/etc/motd (web1)"),
            "{}",
            unseen[0].what
        );
        assert_eq!(shown(&unseen), "");
    }
    // New contents without any difference count the same; a whole difference is enough.
    let none = Action { diff: None, content: Some(Digest::of(b"evil")), ..motd() };
    assert_eq!(hidden(&review(none), |_| None).len(), 1);
    assert!(hidden(&review(motd()), |_| None).is_empty());
}
