//! Output of real plugins, and of hostile ones.

use super::*;
use proptest::prelude::*;

fn shown(output: &str) -> (Vec<String>, String) {
    let said = read(output);
    (said.metrics.iter().map(ToString::to_string).collect(), said.unread)
}

#[test]
fn what_real_plugins_write_is_read() {
    for (output, text, metrics) in [
        (
            "DISK OK - free space: / 3326 MB (56%);| /=2643MB;5948;5958;0;5968",
            "DISK OK - free space: / 3326 MB (56%);",
            vec!["/=2643MB;5948;5958;0;5968"],
        ),
        (
            "OK - load average: 0.01, 0.04, 0.00|load1=0.010;5.000;10.000;0; load5=0.040;4.000;6.000;0; ",
            "OK - load average: 0.01, 0.04, 0.00",
            vec!["load1=0.010;5.000;10.000;0", "load5=0.040;4.000;6.000;0"],
        ),
        (
            "PING OK|rta=0.036000ms;100.0;500.0;0.0 pl=0%;20;60;0",
            "PING OK",
            vec!["rta=0.036000ms;100.0;500.0;0.0", "pl=0%;20;60;0"],
        ),
        (
            "HTTP OK |time=0.001s;;;0.000000;10.000000 size=154B;;;0",
            "HTTP OK",
            vec!["time=0.001s;;;0.000000;10.000000", "size=154B;;;0"],
        ),
        (
            "X|'a b''c'=1c;@10:20;~:3 n=U t=1e-05s e=5e",
            "X",
            vec!["'a b''c'=1c;@10:20;~:3", "n=U", "t=1e-05s", "e=5e"],
        ),
        ("nothing to measure", "nothing to measure", vec![]),
        ("", "", vec![]),
    ] {
        assert_eq!(
            (read(output).text.as_str(), shown(output)),
            (text, (metrics.iter().map(ToString::to_string).collect(), String::new()))
        );
    }
}

/// The example of the guidelines.
#[test]
fn further_lines_are_long_text_and_then_performance_data() {
    let said = read(
        "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n\
         /boot 68 MB (69%);\n/var/log 819 MB (84%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414\n\
         /var/log=818MB;970;975;0;980\n",
    );
    assert_eq!(said.long, "/ 15272 MB (77%);\n/boot 68 MB (69%);\n/var/log 819 MB (84%);");
    let labels: Vec<&str> = said.metrics.iter().map(|metric| metric.label.as_str()).collect();
    assert_eq!((labels, said.unread.as_str()), (vec!["/", "/boot", "/home", "/var/log"], ""));
}

#[test]
fn what_is_of_another_form_is_left_out_and_told() {
    for (data, kept, why) in [
        ("a=1 b c=3", 2, "b c=3"),
        ("a=1,5 b=2", 1, "no unit"),
        ("a=x", 0, "number with thresholds"),
        ("a=1;2;3;4;5;6", 0, "number with thresholds"),
        ("a=1;x", 0, "threshold range"),
        ("a=1;:", 0, "threshold range"),
        ("a=1;;;0x1", 0, "decimal number"),
        ("=1", 0, "label of a number"),
        ("'open=1", 0, "open=1"),
        ("'a'1 b=2", 1, "1 b=2"),
        ("a=1 a=2", 1, "twice"),
        ("a=--1", 0, "number with thresholds"),
        ("a=.", 0, "number with thresholds"),
        ("a=1nan2", 0, "no unit"),
    ] {
        let (metrics, unread) = shown(&format!("X|{data}"));
        assert!(metrics.len() == kept && unread.contains(why), "{data}: {metrics:?} {unread}");
    }
    let many: String = (0..200).map(|n| format!("m{n}=1 ")).collect();
    let (metrics, unread) = shown(&format!("X|{many}"));
    assert!(metrics.len() == limits::METRICS && unread.contains("more than"), "{unread}");
    let long = format!("X|{}=1", "l".repeat(limits::METRIC_LABEL_BYTES + 1));
    assert_eq!(read(&long).metrics, []);
    let huge = format!("{}|a=1\n{}", "t".repeat(100_000), "l\u{1b}\n".repeat(100_000));
    let said = read(&huge);
    assert_eq!(said.text.len(), limits::PLUGIN_TEXT_CHARS);
    assert!(said.long.len() <= limits::PLUGIN_LONG_CHARS && !said.long.contains('\u{1b}'));
}

#[test]
fn a_metric_that_is_stored_is_read_strictly() {
    let metric = &read("X|'a b'=1.50ms;@1:2;;0").metrics[0];
    let json = r#"{"label":"a b","value":"1.50","unit":"ms","warn":"@1:2","min":"0"}"#;
    assert_eq!(strict::to_json(metric), json.as_bytes());
    let read = |json: &str| strict::from_json::<Metric>("a metric", json.as_bytes(), 1_000);
    assert_eq!(&read(json).unwrap(), metric);
    for bad in [
        r#"{"label":"a","value":1.5}"#,
        r#"{"label":"a","value":"1.5 "}"#,
        r#"{"label":"a=b"}"#,
        r#"{"label":""}"#,
        r#"{"label":"a","unit":""}"#,
        r#"{"label":"a","unit":"\u001b["}"#,
        r#"{"label":"a","warn":"1:2:3"}"#,
        r#"{"label":"a","x":"1"}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn anything_is_read_within_limits(output in "(.|[|;='U0-9 \n.e-]){0,400}") {
        let said = read(&output);
        prop_assert!(said.metrics.len() <= limits::METRICS);
        prop_assert!(!said.text.chars().chain(said.unread.chars()).any(char::is_control));
    }

    #[test]
    fn what_is_written_as_plugins_write_it_is_read_as_the_same(
        label in "[a-z' /%:]{1,20}", value in "-?[0-9]{1,6}(\\.[0-9]{1,3})?", unit in "(|s|ms|%|B|MB|c)",
        warn in "(|@?[0-9]{1,3}|~:[0-9]{1,3}|[0-9]{1,2}:|[0-9]{1,2}:[0-9]{1,3})", max in "(|[0-9]{1,4})",
    ) {
        prop_assume!(!label.trim().is_empty() && label.trim() == label);
        let quoted = label.replace('\'', "''");
        let said = read(&format!("X|'{quoted}'={value}{unit};{warn};;;{max}"));
        prop_assert_eq!(&said.unread, "");
        let metric = &said.metrics[0];
        prop_assert_eq!(metric.label.as_str(), label.as_str());
        prop_assert_eq!(metric.value.as_ref().map(Decimal::as_str), Some(value.as_str()));
        prop_assert_eq!(&read(&format!("X|{metric}")).metrics[0], metric);
    }
}
