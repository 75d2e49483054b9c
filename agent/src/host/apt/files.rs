//! Which files a package has brought, from dpkg's own lists.

use super::Apt;
use crate::host::Fault;
use crate::host::packages::{PackageManager, same_path};
use std::fs;
use std::io;

/// Whether dpkg's list of the package's files names `path`; the list of a package with several
/// architectures has the architecture in its name.
pub fn ships(apt: &Apt, package: &str, path: &str) -> Result<bool, Fault> {
    let native = format!("{package}:{}", apt.architecture()?);
    for name in [package, native.as_str()] {
        let list = apt.config.dpkg_dir().join("info").join(format!("{name}.list"));
        match fs::read(&list) {
            Ok(bytes) => {
                return Ok(bytes
                    .split(|b| *b == b'\n')
                    .any(|line| std::str::from_utf8(line).is_ok_and(|line| same_path(line, path))));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Fault::Io { doing: format!("read {}", list.display()), source: e }),
        }
    }
    Ok(false)
}
