//! `assent artifact put`: streams a file to the server in pieces and goes on after an interruption.

use crate::error::{Context as _, Done, Failure};
use crate::session::Session;
use crate::written::{self, Written};
use shared::digest::{Digest, Hasher};
use shared::limits;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Small enough to lose little with a connection, large enough that round trips do not matter.
const PIECE: usize = 512 << 10;
/// Interruptions in a row, without one byte of progress, after which the command gives up.
const TRIES: u32 = 5;

pub fn put(session: &Session, path: &Path, json: bool) -> Done {
    let (sha256, length) = store(session, path, limits::ARTIFACT_BYTES)?;
    let words = format!("artifact: {{ sha256: \"{sha256}\", length: {length} }}\n");
    let now = serde_json::json!({ "sha256": sha256, "length": length });
    written::tell(json, Written::of("artifact", sha256, &now)?, &words)
}

/// Brings a file of at most `most` bytes to the server, unless it is there; answers its digest and length.
pub fn store(session: &Session, path: &Path, most: u64) -> Done<(Digest, u64)> {
    let failed = format!("could not read {}", path.display());
    let mut file = File::open(path).or_usage(&*failed)?;
    let (sha256, length) = measure(&mut file).or_fault(&*failed)?;
    if length > most {
        let message = format!("{} has {length} bytes; at most {most} are accepted", path.display());
        return Err(Failure::usage(message));
    }
    if !session.api.has_artifact(&sha256)? {
        upload(session, &mut file, &failed, sha256, length)?;
    }
    Ok((sha256, length))
}

fn measure(file: &mut File) -> std::io::Result<(Digest, u64)> {
    let (mut hasher, mut length, mut piece) = (Hasher::default(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hasher.finish(), length)),
            n => {
                hasher.update(&piece[..n]);
                length += n as u64;
            }
        }
    }
}

/// The server says where it wants to go on; it checks length and digest at the end.
fn upload(session: &Session, file: &mut File, failed: &str, sha256: Digest, length: u64) -> Done {
    let (mut failures, mut best) = (0, 0);
    loop {
        let begun = session.api.begin_upload(&sha256, length)?;
        match send_from(session, file, failed, &begun.id, begun.offset, length, &mut best) {
            Ok(()) => return Ok(()),
            Err((failure, _)) if failure.exit_code() != 3 => return Err(failure),
            Err((_, progress)) if progress => failures = 0,
            Err((failure, _)) => {
                failures += 1;
                if failures == TRIES {
                    return Err(failure.remedy("run the command again; it goes on where it stopped"));
                }
            }
        }
    }
}

fn send_from(
    session: &Session,
    file: &mut File,
    failed: &str,
    id: &str,
    mut offset: u64,
    length: u64,
    best: &mut u64,
) -> Result<(), (Failure, bool)> {
    let before = *best;
    while offset < length {
        let piece = piece_at(file, offset).or_fault(failed).map_err(|e| (e, false))?;
        if piece.is_empty() {
            return Err((Failure::usage("the file became shorter while it was sent"), false));
        }
        offset = session.api.upload_piece(id, offset, piece).map_err(|e| (e, *best > before))?;
        *best = (*best).max(offset);
    }
    Ok(())
}

fn piece_at(file: &mut File, offset: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut piece = Vec::with_capacity(PIECE);
    file.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
