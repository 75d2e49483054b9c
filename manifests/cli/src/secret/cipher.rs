//! age files for X25519 keys, and for the passphrase of the person's own one.

use crate::error::{Context as _, Done, Failure};
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use shared::limits::SECRET_BYTES;
use shared::secret::{Opened, Recipient, Secret};
use std::io::{Read as _, Write as _};
use zeroize::Zeroizing;

/// What stands before a value.
const HEAD_BYTES: usize = 1 << 10;

/// Encrypts for all of these keys.
pub fn encrypt(opened: &Opened, to: &[Recipient]) -> Done<Secret> {
    let keys = to.iter().map(|recipient| {
        let key = recipient.as_str().parse::<age::x25519::Recipient>();
        key.map_err(|why| Failure::refused(format!("{recipient} is no key for secrets")).why(why))
    });
    let keys = keys.collect::<Done<Vec<_>>>()?;
    let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient));
    let armored = write(encryptor.or_refuse("nobody is to read the value")?, &opened.to_bytes())?;
    armored.parse().or_fault("the encrypted value is too large")
}

/// Opens with one key; `None` when the value was not encrypted for it.
pub fn decrypt(secret: &Secret, key: &age::x25519::Identity) -> Done<Option<Opened>> {
    let Some(bytes) = read(secret.as_str(), key)? else { return Ok(None) };
    Opened::parse(&bytes).map(Some).or_refuse("this secret cannot be used")
}

/// Seals a text with a passphrase.
pub fn seal(text: &str, passphrase: &str) -> Done<String> {
    let passphrase = SecretString::from(passphrase.to_owned());
    write(age::Encryptor::with_user_passphrase(passphrase), text.as_bytes())
}

/// Opens a text that [`seal`] made; `None` for another passphrase.
pub fn unseal(armored: &str, passphrase: &str) -> Done<Option<Zeroizing<Vec<u8>>>> {
    read(armored, &age::scrypt::Identity::new(SecretString::from(passphrase.to_owned())))
}

fn write(encryptor: age::Encryptor, bytes: &[u8]) -> Done<String> {
    let failed = "the value could not be encrypted";
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).or_fault(failed)?;
    let mut writer = encryptor.wrap_output(armored).or_fault(failed)?;
    writer.write_all(bytes).or_fault(failed)?;
    let bytes = writer.finish().and_then(ArmoredWriter::finish).or_fault(failed)?;
    String::from_utf8(bytes).or_fault(failed)
}

fn read(armored: &str, key: &dyn age::Identity) -> Done<Option<Zeroizing<Vec<u8>>>> {
    let damaged = "the encrypted value is damaged";
    let decryptor =
        age::Decryptor::new_buffered(ArmoredReader::new(armored.as_bytes())).or_refuse(damaged)?;
    let reader = match decryptor.decrypt(std::iter::once(key)) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed) => return Ok(None),
        Err(why) => return Err(Failure::refused(damaged).why(why)),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES + HEAD_BYTES));
    let limit = bytes.capacity() as u64;
    let got = reader.take(limit + 1).read_to_end(&mut bytes).or_refuse(damaged)?;
    if got as u64 > limit { Err(Failure::refused(damaged).why("it is too large")) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::secret::{Purpose, Seal};

    fn opened() -> Opened {
        Opened {
            purpose: Purpose {
                site: "00112233aabbccdd".parse().unwrap(),
                team: "main".parse().unwrap(),
                manifest: "web".parse().unwrap(),
            },
            seal: Seal::new([3; 32]),
            value: Zeroizing::new(b"47113".to_vec()),
        }
    }

    #[test]
    fn every_recipient_reads_it_and_nobody_else() {
        let [one, two, other] = [(); 3].map(|()| age::x25519::Identity::generate());
        let to: Vec<Recipient> = [&one, &two].map(|key| key.to_public().to_string().parse().unwrap()).into();
        let secret = encrypt(&opened(), &to).unwrap();
        assert!(!secret.as_str().contains("47113"));
        for key in [&one, &two] {
            let read = decrypt(&secret, key).unwrap().unwrap();
            assert_eq!(
                (read.purpose, &read.value[..], read.seal),
                (opened().purpose, &b"47113"[..], opened().seal)
            );
        }
        assert!(decrypt(&secret, &other).unwrap().is_none());
        assert_ne!(encrypt(&opened(), &to).unwrap(), secret, "no two ciphertexts are the same");
        assert_eq!(encrypt(&opened(), &[]).unwrap_err().exit_code(), 1);
    }

    /// The tool of the format's author reads what we write, and we what it writes.
    #[test]
    fn the_age_tool_reads_it() {
        use age::secrecy::ExposeSecret as _;
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        let (key, path) = (age::x25519::Identity::generate(), dir.path().join("key"));
        std::fs::write(&path, key.to_string().expose_secret()).unwrap();
        let recipient: Recipient = key.to_public().to_string().parse().unwrap();
        let pipe = |arguments: &[&str], input: &[u8]| {
            let mut child = Command::new("age")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the package age is installed");
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "age {arguments:?}");
            output.stdout
        };
        let secret = encrypt(&opened(), std::slice::from_ref(&recipient)).unwrap();
        let read = pipe(&["-d", "-i", path.to_str().unwrap()], secret.as_str().as_bytes());
        assert_eq!(read, *opened().to_bytes());
        let theirs = pipe(&["-a", "-r", recipient.as_str()], &opened().to_bytes());
        let theirs: Secret = String::from_utf8(theirs).unwrap().parse().unwrap();
        assert_eq!(&decrypt(&theirs, &key).unwrap().unwrap().value[..], b"47113");
    }

    #[test]
    fn a_passphrase_seals_and_another_one_does_not_open() {
        let sealed = seal("the key", "correct horse").unwrap();
        assert_eq!(unseal(&sealed, "correct horse").unwrap().unwrap().as_slice(), b"the key");
        assert!(unseal(&sealed, "wrong horse").unwrap().is_none());
    }
}
