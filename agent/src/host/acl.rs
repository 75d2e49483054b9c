//! POSIX access control lists (acl(5)): their meaning, and the form in which the kernel keeps them.
//!
//! Accounts are numbers on the machine and names in plans, so lists are generic over them. Never: what is wanted.

use super::Fault;
use super::files::several_names;
use super::path::Root;
use rustix::fs::{FileType, OFlags, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use shared::manifest::AclTag;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
/// The only version of the form (linux/posix_acl_xattr.h).
const VERSION: u32 = 2;
/// The number of entries that name nobody.
const NOBODY: u32 = u32::MAX;
/// Lists of ordinary files.
const SHORT_BYTES: usize = 512;
/// The kernel's limit for one attribute (XATTR_SIZE_MAX).
const LONG_BYTES: usize = 64 << 10;

/// What one account, or all of a kind, may do: 4 read, 2 write, 1 execute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclEntry<W> {
    pub tag: AclTag,
    /// The named user or group.
    pub who: Option<W>,
    pub perms: u8,
}

/// One list: entries for owner, group and others, perhaps more; sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl<W>(Vec<AclEntry<W>>);

/// The lists of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acls<W> {
    pub access: Acl<W>,
    /// What is made in a directory begins with this list.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub default: Option<Acl<W>>,
}

fn none<W>() -> Option<Acl<W>> {
    None
}

impl<W: Ord + Clone> Acl<W> {
    /// The list that says no more than the mode.
    pub fn of_mode(mode: u32) -> Self {
        let entry = |tag, shift| AclEntry { tag, who: None, perms: bits(mode, shift) };
        Self(vec![entry(AclTag::UserObj, 6), entry(AclTag::GroupObj, 3), entry(AclTag::Other, 0)])
    }

    pub fn entries(&self) -> &[AclEntry<W>] {
        &self.0
    }

    /// The permissions of an entry, if there is one.
    pub fn get(&self, tag: AclTag, who: Option<&W>) -> Option<u8> {
        self.0.iter().find(|entry| entry.tag == tag && entry.who.as_ref() == who).map(|entry| entry.perms)
    }

    /// Sets an entry in its place.
    pub fn set(&mut self, tag: AclTag, who: Option<W>, perms: u8) {
        self.retain(|entry| entry.tag != tag || entry.who != who);
        self.0.push(AclEntry { tag, who, perms });
        self.0.sort();
    }

    pub fn retain(&mut self, keep: impl Fn(&AclEntry<W>) -> bool) {
        self.0.retain(keep);
    }

    fn names_accounts(&self) -> bool {
        self.0.iter().any(|entry| entry.who.is_some())
    }

    /// Whether it says more than a mode can.
    pub fn is_extended(&self) -> bool {
        self.0.len() > 3
    }

    /// The mask as setfacl(1) computes it: all that named accounts and the group may do together; none where no
    /// account is named.
    pub fn compute_mask(&mut self) {
        self.retain(|entry| entry.tag != AclTag::Mask);
        if self.names_accounts() {
            let classed = [AclTag::User, AclTag::GroupObj, AclTag::Group];
            let all = self.0.iter().filter(|entry| classed.contains(&entry.tag));
            let mask = all.fold(0, |mask, entry| mask | entry.perms);
            self.set(AclTag::Mask, None, mask);
        }
    }

    /// What chmod(2) makes of it: the bits of the group are the mask, where there is one.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        let masked = self.get(AclTag::Mask, None).is_some();
        self.set(AclTag::UserObj, None, bits(mode, 6));
        self.set(if masked { AclTag::Mask } else { AclTag::GroupObj }, None, bits(mode, 3));
        self.set(AclTag::Other, None, bits(mode, 0));
        self
    }

    /// The same about accounts that are called otherwise.
    ///
    /// # Errors
    /// Those of `rename`.
    pub fn renamed<V: Ord + Clone, E>(
        &self,
        rename: impl Fn(AclTag, &W) -> Result<V, E>,
    ) -> Result<Acl<V>, E> {
        let one = |entry: &AclEntry<W>| {
            let who = entry.who.as_ref().map(|who| rename(entry.tag, who)).transpose()?;
            Ok(AclEntry { tag: entry.tag, who, perms: entry.perms })
        };
        let mut entries = self.0.iter().map(one).collect::<Result<Vec<_>, E>>()?;
        entries.sort();
        Ok(Acl(entries))
    }
}

impl<W: Ord + Clone> Acls<W> {
    pub fn of_mode(mode: u32) -> Self {
        Self { access: Acl::of_mode(mode), default: None }
    }

    pub fn is_extended(&self) -> bool {
        self.access.is_extended() || self.default.is_some()
    }

    /// What is made with the mode in a directory with these lists.
    #[must_use]
    pub fn hand_down(&self, directory: bool, mode: u32) -> Self {
        let Some(default) = &self.default else { return Self::of_mode(mode) };
        let access = default.clone().with_mode(mode);
        Self { access, default: directory.then(|| default.clone()) }
    }
}

fn bits(mode: u32, shift: u32) -> u8 {
    u8::try_from((mode >> shift) & 7).unwrap_or(0)
}

/// As getfacl(1) writes it, one entry a line.
impl<W: fmt::Display> fmt::Display for AclEntry<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.tag {
            AclTag::UserObj | AclTag::User => "user",
            AclTag::GroupObj | AclTag::Group => "group",
            AclTag::Mask => "mask",
            AclTag::Other => "other",
        };
        write!(f, "{kind}:")?;
        if let Some(who) = &self.who {
            write!(f, "{who}")?;
        }
        let bit = |at: u8, c| if self.perms & at == 0 { '-' } else { c };
        write!(f, ":{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'))
    }
}

impl Acl<u32> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(code(entry.tag).to_le_bytes());
            bytes.extend(u16::from(entry.perms).to_le_bytes());
            bytes.extend(entry.who.unwrap_or(NOBODY).to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let (entries, left) = rest.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !left.is_empty() {
            return None;
        }
        let one = |[t0, t1, p0, p1, id @ ..]: &[u8; 8]| {
            let tag = tag(u16::from_le_bytes([*t0, *t1]))?;
            let perms = u8::try_from(u16::from_le_bytes([*p0, *p1])).ok().filter(|perms| *perms < 8)?;
            let named = matches!(tag, AclTag::User | AclTag::Group);
            Some(AclEntry { tag, who: named.then(|| u32::from_le_bytes(*id)), perms })
        };
        let mut entries = entries.iter().map(one).collect::<Option<Vec<_>>>()?;
        entries.sort();
        Some(Self(entries))
    }
}

/// Tags of linux/posix_acl.h.
const CODES: [(AclTag, u16); 6] = [
    (AclTag::UserObj, 0x01),
    (AclTag::User, 0x02),
    (AclTag::GroupObj, 0x04),
    (AclTag::Group, 0x08),
    (AclTag::Mask, 0x10),
    (AclTag::Other, 0x20),
];

fn code(tag: AclTag) -> u16 {
    CODES.iter().find(|(of, _)| *of == tag).map_or(0, |(_, code)| *code)
}

fn tag(code: u16) -> Option<AclTag> {
    CODES.iter().find(|(_, of)| *of == code).map(|(tag, _)| *tag)
}

/// The lists of the file or directory; `None` when there is none, or its file system has no lists.
pub fn read(root: &Root, path: &str) -> Result<Option<Acls<u32>>, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("read the ACL of {path}"), source: e.into() };
    let fd = match root.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)? {
        Ok(fd) => fd,
        // Nothing, a link, a socket, or not to be read by this account, which then cannot replace it either.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    of(&fd).map_err(Fault::io(format!("read the ACL of {path}")))
}

/// The lists of what is open.
pub fn of(fd: impl AsFd) -> io::Result<Option<Acls<u32>>> {
    let stat = rustix::fs::fstat(&fd)?;
    let directory = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => false,
        FileType::Directory => true,
        _ => return Ok(None),
    };
    let access = match attribute(&fd, ACCESS) {
        Ok(access) => access.unwrap_or_else(|| Acl::of_mode(stat.st_mode)),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::NOTSUP) => return Ok(None),
        Err(e) => return Err(e),
    };
    let default = if directory { attribute(&fd, DEFAULT)? } else { None };
    Ok(Some(Acls { access, default }))
}

/// The list of an open regular file, if it says more than the mode.
pub fn beyond_mode(file: impl AsFd) -> io::Result<Option<Acls<u32>>> {
    match attribute(file, ACCESS) {
        Ok(access) => Ok(access.filter(Acl::is_extended).map(|access| Acls { access, default: None })),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::NOTSUP) => Ok(None),
        Err(e) => Err(e),
    }
}

fn attribute(fd: impl AsFd, name: &str) -> io::Result<Option<Acl<u32>>> {
    for size in [SHORT_BYTES, LONG_BYTES] {
        let mut bytes = vec![0; size];
        let length = match rustix::fs::fgetxattr(&fd, name, bytes.as_mut_slice()) {
            Ok(length) => length,
            Err(Errno::NODATA) => return Ok(None),
            Err(Errno::RANGE) => continue,
            Err(e) => return Err(e.into()),
        };
        let known = bytes.get(..length).and_then(Acl::decode);
        return known.map(Some).ok_or_else(|| io::Error::other("the kernel shows it in an unknown form"));
    }
    Err(Errno::RANGE.into())
}

/// Sets the list of what is open, if it is another one; only where it says more than the mode, or did so.
pub fn keep(fd: impl AsFd, access: &Acl<u32>) -> io::Result<()> {
    match of(&fd)? {
        Some(now) if now.access.is_extended() || access.is_extended() => set(&fd, ACCESS, access),
        _ => Ok(()),
    }
}

fn set(fd: impl AsFd, name: &str, list: &Acl<u32>) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name, &list.encode(), XattrFlags::empty())?)
}

/// Sets both lists. Those of a file with several names are those of all its names, and stay as they are.
pub fn write(root: &Root, path: &str, acls: &Acls<u32>) -> Result<(), Fault> {
    let (dir, name) = root.parent(path)?;
    let fail = || Fault::io(format!("set the ACL of {path}"));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat(&dir, name, flags, rustix::fs::Mode::empty()).map_err(|e| fail()(e.into()))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| fail()(e.into()))?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if !directory && stat.st_nlink > 1 {
        return Err(Fault::Refused(several_names(path, stat.st_nlink)));
    }
    let both = || {
        set(&file, ACCESS, &acls.access)?;
        if directory {
            match &acls.default {
                Some(default) => set(&file, DEFAULT, default)?,
                None => match rustix::fs::fremovexattr(&file, DEFAULT) {
                    Ok(()) | Err(Errno::NODATA) => {}
                    Err(e) => return Err(e.into()),
                },
            }
        }
        Ok(rustix::fs::fsync(&file)?)
    };
    both().map_err(fail())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(AclTag, Option<u32>, u8)]) -> Acl<u32> {
        let mut list = Acl::of_mode(0o640);
        entries.iter().for_each(|(tag, who, perms)| list.set(*tag, *who, *perms));
        list
    }

    #[test]
    fn the_kernels_form_is_written_and_read() {
        let list = list(&[(AclTag::User, Some(33), 7), (AclTag::Mask, None, 7)]);
        let bytes = list.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0200000001000600ffffffff020007002100000004000400ffffffff10000700ffffffff20000000ffffffff"
        );
        assert_eq!(Acl::decode(&bytes), Some(list));
        for bad in [
            &b""[..],
            b"\x02\0\0",
            b"\x03\0\0\0",
            &bytes[..9],
            b"\x02\0\0\0\x40\0\x07\0\0\0\0\0",
            b"\x02\0\0\0\x01\0\x08\0\0\0\0\0",
        ] {
            assert_eq!(Acl::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_mask_is_what_named_accounts_and_the_group_need() {
        let mut some = list(&[(AclTag::User, Some(33), 1), (AclTag::Group, Some(4), 2)]);
        some.compute_mask();
        assert_eq!(some.get(AclTag::Mask, None), Some(7));
        some.retain(|entry| entry.who.is_none());
        some.compute_mask();
        assert_eq!((some.get(AclTag::Mask, None), some.is_extended()), (None, false));
    }

    #[test]
    fn a_mode_is_the_mask_where_there_is_one() {
        let plain = list(&[]).with_mode(0o751);
        assert_eq!(plain, Acl::of_mode(0o751));
        let masked = list(&[(AclTag::User, Some(33), 7), (AclTag::Mask, None, 7)]).with_mode(0o700);
        assert_eq!((masked.get(AclTag::Mask, None), masked.get(AclTag::GroupObj, None)), (Some(0), Some(4)));
        let parent = Acls { access: Acl::of_mode(0o755), default: Some(masked.clone()) };
        let made = parent.hand_down(false, 0o640);
        assert_eq!((made.access, made.default), (masked.clone().with_mode(0o640), None));
        assert_eq!(parent.hand_down(true, 0o750).default, Some(masked));
    }
}
