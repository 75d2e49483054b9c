//! Key figures over HTTP.

use super::model::{DEFINITIONS, figures};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Allowed, Read};
use crate::kernel::i18n::Language;
use crate::{changes, findings};
use actix_web::get;
use actix_web::web::{Data, Json, Query, ServiceConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::time::{Interval, Timestamp};
use shared::wire::{Excluded, Kpi, Kpis};

/// The longest period.
const LONGEST_SECS: i64 = 3 * 366 * 86_400;

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(show);
}

/// Of which time.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    from: Timestamp,
    /// Not included.
    to: Timestamp,
}

#[get("/v1/kpis")]
async fn show(
    _: Allowed<Read>,
    asked: Query<Period>,
    language: Language,
    db: Data<Db>,
) -> Result<Json<Kpis>, Error> {
    let Period { from, to } = asked.into_inner();
    let period = Interval { from, until: to };
    if period.is_empty() || to.since(from) > LONGEST_SECS {
        let detail = "to must be after from, and at most three years later";
        return Err(Refusal::bad_request("request.bad_parameter").with("detail", detail).into());
    }
    Ok(Json(db.read("kpi.read", move |tx| read(tx, period, language)).await?))
}

pub(super) fn read(tx: &mut Conn, period: Interval, language: Language) -> Result<Kpis, Error> {
    let all = changes::courses(tx, period)?;
    let confirmed = findings::confirmed_in(tx, period)?;
    let told = |(id, figure, excluded): super::model::Told| Kpi {
        id: id.to_owned(),
        title: language.text(&format!("kpi.{id}")).to_owned(),
        definition: language.text(&format!("kpi.{id}.definition")).to_owned(),
        figure,
        excluded: excluded
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| Excluded { what: language.text(word).to_owned(), count })
            .collect(),
    };
    let kpis = figures(&all, confirmed, period).into_iter().map(told).collect();
    Ok(Kpis { definitions: DEFINITIONS, period, kpis })
}
