//! The server's directory: its configuration, its own keys, the first site files, and who the first admin is.

use super::{Documents, Site};
use crate::error::{Context as _, Done, Failure};
use crate::{backup, files};
use serde::Serialize;
use shared::digest::Digest;
use shared::ids::{PersonId, SiteId};
use shared::keys::SigningKey;
use shared::strict;
use std::net::SocketAddr;
use std::path::Path;

/// Which site this is and who its first administrator is. It holds the digest of the token, not the token.
#[derive(Serialize)]
struct Bootstrap<'a> {
    site: &'a SiteId,
    root_sha256: Digest,
    person: &'a PersonId,
    name: &'a str,
    token_sha256: Digest,
    log_vkey: String,
}

/// The server's configuration file; its reader is the server.
#[derive(Serialize)]
struct Settings<'a> {
    site_id: &'a SiteId,
    data_dir: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Database<'a>>,
    people: Port<'a>,
    agents: Port<'a>,
    backup: Backup,
}

#[derive(Serialize)]
struct Backup {
    recipient: String,
}

#[derive(Serialize)]
struct Database<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Port<'a> {
    listen: SocketAddr,
    url: &'a str,
}

/// `dir` exists and is empty but for its own empty directories. `first-start` lets the first run create the
/// database; without it a missing database is an error, never silently a new one.
pub fn write(dir: &Path, site: &Site<'_>, documents: &Documents, token: &str) -> Done {
    for (name, key) in [("online", &site.keys.online), ("log", &site.keys.log)] {
        files::write_new(&dir.join(format!("keys/{name}.key")), plain(key)?.as_bytes())?;
    }
    let certificates = &site.certificates;
    for (name, pair) in
        [("ca", &certificates.ca), ("people", &certificates.people), ("agents", &certificates.agents)]
    {
        files::write_new(&dir.join(format!("tls/{name}.crt")), pair.certificate.as_bytes())?;
        files::write_new(&dir.join(format!("tls/{name}.key")), pair.key.as_bytes())?;
    }
    for (name, bytes) in [
        ("1.root.json", &documents.root),
        ("1.targets.json", &documents.targets),
        ("1.content.main.json", &documents.content),
        ("policy.json", &documents.policy),
    ] {
        files::write_new(&dir.join("site").join(name), bytes)?;
    }
    let bootstrap = Bootstrap {
        site: &documents.site,
        root_sha256: Digest::of(&documents.root),
        person: &site.args.person,
        name: &site.args.name,
        token_sha256: Digest::of(token.as_bytes()),
        log_vkey: site.log_vkey(documents.site.as_str())?,
    };
    files::write_new(
        &dir.join("first-start"),
        b"the first start of the server makes the database and removes this file\n",
    )?;
    files::write_new(&dir.join("bootstrap.json"), &strict::to_json(&bootstrap))?;
    files::write_new(&dir.join("server.toml"), settings(dir, site, documents)?.as_bytes())
}

fn settings(dir: &Path, site: &Site<'_>, documents: &Documents) -> Done<String> {
    let settings = Settings {
        site_id: &documents.site,
        data_dir: dir,
        database: site.args.database.as_deref().map(|url| Database { url }),
        people: Port { listen: site.args.listen_people, url: &site.addresses.people_url },
        agents: Port { listen: site.args.listen_agents, url: &site.addresses.agents_url },
        backup: Backup { recipient: backup::recipient_of(&site.keys.recovery)?.to_string() },
    };
    toml::to_string(&settings).or_fault("the server's configuration could not be written")
}

fn plain(key: &SigningKey) -> Done<zeroize::Zeroizing<String>> {
    key.to_pem().map_err(|e| Failure::fault("a server key could not be written").why(e))
}
