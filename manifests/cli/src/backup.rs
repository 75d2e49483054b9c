//! `assent backup …`: the recovery key on paper also opens backups of the server.
//!
//! The recovery key signs; an X25519 key is derived from it, so that one print-out is enough. It is typed here, never on the
//! server. Never: trust in what a backup holds; whoever has the public key can write one.

use crate::error::{Context as _, Done, Failure};
use crate::{files, key, term};
use age::x25519::{Identity, Recipient};
use bech32::{Bech32, Hrp};
use shared::backup::{SUMS, SUMS_BYTES};
use shared::digest::{Digest, Hasher};
use shared::keys::SigningKey;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};
use zeroize::Zeroizing;

/// The key that opens backups: SHA-256 over a label and the seed of the recovery key, as an age key.
fn identity(recovery: &SigningKey) -> Done<Identity> {
    let failed = "the key of backups cannot be derived";
    let secret = Zeroizing::new(Digest::of_parts(&[b"assent backup key 1", &*recovery.seed()]).0);
    let hrp = Hrp::parse("age-secret-key-").or_fault(failed)?;
    let text = Zeroizing::new(bech32::encode_upper::<Bech32>(hrp, &*secret).or_fault(failed)?);
    text.parse().map_err(|why| Failure::fault(failed).why(why))
}

/// For whom the server encrypts its backups.
pub fn recipient_of(recovery: &SigningKey) -> Done<Recipient> {
    Ok(identity(recovery)?.to_public())
}

/// Prints it, for the server's configuration.
pub fn recipient(from: Option<&Path>) -> Done {
    let recipient = recipient_of(&key::typed(from)?)?;
    term::note("the line for the server's configuration, below [backup]:\n");
    term::print(&format!("recipient = \"{recipient}\"\n"))
}

/// Reads a backup to its end and compares every file with its list; writes the files into a new directory, if one is given.
pub fn open(backup: &Path, out: Option<&Path>, from: Option<&Path>) -> Done {
    let shown = backup.display();
    let file = File::open(backup).or_usage(format!("{shown} cannot be read"))?;
    let key = identity(&key::typed(from)?)?;
    let damaged = || Failure::refused(format!("{shown} is no backup, or damaged"));
    let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(1 << 16, file))
        .map_err(|why| damaged().why(why))?;
    let reader = match decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys) => {
            return Err(Failure::refused(format!("{shown} was not made for this recovery key"))
                .remedy("use the print-out of the site and time of the backup"));
        }
        Err(why) => return Err(damaged().why(why)),
    };
    if let Some(dir) = out {
        files::make_dir(dir)?;
    }
    let (count, bytes) = unpack(reader, out).map_err(|failure| match failure.exit_code() {
        1 => damaged().why(failure.why.unwrap_or(failure.message)),
        _ => failure,
    })?;
    term::print(&match out {
        None => format!("{shown} can be opened and is whole: {count} files, {bytes} bytes\n"),
        Some(dir) => format!(
            "{dir}: {count} files, {bytes} bytes, all as the list in the backup says\n\
             next, on the new server:\n  \
             put {dir}/data where {dir}/server.toml says data_dir, for the server's user alone\n  \
             database.pgdump, if there is one: pg_restore --no-owner --dbname DATABASE database.pgdump\n  \
             files in {dir}/outside go where the settings of their names say\n  \
             assent-server restored --config FILE; start it; then, here: assent site restore\n",
            dir = dir.display()
        ),
    })
}

/// Number and size of the files.
fn unpack(reader: impl Read, out: Option<&Path>) -> Done<(usize, u64)> {
    let bad = |why: &str| Failure::refused("the archive is not one of ours").why(why);
    let (mut archive, mut sums, mut bytes) = (tar::Archive::new(reader), String::new(), 0);
    let mut listed = None;
    for entry in archive.entries().or_refuse("the archive cannot be read")? {
        let mut entry = entry.or_refuse("the archive breaks off")?;
        if listed.is_some() || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(bad("something else than files, or files behind the list"));
        }
        let name = entry.path().or_refuse("a name cannot be read")?.into_owned();
        let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
        let text = name.to_str().filter(|text| plain && !text.contains('\n'));
        let text = text.ok_or_else(|| bad("a name leads out of the directory"))?;
        if text == SUMS {
            let mut list = String::new();
            let read = entry.take(SUMS_BYTES as u64).read_to_string(&mut list);
            read.or_refuse("the list of files cannot be read")?;
            listed = Some(list);
            continue;
        }
        let (sum, length) = match out {
            Some(dir) => copy(&mut entry, &mut create(dir, &name)?)?,
            None => copy(&mut entry, &mut std::io::sink())?,
        };
        bytes += length;
        sums.push_str(&format!("{}  {text}\n", sum.hex()));
        if sums.len() > SUMS_BYTES {
            return Err(bad("it has too many files"));
        }
    }
    match listed {
        Some(list) if list == sums => Ok((sums.lines().count(), bytes)),
        Some(_) => Err(bad("a file differs from the list in the backup")),
        None => Err(bad("the list of files is missing: it breaks off")),
    }
}

fn create(dir: &Path, name: &Path) -> Done<File> {
    let path = dir.join(name);
    let failed = || format!("could not write {}", path.display());
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).or_fault(failed())?;
    }
    // Never through a link, never twice.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).or_fault(failed())?;
    files::sync_parent(&path)?;
    Ok(file)
}

/// Durable at its end, if it is a file.
fn copy(from: &mut impl Read, to: &mut impl Sink) -> Done<(Digest, u64)> {
    let (mut sum, mut length, mut piece) = (Hasher::default(), 0, vec![0; 1 << 16]);
    loop {
        let got = from.read(&mut piece).or_refuse("the archive breaks off")?;
        let Some(bytes) = piece.get(..got).filter(|bytes| !bytes.is_empty()) else { break };
        sum.update(bytes);
        length += got as u64;
        to.write_all(bytes).or_fault("the opened backup could not be written")?;
    }
    to.finish().or_fault("the opened backup could not be made durable")?;
    Ok((sum.finish(), length))
}

trait Sink: Write {
    fn finish(&mut self) -> std::io::Result<()>;
}

impl Sink for File {
    fn finish(&mut self) -> std::io::Result<()> {
        self.sync_all()
    }
}

impl Sink for std::io::Sink {
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::backup::CONFIG;

    /// Old backups must stay readable: another derivation needs another label and a second try.
    #[test]
    fn the_recipient_of_a_recovery_key_stays_the_same() {
        let recipient = recipient_of(&SigningKey::from_seed(&[7; 32])).unwrap().to_string();
        assert_eq!(recipient, "age13wzt9ax5n3x405fwmx3phz73hejpj6h5aswmzyqd4ux0c27lk56s6ad2yy");
        assert_ne!(recipient_of(&SigningKey::from_seed(&[8; 32])).unwrap().to_string(), recipient);
        assert!(
            recipient.parse::<shared::secret::Recipient>().is_ok(),
            "the server's configuration takes it"
        );
    }

    fn archive(members: &[(&str, &[u8], tar::EntryType)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes, kind) in members {
            let mut header = tar::Header::new_gnu();
            // Not through the crate's own checks: another writer has none.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn only_whole_archives_of_plain_files_are_unpacked() {
        use tar::EntryType::{Regular, Symlink};
        let dir = tempfile::tempdir().unwrap();
        let list = format!("{}  {CONFIG}\n", Digest::of(b"a = 1").hex());
        let config = (CONFIG, &b"a = 1"[..], Regular);
        let sums = (SUMS, list.as_bytes(), Regular);
        let good = archive(&[config, sums]);
        assert_eq!(unpack(&good[..], None).unwrap(), (1, 5));
        assert_eq!(unpack(&good[..], Some(dir.path())).unwrap(), (1, 5));
        assert_eq!(fs::read(dir.path().join(CONFIG)).unwrap(), b"a = 1");

        let outside = dir.path().join("outside-of-all");
        let absolute = outside.to_str().unwrap();
        let bad: [(&str, Vec<u8>); 7] = [
            ("no list", archive(&[config])),
            ("another file", archive(&[(CONFIG, b"a = 2", Regular), sums])),
            ("one file more", archive(&[config, ("b", b"", Regular), sums])),
            ("behind the list", archive(&[config, sums, ("b", b"", Regular)])),
            ("upwards", archive(&[("../b", b"x", Regular), sums])),
            ("absolute", archive(&[(absolute, b"x", Regular), sums])),
            ("a link", archive(&[("b", b"", Symlink), sums])),
        ];
        for (what, bytes) in bad {
            let into = dir.path().join("into");
            fs::create_dir(&into).unwrap();
            assert_eq!(unpack(&bytes[..], Some(&into)).unwrap_err().exit_code(), 1, "{what}");
            fs::remove_dir_all(&into).unwrap();
            assert!(!outside.exists() && !dir.path().join("b").exists(), "{what}");
        }
        for length in (0..good.len() - 1024).step_by(97) {
            assert!(unpack(&good[..length], None).is_err(), "cut at {length}");
        }
    }
}
