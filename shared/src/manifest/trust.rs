//! Certificate authorities that the host trusts.

use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{NotAValue, as_written, made_of, text_value};
use crate::digest::Digest;
use crate::ids::ResourceId;
use crate::strict;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use x509_parser::pem::Pem;

text_value!(
    /// The name of a certificate in the trust store, without `.crt`.
    CertificateName, "certificate-name", "the name of a certificate",
    "1 to 64 of letters, digits, '.', '_' and '-', starting with a letter or digit; .crt is added",
    |t| made_of(t, 64, |c| c.is_ascii_alphanumeric(), b"._-") && !t.ends_with(".crt")
);
as_written!(CertificateName);

/// Longest text of one certificate; real ones have some KiB.
const CERTIFICATE_BYTES: usize = 64 << 10;

/// The certificate of an authority: one PEM block, X.509, with the CA flag.
#[derive(Clone, PartialEq, Eq)]
pub struct CaCertificate {
    text: String,
    facts: Authority,
}

/// What people know an authority by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its distinguished name, such as `CN=Example Root, O=Example`.
    pub subject: String,
    pub not_after: Timestamp,
    /// Of the DER form: the fingerprint that other tools show.
    pub sha256: Digest,
    pub is_ca: bool,
}

impl CaCertificate {
    pub const FORMAT: &'static str = "ca-certificate";

    /// The PEM block with a line break at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn authority(&self) -> &Authority {
        &self.facts
    }
}

impl Authority {
    /// All certificates of a PEM text; blocks that are none are left out.
    pub fn all_of(pem: &[u8]) -> Vec<Self> {
        Pem::iter_from_buffer(pem).map_while(Result::ok).filter_map(|pem| Self::of(&pem)).collect()
    }

    /// Fingerprints of all certificates of a PEM text, without looking into them.
    pub fn fingerprints(pem: &[u8]) -> Vec<Digest> {
        Pem::iter_from_buffer(pem).map_while(Result::ok).map(|pem| Digest::of(&pem.contents)).collect()
    }

    fn of(pem: &Pem) -> Option<Self> {
        let certificate = pem.parse_x509().ok()?;
        // Names of foreign certificates are shown to people.
        let shown = |c: char| if c.is_control() { '?' } else { c };
        Some(Self {
            subject: strict::shorten(
                &certificate.subject().to_string().chars().map(shown).collect::<String>(),
            ),
            not_after: Timestamp(certificate.validity().not_after.timestamp()),
            sha256: Digest::of(&pem.contents),
            is_ca: certificate.is_ca(),
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (valid until {}, sha256 {})", self.subject, self.not_after, self.sha256)
    }
}

impl FromStr for CaCertificate {
    type Err = NotAValue;
    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let bad = |rule| NotAValue { kind: "a CA certificate", rule, text: strict::shorten(text) };
        const BLOCK: &str =
            "one PEM block from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, of at most 64 KiB";
        let block = text.trim();
        let whole = block.starts_with("-----BEGIN CERTIFICATE-----")
            && block.ends_with("-----END CERTIFICATE-----")
            && block.matches("-----BEGIN").count() == 1;
        if !whole || text.len() > CERTIFICATE_BYTES {
            return Err(bad(BLOCK));
        }
        let parsed = Authority::all_of(block.as_bytes());
        let [facts] = parsed.as_slice() else { return Err(bad(BLOCK)) };
        if !facts.is_ca {
            return Err(bad(
                "the certificate of an authority (basic constraints with CA: true), not one that it issued",
            ));
        }
        Ok(Self { text: format!("{block}\n"), facts: facts.clone() })
    }
}

impl fmt::Display for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.facts)
    }
}

strict::text_serde!(CaCertificate);

/// An authority that the host trusts, or does not through this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "CertificateEntry", into = "CertificateEntry")]
pub struct Certificate {
    pub name: CertificateName,
    /// `None`: there is no such file.
    pub content: Option<CaCertificate>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

impl Certificate {
    /// Where update-ca-certificates(8) takes the certificates of administrators from.
    pub const DIRECTORY: &'static str = "/usr/local/share/ca-certificates";

    pub fn path(&self) -> String {
        format!("{}/{}.crt", Self::DIRECTORY, self.name)
    }
}

resource! {
    /// The certificate of an authority that programs of the host trust (Debian's trust store); `content` is required
    /// when present.
    #[schemars = "Certificate", extend("oneOf" = [
        { "required": ["content"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct CertificateEntry {
        /// Name of the file below `/usr/local/share/ca-certificates`; `.crt` is added.
        name: CertificateName,
        /// `absent` removes the file; the authority is then trusted no more, unless another file names it.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The certificate in PEM form; it must be one of an authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<CaCertificate>,
    }
}

impl TryFrom<CertificateEntry> for Certificate {
    type Error = Contradiction;
    fn try_from(text: CertificateEntry) -> Result<Self, Contradiction> {
        let CertificateEntry { name, state, content, requires, on_change, satisfies } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("certificate {name}"), why));
        match (state, &content) {
            (Presence::Present, Some(_)) | (Presence::Absent, None) => {
                Ok(Self { name, content, requires, on_change, satisfies })
            }
            (Presence::Present, None) => {
                refuse("has no content; a certificate in PEM form, or state: absent")
            }
            (Presence::Absent, Some(_)) => {
                refuse("is absent, so content says nothing; only name with state: absent")
            }
        }
    }
}

impl From<Certificate> for CertificateEntry {
    fn from(own: Certificate) -> Self {
        let Certificate { name, content, requires, on_change, satisfies } = own;
        Self { name, state: Presence::of(content.is_some()), content, requires, on_change, satisfies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = include_str!("golden/root.pem");
    const LEAF: &str = include_str!("golden/leaf.pem");

    #[test]
    fn only_one_certificate_of_an_authority_is_taken() {
        let root: CaCertificate = format!("\n{ROOT}\n\n").parse().unwrap();
        assert_eq!(root.as_str(), ROOT);
        assert_eq!(
            root.authority().to_string(),
            "O=Example, CN=Example Root (valid until 2036-11-17T14:51:52Z, sha256 1b16a36eedd7b9d85902ea270d0549fac69a1175ade9c645c8c7206cd4004b70)"
        );
        for (bad, told) in [
            ("", "one PEM block"),
            (LEAF, "CA: true"),
            (&format!("{ROOT}{ROOT}"), "one PEM block"),
            (&format!("# root\n{ROOT}"), "one PEM block"),
            (&ROOT.replace('M', "N"), "one PEM block"),
            (&ROOT.replace("CERTIFICATE", "PRIVATE KEY"), "one PEM block"),
        ] {
            let refused = bad.parse::<CaCertificate>().unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        let both = Authority::fingerprints(format!("# x\n{ROOT}{LEAF}").as_bytes());
        assert_eq!((both.len(), both[0]), (2, root.authority().sha256));
    }
}
