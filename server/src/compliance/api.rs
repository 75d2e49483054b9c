//! Exports over HTTP.

use super::model::{Exporter, Wish};
use super::{store, tar};
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Export, Read};
use crate::ledger;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::{Data, Json, ServiceConfig};
use actix_web::{HttpResponse, get, post};
use shared::digest::Digest;
use shared::strict;
use shared::time::Timestamp;
use shared::wire::ExportLine;

/// Routes for people. Needs `Data<Exporter>`.
pub fn people(config: &mut ServiceConfig) {
    config.service(export).service(list);
}

/// An evidence bundle as a tar stream. Who took it is recorded before the first byte leaves.
#[post("/v1/exports")]
async fn export(
    person: Allowed<Export>,
    wish: Json<Wish>,
    db: Data<Db>,
    clock: Data<Clock>,
    exporter: Data<Exporter>,
) -> Result<HttpResponse, Error> {
    let wish = wish.into_inner();
    wish.scope()?;
    let (user, person) = (person.person.clone(), person.person);
    let make = move |tx: &mut Conn| {
        let made = super::export(tx, &exporter, &wish, &user)?;
        Ok::<_, Error>((made, ledger::head(tx)?.origin.to_string()))
    };
    let ((query, files), origin) = db.read("export.make", make).await?;
    let (id, now) = (query.export_id(), clock.now());
    let sums = files.get("SHA256SUMS").map(|sums| Digest::of(sums));
    let sums = sums.ok_or_else(|| Error::fault("sealing an evidence bundle", "it has no checksums"))?;
    let name = format!("attachment; filename=\"assent-evidence-{id}.tar\"");
    let text = strict::to_text(&query);
    let log = (origin, query.log_size);
    let record = move |tx: &mut Conn| {
        audit::record_export(tx, &Action::by(&person, "export", format!("export {id}"), &sums), now)?;
        Ok::<_, Error>(store::record_export(tx, (&id, &text), (&log.0, log.1), &person, &sums, now)?)
    };
    db.write("export.record", record).await?;
    let stream = futures_util::stream::iter(tar::pieces(files).map(Ok::<_, Error>));
    Ok(HttpResponse::Ok()
        .content_type("application/x-tar")
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(stream))
}

/// Who took which bundle, oldest first.
#[get("/v1/exports")]
async fn list(_: Allowed<Read>, db: Data<Db>) -> Result<Json<Vec<ExportLine>>, Error> {
    let rows = db.read("export.list", |tx| Ok::<_, Error>(store::list(tx)?)).await?;
    let line = |(id, person, at): (String, String, i64)| {
        Some(ExportLine { id, person: person.parse().ok()?, at: Timestamp(at) })
    };
    Ok(Json(rows.into_iter().filter_map(line).collect()))
}
