//! Keys with which a user may log in over ssh: lines of one file in the user's home directory.

use super::lines::Lines;
use shared::manifest::{AuthorizedKey, AuthorizedKeys, KeysWant};

/// The text after the edit.
pub fn edit(want: &AuthorizedKeys, text: &str) -> String {
    let is_wanted = |identity: &str| want.keys.iter().any(|key| key.identity() == identity);
    let mut lines = Lines::of(text);
    if want.want == KeysWant::Absent {
        lines.retain(|_, body| !AuthorizedKey::identity_of(body).is_some_and(is_wanted));
        return lines.to_string();
    }
    if want.want == (KeysWant::Present { exclusive: true }) {
        return want.keys.iter().map(|key| format!("{key}\n")).collect();
    }
    for key in &want.keys {
        let same = |body: &str| AuthorizedKey::identity_of(body) == Some(key.identity());
        let first = lines.iter().position(same);
        match first {
            Some(first) => {
                lines.replace(first, key.as_str());
                lines.retain(|at, body| at == first || !same(body));
            }
            None => lines.insert(lines.len(), key.as_str()),
        }
    }
    lines.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtZ0Xr0Z2XgUu1o3XQyX6kq1cJQ9oWcQm8v3g3k5w9B";

    #[test]
    fn keys_are_brought_with_their_options_and_taken_away() {
        let keys = |state: &str, exclusive: bool, keys: &[&str]| -> AuthorizedKeys {
            let json =
                serde_json::json!({ "user": "web", "state": state, "exclusive": exclusive, "keys": keys });
            serde_json::from_value(json).unwrap()
        };
        let limited = format!("restrict {A} ci");
        for (want, before, after) in [
            (keys("present", false, &[A]), String::new(), format!("{A}\n")),
            (keys("present", false, &[A]), format!("# mine\n{B} me"), format!("# mine\n{B} me\n{A}\n")),
            (
                keys("present", false, &[&limited]),
                format!("{A}\n{B}\nfrom=\"x\" {A} twice\n"),
                format!("{limited}\n{B}\n"),
            ),
            (keys("present", true, &[A]), format!("# mine\n{B}\n"), format!("{A}\n")),
            (keys("present", true, &[]), format!("{B}\n"), String::new()),
            (keys("absent", false, &[A]), format!("no-pty {A} x\n{B}\n"), format!("{B}\n")),
        ] {
            let once = edit(&want, &before);
            assert_eq!(once, after, "{want:?} {before:?}");
            assert_eq!(edit(&want, &once), once, "a second run: {want:?}");
        }
    }
}
