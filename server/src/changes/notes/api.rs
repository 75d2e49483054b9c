//! Notes over HTTP: thin handlers around the functions of this module.

use super::super::course;
use super::super::store as changes;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::once::Once;
use crate::kernel::http::person::{Allowed, Comment, Propose, Read};
use crate::kernel::objects::Objects;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{get, post};
use shared::ids::{ChangeRef, PersonId};
use shared::limits;
use shared::note::{ChangeNote, Said};
use shared::wire::{Addition, ChangeNotes, Remark};

/// Routes for people. Needs `Data<Objects>`.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(remark).service(add);
}

#[get("/v1/changes/{id}/notes")]
async fn list(_: Allowed<Read>, id: Path<ChangeRef>, db: Data<Db>) -> Result<Json<ChangeNotes>, Error> {
    let read = move |tx: &mut Conn| {
        let id = changes::named(tx, &id)?;
        super::all(tx, &id)
    };
    Ok(Json(db.read("change.notes", read).await?))
}

/// A comment, an objection or an answer: everybody may speak who sees the change.
#[post("/v1/changes/{id}/comments")]
async fn remark(
    person: Allowed<Comment>,
    id: Path<ChangeRef>,
    body: Json<Remark>,
    once: Once,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<ChangeNote>, Error> {
    write(&db, (&clock, once), (id.into_inner(), person.person), body.into_inner().into()).await
}

/// A link, its end, or a file.
#[post("/v1/changes/{id}/notes")]
async fn add(
    person: Allowed<Propose>,
    id: Path<ChangeRef>,
    body: Json<Addition>,
    once: Once,
    objects: Data<Objects>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<ChangeNote>, Error> {
    let said = match body.into_inner() {
        Addition::Link { relation, to } => Said::Link { relation, to },
        Addition::Unlink { link, text } => Said::Unlink { link, text },
        Addition::Attachment { name, sha256 } => {
            let length = objects.get(sha256, 0, Some(0)).await?.total;
            if length > limits::ATTACHMENT_BYTES {
                let refusal = Refusal::too_large("note.attachment_too_large").with("length", length);
                return Err(refusal.with("limit", limits::ATTACHMENT_BYTES).into());
            }
            Said::Attachment { name, sha256, length }
        }
    };
    write(&db, (&clock, once), (id.into_inner(), person.person), said).await
}

async fn write(
    db: &Db,
    (clock, once): (&Clock, Once),
    (named, person): (ChangeRef, PersonId),
    said: Said,
) -> Result<Json<ChangeNote>, Error> {
    let now = clock.now();
    let write = move |tx: &mut Conn| {
        once.run(tx, (&person, &said), now, |tx| {
            course::lock(tx)?;
            let id = changes::named(tx, &named)?;
            let row = changes::get(tx, &id)?;
            super::add(tx, &row, said.clone(), &person, now)
        })
    };
    Ok(Json(db.write("change.note", write).await?))
}
