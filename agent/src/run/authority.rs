//! Which TLS authorities count: those that governance names in the policy. The host renews its certificate under the newest of
//! them, and forgets those that are named no longer.
//!
//! Never: trust on first use. An authority that the policy of this host does not name yet is spoken to only because the server
//! has proven its pinned key, until the newest policy is here, which governance has signed; only that one lets it stay.

use super::{Agent, Tick};
use crate::decide::Chore;
use crate::enrol::{self, EnrolError, Renewed};
use crate::hands::Hands;
use crate::pull::{PullError, Repository, Source};
use crate::server::{self, Server};
use crate::state::StateError;
use crate::tls::{self, CertificateInfo};
use shared::digest::Digest;
use shared::policy::Policy;
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;

/// Seconds between two attempts to renew a certificate.
const RENEWAL_SECS: i64 = 3_600;
/// The same when the server did not know yet what the policy names.
const AGAIN_SECS: i64 = 300;
const UNNAMED: &str = "the certificate authority of the server is not one that the policy pins";

/// A certificate of an authority that the policy of this host does not name. Lost with the process, and asked for again.
pub(super) struct Unnamed {
    spki: Digest,
    ca: Vec<u8>,
    certificate: Vec<u8>,
}

/// What is remembered of authorities.
#[derive(Default)]
pub(super) struct Authorities {
    /// Whose certificate this host has; none when nobody names it any more.
    issuer: Option<Digest>,
    /// All that are in `ca.crt`.
    known: Vec<Digest>,
    /// Those that the policy names, the newest last.
    named: Vec<Digest>,
    unnamed: Option<Unnamed>,
}

impl Authorities {
    pub(super) fn new(ca: Option<&[u8]>, policy: Option<&[u8]>) -> Self {
        let policy = policy.and_then(|bytes| Policy::parse(bytes).ok());
        let mut new =
            Self { named: policy.map(|policy| policy.ca_spki).unwrap_or_default(), ..Self::default() };
        new.use_file(ca.unwrap_or_default());
        new
    }

    /// `ca.crt` as it is now: the first one has issued this host's certificate.
    fn use_file(&mut self, pem: &[u8]) {
        let all = tls::authorities(pem).unwrap_or_default();
        self.known = all.into_iter().map(|(spki, _)| spki).collect();
        self.issuer = self.known.first().copied();
    }

    /// The policy names a newer one than this host knows, or not the one of its certificate.
    fn is_behind(&self) -> bool {
        let knows_newest = self.named.last().is_none_or(|newest| self.known.contains(newest));
        let counts = self.named.is_empty() || self.issuer.is_some_and(|issuer| self.named.contains(&issuer));
        self.unnamed.is_none() && !(knows_newest && counts)
    }
}

impl<H: Hands, S: Server> Agent<H, S> {
    /// Whether a new certificate is to be asked for.
    pub(super) fn renewal(&self, now: Timestamp) -> Chore {
        let memory = &self.memory;
        let wanted = memory.tls_trouble
            || memory.authorities.is_behind()
            || memory.certificate.as_ref().is_none_or(|c| c.wants_renewal(now));
        if wanted && now >= memory.next_renewal { Chore::Due } else { Chore::Settled }
    }

    pub(super) fn renew(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        self.memory.next_renewal = tick.now.plus(RENEWAL_SECS);
        self.memory.tls_trouble = false;
        let policy = self.state.policy()?.and_then(|bytes| Policy::parse(&bytes).ok());
        match enrol::renew(&mut self.state, &mut self.server, policy.as_ref(), tick.now) {
            Ok(Renewed::InUse { certificate }) => {
                tick.report.line(format!("new certificate until {}", certificate.not_after));
                self.memory.certificate = Some(certificate);
                self.memory.authorities.use_file(&self.state.read_file("ca.crt")?.unwrap_or_default());
                self.memory.authorities.unnamed = None;
                if self.memory.authorities.is_behind() {
                    self.memory.next_renewal = tick.now.plus(AGAIN_SECS);
                }
                tick.certificate = Chore::Settled;
                try_again(tick);
            }
            Ok(Renewed::Unnamed { spki, ca, certificate }) => {
                let what = "new certificate of an authority that the policy here does not name; the server's is looked at first";
                tick.report.line(what);
                self.memory.authorities.unnamed = Some(Unnamed { spki, ca, certificate });
                tick.certificate = Chore::Settled;
                try_again(tick);
            }
            Err(EnrolError::State(e)) => return Err(e),
            Err(e) => {
                tick.report.trouble(&format!("the certificate was not renewed: {e}"));
                tick.certificate = Chore::Failed;
            }
        }
        Ok(())
    }

    /// Holds what is in use to what the policy names, if it names any: a newly named authority stays, one that is named no longer
    /// goes, and one that was never named stops changes.
    pub(super) fn follow_authorities(&mut self, repository: &Repository) -> Result<(), PullError> {
        let pins = &repository.policy.ca_spki;
        self.memory.authorities.named.clone_from(pins);
        if repository.source == Source::Server
            && let Some(unnamed) = self.memory.authorities.unnamed.take()
        {
            self.judge_unnamed(&unnamed, pins)?;
        }
        let Some(pem) = self.state.read_file("ca.crt")? else { return Ok(()) };
        if pins.is_empty() {
            return Ok(());
        }
        let known = tls::authorities(&pem).unwrap_or_default();
        let named: Vec<_> = known.iter().filter(|(spki, _)| pins.contains(spki)).collect();
        let Some((first, _)) = named.first() else {
            return Err(Refused::new(Code::PolicyInvalid, UNNAMED).into());
        };
        if named.len() < known.len() {
            let pem: String = named.iter().map(|(_, pem)| pem.as_str()).collect();
            // Whose certificate this host has is the first one, or none that counts any more.
            let issuer = known.first().map(|(spki, _)| *spki).filter(|spki| spki == first);
            self.state.put("ca.crt", pem.as_bytes())?;
            self.memory.authorities.use_file(pem.as_bytes());
            self.memory.authorities.issuer = issuer;
            self.server.use_trust(&server::stored_trust(&self.state)?)?;
        }
        Ok(())
    }

    fn judge_unnamed(&mut self, unnamed: &Unnamed, pins: &[Digest]) -> Result<(), PullError> {
        let named = pins.contains(&unnamed.spki);
        if named {
            self.state.put("ca.crt", &unnamed.ca)?;
            self.state.put("tls.crt", &unnamed.certificate)?;
            self.memory.certificate = CertificateInfo::read(&unnamed.certificate).ok();
            self.memory.authorities.use_file(&unnamed.ca);
        }
        self.server.use_trust(&server::stored_trust(&self.state)?)?;
        if named { Ok(()) } else { Err(Refused::new(Code::PolicyInvalid, UNNAMED).into()) }
    }
}

/// What failed in this tick for want of a certificate is due again.
fn try_again(tick: &mut Tick) {
    if !std::mem::take(&mut tick.offline) {
        return;
    }
    for chore in [&mut tick.spool, &mut tick.check_in, &mut tick.refresh] {
        if *chore == Chore::Failed {
            *chore = Chore::Due;
        }
    }
}
