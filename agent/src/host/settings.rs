//! Settings of package managers: small texts that are read whole and replaced in one step.

use super::Fault;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The text; empty when there is no such file.
pub fn read(path: &Path) -> Result<String, Fault> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Fault::io(format!("read {}", path.display()))(e)),
    }
}

/// Writes beside `path`, with the permissions of what is there, and gives it its name durably. Makes its directory.
pub fn replace(path: &Path, text: &str) -> Result<(), Fault> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".assent-new");
        let mut file = File::create(&name)?;
        if let Ok(meta) = fs::metadata(path) {
            file.set_permissions(meta.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&name, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(Fault::io(format!("write {}", path.display())))
}
