//! Rules that ask for a group, for everyone in it, or for an order.

use super::*;
use crate::ids::GroupName;

fn group(name: &str, persons: &[&str]) -> Group {
    Group { name: name.parse().unwrap(), persons: persons.iter().map(|name| person_id(name)).collect() }
}

fn named(name: &str) -> Option<GroupName> {
    Some(name.parse().unwrap())
}

/// `first` and `second` own what is changed, `chief` (key 8) comes last.
fn site(bend: impl Fn(&mut Policy)) -> Policy {
    let mut policy = policy(1);
    policy.persons.push(Person {
        id: person_id("chief"),
        name: "Chief".into(),
        keys: vec![PersonKey::file(key(8).public(), &[Role::Approver])],
    });
    policy.groups = vec![group("owners", &["first", "second"]), group("board", &["chief"])];
    bend(&mut policy);
    policy
}

/// Words at these moments before now, each person with a good key.
fn words(said: &[(&str, i64)]) -> Fixture {
    let mut change = change_body();
    change.created = NOW.plus(-100_000);
    let mut fixture = Fixture::of(change);
    for (person, at) in said {
        let number = match *person {
            "first" => 2,
            "second" => 4,
            "chief" => 8,
            "deputy" => 7,
            _ => 1,
        };
        let mut approval = fixture.approval(person);
        (approval.at, approval.nonce) = (NOW.plus(*at), format!("{person}{at}"));
        fixture.add(approval, number);
    }
    fixture
}

fn allowed(policy: &Policy, fixture: &Fixture) -> Result<usize, String> {
    let judgement = judged(policy, fixture, &[ActionClass::File], NOW);
    code(&judgement).map_err(|_| judgement.lines.join(" / "))
}

#[test]
fn only_the_words_of_the_group_count() {
    let owners = site(|p| p.rules[0].require.from = named("owners"));
    assert_eq!(owners.problems(), Vec::<String>::new());
    assert_eq!(allowed(&owners, &words(&[("first", -60)])), Ok(1));
    let why = allowed(&owners, &words(&[("chief", -60)])).unwrap_err();
    assert!(why.contains("person chief not counted, is not of the group owners"), "{why}");
    // Whoever stands in speaks for a member, and not for somebody outside.
    let deputy = |by: &str| {
        site(|p| {
            p.rules[0].require.from = named("owners");
            p.persons.push(delegated().persons.pop().unwrap());
            p.delegations = vec![Delegation { by: person_id(by), ..delegated().delegations[0].clone() }];
        })
    };
    assert_eq!(allowed(&deputy("first"), &words(&[("deputy", -30)])), Ok(1));
    let why = allowed(&deputy("chief"), &words(&[("deputy", -30)])).unwrap_err();
    assert!(why.contains("stands in for chief, who is not of the group owners"), "{why}");
}

#[test]
fn everyone_of_a_group_whom_nothing_bars() {
    let all = site(|p| (p.rules[0].require.from, p.rules[0].require.everyone) = (named("owners"), true));
    let why = allowed(&all, &words(&[("first", -60)])).unwrap_err();
    assert!(why.contains("1 of 2 counted: person first"), "{why}");
    assert_eq!(allowed(&all, &words(&[("first", -60), ("second", -50)])), Ok(2));
    // The author cannot be waited for; where nobody is left, nothing is allowed.
    let with = |persons: &[&str]| {
        let persons = persons.to_vec();
        site(move |p| {
            p.groups[0] = group("owners", &persons);
            (p.rules[0].require.from, p.rules[0].require.everyone) = (named("owners"), true);
        })
    };
    assert_eq!(allowed(&with(&["first", "author"]), &words(&[("first", -60)])), Ok(1));
    let why = allowed(&with(&["author"]), &words(&[("author", -60)])).unwrap_err();
    assert!(why.contains("0 of 1 counted"), "{why}");
}

/// The owners first, then the board: whoever signs too early signs again.
fn steps() -> Policy {
    site(|p| {
        p.rules[0].name = "owners".into();
        p.rules[0].require.from = named("owners");
        let mut board = p.rules[0].clone();
        board.name = "board".into();
        board.require.from = named("board");
        board.require.after = ["owners".to_owned()].into();
        // What is asked for last may stand first in the document.
        p.rules.insert(0, board);
    })
}

#[test]
fn rules_are_satisfied_one_after_the_other() {
    let steps = steps();
    assert_eq!(steps.problems(), Vec::<String>::new());
    assert_eq!(allowed(&steps, &words(&[("first", -60), ("chief", -30)])), Ok(2));
    assert_eq!(
        allowed(&steps, &words(&[("chief", -30), ("first", -60)])),
        Ok(2),
        "the order of arrival is nothing"
    );
    assert_eq!(allowed(&steps, &words(&[("first", -60), ("chief", -60)])), Ok(2));
    for (said, told) in [
        (vec![("chief", -30)], "person chief not counted, comes before rule \"owners\" is satisfied"),
        (
            vec![("first", -60), ("chief", -61)],
            "was signed before 2027-01-15T07:59:00Z, when the rules before it",
        ),
        (vec![("first", -60)], "rule \"board\": 0 of 1 counted"),
    ] {
        let why = allowed(&steps, &words(&said)).unwrap_err();
        assert!(why.contains(told), "{said:?}: {why}");
    }
    // More owners do not put the board's turn off; an owner's newer word does.
    assert_eq!(allowed(&steps, &words(&[("first", -60), ("chief", -30), ("second", -10)])), Ok(3));
    assert!(allowed(&steps, &words(&[("first", -60), ("chief", -30), ("first", -10)])).is_err());
    // A rule that is about other hosts is not waited for.
    let mut elsewhere = steps;
    elsewhere.rules[1].matches.host_classes = Some(["lab".parse().unwrap()].into());
    assert_eq!(allowed(&elsewhere, &words(&[("chief", -30)])), Ok(1));
}

#[test]
fn whose_word_is_missing_is_asked_in_turn_and_nobody_else() {
    let asked = |policy: &Policy, said: &[(&str, i64)]| {
        let place = (&host_class(), Purpose::Start);
        let asked = on_case(policy, &words(said), &[ActionClass::File], place, NOW, super::asked);
        asked.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(asked(&steps(), &[]), ["first", "second"], "the board comes later, the author never");
    assert_eq!(asked(&steps(), &[("first", -60)]), ["chief"]);
    assert_eq!(
        asked(&steps(), &[("chief", -30)]),
        ["first", "second"],
        "whoever signed too early is not asked yet"
    );
    assert_eq!(asked(&steps(), &[("first", -60), ("chief", -30)]), none);
    let all = site(|p| (p.rules[0].require.from, p.rules[0].require.everyone) = (named("owners"), true));
    assert_eq!(asked(&all, &[("first", -60)]), ["second"]);
    // Whoever stands in for a member is asked as well; whose key does not suffice is not.
    let deputy = site(|p| {
        p.rules[0].require.from = named("owners");
        p.persons.push(delegated().persons.pop().unwrap());
        p.delegations = vec![Delegation { by: person_id("first"), ..delegated().delegations[0].clone() }];
    });
    assert_eq!(asked(&deputy, &[]), ["deputy", "first", "second"]);
    let mut weak = deputy;
    for person in &mut weak.persons {
        let browser = person.id.as_str() == "second";
        person.keys.iter_mut().filter(|_| browser).for_each(|key| key.assurance = Assurance::ServerRendered);
    }
    weak.rules[0].require.min_assurance = Assurance::Independent;
    assert_eq!(asked(&weak, &[]), ["deputy", "first"]);
    let mut fixture = words(&[]);
    let mut no = fixture.approval("first");
    no.decision = Decision::Reject;
    fixture.add(no, 2);
    let place = (&host_class(), Purpose::Start);
    assert!(
        on_case(&steps(), &fixture, &[ActionClass::File], place, NOW, super::asked).is_empty(),
        "it was rejected"
    );
}

#[test]
fn groups_and_orders_that_cannot_be_are_refused() {
    type Bend = fn(&mut Policy);
    let bends: [(Bend, &str); 7] = [
        (|p| p.rules[0].require.from = named("nobody"), "asks for the group nobody, which is not there"),
        (|p| p.rules[0].require.everyone = true, "asks for everyone, but for no group"),
        (|p| p.groups.push(group("board", &["first"])), "group board is listed twice"),
        (|p| p.groups[1].persons.clear(), "group board is empty"),
        (|p| p.groups[1].persons = [person_id("ghost")].into(), "names ghost, who is not a person"),
        (
            |p| p.rules[0].require.after = ["gone".to_owned()].into(),
            "comes after \"gone\", which is not there",
        ),
        (|p| p.rules[0].require.after = ["normal".to_owned()].into(), "comes after itself"),
    ];
    for (bend, told) in bends {
        let problems = site(bend).problems();
        assert!(problems.len() == 1 && problems[0].contains(told), "{told}: {problems:?}");
    }
    let mut circle = steps();
    circle.rules[1].require.after = ["board".to_owned()].into();
    assert!(circle.problems()[0].contains("by a circle of rules"), "{:?}", circle.problems());
    assert!(allowed(&circle, &words(&[("first", -60), ("chief", -30)])).is_err(), "and nothing starts by it");
    let short = site(|p| {
        p.rules[0].require.from = named("board");
        p.rules[0].require.approvals = 2;
    });
    assert_eq!(short.rules_out_of_reach(NOW).len(), 1);
}

#[test]
fn a_policy_without_groups_is_written_as_before() {
    let text = String::from_utf8(crate::strict::to_json(&policy(1))).unwrap();
    assert!(!text.contains("group") && !text.contains("everyone") && !text.contains("after"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Neither order nor fewer persons make more of it, also where rules ask for groups and for an order.
    #[test]
    fn fewer_persons_in_any_order_allow_no_more(
        said in prop::collection::vec((0..3usize, -90_000..-1i64), 0..6),
        gone in 0..3usize,
        chained in any::<bool>(),
        everyone in any::<bool>(),
    ) {
        const NAMES: [&str; 3] = ["first", "second", "chief"];
        let mut policy = steps();
        policy.rules[1].require.everyone = everyone;
        if !chained { policy.rules[0].require.after.clear(); }
        let all: Vec<_> = said.iter().map(|(who, at)| (NAMES[*who], *at)).collect();
        let fewer: Vec<_> = all.iter().filter(|(name, _)| *name != NAMES[gone]).copied().collect();
        let turned: Vec<_> = all.iter().rev().copied().collect();
        let before = allowed(&policy, &words(&all));
        prop_assert_eq!(&before, &allowed(&policy, &words(&turned)));
        prop_assert!(before.is_ok() || allowed(&policy, &words(&fewer)).is_err());
        // With an order no more is allowed than without.
        let mut free = policy.clone();
        free.rules[0].require.after.clear();
        prop_assert!(before.is_err() || allowed(&free, &words(&all)).is_ok());
    }
}
