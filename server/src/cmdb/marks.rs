//! What of facts is looked for across hosts: one short entry for each socket, certificate, updater and the like. Pure.

use super::model::one_line;
use shared::facts::{Facts, Protocol};
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// Seconds by which a clock may be apart from the server's: signed times are judged with more (`CLOCK_SKEW_SECS`).
const CLOCK_APART_SECS: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// Why a reboot is needed.
    Reboot,
    /// Name of the system; the number is the end of its security support.
    Support,
    /// Path and subject; the number is the end.
    Certificate,
    /// Protocol, address and program; the number is the port.
    Listening,
    /// Name; the number is 1 when it is enabled.
    Updater,
    /// What is wrong with the clock.
    Clock,
}

impl MarkKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Support => "support",
            Self::Certificate => "certificate",
            Self::Listening => "listening",
            Self::Updater => "updater",
            Self::Clock => "clock",
        }
    }

    /// An entry in words.
    pub fn told(self, word: &str, number: Option<i64>) -> String {
        let day = || number.map(|at| day(Timestamp(at))).unwrap_or_default();
        match self {
            Self::Reboot | Self::Listening | Self::Clock => word.to_owned(),
            Self::Support => format!("{word}: security support until {}", day()),
            Self::Certificate => format!("{word} ends {}", day()),
            Self::Updater if number == Some(1) => format!("{word} (enabled)"),
            Self::Updater => format!("{word} (not enabled)"),
        }
    }
}

/// The day of a time, in UTC.
pub fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub kind: MarkKind,
    pub word: String,
    pub number: Option<i64>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    OutdatedOs,
    RebootNeeded,
    CertificateEnds { within_s: i64 },
    Listening { port: u16 },
    Updater { name: String },
    ClockWrong,
}

impl Wanted {
    pub fn kind(&self) -> MarkKind {
        match self {
            Self::OutdatedOs => MarkKind::Support,
            Self::RebootNeeded => MarkKind::Reboot,
            Self::CertificateEnds { .. } => MarkKind::Certificate,
            Self::Listening { .. } => MarkKind::Listening,
            Self::Updater { .. } => MarkKind::Updater,
            Self::ClockWrong => MarkKind::Clock,
        }
    }
}

/// All entries of one host; a word stands once for each kind, with its smallest number.
pub fn marks(facts: &Facts) -> BTreeSet<Mark> {
    let mut all = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut add = |kind: MarkKind, word: String, number: Option<i64>| {
        let word = one_line(&word);
        if seen.insert((kind, word.clone())) {
            all.insert(Mark { kind, word, number });
        }
    };
    for reason in &facts.reboot {
        add(MarkKind::Reboot, reason.clone(), None);
    }
    if let Some(support) = &facts.support {
        add(MarkKind::Support, facts.os.name.clone(), Some(support.ends.0));
    }
    for certificate in &facts.certificates {
        let word = format!("{} ({})", certificate.path, certificate.subject);
        add(MarkKind::Certificate, word, Some(certificate.not_after.0));
    }
    for socket in &facts.listening {
        let protocol = if socket.protocol == Protocol::Tcp { "tcp" } else { "udp" };
        let word = format!(
            "{protocol} {} {}",
            place(&socket.address, socket.port),
            socket.program.as_deref().unwrap_or("?")
        );
        add(MarkKind::Listening, word, Some(socket.port.into()));
    }
    for updater in &facts.updaters {
        add(MarkKind::Updater, updater.name.clone(), Some(updater.enabled.into()));
    }
    for word in facts.clock.iter().flat_map(clock) {
        add(MarkKind::Clock, word, None);
    }
    all
}

/// An IPv6 address stands in brackets before its port.
pub fn place(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn clock(clock: &shared::facts::Clock) -> Vec<String> {
    let unsynchronised =
        (clock.synchronised == Some(false)).then(|| "the clock is not synchronised".to_owned());
    let apart = clock.ahead_s.filter(|seconds| seconds.unsigned_abs() >= CLOCK_APART_SECS).map(|seconds| {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        format!("the clock is {} s {side} the server's", seconds.unsigned_abs())
    });
    unsynchronised.into_iter().chain(apart).collect()
}
