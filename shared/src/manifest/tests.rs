use super::*;
use crate::ids::ResourceId;
use crate::version::Order;
use std::time::Instant;

const HEAD: &str = r#""manifest":"web-base","version":"1.2.0""#;

fn read(resources: &str) -> Result<Manifest, BadManifest> {
    Manifest::from_json(format!("{{{HEAD},\"resources\":[{resources}]}}").as_bytes())
}

fn service(name: &str, requires: &[&str]) -> String {
    format!(r#"{{"service":{{"name":"{name}","enabled":true,"requires":{requires:?}}}}}"#)
}

fn ids(manifest: &Manifest) -> Vec<String> {
    order(manifest).unwrap().into_iter().map(|i| manifest.resources()[i].id().to_string()).collect()
}

#[test]
fn order_puts_needs_first_and_else_keeps_the_written_order() {
    let chain =
        [service("c", &["service:b"]), service("a", &[]), service("b", &["service:d"]), service("d", &[])];
    assert_eq!(ids(&read(&chain.join(",")).unwrap()), ["service:a", "service:d", "service:b", "service:c"]);
    let nested = r#"{"file":{"path":"/a/b/c","content":""}},{"directory":{"path":"/a/b"}},{"directory":{"path":"/a"}},{"directory":{"path":"/ab"}}"#;
    assert_eq!(
        ids(&read(nested).unwrap()),
        ["directory:/a", "directory:/a/b", "file:/a/b/c", "directory:/ab"]
    );
}

#[test]
fn cycles_are_refused_and_printed() {
    let cycle = [
        service("a", &["service:b"]),
        service("b", &["service:c"]),
        service("c", &["service:b"]),
        service("d", &[]),
    ];
    let Err(BadManifest::Problems(problems)) = read(&cycle.join(",")) else { panic!("a cycle was accepted") };
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("service:b needs service:c needs service:b"), "{}", problems[0]);
    let itself = read(&service("a", &["service:a"])).unwrap_err().to_string();
    assert!(itself.contains("service:a needs service:a"), "{itself}");
}

#[test]
fn json_is_read_strictly() {
    let file = r#"{"file":{"path":"/a","content":""}}"#;
    assert!(read(file).is_ok());
    for (json, fragment) in [
        (format!("{{{HEAD},\"resources\":[{file}],\"extra\":1}}"), "unknown field `extra`"),
        (format!("{{{HEAD},{HEAD},\"resources\":[{file}]}}"), "duplicate field"),
        (
            format!("{{{HEAD},\"resources\":[{file}],\"patch\":{{\"select\":\"all\"}}}}"),
            "exactly one of resources and patch",
        ),
        (format!("{{{HEAD}}}"), "exactly one of resources and patch"),
        (format!("{{{HEAD},\"resources\":[]}}"), "wants nothing"),
        (format!("{{{HEAD},\"resources\":[{file}]}} x"), "trailing"),
        (format!("{{{HEAD},\"resources\":[{}]}}", r#"{"file":{"path":"/a"}}"#), "no clear contents"),
        (
            format!("{{{HEAD},\"resources\":[{}]}}", r#"{"file":{"path":"/a","content":"","mode":420}}"#),
            "invalid type: integer",
        ),
        (
            format!("{{{HEAD},\"resources\":[{}]}}", r#"{"file":{"path":"/a/../b","content":""}}"#),
            "not an absolute path",
        ),
        (
            format!("{{{HEAD},\"resources\":[{}]}}", r#"{"file":{"path":"/a","template":"{{params.x}}"}}"#),
            "params.x",
        ),
        (
            format!(
                "{{{HEAD},\"parameters\":{{\"p\":{{\"type\":\"integer\",\"default\":1.5}}}},\"resources\":[{file}]}}"
            ),
            "an integer or a boolean",
        ),
        (
            format!(
                "{{{HEAD},\"parameters\":{{\"p\":{{\"type\":\"string\"}},\"p\":{{\"type\":\"string\"}}}},\"resources\":[{file}]}}"
            ),
            "duplicate key",
        ),
        (" ".repeat(limits::MANIFEST_BYTES + 1), "at most"),
    ] {
        let error = Manifest::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(fragment), "{json}: {error}");
    }
}

#[test]
fn written_forms_have_one_meaning() {
    assert_eq!("app.service".parse::<ServiceName>(), "app".parse::<ServiceName>());
    for (name, unit) in
        [("app", "app.service"), ("apt-daily.timer", "apt-daily.timer"), ("getty@tty1", "getty@tty1.service")]
    {
        assert_eq!(name.parse::<ServiceName>().unwrap().unit(), unit);
    }
    for (text, bits) in [("0644", 0o644), ("644", 0o644), ("4755", 0o4755)] {
        assert_eq!(text.parse::<Mode>().map(Mode::bits), Ok(bits), "{text}");
    }
    for bad in ["", "64", "00644", "0649", "+644", "0o644", "rw-"] {
        assert!(bad.parse::<Mode>().is_err(), "{bad}");
    }
    for bad in [
        "",
        "/",
        "a",
        "//",
        "/a//b",
        "/a/",
        "/a/.",
        "/./a",
        "/a/..",
        "/a\nb",
        &format!("/{}", "x".repeat(280)),
    ] {
        assert!(bad.parse::<AbsolutePath>().is_err(), "{bad:?}");
    }
    let longest: AbsolutePath = format!("/{}", "x".repeat(279)).parse().unwrap();
    let directory = format!(r#"{{"directory":{{"path":"{longest}"}}}}"#);
    assert_eq!(
        read(&directory).unwrap().resources()[0].id(),
        format!("directory:{longest}").parse::<ResourceId>().unwrap()
    );
    assert!("/a/b".parse::<AbsolutePath>().unwrap().is_below(&"/a".parse().unwrap()));
    assert!(!"/ab".parse::<AbsolutePath>().unwrap().is_below(&"/a".parse().unwrap()));
}

#[test]
fn globs_match_whole_names() {
    for (glob, name, expected) in [
        ("openssl", "openssl", true),
        ("openssl", "openssl-tools", false),
        ("openssl*", "openssl", true),
        ("*ssl*", "libssl3", true),
        ("lib?6", "libc6", true),
        ("lib?6", "lib6", false),
        ("*", "", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("a.c", "abc", false),
    ] {
        assert_eq!(glob.parse::<NameGlob>().unwrap().matches(name), expected, "{glob} {name}");
    }
    let started = Instant::now();
    let worst: NameGlob = format!("{}b", "*a".repeat(60)).parse().unwrap();
    assert!(!worst.matches(&"a".repeat(10_000)));
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn a_patch_selects_by_name_and_source() {
    let patch = |json: &str| -> Patch { serde_json::from_str(json).unwrap() };
    let params = |text: &str| Map::from_iter([("group".to_owned(), ParamValue::Text(text.to_owned()))]);
    let none = Map::default();
    let named = patch(r#"{"select":"named","names":["lib*"],"exclude":["libc6"]}"#).patterns(&none).unwrap();
    let security = patch(r#"{"select":"security","exclude":["linux-*"]}"#).patterns(&none).unwrap();
    assert_eq!(
        [("libssl3", false), ("libc6", true), ("bash", true)].map(|(n, s)| named.selects(n, s)),
        [true, false, false]
    );
    assert_eq!(
        [("bash", false), ("bash", true), ("linux-image", true)].map(|(n, s)| security.selects(n, s)),
        [false, true, false]
    );
    let grouped = patch(r#"{"select":"all","exclude":["vim","{{params.group}}"]}"#);
    let excluded = |text: &str| {
        let patterns = grouped.patterns(&params(text)).unwrap();
        ["vim", "linux-image-amd64", "postgresql-15", "bash"].map(|name| patterns.excludes(name))
    };
    assert_eq!(excluded("linux-image-*, postgresql-*"), [true, true, true, false]);
    assert_eq!(excluded(""), [true, false, false, false]);
    assert!(grouped.patterns(&none).unwrap_err().contains("parameter group has no text"));
    assert!(grouped.patterns(&params("a=1")).unwrap_err().contains("parameter group: \"a=1\""));
}

#[test]
fn ranges_are_judged_in_the_order_of_the_package_manager() {
    let range = |text: &str| text.parse::<PackageRange>();
    for (text, version, holds) in [
        (">= 2.4, < 3", "2.4", true),
        (">= 2.4, < 3", "2.4~rc1", false),
        (">=2.4,<3", "2.10-1", true),
        (">= 2.4, < 3", "1:2.5", false),
        ("> 1.0", "1.0", false),
        ("<= 1.0", "1.0-0", true),
    ] {
        assert_eq!(range(text).unwrap().contains(version, Order::Deb), Ok(holds), "{text} {version}");
    }
    for bad in ["", "2.4", "= 2.4", "~> 2", ">= 2.4,", ">= ", ">= 2.*", &[">= 1"; 9].join(",")] {
        assert!(range(bad).is_err(), "{bad}");
    }
    let odd = range(">= a_b").unwrap().contains("1", Order::Deb).unwrap_err().to_string();
    assert!(odd.contains("a_b"), "{odd}");
}

#[test]
fn parameters_are_resolved_with_all_problems_at_once() {
    let declared: Map<ParamName, Parameter> = serde_json::from_str(
        r#"{"port":{"type":"integer","default":80,"min":1,"max":65535},"name":{"type":"string"},
            "tls":{"type":"boolean","default":false},"level":{"type":"string","enum":["low","high"],"default":"low"}}"#,
    )
    .unwrap();
    let given = |json: &str| serde_json::from_str::<Map<String, ParamValue>>(json).unwrap();
    let resolved = resolve_params(&declared, &given(r#"{"name":"x","port":443}"#)).unwrap();
    assert_eq!(
        serde_json::to_string(&resolved).unwrap(),
        r#"{"level":"low","name":"x","port":443,"tls":false}"#
    );
    let bad =
        resolve_params(&declared, &given(r#"{"prot":1,"port":0,"tls":"true","level":"mid"}"#)).unwrap_err();
    let told: Vec<String> = bad.iter().map(|p| format!("{}: {}; {}", p.place, p.message, p.remedy)).collect();
    assert_eq!(
        told,
        [
            "parameters.prot: the manifest has no such parameter; did you mean \"port\"?",
            "parameters.level: \"mid\" is not one of the choices; use \"low\" or \"high\"",
            "parameters.name: the parameter has no default and no value was given; give a value of type string",
            "parameters.port: 0 is out of range; use 1 to 65535",
            "parameters.tls: \"true\" is of type string, the parameter is of type boolean; give a value of type boolean, without quotes",
        ]
    );
}

#[test]
fn the_largest_manifests_stay_cheap() {
    let one = |i: usize| {
        let requires = if i.is_multiple_of(10) { r#","requires":["service:s0"]"# } else { "" };
        format!(r#"{{"service":{{"name":"s{i}","enabled":true{requires}}}}}"#)
    };
    // What is done grows with the number of resources and no faster.
    let done = |count: usize| {
        let first = r#"{"service":{"name":"s0","enabled":true}}"#.to_owned();
        let many: Vec<String> = std::iter::once(first).chain((1..count).map(one)).collect();
        let (done, ordered) = work::counted(|| order(&read(&many.join(",")).unwrap()).unwrap().len());
        assert_eq!(ordered, count);
        done
    };
    let (half, whole) = (done(limits::MANIFEST_RESOURCES / 2), done(limits::MANIFEST_RESOURCES));
    assert!(half > limits::MANIFEST_RESOURCES / 2 && whole <= 2 * half + 100, "{half} {whole}");
    let wrong =
        |i: usize| format!(r#"{{"service":{{"name":"s{i}","enabled":true,"requires":["service:x{i}"]}}}}"#);
    let all_wrong: Vec<String> = (0..13_000).map(wrong).collect();
    let (done, refused) = work::counted(|| read(&all_wrong.join(",")));
    let Err(BadManifest::Problems(problems)) = refused else { panic!("unknown ids were accepted") };
    assert_eq!(problems.len(), PROBLEMS);
    // Each problem is compared with 2,000 names at most, and nothing is compared for those that are not told.
    assert!((PROBLEMS * 2_000..PROBLEMS * 2_000 + 4 * all_wrong.len()).contains(&done), "{done}");
}

proptest::proptest! {
    #[test]
    fn no_mutated_json_panics(edits in proptest::collection::vec((0usize..4000, proptest::sample::select(b"\"{}[]:,0-\\a/{\xff".to_vec())), 1..6)) {
        let samples: [&[u8]; 2] = [include_bytes!("golden/every-kind.json"), include_bytes!("golden/edits.json")];
        let mut bytes = samples[edits.len() % 2].to_vec();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(manifest) = Manifest::from_json(&bytes) {
            proptest::prop_assert_eq!(Manifest::from_json(manifest.to_json()), Ok(manifest));
        }
    }
}

#[test]
fn every_kind_keeps_the_rules_that_it_satisfies() {
    let samples = ["every-kind", "edits", "system", "sources", "acl", "external", "agent"];
    let mut kinds = std::collections::BTreeSet::new();
    for sample in samples {
        let path = format!("{}/src/manifest/golden/{sample}.json", env!("CARGO_MANIFEST_DIR"));
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for resource in document["resources"].as_array_mut().unwrap() {
            let (kind, body) = resource.as_object_mut().unwrap().iter_mut().next().unwrap();
            body["satisfies"] = serde_json::json!(["xccdf_org.example_rule_a", "xccdf_org.example_rule_b"]);
            kinds.insert(kind.clone());
        }
        let read = Manifest::from_json(strict::to_json(&document)).unwrap();
        assert!(read.resources().iter().all(|resource| resource.satisfies().len() == 2), "{sample}");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&read.to_json()).unwrap(),
            document,
            "{sample}"
        );
    }
    assert_eq!(kinds.len(), 27, "all of them: {kinds:?}");
}
