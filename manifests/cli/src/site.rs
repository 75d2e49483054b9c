//! `assent site show` and `assent agent token`: the site's identity, its expiry table, and joining hosts.

pub mod args;
pub mod authority;
pub mod expiry;

use crate::author::list::print_json;
use crate::change::pairs;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::net::api::{LastBackup, SiteInfo};
use crate::session::Session;
use crate::trust::Site;
use crate::written::{self, Written};
use crate::{term, text, window};
use shared::digest::Digest;
use shared::ids::HostClass;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::wire::Invite;
use shared::words;

pub fn show(session: &Session, json: bool) -> Done {
    let (info, seen) = session.api.site()?;
    let config = &session.profile.config;
    let same = info.site == config.site && info.root_sha256 == config.root_sha256;
    if !same {
        return Err(Failure::refused(format!("this server belongs to site {}", info.site))
            .why(format!("the profile is of site {}", config.site)));
    }
    let site = session.site()?;
    let expiry = expiry::expiries(session, &info, &site)?;
    if json {
        return print_json(&SiteInfo { expiry, ..info });
    }
    term::print(&format!(
        "{}\n{}",
        identity((&info, &seen), &site, session.now, session.lang),
        expiry::table(&expiry, session.now, session.lang)?
    ))
}

/// Fails where the server or its database does not answer.
pub fn health(session: &Session) -> Done {
    session.api.healthy()?;
    term::print(&format!("{}\n", session.lang.word(Word::Healthy)))
}

/// The interface of the server, as it describes itself.
pub fn api(session: &Session) -> Done {
    print_json(&session.api.description()?)
}

/// Nobody should be without one for longer than that.
const BACKUP_SECS: i64 = 8 * 86_400;

fn last_backup(last: Option<&LastBackup>, now: Timestamp, lang: Lang) -> String {
    let Some(last) = last else { return lang.word(Word::NoBackup).to_owned() };
    let old = if now.since(last.at) > BACKUP_SECS { lang.word(Word::BackupIsOld) } else { "" };
    format!("{} ({} MiB){old}", last.at, last.bytes.div_ceil(1 << 20))
}

fn identity((info, seen): (&SiteInfo, &Digest), site: &Site, now: Timestamp, lang: Lang) -> String {
    let w = |word| lang.word(word);
    let (policy, versions) = (&site.policy, site.trusted.versions());
    let (persons, rules) = (policy.persons.len(), policy.rules.len());
    let fields = [
        (w(Word::Site), info.site.to_string()),
        (w(Word::FirstRoot), info.root_sha256.to_string()),
        (w(Word::InWords), words::of_first_root(&info.root_sha256)),
        (w(Word::People), text::clean(&info.people_url)),
        (w(Word::Agents), text::clean(&info.agent_address)),
        (w(Word::ServerKey), pin_line(&info.server_spki, seen, lang)),
        (
            w(Word::Policy),
            format!(
                "{} {} ({}: {persons}, {}: {rules})",
                w(Word::PolicyVersion),
                policy.version,
                w(Word::People),
                w(Word::Rules)
            ),
        ),
        (
            w(Word::Approval),
            w(if policy.one_person { Word::OneApproves } else { Word::SeveralPersons }).to_owned(),
        ),
        (
            w(Word::Repository),
            format!(
                "root {}, targets {}, snapshot {}, timestamp {}",
                versions.root, versions.targets, versions.snapshot, versions.timestamp
            ),
        ),
        (w(Word::LedgerKey), policy.log.vkeys.first().cloned().unwrap_or_default()),
        (w(Word::TlsAuthorities), authorities(&policy.ca_spki)),
        (w(Word::LastBackup), last_backup(info.last_backup.as_ref(), now, lang)),
    ];
    let rows: Vec<_> = fields.into_iter().map(|(label, value)| vec![label.to_owned(), value]).collect();
    text::table(&rows)
}

/// Hosts get certificates of the last one.
fn authorities(pins: &[Digest]) -> String {
    pins.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}

fn pin_line(claimed: &Digest, seen: &Digest, lang: Lang) -> String {
    let claims = lang.word(Word::ServerClaims);
    if claimed == seen { seen.to_string() } else { format!("{seen} ({claims} {claimed})") }
}

/// A host that joins through the server's proxy; the file of authorities is one of the host.
pub struct Behind<'a> {
    pub authorities: Option<&'a str>,
}

/// Prints the one command that joins a host; `printf` is of the shell itself, so no list of processes shows the
/// secret. Site, root and pin come from this profile and this connection.
pub fn token(
    session: &Session,
    host_class: &HostClass,
    labels: &[String],
    minutes: u32,
    (behind, json): (Option<&Behind<'_>>, bool),
) -> Done {
    let labels: Map<String, String> = pairs(labels)?.into_iter().collect();
    let wish = Invite { host_class: host_class.clone(), labels, minutes };
    let invitation = session.api.invite(&wish)?;
    let (_, pin) = session.api.site()?;
    let config = &session.profile.config;
    let same = invitation.site == config.site
        && invitation.root_sha256 == config.root_sha256
        && invitation.pin == pin;
    if !same {
        return Err(Failure::refused(
            "the server's invitation names another site or key than this connection",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !invitation.token.chars().all(plain) {
        return Err(Failure::fault("the server's token has characters that a command line may not have"));
    }
    let way = match behind {
        None => format!("--server {} --pin {pin}", config.people_url),
        Some(behind) => through(invitation.proxy.as_deref(), behind)?,
    };
    let command = format!(
        "printf %s {} | assent-agent join --site {} --root-sha256 {} {way} --host-class {} --token-file -",
        invitation.token, config.site, config.root_sha256, host_class
    );
    let now = serde_json::json!({ "command": command, "invitation": invitation });
    let written = Written::of("join_token", Digest::of(invitation.token.as_bytes()), &now)?;
    written::tell(json, written, &format!("{command}\n"))?;
    term::note(&format!(
        "run it as root on the host; it works once, until {}\n",
        window::local(invitation.expires, &window::zone(None)?)
    ));
    Ok(())
}

/// How a host reaches the server through its proxy, as words of a command line.
fn through(proxy: Option<&str>, behind: &Behind<'_>) -> Done<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '[' | ']');
    let proxy = proxy.ok_or_else(|| {
        Failure::refused("this server has no proxy")
            .why("its server.toml has no proxy.url")
            .remedy("set [proxy] there, restart the server, and ask for another token")
    })?;
    if !proxy.starts_with("https://") || !proxy.chars().all(plain) {
        return Err(Failure::fault("the server's address of the proxy is not an https address"));
    }
    let Some(file) = behind.authorities else { return Ok(format!("--server {proxy} --proxy")) };
    if !file.starts_with('/') || !file.chars().all(plain) {
        return Err(Failure::usage(format!("{file:?} is not a whole path of plain characters")));
    }
    Ok(format!("--server {proxy} --proxy --proxy-ca {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_through_a_proxy_holds_no_words_of_others() {
        let behind = |authorities| Behind { authorities };
        let way = |proxy, ca| through(proxy, &behind(ca)).map_err(|failure| failure.to_string());
        assert_eq!(
            way(Some("https://p.example:443"), None).unwrap(),
            "--server https://p.example:443 --proxy"
        );
        let with_file = way(Some("https://p.example"), Some("/etc/ca.pem")).unwrap();
        assert_eq!(with_file, "--server https://p.example --proxy --proxy-ca /etc/ca.pem");
        assert!(way(None, None).unwrap_err().contains("no proxy"));
        for bad in ["http://p.example", "https://p.example;reboot", "https://p.example $(id)", ""] {
            assert!(way(Some(bad), None).is_err(), "{bad}");
        }
        for bad in ["ca.pem", "/etc/ca pem", "/etc/`id`"] {
            assert!(way(Some("https://p.example"), Some(bad)).is_err(), "{bad}");
        }
    }
}
