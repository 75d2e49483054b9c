//! What a server does after its database was put back to a backup: `assent-server restored`.
//!
//! Hosts have seen newer files and a longer ledger than such a server has, and rightly believe neither. New keys, put in
//! place by governance, tell them that this is meant. What was withdrawn or halted since is not known any more, so
//! nothing goes on by itself. Never: a key of governance.

use crate::audit::{self, Action};
use crate::changes;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::keys;
use crate::ledger::{self, Log};
use crate::manifests::{self, Online};
use shared::digest::Digest;
use shared::keys::PublicKey;
use shared::ledger::{Checkpoint, VerifierKey};
use shared::time::Timestamp;
use std::fmt;

/// What was done; as text, what to do next.
#[derive(Debug)]
pub struct Restored {
    pub online: PublicKey,
    pub log: VerifierKey,
    /// The ledger as the backup had it.
    pub before: Checkpoint,
    /// Changes that are held now.
    pub held: Vec<String>,
}

/// Again and again the same until governance has put the keys into root and policy: a crash in between loses nothing.
///
/// # Errors
/// The database's; a key file that cannot be read or written.
pub async fn run(config: &Config, db: &Db, now: Timestamp, skip_numbers: u32) -> Result<Restored, Error> {
    let old = Log::load(&config.log_key, &config.site_id)?;
    old.open(db, now).await?;
    let root = db.read("restored.root", manifests::newest_root).await?;
    let before = db.read("restored.head", |tx: &mut Conn| ledger::head(tx)).await?;
    let signs = old.clone();
    let origin = before.origin.clone();
    keys::make_next(&config.online_key, |key| root.roles.timestamp.keyids.contains(&manifests::key_id(key)))?;
    keys::make_next(&config.log_key, |key| signs.signs_with(key, &origin))?;
    let (online, log) = (Online::load(&config.online_key)?, Log::load(&config.log_key, &config.site_id)?);
    let seals = online.clone();
    let keys = (online.next(&root).map(|key| key.to_string()), skip_numbers);
    let request = Digest::of(&shared::strict::to_json(&keys));
    let held = db
        .write("restored.hold", move |tx| {
            let held = changes::hold_all(tx, &seals, skip_numbers, now)?;
            let action = Action { by: None, name: "server.restored", object: "server".into(), request };
            audit::record(tx, &action, now)?;
            Ok::<_, Error>(held)
        })
        .await?;
    let next = log.clone();
    let next = db.read("restored.next", move |tx| next.next(tx)).await?;
    let missing = || Error::fault("making new keys", "they are in use already; look at the key files");
    Ok(Restored {
        online: online.next(&root).ok_or_else(missing)?,
        log: next.ok_or_else(missing)?,
        before,
        held,
    })
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checkpoint { origin, size, .. } = &self.before;
        writeln!(f, "the ledger {origin} of the backup has {size} statements")?;
        writeln!(f, "new repository key  {}", self.online)?;
        writeln!(f, "new ledger key      {}", self.log)?;
        match self.held.as_slice() {
            [] => writeln!(f, "no change was approved or running")?,
            held => writeln!(f, "held until somebody resumes them: {}", held.join(", "))?,
        }
        write!(
            f,
            "next: start the server, and on the machine with the governance key: assent site restore\n  \
             It shows these two keys again; compare them."
        )
    }
}
