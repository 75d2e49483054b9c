//! The CMDB over HTTP.

use super::{declared, search, store};
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use shared::wire::CiFile;

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.configure(search::routes).service(show).configure(declared::routes);
}

/// One CI by id or name: facts, as-recorded state per resource, history newest first.
#[get("/v1/cis/{name}")]
async fn show(_: Allowed<Read>, db: Data<Db>, name: Path<String>) -> Result<Json<CiFile>, Error> {
    let name = name.into_inner();
    Ok(Json(db.read("cmdb.show", move |tx| store::get_file(tx, &name)).await?))
}
