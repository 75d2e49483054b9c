//! `assent site show` and `assent agent token`: the site's identity, its expiry table, and joining hosts.

pub mod expiry;

use crate::author::list::print_json;
use crate::change::pairs;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::net::api::SiteInfo;
use crate::session::Session;
use crate::trust::Site;
use crate::{term, text, window};
use shared::digest::Digest;
use shared::ids::HostClass;
use shared::strict::Map;
use shared::wire::Invite;

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
        identity(&info, &site, &seen, session.lang),
        expiry::table(&expiry, session.now, session.lang)?
    ))
}

fn identity(info: &SiteInfo, site: &Site, seen: &Digest, lang: Lang) -> String {
    let w = |word| lang.word(word);
    let (policy, versions) = (&site.policy, site.trusted.versions());
    let (persons, rules) = (policy.persons.len(), policy.rules.len());
    let fields = [
        (w(Word::Site), info.site.to_string()),
        (w(Word::FirstRoot), info.root_sha256.to_string()),
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
    ];
    let rows: Vec<_> = fields.into_iter().map(|(label, value)| vec![label.to_owned(), value]).collect();
    text::table(&rows)
}

fn pin_line(claimed: &Digest, seen: &Digest, lang: Lang) -> String {
    let claims = lang.word(Word::ServerClaims);
    if claimed == seen { seen.to_string() } else { format!("{seen} ({claims} {claimed})") }
}

/// Prints the one command that joins a host; `printf` is of the shell itself, so no list of processes shows the
/// secret. Site, root and pin come from this profile and this connection.
pub fn token(session: &Session, host_class: &HostClass, labels: &[String], minutes: u32) -> Done {
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
    term::print(&format!(
        "printf %s {} | assent-agent join --site {} --root-sha256 {} --server {} --pin {} --host-class {} --token-file -\n",
        invitation.token, config.site, config.root_sha256, config.people_url, pin, host_class
    ))?;
    term::note(&format!(
        "run it as root on the host; it works once, until {}\n",
        window::local(invitation.expires, &window::zone(None)?)
    ));
    Ok(())
}
