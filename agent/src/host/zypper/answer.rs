//! zypper's XML answers (`--xmlout`). Pure; what is no XML is an error.

use crate::host::Fault;
use crate::host::process::Ran;
use crate::host::rpm::offers::Item;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::BTreeMap;

/// Exit codes besides 0 that are no failure: a reboot, or a restart of zypper itself, is due.
const FINE: [i32; 3] = [0, 102, 103];
/// What rpm says of scripts that failed.
const FAILED: [&str; 2] = ["scriptlet failed", "script failed"];
/// More of its words help nobody.
const TOLD: usize = 700;

/// A repository of the host, in zypper's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    pub alias: String,
    pub priority: i32,
    pub enabled: bool,
}

/// All that is used of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub items: Vec<Item>,
    pub repositories: Vec<Repository>,
    /// Errors, and what it would have asked about.
    pub troubles: Vec<String>,
    /// Scripts of packages that failed, which zypper only mentions.
    pub scripts: Vec<String>,
}

impl Answer {
    /// # Errors
    /// It ended badly, met an error or had a question; the message is its own words.
    pub fn success(self, ran: Ran, program: &str) -> Result<Self, Fault> {
        if self.troubles.is_empty() && ran.code.is_some_and(|code| FINE.contains(&code)) {
            return Ok(self);
        }
        let mut output = self.troubles.join(" | ");
        if output.is_empty() {
            output = Ran { stdout: Vec::new(), ..ran.clone() }.tail();
        }
        let output = output.chars().take(TOLD).collect();
        Err(Fault::Program { program: program.to_owned(), how: ran.how, output })
    }
}

/// Attributes by name.
pub fn attributes(tag: &BytesStart<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let name = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        let value = quick_xml::escape::unescape(&value).map_err(|e| e.to_string())?.into_owned();
        all.insert(name, value);
    }
    Ok(all)
}

/// Appends the text of an event, entities resolved; says whether it was text.
pub fn append(event: &Event<'_>, text: &mut String) -> Result<bool, String> {
    match event {
        Event::Text(piece) => text.push_str(&piece.decode().map_err(|e| e.to_string())?),
        Event::CData(piece) => text.push_str(&String::from_utf8_lossy(piece)),
        Event::GeneralRef(name) => {
            let name = name.decode().map_err(|e| e.to_string())?;
            text.push_str(&quick_xml::escape::unescape(&format!("&{name};")).map_err(|e| e.to_string())?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// # Errors
/// It is no XML, such as when it was cut off.
pub fn parse(bytes: &[u8]) -> Result<Answer, String> {
    let mut reader = Reader::from_reader(bytes);
    let mut answer = Answer::default();
    let mut place = Vec::new();
    let mut text = String::new();
    let mut is_error = false;
    loop {
        let event = reader.read_event().map_err(|e| e.to_string())?;
        if append(&event, &mut text)? {
            continue;
        }
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                let attributes = attributes(tag)?;
                match name.as_str() {
                    "solvable" => answer.items.extend(solvable(place.last(), &attributes)),
                    "repo" => answer.repositories.extend(repository(&attributes)),
                    "message" => is_error = attributes.get("type").is_some_and(|kind| kind == "error"),
                    _ => {}
                }
                text.clear();
                if matches!(event, Event::Start(_)) {
                    place.push(name);
                }
            }
            Event::End(_) => {
                let name = place.pop().unwrap_or_default();
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let is_problem = name == "description" && place.last().is_some_and(|p| p == "prompt");
                if !line.is_empty() && ((name == "message" && is_error) || is_problem) {
                    answer.troubles.push(line);
                } else if name == "message" {
                    let failed = |line: &&str| FAILED.iter().any(|sign| line.contains(sign));
                    answer.scripts.extend(text.lines().map(str::trim).filter(failed).map(str::to_owned));
                }
                text.clear();
            }
            Event::Eof if place.is_empty() => return Ok(answer),
            Event::Eof => return Err("it was cut off".into()),
            _ => {}
        }
    }
}

/// `<to-upgrade><solvable name= arch= edition= edition-old= …>` and its neighbours.
fn solvable(within: Option<&String>, attributes: &BTreeMap<String, String>) -> Vec<Item> {
    let Some(kind) = within.and_then(|name| name.strip_prefix("to-")) else { return Vec::new() };
    if attributes.get("type").is_some_and(|kind| kind != "package") {
        return Vec::new();
    }
    let field = |name: &str| attributes.get(name).cloned().unwrap_or_default();
    let item = |edition: &str, arch: &str, removed| Item {
        name: field("name"),
        arch: field(arch),
        evr: field(edition),
        removed,
        ..Item::default()
    };
    match kind {
        "remove" => vec![item("edition", "arch", true)],
        "install" => vec![item("edition", "arch", false)],
        // Upgrades, downgrades, reinstallations, changes of vendor and architecture.
        _ => vec![item("edition", "arch", false), item("edition-old", "arch-old", true)],
    }
}

fn repository(attributes: &BTreeMap<String, String>) -> Option<Repository> {
    Some(Repository {
        alias: attributes.get("alias")?.clone(),
        // zypper's default; lower goes first.
        priority: attributes.get("priority").and_then(|text| text.parse().ok()).unwrap_or(99),
        enabled: attributes.get("enabled").is_some_and(|text| text == "1"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_happen_and_what_stands_in_the_way() {
        let text = "<?xml version='1.0'?>\n<stream>\n<message type=\"info\">x</message><install-summary>\n<to-upgrade>\n<solvable type=\"package\" name=\"alpha\" edition=\"1:1.1-1\" arch=\"noarch\" edition-old=\"1.0-1\" arch-old=\"noarch\" summary=\"a &amp; b\">\n<description>Problem: none</description></solvable>\n</to-upgrade><to-remove><solvable type=\"package\" name=\"beta\" edition=\"2.0-1\" arch=\"i586\"/></to-remove><to-install><solvable type=\"patch\" name=\"p\"/></to-install></install-summary></stream>\n";
        let answer = parse(text.as_bytes()).unwrap();
        let shown: Vec<String> =
            answer.items.iter().map(|i| format!("{} {} {} {}", i.name, i.evr, i.arch, i.removed)).collect();
        assert_eq!(shown, ["alpha 1:1.1-1 noarch false", "alpha 1.0-1 noarch true", "beta 2.0-1 i586 true"]);
        assert_eq!(answer.troubles, [""; 0]);
        let bad = "<stream><prompt id=\"1\"><description>Problem: nothing provides x &gt;= 1\n needed by a</description></prompt><message type=\"error\">No &apos;b&apos;.</message></stream>";
        let answer = parse(bad.as_bytes()).unwrap();
        assert_eq!(answer.troubles, ["Problem: nothing provides x >= 1 needed by a", "No 'b'."]);
        let ran = Ran {
            code: Some(4),
            how: "ended with exit code 4".into(),
            stdout: vec![],
            stderr: vec![],
            cut: false,
        };
        let fault = answer.success(ran, "zypper install").unwrap_err();
        assert!(fault.text().contains("exit code 4: Problem: nothing provides"), "{}", fault.text());
        assert!(parse(b"<stream><message>").is_err());
        let script = "<stream><message type=\"info\">Additional rpm output:\nx\nwarning: %post(a-1-1.noarch) scriptlet failed, exit status 1\n</message></stream>";
        let scripts = parse(script.as_bytes()).unwrap().scripts;
        assert_eq!(scripts, ["warning: %post(a-1-1.noarch) scriptlet failed, exit status 1"]);
    }

    #[test]
    fn repositories_have_their_priority() {
        let text = "<stream><repo-list><repo alias=\"a\" priority=\"50\" enabled=\"1\"><url>x</url></repo><repo alias=\"b\" enabled=\"0\"/></repo-list></stream>";
        let all = parse(text.as_bytes()).unwrap().repositories;
        assert_eq!(all[0], Repository { alias: "a".into(), priority: 50, enabled: true });
        assert_eq!((all[1].priority, all[1].enabled), (99, false));
    }
}
