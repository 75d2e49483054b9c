use super::*;
use proptest::prelude::*;

fn query(text: &str) -> Query {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_search_has_one_form() {
    for (text, form) in [
        ("", ""),
        ("  web1  ", "web1"),
        (
            "os:debian-12 package:openssl<3.0.17 label:Prod -class:device criticality:high text",
            "os:debian-12 package:openssl<3.0.17 label:prod -class:device criticality:high text",
        ),
        ("kind:host,device", "(class:host OR class:device)"),
        ("a OR b c", "(a OR (b c))"),
        ("(a OR b) c", "(a OR b) c"),
        ("-(a b) -(c OR -d)", "-(a b) -(c OR -d)"),
        ("owner:\"Team A\",it", "(owner:\"team a\" OR owner:it)"),
        ("\"or\" \"a:b\" \"say \\\"x\\\"\"", "\"or\" \"a:b\" \"say \\\"x\\\"\""),
        ("label:role=Web criticality:>=HIGH", "label:role=Web criticality:>=HIGH"),
        ("package:linux-image-*>=6.1.0-30,curl", "(package:linux-image-*>=6.1.0-30 OR package:curl)"),
        ("kernel:<6.1 agent:>=0.2.0 os:debian<13", "kernel:<6.1 agent:>=0.2.0 os:debian<13"),
        (
            "manifest:web/base=1.2.0 change:C-7 saved:old-web",
            "manifest:web/base=1.2.0 change:c-7 saved:old-web",
        ),
        ("ORder", "order"),
    ] {
        assert_eq!(query(text).to_string(), form, "{text}");
        assert_eq!(query(form), query(text), "{form}");
    }
}

#[test]
fn what_is_not_understood_is_an_error_with_its_place() {
    for (text, at, why) in [
        ("os:debian packge:curl", 11, "did you mean \"package\"?"),
        ("colour:red", 1, "known are"),
        ("os:", 4, "something belongs after os:"),
        ("package:openssl<", 16, "something belongs after <"),
        ("package:openssl<3 0_1 package:a<\u{e4}", 32, "is no version"),
        ("manifest:web/base>1.2", 18, "such as 1.2.0"),
        ("class:server", 7, "is never \"server\""),
        ("criticality:>=hihg", 13, "did you mean \"high\"?"),
        ("criticality:low>=high", 13, "compares by itself"),
        ("label:a<b", 8, "with = only"),
        ("saved:Ü", 7, "small letters"),
        ("(a", 1, "not closed"),
        ("a)", 2, "closes nothing"),
        ("()", 1, "between these brackets"),
        ("a OR", 3, "between two terms"),
        ("OR a", 1, "between two terms"),
        ("\"a", 1, "quote is not closed"),
        ("\"a\"b", 4, "after the quote"),
        ("a\"b", 2, "into quotes"),
        ("- a", 2, "a text or a key"),
        ("((((((((((a", 10, "at most 8 brackets"),
    ] {
        let error = text.parse::<Query>().unwrap_err();
        assert_eq!((error.at, error.why.contains(why)), (at, true), "{text}: {error}");
    }
    let many = "a ".repeat(limits::SEARCH_TERMS + 1);
    assert!(many.parse::<Query>().unwrap_err().why.contains("64 terms"));
    assert!("a".repeat(limits::SEARCH_BYTES + 1).parse::<Query>().is_err());
}

fn fits(text: &str, word: &str, detail: &str, order: Order) -> bool {
    let Query::Term(term) = query(text) else { panic!("{text} is one term") };
    term.fits(Fact { word, detail, order })
}

#[test]
fn versions_are_compared_as_the_host_does() {
    let (deb, rpm) = (Order::Deb, Order::Rpm);
    for (text, word, detail, order, expected) in [
        ("package:openssl<3.0.17", "openssl", "3.0.16-1~deb12u1", deb, true),
        ("package:openssl<3.0.17", "openssl", "3.0.17-1~deb12u2", deb, false),
        ("package:openssl<3.0.17", "openssl-dev", "3.0.16-1", deb, false),
        ("package:openssl*<3.0.17", "openssl-dev", "3.0.16-1", deb, true),
        // Text order would say otherwise, in both directions.
        ("package:a<1.10", "a", "1.9", deb, true),
        ("package:a<1.10", "a", "1.9", rpm, true),
        // An epoch counts before everything else.
        ("package:a<2", "a", "1:0.1", deb, false),
        // The two managers do not agree on these.
        ("package:a<1.0a", "a", "1.0", deb, true),
        ("package:a>1.0.a", "a", "1.0.1", deb, false),
        ("package:a>1.0.a", "a", "1.0.1", rpm, true),
        ("package:a>=1.0", "a", "1.0-0", deb, true),
        ("package:a=1.0", "a", "1.0-1", deb, false),
        ("package:a<=1.0-1", "a", "no version!", deb, false),
        ("package:a", "a", "no version!", deb, true),
        ("os:debian-12", "debian", "12", deb, true),
        ("os:debian-12", "debian", "11", deb, false),
        ("os:debian-1*", "debian", "11", deb, true),
        ("os:debian<12", "debian", "9", deb, true),
        ("os:debian", "debian", "9", deb, true),
        ("os:opensuse-leap-15.6", "opensuse-leap", "15.6", rpm, true),
        ("kernel:<6.1.0-30", "6.1.0-9-amd64", "", deb, true),
        ("kernel:>=6.1.0-30", "6.1.0-9-amd64", "", deb, false),
        ("kernel:>6.1.0-30", "6.1.0-32-amd64", "", deb, true),
        ("kernel:>=5.14.0-500", "5.14.0-427.el9.x86_64", "", rpm, false),
        ("kernel:6.1*", "6.1.0-9-amd64", "", deb, true),
        ("agent:<0.10.0", "0.9.3", "", deb, true),
        ("manifest:web/*>=1.2.0", "web/base", "1.10.0", deb, true),
        ("label:prod", "prod", "", deb, true),
        ("label:prod", "stage", "prod", deb, true),
        ("label:stage=Prod", "stage", "prod", deb, true),
        ("label:prod=stage", "stage", "prod", deb, false),
        ("criticality:>=high", "critical", "", deb, true),
        ("criticality:>high", "high", "", deb, false),
        ("protection:<very_high", "normal", "", deb, true),
    ] {
        assert_eq!(fits(text, word, detail, order), expected, "{text} of {word} {detail}");
    }
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, fits) in [
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcd", false),
        ("*b*", "abc", true),
        ("*bc*bc", "abcbc", true),
        ("*bc*bc", "abc", false),
        ("a*a", "a", false),
        ("*", "", true),
        ("abc", "abcd", false),
    ] {
        assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} of {text}");
    }
}

#[test]
fn saved_searches_are_put_in() {
    let uses = query("a -(saved:x OR saved:y)");
    assert_eq!(uses.saved(), ["x", "y"]);
    let mut of = |term: Term| match (term.key, term.want.word.as_str()) {
        (Key::Saved, "x") => Ok(query("b c")),
        (Key::Saved, name) => Err(name.to_owned()),
        _ => Ok(Query::Term(term)),
    };
    assert_eq!(uses.with_terms(&mut of), Err("y".to_owned()));
    assert_eq!(query("-saved:x os:a").with_terms(&mut of), Ok(query("-(b c) os:a")));
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 *\"\\\\:,()<>=-]{1,12}".prop_filter("a text", |text| !text.is_empty())
}

fn terms() -> impl Strategy<Value = Query> {
    let term = |key, word: &str, compared: Option<(Comparison, &str)>| {
        let compared = compared.map(|(comparison, text)| (comparison, text.to_owned()));
        Query::Term(Term { key, want: Want { word: Pattern::new(word), compared } })
    };
    let comparison = proptest::sample::select(Comparison::ALL.to_vec());
    prop_oneof![
        words().prop_map(move |word| term(Key::Text, &word, None)),
        words().prop_map(move |word| term(Key::Owner, &word, None)),
        (words(), words()).prop_map(move |(a, b)| term(Key::Label, &a, Some((Comparison::Equal, &b)))),
        (words(), comparison, "[1-9][0-9.]{0,4}[0-9]").prop_map(move |(word, comparison, version)| term(
            Key::Package,
            &word,
            Some((comparison, &version))
        )),
    ]
}

fn queries() -> impl Strategy<Value = Query> {
    terms().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Query::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Query::Any),
            inner.prop_map(|query| Query::Not(Box::new(query))),
        ]
    })
}

proptest! {
    /// The written form of a search is read as that search. A negation of a negation has no form of its own.
    #[test]
    fn what_is_written_is_read(query in queries()) {
        let text = query.to_string();
        prop_assume!(!text.contains("--"));
        prop_assert_eq!(text.parse::<Query>(), Ok(query), "{}", text);
    }

    #[test]
    fn any_text_is_a_search_or_an_error_within_it(text in "\\PC{0,80}|[a-z:<>=,()\" -]{0,40}|(os:|package:|-|\\(|\\)|OR | |a|<|\"|1){0,20}") {
        match text.parse::<Query>() {
            Ok(query) => prop_assert_eq!(query.to_string().parse::<Query>().map(|q| q.to_string()), Ok(query.to_string())),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}: {}", text, error),
        }
    }

    /// Pattern by pattern as a slow matcher says.
    #[test]
    fn patterns_fit_as_they_should(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
                Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
            }
        }
        prop_assert_eq!(Pattern::new(&pattern).fits(&text), slow(pattern.as_bytes(), text.as_bytes()));
    }
}
