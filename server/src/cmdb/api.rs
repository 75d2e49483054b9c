//! The CMDB over HTTP.

use super::declared;
use super::marks::Wanted;
use super::model::CiId;
use super::store;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::time::Timestamp;
use shared::wire::{CiFile, CiLine};

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(show).configure(declared::routes);
}

/// Which entries are listed, by the facts that they reported last; all conditions hold together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fitting {
    /// Those whose operating system gets no security updates any more.
    #[serde(default)]
    outdated_os: bool,
    /// Those that should be rebooted.
    #[serde(default)]
    reboot_needed: bool,
    /// Those with a certificate that ends within so many days, or has ended.
    certificate_expires_days: Option<u16>,
    /// Those that listen on this port, with any protocol.
    listening: Option<u16>,
    /// Those that have this updater, enabled or not.
    updater: Option<String>,
    /// Those whose clock is not synchronised or far from the server's.
    #[serde(default)]
    clock_wrong: bool,
}

impl Fitting {
    fn wanted(self) -> Vec<Wanted> {
        let days = |days: u16| Wanted::CertificateEnds { within_s: i64::from(days) * 86_400 };
        let all = [
            self.outdated_os.then_some(Wanted::OutdatedOs),
            self.reboot_needed.then_some(Wanted::RebootNeeded),
            self.certificate_expires_days.map(days),
            self.listening.map(|port| Wanted::Listening { port }),
            self.updater.map(|name| Wanted::Updater { name }),
            self.clock_wrong.then_some(Wanted::ClockWrong),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Entries by name; those that fit with what fits.
#[get("/v1/cis")]
async fn list(
    _: Allowed<Read>,
    asked: Query<Fitting>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<CiLine>>, Error> {
    let (wanted, now) = (asked.into_inner().wanted(), clock.now());
    Ok(Json(db.read("cmdb.list", move |tx| fitting(tx, &wanted, now)).await?))
}

pub(super) fn fitting(tx: &mut Conn, wanted: &[Wanted], now: Timestamp) -> Result<Vec<CiLine>, Error> {
    let mut lines = store::list(tx)?;
    for wanted in wanted {
        let mut fitting = store::fitting(tx, wanted, now)?;
        lines.retain_mut(|line| {
            let found = line.ci.parse::<CiId>().ok().and_then(|id| fitting.remove(&id));
            let fits = found.is_some();
            line.matched.extend(found.into_iter().flatten());
            fits
        });
    }
    Ok(lines)
}

/// One CI by id or name: facts, as-recorded state per resource, history newest first.
#[get("/v1/cis/{name}")]
async fn show(_: Allowed<Read>, db: Data<Db>, name: Path<String>) -> Result<Json<CiFile>, Error> {
    let name = name.into_inner();
    Ok(Json(db.read("cmdb.show", move |tx| store::get_file(tx, &name)).await?))
}
