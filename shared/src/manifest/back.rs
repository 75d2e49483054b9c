//! Which resources a host may put back by itself when somebody has changed them.
//!
//! The rule: what is wholly described by the manifest, can be taken back, and runs nothing that nobody looks at. Not
//! packages (they run scripts and need sources), commands and external programs (no states), accounts (a removed one
//! cannot come back as it was), trust (authorities, package sources), nor what may cut the host off (firewall, mounts,
//! kernel modules). Those are told as findings.

use super::{Manifest, OnDrift, Resource};

impl Resource {
    /// Whether a host may put it back by itself, where everything else allows it.
    pub fn can_be_put_back(&self) -> bool {
        match self {
            Self::File(_)
            | Self::Directory(_)
            | Self::Symlink(_)
            | Self::Line(_)
            | Self::Block(_)
            | Self::Setting(_)
            | Self::Sysctl(_)
            | Self::Sudoers(_)
            | Self::AuthorizedKeys(_)
            | Self::Hostname(_)
            | Self::Timezone(_)
            | Self::Dropin(_)
            | Self::Timer(_)
            | Self::Acl(_)
            | Self::Service(_) => true,
            Self::Package(_)
            | Self::Agent(_)
            | Self::PackageRepository(_)
            | Self::Command(_)
            | Self::External(_)
            | Self::User(_)
            | Self::Group(_)
            | Self::Certificate(_)
            | Self::Archive(_)
            | Self::Firewall(_)
            | Self::Mount(_)
            | Self::KernelModule(_) => false,
        }
    }
}

impl Manifest {
    /// Whether its author wants hosts to put back what others change.
    pub fn corrects(&self) -> bool {
        self.on_drift == OnDrift::Correct
    }

    /// Resources of a manifest that corrects which are never put back, only reported.
    pub fn only_reported(&self) -> impl Iterator<Item = &Resource> {
        self.resources().iter().filter(|resource| self.corrects() && !resource.can_be_put_back())
    }
}
