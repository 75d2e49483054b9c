//! A deterministic archive: files in the order of their names, no owner, no time, mode 0644.
//!
//! Form: POSIX.1-1988 `ustar`; a name that does not fit there gets a POSIX.1-2001 (`pax`) header.

use actix_web::web::Bytes;
use shared::evidence::Files;

const BLOCK: usize = 512;
const NAME: usize = 100;
const PREFIX: usize = 155;
/// Names of pax headers themselves; readers do not use them.
const PAX_NAME: &str = "pax";

/// The archive piece by piece, so that it is not held twice.
pub(super) fn pieces(files: Files) -> impl Iterator<Item = Bytes> {
    let end = Bytes::from(vec![0; 2 * BLOCK]);
    files.into_iter().flat_map(|(name, bytes)| file(&name, bytes)).chain([end])
}

fn file(name: &str, bytes: Vec<u8>) -> Vec<Bytes> {
    let mut head = Vec::new();
    let (prefix, short) = match split(name) {
        Some(parts) => parts,
        None => {
            let record = pax_record(name);
            head.extend_from_slice(&header("", PAX_NAME, record.len(), b'x'));
            head.extend_from_slice(&record);
            head.resize(head.len().next_multiple_of(BLOCK), 0);
            ("", PAX_NAME)
        }
    };
    head.extend_from_slice(&header(prefix, short, bytes.len(), b'0'));
    let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
    vec![Bytes::from(head), Bytes::from(bytes), Bytes::from(vec![0; padding])]
}

/// Prefix and name as `ustar` stores them, the prefix as short as possible; `None` when they do not fit.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME {
        return Some(("", name));
    }
    let cuts = name.match_indices('/').map(|(at, _)| at);
    let at = cuts.into_iter().find(|at| name.len() - at - 1 <= NAME)?;
    (at <= PREFIX).then(|| (&name[..at], &name[at + 1..]))
}

/// `<length> path=<name>\n`, where the length counts itself.
fn pax_record(name: &str) -> Vec<u8> {
    let rest = format!(" path={name}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

fn header(prefix: &str, name: &str, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_tar_command_reads_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let (long, longer) = (format!("{}/{}", "d".repeat(60), "n".repeat(90)), "x".repeat(180));
        let mut files = Files::new();
        for (name, size) in [("a", 0), ("b/c", 1), (long.as_str(), 512), (longer.as_str(), 513), ("z", 1_200)]
        {
            files.insert(name.to_owned(), (0..size).map(|n| (n % 251) as u8).collect());
        }
        let archive: Vec<u8> = pieces(files.clone()).flat_map(|piece| piece.to_vec()).collect();
        std::fs::write(dir.path().join("t.tar"), &archive).unwrap();
        let out = Command::new("tar")
            .arg("-C")
            .arg(dir.path())
            .args(["-xf"])
            .arg(dir.path().join("t.tar"))
            .output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        for (name, bytes) in &files {
            assert_eq!(&std::fs::read(dir.path().join(name)).unwrap(), bytes, "{name}");
        }
        let listed =
            Command::new("tar").args(["--utc", "-tvf"]).arg(dir.path().join("t.tar")).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.lines().filter(|l| l.starts_with("-rw-r--r-- 0/0 ")).count(), 5, "{listed}");
        assert!(listed.lines().all(|l| l.contains(" 1970-01-01 00:00 ")), "{listed}");
    }
}
