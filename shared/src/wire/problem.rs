//! How every endpoint says no.

use serde::{Deserialize, Serialize};

const TYPE: &str = "urn:assent:problem:";
const INSTANCE: &str = "urn:assent:request:";

/// A problem (RFC 9457) with three members of its own: `code`, `why`, `try`.
///
/// Nothing follows from it but what a person is told, so a reader leaves members aside that it does not know (§3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:assent:problem:` and the code (§3.1.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem it is, the same each time (§3.1.3).
    pub title: String,
    /// The status of the answer (§3.1.2).
    pub status: u16,
    /// What happened this time (§3.1.4).
    pub detail: String,
    /// `urn:assent:request:` and the reference number under which the server's log has a fault (§3.1.5).
    pub instance: String,
    /// Stable code, such as `change.state`.
    pub code: String,
    /// Why the server says no.
    pub why: String,
    /// What to do.
    #[serde(rename = "try")]
    pub remedy: String,
}

impl Problem {
    /// Its media type (§3).
    pub const MEDIA: &str = "application/problem+json";

    /// `reference` is the number of the request; the sentences are title, detail, why and what to do.
    pub fn new(code: &str, status: u16, reference: &str, sentences: [String; 4]) -> Self {
        let [title, detail, why, remedy] = sentences;
        let (kind, instance) = (format!("{TYPE}{code}"), format!("{INSTANCE}{reference}"));
        Self { kind, title, status, detail, instance, code: code.to_owned(), why, remedy }
    }

    /// The number of the request.
    pub fn reference(&self) -> &str {
        self.instance.strip_prefix(INSTANCE).unwrap_or(&self.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict;

    #[test]
    fn a_problem_is_that_of_rfc_9457_and_members_of_others_are_left_aside() {
        let sentences = ["t", "d", "w", "r"].map(str::to_owned);
        let problem = Problem::new("change.state", 409, "00ff", sentences);
        let text = concat!(
            r#"{"type":"urn:assent:problem:change.state","title":"t","status":409,"detail":"d","#,
            r#""instance":"urn:assent:request:00ff","code":"change.state","why":"w","try":"r"}"#
        );
        assert_eq!(String::from_utf8(strict::to_json(&problem)).unwrap(), text);
        let read = |text: &str| strict::from_json::<Problem>("problem", text.as_bytes(), 4_096);
        assert_eq!(read(text).unwrap(), problem);
        assert_eq!(problem.reference(), "00ff");
        assert_eq!(read(&text.replace("{\"type\"", "{\"balance\":30,\"type\"")).unwrap(), problem);
        assert!(read(&text.replace("\"code\"", "\"kode\"")).is_err(), "a problem of somebody else");
        assert!(read(&text.replace("409", "\"409\"")).is_err());
    }
}
