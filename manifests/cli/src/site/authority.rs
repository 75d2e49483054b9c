//! `assent site authority …`: which TLS authorities hosts believe, one edition of the policy each, and this person's own file of
//! them.
//!
//! Never: an authority that the policy does not name, in the file by which this command knows the server.

use crate::args::{AuthorityArgs, AuthorityCommand};
use crate::error::{Done, Failure};
use crate::net::api::{AuthorityLine, SiteInfo};
use crate::policy::{current, publish_next};
use crate::profile::SMALL;
use crate::session::Session;
use crate::{files, term};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared::digest::Digest;
use shared::policy::Policy;

/// With this the names of authorities begin that `assent init` and `assent-server authority new` make.
const NAME: &str = "Assent site authority";

pub fn run(session: &Session, command: &AuthorityCommand) -> Done {
    match command {
        AuthorityCommand::Add(args) => add(session, args),
        AuthorityCommand::Retire(args) => retire(session, args),
    }
}

fn add(session: &Session, args: &AuthorityArgs) -> Done {
    let (info, _) = session.api.site()?;
    if !info.authorities.iter().any(|line| is_it(line, &args.spki)) {
        return Err(Failure::refused(format!("the server has no authority {}", args.spki))
            .remedy("make one on the server: assent-server authority new --config FILE"));
    }
    let site = current(session)?;
    if site.policy.ca_spki.contains(&args.spki) {
        return Err(Failure::refused("the policy names it already").remedy("see `assent site show`"));
    }
    let mut next = site.policy.clone();
    next.ca_spki.push(args.spki);
    publish_next(session, &site, next, &args.sign)?;
    term::note("hosts get certificates of it within minutes; then: assent site authority retire OLD\n");
    after(session)
}

fn retire(session: &Session, args: &AuthorityArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    next.ca_spki.retain(|spki| *spki != args.spki);
    if next == site.policy {
        return Err(Failure::refused(format!("the policy names no authority {}", args.spki))
            .remedy("see `assent site show`"));
    }
    if next.ca_spki.is_empty() {
        return Err(Failure::refused("the policy names no other authority, and hosts must believe one")
            .remedy("first: assent-server authority new on the server, and assent site authority add"));
    }
    let (info, _) = session.api.site()?;
    if !next.ca_spki.iter().any(|spki| info.authorities.iter().any(|line| is_it(line, spki))) {
        return Err(Failure::refused("the server has none of the authorities that would remain"));
    }
    // While the server still shows a certificate of the old one: its file here must hold what remains.
    keep(session, &next, &info)?;
    publish_next(session, &site, next, &args.sign)?;
    // Not asked again: the server may show a certificate of the other one by now, which only the next command knows.
    term::note(
        "the server follows within a minute; hosts that were off get new certificates when they come back\n",
    );
    Ok(())
}

/// What has been published may wait for other signatures, so the policy is asked for again.
fn after(session: &Session) -> Done {
    session.site().map(drop)
}

/// Renews this person's file of authorities when the policy names others than it holds.
pub fn keep_up(session: &Session, policy: &Policy) -> Done {
    let path = session.profile.dir.join(&session.profile.config.ca);
    let ours: Vec<_> = read(&files::read(&path, SMALL)?).into_iter().filter(|one| one.ours).collect();
    let missing = policy.ca_spki.iter().any(|spki| !ours.iter().any(|one| one.spki == *spki));
    if policy.ca_spki.is_empty() || ours.is_empty() || (!missing && ours.len() == policy.ca_spki.len()) {
        return Ok(());
    }
    let (info, _) = session.api.site()?;
    keep(session, policy, &info)
}

fn keep(session: &Session, policy: &Policy, info: &SiteInfo) -> Done {
    let path = session.profile.dir.join(&session.profile.config.ca);
    let before = files::read(&path, SMALL)?;
    match next(&before, &policy.ca_spki, &info.authorities) {
        Some(next) if next.as_bytes() != before.as_slice() => files::replace(&path, next.as_bytes()),
        _ => Ok(()),
    }
}

/// What the file is to hold: the authorities that the policy names and the server has, those of others, and of the site's own
/// those that the server still has, because it may show a certificate of them for a moment yet. None when it would hold none
/// that is named.
fn next(before: &[u8], pins: &[Digest], server: &[AuthorityLine]) -> Option<String> {
    let known = read(before);
    let named: Vec<_> = server.iter().filter(|line| pins.iter().any(|spki| is_it(line, spki))).collect();
    if named.is_empty() {
        return None;
    }
    let stays = |one: &&Known| {
        let has = server.iter().any(|line| line.spki == one.spki);
        !named.iter().any(|line| line.spki == one.spki) && (!one.ours || has)
    };
    let kept = known.iter().filter(stays).map(|one| one.pem.as_str());
    Some(named.iter().map(|line| line.certificate.as_str()).chain(kept).collect())
}

/// The server's word is compared with the certificate itself.
fn is_it(line: &AuthorityLine, spki: &Digest) -> bool {
    let inside = read(line.certificate.as_bytes());
    matches!(inside.as_slice(), [one] if one.spki == *spki && line.spki == *spki)
}

/// A certificate in a file of authorities.
struct Known {
    spki: Digest,
    /// Of a site's own authority; a company may have put its own beside it.
    ours: bool,
    pem: String,
}

fn read(pem: &[u8]) -> Vec<Known> {
    let one = |pem: String| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, read) = x509_parser::parse_x509_certificate(&der).ok()?;
        let ours =
            read.subject().iter_common_name().any(|name| name.as_str().is_ok_and(|n| n.starts_with(NAME)));
        Some(Known { spki: Digest::of(read.public_key().raw), ours, pem })
    };
    let text = String::from_utf8_lossy(pem);
    shared::pem::certificates(&text).into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    fn authority(name: &str) -> AuthorityLine {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        AuthorityLine { spki: read(certificate.as_bytes())[0].spki, certificate }
    }

    #[test]
    fn the_file_follows_the_policy_and_keeps_what_is_not_the_sites() {
        let (old, new) = (authority("Assent site authority"), authority("Assent site authority 12345678"));
        let (company, evil) = (authority("Company"), authority("Assent site authority ffffffff"));
        let spkis = |text: Option<String>| {
            read(text.unwrap().as_bytes()).iter().map(|one| one.spki).collect::<Vec<_>>()
        };
        let before = old.certificate.clone() + &company.certificate;
        let both = [old.clone(), new.clone(), evil.clone()];
        let added = next(before.as_bytes(), &[old.spki, new.spki], &both);
        assert_eq!(spkis(added.clone()), [old.spki, new.spki, company.spki], "and none that nobody named");
        let before = added.unwrap();
        let retired = next(before.as_bytes(), &[new.spki], &both);
        assert_eq!(
            spkis(retired.clone()),
            [new.spki, old.spki, company.spki],
            "while the server still has it"
        );
        let gone = next(retired.unwrap().as_bytes(), &[new.spki], std::slice::from_ref(&new));
        assert_eq!(spkis(gone), [new.spki, company.spki]);
        assert!(
            next(before.as_bytes(), &[evil.spki], std::slice::from_ref(&new)).is_none(),
            "nothing that is named is there"
        );
        let lied = AuthorityLine { spki: new.spki, certificate: evil.certificate.clone() };
        assert!(
            next(before.as_bytes(), &[new.spki], &[lied]).is_none(),
            "another certificate under its digest"
        );
    }
}
