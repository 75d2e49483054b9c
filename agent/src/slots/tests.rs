use super::*;
use crate::host::fake::Fake;

fn program(version: &str) -> Option<Program> {
    Some(Program { version: version.parse().unwrap(), sha256: Digest::of(version.as_bytes()), length: 5 })
}

fn own(place: Place, version: &str) -> Own {
    let target = "x86_64-linux-gnu".parse().unwrap();
    Own { place, version: version.parse().unwrap(), target, packaged: Version::new(0, 1, 0) }
}

fn trial(tries: u32, stage: Stage) -> Slots {
    let trial = Trial { place: Place::A, until: Timestamp(100), tries, stage };
    Slots { a: program("0.2.0"), trial: Some(trial), ..Slots::default() }
}

#[test]
fn a_packaged_program_wins_over_slots_that_are_not_newer() {
    let slots = Slots { current: Place::B, a: program("0.2.0"), b: program("0.3.0"), ..Slots::default() };
    for (packaged, first) in
        [("0.1.0", &[Place::B, Place::A][..]), ("0.2.0", &[Place::B]), ("0.3.0", &[]), ("0.4.0", &[])]
    {
        assert_eq!(slots.before_packaged(&packaged.parse().unwrap()), first, "{packaged}");
    }
    let trial = Trial { place: Place::A, until: Timestamp(0), tries: 0, stage: Stage::Trying };
    let tried = Slots { trial: Some(trial), ..slots };
    assert_eq!(tried.before_packaged(&"0.1.0".parse().unwrap()), [Place::B], "nothing untried stands in");
    assert!(Slots::default().before_packaged(&"0.1.0".parse().unwrap()).is_empty());
}

#[test]
fn a_program_that_ends_within_its_first_tick_is_not_started_for_ever() {
    let mut host = Fake::default();
    for dir in ["/var", "/var/lib", "/var/lib/assent"] {
        let attrs = attrs(0o755, &host);
        host.make_dir(dir, attrs).unwrap();
    }
    let mut slots = Slots { current: Place::B, a: program("0.2.0"), b: program("0.3.0"), ..Slots::default() };
    slots.unproven = Some(0);
    let packaged = Version::new(0, 1, 0);
    for starts in 1..=TRIES {
        assert_eq!((slots.before_packaged(&packaged)[0], slots.worn_out()), (Place::B, None));
        count_start(&mut slots, Place::A, &mut host);
        count_start(&mut slots, Place::B, &mut host);
        assert_eq!((slots.unproven, read(&host).unwrap()), (Some(starts), slots.clone()));
    }
    assert_eq!(slots.before_packaged(&packaged), [Place::A]);
    assert!(slots.worn_out().unwrap().starts_with("0.3.0 in slot b took the place"));
    // A tick that came to its end counts for all that follow.
    slots.unproven = None;
    count_start(&mut slots, Place::B, &mut host);
    assert_eq!((slots.unproven, slots.before_packaged(&packaged)[0]), (None, Place::B));
}

#[test]
fn a_trial_ends_however_often_it_is_broken_off() {
    let old = own(Place::Packaged, "0.1.0");
    let early = Timestamp(50);
    let next = |tries, stage, now: i64| trial(tries, stage).next(&old, Timestamp(now));
    assert_eq!(next(0, Stage::Trying, 50), Next::Try(Place::A));
    assert_eq!(next(0, Stage::Trying, 200), Next::Try(Place::A), "its step began within the window");
    assert_eq!(next(2, Stage::Trying, 50), Next::Try(Place::A));
    assert!(matches!(next(1, Stage::Trying, 100), Next::End(Stage::GivenUp(_))));
    assert!(matches!(next(TRIES, Stage::Trying, 50), Next::End(Stage::Failed(_))));
    assert_eq!(next(0, Stage::Passed, 200), Next::GiveWay(Place::A));
    assert!(matches!(next(TRIES, Stage::Passed, 50), Next::End(Stage::Failed(_))));
    for over in [Stage::Failed("no".into()), Stage::GivenUp("no".into())] {
        assert_eq!(next(9, over, 50), Next::Work);
    }
    let passed = trial(1, Stage::Passed);
    assert_eq!(passed.next(&own(Place::A, "0.2.0"), early), Next::Work, "the new one itself");
    for packaged in ["0.2.0", "0.3.0"] {
        let next = passed.next(&own(Place::Packaged, packaged), early);
        assert!(matches!(next, Next::End(Stage::GivenUp(_))), "{packaged}");
    }
    assert_eq!(Slots::default().next(&old, early), Next::Work);
}

#[test]
fn the_file_has_one_form_and_damage_is_told() {
    let mut host = Fake::default();
    for dir in ["/var", "/var/lib", "/var/lib/assent"] {
        let attrs = attrs(0o755, &host);
        host.make_dir(dir, attrs).unwrap();
    }
    assert_eq!(read(&host).unwrap(), Slots::default());
    let slots = trial(1, Stage::Failed("it crashed".into()));
    write(&slots, &mut host).unwrap();
    assert_eq!(read(&host).unwrap(), slots);
    let text = String::from_utf8(host.read(FILE, FILE_BYTES).unwrap().unwrap()).unwrap();
    assert_eq!(
        text,
        format!(
            r#"{{"format":1,"current":"packaged","a":{{"version":"0.2.0","sha256":"{}","length":5}},"trial":{{"place":"a","until":"1970-01-01T00:01:40Z","tries":1,"stage":{{"failed":"it crashed"}}}}}}"#,
            Digest::of(b"0.2.0")
        )
    );
    for bad in ["", "{", &text.replace("\"format\":1", "\"format\":2"), &text.replace("tries", "trys")] {
        host.file(FILE, bad);
        let why = read(&host).unwrap_err().text();
        assert!(why.contains("is damaged") && why.contains("remove it"), "{why}");
    }
    assert!(check(&slots, Place::A, &host).unwrap_err().text().contains("is damaged"));
    host.file(&Place::A.path().unwrap(), "0.2.0");
    check(&slots, Place::A, &host).unwrap();
    assert!(check(&slots, Place::B, &host).is_err());
}
