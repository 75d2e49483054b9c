//! Secrets for the host of the tests, encrypted as the command does it, and for nobody there.

use age::armor::{ArmoredWriter, Format};
use agent::disk::Disk;
use agent::host::fake::{FakeDisk, Power};
use agent::vault::Vault;
use shared::ids::{AgentId, SiteId};
use shared::secret::{Opened, Purpose, Seal};
use std::io::Write;
use std::path::Path;
use zeroize::Zeroizing;

/// The host's own key and that of another host.
pub const OWN: &str = "AGE-SECRET-KEY-1HTMY7X5PZ3YZQNSHVL7S2S3V66V7YHTCVUCGCG4QR7V3TH3RWN2SZ0VE5J";
pub const OTHER: &str = "AGE-SECRET-KEY-1C8LRTKMKHAHJ7ZHSPY0P0X6Z9DMFXDKHU8JVHWLFD2LCQF86VRRSHZVGF6";

/// The vault of a host with the key [`OWN`].
pub fn vault(site: &SiteId, agent: AgentId) -> Vault {
    let mut disk = FakeDisk::new(Power::default());
    disk.write(Path::new("/state/secret.key"), OWN.as_bytes()).unwrap();
    Vault::load(Path::new("/state"), &disk, site, agent).unwrap()
}

/// A value for the manifest `main/<manifest>` of the test site that the owners of these keys can open.
pub fn sealed(keys: &[&str], manifest: &str, value: &[u8]) -> String {
    sealed_for("00112233aabbccdd", keys, manifest, value)
}

pub fn sealed_for(site: &str, keys: &[&str], manifest: &str, value: &[u8]) -> String {
    let purpose = Purpose {
        site: site.parse().unwrap(),
        team: "main".parse().unwrap(),
        manifest: manifest.parse().unwrap(),
    };
    // A fixed key of digests: the tests compare plans.
    let opened = Opened { purpose, seal: Seal::new([7; 32]), value: Zeroizing::new(value.to_vec()) };
    encrypted(keys, &opened.to_bytes())
}

pub fn encrypted(keys: &[&str], bytes: &[u8]) -> String {
    let recipients: Vec<_> =
        keys.iter().map(|key| key.parse::<age::x25519::Identity>().unwrap().to_public()).collect();
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap();
    let mut writer = encryptor.wrap_output(armored).unwrap();
    writer.write_all(bytes).unwrap();
    String::from_utf8(writer.finish().and_then(ArmoredWriter::finish).unwrap()).unwrap()
}
