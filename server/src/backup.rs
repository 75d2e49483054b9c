//! `assent-server backup`: everything that the server keeps, encrypted for the printed recovery key.
//!
//! Runs beside the server. The database is copied first and the files after it, so every file that the copy names is
//! there. Never: a key that can start a change, because the server has none; anything readable outside of the data
//! directory, where the copy of the database lies until it is encrypted.

mod kept;
#[cfg(test)]
mod tests;

pub use kept::run_in;

use crate::kernel::config::Config;
use crate::kernel::db::{self, DbUrl};
use crate::kernel::error::Error;
use crate::kernel::files;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::backup::{CONFIG, DATA, OUTSIDE, POSTGRESQL, SQLITE, SUMS};
use shared::digest::{Digest, Hasher};
use shared::secret::Recipient;
use shared::strict;
use shared::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// How the directories are called, in the data directory, in which copies of the database are made.
const COPY: &str = ".backup-";

/// In the data directory: what was written last (`last-backup.json`), for people who ask how old it is.
const LAST: &str = "last-backup.json";
const LAST_BYTES: u64 = 4_096;

/// The last backup that this node made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastBackup {
    pub at: Timestamp,
    pub files: u64,
    pub bytes: u64,
}

/// What was written; as text, for the person at the terminal.
#[derive(Debug)]
pub struct Backup {
    pub path: PathBuf,
    /// Files in it, the database among them.
    pub files: usize,
    /// Of the encrypted file.
    pub bytes: u64,
    pub recipient: Recipient,
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, files, bytes, recipient } = self;
        writeln!(f, "{}: {files} files, {bytes} bytes, for {recipient}", path.display())?;
        write!(f, "it can be read only with the printed recovery key; try it: assent backup check FILE")
    }
}

/// Writes `out`, which must not exist, in one step: a backup that broke off leaves nothing.
///
/// `config_file` is what `config` was read from.
///
/// # Errors
/// No recipient is configured; `out` exists or is in the data directory; the disk's and the database's.
pub fn run(config: &Config, config_file: &Path, out: &Path) -> Result<Backup, Error> {
    let recipient = config.backup.clone().ok_or_else(|| {
        let remedy = "write backup.recipient into the configuration; `assent backup recipient` prints it";
        refused(out, format!("nobody is named who could read it; {remedy}"))
    })?;
    let (out, data) = (placed(out)?, real(&config.data_dir)?);
    if out.starts_with(&data) {
        return Err(refused(
            &out,
            format!("it would be a part of the next one; choose a place outside of {}", data.display()),
        ));
    }
    let work = Work::make(beside(&out, &format!(".part-{}", std::process::id())))?;
    let mut archive = Archive::create(&work.path("archive"), &recipient)?;
    archive.file(CONFIG, config_file)?;
    let name = database_name(config, &data)?;
    database(config, &data, |copy| archive.file(&name, copy))?;
    for (name, path) in files_of(config, &data, &name)? {
        archive.file(&name, &path)?;
    }
    let (files, bytes) = archive.finish()?;
    files::rename(&work.path("archive"), &out).map_err(|error| failed(&out, error))?;
    Ok(Backup { path: out, files, bytes, recipient })
}

/// Notes that a backup is whole.
///
/// # Errors
/// The disk's; the backup is there all the same.
pub fn note(config: &Config, made: &Backup, now: Timestamp) -> Result<(), Error> {
    let path = config.data_dir.join(LAST);
    let last = LastBackup { at: now, files: made.files as u64, bytes: made.bytes };
    let written = files::replace(&path, &strict::to_json(&last), fs::Permissions::from_mode(0o600));
    written.map_err(|error| failed(&path, error))
}

/// The last backup of this node; none when nothing was noted, or nothing that can be read.
pub fn last(config: &Config) -> Option<LastBackup> {
    let mut bytes = Vec::new();
    File::open(config.data_dir.join(LAST)).ok()?.take(LAST_BYTES).read_to_end(&mut bytes).ok()?;
    strict::from_json("the last backup", &bytes, bytes.len()).ok()
}

fn failed(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault(format!("backing up {}", path.display()), error)
}

fn refused(out: &Path, why: String) -> Error {
    Error::fault(format!("writing the backup {}", out.display()), why)
}

fn real(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| failed(path, error))
}

/// Where the result will really be.
fn placed(out: &Path) -> Result<PathBuf, Error> {
    if out.symlink_metadata().is_ok() {
        return Err(refused(out, "it exists already and is not overwritten".into()));
    }
    let name = out.file_name().ok_or_else(|| refused(out, "it names no file".into()))?;
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(real(dir)?.join(name))
}

/// Copies the database, and lets go of the copy when it was used.
fn database(
    config: &Config,
    data: &Path,
    used: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let work = Work::make(data.join(format!("{COPY}{}", std::process::id())))?;
    let copy = work.path("database");
    db::snapshot(&config.database_url, &copy).map_err(|error| Error::fault("copying the database", error))?;
    used(&copy)
}

/// The name of the database in the archive: where it belongs, if that is in the data directory.
fn database_name(config: &Config, data: &Path) -> Result<String, Error> {
    let url = DbUrl::parse(&config.database_url)
        .map_err(|error| Error::fault("reading the database's address", error))?;
    let DbUrl::Sqlite(path) = url else { return Ok(POSTGRESQL.into()) };
    match real(&path)?.strip_prefix(data) {
        Ok(inside) => named(DATA, inside),
        Err(_) => Ok(SQLITE.into()),
    }
}

fn named(before: &str, path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\\']));
    let text =
        text.ok_or_else(|| failed(path, "its name cannot be written into a list of files; rename it"))?;
    Ok(format!("{before}{text}"))
}

/// Names in the archive and where they are, but for the database's own files.
fn files_of(config: &Config, data: &Path, database: &str) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut all = BTreeMap::new();
    walk(data, data, &mut all)?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        all.remove(&format!("{database}{suffix}"));
    }
    let settings = [
        ("people.cert", &config.people.cert),
        ("people.key", &config.people.key),
        ("agents.cert", &config.agents.cert),
        ("agents.key", &config.agents.key),
        ("agents.ca_cert", &config.ca_cert),
        ("agents.ca_key", &config.ca_key),
        ("keys.online", &config.online_key),
        ("keys.log", &config.log_key),
    ];
    let proxied = config.proxy.as_ref().and_then(|proxy| proxy.tls.as_ref());
    let proxied = proxied.map(|(cert, key)| [("proxy.cert", cert), ("proxy.key", key)]);
    for (setting, path) in settings.into_iter().chain(proxied.into_iter().flatten()) {
        // Whether it is a link into the data directory or out of it: what is missing is an error, what is there is there once.
        let there = real(path)?;
        let named = std::path::absolute(path).map_err(|error| failed(path, error))?;
        if !named.starts_with(&config.data_dir) && !there.starts_with(data) {
            all.insert(format!("{OUTSIDE}{setting}"), path.clone());
        }
    }
    Ok(all)
}

/// Regular files below `dir`, and links to such, but for copies of the database that other backups make or left behind.
fn walk(data: &Path, dir: &Path, all: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
        let path = entry.map_err(|error| failed(dir, error))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(COPY)) {
            continue;
        }
        let meta = match path.metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, error)),
        };
        if path.is_dir() && !path.is_symlink() {
            walk(data, &path, all)?;
        } else if meta.is_file() {
            let inside = path.strip_prefix(data).map_err(|error| failed(&path, error))?;
            all.insert(named(DATA, inside)?, path);
        }
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A directory of one's own, gone when this is dropped.
struct Work(PathBuf);

impl Work {
    fn make(dir: PathBuf) -> Result<Self, Error> {
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| failed(&dir, error))?;
        Ok(Self(dir))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "left behind by a backup");
        }
    }
}

type Encrypted = age::stream::StreamWriter<BufWriter<File>>;

struct Archive {
    path: PathBuf,
    tar: tar::Builder<Encrypted>,
    sums: Vec<(Digest, String)>,
}

impl Archive {
    fn create(path: &Path, recipient: &Recipient) -> Result<Self, Error> {
        let key = recipient.as_str().parse::<age::x25519::Recipient>();
        let key = key.map_err(|why| failed(path, format!("{recipient} is no age recipient: {why}")))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = BufWriter::with_capacity(1 << 16, file.map_err(|error| failed(path, error))?);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&key as &dyn age::Recipient));
        let encryptor = encryptor.map_err(|error| failed(path, error.to_string()))?;
        let stream = encryptor.wrap_output(file).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.into(), tar: tar::Builder::new(stream), sums: Vec::new() })
    }

    /// As long as it is now; one that is gone since it was listed was of no use to the copied database either.
    fn file(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with(DATA) => return Ok(()),
            Err(error) => return Err(failed(path, error)),
        };
        let length = file.metadata().map_err(|error| failed(path, error))?.len();
        let mut read = Summed { inner: file.take(length), sum: Hasher::default(), count: 0 };
        append(&mut self.tar, name, length, &mut read).map_err(|error| failed(path, error))?;
        if read.count != length {
            return Err(failed(path, "it became shorter while it was read; try again"));
        }
        self.sums.push((read.sum.finish(), name.into()));
        Ok(())
    }

    /// Writes the list of files, makes everything durable, and says how many files and bytes there are.
    fn finish(mut self) -> Result<(usize, u64), Error> {
        let list: String = self.sums.iter().map(|(sum, name)| format!("{}  {name}\n", sum.hex())).collect();
        let path = self.path;
        let failed = |error: io::Error| failed(&path, error);
        append(&mut self.tar, SUMS, list.len() as u64, list.as_bytes()).map_err(failed)?;
        let written = self.tar.into_inner().and_then(Encrypted::finish).map_err(failed)?;
        let file = written.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok((self.sums.len(), file.metadata().map_err(failed)?.len()))
    }
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, length: u64, from: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o600);
    tar.append_data(&mut header, name, from)
}

/// Sums what is read.
struct Summed<R> {
    inner: R,
    sum: Hasher,
    count: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(bytes)?;
        self.sum.update(bytes.get(..got).unwrap_or_default());
        self.count += got as u64;
        Ok(got)
    }
}
