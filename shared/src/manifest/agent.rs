//! The program of the agent itself.

use super::resource::{Artifact, resource};
use crate::release::{PRODUCT, SignedRelease};

resource! {
    /// The program of the agent in a version that the vendor has released. The running one tries it first: the new one
    /// must report healthy in time, or the old one stays and the version is not tried again here. A change that brings
    /// it brings nothing else.
    #[schemars = "Agent"]
    #[derive(PartialEq, Eq)]
    struct AgentProgram {
        /// The release statement (JSON in quotes, as `assent release manifest` writes it). It names the program by its
        /// digest; upload that with `assent artifact put`.
        pub release: SignedRelease,
    }
}

impl AgentProgram {
    /// What follows the kind in its id: a host has one.
    pub const NAME: &'static str = PRODUCT;

    /// The program as a blob of the repository.
    pub fn program(&self) -> Artifact {
        let release = self.release.body();
        Artifact { sha256: release.sha256, length: release.length }
    }
}
