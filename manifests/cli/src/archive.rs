//! Reads a bundle from a directory or a plain tar file (POSIX ustar), in memory and within limits.
//!
//! Only regular files; a bundle needs nothing else, and links could point outside.

use crate::error::{Context as _, Done, Failure};
use crate::files;
use shared::evidence::Files;
use std::fs;
use std::path::Path;

/// A year of a large site; more is split by period.
const BUNDLE_BYTES: usize = 2 << 30;
const BLOCK: usize = 512;

/// All files by their path within the bundle.
pub fn read(path: &Path) -> Done<Files> {
    if path.is_dir() {
        let (mut files, mut room) = (Files::new(), BUNDLE_BYTES);
        walk(path, "", &mut files, &mut room)?;
        return Ok(files);
    }
    let bytes = files::read(path, BUNDLE_BYTES)?;
    let files = untar(&bytes).map_err(|why| {
        Failure::usage(format!("{} is not a bundle", path.display()))
            .why(why)
            .remedy("give the .tar file or the directory of an export")
    })?;
    Ok(without_common_directory(files))
}

fn walk(dir: &Path, prefix: &str, files: &mut Files, room: &mut usize) -> Done {
    let failed = format!("could not read {}", dir.display());
    for entry in fs::read_dir(dir).or_fault(&*failed)? {
        let entry = entry.or_fault(&*failed)?;
        let kind = entry.file_type().or_fault(&*failed)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| Failure::usage(format!("{name:?} is not a file name of a bundle")))?;
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files, room)?;
        } else if kind.is_file() {
            let bytes = files::read(&entry.path(), *room)?;
            *room -= bytes.len();
            files.insert(name, bytes);
        } else {
            return Err(Failure::usage(format!(
                "{} is neither a file nor a directory",
                entry.path().display()
            )));
        }
    }
    Ok(())
}

/// Regular files of a tar; directories are skipped.
fn untar(bytes: &[u8]) -> Result<Files, String> {
    let (mut files, mut rest) = (Files::new(), bytes);
    loop {
        let Some((header, after)) = rest.split_at_checked(BLOCK) else {
            return Err("it ends in the middle".into());
        };
        if header.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        check_sum(header)?;
        let name = name_of(header)?;
        let size = octal(&header[124..136]).ok_or_else(|| format!("the size of {name} is not a number"))?;
        let padded = size.checked_next_multiple_of(BLOCK).ok_or("a size is too large")?;
        let (body, next) = after.split_at_checked(padded).ok_or_else(|| format!("{name} is cut off"))?;
        match header[156] {
            b'0' | 0 => {
                if files.insert(name.clone(), body[..size].to_vec()).is_some() {
                    return Err(format!("{name} is in it twice"));
                }
            }
            b'5' => {}
            other => {
                return Err(format!(
                    "{name} has the type {:?}; a bundle holds plain files only",
                    char::from(other)
                ));
            }
        }
        rest = next;
    }
}

fn check_sum(header: &[u8]) -> Result<(), String> {
    let wanted = octal(&header[148..156]);
    let sum: usize = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { usize::from(b' ') } else { usize::from(*byte) })
        .sum();
    if wanted == Some(sum) { Ok(()) } else { Err("it is not a tar file, or a header is damaged".into()) }
}

fn name_of(header: &[u8]) -> Result<String, String> {
    let part = |range: std::ops::Range<usize>| {
        let bytes = &header[range];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).map_err(|_| "a file name is not UTF-8".to_owned())
    };
    let (name, prefix) = (part(0..100)?, part(345..500)?);
    let joined = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    Ok(joined.strip_prefix("./").unwrap_or(&joined).to_owned())
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?;
    usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// Archives often hold one directory with everything in it; bundle paths start below it.
fn without_common_directory(files: Files) -> Files {
    let first = files.keys().next().and_then(|name| name.split_once('/')).map(|(top, _)| format!("{top}/"));
    match first {
        Some(top) if !files.contains_key("query.json") && files.keys().all(|name| name.starts_with(&top)) => {
            files.into_iter().map(|(name, bytes)| (name[top.len()..].to_owned(), bytes)).collect()
        }
        _ => files,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn tar(dir: &Path, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("tar").arg("-C").arg(dir).args(arguments).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn a_real_tar_reads_like_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(90);
        fs::create_dir_all(dir.path().join("b/data").join(&long)).unwrap();
        fs::write(dir.path().join("b/query.json"), b"{}").unwrap();
        fs::write(dir.path().join("b/data").join(&long).join("y"), vec![7; 1_500]).unwrap();
        fs::write(dir.path().join("b/empty"), b"").unwrap();
        let directory = read(&dir.path().join("b")).unwrap();
        assert_eq!(directory.len(), 3);
        for arguments in [["--format=ustar", "-cf", "-", "b"], ["--format=ustar", "-cf", "-", "./b"]] {
            let file = dir.path().join("b.tar");
            fs::write(&file, tar(dir.path(), &arguments)).unwrap();
            assert_eq!(read(&file).unwrap(), directory);
        }
    }

    #[test]
    fn links_damage_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), b"hello").unwrap();
        let good = tar(dir.path(), &["--format=ustar", "-cf", "-", "a"]);
        assert_eq!(untar(&good).unwrap().get("a").map(Vec::as_slice), Some(b"hello".as_slice()));
        let mut damaged = good.clone();
        damaged[0] = b'b';
        assert!(untar(&damaged).unwrap_err().contains("damaged"));
        assert!(untar(&good[..BLOCK + 3]).unwrap_err().contains("cut off"));
        assert!(untar(b"hello").is_err());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("l")).unwrap();
        let link = tar(dir.path(), &["--format=ustar", "-cf", "-", "l"]);
        assert!(untar(&link).unwrap_err().contains("plain files only"));
        let twice = [&good[..BLOCK * 2], &good].concat();
        assert!(untar(&twice).unwrap_err().contains("twice"));
    }
}
