//! The person's own directory (`--site DIR`): who, where, which keys; made by `assent init`.
//!
//! Owns `cli.toml` and the opening of keys. Never: sends a key or passphrase anywhere.

use crate::error::{Context as _, Done, Failure};
use crate::{files, term};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::{PersonId, SiteId, Team};
use shared::keys::{KeyError, SigningKey};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub const FILE: &str = "cli.toml";
/// `cli.toml` and key files are far below this.
pub const SMALL: usize = 64 << 10;

/// `cli.toml`; paths are relative to its directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub site: SiteId,
    pub root_sha256: Digest,
    pub person: PersonId,
    pub team: Team,
    pub people_url: String,
    pub ca: PathBuf,
    pub token: PathBuf,
    pub keys: KeyFiles,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFiles {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<PathBuf>,
}

/// Which of the person's keys signs; authors and approvers use the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signs root, targets and policy.
    Governance,
    Publisher,
    Approver,
}

impl KeyUse {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Publisher => "publisher",
            Self::Approver => "approver",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Profile {
    pub dir: PathBuf,
    pub config: Config,
}

impl Profile {
    /// Opens the directory of `--site` or `ASSENT_SITE`.
    pub fn open(dir: Option<&Path>) -> Done<Self> {
        let dir = dir.ok_or_else(|| {
            Failure::usage("no site is chosen")
                .remedy("give --site DIR, or set ASSENT_SITE to the directory that `assent init` made")
        })?;
        let path = dir.join(FILE);
        let Some(bytes) = files::try_read(&path, SMALL)? else {
            let message = format!("{} is not the directory of a site: it has no {FILE}", dir.display());
            let remedy = match files::try_read(&dir.join(crate::init::UNFINISHED), SMALL)? {
                Some(_) => "`assent init` was interrupted there; remove the directory and run it again",
                None => "give the directory that `assent init` made",
            };
            return Err(Failure::usage(message).remedy(remedy));
        };
        let text = String::from_utf8(bytes).or_usage(format!("{} is not text", path.display()))?;
        let config = toml::from_str(&text).or_usage(format!("{} is not a valid profile", path.display()))?;
        Ok(Self { dir: dir.to_owned(), config })
    }

    pub fn token(&self) -> Done<Zeroizing<String>> {
        let text = Zeroizing::new(files::read_text(&self.dir.join(&self.config.token), SMALL)?);
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    pub fn key_file(&self, which: KeyUse) -> Option<PathBuf> {
        let keys = &self.config.keys;
        let path = match which {
            KeyUse::Governance => &keys.governance,
            KeyUse::Publisher => &keys.publisher,
            KeyUse::Approver => &keys.approver,
        };
        path.as_ref().map(|path| self.dir.join(path))
    }

    /// Opens one of the person's keys; asks for the passphrase when it is sealed.
    pub fn key(&self, which: KeyUse, secrets: &Secrets) -> Done<SigningKey> {
        let name = which.as_str();
        let path = self.key_file(which).ok_or_else(|| {
            Failure::usage(format!("this profile has no {name} key"))
                .remedy(format!("add keys.{name} to {FILE}"))
        })?;
        open_key(&path, name, secrets)
    }
}

/// Opens a key file; asks for the passphrase when it is sealed. `name` is what people call the key.
pub fn open_key(path: &Path, name: &str, secrets: &Secrets) -> Done<SigningKey> {
    let pem = Zeroizing::new(files::read_text(path, SMALL)?);
    let sealed = pem.contains("BEGIN ENCRYPTED PRIVATE KEY");
    let passphrase = if sealed { Some(secrets.passphrase()?) } else { None };
    SigningKey::from_pem(&pem, passphrase.as_ref().map(|p| p.as_str())).map_err(|e| match e {
        KeyError::Passphrase => Failure::refused(format!("the passphrase does not open the {name} key"))
            .why(path.display())
            .remedy("type it again, or check --passphrase-file"),
        other => Failure::fault(format!("the {name} key in {} cannot be used", path.display())).why(other),
    })
}

/// Where the passphrase comes from; asked at most once in a command.
#[derive(Debug, Default)]
pub struct Secrets {
    file: Option<PathBuf>,
    known: RefCell<Option<Zeroizing<String>>>,
}

/// Shorter ones are guessed; the key files may be stolen.
const SHORTEST_PASSPHRASE: usize = 8;

impl Secrets {
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, known: RefCell::default() }
    }

    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub fn passphrase(&self) -> Done<Zeroizing<String>> {
        if let Some(known) = self.known.borrow().as_ref() {
            return Ok(known.clone());
        }
        let passphrase = match &self.file {
            Some(path) => first_line(path)?,
            None if term::is_interactive() => term::ask_hidden("Passphrase of your keys:")?,
            None => {
                return Err(Failure::usage("a key needs its passphrase, and there is no terminal to ask on")
                    .remedy("give --passphrase-file FILE or set ASSENT_PASSPHRASE_FILE"));
            }
        };
        *self.known.borrow_mut() = Some(passphrase.clone());
        Ok(passphrase)
    }

    /// The passphrase for a key that joins the others: theirs, if it was asked for already.
    pub fn passphrase_for_new(&self) -> Done<Zeroizing<String>> {
        let known = self.known.borrow().clone();
        known.map_or_else(|| self.new_passphrase(), Ok)
    }

    /// A new passphrase: typed twice, or the first line of the file.
    pub fn new_passphrase(&self) -> Done<Zeroizing<String>> {
        let passphrase = match &self.file {
            Some(path) => first_line(path)?,
            None => {
                let first = term::ask_hidden("New passphrase for your keys:")?;
                if *first != *term::ask_hidden("The same again:")? {
                    return Err(
                        Failure::refused("the two passphrases differ").remedy("run the command again")
                    );
                }
                first
            }
        };
        if passphrase.chars().count() < SHORTEST_PASSPHRASE {
            let message = format!("the passphrase has fewer than {SHORTEST_PASSPHRASE} characters");
            return Err(
                Failure::refused(message).remedy("four or five random words are easy to keep in mind")
            );
        }
        *self.known.borrow_mut() = Some(passphrase.clone());
        Ok(passphrase)
    }
}

fn first_line(path: &Path) -> Done<Zeroizing<String>> {
    let text = Zeroizing::new(files::read_text(path, SMALL)?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
