//! Signatures of package files, by the keys that the host has: those of its database, or those that the settings of
//! a repository name as files. Nothing is imported into the host.

use crate::host::Fault;
use crate::host::process::Exec;
use crate::host::rpm::place::{LISTING_BYTES, LOOK, Place};
use crate::host::store;
use std::path::Path;

/// Both a good signature and good digests are demanded; by itself rpm is content with either.
const STRICT: [&str; 2] = ["--define", "_pkgverify_level all"];

/// # Errors
/// One of the files is not signed by a key that counts; rpm's words are part of the message.
pub fn check(place: &Place, files: &[&Path], keys: &[String], repo: &str) -> Result<(), Fault> {
    let mut host: Vec<String> = Vec::new();
    if !place.is_whole() {
        host.extend(["--root".to_owned(), place.root().display().to_string()]);
    }
    if verify(place, &host, files)?.is_none() {
        return Ok(());
    }
    let own = place.dir().join("keys");
    store::emptied(&own)?;
    let dbpath = ["--dbpath".to_owned(), own.display().to_string()];
    for key in keys.iter().filter_map(|key| key.strip_prefix("file://")) {
        let arguments = dbpath.iter().cloned().chain(["--import".to_owned(), key.to_owned()]);
        place.exec(Exec::new("rpmkeys", arguments).timeout(LOOK))?.success("rpmkeys --import")?;
    }
    if verify(place, &dbpath, files)?.is_none() {
        return Ok(());
    }
    // Which one it is, and whether each key ring has some of them.
    for file in files {
        let (Some(_), Some(why)) = (verify(place, &host, &[file])?, verify(place, &dbpath, &[file])?) else {
            continue;
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        return Err(Fault::Refused(format!(
            "{name} is not signed by a key that this host has for {repo}: {why}"
        )));
    }
    Ok(())
}

/// Why the files do not pass.
fn verify(place: &Place, options: &[String], files: &[&Path]) -> Result<Option<String>, Fault> {
    let mut arguments = options.to_vec();
    arguments.extend(STRICT.map(str::to_owned));
    arguments.extend(["--checksig", "--verbose"].map(str::to_owned));
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    let ran = place.exec(Exec::new("rpmkeys", arguments).timeout(LOOK).output_bytes(LISTING_BYTES))?;
    if ran.code == Some(0) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let bad = |line: &&str| !line.ends_with(": OK") && !line.ends_with(".rpm:");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(bad).take(5).collect();
    Ok(Some(if lines.is_empty() { "it has no signature".to_owned() } else { lines.join("; ") }))
}
