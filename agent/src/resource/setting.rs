//! A key with its value in an ini or key-value file.
//!
//! Lines that start with `#` or `;` are comments. `[name]` starts a section; several of one name are one section.
//! The key stands once in its section afterwards. A new key comes behind its own commented-out example if there
//! is one, else at the end of its section. Never: continuation lines and blocks of other grammars.

use super::lines::Lines;
use shared::manifest::{SectionName, Separator, Setting, SettingKey, SettingWant};

/// What a setting wants, from whichever kind it comes.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    pub section: Option<&'a SectionName>,
    pub key: &'a str,
    pub value: Option<&'a str>,
    pub separator: Separator,
}

impl<'a> From<&'a Setting> for Want<'a> {
    fn from(own: &'a Setting) -> Self {
        let value = match &own.want {
            SettingWant::Absent => None,
            SettingWant::Present { value, .. } => Some(value.as_str()),
        };
        let key: &SettingKey = &own.key;
        Self { section: own.section.as_ref(), key: key.as_str(), value, separator: own.separator }
    }
}

/// The text after the edit.
pub fn edit(want: Want<'_>, text: &str) -> String {
    let mut lines = Lines::of(text);
    let inside = inside(&lines, want.section);
    let is_key = |body: &str| is_of(want, body);
    let all: Vec<usize> =
        lines.iter().enumerate().filter(|(at, body)| inside[*at] && is_key(body)).map(|(at, _)| at).collect();
    let Some(value) = want.value else {
        lines.retain(|at, _| !all.contains(&at));
        return lines.to_string();
    };
    let right = |body: &str| want.separator.split(body).is_some_and(|(_, found)| found == value);
    let Some(first) = all.first().copied() else {
        insert(&mut lines, &inside, want, value);
        return lines.to_string();
    };
    if !lines.iter().nth(first).is_some_and(right) {
        let indent: String =
            lines.iter().nth(first).unwrap_or_default().chars().take_while(|c| c.is_whitespace()).collect();
        lines.replace(first, &format!("{indent}{}", want.separator.join(want.key, value)));
    }
    lines.retain(|at, _| at == first || !all.contains(&at));
    lines.to_string()
}

/// Whether an active line sets the key.
fn is_of(want: Want<'_>, body: &str) -> bool {
    !body.trim_start().starts_with(['#', ';'])
        && (want.separator.split(body).is_some_and(|(key, _)| key == want.key)
            || (want.separator == Separator::Space && body.trim() == want.key))
}

fn header(body: &str) -> Option<&str> {
    body.trim().strip_prefix('[')?.strip_suffix(']').map(str::trim)
}

/// For each line whether it belongs to the section; its header does not.
fn inside(lines: &Lines, section: Option<&SectionName>) -> Vec<bool> {
    let mut here = section.is_none();
    let each = |body: &str| match header(body) {
        Some(name) => {
            here = section.is_some_and(|wanted| wanted.as_str() == name);
            false
        }
        None => here,
    };
    lines.iter().map(each).collect()
}

fn insert(lines: &mut Lines, inside: &[bool], want: Want<'_>, value: &str) {
    let new = want.separator.join(want.key, value);
    let example = |body: &str| {
        let bare = body.trim().trim_start_matches(['#', ';']).trim_start();
        bare.len() < body.trim().len() && is_of(want, bare)
    };
    let filled = |(at, body): (usize, &str)| (inside[at] && !body.trim().is_empty()).then_some(at);
    let behind_example = lines.iter().enumerate().rfind(|(at, body)| inside[*at] && example(body));
    let at = match (behind_example, want.section) {
        (Some((at, _)), _) => Some(at + 1),
        (None, section) => {
            let last = lines.iter().enumerate().filter_map(filled).next_back();
            let head = section.and_then(|s| lines.iter().rposition(|body| header(body) == Some(s.as_str())));
            last.or(head).map(|at| at + 1)
        }
    };
    match (at, want.section) {
        (Some(at), _) => lines.insert(at, &new),
        (None, None) => lines.insert(0, &new),
        (None, Some(section)) => {
            if lines.iter().next_back().is_some_and(|last| !last.trim().is_empty()) {
                lines.insert(lines.len(), "");
            }
            lines.insert(lines.len(), &format!("[{section}]"));
            lines.insert(lines.len(), &new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(json: &str) -> Setting {
        serde_json::from_str(&format!(r#"{{"path":"/a",{json}}}"#)).unwrap()
    }

    #[test]
    fn the_key_stands_once_in_its_section() {
        let k = r#""key":"k","value":"1""#;
        let s = r#""section":"s","key":"k","value":"1""#;
        for (json, before, after) in [
            (k, "", "k=1\n"),
            (k, "a=2", "a=2\nk=1\n"),
            (k, "k=2\nb=3\nk=4\n", "k=1\nb=3\n"),
            (k, "  k =  1  \n", "  k =  1  \n"),
            (k, "  k=2\n", "  k=1\n"),
            (k, "#k=5\nb=1\n", "#k=5\nk=1\nb=1\n"),
            (k, "a=1\n\n[s]\nk=2\n", "a=1\nk=1\n\n[s]\nk=2\n"),
            (k, "[s]\nk=2\n", "k=1\n[s]\nk=2\n"),
            (k, "kk=2\nk.=1\n", "kk=2\nk.=1\nk=1\n"),
            (s, "", "[s]\nk=1\n"),
            (s, "k=2\n[t]\nk=3", "k=2\n[t]\nk=3\n\n[s]\nk=1\n"),
            (s, "[s]\n\n[t]\nk=3\n", "[s]\nk=1\n\n[t]\nk=3\n"),
            (s, "[s]\na=1\n\n[t]\n[ s ]\nk=9\n", "[s]\na=1\n\n[t]\n[ s ]\nk=1\n"),
            (s, "[s]\n; k = 0\na=1\n", "[s]\n; k = 0\nk=1\na=1\n"),
            (r#""key":"k","value":"","separator":"spaced_equals""#, "k = x\n", "k = \n"),
            (
                r#""key":"Port","value":"22","separator":"space""#,
                "#Port 22\nPort\t99\nPortX 1\n",
                "#Port 22\nPort 22\nPortX 1\n",
            ),
            (r#""key":"Port","value":"22","separator":"space""#, "Port\n", "Port 22\n"),
            (r#""key":"a.b","value":"x: y","separator":"colon""#, "a.b: z\n", "a.b: x: y\n"),
            (r#""key":"k","state":"absent""#, "k=1\n#k=2\nk = 3\n[s]\nk=4\n", "#k=2\n[s]\nk=4\n"),
            (r#""section":"s","key":"k","state":"absent""#, "k=1\n[s]\nk=4", "k=1\n[s]\n"),
        ] {
            let want = setting(json);
            let once = edit((&want).into(), before);
            assert_eq!(once, after, "{json} {before:?}");
            assert_eq!(edit((&want).into(), &once), once, "a second run: {json} {before:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends_with_one_value_and_everything_else_kept(text in "[k=1 #;\n\\[s\\]]{0,60}") {
            let want = setting(r#""section":"s","key":"k","value":"7""#);
            let once = edit((&want).into(), &text);
            proptest::prop_assert_eq!(edit((&want).into(), &once), once.clone());
            let lines = Lines::of(&once);
            let inside = inside(&lines, want.section.as_ref());
            let set = lines.iter().enumerate().filter(|(at, body)| inside[*at] && is_of((&want).into(), body));
            proptest::prop_assert_eq!(set.count(), 1);
        }
    }
}
