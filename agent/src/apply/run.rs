//! The steps of a run, forward. A failed step ends it; what was done is the journal's to tell.

use super::{Job, Watch};
use crate::disk::Disk;
use crate::host::{Accounts, Fault, Host, Mark};
use crate::journal::{Journal, Record, Step};
use crate::plan::Item;
use crate::resource::wanted::{Sight, Wanted, wanted};
use crate::resource::{Found, account, command, directory, entry, file, package, parts, service};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Command, Resource};
use shared::plan::{Action, PackagePin, Verb};
use shared::receipt::StepStatus;
use shared::refusal::Refused;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Instant;

/// Files and directories that share one sync of the journal: one for each would cost more than the work.
const GROUP: usize = 64;

pub struct Run<'a, H, D> {
    items: BTreeMap<&'a ResourceId, &'a Item<'a>>,
    explicit: BTreeSet<String>,
    brought: BTreeMap<&'a str, Digest>,
    actions: &'a [Action],
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
        items: &'a [Item<'a>],
        job: &'a Job<'a>,
        watch: &'a Watch<'a>,
        host: &'a mut H,
        journal: &'a mut Journal<D>,
    ) -> Self {
        let wants_file = |item: &'a Item<'a>| {
            let Resource::File(want) = item.resource else { return None };
            let resolved = super::want(item, want, job.facts).ok()?;
            Some((want.path.as_str(), resolved.digest()?))
        };
        let runs = items
            .iter()
            .any(|item| matches!(item.resource, Resource::Command(_)) || item.resource.checker().is_some());
        Self {
            explicit: crate::plan::explicit(items),
            // Only commands need it, and rendering everything again is not free.
            brought: if runs { items.iter().filter_map(wants_file).collect() } else { BTreeMap::new() },
            items: items.iter().map(|item| (&item.id, item)).collect(),
            actions: &job.plan.actions,
            job,
            watch,
            host,
            journal,
            changed: BTreeSet::new(),
            stale_units: false,
            units: BTreeMap::new(),
            accepted: BTreeSet::new(),
        }
    }

    /// Runs all steps; answers why the run failed, if it did.
    ///
    /// # Errors
    /// Only the journal's.
    pub fn steps(mut self) -> Result<Option<String>, Fault> {
        for unit in self.actions.iter().filter_map(|action| service::unit_of(&action.resource)) {
            // A fault comes up again with the step itself.
            if let Ok(found) = service::inspect(&unit, self.host) {
                self.units.insert(unit, found);
            }
        }
        let mut next = 0;
        while next < self.actions.len() {
            if let Some(why) = self.ended(next) {
                return Ok(Some(why));
            }
            let group = next..self.end_of_group(next);
            next = group.end;
            let failure = match class(&self.actions[group.start]) {
                Class::Packages => self.packages(group)?,
                Class::Files => {
                    let (failure, end) = self.files(group)?;
                    next = end;
                    failure
                }
                Class::Other => self.other(group.start)?,
            };
            if failure.is_some() {
                return Ok(failure);
            }
        }
        Ok(None)
    }

    /// Why nothing more may start.
    fn ended(&self, next: usize) -> Option<String> {
        let until = self.journal.log().map(|log| log.start.interval.until)?;
        let left = self.actions.len() - next;
        if (self.watch.now)() >= until {
            return Some(format!("the window ended at {until}; {left} steps were not started"));
        }
        (self.watch.halted)().then(|| format!("halted by an operator; {left} steps were not started"))
    }

    fn end_of_group(&self, start: usize) -> usize {
        let limit = match class(&self.actions[start]) {
            Class::Packages => usize::MAX,
            Class::Files => GROUP,
            Class::Other => 1,
        };
        // What is found before a step is looked at for the whole group: a file that is edited twice ends it.
        let mut edited = BTreeSet::new();
        let same = |a: &&Action| {
            let again = self.items.get(&a.resource).and_then(|item| item.resource.edits());
            class(a) == class(&self.actions[start]) && again.is_none_or(|path| edited.insert(path))
        };
        start + self.actions[start..].iter().take(limit).take_while(same).count()
    }

    fn item(&self, action: &Action) -> Result<&'a Item<'a>, Fault> {
        let unknown = || Fault::Refused(format!("{} is in the plan but in no manifest", action.resource));
        self.items.get(&action.resource).copied().ok_or_else(unknown)
    }

    /// Answers the failure and where the next group starts.
    fn files(&mut self, group: Range<usize>) -> Result<(Option<String>, usize), Fault> {
        let (mut found, mut records, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for n in group.clone() {
            match self.find(n, &mut old) {
                Ok(before) => {
                    records.push(Record::Before(Step(n), before.clone()));
                    found.push(before);
                }
                Err(fault) if found.is_empty() => return Ok((self.failed_before(n, &fault)?, n)),
                // The group ends here; the next one meets the fault with its first step.
                Err(_) => break,
            }
        }
        self.journal.save(group.start, &old)?;
        self.journal.write(records)?;
        let end = group.start + found.len();
        let staged = self.stage(group.start, &found);
        let mut after = Vec::new();
        let mut failure = None;
        for (n, before) in group.zip(&found) {
            if failure.is_none() {
                failure = self.ended(n);
            }
            if failure.is_some() {
                after.push(Record::After(Step(n), StepStatus::NotStarted, 0, String::new()));
                self.unstage(n, &staged);
                continue;
            }
            let started = Instant::now();
            let went = self.put(n, before, &staged);
            failure = self.note(n, went, started, &mut after);
        }
        if let Err(fault) = self.host.sync_committed() {
            failure.get_or_insert(fault.text());
        }
        self.journal.write(after)?;
        Ok((failure, end))
    }

    /// Writes the new contents of the whole group beside their places. What cannot be written now, such as a
    /// file in a directory that the group itself makes, is written at its turn, and its error comes up there.
    fn stage(&mut self, first: usize, found: &[Found]) -> BTreeSet<usize> {
        let artifacts = self.job.artifacts;
        let mut staged = BTreeSet::new();
        for (n, before) in (first..).zip(found) {
            let Found::File(found) = before else { continue };
            let after = self.actions[n].after;
            let Ok(item) = self.item(&self.actions[n]) else { continue };
            let Resource::File(want) = item.resource else { continue };
            let done = super::want(item, want, self.job.facts).and_then(|want| {
                file::stage(&want, found, after, self.host, &|digest| super::artifact(artifacts, digest))
            });
            if let Ok(true) = done {
                staged.insert(n);
            }
        }
        if !staged.is_empty() && self.host.sync_staged().is_err() {
            staged.iter().for_each(|n| self.unstage(*n, &staged));
            staged.clear();
        }
        staged
    }

    fn unstage(&mut self, n: usize, staged: &BTreeSet<usize>) {
        let path = self.actions[n].resource.as_str().strip_prefix("file:").unwrap_or_default();
        if staged.contains(&n)
            && let Err(fault) = self.host.sweep(path)
        {
            tracing::warn!("{}", fault.text());
        }
    }

    fn failed_before(&mut self, n: usize, fault: &Fault) -> Result<Option<String>, Fault> {
        let note = fault.text();
        self.journal.write(vec![Record::After(Step(n), StepStatus::Failed, 0, note.clone())])?;
        Ok(Some(format!("step {} ({}) failed: {note}", n + 1, self.actions[n].resource)))
    }

    /// Looks at the state before a step; `old` gets the contents that undoing it needs.
    fn find(&mut self, n: usize, old: &mut Vec<Vec<u8>>) -> Result<Found, Fault> {
        let action = &self.actions[n];
        if let Some(path) = entry::path_of(&action.resource) {
            let found = entry::find(path, action.verb, self.host)?;
            if let parts::Found::File { path, found } = &found {
                self.keep(path, found, old)?;
            }
            return Ok(Found::Parts(vec![found]));
        }
        let item = self.item(action)?;
        match item.resource {
            Resource::Directory(want) => {
                directory::inspect(want.path.as_str(), self.host).map(Found::Directory)
            }
            Resource::File(want) => {
                let found = file::inspect(want.path.as_str(), self.host)?;
                self.keep(want.path.as_str(), &found, old)?;
                Ok(Found::File(found))
            }
            _ => {
                let (_, found) = self.parts(item)?;
                for part in &found {
                    if let parts::Found::File { path, found } = part {
                        self.keep(path, found, old)?;
                    }
                }
                Ok(Found::Parts(found))
            }
        }
    }

    /// What the resource wants of the host as it is now, and what is there.
    fn parts(&self, item: &Item<'a>) -> Result<(Vec<parts::Part<'a>>, Vec<parts::Found>), Fault> {
        let (accounts, files) = (self.host.accounts()?, BTreeMap::new());
        let sight = Sight { host: &*self.host, accounts: &accounts, files: &files, comes: false };
        let refused = |refused: Refused| Fault::Refused(refused.message);
        match wanted(item, self.job.facts, &sight).map_err(refused)? {
            Some(Wanted::Parts(all)) => {
                let found = parts::inspect(&all, &sight).map_err(refused)?;
                Ok((all, found))
            }
            Some(Wanted::Later(path)) => Err(Fault::Refused(format!("{path} does not exist"))),
            None => Err(Fault::Refused(format!("{} is no file", item.id))),
        }
    }

    fn keep(&mut self, path: &str, found: &file::Found, old: &mut Vec<Vec<u8>>) -> Result<(), Fault> {
        match found {
            file::Found::File { content: Some(bytes), length, .. } if *length <= file::READABLE_BYTES => {
                old.push(bytes.clone());
            }
            // Large ones are kept at once, so that a group never fills the memory.
            file::Found::File { length, digest, .. } if *length <= file::SAVED_BYTES => {
                let bytes = self.host.read(path, file::SAVED_BYTES)?.unwrap_or_default();
                if Digest::of(&bytes) != *digest {
                    return Err(Fault::Refused(format!("{path} changes while it is read")));
                }
                self.journal.save_one(&bytes)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self, n: usize, before: &Found, staged: &BTreeSet<usize>) -> Went {
        let action = &self.actions[n];
        let accounts = self.host.accounts()?;
        if let Some(path) = entry::path_of(&action.resource) {
            return self.entry(path, action, before, &accounts);
        }
        let item = self.item(action)?;
        match (item.resource, before) {
            (Resource::Directory(want), Found::Directory(found)) => {
                if directory::digest(found, &accounts) == action.after {
                    return Ok((StepStatus::Unneeded, String::new()));
                }
                directory::apply(want, found, action.after, self.host)?;
            }
            (Resource::File(want), Found::File(found)) => {
                let path = want.path.as_str();
                if file::digest(found, &accounts) == action.after {
                    return Ok((StepStatus::Unneeded, String::new()));
                }
                let mut want = super::want(item, want, self.job.facts)?;
                self.waive(&mut want);
                if staged.contains(&n) {
                    file::check(&want, self.host)?;
                    self.host.commit(path)?;
                } else {
                    let artifacts = self.job.artifacts;
                    let artifact = |digest| super::artifact(artifacts, digest);
                    file::apply(&want, found, action.after, self.host, &artifact)?;
                }
                self.stale_units |= is_unit_file(path);
            }
            (_, Found::Parts(before)) => return self.put_parts(action, item, before),
            _ => return Err(Fault::Refused(format!("{} is neither file nor directory", action.resource))),
        }
        Ok((StepStatus::Done, String::new()))
    }

    /// One entry below a directory.
    fn entry(&mut self, path: &str, action: &Action, before: &Found, accounts: &Accounts) -> Went {
        if matches!(before, Found::Parts(found) if parts::digest(found, accounts) == action.after) {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        let none = || Fault::Refused(format!("{} is in the plan but below no directory", action.resource));
        let (_, want) = entry::governor(path, &self.items).ok_or_else(none)?;
        entry::apply(path, (action.verb, action.after), want, self.host)?;
        self.stale_units |= is_unit_file(path);
        Ok((StepStatus::Done, String::new()))
    }

    /// Earlier steps of the group may have changed what is wanted or found; what comes of it must be the plan's.
    fn put_parts(&mut self, action: &Action, item: &Item<'a>, before: &[parts::Found]) -> Went {
        let (mut all, found) = self.parts(item)?;
        let accounts = self.host.accounts()?;
        let now = parts::digest(&found, &accounts);
        if now != parts::digest(before, &accounts) {
            return Err(Fault::Refused("it has changed since it was looked at a moment ago".into()));
        }
        let after = parts::after(&item.id, &all, &found, self.host)?;
        let known = action.after != parts::unseen(item.resource);
        if now == if known { action.after } else { after } {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        if known && after != action.after {
            return Err(Fault::Refused(format!(
                "the result would not be the approved one, because {} is not as it was when this was planned; plan again",
                found.first().map_or("it", parts::Found::place)
            )));
        }
        for part in &mut all {
            if let parts::Part::File(want) = part {
                self.waive(want);
            }
        }
        parts::apply(&item.id, &all, &found, self.host)?;
        self.stale_units |= found.iter().any(|part| is_unit_file(part.place()));
        Ok((StepStatus::Done, String::new()))
    }

    /// A check that was a step of its own is not run again.
    fn waive(&self, want: &mut file::Want<'_>) {
        if want.digest().is_some_and(|digest| self.accepted.contains(&(want.path.to_string(), digest))) {
            want.checker = None;
        }
    }

    /// Lets a checker judge the new contents before the step that puts them.
    fn check(&mut self, action: &Action) -> Went {
        let item = self.item(action)?;
        let wants: Vec<file::Want<'_>> = match item.resource {
            Resource::File(file) => vec![super::want(item, file, self.job.facts)?],
            _ => {
                let file = |part| if let parts::Part::File(want) = part { Some(want) } else { None };
                self.parts(item)?.0.into_iter().filter_map(file).collect()
            }
        };
        let want = wants.into_iter().find(|want| want.checker.is_some());
        let Some((want, checker)) = want.and_then(|want| want.checker.clone().map(|c| (want, c))) else {
            return Err(Fault::Refused(format!("{} has no check", action.resource)));
        };
        let scripts = command::scripts(checker.argv(), &self.brought, self.host)?;
        if parts::checked(&want.path, &checker, &scripts) != action.after {
            return Err(Fault::Refused("a script of the check is not the approved one; plan again".into()));
        }
        let found = file::inspect(&want.path, self.host)?;
        let (accounts, owner) = (self.host.accounts()?, self.host.default_owner());
        let change = file::diff(&item.id, &want, &found, &accounts, owner);
        let Some(change) = change.map_err(|refused| Fault::Refused(refused.message))? else {
            return Ok((StepStatus::Unneeded, String::new()));
        };
        let artifacts = self.job.artifacts;
        let artifact = |digest| super::artifact(artifacts, digest);
        if !file::stage(&want, &found, change.after, self.host, &artifact)? {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.host.sync_staged()?;
        file::check(&want, self.host)?;
        self.host.sweep(&want.path)?;
        self.accepted.extend(want.digest().map(|digest| (want.path.to_string(), digest)));
        Ok((StepStatus::Done, String::new()))
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
                    self.changed.extend(governor.map(|(item, _)| item.id.clone()));
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

    /// Adjacent packages are one transaction.
    fn packages(&mut self, group: Range<usize>) -> Result<Option<String>, Fault> {
        let actions = self.actions;
        let inventory = match package::inventory(self.host) {
            Ok(inventory) => inventory,
            Err(fault) => return self.failed_before(group.start, &fault),
        };
        let pins: Vec<(usize, &PackagePin)> =
            group.filter_map(|n| actions[n].package.as_ref().map(|pin| (n, pin))).collect();
        let find = |(n, pin): &(usize, &PackagePin)| {
            Record::Before(Step(*n), Found::Package(package::inspect(&pin.name, &inventory)))
        };
        self.journal.write(pins.iter().map(find).collect())?;
        let (there, todo): (Vec<_>, Vec<_>) = pins
            .into_iter()
            .partition(|(_, pin)| package::is_at(pin, &package::inspect(&pin.name, &inventory)));
        let mut records: Vec<Record> = there
            .iter()
            .map(|(n, _)| Record::After(Step(*n), StepStatus::Unneeded, 0, String::new()))
            .collect();
        let started = Instant::now();
        let wanted: Vec<&PackagePin> = todo.iter().map(|(_, pin)| *pin).collect();
        let is_dependency =
            |pin: &&&PackagePin| pin.from.is_none() && pin.to.is_some() && !self.explicit.contains(&pin.name);
        let dependencies: Vec<&str> =
            wanted.iter().filter(is_dependency).map(|pin| pin.name.as_str()).collect();
        let done = if wanted.is_empty() { Ok(()) } else { package::apply(&wanted, &dependencies, self.host) };
        let failure = match done {
            Ok(()) => {
                for (n, _) in &todo {
                    self.note(*n, Ok((StepStatus::Done, String::new())), started, &mut records);
                }
                None
            }
            Err(fault) => {
                let statuses = self.after_failed_transaction(&todo, &inventory)?;
                records.extend(statuses.into_iter().map(|(n, s)| Record::After(Step(n), s, 0, fault.text())));
                let first = todo.first().map_or(0, |(n, _)| *n);
                Some(format!("step {} ({}) failed: {}", first + 1, actions[first].resource, fault.text()))
            }
        };
        self.journal.write(records)?;
        Ok(failure)
    }

    /// What a transaction did before it failed; the package manager's database tells.
    fn after_failed_transaction(
        &self,
        todo: &[(usize, &PackagePin)],
        before: &package::Inventory,
    ) -> Result<Vec<(usize, StepStatus)>, Fault> {
        let now = package::inventory(self.host)?;
        let status = |pin: &PackagePin| {
            let found = package::inspect(&pin.name, &now);
            if package::is_at(pin, &found) {
                StepStatus::Done
            } else if found == package::inspect(&pin.name, before) {
                StepStatus::NotStarted
            } else {
                StepStatus::Failed
            }
        };
        let mut all: Vec<_> = todo.iter().map(|(n, pin)| (*n, status(pin))).collect();
        if all.iter().all(|(_, s)| *s != StepStatus::Failed)
            && let Some(first) = all.iter_mut().find(|(_, s)| *s == StepStatus::NotStarted)
        {
            first.1 = StepStatus::Failed;
        }
        Ok(all)
    }

    /// Everything that is a step of its own: services, commands, hold marks.
    fn other(&mut self, n: usize) -> Result<Option<String>, Fault> {
        let action = &self.actions[n];
        let before = match self.find_other(action) {
            Ok(before) => before,
            Err(fault) => return self.failed_before(n, &fault),
        };
        self.journal.write(vec![Record::Before(Step(n), before.clone())])?;
        let started = Instant::now();
        let went = match &before {
            Found::Service(found) => self.service(action, found),
            Found::Package(found) => self.mark(action, found),
            Found::Command(_) => self.command(action),
            Found::Check(_) => self.check(action),
            Found::Account(_) => self.account(action),
            Found::File(_) | Found::Directory(_) | Found::Parts(_) => {
                Err(Fault::Refused("not a step of its own".into()))
            }
        };
        let mut records = Vec::new();
        let failure = self.note(n, went, started, &mut records);
        self.journal.write(records)?;
        Ok(failure)
    }

    fn find_other(&mut self, action: &Action) -> Result<Found, Fault> {
        if let Some(unit) = service::unit_of(&action.resource) {
            let found = self.units.get(&unit).cloned();
            return found.map_or_else(|| service::inspect(&unit, self.host), Ok).map(Found::Service);
        }
        match self.item(action)?.resource {
            Resource::File(want) => Ok(Found::Check(want.path.to_string())),
            resource if resource.checker().is_some() => {
                Ok(Found::Check(resource.edits().map(str::to_owned).unwrap_or_default()))
            }
            resource @ (Resource::User(_) | Resource::Group(_)) => {
                let (found, secrets) = account::inspect(resource, self.host)?;
                secrets.iter().try_for_each(|line| self.journal.save_one(line))?;
                Ok(Found::Account(found))
            }
            Resource::Package(want) => {
                let inventory = package::inventory(self.host)?;
                Ok(Found::Package(package::inspect(want.name.as_str(), &inventory)))
            }
            Resource::Command(want) => Ok(Found::Command(command::found(want))),
            _ => Err(Fault::Refused(format!("{} cannot {}", action.resource, action.verb.as_str()))),
        }
    }

    fn service(&mut self, action: &Action, before: &service::Found) -> Went {
        let unit = service::unit_of(&action.resource)
            .ok_or_else(|| Fault::Refused(format!("{} names no unit", action.resource)))?;
        let now = service::inspect(&unit, self.host)?;
        let Some(verb) = service::due(action.verb, &now, self.is_caused(&action.resource)) else {
            let moved = action.verb != Verb::Restart && !service::is_as_before(before, &now, action.verb);
            return Ok(match moved {
                // Done all the same, so that an undo takes it back.
                true => (StepStatus::Done, "an earlier step of this run has done it".into()),
                false => (StepStatus::Unneeded, String::new()),
            });
        };
        if std::mem::take(&mut self.stale_units) {
            self.host.reload_units()?;
        }
        service::apply(&unit, verb, self.host)?;
        Ok((StepStatus::Done, String::new()))
    }

    fn account(&mut self, action: &Action) -> Went {
        let resource = self.item(action)?.resource;
        let status = match account::apply(resource, action.after, self.host)? {
            true => StepStatus::Done,
            false => StepStatus::Unneeded,
        };
        Ok((status, String::new()))
    }

    /// Whether a resource that restarts this service was really changed.
    fn is_caused(&self, service: &ResourceId) -> bool {
        let causes = |item: &&&Item<'_>| item.resource.on_change().contains(service);
        self.items.values().filter(causes).any(|item| self.changed.contains(&item.id))
    }

    fn mark(&mut self, action: &Action, found: &package::Found) -> Went {
        let name = action.resource.as_str().strip_prefix("package:").unwrap_or_default();
        let hold = action.verb == Verb::Hold;
        if found.held() == hold {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.host.mark(if hold { Mark::Hold } else { Mark::Unhold }, &[name])?;
        Ok((StepStatus::Done, String::new()))
    }

    fn command(&mut self, action: &Action) -> Went {
        let Resource::Command(want) = self.item(action)?.resource else {
            return Err(Fault::Refused(format!("{} is no command", action.resource)));
        };
        if !command::is_needed(want, self.host, &|id| self.changed.contains(id))? {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.check_scripts(action, want)?;
        if command::guard_holds(want, self.host)? {
            return Ok((StepStatus::Unneeded, "its guard says that it is not needed".into()));
        }
        command::apply(want, self.host)?;
        Ok((StepStatus::Done, String::new()))
    }

    /// The command is the approved one down to the bytes of its scripts.
    fn check_scripts(&self, action: &Action, want: &Command) -> Result<(), Fault> {
        let scripts = command::scripts(&want.run, &self.brought, self.host)?;
        for (path, expected) in &scripts {
            if let Some(found) = self.host.scan(path, 0)?.digest
                && found != *expected
            {
                return Err(Fault::Digest { what: path.clone(), expected: *expected, found });
            }
        }
        if command::digest(want, &scripts) != action.after {
            return Err(Fault::Refused("a script of the command is not the approved one; plan again".into()));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Packages,
    Files,
    Other,
}

/// Kinds whose steps share the syncs of the journal.
const IN_GROUPS: [&str; 12] = [
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
];

fn class(action: &Action) -> Class {
    let id = action.resource.as_str();
    if action.package.is_some() {
        Class::Packages
    } else if IN_GROUPS.contains(&id.split(':').next().unwrap_or_default()) && action.verb != Verb::Run {
        Class::Files
    } else {
        Class::Other
    }
}

/// Places that systemd reads unit files from (systemd.unit(5)).
pub(crate) fn is_unit_file(path: &str) -> bool {
    ["/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/", "/usr/local/lib/systemd/"]
        .iter()
        .any(|d| path.starts_with(d))
}
