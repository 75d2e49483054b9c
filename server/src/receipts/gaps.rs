//! How long something has been missing in a host's chain. Hosts fill a gap with what they kept, a minute later; one that lasts
//! means that a statement is lost, or held back.

use crate::each;
use crate::kernel::db::Conn;
use diesel::prelude::*;
use shared::ids::AgentId;
use shared::time::Timestamp;

/// After so many seconds a host would have filled it.
const LASTING_SECS: i64 = 600;

diesel::table! {
    chain_gap (agent) {
        agent -> Text,
        place -> BigInt,
        since -> BigInt,
    }
}

/// Notes that a host speaks while `expected` is missing. The time since when, if that is long.
pub(super) fn note(
    tx: &mut Conn,
    agent: AgentId,
    expected: u64,
    now: Timestamp,
) -> QueryResult<Option<Timestamp>> {
    let (name, place) = (agent.to_string(), expected.cast_signed());
    let known: Option<(i64, i64)> =
        chain_gap::table.find(&name).select((chain_gap::place, chain_gap::since)).first(tx).optional()?;
    match known {
        Some((missing, since)) if missing == place => {
            Ok((now.since(Timestamp(since)) >= LASTING_SECS).then_some(Timestamp(since)))
        }
        _ => {
            let since = (chain_gap::place.eq(place), chain_gap::since.eq(now.0));
            each!(tx, |c| diesel::insert_into(chain_gap::table)
                .values((chain_gap::agent.eq(&name), since))
                .on_conflict(chain_gap::agent)
                .do_update()
                .set(since)
                .execute(c))?;
            Ok(None)
        }
    }
}
