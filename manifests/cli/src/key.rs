//! `assent key …`: the person's keys as the policy sees them, and the way back from paper.

use crate::args::Global;
use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::profile::{SMALL, Secrets};
use crate::session::Session;
use crate::{clock, files, init, paper, term, text, window};
use serde::Serialize;
use shared::keys::{AnyKey, SigningKey};
use shared::policy::{PersonKey, Role};
use shared::signature::KeyKind;
use shared::words;
use std::path::Path;
use zeroize::Zeroizing;

#[derive(Serialize)]
struct Line {
    holder: String,
    public: AnyKey,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    ends: String,
    roles: Vec<String>,
}

/// What the site's signed documents say of this person's keys, and who governs; opens no private key.
pub fn show(session: &Session, json: bool) -> Done {
    let site = session.site()?;
    let id = &session.profile.config.person;
    let person = site.policy.person(id).ok_or_else(|| {
        Failure::refused(format!("{id} is not a person of policy version {}", site.policy.version))
    })?;
    let mut lines: Vec<Line> = person.keys.iter().map(|key| line(id.as_str(), key)).collect();
    let root = site.trusted.root();
    let governance = root.roles.root.keyids.iter().filter_map(|id| root.keys.get(id));
    let threshold =
        format!("governance, {} of {} sign", root.roles.root.threshold, root.roles.root.keyids.len());
    lines.extend(governance.map(|key| Line {
        holder: "root".into(),
        public: (*key.public()).into(),
        kind: "",
        ends: String::new(),
        roles: vec![threshold.clone()],
    }));
    if json {
        return print_json(&lines);
    }
    let mut rows = vec![["HOLDER", "PUBLIC KEY", "ENDS", "FOR"].map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|l| {
        let ends = if l.ends.is_empty() { "-".to_owned() } else { l.ends.clone() };
        let kind = if l.kind.is_empty() { String::new() } else { format!(" ({})", l.kind) };
        vec![l.holder.clone(), format!("{}{kind}", l.public), ends, l.roles.join(", ")]
    }));
    term::print(&format!("{} ({id})\n{}", text::clean(&person.name), text::table(&rows)))
}

fn line(holder: &str, key: &PersonKey) -> Line {
    let zone = window::zone(None).unwrap_or(jiff::tz::TimeZone::UTC);
    Line {
        holder: holder.to_owned(),
        public: key.public,
        kind: kind_name(&key.kind),
        ends: key.not_after.map(|end| window::local(end, &zone)).unwrap_or_default(),
        roles: key.roles.iter().map(|role| role_name(*role).to_owned()).collect(),
    }
}

pub fn kind_name(kind: &KeyKind) -> &'static str {
    match kind {
        KeyKind::File => "",
        KeyKind::Ssh => "ssh",
        KeyKind::SshSk(_) => "ssh security key",
        KeyKind::Passkey(_) => "passkey",
    }
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Author => "author",
        Role::Publisher => "publisher",
        Role::Approver => "approver",
        Role::BreakGlass => "break-glass",
        Role::Auditor => "auditor",
    }
}

/// A key for one more person or purpose; it counts when the policy names it.
pub fn new(global: &Global, out: &Path) -> Done {
    let key = SigningKey::from_seed(&Zeroizing::new(clock::random::<32>()?));
    let passphrase = Secrets::new(global.passphrase_file.clone()).new_passphrase()?;
    files::write_new(out, init::sealed(&key, &passphrase)?.as_bytes())?;
    let message = format!(
        "{} holds a new key, sealed\n  public key  {}\n  six words   {}\n\
         next: give the public key to whoever holds governance, and let them read the words to you; it counts when the \
         policy (or root) names it\n",
        out.display(),
        key.public(),
        words::of_introduction(&AnyKey::from(key.public()).digest())
    );
    term::print(&message)
}

/// Types a print-out back into a sealed key file; also the test that the paper is right.
pub fn restore(global: &Global, out: &Path, from: Option<&Path>) -> Done {
    let key = typed(from)?;
    let secrets = Secrets::new(global.passphrase_file.clone());
    let passphrase = secrets.new_passphrase()?;
    files::write_new(out, init::sealed(&key, &passphrase)?.as_bytes())?;
    term::print(&format!(
        "{} holds the recovery key, sealed\n  public key  {}\n",
        out.display(),
        key.public()
    ))
}

/// A recovery key, typed in by whoever has the paper before them, or from a file.
pub fn typed(from: Option<&Path>) -> Done<SigningKey> {
    let typed = match from {
        Some(path) => groups_of(&files::read_text(path, SMALL)?),
        None if term::is_interactive() => Zeroizing::new(term::ask("The 7 groups of the recovery key:")?),
        None => {
            return Err(
                Failure::usage("there is no terminal to type the recovery key on").remedy("give --from FILE")
            );
        }
    };
    paper::read(&typed).or_usage("this is not the print-out of a recovery key")
}

/// The groups in a print-out file: lines that hold nothing but groups of 8. A typed file may have only these.
fn groups_of(text: &str) -> Zeroizing<String> {
    let is_group =
        |word: &str| word.len() == 8 && word.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let is_line = |line: &&str| !line.trim().is_empty() && line.split_whitespace().all(is_group);
    let lines: Vec<&str> = text.lines().filter(is_line).collect();
    Zeroizing::new(if lines.is_empty() { text.to_owned() } else { lines.join(" ") })
}
