use super::*;

fn facts() -> TemplateFacts {
    TemplateFacts {
        hostname: "web1".into(),
        fqdn: "web1.example.org".into(),
        os_id: "debian".into(),
        os_version: "12".into(),
        os_codename: "bookworm".into(),
        kernel: "6.1.0-28-amd64".into(),
        arch: "amd64".into(),
        addresses: vec!["192.0.2.7".into(), "2001:db8::7".into()],
        agent_id: "0123456789abcdef0123456789abcdef".into(),
        host_class: "production".into(),
    }
}

fn params() -> Map<String, ParamValue> {
    [
        ("port".to_owned(), ParamValue::Integer(8080)),
        ("greeting".to_owned(), ParamValue::Text("<b>\"Grüß Gott\" & {{x}}</b>".into())),
        ("tls".to_owned(), ParamValue::Boolean(false)),
    ]
    .into_iter()
    .collect()
}

#[test]
fn templates_render_without_escaping() {
    for (template, expected) in [
        ("", ""),
        ("port={{params.port}} host={{facts.hostname}}\n", "port=8080 host=web1\n"),
        ("{{params.greeting}}{{{params.greeting}}}", &"<b>\"Grüß Gott\" & {{x}}</b>".repeat(2)),
        ("{{#if params.tls}}a{{else if (eq facts.os_id \"debian\")}}b{{else}}c{{/if}}", "b"),
        ("{{#unless params.tls}}plain{{/unless}}", "plain"),
        (
            "{{#each facts.addresses}}{{@index}}={{this}}:{{@root.params.port}} {{/each}}",
            "0=192.0.2.7:8080 1=2001:db8::7:8080 ",
        ),
        (
            "{{facts.addresses.1}} {{len facts.addresses}} {{! a note }}{{!-- more }} --}}{{eq 'a}}' \"a}}\"}}",
            "2001:db8::7 2 true",
        ),
        ("a } b }} c { d", "a } b }} c { d"),
    ] {
        assert_eq!(render(template, &params(), &facts()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn everything_unknown_is_a_problem_with_line_and_remedy() {
    for (template, line, message, remedy) in [
        ("a\nb {{params.prot}}", 2, "params.prot", "params.port"),
        ("{{facts.hostnme}}", 1, "facts.hostnme", "facts.hostname"),
        ("{{port}}", 1, "\"port\"", "params.port"),
        ("{{facts.packages}}", 1, "facts.packages", "facts."),
        ("{{params}}", 1, "params", "known are"),
        ("{{facts.addresses}}", 1, "list", "#each"),
        ("{{#each facts.addresses}}{{params.port}}{{/each}}", 1, "not visible", "@root.params.port"),
        ("{{#each facts.addresses}}{{#each facts.addresses}}{{/each}}{{/each}}", 1, "not visible", "@root"),
        ("{{#each params.port}}{{/each}}", 1, "lists only", "facts.addresses"),
        ("{{this}}", 1, "within #each", "params."),
        ("{{#wiht params}}{{/wiht}}", 1, "wiht", "known are"),
        ("{{lookup params 'port'}}", 1, "lookup", "known are"),
        ("{{eq params.port}}", 1, "eq takes 2", "without names"),
        ("{{#if}}x{{/if}}", 1, "", ""),
        ("{{#if params.tls includeZero=true}}x{{/if}}", 1, "exactly one", "#if"),
        ("x\n\n{{#if params.tls}}", 1, "", "syntax"),
        ("x\n{{params.port", 2, "not closed", "}}"),
        ("{{> other}}", 1, "partials", "write"),
        ("{{#> other}}{{/other}}", 1, "partials", "write"),
        ("{{* inline}}", 1, "decorators", "write"),
        ("{{#*inline \"a\"}}{{/inline}}", 1, "decorators", "write"),
        ("{{{{raw}}}} x {{{{/raw}}}}", 1, "'{'", "close"),
        ("\\{{params.port}}", 1, "not supported", "parameter"),
        ("{{params.[port]}}", 1, "'['", "close"),
        ("{{../params.port}}", 1, "../params.port", "params.port"),
        ("{{params/port}}", 1, "params/port", "params.port"),
        ("{{this.params.port}}", 1, "this.params.port", "params.port"),
    ] {
        let found = check(template, &["greeting", "port", "tls"]);
        let first = found.first().unwrap_or_else(|| panic!("no problem in {template}"));
        assert!(first.message.contains(message) && first.remedy.contains(remedy), "{template}: {first}");
        assert!(first.line == line || message.is_empty(), "{template}: {first}");
        assert_eq!(render(template, &params(), &facts()).as_ref(), Err(first), "{template}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let found = check("{{params.a}}\n{{#if facts.b}}{{facts.c}}{{/if}}\n{{nope 1 2}}", &[]);
    assert_eq!(found.iter().map(|p| p.line).collect::<Vec<_>>(), [1, 2, 2, 3], "{found:?}");
}

#[test]
fn what_only_rendering_tells_is_an_error_too() {
    let found = render("a\n{{facts.addresses.7}}", &params(), &facts()).unwrap_err();
    assert!(found.message.contains("facts.addresses.7") && found.line == 2, "{found}");
}

#[test]
fn size_and_nesting_are_bounded() {
    let nested = |n: usize| format!("{}x{}", "{{#if params.tls}}".repeat(n), "{{/if}}".repeat(n));
    let chain =
        |n: usize| format!("{{{{#if params.tls}}}}{}{{{{/if}}}}", "{{else if params.tls}}x".repeat(n - 1));
    for shape in [&nested as &dyn Fn(usize) -> String, &chain] {
        assert_eq!(render(&shape(32), &params(), &facts()), Ok(String::new()));
        assert!(check(&shape(33), &["tls"])[0].message.contains("blocks"));
    }
    assert_eq!(render(&nested(1).repeat(500), &params(), &facts()), Ok(String::new()));
    // Texts in which the real parser could see other tags than the scan.
    for hidden in
        ["{{! -- {{/if}} -- }}", "{{!--}} {{/if}} --}}", "{{! {{/if}} }}", "{{{{/if}}}}", "\\{{/if}}"]
    {
        assert_ne!(check(&format!("{{{{#if params.tls}}}}{hidden}").repeat(5_000), &["tls"]), [], "{hidden}");
    }
    assert!(check(&nested(10_000), &["tls"])[0].message.contains("blocks"));
    assert!(check(&format!("{{{{eq {}", "(not ".repeat(9)), &[])[0].remedy.contains("close"));
    let deep = |n: usize| format!("{{{{not {}params.tls{}}}}}", "(not ".repeat(n), ")".repeat(n));
    assert_eq!(check(&deep(8), &["tls"]), []);
    assert!(check(&deep(9), &["tls"])[0].message.contains("parentheses"));
    assert!(check(&"x".repeat(TEMPLATE_BYTES + 1), &[])[0].message.contains("bytes"));
    let mut many = params();
    many.insert("big".into(), ParamValue::Text("y".repeat(4096)));
    let text = "{{params.big}}".repeat(300);
    assert!(render(&text, &many, &facts()).unwrap_err().message.contains("more than"));
}

proptest::proptest! {
    #[test]
    fn no_template_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "{{", "}}", "{", "}", "#if ", "#each ", "/if", "/each", "else", "else if ", "^", "~", "(", ")", "[", "]",
        "params.port", "facts.addresses", "this", "@index", "@root.", "../", "eq ", "not ", "\"", "'", "\\", " ",
        "\n", "as |x|", "=", "1", "-", "!", "!--", "--", "&", "x", "é", "|", "null", "true", "a=1", "#unless ",
    ]), 0..24)) {
        let template = parts.concat();
        if check(&template, &["port"]).is_empty() {
            drop(render(&template, &params(), &facts()));
        }
    }

    #[test]
    fn no_tag_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "#if params.port", "else", "else if params.port", "^", "/if", "#unless params.port", "/unless", "params.port",
        "#each facts.addresses", "/each", "this", "~params.port~", "not (not params.port)", "^if params.port",
        "#if (eq 1 2)", "eq 1 'x'", "gt params.port 'x'", "len params.port", "and 1 2", "not ''", "(eq 1 2)",
    ]), 0..12)) {
        let template: String = parts.iter().map(|part| format!("{{{{{part}}}}}")).collect();
        if check(&template, &["port"]).is_empty() {
            drop(render(&template, &params(), &facts()));
        }
    }

    /// The shortcut gives what the full renderer gives, and passes only what that passes.
    #[test]
    fn the_shortcut_means_the_same(parts in proptest::collection::vec(proptest::sample::select(vec![
        "{{params.port}}", "{{params.greeting}}", "{{params.tls}}", "{{params.a_1}}", "{{facts.hostname}}",
        "{{facts.kernel}}", "{{facts.addresses}}", "{{params.prot}}", "{{params.this}}", "{{params.else}}",
        "{{params.true}}", "{{params.null}}", "{{params.as}}", "{{params.if}}", "{{params.each}}", "{{params.log}}",
        "{{params.lookup}}", "{{params.len}}", "{{params.1}}", "{{params.root}}", "{{params.false}}",
        "{{ params.port }}", "{{~params.port}}", "{{{params.port}}}", "{{&params.port}}", "{{params}}", "{{!x}}",
        "{{#if params.tls}}", "{{/if}}", "{", "}", "{{", "}}", "\\", "\n", "\r\n", " ", "é", "params.port", ".",
    ]), 0..12)) {
        let template = parts.concat();
        let mut params = params();
        for name in
            ["this", "else", "true", "false", "null", "as", "if", "each", "log", "lookup", "len", "root", "1", "a_1"]
        {
            params.insert(name.into(), ParamValue::Text(format!("<{name}>")));
        }
        let names: Vec<&str> = params.keys().map(String::as_str).collect();
        let short = plain::render(&template, &params, &facts());
        assert_eq!(short.is_some(), plain::is_plain(&template, &names), "{template}");
        if let Some(text) = short {
            assert_eq!(render_any(&template, &params, &facts()), Ok(text), "{template}");
            assert!(walk::problems(&compile(&template).unwrap(), &names).is_empty(), "{template}");
        }
    }
}

/// What most templates are must not miss the shortcut.
#[test]
fn text_with_variables_takes_the_shortcut() {
    for template in ["", "no tag\n", "port={{params.port}} host={{facts.hostname}}\n{ }\n"] {
        assert!(plain::is_plain(template, &["port"]), "{template}");
    }
}
