//! The CMDB: what is known of each configuration item, and what every receipt said about it.
//!
//! Owns CIs, facts, history, the as-recorded state per resource and what health checks said last. Never decides anything by them:
//! hosts are identified by their keys, approvals by the policy.

mod api;
mod declared;
mod differences;
mod marks;
mod model;
mod search;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Then, routes};
pub use declared::{
    Far, Page, find_declared, hosts as declared_hosts, is_any_owner, is_owner, reached, relying, serving,
};
pub use model::{
    CiId, EventKind, NewEffect, NewEvent, NewHealth, NewHost, NewState, NotACi, Source, Succession, one_line,
};
pub use search::{
    Asked, Field, fitting_all, found, is_fitting, labels, observed, record as record_words, spelt_out,
};
pub use store::{
    check_unfollowed, facts_digests, find_facts, forget_states, get, get_course, get_file, insert_events,
    insert_host, list_departures, list_history, list_states, names, record_effect, record_facts,
    record_health, record_report, record_states, retire, states_are_kept, states_at, succeed,
};
