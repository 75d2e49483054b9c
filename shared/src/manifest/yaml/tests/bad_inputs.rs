//! What authors get wrong, and what they read then.

use super::{LEAST, problems};
use crate::manifest::Problem;

/// A manifest with this resource on its line 6.
fn with(resource: &str) -> String {
    format!(
        "manifest: a\nversion: 1.0.0\nparameters:\n  port: {{type: integer, default: 1}}\nresources:\n  - {resource}\n"
    )
}

#[test]
fn each_bad_input_is_told_with_place_line_and_remedy() {
    let top = |line: &str| format!("{LEAST}{line}\n");
    let mut wrong = Vec::new();
    for (yaml, place, line, message, remedy) in [
        // keys
        (top("on_drfit: report"), "on_drfit", 5, "not known", "on_drift"),
        (top("manifest: other"), "manifest", 5, "twice; it was given on line 1", "keep one"),
        (
            with("file: {path: /a, content: x, contents: y}"),
            "resources[0].file.contents",
            6,
            "not known",
            "content",
        ),
        (with("fiel: {path: /a}"), "resources[0].fiel", 6, "not known", "\"file\""),
        (with("file: {content: x}"), "resources[0].file", 6, "\"path\" is missing", "Absolute path"),
        (
            with("{file: {path: /a, content: x}, package: {name: b}}"),
            "resources[0]",
            6,
            "exactly one key",
            "- ",
        ),
        (with("file: {path: /a}"), "resources[0].file", 6, "exactly one of content", "add one"),
        (
            with("file: {path: /a, content: x, template: y}"),
            "resources[0].file",
            6,
            "exactly one",
            "keep one of content, template",
        ),
        (
            with("file: {path: /a, content: x, state: absent}"),
            "resources[0].file",
            6,
            "exactly one",
            "keep one",
        ),
        (
            with("file: {path: /a, state: absent, owner: root}"),
            "resources[0].file",
            6,
            "say nothing",
            "only path",
        ),
        (
            with("package: {name: a}"),
            "resources[0].package",
            6,
            "version",
            "add one of version, state: absent",
        ),
        (
            with("package: {name: a, state: absent, hold: true}"),
            "resources[0].package",
            6,
            "version and hold",
            "only name",
        ),
        ("manifest: a\nversion: 1.0.0\n".into(), "", 1, "exactly one of resources, patch", "add one"),
        ("version: 1.0.0\npatch: {select: all}\n".into(), "", 1, "\"manifest\" is missing", "add manifest"),
        // types
        (
            with("file: {path: /a, content: x, mode: 0644}"),
            "resources[0].file.mode",
            6,
            "a number",
            "quote it: \"0644\"",
        ),
        (
            with("file: {path: /a, content: x, mode: \"0999\"}"),
            "resources[0].file.mode",
            6,
            "not a file mode",
            "octal",
        ),
        (
            with("file: {path: /a, content: no}"),
            "resources[0].file.content",
            6,
            "a boolean",
            "quote it: \"no\"",
        ),
        (with("file: {path: /a, content: }"), "resources[0].file.content", 6, "nothing", "remove the key"),
        (
            with("package: {name: a, version: 1.10}"),
            "resources[0].package.version",
            6,
            "a number",
            "quote it: \"1.10\"",
        ),
        (
            with("package: {name: a, version: \">= 1\"}"),
            "resources[0].package.version",
            6,
            "exact package version",
            "no ranges",
        ),
        (
            with("package: {name: \"a=1\", version: \"1\"}"),
            "resources[0].package.name",
            6,
            "package name",
            "own key",
        ),
        (
            with("service: {name: a, enabled: yes}"),
            "resources[0].service.enabled",
            6,
            "true or false",
            "write true",
        ),
        (
            with("service: {name: a, enabled: \"true\"}"),
            "resources[0].service.enabled",
            6,
            "true or false",
            "without quotes",
        ),
        (with("service: {name: a, state: runing}"), "resources[0].service.state", 6, "runing", "running"),
        (with("service: {name: a}"), "resources[0].service", 6, "wants nothing", "state, enabled"),
        (
            with("service: {name: \"a b\", state: running}"),
            "resources[0].service.name",
            6,
            "unit name",
            "letters",
        ),
        (
            with("file: {path: etc/a, content: x}"),
            "resources[0].file.path",
            6,
            "not an absolute path",
            "start with '/'",
        ),
        (with("file: {path: /etc/../a, content: x}"), "resources[0].file.path", 6, "absolute path", "'..'"),
        (with("directory: {path: /etc/}"), "resources[0].directory.path", 6, "absolute path", "trailing '/'"),
        (
            with("file: {path: \"/a\\0\", content: x}"),
            "resources[0].file.path",
            6,
            "absolute path",
            "control",
        ),
        (
            with("file: {path: /a, content: x, owner: Root}"),
            "resources[0].file.owner",
            6,
            "user or group",
            "a-z",
        ),
        (
            with("file: {path: /a, artifact: {sha256: abc, length: 1}}"),
            "resources[0].file.artifact.sha256",
            6,
            "64 lower-case",
            "sha256sum",
        ),
        (
            with("file: {path: /a, artifact: {sha256: abc, length: -1}}"),
            "resources[0].file.artifact.sha256",
            6,
            "",
            "",
        ),
        (
            with("command: {name: a, run: [ls], needed: always}"),
            "resources[0].command.run",
            6,
            "a command",
            "absolute path of the program",
        ),
        (
            with("command: {name: a, run: [], needed: always}"),
            "resources[0].command.run",
            6,
            "a command",
            "absolute path",
        ),
        (
            with("command: {name: a, run: /bin/ls, needed: always}"),
            "resources[0].command.run",
            6,
            "a list is wanted",
            "[a, b]",
        ),
        (
            with("command: {name: a, run: [/bin/sleep, 10], needed: always}"),
            "resources[0].command.run[1]",
            6,
            "a number",
            "quote it: \"10\"",
        ),
        (
            with("command: {name: a, run: [/bin/ls]}"),
            "resources[0].command",
            6,
            "\"needed\" is missing",
            "always",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: {always: true}}"),
            "resources[0].command.needed.always",
            6,
            "always",
            "without a value",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: missing}"),
            "resources[0].command.needed",
            6,
            "needs a value",
            "{missing: …}",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: {mising: /a}}"),
            "resources[0].command.needed.mising",
            6,
            "mising",
            "missing",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: always, timeout_s: 0}"),
            "resources[0].command.timeout_s",
            6,
            "out of range",
            "1 to 86400",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: always, env: {A-B: x}}"),
            "resources[0].command.env.A-B",
            6,
            "environment",
            "letters",
        ),
        (
            with("command: {name: a, run: [/bin/ls], needed: {changed: []}}"),
            "resources[0].command.needed.changed",
            6,
            "never run",
            "name a resource",
        ),
        (with("file: \"/a\""), "resources[0].file", 6, "a map is wanted", "key: value"),
        (with("/etc/motd"), "resources[0]", 6, "a map is wanted", "file"),
        // references
        (
            with("file: {path: /a, content: x, requires: [\"package:b\"]}"),
            "resources[0].file.requires[0]",
            6,
            "no resource package:b",
            "known are file:/a",
        ),
        (
            with("file: {path: /a, content: x, requires: [b]}"),
            "resources[0].file.requires[0]",
            6,
            "resource id",
            "kind:what",
        ),
        (
            with("file: {path: /a, content: x, on_change: [\"file:/a\"]}"),
            "resources[0].file.on_change[0]",
            6,
            "not a service",
            "services to restart",
        ),
        (
            with(
                "file: {path: /a, content: x}\n  - service: {name: app, enabled: true}\n  - file: {path: /b, content: x, on_change: [\"service:ap\"]}",
            ),
            "resources[2].file.on_change[0]",
            8,
            "service:ap",
            "service:app",
        ),
        (
            with("file: {path: /a, content: x}\n  - file: {path: /a, content: z}"),
            "resources[1].file",
            7,
            "already managed by resources[0]",
            "merge",
        ),
        (
            with("file: {path: /a, content: x}\n  - directory: {path: /a}"),
            "resources[1].directory",
            7,
            "already managed by resources[0]",
            "merge",
        ),
        (
            with("service: {name: app, enabled: true}\n  - service: {name: app.service, state: running}"),
            "resources[1].service",
            7,
            "service:app is already",
            "merge",
        ),
        (
            with(
                "file: {path: /a, content: x, requires: [\"file:/b\"]}\n  - file: {path: /b, content: x, requires: [\"file:/a\"]}",
            ),
            "resources[0]",
            6,
            "file:/a needs file:/b needs file:/a",
            "remove one",
        ),
        // templates and addresses
        (
            with("file: {path: /a, template: \"{{params.prot}}\"}"),
            "resources[0].file.template",
            6,
            "params.prot",
            "params.port",
        ),
        (
            with("file: {path: /a, template: \"{{#if params.port}}\"}"),
            "resources[0].file.template",
            6,
            "template line 1",
            "syntax",
        ),
        (
            top("health: [{name: x, http: {url: \"ftp://a/\"}}]"),
            "health[0].http.url",
            5,
            "not an http",
            "http://",
        ),
        (
            top("health: [{name: x, http: {url: \"http://u:p@a/\"}}]"),
            "health[0].http.url",
            5,
            "not a usable",
            "without user",
        ),
        (
            top("health: [{name: x, http: {url: \"http://{{params.host}}/\"}}]"),
            "health[0].http.url",
            5,
            "params.host",
            "facts.h",
        ),
        (
            top("health: [{name: x, http: {url: \"http://a/\", status: 99}}]"),
            "health[0].http.status",
            5,
            "99",
            "100 to 599",
        ),
        (
            top("health: [{name: x, tcp: {host: \"a/b\", port: 1}}]"),
            "health[0].tcp.host",
            5,
            "not a host name",
            "without scheme",
        ),
        (
            top("health: [{name: x, tcp: {host: a, port: 70000}}]"),
            "health[0].tcp.port",
            5,
            "70000",
            "1 to 65535",
        ),
        (top("health: [{name: x}]"), "health[0]", 5, "exactly one of http", "add one"),
        (top("health: [{name: \" \", service: {name: x}}]"), "health[0].name", 5, "empty", "passes"),
        // parameters and patch
        (top("parameters: {Port: {type: integer}}"), "parameters.Port", 5, "parameter name", "a-z"),
        (top("parameters: {p: {type: int}}"), "parameters.p.type", 5, "int", "integer"),
        (
            top("parameters: {p: {type: integer, default: a}}"),
            "parameters.p.default",
            5,
            "of type string",
            "without quotes",
        ),
        (
            top("parameters: {p: {type: string, default: 5}}"),
            "parameters.p.default",
            5,
            "of type integer",
            "quotes",
        ),
        (
            top("parameters: {p: {type: integer, default: 5, max: 4}}"),
            "parameters.p.default",
            5,
            "5 is out of range",
            "to 4",
        ),
        (top("parameters: {p: {type: integer, min: 5, max: 4}}"), "parameters.p.min", 5, "above max", "swap"),
        (top("parameters: {p: {type: string, max: 4}}"), "parameters.p", 5, "for integers only", "remove"),
        (
            top("parameters: {p: {type: string, enum: [a], default: b}}"),
            "parameters.p.default",
            5,
            "not one of the choices",
            "use \"a\"",
        ),
        (
            top("parameters: {p: {type: string, default: off}}"),
            "parameters.p.default",
            5,
            "boolean to some",
            "quote it",
        ),
        (
            top("parameters: {p: {type: string, default: 1.5}}"),
            "parameters.p.default",
            5,
            "a number",
            "quote it: \"1.5\"",
        ),
        (
            "manifest: a\nversion: 1.0.0\npatch: {select: named}\n".into(),
            "patch.names",
            3,
            "needs names",
            "add names",
        ),
        (
            "manifest: a\nversion: 1.0.0\npatch: {select: all, names: [a]}\n".into(),
            "patch.names",
            3,
            "named only",
            "remove",
        ),
        (
            "manifest: a\nversion: 1.0.0\nresources: []\n".into(),
            "resources",
            3,
            "wants nothing",
            "at least one",
        ),
        (
            "manifest: Web Base\nversion: 1.0.0\npatch: {select: all}\n".into(),
            "manifest",
            1,
            "not a manifest name",
            "a-z",
        ),
        (
            "manifest: a\nversion: 1.0\npatch: {select: all}\n".into(),
            "version",
            2,
            "a number",
            "quote it: \"1.0\"",
        ),
        (
            "manifest: a\nversion: v1\npatch: {select: all}\n".into(),
            "version",
            2,
            "semantic version",
            "1.2.0",
        ),
        // YAML
        ("a: &x [1]\nb: *x\n".into(), "", 1, "anchors", "write the value out"),
        ("a: *x\n".into(), "", 1, "", ""),
        ("a: !!str 1\n".into(), "", 1, "tags", "remove the tag"),
        ("? [a]\n: b\n".into(), "", 1, "key must be", "brackets"),
        (format!("{LEAST}---\n{LEAST}"), "", 5, "second document", "own file"),
        ("a: [1\n".into(), "", 1, "unclosed", "check indentation"),
        ("a: 1\n\tb: 2\n".into(), "", 1, "tab", "check indentation"),
        ("%YAML 1.2\n---\na: 1\n".into(), "", 1, "", "correct the YAML"),
        ("[a]\n".into(), "", 1, "a map is wanted, this is a list", "key: value"),
    ] {
        let all = problems(&yaml);
        let fits = |p: &Problem| {
            p.place == place
                && p.line == Some(line)
                && p.message.contains(message)
                && p.remedy.contains(remedy)
        };
        if !all.iter().any(fits) {
            wrong
                .push(format!("{yaml}wanted {place:?} line {line}: {message:?}; {remedy:?}\nfound {all:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
