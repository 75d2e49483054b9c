//! Why a host waits: the judgement as a table, and the whole path on both databases.

use super::model::{Facts, HostRefusal, Report, Standing, Target, because};
use crate::changes::tests::world::{NOW, World, in_waves};
use crate::kernel::i18n::Language;
use serde_json::json;
use shared::change::{Change, Gate, Wave};
use shared::envelope::Envelope;
use shared::health::HealthResult;
use shared::lifecycle::{Outcome, State};
use shared::receipt::{HostOutcome, Refusal};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use shared::wire::WaveLine;

const OPEN: Interval = Interval { from: Timestamp(NOW.0 - 60), until: Timestamp(NOW.0 + 3_600) };

fn ready() -> Facts {
    Facts {
        state: State::Approved,
        retroactive: false,
        retires: false,
        retired: false,
        target: Some(Target { planned: true, approved: true, report: None }),
        enabled: true,
        held: false,
        last_seen: Some(NOW.plus(-70)),
        carried: Ok(()),
        interval: Ok(OPEN),
        turn: Ok(()),
        slots: Ok(()),
        refusal: None,
        hindered: None,
    }
}

fn said(code: &str, at: Timestamp) -> Option<HostRefusal> {
    Some(HostRefusal { code: code.into(), message: "said".into(), retry_at: Some(NOW.plus(300)), at })
}

fn target(planned: bool, approved: bool, report: Option<Report>) -> Option<Target> {
    Some(Target { planned, approved, report })
}

/// A host that cannot plan, by its own word.
fn planning(code: &str) -> Facts {
    let target = target(false, false, None);
    Facts { state: State::InReview, target, refusal: said(code, NOW), ..ready() }
}

#[test]
fn what_a_host_says_follows_what_it_means_in_the_language_of_the_reader() {
    for code in ["plan.held", "plan.room", "plan.quarantined", "time.suspect", "tuf.expired"] {
        let told = because(&planning(code), NOW);
        let [de, en] = [Language::De, Language::En].map(|language| told.text(language));
        assert!(de != en && de.ends_with(" said") && en.ends_with(" said"), "{code}: {de} / {en}");
    }
    assert_eq!(because(&planning("plan.failed"), NOW).text(Language::De), "said");
}

#[test]
fn the_first_thing_in_the_way_is_told() {
    let window = Refused::until(Code::TimeWindow, "outside", NOW.plus(60));
    let over = Refused::new(Code::TimeOver, "over");
    let gate = Refused::until(Code::WaveGate, "watched", NOW.plus(90));
    let taken = Refused::until(Code::LockHeld, "web9 has it", NOW.plus(90));
    let withdrawn = Refused::new(Code::ApprovalWithdrawn, "withdrawn");
    use Standing::{NotTargeted, Refused as No, Reported, Running, Waiting};
    for (facts, standing, code) in [
        (ready(), Waiting, "host.soon"),
        (Facts { last_seen: Some(NOW), ..ready() }, Running, "host.busy"),
        (Facts { target: None, ..ready() }, NotTargeted, "change.not_for_me"),
        (Facts { target: target(true, true, Some(Report::Applied)), ..ready() }, Reported, "host.applied"),
        (
            Facts { target: target(true, true, Some(Report::Failed)), state: State::Review, ..ready() },
            Reported,
            "host.failed",
        ),
        (
            Facts { target: target(true, true, Some(Report::PendingReboot)), ..ready() },
            Reported,
            "host.pending_reboot",
        ),
        (
            Facts { target: target(true, true, Some(Report::Unhealthy)), ..ready() },
            Reported,
            "host.unhealthy",
        ),
        (Facts { state: State::Draft, ..ready() }, Waiting, "change.draft"),
        (Facts { state: State::InReview, ..ready() }, Waiting, "approval.missing"),
        (
            Facts { state: State::InReview, target: target(false, false, None), ..ready() },
            Waiting,
            "plan.wished",
        ),
        (
            Facts {
                state: State::InReview,
                target: target(false, false, None),
                refusal: said("plan.failed", NOW),
                ..ready()
            },
            No,
            "plan.failed",
        ),
        (
            Facts { state: State::InReview, target: target(false, false, None), last_seen: None, ..ready() },
            Waiting,
            "host.away",
        ),
        (Facts { state: State::Halted, ..ready() }, Waiting, "change.halted"),
        (Facts { state: State::Closed(Outcome::Expired), ..ready() }, No, "change.closed"),
        (Facts { target: target(true, false, None), ..ready() }, No, "plan.missing"),
        (Facts { carried: Err(withdrawn), last_seen: Some(NOW), ..ready() }, Waiting, "approval.withdrawn"),
        (Facts { enabled: false, ..ready() }, Waiting, "host.disabled"),
        (Facts { held: true, ..ready() }, Waiting, "host.held"),
        (Facts { interval: Err(window.clone()), ..ready() }, Waiting, "time.window"),
        (
            Facts { interval: Err(window.clone()), refusal: said("approval.quorum", NOW), ..ready() },
            No,
            "approval.quorum",
        ),
        (Facts { interval: Err(over), ..ready() }, No, "time.over"),
        (Facts { turn: Err(gate.clone()), ..ready() }, Waiting, "wave.gate"),
        (Facts { refusal: said("plan.drift", NOW), ..ready() }, No, "plan.drift"),
        (Facts { slots: Err(taken.clone()), ..ready() }, Waiting, "lock.held"),
        // No slot is asked for while something else is in the way.
        (Facts { slots: Err(taken.clone()), turn: Err(gate), ..ready() }, Waiting, "wave.gate"),
        (Facts { slots: Err(taken), refusal: said("plan.drift", NOW), ..ready() }, No, "plan.drift"),
        (Facts { refusal: said("lock.held", NOW), ..ready() }, Waiting, "host.soon"),
        (Facts { refusal: said("time.window", NOW.plus(-61)), ..ready() }, Waiting, "host.soon"),
        (Facts { last_seen: Some(NOW.plus(-901)), ..ready() }, Waiting, "host.away"),
        // What a host says of itself has codes of its own: held package, room, quarantine.
        (planning("plan.held"), No, "plan.held"),
        (planning("plan.room"), No, "plan.room"),
        (planning("plan.quarantined"), No, "plan.quarantined"),
        (Facts { refusal: said("plan.room", NOW), ..ready() }, No, "plan.room"),
        (
            Facts { refusal: said("plan.quarantined", NOW), last_seen: Some(NOW), ..ready() },
            No,
            "plan.quarantined",
        ),
        // A host that judges no change at all, whatever its own clock says of when; before the time comes as well.
        (Facts { hindered: said("time.suspect", NOW), last_seen: Some(NOW), ..ready() }, No, "time.suspect"),
        (Facts { hindered: said("tuf.expired", NOW.plus(-9_000)), ..ready() }, No, "tuf.expired"),
        (
            Facts { hindered: said("tuf.expired", NOW), interval: Err(window.clone()), ..ready() },
            No,
            "tuf.expired",
        ),
        (
            Facts { hindered: said("tuf.expired", NOW), refusal: said("plan.drift", NOW), ..ready() },
            No,
            "tuf.expired",
        ),
        (
            Facts {
                state: State::InReview,
                target: target(false, false, None),
                hindered: said("time.suspect", NOW),
                refusal: said("plan.failed", NOW),
                ..ready()
            },
            No,
            "time.suspect",
        ),
        (Facts { hindered: said("tuf.expired", NOW), enabled: false, ..ready() }, Waiting, "host.disabled"),
        (
            Facts { hindered: said("tuf.expired", NOW), state: State::Halted, ..ready() },
            Waiting,
            "change.halted",
        ),
    ] {
        let answer = because(&facts, NOW);
        assert_eq!((answer.standing, answer.code.as_str()), (standing, code), "{facts:?}");
        for language in [Language::De, Language::En] {
            assert!(!answer.text(language).starts_with("why."), "{code} has a text in {}", language.tag());
        }
    }
    let waiting = because(&Facts { interval: Err(window), ..ready() }, NOW);
    assert_eq!(waiting.retry_at, Some(NOW.plus(60)), "the next moment at which the answer may change");
}

#[actix_web::test]
async fn the_answer_follows_the_change() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, in_waves).await;
        let why = async |world: &World, host: &str| {
            let told = world.good("GET", &format!("/v1/why/{host}/{}", of.id), ()).await;
            // Asked for all hosts at once, the answer is the same.
            let all = world.good("GET", &format!("/v1/waiting?change={}", of.id), ()).await;
            let groups = all.as_array().unwrap();
            let names = |group: &serde_json::Value| group["some"].as_array().unwrap().contains(&json!(host));
            let group = groups.iter().find(|group| names(group)).unwrap();
            let parts = |of: &serde_json::Value| ["standing", "code"].map(|part| of[part].clone());
            assert_eq!(parts(group), parts(&told), "{all}");
            let counted: u64 = groups.iter().filter_map(|group| group["hosts"].as_u64()).sum();
            assert_eq!(counted, 2, "each host is in one group");
            (told["standing"].as_str().unwrap().to_owned(), told["code"].as_str().unwrap().to_owned(), told)
        };
        let is = |told: &(String, String, serde_json::Value), standing: &str, code: &str| {
            assert_eq!((told.0.as_str(), told.1.as_str()), (standing, code), "{}", told.2);
        };
        is(&why(&world, "web1").await, "waiting", "approval.missing");
        world.approve(&of, "peer").await;
        let told = why(&world, "web1").await;
        is(&told, "waiting", "time.window");
        assert_eq!(told.2["retry_at"], json!(NOW.plus(3_600)), "{}", world.engine);
        world.clock.set(NOW.plus(3_700));
        is(&why(&world, "web2").await, "waiting", "wave.gate");
        is(&why(&world, "web1").await, "waiting", "host.away");
        world.refuse(0, &of, Code::PlanDrift, Some(NOW.plus(4_000))).await;
        let told = why(&world, "web1").await;
        is(&told, "refused", "plan.drift");
        assert_eq!(
            (&told.2["retry_at"], &told.2["message"]),
            (&json!(NOW.plus(4_000)), &json!("for the test"))
        );
        assert!(told.2["refusal"]["payload"].is_string(), "the signed refusal comes along");
        world.report(0, &of, HostOutcome::Applied).await;
        is(&why(&world, "web1").await, "reported", "host.applied");
        let told = why(&world, "web2").await;
        is(&told, "waiting", "wave.gate");
        assert_eq!(told.2["retry_at"], json!(NOW.plus(3_765)), "until the soak is over");
        world.good("POST", &format!("/v1/changes/{}/halt", of.id), json!({})).await;
        is(&why(&world, "web2").await, "waiting", "change.halted");
        assert_eq!(world.code("GET", "/v1/waiting?change=C-99", ()).await, "change.unknown");
        // Of all open changes: the next one waits for plans, most hosts first.
        let next = world.in_review(&base, |_| {}).await;
        let all = world.good("GET", "/v1/waiting", ()).await;
        let told: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|group| (group["change_id"].clone(), group["hosts"].clone()))
            .collect();
        assert_eq!(told[0], (json!(next.id), json!(2)), "{all}");
        assert!(told.iter().any(|(id, _)| *id == json!(of.id)), "{all}");
        assert_eq!(world.code("GET", &format!("/v1/why/nobody/{}", of.id), ()).await, "host.not_found");
        assert_eq!(world.code("GET", "/v1/why/web1/C-99", ()).await, "change.unknown");
        world.good("POST", "/v1/changes", json!({})).await;
        assert_eq!(world.good("GET", "/v1/why/web1/C-3", ()).await["code"], "change.draft");
    }
}

/// What a host says of itself as a whole is about every change, until it judges again: it says so when it checks in, or it
/// says something about a change.
#[actix_web::test]
async fn a_host_that_judges_no_change_is_not_running_one() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        let (one, other) = (world.hosts[0].agent(), world.hosts[1].agent());
        let why = async |world: &World, host: &str| {
            let told = world.good("GET", &format!("/v1/why/{host}/{}", of.id), ()).await;
            let all = world.good("GET", &format!("/v1/waiting?change={}", of.id), ()).await;
            assert!(all.as_array().unwrap().iter().any(|group| group["code"] == told["code"]), "{all}");
            told
        };
        let seen = |world: &World, judges: bool| {
            for agent in [one, other] {
                world.node.board.check_in(agent, None, world.now());
                if judges {
                    world.node.board.judges(agent, world.now());
                }
            }
        };
        seen(&world, true);
        assert_eq!(why(&world, "web1").await["code"], "host.busy", "{}", world.engine);
        world.refuse_about(0, None, Code::TimeSuspect, Some(NOW.plus(4_000))).await;
        // What is broken of one file that somebody brought says nothing of the host.
        world.refuse_about(1, None, Code::ChangeInvalid, None).await;
        let told = why(&world, "web1").await;
        assert_eq!(told["code"], "time.suspect", "{}: {told}", world.engine);
        assert_eq!(told["standing"], "refused");
        assert!(told["message"].as_str().unwrap().ends_with(" for the test"), "{told}");
        assert_eq!(told["retry_at"], json!(NOW.plus(4_000)));
        assert!(told["refusal"]["payload"].is_string(), "signed");
        assert_eq!(why(&world, "web2").await["code"], "host.busy");
        // Being there is not judging, and what it says later counts.
        world.clock.set(NOW.plus(3_800));
        seen(&world, false);
        assert_eq!(why(&world, "web1").await["code"], "time.suspect");
        world.refuse_about(0, None, Code::TufExpired, None).await;
        assert_eq!(why(&world, "web1").await["code"], "tuf.expired");
        world.clock.set(NOW.plus(3_900));
        seen(&world, true);
        assert_eq!(why(&world, "web1").await["code"], "host.busy", "{}", world.engine);
        // Another node learns it with the check-ins that are stored.
        world.node.board.flush_seen(&world.node.db).await.unwrap();
        assert_eq!(world.read(move |tx| Ok(crate::fleet::find_hindrance(tx, one)?)).await, None);
        // A word about a change says as much.
        world.refuse_about(0, None, Code::TufExpired, None).await;
        world.refuse(0, &of, Code::PlanDrift, None).await;
        assert_eq!(why(&world, "web1").await["code"], "plan.drift");
        world.refuse_about(0, None, Code::TufExpired, None).await;
        assert_eq!(why(&world, "web1").await["code"], "tuf.expired");
        world.report(0, &of, HostOutcome::Applied).await;
        assert_eq!(world.read(move |tx| Ok(crate::fleet::find_hindrance(tx, one)?)).await, None);
        // Of a change that is done there it says nothing, and is not shown beside the answer.
        world.refuse_about(0, None, Code::TufExpired, None).await;
        let told = why(&world, "web1").await;
        assert_eq!(told["code"], "host.applied", "{}", world.engine);
        let signed: Envelope = serde_json::from_value(told["refusal"].clone()).unwrap();
        let signed = Statement::<Refusal>::open(signed).unwrap();
        assert_eq!(signed.body.reason.code, Code::PlanDrift);
    }
}

/// A host whose health checks said no is not one where a step failed.
#[actix_web::test]
async fn a_host_that_failed_by_its_health_checks_says_so() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        let check = |ok: bool| HealthResult {
            name: "page".into(),
            ok,
            state: None,
            output: String::new(),
            long: String::new(),
            metrics: Vec::new(),
            unread: String::new(),
            ms: 1,
        };
        world
            .report_bent(0, &of, HostOutcome::RolledBack, |told| {
                told.health = vec![check(true), check(false)]
            })
            .await;
        world.report_bent(1, &of, HostOutcome::RolledBack, |told| told.health = vec![check(true)]).await;
        for (host, code) in [("web1", "host.unhealthy"), ("web2", "host.failed")] {
            let told = world.good("GET", &format!("/v1/why/{host}/{}", of.id), ()).await;
            assert_eq!(
                (&told["standing"], &told["code"]),
                (&json!("reported"), &json!(code)),
                "{}",
                world.engine
            );
        }
    }
}

#[actix_web::test]
async fn each_wave_says_where_its_hosts_stand_and_when_it_opens() {
    for mut world in World::each(1, 3).await {
        let base = world.publish("base", "1.0.0").await;
        let two = |change: &mut Change| {
            let agents: Vec<_> = change.targets.iter().map(|target| target.agent).collect();
            let gate = Some(Gate { min_success: 1, max_fail: 0, soak_s: 60 });
            change.waves = vec![
                Wave { agents: agents[..1].to_vec(), gate: None },
                Wave { agents: agents[1..].to_vec(), gate },
            ];
        };
        let of = world.in_review(&base, two).await;
        let path = format!("/v1/changes/{}/waves", of.id);
        let waves = async |world: &World| -> Vec<WaveLine> {
            let lines: Vec<WaveLine> = serde_json::from_value(world.good("GET", &path, ()).await).unwrap();
            for line in &lines {
                let parts =
                    [line.waiting, line.refused, line.running, line.succeeded, line.failed, line.pending];
                assert_eq!(parts.iter().sum::<u32>(), line.targets, "each host is in one of these: {line:?}");
            }
            lines
        };
        let before = waves(&world).await;
        assert_eq!(before.iter().map(|line| line.planned).sum::<u32>(), 3, "{}", world.engine);
        assert!(before.iter().all(|line| line.open.is_none() && line.waiting == line.targets), "{before:?}");
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        let shut = waves(&world).await;
        assert_eq!((shut[0].wave, shut[0].open, shut[0].gate), (1, Some(true), None));
        assert_eq!((shut[1].wave, shut[1].open, shut[1].opens), (2, Some(false), None), "{shut:?}");
        assert!(shut[1].gate.is_some() && shut[1].message.is_some());
        world.report(0, &of, HostOutcome::Applied).await;
        let watched = waves(&world).await;
        assert_eq!((watched[0].succeeded, watched[0].waiting), (1, 0), "{}: {watched:?}", world.engine);
        assert_eq!(
            (watched[1].open, watched[1].opens),
            (Some(false), Some(NOW.plus(3_765))),
            "until it was watched"
        );
        world.clock.set(NOW.plus(3_800));
        assert_eq!(waves(&world).await[1].open, Some(true));
        world.refuse(1, &of, Code::PlanDrift, None).await;
        world.report(2, &of, HostOutcome::RolledBack).await;
        let last = &waves(&world).await[1];
        assert_eq!((last.targets, last.refused, last.failed), (2, 1, 1), "{}: {last:?}", world.engine);
        world.good("POST", "/v1/changes", json!({})).await;
        assert_eq!(world.good("GET", "/v1/changes/C-2/waves", ()).await, json!([]), "a draft has none");
        assert_eq!(world.code("GET", "/v1/changes/C-99/waves", ()).await, "change.unknown");
    }
}
