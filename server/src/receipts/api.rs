//! Statements of hosts over HTTP, and the alarms they raised.

use super::intake::{Intake, raise_forged};
use super::model::{Alarm, Incoming};
use super::store;
use crate::fleet::Rates;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::agent::Agent;
use crate::kernel::http::edge;
use crate::kernel::http::person::{Allowed, Read};
use crate::ledger::Log;
use actix_web::web::{self, Data, Json, ServiceConfig};
use actix_web::{get, post};
use shared::limits::{ENVELOPE_BYTES, PROOFS};
use shared::wire::{AskProofs, Proofs, Record, Recorded};

/// An envelope, its summary and the little around them.
const BODY_BYTES: usize = ENVELOPE_BYTES + 8_192;

/// The digests of as many statements as one change may have, and the little around them.
const PROOFS_BYTES: usize = PROOFS * 72 + 256;

/// Routes for agents. Needs `Data` of `Intake`, `Log` and `Rates`.
pub fn agent_routes(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/agent/v1/statements")
                .configure(edge::extractors(BODY_BYTES))
                .service(record_statement),
        )
        .service(
            web::scope("/agent/v1/proofs")
                .configure(edge::extractors(PROOFS_BYTES))
                .service(prove_statements),
        );
}

/// Routes for people.
pub fn people_routes(config: &mut ServiceConfig) {
    config.service(alarms);
}

/// Records a receipt or refusal of the connected host and proves it. Sending it again answers the same.
#[post("")]
async fn record_statement(
    agent: Agent,
    (db, clock, config): (Data<Db>, Data<Clock>, Data<Config>),
    (intake, rates): (Data<Intake>, Data<Rates>),
    body: Json<Record>,
) -> Result<Json<Recorded>, Error> {
    let connected = agent.0.agent_id;
    let Record { statement, summary, log_size } = body.into_inner();
    rates.statement(connected, statement.to_bytes().len())?;
    let incoming = Incoming::open(&statement, &config.site_id, connected);
    match incoming.and_then(|incoming| incoming.with_summary(summary)) {
        Ok(incoming) => Ok(Json(intake.record(incoming, log_size).await?)),
        Err(Error::Refusal(refusal)) => {
            let detail = refusal.with.first().map_or("", |(_, value)| value.as_str());
            let detail = format!("{}: {detail}", refusal.code);
            raise_forged(&db, connected, &statement.to_bytes(), detail, clock.now()).await?;
            Err(refusal.into())
        }
        Err(fault) => Err(fault),
    }
}

/// Proves to a host which statements about a change are in the ledger.
#[post("")]
async fn prove_statements(
    agent: Agent,
    (db, log, rates): (Data<Db>, Data<Log>, Data<Rates>),
    body: Json<AskProofs>,
) -> Result<Json<Proofs>, Error> {
    rates.proofs(agent.0.agent_id)?;
    let wanted = body.into_inner();
    Ok(Json(db.read("receipts.prove", move |tx| log.proofs(tx, &wanted)).await?))
}

/// What someone must look at: forked chains, other ledgers, forged statements. Newest first.
#[get("/v1/alarms")]
async fn alarms(_: Allowed<Read>, db: Data<Db>) -> Result<Json<Vec<Alarm>>, Error> {
    Ok(Json(db.read("receipts.alarms", store::list_alarms).await?))
}
