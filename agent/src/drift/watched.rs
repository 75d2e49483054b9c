//! What is worth a check at once when it is touched: managed files and directories, and the places of accounts and units.

use super::ApprovedState;
use super::surroundings::PLACES;
use crate::host::watch::Watched;
use shared::manifest::Resource;
use std::collections::BTreeSet;

/// Paths that are watched for one host; beyond that the clock has to do.
const MOST: usize = 8_192;

/// Everything that is watched for these states.
pub fn watched(states: &[ApprovedState]) -> BTreeSet<Watched> {
    let mut all: BTreeSet<Watched> = PLACES.iter().map(|path| Watched::Path((*path).to_owned())).collect();
    for resource in states.iter().flat_map(|state| state.manifest.resources()) {
        all.extend(resource.paths().map(|path| Watched::Path(path.into_owned())));
        all.extend(resource.edits().map(|path| Watched::Path(path.to_owned())));
        if let Resource::Directory(own) = resource
            && own.reaches_below()
        {
            all.insert(Watched::Below(own.path.to_string()));
        }
        if all.len() >= MOST {
            break;
        }
    }
    all
}
