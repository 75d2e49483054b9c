//! The journal of runs: written before and after each step, so that a run that broke off can be brought to a
//! true end. One file for the present run, one for the one before, old contents of files beside them.
//!
//! Owns: the order on disk. Never: what is done (`apply`, `undo`). The last record may be torn by a crash; it
//! is recognised by its length and checksum and counts as not written.

mod pack;
mod record;

use crate::disk::Disk;
use crate::host::Fault;
use crate::resource::{Found, Saved};
pub use record::{Effect, Lasting, Outcome, Record, Start, Step};
use shared::digest::Digest;
use shared::receipt::{HealthResult, StepStatus};
use shared::time::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A run of 20,000 steps with long records.
const JOURNAL_BYTES: u64 = 1 << 30;
/// A group of files whose contents are short enough to be read by people.
const PACK_BYTES: u64 = 64 << 20;
const PACK: &str = "pack-";
const KEEP: &str = "keep the old contents of files";

/// Where the journal stands. Each standing names who goes on from it.
#[derive(Debug)]
pub enum Standing<'a> {
    /// No run, or its receipt is made. Resumer: the next `apply`.
    Idle,
    /// A run has begun and has not ended. Resumer: `apply::resume`.
    Running(&'a Log),
    /// A run has ended; its receipt is not made yet. Resumer: whoever makes receipts, then `receipt_made`.
    Ended(&'a Log, &'a Outcome),
}

/// What is known of one step.
#[derive(Clone, Debug, Default)]
pub struct StepLog {
    /// What was found before it; the step may have begun.
    pub before: Option<Found>,
    /// How it ended.
    pub after: Option<(StepStatus, u64, String)>,
    /// Undoing it may have begun.
    pub undoing: bool,
    /// How undoing it ended: `None` is success.
    pub undone: Option<Option<String>>,
}

/// The present run, as its records tell it.
#[derive(Clone, Debug)]
pub struct Log {
    pub start: Start,
    pub steps: Vec<StepLog>,
    pub health: Vec<HealthResult>,
    pub installed: Option<Timestamp>,
    pub restarted: Vec<String>,
    /// Why the machine is not rebooted, if it should be.
    pub deferred: Option<String>,
    /// Why the run is being taken back, if it is.
    pub failure: Option<String>,
    pub outcome: Option<Outcome>,
    pub receipt: Option<Digest>,
}

/// The journal on one disk.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    dir: PathBuf,
    log: Option<Log>,
    /// Bytes of the file whose records are known here and durable.
    whole: usize,
    /// A write failed, or broke off before the agent started: behind `whole` there may be more, which does not count.
    torn: bool,
    /// What a receipt made superfluous is not removed yet.
    untidy: bool,
    /// Where packed contents lie, once somebody asks.
    packs: RefCell<Option<Packs>>,
}

/// Pack and place of each packed content.
type Packs = BTreeMap<Digest, (String, Range<usize>)>;

/// The present run, as the journal in `dir` tells it at this moment; only for looking, also while it is written.
///
/// # Errors
/// Not readable, or damaged before its last record.
pub fn glance(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Log>> {
    let bytes = disk.read(&dir.join("run"), JOURNAL_BYTES)?.unwrap_or_default();
    let mut log = None;
    for record in record::read(&bytes)?.0 {
        tell(&mut log, record)?;
    }
    Ok(log)
}

impl<D: Disk> Journal<D> {
    /// Reads the journal in `dir` (made when it is first written).
    ///
    /// # Errors
    /// Not readable, or damaged before its last record: nothing may then be started.
    pub fn open(disk: D, dir: &Path) -> Result<Self, Fault> {
        let packs = RefCell::new(None);
        let mut journal =
            Self { disk, dir: dir.to_owned(), log: None, whole: 0, torn: false, untidy: false, packs };
        let path = journal.path();
        let fail = || Fault::io(format!("read the journal {}", path.display()));
        let bytes = journal.disk.read(&path, JOURNAL_BYTES).map_err(fail())?.unwrap_or_default();
        let (records, whole) = record::read(&bytes).map_err(fail())?;
        for record in records {
            tell(&mut journal.log, record).map_err(fail())?;
        }
        // Nothing is written yet: a host whose disk is full or read-only must be heard all the same.
        (journal.whole, journal.torn) = (whole, whole < bytes.len());
        journal.untidy = true;
        if let Err(e) = journal.tidy() {
            tracing::warn!("old contents of files are not removed yet: {e}");
        }
        Ok(journal)
    }

    /// Cuts off what a failed write left behind the last known record, or the next one would be read as part of it.
    /// After a failed sync nobody knows what of it is on the disk, so the file is written anew.
    fn mend(&mut self) -> io::Result<()> {
        if !self.torn {
            return Ok(());
        }
        let path = self.path();
        if self.log.is_none() {
            self.disk.remove(&path)?;
        } else {
            let bytes = self.disk.read(&path, JOURNAL_BYTES)?.unwrap_or_default();
            let known = bytes.get(..self.whole).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "it is shorter than what was written to it")
            })?;
            self.disk.write(&path, known)?;
        }
        self.torn = false;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.join("run")
    }

    fn saved(&self, digest: Digest) -> PathBuf {
        self.dir.join("saved").join(digest.hex())
    }

    pub fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    pub fn standing(&self) -> Standing<'_> {
        match &self.log {
            None => Standing::Idle,
            Some(log) if log.receipt.is_some() => Standing::Idle,
            Some(log) => match &log.outcome {
                None => Standing::Running(log),
                Some(outcome) => Standing::Ended(log, outcome),
            },
        }
    }

    /// Begins a run; durable when it returns.
    ///
    /// # Errors
    /// Another run has not ended with a receipt; the disk's.
    pub fn start(&mut self, start: Start) -> Result<(), Fault> {
        if !matches!(self.standing(), Standing::Idle) {
            return Err(Fault::Refused(
                "an earlier run has no receipt yet; it is brought to its end first".into(),
            ));
        }
        let fail = || Fault::io("begin a journal");
        let path = self.path();
        self.mend().map_err(fail())?;
        self.tidy().map_err(fail())?;
        if self.log.is_some() {
            self.disk.rename(&path, &self.dir.join("previous")).map_err(fail())?;
            self.log = None;
        }
        let record = Record::Start(Box::new(start));
        let line = record::line(&record);
        // Until it is known to be there, it must not be found as a run that has begun.
        (self.whole, self.torn) = (0, true);
        self.disk.write(&path, &line).map_err(fail())?;
        (self.whole, self.torn) = (line.len(), false);
        tell(&mut self.log, record).map_err(fail())
    }

    /// Writes records and makes them durable together.
    ///
    /// # Errors
    /// The disk's. What the records announce must then not be done.
    pub fn write(&mut self, records: Vec<Record>) -> Result<(), Fault> {
        if records.is_empty() {
            return Ok(());
        }
        let fail = || Fault::io("write the journal");
        let lines: Vec<u8> = records.iter().flat_map(record::line).collect();
        let path = self.path();
        self.mend().map_err(fail())?;
        self.torn = true;
        self.disk.append(&path, &lines).map_err(fail())?;
        self.disk.sync(&path).map_err(fail())?;
        (self.whole, self.torn) = (self.whole + lines.len(), false);
        records.into_iter().try_for_each(|record| tell(&mut self.log, record)).map_err(fail())
    }

    /// Keeps the old contents of a group of files for undo, in one pack; durable when it returns.
    pub fn save(&mut self, group: usize, contents: &[Vec<u8>]) -> Result<(), Fault> {
        if contents.is_empty() {
            return Ok(());
        }
        self.packs.replace(None);
        let path = self.dir.join("saved").join(format!("{PACK}{group}"));
        self.disk.write(&path, &pack::write(contents)).map_err(Fault::io(KEEP))
    }

    /// Keeps one large old content; durable when it returns.
    pub fn save_one(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.disk.write(&self.saved(Digest::of(bytes)), bytes).map_err(Fault::io(KEEP))
    }

    /// The receipt is signed and spooled: old contents are no longer needed.
    pub fn receipt_made(&mut self, receipt: Digest) -> Result<(), Fault> {
        if !matches!(self.standing(), Standing::Ended(..)) {
            // The beginning of a run that never began is not to be found by the next agent.
            return self.mend().map_err(Fault::io("mend the journal"));
        }
        self.write(vec![Record::ReceiptMade(receipt)])?;
        self.untidy = true;
        self.tidy().map_err(Fault::io("remove old contents of files"))
    }

    /// Removes what only undoing needs once there is a receipt: old contents, and the keys of digests of secrets.
    fn tidy(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.untidy) {
            return Ok(());
        }
        let tidied = self.tidy_all();
        self.untidy = tidied.is_err();
        tidied
    }

    fn tidy_all(&mut self) -> io::Result<()> {
        let path = self.path();
        let Some(log) = &mut self.log else { return Ok(()) };
        let (Some(receipt), Some(outcome)) = (log.receipt, &log.outcome) else { return Ok(()) };
        if log.steps.iter().any(|step| matches!(step.before, Some(Found::Secret(..)))) {
            let (start, end) = (Box::new(log.start.clone()), Box::new(outcome.clone()));
            let rest = [Record::Start(start), Record::Finished(end), Record::ReceiptMade(receipt)];
            let lines: Vec<u8> = rest.iter().flat_map(record::line).collect();
            self.disk.write(&path, &lines)?;
            log.steps.fill(StepLog::default());
            (self.whole, self.torn) = (lines.len(), false);
        }
        let dir = self.dir.join("saved");
        self.packs.replace(None);
        for name in self.disk.list(&dir)? {
            self.disk.remove(&dir.join(name))?;
        }
        Ok(())
    }
}

impl<D: Disk> Journal<D> {
    /// The packed content with this digest.
    fn packed(&self, digest: Digest) -> io::Result<Option<Vec<u8>>> {
        let dir = self.dir.join("saved");
        if self.packs.borrow().is_none() {
            let mut index = BTreeMap::new();
            for name in self.disk.list(&dir)?.into_iter().filter(|name| name.starts_with(PACK)) {
                let bytes = self.disk.read(&dir.join(&name), PACK_BYTES)?.unwrap_or_default();
                index.extend(pack::index(&bytes)?.into_iter().map(|(d, range)| (d, (name.clone(), range))));
            }
            self.packs.replace(Some(index));
        }
        let index = self.packs.borrow();
        let Some((name, range)) = index.as_ref().and_then(|index| index.get(&digest)) else {
            return Ok(None);
        };
        let bytes = self.disk.read(&dir.join(name), PACK_BYTES)?.unwrap_or_default();
        Ok(bytes.get(range.clone()).map(<[u8]>::to_vec))
    }
}

impl<D: Disk> Saved for Journal<D> {
    fn open(&self, digest: Digest) -> Result<Box<dyn Read + '_>, Fault> {
        let fail = || Fault::io("read the old contents of a file");
        let limit = crate::resource::file::SAVED_BYTES;
        let bytes = match self.packed(digest).map_err(fail())? {
            Some(bytes) => Some(bytes),
            None => self.disk.read(&self.saved(digest), limit).map_err(fail())?,
        };
        let bytes =
            bytes.ok_or_else(|| Fault::Refused("the old contents of the file were not kept".into()))?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

/// Takes one record into the picture of the run.
fn tell(log: &mut Option<Log>, record: Record) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "its records are out of order");
    if let Record::Start(start) = record {
        let steps = vec![StepLog::default(); start.actions.len()];
        *log = Some(Log {
            start: *start,
            steps,
            health: Vec::new(),
            installed: None,
            restarted: Vec::new(),
            deferred: None,
            failure: None,
            outcome: None,
            receipt: None,
        });
        return Ok(());
    }
    let log = log.as_mut().ok_or_else(invalid)?;
    let step = |log: &mut Log, step: Step, act: &dyn Fn(&mut StepLog)| {
        log.steps.get_mut(step.0).map(act).ok_or_else(invalid)
    };
    match record {
        Record::Start(_) => Ok(()),
        Record::Before(n, found) => step(log, n, &|s| s.before = Some(found.clone())),
        Record::After(n, status, ms, note) => step(log, n, &|s| s.after = Some((status, ms, note.clone()))),
        Record::UndoBefore(n) => step(log, n, &|s| s.undoing = true),
        Record::UndoAfter(n, error) => step(log, n, &|s| s.undone = Some(error.clone())),
        Record::Installed(at) => {
            log.installed = Some(at);
            Ok(())
        }
        Record::Restarted(units) => {
            log.restarted = units;
            Ok(())
        }
        Record::Deferred(why) => {
            log.deferred.get_or_insert(why);
            Ok(())
        }
        Record::Failure(why) => {
            log.failure.get_or_insert(why);
            Ok(())
        }
        Record::Health(results) => {
            log.health = results;
            Ok(())
        }
        Record::Finished(outcome) => {
            log.outcome = Some(*outcome);
            Ok(())
        }
        Record::ReceiptMade(digest) => {
            log.receipt = Some(digest);
            Ok(())
        }
    }
}
