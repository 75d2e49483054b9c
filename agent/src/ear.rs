//! Hears of touched files while the agent sleeps, without a wake-up as long as nothing happens. Where inotify gives
//! nothing, the clock has to do.

use crate::host::watch::{Watch, Watched};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whoever touches one file often touches the next one: a check waits so long for it.
const QUIET: Duration = Duration::from_secs(1);
/// Something that is touched all the time gives a check as often as this.
const APART: Duration = Duration::from_secs(10);

/// The watches of the process, and what they have told that no check has answered yet.
pub struct Ear {
    watch: Option<AsyncFd<Watch>>,
    missing: usize,
    touched: bool,
    last: Option<Instant>,
}

impl Ear {
    /// For the machine below `root`; to be called within a runtime.
    pub fn new(root: &Path) -> Self {
        let watch = Watch::new(root).and_then(registered).map_err(|error| {
            tracing::warn!(%error, "files cannot be watched; changes are found by the next check in time");
        });
        Self { watch: watch.ok(), missing: 0, touched: false, last: None }
    }

    /// Ends a moment after something that is watched was touched. What was heard is kept when the sleep ends earlier.
    pub async fn hears(&mut self, watched: &BTreeSet<Watched>) {
        let Some(watch) = &mut self.watch else { return std::future::pending().await };
        let missing = watch.get_mut().set(watched);
        if missing > self.missing {
            tracing::warn!(
                "{missing} directories cannot be watched; changes there are found by the next check in time"
            );
        }
        self.missing = missing;
        self.touched |= watch.get_mut().touched();
        while !self.touched {
            match watch.readable_mut().await {
                Ok(mut ready) => {
                    self.touched = ready.get_inner_mut().touched();
                    ready.clear_ready();
                }
                Err(error) => {
                    tracing::warn!(%error, "files are watched no more; changes are found by the next check in time");
                    return std::future::pending().await;
                }
            }
        }
        let apart = self.last.map_or(Duration::ZERO, |last| APART.saturating_sub(last.elapsed()));
        tokio::time::sleep(QUIET.max(apart)).await;
        watch.get_mut().touched();
        self.touched = false;
        self.last = Some(Instant::now());
    }
}

#[expect(
    deprecated,
    reason = "the one that replaces it is unsafe; a watch keeps its own descriptor as long as it lives"
)]
fn registered(watch: Watch) -> std::io::Result<AsyncFd<Watch>> {
    AsyncFd::with_interest(watch, Interest::READABLE)
}
