//! Fetching what an approved change needs before its window opens, so that the window is for changing only.
//!
//! Best effort: what is missing then is fetched in the window. Never: a change of the machine.

use super::{Agent, Tick};
use crate::admit;
use crate::decide::ChangeKey;
use crate::hands::Hands;
use crate::pull;
use crate::server::Server;
use crate::state::StateError;
use shared::refusal::{Code, Refused};

/// Between two attempts to fetch what could not be fetched.
const AGAIN_SECS: i64 = 900;

/// Approved, and only the moment is wrong: the window has not opened, earlier waves are under way, or others have the slots.
pub(super) fn is_only_early(refused: &Refused) -> bool {
    matches!(refused.code, Code::TimeWindow | Code::TimeBlackout | Code::WaveGate | Code::LockHeld)
}

impl<H: Hands, S: Server> Agent<H, S> {
    pub(super) fn prefetch(
        &mut self,
        key: &ChangeKey,
        bytes: &[u8],
        tick: &mut Tick,
    ) -> Result<(), StateError> {
        let now = tick.now;
        let mut due = true;
        let known = &self.memory.prefetch;
        let granted = {
            let known = known.clone();
            self.check(tick, now, |court, pulled| {
                let bundle = admit::open_bundle(court, &key.0, key.1, bytes)?;
                let granted = admit::granted(court, &bundle, pulled)?;
                due = known.get(&granted.own_plan.digest).is_none_or(|at| at.is_some_and(|at| at <= now));
                if due {
                    for wanted in granted.manifests.iter().flat_map(|m| m.get().artifacts()) {
                        let got = pull::artifact(pulled.state, pulled.server, wanted);
                        got.map_err(|e| pulled.refused(e, Code::ArtifactMissing))?;
                    }
                }
                Ok(granted)
            })?
        };
        // The reason why it may not start is told elsewhere; this one only counts here.
        let (digest, fetched) = match granted {
            Ok(granted) if due => (granted.own_plan.digest, self.hands.prefetch(&granted.own_plan.body)),
            Ok(_) | Err(_) => return Ok(()),
        };
        let again = match fetched {
            Ok(()) => {
                tick.report.line(format!("{} revision {}: everything it needs is here", key.0, key.1));
                None
            }
            Err(refused) => {
                tick.report.line(format!("{} revision {} cannot be prepared yet: {refused}", key.0, key.1));
                Some(now.plus(AGAIN_SECS))
            }
        };
        self.memory.prefetch.insert(digest, again);
        Ok(())
    }
}
