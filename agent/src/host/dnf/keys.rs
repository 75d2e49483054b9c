//! Signatures of package files, by the keys that the host has: those of its database, or those that the settings of
//! a repository name as files. Nothing is imported into the host.

use crate::host::Fault;
use crate::host::process::Exec;
use crate::host::rpm::place::{LOOK, Place};
use std::fs;
use std::path::Path;

/// Both a good signature and good digests are demanded; by itself rpm is content with either.
const STRICT: [&str; 2] = ["--define", "_pkgverify_level all"];

/// # Errors
/// The file is not signed by a key that counts; rpm's words are part of the message.
pub fn check(place: &Place, file: &Path, keys: &[String], repo: &str) -> Result<(), Fault> {
    let mut host: Vec<String> = Vec::new();
    if !place.is_whole() {
        host.extend(["--root".to_owned(), place.root().display().to_string()]);
    }
    let first = verify(place, &host, file)?;
    if first.is_none() {
        return Ok(());
    }
    let own = place.dir().join("keys");
    let files: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix("file://")).collect();
    let dbpath = ["--dbpath".to_owned(), own.display().to_string()];
    if own.exists() {
        fs::remove_dir_all(&own).map_err(Fault::io(format!("empty {}", own.display())))?;
    }
    fs::create_dir_all(&own).map_err(Fault::io(format!("make {}", own.display())))?;
    for key in &files {
        let arguments = dbpath.iter().cloned().chain(["--import".to_owned(), (*key).to_owned()]);
        place.exec(Exec::new("rpmkeys", arguments).timeout(LOOK))?.success("rpmkeys --import")?;
    }
    let second = if files.is_empty() { first } else { verify(place, &dbpath, file)? };
    second.map_or(Ok(()), |why| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Err(Fault::Refused(format!("{name} is not signed by a key that this host has for {repo}: {why}")))
    })
}

/// Why the file does not pass.
fn verify(place: &Place, options: &[String], file: &Path) -> Result<Option<String>, Fault> {
    let mut arguments = options.to_vec();
    arguments.extend(STRICT.map(str::to_owned));
    arguments.extend(["--checksig".to_owned(), "--verbose".into(), file.display().to_string()]);
    let ran = place.exec(Exec::new("rpmkeys", arguments).timeout(LOOK))?;
    if ran.code == Some(0) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let lines: Vec<&str> =
        text.lines().skip(1).map(str::trim).filter(|line| !line.ends_with(": OK")).collect();
    Ok(Some(if lines.is_empty() { ran.tail() } else { lines.join("; ") }))
}
