//! An entry as it was at a time.

use super::succession::host_then;
use super::{get, list_history, states_at};
use crate::cmdb::declared;
use crate::cmdb::model::{CiId, unknown};
use crate::cmdb::search::{self, Field};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::limits;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::wire::{CiFile, CiPackage, CiThen};

/// What was declared and on record of an entry then, and what was known of it by what its host reported.
///
/// # Errors
/// `ci.not_found`, `ci.ambiguous`; `ci.bad_time` before there was such an entry, or in the future.
pub fn file_at(tx: &mut Conn, name: &str, at: Timestamp, now: Timestamp) -> Result<CiFile, Error> {
    let mut line = get(tx, name)?;
    // Who asks for now has a clock of their own.
    let at = if at <= now.plus(limits::CLOCK_SKEW_SECS) { at.min(now) } else { at };
    if at < line.created || at > now {
        let refusal = Refusal::unprocessable("ci.bad_time").with("name", &line.name).with("at", at);
        return Err(refusal.with("from", line.created).with("until", now).into());
    }
    let id: CiId = line.ci.parse().map_err(|_| unknown("id", &line.ci))?;
    line.agent = host_then(tx, id, at, line.agent)?;
    let known = search::past(tx, id, &Field::TOLD, at)?;
    let mut then = CiThen { at, packages: Vec::new(), services: Vec::new(), labels: Map::default() };
    (line.facts_at, line.facts) = (None, None);
    (line.os, line.os_version, line.kernel, line.arch, line.agent_version) = (None, None, None, None, None);
    for known in known {
        match known.field {
            Field::Deb | Field::Rpm => {
                then.packages.push(CiPackage { name: known.word, version: known.detail });
            }
            Field::Service => then.services.push(known.word),
            Field::Label => drop(then.labels.insert(known.word, known.detail)),
            Field::Os => (line.os, line.os_version) = (Some(known.word), Some(known.detail)),
            Field::Kernel => line.kernel = Some(known.word),
            Field::Arch => line.arch = Some(known.word),
            Field::Agent => line.agent_version = Some(known.word),
            _ => {}
        }
    }
    Ok(CiFile {
        line,
        facts: None,
        declared: declared::find_at(tx, id.0, at)?,
        relations: declared::relations_at(tx, id.0, at)?,
        states: states_at(tx, id, at)?,
        health: Vec::new(),
        history: list_history(tx, id, at)?,
        then: Some(then),
    })
}
