//! The two files that go between: an invitation with the site's public facts, and what the new person says back.

use crate::args::Global;
use crate::error::{Context as _, Done, Failure};
use crate::profile::{self, Config, KeyFiles, SMALL, Secrets};
use crate::session::Session;
use crate::{clock, files, init, term};
use serde::{Deserialize, Serialize};
use shared::digest::{Digest, hex};
use shared::governance::{Introduction, NewKey};
use shared::ids::{PersonId, SiteId, Team};
use shared::keys::SigningKey;
use shared::limits;
use shared::policy::Role;
use shared::statement::Statement;
use shared::strict;
use shared::words;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const SCHEMA: &str = "assent-invitation/1";
const INVITATION_BYTES: usize = 2 * limits::TUF_ROOT_BYTES + SMALL;

/// What a machine needs to trust the right site. Who changes it on its way changes the six words.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    schema: String,
    site: SiteId,
    /// The site's first root, as text; the site's id is made from its digest.
    root: String,
    people_url: String,
    /// Certificates of the site's authority, in PEM.
    ca: String,
    person: PersonId,
    name: String,
    team: Team,
    roles: BTreeSet<Role>,
}

pub fn invite(
    session: &Session,
    (person, name): (&PersonId, &str),
    roles: &[Role],
    team: Option<&Team>,
    out: Option<&Path>,
) -> Done {
    let config = &session.profile.config;
    let root = session.api.tuf("1.root.json", limits::TUF_ROOT_BYTES as u64)?;
    let root = root.filter(|bytes| Digest::of(bytes) == config.root_sha256);
    let root =
        root.ok_or_else(|| Failure::refused("the server does not have the first root of this site"))?;
    let invitation = Invitation {
        schema: SCHEMA.into(),
        site: config.site.clone(),
        root: String::from_utf8(root).or_fault("the first root is not text")?,
        people_url: config.people_url.clone(),
        ca: files::read_text(&session.profile.dir.join(&config.ca), SMALL)?,
        person: person.clone(),
        name: name.to_owned(),
        team: team.unwrap_or(&config.team).clone(),
        roles: roles.iter().copied().collect(),
    };
    let out = out.map_or_else(|| format!("{person}.invitation.json").into(), Path::to_owned);
    files::write_new(&out, &strict::to_json(&invitation))?;
    term::print(&format!(
        "{} invites {person}; nothing in it is secret\n\
         next: send it to them; on their machine: assent person join {} DIR\n",
        out.display(),
        out.display()
    ))
}

/// Keys of the new person and what each is for: one for words about changes, one for publishing.
struct Keys {
    signing: Option<(SigningKey, BTreeSet<Role>)>,
    publisher: Option<SigningKey>,
}

impl Keys {
    fn of(roles: &BTreeSet<Role>) -> Done<Self> {
        let new = || clock::random::<32>().map(|seed| SigningKey::from_seed(&Zeroizing::new(seed)));
        let others: BTreeSet<Role> = roles.iter().copied().filter(|role| *role != Role::Publisher).collect();
        let signing = if others.is_empty() { None } else { Some((new()?, others)) };
        let publisher = if roles.contains(&Role::Publisher) { Some(new()?) } else { None };
        Ok(Self { signing, publisher })
    }

    fn named(&self) -> Vec<(&SigningKey, NewKey)> {
        let signing = self.signing.iter().map(|(key, roles)| (key, roles.clone()));
        let publisher = self.publisher.iter().map(|key| (key, [Role::Publisher].into()));
        let all = signing.chain(publisher);
        all.map(|(key, roles)| (key, NewKey { public: key.public(), roles })).collect()
    }
}

pub fn join(global: &Global, invitation: &Path, dir: &Path, out: Option<&Path>) -> Done {
    let bytes = files::read(invitation, INVITATION_BYTES)?;
    let invitation = read(&bytes).map_err(|f| f.why(invitation.display()))?;
    let out: PathBuf =
        out.map_or_else(|| format!("{}.introduction.json", invitation.person).into(), Path::to_owned);
    let dir = init::vacant(dir)?;
    let passphrase = Secrets::new(global.passphrase_file.clone()).new_passphrase()?;
    let keys = Keys::of(&invitation.roles)?;
    let token = Zeroizing::new(hex(&clock::random::<32>()?));
    let body = Introduction {
        site: invitation.site.clone(),
        root: Digest::of(invitation.root.as_bytes()),
        person: invitation.person.clone(),
        name: invitation.name.clone(),
        keys: keys.named().into_iter().map(|(_, named)| named).collect(),
        token: Digest::of(token.as_bytes()),
    };
    let mut statement = Statement::unsigned(body);
    keys.named().iter().for_each(|(key, _)| statement.envelope.add_signature(key));
    write(&dir, &invitation, &keys, (&token, &passphrase))?;
    files::write_new(&out, &statement.to_bytes())?;
    term::print(&format!(
        "{} holds your keys for the site {} at {}\n\
         six words   {}\n\
         next: send {} back, and read the six words to whoever invited you, by telephone or face to face;\n\
         once you are in the policy: assent --site {} site show\n",
        dir.display(),
        invitation.site,
        invitation.people_url,
        words::of_introduction(&statement.digest),
        out.display(),
        dir.display()
    ))
}

fn read(bytes: &[u8]) -> Done<Invitation> {
    let unfit = "this is not an invitation that can be used";
    let invitation: Invitation =
        strict::from_json("the invitation", bytes, INVITATION_BYTES).or_usage(unfit)?;
    if invitation.schema != SCHEMA || invitation.roles.is_empty() {
        return Err(Failure::usage(unfit));
    }
    // The first root is the anchor, and the site's id is its digest: one cannot be exchanged without the other.
    if hex(&Digest::of(invitation.root.as_bytes()).0[..8]) != invitation.site.as_str() {
        return Err(Failure::refused("the invitation was changed: its root is not that of its site"));
    }
    shared::tuf::profile::read_root(invitation.root.as_bytes()).or_refuse(unfit)?;
    Ok(invitation)
}

/// The profile comes last: without it the directory is of no use, and nobody has its keys in a policy yet.
fn write(dir: &Path, invitation: &Invitation, keys: &Keys, (token, passphrase): (&str, &str)) -> Done {
    init::set_private(dir)?;
    for name in ["keys", "trust"] {
        files::make_dir(&dir.join(name))?;
    }
    let store = |name: &str, key: Option<&SigningKey>| -> Done<Option<PathBuf>> {
        let Some(key) = key else { return Ok(None) };
        let path = PathBuf::from(format!("keys/{name}.pem"));
        files::write_new(&dir.join(&path), init::sealed(key, passphrase)?.as_bytes())?;
        Ok(Some(path))
    };
    let files_of_keys = KeyFiles {
        governance: None,
        publisher: store("publisher", keys.publisher.as_ref())?,
        approver: store("approver", keys.signing.as_ref().map(|(key, _)| key))?,
    };
    files::write_new(&dir.join("keys/api-token"), format!("{token}\n").as_bytes())?;
    files::write_new(&dir.join("ca.crt"), invitation.ca.as_bytes())?;
    files::write_new(&dir.join("trust/root.json"), invitation.root.as_bytes())?;
    let config = Config {
        site: invitation.site.clone(),
        root_sha256: Digest::of(invitation.root.as_bytes()),
        person: invitation.person.clone(),
        team: invitation.team.clone(),
        people_url: invitation.people_url.clone(),
        ca: "ca.crt".into(),
        token: "keys/api-token".into(),
        keys: files_of_keys,
    };
    let text = toml::to_string(&config).or_fault("the profile could not be written")?;
    files::write_new(&dir.join(profile::FILE), text.as_bytes())
}
