//! The command line of `assent ci …`.

use crate::args::AsJson;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum CiCommand {
    /// List hosts, or the entries that a search finds
    #[command(
        after_help = "A search has terms that all hold; OR and commas are alternatives, - negates, brackets group, * is any text, quotes keep\nblanks. Keys: name class host-class os kernel arch agent package source service label local owner env criticality protection\nconfidentiality integrity availability scope lifecycle manifest change finding serves relies saved; package, source, os, kernel,\nagent, manifest and the steps of need and criticality take < <= = >= >. Versions of packages compare as on the host itself.\nserves:shop finds what shop stands on, relies:web1 what an outage of web1 reaches.\nAll pages are read; a text without a key is a part of the name or the description.\n\nExample: assent ci list --label role=web\n         assent ci list 'os:debian-12 package:openssl<3.0.17 label:prod -class:device'\n         assent ci list --certificate-expires 30d\n         assent ci list --outdated-os --listening 22"
    )]
    List {
        /// What is looked for; without it, all hosts
        #[arg(value_name = "QUERY", allow_hyphen_values = true)]
        query: Vec<String>,
        /// Only hosts that have this label; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        label: Vec<String>,
        #[command(flatten)]
        facts: ByFacts,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep searches under a name, for `saved:NAME` in others
    #[command(subcommand)]
    Search(super::search::SearchCommand),
    /// Show one host: state as recorded, who approved it, history
    #[command(
        after_help = "Example: assent ci show web1\n         assent ci show web1 --at 2026-10-01T12:00Z"
    )]
    Show {
        /// Host name, CI or agent id
        host: String,
        /// As it was then: RFC 3339, a local date, or a local date and time
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what one host reported of itself
    #[command(after_help = "Example: assent ci facts web1 listening")]
    Facts {
        /// Host name or CI
        host: String,
        /// One section; without it all but packages and services
        section: Option<FactSection>,
        /// As JSON; without a section all of it
        #[arg(long)]
        json: bool,
    },
    /// Show what one health check of a host has said and counted within the last week
    #[command(after_help = "Example: assent ci health web1 disk")]
    Health {
        /// Host name, CI or agent id
        host: String,
        /// The check, as `assent ci show` names it
        check: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Where what is declared and what hosts report do not fit together
    #[command(subcommand)]
    Mismatch(super::mismatch::MismatchCommand),
    /// Compare two entries, one entry at two times, or an entry with a manifest
    #[command(
        after_help = "Example: assent ci compare web1 web2\n         assent ci compare web1@2026-10-01 web1@2026-11-01T12:00Z\n         assent ci compare web1 manifest:web-base@1.2.0"
    )]
    Compare {
        /// Name or CI; behind @ a time, as it was then
        #[arg(value_name = "ENTRY[@TIME]")]
        left: String,
        /// The same, or a manifest
        #[arg(value_name = "ENTRY[@TIME]|manifest:[TEAM/]NAME[@VERSION]")]
        right: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Declared(super::declared::args::DeclaredCommand),
    /// Set labels (KEY=VALUE) or remove them (KEY=)
    #[command(after_help = "Example: assent ci label web1 role=web stage= --reason \"is a web server now\"")]
    Label(LabelArgs),
    /// Shut a host out at once, on open connections as well
    #[command(after_help = "Example: assent ci disable web1 --reason \"its disk is failing\"")]
    Disable(Switch),
    /// Let a host in again, and end a hold
    #[command(after_help = "Example: assent ci enable web1 --reason \"the disk was replaced\"")]
    Enable(Switch),
    /// Make a draft of a change with which hosts leave for good
    #[command(
        after_help = "Hosts never get such a change; it is decided by its review. With the last approval the hosts are out at once, and nothing\nbrings their keys back. `assent ci disable` shuts a host out without a change, until somebody enables it again.\n\nExample: assent ci retire web1 web2 --reason \"replaced by the new cluster\""
    )]
    Retire(Retire),
    /// Make a draft of a change with which a machine goes on under its entry with another key
    #[command(
        after_help = "For a machine that was installed anew, got a new key, or had a double: it joins as a new host of the same class first. With the\nlast approval the old host is out at once; its entry goes on with the new one, and the entry that the new one had ends.\n\nExample: assent ci succeed CI-7 CI-31 --reason \"installed anew after the disk failed\""
    )]
    Succeed(Succeed),
}

#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Host name, CI or agent id
    pub host: String,
    /// What is set or removed
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Why; kept in the history of the host
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub json: AsJson,
}

/// A host that is shut out or let in again.
#[derive(Debug, Args)]
pub struct Switch {
    /// Host name, CI or agent id
    pub host: String,
    /// Why; kept in the history of the host
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub json: AsJson,
}

/// Which hosts leave.
#[derive(Debug, Args)]
pub struct Retire {
    /// Host names, CIs or agent ids
    #[arg(required = true, value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub wording: Wording,
}

/// Which host leaves, and which one goes on in its place.
#[derive(Debug, Args)]
pub struct Succeed {
    /// The host that leaves: name, CI or agent id
    pub old: String,
    /// The host that goes on in its place: name, CI or agent id
    pub new: String,
    #[command(flatten)]
    pub wording: Wording,
}

/// What such a change says besides its hosts.
#[derive(Debug, Args)]
pub struct Wording {
    /// Why; signed with the change
    #[arg(long)]
    pub reason: String,
    /// One line that says what is done (default: from the names of the hosts)
    #[arg(long)]
    pub title: Option<String>,
    /// How it would be taken back (default: the machine joins again and follows the old host)
    #[arg(long)]
    pub undo: Option<String>,
    /// When somebody must have decided, else it expires: a time, or so long from now on (s, m, h, d, w; at most 90d)
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub review_by: String,
    /// Make the next revision of this change; it is about the hosts that are named now
    #[arg(long, value_name = "ID")]
    pub revise: Option<shared::ids::ChangeRef>,
    #[command(flatten)]
    pub json: AsJson,
}

/// Which hosts, by the facts that they reported last.
#[derive(Debug, Default, Args)]
pub struct ByFacts {
    /// Only hosts whose operating system is out of security support
    #[arg(long)]
    pub outdated_os: bool,
    /// Only hosts that should be rebooted
    #[arg(long)]
    pub reboot_needed: bool,
    /// Only hosts with a certificate that ends within these days, such as 30d, or has ended
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub certificate_expires: Option<u16>,
    /// Only hosts that listen on this port
    #[arg(long, value_name = "PORT")]
    pub listening: Option<u16>,
    /// Only hosts that have this other updater, such as unattended-upgrades, enabled or not
    #[arg(long, value_name = "NAME")]
    pub updater: Option<String>,
    /// Only hosts whose clock is not synchronised, or 30 seconds or more from the server's
    #[arg(long)]
    pub clock_wrong: bool,
}

fn days(text: &str) -> Result<u16, String> {
    text.strip_suffix('d').unwrap_or(text).parse().map_err(|_| "write days, such as 30d".to_owned())
}

impl ByFacts {
    /// As the server's list of CIs takes it; empty when nothing is asked.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let yes = |set: bool| set.then(|| "true".to_owned());
        let all = [
            ("outdated_os", yes(self.outdated_os)),
            ("reboot_needed", yes(self.reboot_needed)),
            ("certificate_expires_days", self.certificate_expires.map(|days| days.to_string())),
            ("listening", self.listening.map(|port| port.to_string())),
            ("updater", self.updater.clone()),
            ("clock_wrong", yes(self.clock_wrong)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A part of what a host reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FactSection {
    System,
    Packages,
    Services,
    Listening,
    Users,
    Mounts,
    Certificates,
    Updaters,
    Local,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_asked_of_the_server_as_they_were_given() {
        let asked = ByFacts {
            reboot_needed: true,
            certificate_expires: days("30d").ok(),
            updater: Some("snapd".into()),
            ..ByFacts::default()
        };
        let query: Vec<String> =
            asked.query().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(query, ["reboot_needed=true", "certificate_expires_days=30", "updater=snapd"]);
        assert_eq!(ByFacts::default().query(), []);
        for bad in ["", "d", "-1", "30h", "99999"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
