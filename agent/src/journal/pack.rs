//! Several contents in one file: for each a line `sha256 length`, then its bytes. One sync for all of them.

use shared::digest::Digest;
use std::io;
use std::ops::Range;

pub fn write(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut pack = Vec::new();
    for content in contents {
        pack.extend_from_slice(format!("{} {}\n", Digest::of(content), content.len()).as_bytes());
        pack.extend_from_slice(content);
    }
    pack
}

/// Where each content lies.
///
/// # Errors
/// Not a pack, or cut off.
pub fn index(pack: &[u8]) -> io::Result<Vec<(Digest, Range<usize>)>> {
    let mut index = Vec::new();
    let mut at = 0;
    while at < pack.len() {
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, format!("the pack is damaged at byte {at}"));
        let (digest, range) = entry(pack, at).ok_or_else(damaged)?;
        at = range.end;
        index.push((digest, range));
    }
    Ok(index)
}

fn entry(pack: &[u8], at: usize) -> Option<(Digest, Range<usize>)> {
    let rest = pack.get(at..)?;
    let line = rest.iter().take(90).position(|b| *b == b'\n')?;
    let (digest, length) = std::str::from_utf8(&rest[..line]).ok()?.split_once(' ')?;
    let start = at + line + 1;
    let end = start.checked_add(length.parse().ok()?)?;
    (end <= pack.len()).then_some((digest.parse().ok()?, start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_found_and_a_cut_pack_is_an_error() {
        let contents = [b"".to_vec(), b"a\nb".to_vec(), vec![0, 255]];
        let pack = write(&contents);
        for (content, (digest, range)) in contents.iter().zip(index(&pack).unwrap()) {
            assert_eq!((&pack[range], digest), (content.as_slice(), Digest::of(content)));
        }
        assert!(index(&pack[..pack.len() - 1]).is_err() && index(b"x\n").is_err());
    }
}
