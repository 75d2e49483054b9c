use super::*;
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::lifecycle::Outcome;
use shared::note::{LinkKind, Review};
use shared::time::Timestamp;

fn note(change: &str, number: u32, said: Said) -> ChangeNote {
    ChangeNote {
        schema: ChangeNote::SCHEMA.into(),
        change: change.parse().unwrap(),
        number,
        person: "lead".parse().unwrap(),
        at: Timestamp(1_795_222_800), // 2026-11-21T01:00:00Z
        said,
    }
}

#[test]
fn each_note_is_told_in_its_own_words_and_foreign_ones_do_not_steer_the_terminal() {
    let objection =
        |text: &str| Said::Objection { text: text.into(), speaks_for: Some("service:shop".into()) };
    let link = |relation, to: &str| Said::Link { relation, to: to.into() };
    let review = Review {
        outcome: Outcome::SuccessfulWithIssues,
        found: "the shop\u{1b}[2J answers".into(),
        deviation: "an hour later".into(),
        lessons: String::new(),
        waived: [(AgentId::of_key(&[1; 32]), "broken disk".to_owned())].into_iter().collect(),
    };
    let said = [
        objection("not on a Friday\nplease"),
        Said::Answer { to: 1, text: "moved".into() },
        objection("not yet"),
        link(LinkKind::Fixes, "C-3"),
        Said::Unlink { link: 4, text: "another one".into() },
        Said::Attachment { name: "test.txt".into(), sha256: Digest::of(b"x"), length: 1 },
        Said::Review(review),
    ];
    let notes = (1..).zip(said).map(|(number, said)| note("C-7", number, said)).collect();
    let all = ChangeNotes { notes, linked_from: vec![note("C-9", 2, link(LinkKind::Causes, "C-7"))] };
    let zone = window::zone(Some("Europe/Berlin")).unwrap();
    let told = page(&all, Lang::En, &zone);
    for line in [
        "   1  Sat 2026-11-21 02:00 +01:00  lead\n      objected, and was answered (service:shop): not on a Friday\n      please\n",
        "      answers 1: moved\n",
        "      OBJECTS (service:shop): not yet\n",
        "      fixes C-3 (has ended)\n",
        "      ends link 4: another one\n",
        "      reviewed, successful_with_issues: the shop\\u{1b}[2J answers\n      otherwise than planned: an hour later\n",
        ": broken disk\n",
        "  C-9 causes this\n",
    ] {
        assert!(told.contains(line), "{line:?} in\n{told}");
    }
    assert!(told.contains(&format!("attached test.txt (1 bytes, sha256 {})", Digest::of(b"x"))), "{told}");
    assert!(page(&all, Lang::De, &zone).contains("ERHEBT EINWAND (service:shop): not yet"));
    let none = ChangeNotes { notes: Vec::new(), linked_from: Vec::new() };
    assert_eq!(page(&none, Lang::En, &zone), "nobody has said anything\n");
}
