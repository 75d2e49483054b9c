//! Artifacts: resumable uploads into the content-addressed store, and downloads with ranges.

use super::store::{self, Upload};
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::person::{Allowed, Publish, Read};
use crate::kernel::objects::{Objects, UploadId};
use crate::ledger;
use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Json, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, get, head, patch, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::limits;
use shared::manifest::Artifact;
use shared::time::Timestamp;

/// An upload that nobody continues is forgotten after a day.
const STALE_SECS: i64 = 86_400;
/// Uploads of one person at a time: each holds disk space.
const OPEN_UPLOADS: i64 = 32;

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Announced {
    sha256: Digest,
    /// Bytes.
    length: u64,
}

/// `offset` equal to the announced length means: finished, nothing is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    pub id: String,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Continued {
    pub offset: u64,
}

/// Begins an upload, or says where the same person's earlier one of the same file goes on.
#[post("/v1/uploads")]
pub(super) async fn begin(
    person: Allowed<Publish>,
    announced: Json<Announced>,
    config: Data<Config>,
    db: Data<Db>,
    clock: Data<Clock>,
    objects: Data<Objects>,
) -> Result<Json<Begun>, Error> {
    let Announced { sha256, length } = *announced;
    let most = config.limits.object.min(limits::ARTIFACT_BYTES);
    if length > most {
        return Err(Refusal::too_large("object.too_large").with("limit", most).into());
    }
    if objects.contains(sha256).await? {
        return Ok(Json(Begun { id: sha256.hex()[..32].to_owned(), offset: length }));
    }
    let upload = open(&db, &objects, (sha256, length), &person.person, clock.now()).await?;
    let offset = objects.received(&upload).await?.unwrap_or_default();
    if offset == length {
        return finish(&db, &objects, &upload, sha256)
            .await
            .map(|offset| Json(Begun { id: upload.as_str().to_owned(), offset }));
    }
    Ok(Json(Begun { id: upload.as_str().to_owned(), offset }))
}

async fn open(
    db: &Db,
    objects: &Objects,
    (sha256, length): (Digest, u64),
    person: &PersonId,
    now: Timestamp,
) -> Result<UploadId, Error> {
    let who = person.clone();
    let find = move |tx: &mut crate::kernel::db::Conn| {
        Ok::<_, Error>((store::find_upload_of(tx, &sha256, &who)?, store::count_uploads(tx, &who)?))
    };
    let (found, open) = db.read("upload.find", find).await?;
    if let Some(id) = found.as_ref().and_then(|found| UploadId::parse(&found.id)) {
        let same = found.is_some_and(|found| found.length == store::signed(length));
        if same && objects.received(&id).await?.is_some() {
            return Ok(id);
        }
        forget(db, objects, &id).await?;
    } else if open >= OPEN_UPLOADS {
        return Err(Refusal::conflict("upload.too_many").with("limit", OPEN_UPLOADS).into());
    }
    let id = objects.begin().await?;
    let row = Upload {
        id: id.as_str().to_owned(),
        sha256: sha256.0.to_vec(),
        length: store::signed(length),
        person: person.to_string(),
    };
    let who = person.clone();
    let begins = move |tx: &mut crate::kernel::db::Conn| {
        ledger::lock(tx)?;
        let new = store::record_upload(tx, &row, now)?;
        if new {
            let object = format!("artifact {sha256}");
            audit::record(tx, &Action::by(&who, "upload.begin", object, &(sha256, length)), now)?;
        }
        Ok::<_, Error>(new)
    };
    if db.write("upload.begin", begins).await? {
        return Ok(id);
    }
    objects.abandon(&id).await?;
    Err(Refusal::conflict("upload.running").with("digest", sha256).into())
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    offset: u64,
}

/// Appends raw bytes; the last ones make the artifact, if the digest is the announced one.
#[patch("/v1/uploads/{id}")]
pub(super) async fn append(
    person: Allowed<Publish>,
    id: Path<String>,
    at: Query<At>,
    body: Payload,
    db: Data<Db>,
    objects: Data<Objects>,
) -> Result<Json<Continued>, Error> {
    let unknown = || Refusal::not_found("upload.unknown").with("id", shared::strict::shorten(&id));
    let upload = UploadId::parse(&id).ok_or_else(unknown)?;
    let key = upload.as_str().to_owned();
    let row = db.read("upload.get", move |tx| Ok::<_, Error>(store::find_upload(tx, &key)?)).await?;
    let row = row.filter(|row| row.person == person.person.as_str()).ok_or_else(unknown)?;
    let sha256 = store::digest(&row.sha256)?;
    let received = objects.received(&upload).await?.ok_or_else(unknown)?;
    if received != at.offset {
        return Err(Refusal::conflict("object.wrong_offset")
            .with("have", received)
            .with("offset", at.offset)
            .into());
    }
    let offset = objects.append(&upload, at.offset, body.into_inner()).await?;
    let length = row.length.cast_unsigned();
    if offset > length {
        forget(&db, &objects, &upload).await?;
        return Err(Refusal::unprocessable("upload.too_long")
            .with("announced", length)
            .with("sent", offset)
            .into());
    }
    if offset == length {
        finish(&db, &objects, &upload, sha256).await?;
    }
    Ok(Json(Continued { offset }))
}

/// A wrong digest discards the upload: none of its bytes can be trusted.
async fn finish(db: &Db, objects: &Objects, upload: &UploadId, sha256: Digest) -> Result<u64, Error> {
    let finished = objects.finish(upload, sha256).await;
    if matches!(&finished, Ok(_) | Err(Error::Refusal(_))) {
        forget(db, objects, upload).await?;
    }
    finished
}

async fn forget(db: &Db, objects: &Objects, upload: &UploadId) -> Result<(), Error> {
    objects.abandon(upload).await?;
    let id = upload.as_str().to_owned();
    db.write("upload.forget", move |tx| Ok::<_, Error>(store::delete_upload(tx, &id)?)).await
}

/// Forgets uploads that nobody continued.
pub(super) async fn sweep(db: &Db, objects: &Objects, now: Timestamp) -> Result<(), Error> {
    let before = now.plus(-STALE_SECS);
    let stale =
        db.read("upload.stale", move |tx| Ok::<_, Error>(store::list_stale_uploads(tx, before)?)).await?;
    for id in stale.iter().filter_map(|id| UploadId::parse(id)) {
        forget(db, objects, &id).await?;
    }
    Ok(())
}

/// Every blob that a manifest names must be here before the manifest: hosts would fail on it otherwise.
pub(super) async fn check_present(objects: &Objects, artifacts: &[Artifact]) -> Result<(), Error> {
    for artifact in artifacts {
        if !objects.contains(artifact.sha256).await? {
            return Err(Refusal::conflict("manifest.artifact_missing")
                .with("digest", artifact.sha256)
                .into());
        }
        let stored = objects.get(artifact.sha256, 0, Some(0)).await?.total;
        if stored != artifact.length {
            let refusal = Refusal::unprocessable("manifest.artifact_length").with("digest", artifact.sha256);
            return Err(refusal.with("named", artifact.length).with("stored", stored).into());
        }
    }
    Ok(())
}

#[get("/v1/artifacts/{sha256}")]
pub(super) async fn for_people(
    _: Allowed<Read>,
    sha256: Path<Digest>,
    req: HttpRequest,
    objects: Data<Objects>,
) -> Result<HttpResponse, Error> {
    download(*sha256, req.headers(), &objects).await
}

#[head("/v1/artifacts/{sha256}")]
pub(super) async fn ask(
    _: Allowed<Read>,
    sha256: Path<Digest>,
    objects: Data<Objects>,
) -> Result<HttpResponse, Error> {
    let total = objects.get(*sha256, 0, Some(0)).await?.total;
    let nothing = SizedStream::new(total, futures_util::stream::empty::<Result<_, std::io::Error>>());
    Ok(HttpResponse::Ok().insert_header((header::ACCEPT_RANGES, "bytes")).body(nothing))
}

#[get("/agent/v1/artifacts/{sha256}")]
pub(super) async fn for_agents(
    _: Agent,
    sha256: Path<Digest>,
    req: HttpRequest,
    objects: Data<Objects>,
) -> Result<HttpResponse, Error> {
    download(*sha256, req.headers(), &objects).await
}

async fn download(sha256: Digest, headers: &HeaderMap, objects: &Objects) -> Result<HttpResponse, Error> {
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(range);
    let (from, length) = range.unwrap_or((0, None));
    let opened = objects.get(sha256, from, length).await?;
    let mut response = match range {
        Some(_) => HttpResponse::PartialContent(),
        None => HttpResponse::Ok(),
    };
    if range.is_some() {
        let last = (opened.from + opened.length).saturating_sub(1);
        let shown = format!("bytes {}-{last}/{}", opened.from, opened.total);
        response.insert_header((header::CONTENT_RANGE, shown));
    }
    response
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
        .content_type("application/octet-stream");
    Ok(response.body(SizedStream::new(opened.length, opened.into_stream())))
}

/// First byte and length of `bytes=a-` and `bytes=a-b` (RFC 9110 §14.2). A server may ignore other forms.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(from) {
        return None;
    }
    let from: u64 = from.parse().ok()?;
    if to.is_empty() {
        return Some((from, None));
    }
    let to: u64 = if digits(to) { to.parse().ok()? } else { return None };
    let length = to.checked_sub(from)?.checked_add(1)?;
    Some((from, Some(length)))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_is_one_pair_of_numbers_or_ignored() {
        for (text, expected) in [
            ("bytes=0-", Some((0, None))),
            ("bytes=5-5", Some((5, Some(1)))),
            ("bytes=0-99", Some((0, Some(100)))),
            ("bytes=5-4", None),
            ("bytes=-5", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=0-18446744073709551615", None),
            ("bytes=99999999999999999999-", None),
            ("items=0-1", None),
            ("", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
