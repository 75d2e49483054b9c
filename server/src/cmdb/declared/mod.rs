//! What people declare: classes, owners, protection needs, relations. Hosts' own facts and this never overwrite one another.

mod api;
mod apply;
mod graph;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Far, Page, find_declared, is_any_owner, is_owner, reached, relying, routes, serving};
pub(super) use store::insert;
pub use store::{find, find_at, hosts, relations, relations_at};
