//! Where things are below the root, and the few settings of `agent.toml`.
//!
//! The site, its trust anchors and the host's identity are not settings: joining writes them to the state.

use crate::facts;
use crate::net::Address;
use serde::Deserialize;
use shared::facts::Section;
use shared::ids::HostClass;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each that does not answer costs its time limit before the next one is asked.
const MOST_NODES: usize = 7;

/// The places of one agent; everything is below the root.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/assent")
    }

    pub fn config_file(&self) -> PathBuf {
        self.root.join("etc/assent/agent.toml")
    }

    pub fn host_class_file(&self) -> PathBuf {
        self.root.join("etc/assent/host-class")
    }
}

/// `agent.toml`. Every key has a default, so the file may be absent; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds between check-ins as long as the server names none.
    pub poll_secs: u32,
    /// Other addresses of the agent port, as `host:port`: nodes of the same site, asked in this order when the one in use
    /// does not answer.
    pub nodes: Vec<Address>,
    /// Seconds for name resolution, connection and TLS handshake.
    pub connect_timeout_secs: u32,
    /// Seconds for one request with its answer; artifacts have an own limit by their length.
    pub request_timeout_secs: u32,
    /// Bytes a second below which a transfer is given up, once its first ten seconds are over.
    pub min_rate_bytes: u32,
    /// Seconds between two looks whether the host still is as it was approved.
    pub check_secs: u32,
    /// Seconds after which such a look reads everything again, touched or not.
    pub full_check_secs: u32,
    /// Seconds between two looks at the health checks of applied manifests; 0 for none.
    pub health_secs: u32,
    /// Seconds for which a finding that looks otherwise than before is not told again.
    pub quiet_secs: u32,
    /// Seconds that other users of the package manager are waited for, before a step that needs it fails.
    pub package_lock_secs: u32,
    /// Seconds between two looks whether the facts of this host have changed.
    pub facts_secs: u32,
    /// Parts of the facts that this host keeps back.
    pub facts_omit: Vec<Section>,
    /// Files and directories in which certificates are looked for.
    pub certificates: Vec<String>,
    /// Seconds within which a new program of the agent must report healthy, or the old one stays.
    pub trial_secs: u32,
    /// How much is logged, in the syntax of `tracing` filters.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        let facts::Settings { omit, certificates } = facts::Settings::default();
        Self {
            facts_secs: 900,
            facts_omit: omit,
            certificates,
            nodes: Vec::new(),
            poll_secs: 60,
            connect_timeout_secs: 10,
            request_timeout_secs: 60,
            min_rate_bytes: 1_024,
            package_lock_secs: 600,
            check_secs: 900,
            full_check_secs: 86_400,
            health_secs: 300,
            quiet_secs: 3_600,
            trial_secs: 300,
            log: "info".into(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid: {why}", path = path.display())]
    Invalid { path: PathBuf, why: String },
}

impl Config {
    /// Reads `agent.toml` below `paths`; defaults when it does not exist.
    ///
    /// # Errors
    /// Unreadable, unknown keys, or values out of range; the message names file and key.
    pub fn load(paths: &Paths) -> Result<Self, ConfigError> {
        let path = paths.config_file();
        match read(&path)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text).map_err(|why| ConfigError::Invalid { path, why }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        for (key, value, least, most) in [
            ("poll_secs", config.poll_secs, 1, 86_400),
            ("connect_timeout_secs", config.connect_timeout_secs, 1, 600),
            ("request_timeout_secs", config.request_timeout_secs, 1, 3_600),
            ("min_rate_bytes", config.min_rate_bytes, 1, 1 << 30),
            ("package_lock_secs", config.package_lock_secs, 1, 3_600),
            ("check_secs", config.check_secs, 1, 86_400),
            ("full_check_secs", config.full_check_secs, 1, 30 * 86_400),
            ("health_secs", config.health_secs, 0, 86_400),
            ("quiet_secs", config.quiet_secs, 1, 86_400),
            ("facts_secs", config.facts_secs, 1, 86_400),
            // The unit waits 15 minutes for a run that it is to stop.
            ("trial_secs", config.trial_secs, 5, 600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{key} is {value}; use {least} to {most}"));
            }
        }
        if config.nodes.len() > MOST_NODES {
            return Err(format!("nodes has {} addresses; at most {MOST_NODES}", config.nodes.len()));
        }
        if let Some(path) = config.certificates.iter().find(|path| !path.starts_with('/')) {
            return Err(format!("certificates has {path:?}; write the whole path, from / on"));
        }
        Ok(config)
    }

    pub fn facts(&self) -> facts::Settings {
        facts::Settings { omit: self.facts_omit.clone(), certificates: self.certificates.clone() }
    }

    pub fn package_lock(&self) -> Duration {
        Duration::from_secs(self.package_lock_secs.into())
    }

    pub fn trial(&self) -> Duration {
        Duration::from_secs(self.trial_secs.into())
    }

    pub fn limits(&self) -> crate::net::Limits {
        crate::net::Limits {
            connect: Duration::from_secs(self.connect_timeout_secs.into()),
            request: Duration::from_secs(self.request_timeout_secs.into()),
            min_rate: self.min_rate_bytes.into(),
        }
    }
}

/// The host class that was pinned on this host; the server has no say in it.
///
/// # Errors
/// Unreadable or not a class name; `None` when the file does not exist.
pub fn host_class(paths: &Paths) -> Result<Option<HostClass>, ConfigError> {
    let path = paths.host_class_file();
    let Some(text) = read(&path)? else { return Ok(None) };
    match text.trim().parse() {
        Ok(class) => Ok(Some(class)),
        Err(e) => Err(ConfigError::Invalid { path, why: format!("{e}") }),
    }
}

fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_and_typos_are_refused() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("poll_secs = 5").unwrap().poll_secs, 5);
        for (bad, why) in [
            ("pol_secs = 5", "pol_secs"),
            ("poll_secs = 0", "poll_secs is 0"),
            ("poll_secs = \"5\"", "5"),
            ("nodes = [\"b.example\"]", "write host:port"),
            ("nodes = [\"a:1\", \"b:x\"]", "\"b:x\" is not an address"),
            ("nodes = [\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\"]", "at most 7"),
            ("facts_omit = [\"packages\"]", "packages"),
            ("certificates = [\"etc\"]", "from / on"),
        ] {
            assert!(Config::parse(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
