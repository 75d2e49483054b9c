//! The common start of all connections, from which time and the server's CPU count.

use crate::process;
use std::sync::OnceLock;
use std::time::Instant;
use tokio::sync::Barrier;

/// Where the connections of one round wait for each other.
pub struct Start {
    pids: Vec<u32>,
    barrier: Barrier,
    /// CPU seconds of the server, and when.
    before: OnceLock<(f64, Instant)>,
}

impl Start {
    pub fn new(pids: Vec<u32>, connections: usize) -> Self {
        Self { pids, barrier: Barrier::new(connections), before: OnceLock::new() }
    }

    /// Goes on when all are connected; gives the moment.
    pub async fn wait(&self) -> Instant {
        self.barrier.wait().await;
        self.before.get_or_init(|| (process::cpu_secs(&self.pids), Instant::now())).1
    }

    /// Wall and CPU seconds since the start.
    pub fn spent(&self) -> (f64, f64) {
        let (cpu, at) = self.before.get().unwrap();
        (at.elapsed().as_secs_f64(), process::cpu_secs(&self.pids) - cpu)
    }
}
