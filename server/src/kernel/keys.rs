//! The server's own signing keys as files: the one in use, and beside it, after a restore, the one that is to follow.

use super::error::Error;
use super::files;
use shared::keys::{PublicKey, SigningKey};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the key, or certificate, that follows the one in `path` is.
pub fn following(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// The key in `path`, then the one that is to follow it, if there is one.
pub fn load(path: &Path) -> Result<Vec<SigningKey>, Error> {
    let mut keys = vec![read(path)?.ok_or_else(|| fault("loading", path, "there is no such file"))?];
    keys.extend(read(&following(path))?);
    Ok(keys)
}

fn read(path: &Path) -> Result<Option<SigningKey>, Error> {
    let pem = match std::fs::read_to_string(path) {
        Ok(pem) => Zeroizing::new(pem),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault("loading", path, error)),
    };
    SigningKey::from_pem(&pem, None).map(Some).map_err(|error| fault("loading", path, error))
}

/// Makes the key that is to follow the one in `path`, if none waits already; its public half.
///
/// A key that followed earlier and is `in_use` now takes the first place before, so that none is in use twice.
pub fn make_next(path: &Path, in_use: impl Fn(&PublicKey) -> bool) -> Result<PublicKey, Error> {
    let next = following(path);
    if let Some(key) = read(&next)? {
        if !in_use(&key.public()) {
            return Ok(key.public());
        }
        files::rename(&next, path).map_err(|error| fault("replacing", path, error))?;
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| fault("drawing", &next, error))?;
    let key = SigningKey::from_seed(&seed);
    let pem = key.to_pem().map_err(|error| fault("writing", &next, error))?;
    // Whole or not at all: half a key would keep the server from starting.
    let written = files::replace(&next, pem.as_bytes(), Permissions::from_mode(0o600));
    written.map_err(|error| fault("writing", &next, error))?;
    Ok(key.public())
}

fn fault(doing: &str, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault(format!("{doing} the key {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_until_it_is_in_use_and_then_makes_room_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("online.key");
        let first = SigningKey::from_seed(&Zeroizing::new([1; 32]));
        std::fs::write(&path, first.to_pem().unwrap().as_bytes()).unwrap();
        let second = make_next(&path, |_| false).unwrap();
        assert_eq!(make_next(&path, |_| false).unwrap(), second, "asked again, the same waits");
        let publics = |keys: Vec<SigningKey>| keys.iter().map(SigningKey::public).collect::<Vec<_>>();
        assert_eq!(publics(load(&path).unwrap()), [first.public(), second]);
        let third = make_next(&path, |key| *key == second).unwrap();
        assert_ne!(third, second);
        assert_eq!(publics(load(&path).unwrap()), [second, third]);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(following(&path)).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(following(&path), "half a k").unwrap();
        let damaged = load(&path).err().unwrap().chain();
        assert!(damaged.contains("online.key.next"), "{damaged}");
    }
}
