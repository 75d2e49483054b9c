//! Receipts and refusals: what hosts say they did and did not do, made durable and proven back to them.
//!
//! Owns the intake, the order of each host's chain, and the alarms that chains and ledger raise.
//! Never judges whether a host was right: it records what was signed, and what follows from it.

mod api;
mod intake;
mod model;
#[cfg(test)]
mod past_tests;
#[cfg(test)]
mod proxied_tests;
mod record;
mod states;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub use api::{agent_routes, people_routes};
pub use intake::Intake;
pub use model::{Alarm, AlarmKind, Incoming, ReceiptLine, RefusalLine, Verdict};
pub use record::Topics;
pub use states::make_again;
pub use store::{find_standing, list_alarms, list_by_change, list_by_time, list_findings, list_refusals};
