//! Periodic tasks, each on one node at a time under a lease, until the process is told to stop.
//!
//! A job that fails or panics is logged and tried again at its next turn; it never ends the others.

use super::clock::Clock;
use super::db::Db;
use super::error::Error;
use super::lease::{self, Fence};
use shared::time::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A stopping process waits this long for running jobs; they are repeatable, so being cut off is safe.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a job gets for one run. Single-writer jobs check the fence in their transactions
/// with [`lease::assert_held`] under [`Job::lease_name`].
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    pub now: Timestamp,
    pub fence: Fence,
}

type Run = Arc<dyn Fn(Tick) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Send + Sync>;

pub struct Job {
    name: &'static str,
    every: Duration,
    run: Run,
}

impl Job {
    pub fn new<F, Fut>(name: &'static str, every: Duration, run: F) -> Self
    where
        F: Fn(Tick) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self { name, every, run: Arc::new(move |tick| Box::pin(run(tick))) }
    }

    pub fn lease_name(job: &str) -> String {
        format!("job.{job}")
    }

    /// Long enough that a node which is merely slow keeps it, short enough that the successor of a process
    /// that was killed does not keep a halt or an approval from the hosts for long.
    fn ttl_secs(&self) -> i64 {
        i64::try_from(self.every.as_secs()).unwrap_or(i64::MAX / 3).saturating_mul(3).max(20)
    }
}

pub struct Runner {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts every job on the current runtime. `node` tells the processes of a site apart.
pub fn start(db: &Db, clock: &Clock, node: &str, jobs: Vec<Job>) -> Runner {
    let (stop, stopped) = watch::channel(false);
    let tasks = jobs
        .into_iter()
        .map(|job| {
            let keeper = Keeper { db: db.clone(), clock: clock.clone(), node: node.to_owned(), job };
            tokio::spawn(keeper.repeat(stopped.clone()))
        })
        .collect();
    Runner { stop, tasks }
}

impl Runner {
    /// Lets running jobs finish and gives their leases back.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let all = async {
            for task in self.tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a job's loop ended badly");
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("jobs still running at the end of the process were cut off");
        }
    }
}

struct Keeper {
    db: Db,
    clock: Clock,
    node: String,
    job: Job,
}

impl Keeper {
    async fn repeat(self, mut stopped: watch::Receiver<bool>) {
        let mut held = None;
        loop {
            match self.turn(&mut held).await {
                Ok(()) => {}
                Err(error) => tracing::error!(job = self.job.name, error = error.chain(), "job failed"),
            }
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(self.job.every) => {}
            }
        }
        if let Some(fence) = held
            && let Err(error) = self.release(fence).await
        {
            tracing::warn!(
                job = self.job.name,
                error = error.chain(),
                "lease not given back; it will expire"
            );
        }
    }

    async fn turn(&self, held: &mut Option<Fence>) -> Result<(), Error> {
        *held = self.acquire().await?;
        let Some(fence) = *held else { return Ok(()) };
        // In a task of its own: a panic becomes an error here.
        let mut running = tokio::spawn((self.job.run)(Tick { now: self.clock.now(), fence }));
        let renew = Duration::from_secs(self.job.ttl_secs().unsigned_abs() / 3);
        loop {
            tokio::select! {
                ended = &mut running => {
                    return ended.map_err(|error| Error::fault(format!("running {}", self.job.name), error))?;
                }
                () = tokio::time::sleep(renew) => {
                    *held = self.acquire().await.unwrap_or(*held);
                }
            }
        }
    }

    async fn acquire(&self) -> Result<Option<Fence>, Error> {
        let (name, node) = (Job::lease_name(self.job.name), self.node.clone());
        let (now, ttl) = (self.clock.now(), self.job.ttl_secs());
        self.db.write("job.lease", move |tx| Ok(lease::acquire(tx, &name, &node, now, ttl)?)).await
    }

    async fn release(&self, fence: Fence) -> Result<(), Error> {
        let name = Job::lease_name(self.job.name);
        self.db.write("job.release", move |tx| Ok(lease::release(tx, &name, fence)?)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testdb::each_engine;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn counting(runs: &Arc<AtomicU32>) -> Vec<Job> {
        let runs = runs.clone();
        let count = move |_| {
            let n = runs.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(n != 1, "the second run panics on purpose");
                Ok(())
            }
        };
        vec![Job::new("count", Duration::from_millis(20), count)]
    }

    async fn at_least(runs: &AtomicU32, wanted: u32) {
        for _ in 0..500 {
            if runs.load(Ordering::SeqCst) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job ran {} times, wanted {wanted}", runs.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn one_node_runs_a_job_and_another_takes_over_after_it_stopped() {
        for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
            let clock = Clock::fixed(Timestamp(1_000));
            let (first, second) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let one = start(&test.db, &clock, "n1", counting(&first));
            at_least(&first, 4).await;
            let two = start(&test.db, &clock, "n2", counting(&second));
            let before = first.load(Ordering::SeqCst);
            at_least(&first, before + 5).await;
            assert_eq!(second.load(Ordering::SeqCst), 0, "{}: two nodes ran the job", test.engine);
            one.stop().await;
            at_least(&second, 1).await;
            two.stop().await;
        }
    }
}
