//! Key figures: by definition, and from real courses on both databases.

use super::model::figures;
use crate::changes::Course;
use crate::changes::tests::world::{NOW, World};
use serde_json::{Value, json};
use shared::change::ChangeType;
use shared::lifecycle::Outcome;
use shared::receipt::HostOutcome;
use shared::time::{Interval, Timestamp};
use shared::wire::Figure;
use std::collections::BTreeMap;

const PERIOD: Interval = Interval { from: Timestamp(1_000), until: Timestamp(2_000) };

fn course(change_type: ChangeType, started: bool, closed: Option<(i64, Outcome)>) -> Course {
    Course {
        change_type,
        created: Timestamp(1_100),
        record: false,
        submitted: Some(Timestamp(1_200)),
        approved: Some(Timestamp(1_260)),
        started: started.then_some(Timestamp(1_300)),
        closed: closed.map(|(at, outcome)| (Timestamp(at), outcome)),
        targets: (4, if started { 3 } else { 0 }),
        caused: false,
    }
}

type Figures = BTreeMap<&'static str, (Figure, Vec<(&'static str, u32)>)>;

fn told(all: &[Course], confirmed: u32) -> Figures {
    figures(all, confirmed, PERIOD)
        .into_iter()
        .map(|(id, figure, excluded)| (id, (figure, excluded)))
        .collect()
}

#[test]
fn each_figure_counts_what_its_definition_says() {
    use ChangeType::{Emergency, Normal, Retroactive};
    use Outcome::{Expired, Failed, Rejected, RolledBack, Successful, SuccessfulWithIssues};
    let all = [
        course(Normal, true, Some((1_500, Successful))),
        Course { caused: true, ..course(Normal, true, Some((1_500, Successful))) },
        course(Emergency, true, Some((1_500, SuccessfulWithIssues))),
        course(Normal, true, Some((1_500, Failed))),
        course(Normal, true, Some((1_999, RolledBack))),
        course(Normal, false, Some((1_500, Rejected))),
        course(Emergency, false, Some((1_500, Expired))),
        Course { record: true, ..course(Retroactive, false, Some((1_500, Successful))) },
        // It took hosts out of the register.
        Course { record: true, ..course(Normal, false, Some((1_500, Successful))) },
        // Outside of the period, at its very end and still open.
        course(Normal, true, Some((2_000, Failed))),
        course(Normal, true, None),
        Course { created: Timestamp(2_000), ..course(Normal, false, None) },
    ];
    let told = told(&all, 2);
    let share = |part, of| Figure::Share { part, of };
    assert_eq!(told["change_success"].0, share(2, 5));
    assert_eq!(
        told["change_success"].1,
        [("kpi.with_issues", 1), ("kpi.not_started", 2), ("kpi.records", 2)]
    );
    assert_eq!(
        told["change_fail"].0,
        share(3, 5),
        "what caused something has failed, whatever it was closed as"
    );
    assert_eq!(told["caused"].0, share(1, 5));
    assert_eq!(told["backed_out"].0, share(1, 5));
    assert_eq!(told["emergency"].0, share(2, 7));
    assert_eq!(told["unauthorised"].0, share(2, 7));
    assert_eq!(told["evidence_coverage"].0, share(15, 20));
    assert_eq!(told["lead_approval"].0, Figure::Time { median_s: Some(60), p90_s: Some(60), of: 5 });
    assert_eq!(told["lead_start"].0, Figure::Time { median_s: Some(40), p90_s: Some(40), of: 5 });
    assert_eq!(told["backlog_growth"].0, Figure::Count { count: 9 - 7 });
    assert_eq!(told["backlog"].0, Figure::Count { count: 2 });
}

#[test]
fn without_anything_to_divide_by_there_is_no_share_and_ranks_are_measured_ones() {
    let nothing = told(&[], 0);
    assert_eq!(nothing["change_success"].0, Figure::Share { part: 0, of: 0 });
    assert_eq!(nothing["lead_start"].0, Figure::Time { median_s: None, p90_s: None, of: 0 });
    let spans: Vec<Course> = (1..=10)
        .map(|n| Course {
            started: Some(Timestamp(1_260 + n)),
            ..course(ChangeType::Normal, true, Some((1_500, Outcome::Successful)))
        })
        .collect();
    assert_eq!(told(&spans, 0)["lead_start"].0, Figure::Time { median_s: Some(5), p90_s: Some(9), of: 10 });
    let odd = Course { approved: None, ..spans[0] };
    let told = told(&[odd, spans[1]], 0);
    assert_eq!(
        told["lead_start"],
        (Figure::Time { median_s: Some(2), p90_s: Some(2), of: 1 }, vec![("kpi.not_measured", 1)])
    );
}

#[actix_web::test]
async fn figures_come_from_the_records_of_the_period() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        world.clock.set(NOW.plus(3_700));
        world.report(0, &of, HostOutcome::Applied).await;
        let id = &of.change.body.change_id;
        world.good("POST", &format!("/v1/changes/{id}/close"), json!({ "outcome": "successful" })).await;
        let dropped = world.in_review(&base, |_| {}).await.change.body.change_id;
        world.good("POST", &format!("/v1/changes/{dropped}/withdraw"), json!({ "note": "no" })).await;
        let ask = |from: i64, to: i64| format!("/v1/kpis?from={}&to={}", NOW.plus(from), NOW.plus(to));
        let answer = world.good("GET", &ask(-86_400, 86_400), ()).await;
        let figure = |id: &str| -> (Value, Value) {
            let kpi = answer["kpis"].as_array().unwrap().iter().find(|kpi| kpi["id"] == id).unwrap();
            assert!(
                !kpi["title"].as_str().unwrap().is_empty() && !kpi["definition"].as_str().unwrap().is_empty()
            );
            (kpi["figure"].clone(), kpi["excluded"].clone())
        };
        let (success, excluded) = figure("change_success");
        assert_eq!(success, json!({ "kind": "share", "part": 1, "of": 1 }), "{answer}");
        assert_eq!(excluded[0]["count"], 1, "what was withdrawn is named");
        assert_eq!(figure("evidence_coverage").0, json!({ "kind": "share", "part": 1, "of": 1 }));
        assert_eq!(figure("backlog_growth").0, json!({ "kind": "count", "count": 0 }));
        assert_eq!(figure("lead_start").0["of"], 1);
        // What came of it counts as long as the link holds.
        let caused = async || {
            let answer = world.good("GET", &ask(-86_400, 86_400), ()).await;
            let kpis = answer["kpis"].as_array().unwrap();
            let part = |id: &str| kpis.iter().find(|kpi| kpi["id"] == id).unwrap()["figure"]["part"].as_u64();
            (part("caused"), part("change_fail"))
        };
        assert_eq!(caused().await, (Some(0), Some(0)), "{}", world.engine);
        let notes = format!("/v1/changes/{id}/notes");
        let link = json!({ "kind": "link", "relation": "causes", "to": "INC-4711" });
        let link = world.good("POST", &notes, link).await;
        assert_eq!(caused().await, (Some(1), Some(1)), "{}", world.engine);
        let gone = json!({ "kind": "unlink", "link": link["number"], "text": "another one" });
        world.good("POST", &notes, gone).await;
        assert_eq!(caused().await, (Some(0), Some(0)), "{}", world.engine);
        let before = world.good("GET", &ask(-86_400, -80_000), ()).await;
        assert_eq!(before["kpis"][0]["figure"], json!({ "kind": "share", "part": 0, "of": 0 }));
        assert_eq!(world.code("GET", &ask(0, 0), ()).await, "request.bad_parameter");
        assert_eq!(world.code("GET", &ask(0, 2_000 * 86_400), ()).await, "request.bad_parameter");
    }
}
