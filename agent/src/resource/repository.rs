//! Sources of packages: a keyring named by its contents, and the source that believes this key only.

use super::file::{Content, Want};
use super::parts::Part;
use super::wanted::Sight;
use super::{refuse, units};
use crate::host::Host;
use shared::manifest::{AccountName, Mode, PackageRepository};
use shared::refusal::Refused;
use shared::version::Order;

/// The keyring comes before the source that names it; the one that an earlier key had goes last.
///
/// # Errors
/// The machine's, as a reason not to go on.
pub(super) fn wanted<'a, H: Host>(
    own: &'a PackageRepository,
    sight: &Sight<'_, H>,
) -> Result<Vec<Part<'a>>, Refused> {
    if sight.host.packager().order() == Order::Rpm {
        return Err(refuse(format!(
            "package_repository:{} is a source of apt, which this host has not; bring its .repo file as a file below \
             /etc/yum.repos.d or /etc/zypp/repos.d, and its key with it",
            own.name
        )));
    }
    let path = own.path();
    let there = sight.bytes(&path)?;
    let old = there.as_deref().and_then(|bytes| keyring_of(own, bytes));
    let mut parts = Vec::new();
    let mut new = None;
    match &own.source {
        Some(source) => {
            let keyring = own.keyring(&source.key);
            parts.extend(units::missing(PackageRepository::KEYRINGS, sight)?);
            parts.push(file(keyring.clone(), Content::Bytes(source.key.as_str().as_bytes().into()), sight));
            let text = source.text(&sight.host.outside(&keyring));
            parts.push(file(path, Content::Bytes(text.into_bytes().into()), sight));
            new = Some(keyring);
        }
        None => parts.push(Part::File(Want::plain(path.into(), Content::Absent))),
    }
    if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
        parts.push(Part::File(Want::plain(old.into(), Content::Absent)));
    }
    Ok(parts)
}

/// apt reads keyrings as another user, so they are readable by all.
fn file<'a, H: Host>(path: String, content: Content<'a>, sight: &Sight<'_, H>) -> Part<'a> {
    let root = || "root".parse::<AccountName>().ok().filter(|_| sight.host.default_owner() == (0, 0));
    Part::File(Want {
        owner: root(),
        group: root(),
        mode: Some(Mode::of_bits(0o644)),
        ..Want::plain(path.into(), content)
    })
}

/// The keyring that the source names now, if it is one of this resource.
fn keyring_of(own: &PackageRepository, source: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(source);
    let signed_by = text.lines().find_map(|line| line.strip_prefix("Signed-By:"))?.trim();
    let at = signed_by.find(&own.keyring_prefix())?;
    let keyring = &signed_by[at..];
    let name = keyring.strip_prefix(&own.keyring_prefix())?;
    (!name.contains('/')).then(|| keyring.to_owned())
}
