//! The host's packet filter: one ruleset of nftables.

use super::edit::TextSource;
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use crate::ids::ResourceId;
use serde::{Deserialize, Serialize};

/// The whole ruleset of nftables, in the running kernel and at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "FirewallEntry", into = "FirewallEntry")]
pub struct Firewall {
    pub source: TextSource,
    /// Seconds within which the host must reach its server under the new rules.
    pub confirm_s: u32,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

impl Firewall {
    /// The file that `nftables.service` loads at boot.
    pub const PATH: &'static str = "/etc/nftables.conf";
    pub const MIN_CONFIRM_S: u32 = 5;
    pub const MAX_CONFIRM_S: u32 = 600;

    fn default_confirm_s() -> u32 {
        60
    }

    /// Whether the ruleset begins by removing the one before. Without that, loading it twice adds it twice.
    pub fn begins_anew(text: &str) -> bool {
        let said = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        said.is_some_and(|line| line.trim_end_matches(';').split_whitespace().eq(["flush", "ruleset"]))
    }
}

resource! {
    /// The ruleset of nftables as a whole, in `/etc/nftables.conf` and in the running kernel; exactly one of `content`
    /// and `template`. It is checked, loaded at once, and taken back by itself unless the host then reaches its
    /// server again in time, even when the agent is killed meanwhile.
    #[schemars = "Firewall", extend("oneOf" = [{ "required": ["content"] }, { "required": ["template"] }])]
    struct FirewallEntry {
        /// The ruleset as nft reads it, beginning with `flush ruleset`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// The ruleset as a handlebars template over `params.*` and `facts.*`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// Seconds within which the host must reach its server under the new rules; 5 to 600.
        #[serde(default = "Firewall::default_confirm_s")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 5, max = 600)))]
        confirm_s: u32,
    }
}

impl TryFrom<FirewallEntry> for Firewall {
    type Error = Contradiction;
    fn try_from(text: FirewallEntry) -> Result<Self, Contradiction> {
        let FirewallEntry { content, template, confirm_s, requires, on_change, satisfies } = text;
        let refuse = |why| Contradiction::Keys("firewall".to_owned(), why);
        let source = TextSource::of(Presence::Present, content, template).ok().flatten();
        let source =
            source.ok_or_else(|| refuse("has no clear rules; exactly one of content and template"))?;
        Ok(Self { source, confirm_s, requires, on_change, satisfies })
    }
}

impl From<Firewall> for FirewallEntry {
    fn from(own: Firewall) -> Self {
        let Firewall { source, confirm_s, requires, on_change, satisfies } = own;
        let (content, template) = TextSource::keys(Some(source));
        Self { content, template, confirm_s, requires, on_change, satisfies }
    }
}

#[cfg(test)]
mod tests {
    use super::Firewall;

    #[test]
    fn a_ruleset_begins_by_removing_the_one_before() {
        for good in ["flush ruleset\n", "#!/usr/sbin/nft -f\n\n# mine\n  flush   ruleset;\ntable ip x {}\n"] {
            assert!(Firewall::begins_anew(good), "{good:?}");
        }
        for bad in ["", "# flush ruleset\n", "table ip x {}\nflush ruleset\n", "flush ruleset ip\n"] {
            assert!(!Firewall::begins_anew(bad), "{bad:?}");
        }
    }
}
