//! `assent init`: a site for one person, in one command. Keys first, in memory; then files, durable in order.
//!
//! `server/` gets everything that a server may hold and nothing that can start a change; `keys/` stays with
//! the person. Until the last file is written a marker says that the directory is unfinished.

mod certificates;
mod documents;
pub mod recovery;
mod server;

use crate::args::InitArgs;
use crate::error::{Context as _, Done, Failure};
use crate::profile::{self, Config, KeyFiles, Secrets};
use crate::{clock, files, term};
use certificates::Certificates;
use documents::Documents;
use shared::digest::{Digest, hex};
use shared::ids::Team;
use shared::keys::SigningKey;
use shared::ledger::{KeyName, VerifierKey};
use shared::time::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Present from the first to the last write of an init.
pub const UNFINISHED: &str = "INIT-UNFINISHED";

/// Every private key that a new site starts with.
pub struct Keys {
    pub governance: SigningKey,
    pub recovery: SigningKey,
    pub publisher: SigningKey,
    /// Signs changes and approvals.
    pub approver: SigningKey,
    pub online: SigningKey,
    pub log: SigningKey,
}

impl Keys {
    fn generate() -> Done<Self> {
        let key = || clock::random::<32>().map(Zeroizing::new).map(|seed| SigningKey::from_seed(&seed));
        Ok(Self {
            governance: key()?,
            recovery: key()?,
            publisher: key()?,
            approver: key()?,
            online: key()?,
            log: key()?,
        })
    }
}

/// Where people and agents reach the server.
pub struct Addresses {
    pub people_url: String,
    pub people_host: String,
    pub agents_url: String,
    pub agents_host: String,
}

impl Addresses {
    fn read(args: &InitArgs) -> Done<Self> {
        let people = args.people_url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        let people = people.ok_or_else(|| {
            bad_address("--people-url", &args.people_url, "https://assent.example.org:8443")
        })?;
        let people_host = host_of(people).ok_or_else(|| {
            bad_address("--people-url", &args.people_url, "https://assent.example.org:8443")
        })?;
        let agents_host = host_of(&args.agent_address)
            .filter(|host| args.agent_address.len() > host.len() && args.agent_address != *host)
            .ok_or_else(|| bad_address("--agent-address", &args.agent_address, "assent.example.org:8444"))?;
        Ok(Self {
            people_url: format!("https://{people}"),
            people_host,
            agents_url: format!("https://{}", args.agent_address),
            agents_host,
        })
    }
}

fn bad_address(option: &str, given: &str, example: &str) -> Failure {
    Failure::usage(format!("{option} {given:?} is not an address"))
        .remedy(format!("write one like {example}"))
}

/// Host name or address of `host` or `host:port`, brackets of IPv6 removed; `None` for anything else.
fn host_of(text: &str) -> Option<String> {
    let uri: hyper::http::uri::Authority = text.parse().ok()?;
    let host = uri.host().trim_start_matches('[').trim_end_matches(']');
    let plain = !host.is_empty() && !text.contains('@') && (uri.port_u16().is_some() || uri.port().is_none());
    plain.then(|| host.to_owned())
}

/// Runs the ceremony.
///
/// # Errors
/// Refuses a directory that is not empty; a failure in the middle leaves the marker behind.
pub fn run(args: &InitArgs, secrets: &Secrets) -> Done {
    let dir = vacant(&args.dir)?;
    let addresses = Addresses::read(args)?;
    let now = clock::now()?;
    recovery::check_options(args, secrets)?;
    let passphrase = secrets.new_passphrase()?;
    let keys = Keys::generate()?;
    let certificates = Certificates::issue(&addresses, now)?;
    let site = Site { args, addresses, keys, certificates, now };
    let documents = Documents::make(&site)?;
    recovery::hand_over(args.recovery_out.as_deref(), &site.keys.recovery, documents.site.as_str())?;
    write_all(&dir, &site, &documents, &passphrase)?;
    term::print(&goodbye(&dir, &site, &documents))
}

/// Everything that the documents are made from.
pub struct Site<'a> {
    pub args: &'a InitArgs,
    pub addresses: Addresses,
    pub keys: Keys,
    pub certificates: Certificates,
    pub now: Timestamp,
}

impl Site<'_> {
    pub fn team() -> Team {
        #[expect(clippy::expect_used, reason = "a constant that is a team name")]
        "main".parse().expect("main is a team name")
    }

    /// Name and origin of the ledger, as the server opens it.
    pub fn log_name(&self, site: &str) -> Done<KeyName> {
        format!("assent.{site}").parse().or_fault("the ledger could not be named")
    }

    pub fn log_vkey(&self, site: &str) -> Done<String> {
        Ok(VerifierKey::new(self.log_name(site)?, self.keys.log.public()).to_string())
    }
}

/// The directory, if nothing is in it yet; says what is there otherwise.
pub fn vacant(dir: &Path) -> Done<PathBuf> {
    let shown = dir.display();
    if dir.join(UNFINISHED).exists() {
        let message =
            format!("{shown} holds a site that was never finished: an earlier init was interrupted");
        let remedy = format!(
            "no host trusts its keys yet; remove {shown} and the paper with its recovery key, then run init again"
        );
        return Err(Failure::refused(message).remedy(remedy));
    }
    if dir.join(profile::FILE).exists() {
        let message = format!("{shown} holds a site already; a second init would cut off its hosts");
        return Err(Failure::refused(message).remedy("choose another directory"));
    }
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => {
                Err(Failure::refused(format!("{shown} is not empty")).remedy("choose a new directory"))
            }
            None => dir.canonicalize().or_fault(format!("{shown} cannot be used")),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            files::make_dir(dir)?;
            dir.canonicalize().or_fault(format!("{shown} cannot be used"))
        }
        Err(e) => Err(Failure::usage(format!("{shown} is not a directory that can be used")).why(e)),
    }
}

fn write_all(dir: &Path, site: &Site<'_>, documents: &Documents, passphrase: &str) -> Done {
    files::write_new(&dir.join(UNFINISHED), format!("started {}\n", site.now).as_bytes())?;
    set_private(dir)?;
    for name in ["keys", "trust", "server", "server/keys", "server/tls", "server/site"] {
        files::make_dir(&dir.join(name))?;
    }
    let token = Zeroizing::new(hex(&clock::random::<32>()?));
    for (name, key) in [
        ("governance", &site.keys.governance),
        ("publisher", &site.keys.publisher),
        ("approver", &site.keys.approver),
    ] {
        files::write_new(&dir.join(format!("keys/{name}.pem")), sealed(key, passphrase)?.as_bytes())?;
    }
    files::write_new(&dir.join("keys/api-token"), format!("{}\n", *token).as_bytes())?;
    files::write_new(&dir.join("ca.crt"), site.certificates.ca.certificate.as_bytes())?;
    files::write_new(&dir.join("trust/root.json"), &documents.root)?;
    server::write(&dir.join("server"), site, documents, &token)?;
    let profile = Config {
        site: documents.site.clone(),
        root_sha256: Digest::of(&documents.root),
        person: site.args.person.clone(),
        team: Site::team(),
        people_url: site.addresses.people_url.clone(),
        ca: "ca.crt".into(),
        token: "keys/api-token".into(),
        keys: KeyFiles {
            governance: Some("keys/governance.pem".into()),
            publisher: Some("keys/publisher.pem".into()),
            approver: Some("keys/approver.pem".into()),
        },
    };
    let text = toml::to_string(&profile).or_fault("the profile could not be written")?;
    files::write_new(&dir.join(profile::FILE), text.as_bytes())?;
    let marker = dir.join(UNFINISHED);
    fs::remove_file(&marker).or_fault(format!("could not remove {}", marker.display()))?;
    files::sync_parent(&marker)
}

/// An existing empty directory may be open to others.
pub fn set_private(dir: &Path) -> Done {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .or_fault(format!("could not make {} private", dir.display()))
}

/// The key as an encrypted PEM with fresh salt.
pub fn sealed(key: &SigningKey, passphrase: &str) -> Done<Zeroizing<String>> {
    key.to_encrypted_pem(passphrase, &clock::random()?, clock::random()?)
        .or_fault("a key could not be sealed")
}

fn goodbye(dir: &Path, site: &Site<'_>, documents: &Documents) -> String {
    let shown = dir.display();
    format!(
        "site {site_id} is ready in {shown}\n\
         \n\
         one person approves alone here (one_person: true); every receipt and export says so\n\
         {shown}/server  give this directory to the server; it cannot start a change\n\
         {shown}/keys    keep this on your own machine and back it up; never copy it to the server\n\
         \n\
         next:\n\
         assent-server run --config {shown}/server/server.toml\n\
         export ASSENT_SITE={shown}\n\
         assent site show\n\
         assent agent token\n\
         \n\
         the repository and its policy are valid until {until}\n",
        site_id = documents.site,
        until = documents::expires(site.now),
    )
}
