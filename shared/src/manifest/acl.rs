//! POSIX access control lists (acl(5)): what named accounts may do beside owner, group and everybody.

use super::resource::resource;
use super::values::{AbsolutePath, AccountName, NotAValue, as_written, text_value};
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

text_value!(
    /// One entry in the words of getfacl(1), such as `user:deploy:rwx`.
    AclEntry, "acl-entry", "an entry of an ACL",
    "user:NAME:rwx, group:NAME:r-x, user::rwx, group::r-x, mask::r-x or other::---, with '-' for what is not granted",
    |t| parsed(t).is_some()
);
as_written!(AclEntry);

/// Whom an entry is about, in the order in which entries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclTag {
    /// The owner.
    UserObj,
    /// A named user.
    User,
    /// The owning group.
    GroupObj,
    /// A named group.
    Group,
    /// The most that all but the owner and everybody else may do.
    Mask,
    /// Everybody else.
    Other,
}

fn parsed(text: &str) -> Option<(AclTag, &str, u8)> {
    let mut fields = text.split(':');
    let (kind, name, perms) = (fields.next()?, fields.next()?, fields.next()?);
    let tag = match (kind, name.is_empty()) {
        ("user", true) => AclTag::UserObj,
        ("user", false) => AclTag::User,
        ("group", true) => AclTag::GroupObj,
        ("group", false) => AclTag::Group,
        ("mask", true) => AclTag::Mask,
        ("other", true) => AclTag::Other,
        _ => return None,
    };
    if fields.next().is_some()
        || perms.len() != 3
        || !(name.is_empty() || name.parse::<AccountName>().is_ok())
    {
        return None;
    }
    let bit = |(given, granted): (char, char)| match given {
        '-' => Some(0),
        c if c == granted => Some(1),
        _ => None,
    };
    let bits = perms.chars().zip("rwx".chars()).map(bit).try_fold(0, |all, one| Some(all << 1 | one?))?;
    Some((tag, name, bits))
}

impl AclEntry {
    /// Whom it is about, the name of the account if it names one, and permissions as in a mode (4 read, 2 write,
    /// 1 execute).
    pub fn parts(&self) -> (AclTag, &str, u8) {
        // A value of this type was parsed before.
        parsed(self.as_str()).unwrap_or((AclTag::Other, "", 0))
    }
}

resource! {
    /// Entries of the POSIX ACLs of a file or directory. Entries that are not listed stay as they are, unless purged. The
    /// mask is what all named entries and the group need together, unless it is listed.
    #[schemars = "Acl"]
    #[derive(PartialEq, Eq)]
    struct Acl {
        /// Absolute path of the file or directory; no link.
        pub path: AbsolutePath,
        /// Entries of the ACL itself, such as `user:deploy:rwx` or `group:ops:r-x`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub access: Vec<AclEntry>,
        /// Entries that whatever is made in this directory begins with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub default: Vec<AclEntry>,
        /// True removes named accounts that are not listed, and the default ACL where none of it is listed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub purge: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_getfacl_writes_them() {
        for (text, parts) in [
            ("user::rwx", (AclTag::UserObj, "", 7)),
            ("user:deploy:rw-", (AclTag::User, "deploy", 6)),
            ("group:_ops:--x", (AclTag::Group, "_ops", 1)),
            ("mask::r--", (AclTag::Mask, "", 4)),
            ("other::---", (AclTag::Other, "", 0)),
        ] {
            assert_eq!(text.parse::<AclEntry>().unwrap().parts(), parts);
        }
        for bad in [
            "",
            "user:deploy",
            "user:deploy:7",
            "user:deploy:rwX",
            "user:deploy:wrx",
            "user:deploy:rw",
            "user:deploy:rwx:",
            "u:deploy:rwx",
            "mask:deploy:rwx",
            "other:x:rwx",
            "user:De ploy:rwx",
            "default:user::rwx",
            "user:0:rwx",
        ] {
            assert!(bad.parse::<AclEntry>().is_err(), "{bad}");
        }
    }
}
