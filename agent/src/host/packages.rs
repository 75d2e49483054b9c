//! What the agent says and hears about packages, whatever the package manager is.

use serde::{Deserialize, Serialize};
use shared::digest::Digest;

/// How complete an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    Installed,
    /// Unpacked; its configuration has not run to its end.
    Unconfigured,
    /// Half installed; must be installed again.
    Broken,
    /// Removed; its configuration files are left.
    ConfigFiles,
}

/// One package that the package manager knows on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub name: String,
    pub arch: String,
    pub version: String,
    pub source: String,
    pub source_version: String,
    pub held: bool,
    pub state: PackageState,
}

/// One package that a transaction changes. `from` and `to` are versions; without `to` it is removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageChange {
    pub name: String,
    pub arch: String,
    pub from: Option<String>,
    pub to: Option<String>,
    /// `Label:suite` of the sources that offer it, joined with `, `.
    pub origin: Option<String>,
    pub sha256: Option<Digest>,
}

/// What is asked of the package manager: exact versions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Name (with `:arch` for a foreign one) and version.
    pub install: Vec<(String, String)>,
    pub remove: Vec<String>,
    /// Older versions than the installed ones are meant.
    pub downgrade: bool,
    /// Packages on hold are meant.
    pub held: bool,
    /// Configuration files of removed packages go too.
    pub purge: bool,
    /// The same version again, for packages that are broken.
    pub reinstall: bool,
}

impl Request {
    pub fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty()
    }
}

/// A package with the versions that its sources offer, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    pub installed: Option<String>,
    /// The version that the host's own settings prefer.
    pub candidate: Option<String>,
    /// Version and its origins, as `Label:suite`; none for a version that only the host itself has.
    pub versions: Vec<(String, Vec<String>)>,
}

/// A note of the package manager about a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Hold,
    Unhold,
    /// Came as a dependency; may go when nothing needs it any more.
    Auto,
}
