//! Which files a package has brought, from dpkg's own lists.

use super::Apt;
use crate::host::Fault;
use crate::host::packages::PackageManager;
use std::fs;
use std::io;

/// `/bin/x` and `/usr/bin/x` are one file where `/usr` is merged, and packages name either.
fn merged(path: &str) -> &str {
    const MERGED: [&str; 4] = ["/bin/", "/sbin/", "/lib/", "/lib64/"];
    path.strip_prefix("/usr").filter(|rest| MERGED.iter().any(|dir| rest.starts_with(dir))).unwrap_or(path)
}

/// Whether dpkg's list of the package's files names `path`; the list of a package with several
/// architectures has the architecture in its name.
pub fn ships(apt: &Apt, package: &str, path: &str) -> Result<bool, Fault> {
    let native = format!("{package}:{}", apt.architecture()?);
    for name in [package, native.as_str()] {
        let list = apt.config.dpkg_dir().join("info").join(format!("{name}.list"));
        match fs::read(&list) {
            Ok(bytes) => {
                let path = merged(path).as_bytes();
                return Ok(bytes.split(|b| *b == b'\n').any(|line| {
                    std::str::from_utf8(line).is_ok_and(|line| merged(line).as_bytes() == path)
                }));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Fault::Io { doing: format!("read {}", list.display()), source: e }),
        }
    }
    Ok(false)
}
