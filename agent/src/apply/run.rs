//! The steps of a run, forward. A failed step ends it; what was done is the journal's to tell.

mod files;
mod packages;
mod program;
mod room;
mod single;
mod upkeep;

use super::{Forward, Job, Watch};
use crate::disk::Disk;
use crate::host::{Fault, Host};
use crate::journal::{Journal, Record, Start, Step};
use crate::plan::{Ask, Item};
use crate::resource::{Found, entry, external, hook, package, service};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Hook, HookPoint, Resource, Restart};
use shared::plan::{Action, Verb};
use shared::receipt::StepStatus;
use shared::refusal::Refused;
use shared::risk::ActionClass;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Files and directories that share one sync of the journal: one for each would cost more than the work.
const GROUP: usize = 64;

pub struct Run<'a, H, D> {
    items: BTreeMap<ResourceId, &'a Item<'a>>,
    hooks: BTreeMap<ResourceId, &'a Hook>,
    rules: Vec<&'a Restart>,
    explicit: BTreeSet<String>,
    actions: &'a [Action],
    downgrade: bool,
    job: &'a Job<'a>,
    watch: &'a Watch<'a>,
    host: &'a mut H,
    journal: &'a mut Journal<D>,
    /// Resources that this run has changed.
    changed: BTreeSet<ResourceId>,
    /// Unit files have changed since systemd last read them.
    stale_units: bool,
    /// Services of the plan before the first step: packages start and stop them as well, and an undo goes back
    /// to this.
    units: BTreeMap<String, service::Found>,
    /// Contents that a checker has accepted in a step of its own, with their path.
    accepted: BTreeSet<(String, Digest)>,
}

/// How a step went: its status and a note, or why it failed.
type Went = Result<(StepStatus, String), Fault>;

impl<'a, H: Host, D: Disk> Run<'a, H, D> {
    pub fn new(
        ask: &'a Ask<'a>,
        items: &'a [Item<'a>],
        job: &'a Job<'a>,
        watch: &'a Watch<'a>,
        host: &'a mut H,
        journal: &'a mut Journal<D>,
    ) -> Result<Self, Refused> {
        let mut hooks = BTreeMap::new();
        for point in HookPoint::ALL {
            hooks.extend(crate::plan::hooks(ask, point)?);
        }
        Ok(Self {
            hooks,
            rules: crate::plan::rules(ask),
            explicit: crate::plan::explicit(items),
            items: items.iter().map(|item| (item.id(), item)).collect(),
            actions: &job.plan.actions,
            downgrade: ask.downgrade,
            job,
            watch,
            host,
            journal,
            changed: BTreeSet::new(),
            stale_units: false,
            units: BTreeMap::new(),
            accepted: BTreeSet::new(),
        })
    }

    /// Begins the journal of the run and carries out all steps.
    ///
    /// # Errors
    /// Only the journal's.
    pub fn begin(mut self, start: Start) -> Result<Forward, Fault> {
        self.journal.start(start)?;
        self.tidy();
        match self.in_order()? {
            // A unit whose file came last is read all the same.
            Forward::Done if std::mem::take(&mut self.stale_units) => match self.host.reload_units() {
                Ok(()) => Ok(Forward::Done),
                Err(fault) => Ok(Forward::Failed(fault.text())),
            },
            other => Ok(other),
        }
    }

    /// Programs that an earlier change brought are in nobody's way.
    fn tidy(&mut self) {
        if !self.actions.iter().any(|action| action.class == ActionClass::External) {
            return;
        }
        let programs = self.items.values().filter_map(|item| match item.resource {
            Resource::External(want) => Some(want),
            _ => None,
        });
        if let Err(fault) = external::tidy(programs, self.host) {
            tracing::warn!("{}", fault.text());
        }
    }

    fn in_order(&mut self) -> Result<Forward, Fault> {
        for unit in self.actions.iter().filter_map(|action| service::unit_of(&action.resource)) {
            // A fault comes up again with the step itself.
            if let Ok(found) = service::inspect(&unit, self.host) {
                self.units.insert(unit, found);
            }
        }
        let mut next = 0;
        while next < self.actions.len() {
            let group = next..self.end_of_group(next);
            if let Some(why) = self.ended(group.clone()) {
                return self.stopped(next, why);
            }
            let start = group.start;
            next = group.end;
            let failure = match class(&self.actions[start]) {
                Class::Packages => self.packages(group)?,
                Class::Files => {
                    let (failure, end) = self.files(group)?;
                    next = end;
                    failure
                }
                Class::Other => self.other(start)?,
            };
            if let Some(why) = failure {
                return self.stopped(start, why);
            }
            if self.is_going_down(start) {
                return Ok(Forward::Rebooting);
            }
            if self.is_left_open(start) && self.of_agent(start) {
                return Ok(Forward::Leaving);
            }
        }
        Ok(Forward::Done)
    }

    /// A reboot that does not come about is no reason to take back what it was for.
    fn stopped(&mut self, n: usize, why: String) -> Result<Forward, Fault> {
        if !is_about_reboot(&self.actions[n]) {
            return Ok(Forward::Failed(why));
        }
        self.journal.write(vec![Record::Deferred(why)])?;
        Ok(Forward::Done)
    }

    fn end_of_group(&self, start: usize) -> usize {
        let limit = match class(&self.actions[start]) {
            Class::Packages => usize::MAX,
            Class::Files => GROUP,
            Class::Other => 1,
        };
        // What is found before a step is looked at for the whole group: a file that is edited twice ends it, and so
        // does a kind that makes a missing directory itself, behind a step that may make the same one. A source of
        // packages looks at the other sources, which steps before it may remove.
        let (mut edited, mut made, mut first) = (BTreeSet::new(), false, true);
        let same = |a: &&Action| {
            let again = self.items.get(&a.resource).and_then(|item| item.resource.edits());
            let makes = MAKES_DIRECTORIES.contains(&kind(a));
            let apart = (makes && made) || (kind(a) == "package_repository" && !first);
            first = false;
            made |= makes || kind(a) == "directory";
            class(a) == class(&self.actions[start])
                && package::manner(a) == package::manner(&self.actions[start])
                && again.is_none_or(|path| edited.insert(path))
                && !apart
        };
        start + self.actions[start..].iter().take(limit).take_while(same).count()
    }

    fn item(&self, action: &Action) -> Result<&'a Item<'a>, Fault> {
        let unknown = || Fault::Refused(format!("{} is in the plan but in no manifest", action.resource));
        self.items.get(&action.resource).copied().ok_or_else(unknown)
    }

    /// What earlier steps, or somebody else, made of the directories on the way must not lead to a more sensitive
    /// place than the one that was approved.
    fn stays_in_its_place(&self, action: &Action) -> Result<(), Fault> {
        let item = match entry::path_of(&action.resource) {
            Some(path) => entry::governor(path, &self.items).map(|(item, _)| item),
            None => self.items.get(&action.resource).copied(),
        };
        let Some(item) = item else { return Ok(()) };
        if crate::plan::class_of_places(action, item.resource, self.host)? <= action.class {
            return Ok(());
        }
        Err(Fault::Refused(format!(
            "{} would be changed in another place than the approved one, because a link on its way is another one now; plan again",
            action.resource
        )))
    }

    fn failed_before(&mut self, n: usize, fault: &Fault) -> Result<Option<String>, Fault> {
        let note = fault.text();
        self.journal.write(vec![Record::After(Step(n), StepStatus::Failed, 0, note.clone())])?;
        Ok(Some(format!("step {} ({}) failed: {note}", n + 1, self.actions[n].resource)))
    }

    /// Takes the end of a step into the records; answers the failure of the run, if it is one.
    fn note(&mut self, n: usize, went: Went, started: Instant, records: &mut Vec<Record>) -> Option<String> {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let resource = &self.actions[n].resource;
        match went {
            Ok((status, note)) => {
                if status == StepStatus::Done {
                    self.changed.insert(resource.clone());
                    let governor =
                        entry::path_of(resource).and_then(|path| entry::governor(path, &self.items));
                    self.changed.extend(governor.map(|(item, _)| item.id()));
                }
                records.push(Record::After(Step(n), status, ms, note));
                None
            }
            Err(fault) => {
                let note = fault.text();
                records.push(Record::After(Step(n), StepStatus::Failed, ms, note.clone()));
                Some(format!("step {} ({resource}) failed: {note}", n + 1))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Packages,
    Files,
    Other,
}

/// Kinds whose steps share the syncs of the journal.
const IN_GROUPS: &[&str] = &[
    "file",
    "directory",
    "entry",
    "symlink",
    "line",
    "block",
    "setting",
    "sysctl",
    "sudoers",
    "authorized_keys",
    "hostname",
    "timezone",
    "dropin",
    "timer",
    "certificate",
    "mount",
    "kernel_module",
    "package_repository",
];

/// Kinds that make the directory that their file lies in.
const MAKES_DIRECTORIES: &[&str] =
    &["authorized_keys", "dropin", "timer", "certificate", "mount", "kernel_module", "package_repository"];

fn kind(action: &Action) -> &str {
    action.resource.as_str().split(':').next().unwrap_or_default()
}

fn class(action: &Action) -> Class {
    if action.package.is_some() {
        Class::Packages
    } else if IN_GROUPS.contains(&kind(action)) && action.verb != Verb::Run {
        Class::Files
    } else {
        Class::Other
    }
}

/// Whether systemd has to read its units again after this step, or after it is undone.
pub(crate) fn is_about_units(action: &Action, before: &Found) -> bool {
    match before {
        Found::File(_) => action.resource.as_str().strip_prefix("file:").is_some_and(is_unit_file),
        Found::Parts(all) => all.iter().any(|part| is_unit_file(part.place())),
        _ => false,
    }
}

/// The reboot and what prepares it: the end of a plan, without which everything before it still stands.
pub(crate) fn is_about_reboot(action: &Action) -> bool {
    action.verb == Verb::Reboot || hook::point_of(&action.resource) == Some(HookPoint::BeforeReboot)
}

/// Places that systemd reads unit files from (systemd.unit(5)).
pub(super) fn is_unit_file(path: &str) -> bool {
    // Its generator makes units of fstab(5).
    ["/etc/fstab", "/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/", "/usr/local/lib/systemd/"]
        .iter()
        .any(|d| path.starts_with(d))
}
