//! The running site: what the slices keep in memory, opened in their order and handed to the listeners.

use crate::app::{Kernel, Routes, Slices, Through};
use crate::compliance::{self, Exporter};
use crate::fleet::{self, Board, Door, Rates, Sources, Strangers};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::http::tries::Guesses;
use crate::kernel::jobs::Job;
use crate::ledger::{self, Log};
use crate::manifests::{self, Repository};
use crate::receipts::{self, Intake, Topics};
use crate::{
    assess, audit, budgets, calendars, changes, cmdb, findings, kpi, people, progress, reminders, rollout,
    schedule, webhooks,
};
use actix_web::web::{Data, ServiceConfig};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Later slices that want to hear of receipts or findings name their outbox topic here.
pub(crate) const TOPICS: Topics =
    Topics { receipts: &[], findings: &[findings::TOPIC], corrections: &[findings::CORRECTED] };

/// Open parts of all slices.
pub struct Site {
    log: Log,
    door: Door,
    board: Board,
    repository: Repository,
    exporter: Exporter,
    intake: Intake,
    /// Keeps the board up to date; every node has its own.
    upkeep: JoinHandle<()>,
}

impl Site {
    /// Opens the ledger, takes over what the key ceremony left, and reads what memory shows.
    /// Needs the actix runtime.
    pub async fn open(kernel: &Kernel) -> Result<Self, Error> {
        let Kernel { config, db, clock, .. } = kernel;
        let now = clock.now();
        let log = Log::load(&config.log_key, &config.site_id)?;
        log.open(db, now).await?;
        people::import_first_admin(db, config, &log, now).await?;
        let door = Door::open(config)?;
        let repository = Repository::open(config)?;
        repository.prepare(db, config, now).await?;
        receipts::make_again(db, now).await?;
        let exporter = Exporter::new(config.site_id.clone(), log.clone());
        let sources = Sources { wishes: changes::wishes, timestamp_version: manifests::timestamp_version };
        let board = Board::new(sources);
        board.refresh(db).await?;
        let intake = Intake::start(db, &log, &board, clock, TOPICS);
        let upkeep = tokio::spawn(fleet::keep_up(board.clone(), db.clone()));
        Ok(Self { log, door, board, repository, exporter, intake, upkeep })
    }

    /// Routes, jobs and gate over these parts.
    pub fn slices(&self, kernel: &Kernel) -> Slices {
        Slices {
            people: self.people(kernel),
            agents: self.agents(),
            through: Through { strangers: self.strangers(), once: fleet::once(&kernel.db) },
            jobs: self.jobs(kernel),
            gate: fleet::gate(&self.board),
        }
    }

    /// Brings this node in line with the authorities that the policy names. True when listeners have to read their files again.
    pub async fn follow_authorities(&self, kernel: &Kernel) -> Result<bool, Error> {
        let pins = |tx: &mut Conn| Ok::<_, Error>(manifests::policy(tx)?.policy.ca_spki);
        let pins = kernel.db.read("fleet.authorities", pins).await?;
        fleet::follow_authorities(&kernel.config, &self.door, &pins, kernel.clock.machine())
    }

    /// Stores what only memory knows; nothing is lost without it but when hosts were last seen.
    pub async fn close(self, kernel: &Kernel) -> Result<(), Error> {
        self.upkeep.abort();
        self.board.flush_seen(&kernel.db).await
    }

    fn people(&self, kernel: &Kernel) -> Routes {
        let (log, door, board) =
            (Data::new(self.log.clone()), Data::new(self.door.clone()), self.board.clone());
        let (repository, strangers) = (self.repository.clone(), Data::new(Strangers::default()));
        let (exporter, gate) = (Data::new(self.exporter.clone()), people::gate(&kernel.db));
        let feeds = Data::new(Guesses::<schedule::Feeds>::default());
        let machines = Data::new(Guesses::<budgets::FleetLock>::default());
        Arc::new(move |config: &mut ServiceConfig| {
            config.app_data(log.clone()).app_data(door.clone()).app_data(strangers.clone());
            config.app_data(Data::new(board.clone())).app_data(Data::new(repository.clone()));
            config.app_data(Data::new(gate.clone())).app_data(exporter.clone());
            config.app_data(feeds.clone()).app_data(machines.clone());
            for routes in [
                ledger::routes,
                audit::routes,
                people::routes,
                cmdb::routes,
                fleet::people_routes,
                manifests::people,
                calendars::people,
                budgets::people,
                changes::people,
                schedule::people,
                assess::people,
                rollout::people,
                progress::people,
                receipts::people_routes,
                findings::people,
                kpi::people,
                compliance::people,
                reminders::people,
                webhooks::people,
            ] {
                config.configure(routes);
            }
        })
    }

    fn agents(&self) -> Routes {
        let (board, repository, intake) = (self.board.clone(), self.repository.clone(), self.intake.clone());
        let (rates, log) = (Data::new(Rates::default()), Data::new(self.log.clone()));
        Arc::new(move |config: &mut ServiceConfig| {
            config.app_data(Data::new(board.clone())).app_data(Data::new(repository.clone()));
            config.app_data(Data::new(intake.clone())).app_data(rates.clone()).app_data(log.clone());
            for routes in [
                fleet::agent_routes,
                manifests::agents,
                budgets::agents,
                changes::agents,
                progress::agents,
                receipts::agent_routes,
            ] {
                config.configure(routes);
            }
        })
    }

    /// Joining and renewing through the proxy.
    fn strangers(&self) -> Routes {
        let (log, door) = (Data::new(self.log.clone()), Data::new(self.door.behind_proxy()));
        let (board, strangers) = (Data::new(self.board.clone()), Data::new(Strangers::default()));
        Arc::new(move |config: &mut ServiceConfig| {
            config.app_data(log.clone()).app_data(door.clone()).app_data(strangers.clone());
            config.app_data(board.clone()).configure(fleet::strangers_routes);
        })
    }

    fn jobs(&self, kernel: &Kernel) -> Vec<Job> {
        let mut jobs = self.repository.jobs(&kernel.db, &kernel.objects);
        jobs.extend(fleet::jobs(&kernel.db));
        jobs.extend(calendars::jobs(&kernel.db, &kernel.config, &kernel.clock));
        jobs.extend(changes::jobs(&kernel.db, &self.repository));
        jobs.extend(progress::jobs(&kernel.db));
        jobs.extend(findings::jobs(&kernel.db));
        jobs.extend(reminders::jobs(&kernel.db, &kernel.config, &kernel.clock));
        jobs.extend(webhooks::jobs(&kernel.db, &kernel.config, &kernel.clock));
        jobs
    }
}
