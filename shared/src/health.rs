//! What a health check says: its state as monitoring plugins have it, words for people, and numbers.

use crate::ids::{AgentId, SiteId};
use crate::keys::PublicKey;
use crate::limits;
use crate::plugin::Metric;
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::ReadError;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The states of monitoring plugins, by their exit codes 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HealthState {
    Ok,
    Warning,
    Critical,
    /// The check itself does not work.
    Unknown,
}

impl HealthState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    /// The state that a program tells with its exit code; a program that was ended tells none.
    pub fn of_exit(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Ok,
            Some(1) => Self::Warning,
            Some(2) => Self::Critical,
            _ => Self::Unknown,
        }
    }
}

/// How one health check went, after all its tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthResult {
    pub name: String,
    /// Whether it counts as passed; a warning does where the manifest says so.
    pub ok: bool,
    /// Absent where an older agent checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HealthState>,
    /// One line for people.
    pub output: String,
    /// Further lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub long: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Why some performance data could not be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unread: String,
    /// Milliseconds by the monotonic clock, all tries together.
    pub ms: u64,
}

/// What all health checks of the approved state of a host say, outside of runs. Signed by the host, but no part of its
/// chain and of no ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthReport {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    pub at: Timestamp,
    /// Each name once.
    pub checks: Vec<HealthResult>,
}

impl Predicate for HealthReport {
    const TYPE: &'static str = "urn:assent:health:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("agent:{}", self.agent_id), self.key.digest())]
    }
}

/// Reads a report: of this site, signed by the key that its host's id is the hash of, within limits.
///
/// # Errors
/// Whatever does not hold.
pub fn open_report(bytes: &[u8], site: &SiteId) -> Result<Statement<HealthReport>, ReadError> {
    let statement = Statement::<HealthReport>::parse(bytes)?;
    let body = &statement.body;
    let names: BTreeSet<&str> = body.checks.iter().map(|check| check.name.as_str()).collect();
    let holds = [
        (body.site == *site, "it belongs to another site"),
        (body.key.agent_id() == body.agent_id, "its key does not belong to its agent id"),
        (statement.is_signed_by(&body.key), "it is not signed by the host's key"),
        (body.checks.len() <= limits::HEALTH_CHECKS, "it has too many checks"),
        (names.len() == body.checks.len(), "a check is there twice"),
    ];
    match holds.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(ReadError::Invalid { what: HealthReport::TYPE, why: why.into() }),
        None => Ok(statement),
    }
}

impl HealthResult {
    pub fn state(&self) -> HealthState {
        self.state.unwrap_or(if self.ok { HealthState::Ok } else { HealthState::Critical })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn result(name: &str) -> HealthResult {
        HealthResult {
            name: name.into(),
            ok: true,
            state: Some(HealthState::Ok),
            output: "ok".into(),
            long: String::new(),
            metrics: vec![],
            unread: String::new(),
            ms: 1,
        }
    }

    #[test]
    fn a_report_is_the_hosts_own_and_has_each_check_once() {
        let key = SigningKey::from_seed(&[7; 32]);
        let site: SiteId = "00112233aabbccdd".parse().unwrap();
        let report = |checks| HealthReport {
            site: site.clone(),
            agent_id: key.public().agent_id(),
            key: key.public(),
            at: Timestamp(1_000),
            checks,
        };
        let open = |body: HealthReport| open_report(&Statement::sign(body, &key).to_bytes(), &site);
        assert!(open(report(vec![])).is_ok() && open(report(vec![result("a"), result("b")])).is_ok());
        let many = (0..=limits::HEALTH_CHECKS).map(|n| result(&n.to_string())).collect();
        let other = SigningKey::from_seed(&[8; 32]).public();
        for (bad, why) in [
            (report(vec![result("a"), result("a")]), "twice"),
            (report(many), "too many"),
            (HealthReport { site: "ffffffffffffffff".parse().unwrap(), ..report(vec![]) }, "another site"),
            (HealthReport { key: other, ..report(vec![]) }, "does not belong"),
            (HealthReport { key: other, agent_id: other.agent_id(), ..report(vec![]) }, "not signed"),
        ] {
            assert!(open(bad).unwrap_err().to_string().contains(why), "{why}");
        }
    }

    #[test]
    fn states_are_those_of_exit_codes() {
        let states = [Some(0), Some(1), Some(2), Some(3), Some(127), None].map(HealthState::of_exit);
        assert_eq!(
            states.map(HealthState::as_str),
            ["ok", "warning", "critical", "unknown", "unknown", "unknown"]
        );
        let older = |ok| HealthResult { ok, state: None, ..result("a") }.state();
        assert_eq!((older(true), older(false)), (HealthState::Ok, HealthState::Critical));
    }
}
