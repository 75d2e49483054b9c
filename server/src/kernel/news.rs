//! News for the outside: written in the transaction of what happened, spread by the slice that knows who wants to hear it.

use super::db::Conn;
use super::outbox;
use diesel::prelude::*;
use shared::news::{About, News, NewsKind};
use shared::strict;
use shared::time::Timestamp;

/// Topic of the outbox.
pub const TOPIC: &str = "news";

/// Says that something happened; what is rolled back was never said.
pub fn tell(tx: &mut Conn, kind: NewsKind, about: About, now: Timestamp) -> QueryResult<()> {
    outbox::put(tx, TOPIC, kind.as_str(), &strict::to_text(&News { kind, at: now, about }), now)
}
