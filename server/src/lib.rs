//! The server: stores, serves, schedules, records, exports. Holds no key that can start a change.

pub mod app;
pub mod assess;
pub mod audit;
pub mod backup;
pub mod budgets;
pub mod calendars;
pub mod changes;
pub mod cmdb;
pub mod compliance;
pub mod findings;
pub mod fleet;
pub mod kernel;
pub mod kpi;
pub mod ledger;
pub mod manifests;
pub mod openapi;
pub mod people;
pub mod progress;
pub mod receipts;
pub mod reminders;
pub mod restored;
pub mod rollout;
pub mod schedule;
#[cfg(test)]
mod simfleet;
pub mod site;
#[cfg(test)]
mod testfleet;
pub mod webhooks;
