//! The site's TLS authorities: the one in use, and beside it the one that is to follow.
//!
//! Both let hosts in as soon as they are there. Which of them hosts are given certificates of, and when the old one goes, says the
//! signed policy alone. Never: a certificate of an authority that the policy does not name, unless it names none at all.

use super::authority::{Authority, new_pair};
use super::join::Door;
use super::listeners;
use crate::kernel::config::Config;
use crate::kernel::error::Error;
use crate::kernel::files;
use crate::kernel::keys::following;
use shared::digest::Digest;
use shared::time::Timestamp;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

/// What is on this node's disk.
pub struct Authorities {
    current: Authority,
    next: Option<Authority>,
}

fn failed(doing: &str, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault(format!("{doing} {}", path.display()), error)
}

impl Authorities {
    /// Reads them, and ends a replacement that a crash has broken off.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let (cert, key) = (following(&config.ca_cert), following(&config.ca_key));
        if cert.exists() && !key.exists() {
            files::rename(&cert, &config.ca_cert)
                .map_err(|error| failed("replacing", &config.ca_cert, error))?;
        }
        let current = Authority::load(&config.site_id, &config.ca_cert, &config.ca_key)?;
        let next = match cert.exists() {
            true => Some(Authority::load(&config.site_id, &cert, &key)?),
            false => None,
        };
        Ok(Self { current, next })
    }

    /// Those that the policy names, the newest first. The one in use where it names none of them.
    pub fn named(&self, pins: &[Digest]) -> Vec<Authority> {
        let all = self.next.iter().chain([&self.current]);
        let named: Vec<_> = all.filter(|one| pins.contains(&one.spki())).cloned().collect();
        if named.is_empty() { vec![self.current.clone()] } else { named }
    }

    /// The one that is to take the place of the one in use now.
    fn successor(&self, pins: &[Digest]) -> Option<&Authority> {
        self.next.as_ref().filter(|next| pins.contains(&next.spki()) && !pins.contains(&self.current.spki()))
    }

    /// By these keys hosts get in.
    fn trusted(&self) -> Vec<Digest> {
        self.next.iter().chain([&self.current]).map(Authority::spki).collect()
    }
}

/// Makes the authority that is to follow the one in use, if none waits already; the digest of its public key.
pub fn make_next(config: &Config, now: Timestamp) -> Result<Digest, Error> {
    if let Some(next) = Authorities::load(config)?.next {
        return Ok(next.spki());
    }
    let (certificate, key) = new_pair(now)?;
    let (cert_path, key_path) = (following(&config.ca_cert), following(&config.ca_key));
    let owner =
        std::fs::metadata(&config.ca_key).map_err(|error| failed("reading", &config.ca_key, error))?;
    // The key first: a certificate without its key would count as a replacement that was broken off.
    for (path, text, mode) in
        [(&key_path, key.as_bytes(), 0o600), (&cert_path, certificate.as_bytes(), 0o644)]
    {
        files::replace(path, text, Permissions::from_mode(mode))
            .map_err(|error| failed("writing", path, error))?;
        // Root may run this, and the server is somebody else.
        chown(path, Some(owner.uid()), Some(owner.gid()))
            .map_err(|error| failed("giving away", path, error))?;
    }
    let made =
        Authorities::load(config)?.next.ok_or_else(|| failed("reading", &cert_path, "it is gone again"))?;
    Ok(made.spki())
}

/// Brings this node in line with the authorities that the policy names: which one issues, and whether the new one takes the
/// place of the old, for hosts and for the server's own listeners. True when listeners have to read their files again.
pub fn follow(config: &Config, door: &Door, pins: &[Digest], now: Timestamp) -> Result<bool, Error> {
    let mut all = Authorities::load(config)?;
    if let Some(next) = all.successor(pins) {
        // Certificates first: hosts that follow the policy believe both, and a crash here repeats it.
        listeners::hand_over(config, (&all.current, next), now)?;
        for path in [&config.ca_key, &config.ca_cert] {
            files::rename(&following(path), path).map_err(|error| failed("replacing", path, error))?;
        }
        all = Authorities::load(config)?;
    }
    Ok(door.issue_by(all.named(pins), all.trusted()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    /// 2030-01-01.
    const NOW: Timestamp = Timestamp(1_893_456_000);

    fn config(dir: &Path) -> Config {
        let text = format!(
            "site_id = \"0011223344556677\"\ndata_dir = \"{}\"\n[people]\nurl = \"https://a.example\"\n[agents]\nurl = \"https://a.example:8444\"\n",
            dir.display()
        );
        for name in ["tls", "site"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let config = Config::parse("test", &text, None).unwrap();
        let (certificate, key) = new_pair(NOW).unwrap();
        std::fs::write(&config.ca_cert, certificate).unwrap();
        std::fs::write(&config.ca_key, key.as_bytes()).unwrap();
        std::fs::write(dir.join("site/1.root.json"), "{}").unwrap();
        let ca = Authority::load(&config.site_id, &config.ca_cert, &config.ca_key).unwrap();
        for listener in [&config.people, &config.agents] {
            let key = rcgen::KeyPair::generate().unwrap();
            let names = vec![rcgen::SanType::DnsName("a.example".try_into().unwrap())];
            std::fs::write(&listener.cert, ca.issue_own(names, &key, NOW).unwrap()).unwrap();
            std::fs::write(&listener.key, key.serialize_pem()).unwrap();
        }
        config
    }

    /// Key and issuer of a certificate.
    fn read(path: &Path) -> (Digest, String) {
        let der = CertificateDer::from_pem_file(path).unwrap();
        let (_, read) = X509Certificate::from_der(&der).unwrap();
        (Digest::of(read.public_key().raw), read.issuer().to_string())
    }

    #[test]
    fn the_policy_says_which_authority_issues_and_when_the_old_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let old = Authorities::load(&config).unwrap().current.spki();
        let door = Door::open(&config).unwrap();
        let issuing = || door.issuing().iter().map(Authority::spki).collect::<Vec<_>>();
        assert!(!follow(&config, &door, &[old], NOW).unwrap(), "nothing is new");
        let new = make_next(&config, NOW).unwrap();
        assert_eq!(make_next(&config, NOW).unwrap(), new, "asked again, the same waits");
        assert!(follow(&config, &door, &[old], NOW).unwrap(), "both let hosts in");
        assert_eq!(issuing(), [old], "but nobody has named the new one");
        assert!(!follow(&config, &door, &[old, new], NOW).unwrap());
        assert_eq!(issuing(), [new, old]);
        let before = [read(&config.people.cert), read(&config.agents.cert)];
        assert!(follow(&config, &door, &[new], NOW).unwrap());
        assert_eq!(issuing(), [new]);
        for (listener, before) in [&config.people, &config.agents].into_iter().zip(before) {
            let after = read(&listener.cert);
            assert_eq!(after.0, before.0, "hosts pin the key");
            assert!(after.1 != before.1 && after.1.contains(&new.hex()[..8]), "{}", after.1);
        }
        assert!(!following(&config.ca_key).exists() && !following(&config.ca_cert).exists());
        assert_eq!(Authorities::load(&config).unwrap().current.spki(), new);
        assert!(!follow(&config, &door, &[new], NOW).unwrap(), "once is enough");
    }

    #[test]
    fn a_policy_that_names_none_or_others_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let door = Door::open(&config).unwrap();
        let old = Authorities::load(&config).unwrap().current.spki();
        make_next(&config, NOW).unwrap();
        for pins in [vec![], vec![Digest::of(b"another")]] {
            follow(&config, &door, &pins, NOW).unwrap();
            assert_eq!(door.issuing().iter().map(Authority::spki).collect::<Vec<_>>(), [old]);
            assert!(following(&config.ca_key).exists());
        }
    }

    #[test]
    fn a_crash_at_any_step_leaves_one_authority_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let new = make_next(&config, NOW).unwrap();
        // A key whose certificate was not written is made anew, so it is no authority yet.
        let certificate = std::fs::read(following(&config.ca_cert)).unwrap();
        std::fs::remove_file(following(&config.ca_cert)).unwrap();
        assert!(Authorities::load(&config).unwrap().next.is_none());
        std::fs::write(following(&config.ca_cert), certificate).unwrap();
        // The key has taken its place, the certificate has not.
        std::fs::rename(following(&config.ca_key), &config.ca_key).unwrap();
        let all = Authorities::load(&config).unwrap();
        assert_eq!((all.current.spki(), all.next.is_none()), (new, true));
    }
}
