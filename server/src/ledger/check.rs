//! Checks the stored ledger against itself: everything is computed again from the entries.

use super::store::{count_without_document, last_leaf, list_entries, list_logs, list_nodes};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::ledger::{Frontier, Leaf, Node, NodeRange};

/// Leaves read at once.
const PAGE: u64 = 4_096;

/// Says what differs between the entries of every log and the hashes, nodes and heads stored for them;
/// empty is good. Reads everything, so it is for maintenance and tests.
pub fn check(tx: &mut Conn) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    for (log, origin, size, frontier) in list_logs(tx)? {
        let mut say = |problem: String| problems.push(format!("{origin}: {problem}"));
        let (rebuilt, nodes) = rebuild(tx, log, &mut say)?;
        if i64::try_from(rebuilt.size()) != Ok(size) || rebuilt.to_bytes() != frontier {
            say(format!("the head of size {size} does not follow from the leaves"));
        }
        for node in nodes {
            let range = NodeRange { level: node.level, start: node.index, count: 1 };
            if list_nodes(tx, log, range)? != [node.digest] {
                say(format!("node {} of level {} is wrong", node.index, node.level));
            }
        }
        let last = last_leaf(tx, log)?;
        if last != Some(size - 1) {
            say(format!("the last leaf is {last:?}, the size is {size}"));
        }
        let missing = count_without_document(tx, log)?;
        if missing > 0 {
            say(format!("{missing} leaves stand for documents that are not stored"));
        }
    }
    Ok(problems)
}

/// The frontier and the higher nodes that follow from the entries.
fn rebuild(tx: &mut Conn, log: i64, say: &mut impl FnMut(String)) -> Result<(Frontier, Vec<Node>), Error> {
    let mut frontier = Frontier::default();
    let mut nodes = Vec::new();
    loop {
        let range = NodeRange { level: 0, start: frontier.size(), count: PAGE };
        let entries = list_entries(tx, log, range)?;
        let hashes = list_nodes(tx, log, range)?;
        if entries.is_empty() {
            return Ok((frontier, nodes));
        }
        for (entry, stored) in entries.iter().zip(&hashes) {
            let at = frontier.size();
            match Leaf::parse(entry.as_bytes()) {
                Ok(leaf) if leaf.hash() == *stored => {}
                Ok(_) => say(format!("leaf {at} has another hash than its entry")),
                Err(error) => say(format!("leaf {at}: {error}")),
            }
            nodes.extend(frontier.append(*stored).into_iter().filter(|node| node.level > 0));
        }
    }
}
