//! The agent's own look at a tree, which changes nothing.

use super::tree::Tree;
use std::path::PathBuf;
use tests::programs;

pub fn plan(tree: &Tree) -> Vec<PathBuf> {
    vec![programs::own("assent-agent"), "plan".into(), tree.manifest(), "--root".into(), tree.root()]
}
