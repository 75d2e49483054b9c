//! Content-addressed files in a directory: `objects/ab/cdef…` by sha256, `uploads/<id>` while they arrive.
//!
//! A file appears under its digest only whole, checked and on disk. Nothing here knows what the bytes mean,
//! and nothing is overwritten: a second put of the same digest changes nothing.

use super::error::{Error, Refusal};
use super::http::broken;
use super::random::random;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt, stream};
use shared::digest::{Digest, Hasher, hex};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Read size: large enough that a thread switch per piece does not matter.
const PIECE: usize = 256 * 1024;

#[derive(Clone)]
pub struct Objects(Arc<Place>);

struct Place {
    root: PathBuf,
    max: u64,
}

/// Name of an upload in progress: 32 hex digits, unguessable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes `from..from + length` of an object that is `total` bytes long.
pub struct Opened {
    pub total: u64,
    pub from: u64,
    pub length: u64,
    file: File,
}

impl Objects {
    /// `max` is the largest accepted object in bytes. Makes the directories.
    pub fn open(data_dir: &Path, max: u64) -> Result<Self, Error> {
        for part in ["objects", "uploads"] {
            let dir = data_dir.join(part);
            std::fs::create_dir_all(&dir).map_err(failed("creating", &dir))?;
        }
        Ok(Self(Arc::new(Place { root: data_dir.to_owned(), max })))
    }

    pub async fn contains(&self, digest: Digest) -> Result<bool, Error> {
        let place = self.0.clone();
        blocking(move || {
            let path = place.path(digest);
            path.try_exists().map_err(failed("looking for", &path))
        })
        .await
    }

    /// Stores a stream under its announced digest; returns its length in bytes.
    pub async fn put<S>(&self, expected: Digest, body: S) -> Result<u64, Error>
    where
        S: Stream<Item = Result<Bytes, PayloadError>>,
    {
        let upload = self.begin().await?;
        let stored = async {
            self.append(&upload, 0, body).await?;
            self.finish(&upload, expected).await
        };
        let result = stored.await;
        if result.is_err() {
            self.abandon(&upload).await?;
        }
        result
    }

    /// Starts an upload that may be continued after an interruption.
    pub async fn begin(&self) -> Result<UploadId, Error> {
        let random = random::<16>()?;
        let upload = UploadId(hex(&random));
        let path = self.0.upload(&upload);
        blocking(move || File::create_new(&path).map(drop).map_err(failed("creating", &path))).await?;
        Ok(upload)
    }

    /// Bytes of the upload that are on disk; `None` when it is unknown.
    pub async fn received(&self, upload: &UploadId) -> Result<Option<u64>, Error> {
        let path = self.0.upload(upload);
        blocking(move || match std::fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("looking at", &path)(error)),
        })
        .await
    }

    /// Appends a stream at `offset`, which must be what [`Self::received`] says; returns the new length.
    /// What arrived before an interruption is kept.
    pub async fn append<S>(&self, upload: &UploadId, offset: u64, body: S) -> Result<u64, Error>
    where
        S: Stream<Item = Result<Bytes, PayloadError>>,
    {
        let (path, max) = (self.0.upload(upload), self.0.max);
        let mut file = blocking(move || open_at(&path, offset)).await?;
        let mut length = offset;
        let mut body = std::pin::pin!(body);
        let mut waiting = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    // What came through is good: the client goes on behind it.
                    write(file, waiting).await?;
                    return Err(broken(&error).into());
                }
            };
            length += piece.len() as u64;
            if length > max {
                return Err(Refusal::too_large("object.too_large").with("limit", max).into());
            }
            waiting.extend_from_slice(&piece);
            if waiting.len() >= PIECE {
                file = write(file, std::mem::take(&mut waiting)).await?;
            }
        }
        write(file, waiting).await?;
        Ok(length)
    }

    /// Checks the whole upload against `expected` and makes it an object; returns its length in bytes.
    pub async fn finish(&self, upload: &UploadId, expected: Digest) -> Result<u64, Error> {
        let (place, upload) = (self.0.clone(), upload.clone());
        blocking(move || place.finish(&upload, expected)).await
    }

    /// Forgets an upload; one that does not exist is already forgotten.
    pub async fn abandon(&self, upload: &UploadId) -> Result<(), Error> {
        let path = self.0.upload(upload);
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("removing", &path)(error))
            }
            _ => Ok(()),
        })
        .await
    }

    /// Opens an object from byte `from`, at most `length` bytes of it.
    pub async fn get(&self, digest: Digest, from: u64, length: Option<u64>) -> Result<Opened, Error> {
        let place = self.0.clone();
        blocking(move || place.get(digest, from, length)).await
    }
}

impl Opened {
    /// The bytes, read piece by piece as the receiver takes them.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        stream::try_unfold((self.file, self.length), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let read = spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
                file.read_exact(&mut piece).map(|()| (file, piece))
            });
            let (file, piece) = read.await.map_err(std::io::Error::other)??;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (file, left))))
        })
    }
}

impl Place {
    fn path(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        let (first, rest) = hex.split_at(2);
        self.root.join("objects").join(first).join(rest)
    }

    fn upload(&self, upload: &UploadId) -> PathBuf {
        self.root.join("uploads").join(&upload.0)
    }

    fn finish(&self, upload: &UploadId, expected: Digest) -> Result<u64, Error> {
        let from = self.upload(upload);
        let mut file = File::open(&from).map_err(failed("opening", &from))?;
        let (found, length) = digest_of(&mut file).map_err(failed("reading", &from))?;
        if found != expected {
            let refusal = Refusal::unprocessable("object.digest_mismatch");
            return Err(refusal.with("found", found.hex()).with("expected", expected.hex()).into());
        }
        file.sync_all().map_err(failed("syncing", &from))?;
        let to = self.path(expected);
        let dir = self.root.join("objects").join(&expected.hex()[..2]);
        std::fs::create_dir_all(&dir).map_err(failed("creating", &dir))?;
        std::fs::rename(&from, &to).map_err(failed("renaming to", &to))?;
        for dir in [&dir, &self.root.join("objects")] {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("syncing", dir))?;
        }
        Ok(length)
    }

    fn get(&self, digest: Digest, from: u64, length: Option<u64>) -> Result<Opened, Error> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Refusal::not_found("object.not_found").with("digest", digest.hex()).into());
            }
            Err(error) => return Err(failed("opening", &path)(error)),
        };
        let total = file.metadata().map_err(failed("looking at", &path))?.len();
        if from > total || (from == total && total > 0) {
            let status = actix_web::http::StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(Refusal::new("object.bad_range", status).with("length", total).into());
        }
        file.seek(SeekFrom::Start(from)).map_err(failed("reading", &path))?;
        let length = length.unwrap_or(u64::MAX).min(total - from);
        Ok(Opened { total, from, length, file })
    }
}

fn digest_of(file: &mut File) -> std::io::Result<(Digest, u64)> {
    let (mut hasher, mut length) = (Hasher::default(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hasher.finish(), length));
        }
        hasher.update(&piece[..read]);
        length += read as u64;
    }
}

fn open_at(path: &Path, offset: u64) -> Result<File, Error> {
    let file = File::options().append(true).open(path).map_err(failed("opening", path))?;
    let have = file.metadata().map_err(failed("looking at", path))?.len();
    if have == offset {
        return Ok(file);
    }
    Err(Refusal::conflict("object.wrong_offset").with("have", have).with("offset", offset).into())
}

async fn write(mut file: File, bytes: Vec<u8>) -> Result<File, Error> {
    blocking(move || {
        file.write_all(&bytes).map_err(|error| Error::fault("writing an upload", error))?;
        Ok(file)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| Error::fault("working on a stored file", error))?
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |error| Error::fault(format!("{doing} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, PayloadError>> + use<> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        stream::iter(parts)
    }

    async fn read(objects: &Objects, digest: Digest, from: u64, length: Option<u64>) -> Vec<u8> {
        let opened = objects.get(digest, from, length).await.unwrap();
        let parts: Vec<_> = opened.into_stream().collect().await;
        parts.into_iter().flat_map(|part| part.unwrap().to_vec()).collect()
    }

    fn code(error: Error) -> &'static str {
        error.as_refusal().code
    }

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[tokio::test]
    async fn a_file_is_stored_only_under_its_own_digest() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path(), 10).unwrap();
        let digest = Digest::of(b"abcdef");
        assert_eq!(objects.put(digest, pieces(&[b"abc", b"def"])).await.unwrap(), 6);
        assert_eq!(objects.put(digest, pieces(&[b"abcdef"])).await.unwrap(), 6);
        assert_eq!(read(&objects, digest, 0, None).await, b"abcdef");
        assert_eq!(read(&objects, digest, 2, Some(3)).await, b"cde");
        assert_eq!(
            code(objects.put(digest, pieces(&[b"abcdeX"])).await.unwrap_err()),
            "object.digest_mismatch"
        );
        let large = objects.put(Digest::of(b"01234567890"), pieces(&[b"0123456789", b"0"])).await;
        assert_eq!(code(large.unwrap_err()), "object.too_large");
        assert_eq!(code(objects.get(digest, 6, None).await.err().unwrap()), "object.bad_range");
        assert_eq!(code(objects.get(Digest::of(b""), 0, None).await.err().unwrap()), "object.not_found");
        assert_eq!(files(&dir.path().join("uploads")), 0, "nothing half-finished stays");
    }

    #[tokio::test]
    async fn an_interrupted_upload_continues_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path(), 10).unwrap();
        let upload = objects.begin().await.unwrap();
        assert_eq!(objects.append(&upload, 0, pieces(&[b"abc"])).await.unwrap(), 3);
        let again = Objects::open(dir.path(), 10).unwrap();
        let upload = UploadId::parse(upload.as_str()).unwrap();
        assert_eq!(again.received(&upload).await.unwrap(), Some(3));
        let torn = stream::iter([Ok(Bytes::from_static(b"d")), Err(PayloadError::Incomplete(None))]);
        assert_eq!(code(again.append(&upload, 3, torn).await.unwrap_err()), "request.broken_off");
        assert_eq!(again.received(&upload).await.unwrap(), Some(4), "what came through stays");
        let wrong = again.append(&upload, 2, pieces(&[b"cdef"])).await.unwrap_err();
        assert_eq!(code(wrong), "object.wrong_offset");
        assert_eq!(again.append(&upload, 4, pieces(&[b"ef"])).await.unwrap(), 6);
        assert_eq!(again.finish(&upload, Digest::of(b"abcdef")).await.unwrap(), 6);
        assert_eq!(again.received(&upload).await.unwrap(), None);
        assert!(again.contains(Digest::of(b"abcdef")).await.unwrap());
    }

    #[test]
    fn an_upload_id_cannot_leave_the_directory() {
        for text in ["", "../../../../etc/passwd", "../aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &"A".repeat(32)] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
    }
}
