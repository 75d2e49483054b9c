//! Steps that put files and parts of files: they are looked at, staged and made durable in groups.

use super::{Run, Went, is_unit_file};
use crate::apply::{artifact, resolved};
use crate::disk::Disk;
use crate::host::{Accounts, Fault, Host};
use crate::journal::{Record, Step};
use crate::plan::Item;
use crate::resource::wanted::{Nothing, Sight, Wanted, wanted};
use crate::resource::{Found, directory, entry, file, parts, secret};
use shared::digest::Digest;
use shared::manifest::{Resource, Timer};
use shared::plan::Action;
use shared::receipt::StepStatus;
use shared::refusal::Refused;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

/// The parts of a resource, and each of them as it was found.
type Looked<'a> = (Vec<parts::Part<'a>>, Vec<parts::Found>);

impl<'a, H: Host, D: Disk> Run<'a, H, D> {
    /// Answers the failure and where the next group starts.
    pub(super) fn files(&mut self, group: Range<usize>) -> Result<(Option<String>, usize), Fault> {
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
                failure = self.ended(n..n + 1);
            }
            if failure.is_some() {
                after.push(Record::After(Step(n), StepStatus::NotStarted, 0, String::new()));
                self.unstage(n, &staged);
                continue;
            }
            let started = Instant::now();
            let went = self.put(n, before, &staged);
            if went.is_err() {
                self.unstage(n, &staged);
            }
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
            let (Found::File(found) | Found::Secret(_, found)) = before else { continue };
            let after = self.actions[n].after;
            let Ok(item) = self.item(&self.actions[n]) else { continue };
            if self.stays_in_its_place(&self.actions[n]).is_err() {
                continue;
            }
            let Resource::File(want) = item.resource else { continue };
            let done = resolved(item, want, self.job.facts).and_then(|want| {
                file::stage(&want, found, after, self.host, &|digest| artifact(artifacts, digest))
            });
            if let Ok(true) = done {
                staged.insert(n);
            }
        }
        if !staged.is_empty() && self.host.sync_staged().is_err() {
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
                if !secret::hides(want, item.params) {
                    return Ok(Found::File(found));
                }
                let seal = resolved(item, want, self.job.facts)?.seal().cloned();
                Ok(seal.map_or(Found::File(found.clone()), |seal| Found::Secret(seal, found)))
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
    pub(super) fn parts(&self, item: &Item<'a>) -> Result<Looked<'a>, Fault> {
        let (id, looked) = (item.id(), self.parts_as(item, false)?);
        let planned = self.actions.iter().find(|action| action.resource == id);
        let brings = self.actions.iter().any(|action| action.package.is_some());
        let Some(action) = planned.filter(|_| brings) else { return Ok(looked) };
        let ends = |(all, found): &Looked<'a>| parts::after(&id, all, found, self.host);
        if ends(&looked)? == action.after {
            return Ok(looked);
        }
        // A package of this run may have brought the directory that the plan was to make.
        let with_directories = self.parts_as(item, true)?;
        Ok(if ends(&with_directories)? == action.after { with_directories } else { looked })
    }

    fn parts_as(&self, item: &Item<'a>, directories: bool) -> Result<Looked<'a>, Fault> {
        let accounts = self.host.accounts()?;
        let none = Nothing::default();
        let sight = Sight { directories, ..none.sight(&*self.host, &accounts) };
        let refused = |refused: Refused| Fault::Refused(refused.message);
        match wanted(item, self.job.facts, &sight).map_err(refused)? {
            Some(Wanted::Parts(all)) => {
                let found = parts::inspect(&all, &sight).map_err(refused)?;
                Ok((all, found))
            }
            Some(Wanted::Later(path)) => Err(Fault::Refused(format!("{path} does not exist"))),
            None => Err(Fault::Refused(format!("{} is no file", item.id()))),
        }
    }

    pub(super) fn keep(
        &mut self,
        path: &str,
        found: &file::Found,
        old: &mut Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
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
        self.stays_in_its_place(action)?;
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
            (Resource::File(want), Found::File(found) | Found::Secret(_, found)) => {
                let path = want.path.as_str();
                let seal = if let Found::Secret(seal, _) = before { Some(seal) } else { None };
                if file::digest_under(seal, found, &accounts) == action.after {
                    return Ok((StepStatus::Unneeded, String::new()));
                }
                let mut want = resolved(item, want, self.job.facts)?;
                self.waive(&mut want);
                if staged.contains(&n) {
                    file::check(&want, self.host)?;
                    self.host.commit(path)?;
                } else {
                    let artifacts = self.job.artifacts;
                    let artifact = |digest| artifact(artifacts, digest);
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
    pub(super) fn put_parts(&mut self, action: &Action, item: &Item<'a>, before: &[parts::Found]) -> Went {
        if let Resource::Timer(Timer { job: Some(job), .. }) = item.resource {
            self.check_programs(action, &[&job.run])?;
        }
        let (mut all, found) = self.parts(item)?;
        let accounts = self.host.accounts()?;
        let now = parts::digest(&found, &accounts);
        if now != parts::digest(before, &accounts) {
            return Err(Fault::Refused("it has changed since it was looked at a moment ago".into()));
        }
        let after = parts::after(&item.id(), &all, &found, self.host)?;
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
        parts::apply(&item.id(), &all, &found, self.host)?;
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
    pub(super) fn check(&mut self, action: &Action) -> Went {
        let item = self.item(action)?;
        let wants: Vec<file::Want<'_>> = match item.resource {
            Resource::File(file) => vec![resolved(item, file, self.job.facts)?],
            _ => {
                let file = |part| if let parts::Part::File(want) = part { Some(want) } else { None };
                self.parts(item)?.0.into_iter().filter_map(file).collect()
            }
        };
        let want = wants.into_iter().find(|want| want.checker.is_some());
        let Some((want, checker)) = want.and_then(|want| want.checker.clone().map(|c| (want, c))) else {
            return Err(Fault::Refused(format!("{} has no check", action.resource)));
        };
        self.check_programs(action, &[checker.argv()])?;
        if parts::checked(&want.path, &checker, &action.programs) != action.after {
            return Err(Fault::Refused("the check is not the approved one; plan again".into()));
        }
        let found = file::inspect(&want.path, self.host)?;
        let (accounts, owner) = (self.host.accounts()?, self.host.default_owner());
        let change = file::diff(&item.id(), &want, &found, &accounts, owner);
        let Some(change) = change.map_err(|refused| Fault::Refused(refused.message))? else {
            return Ok((StepStatus::Unneeded, String::new()));
        };
        let artifacts = self.job.artifacts;
        let artifact = |digest| artifact(artifacts, digest);
        if !file::stage(&want, &found, change.after, self.host, &artifact)? {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.host.sync_staged()?;
        file::check(&want, self.host)?;
        self.host.sweep(&want.path)?;
        self.accepted.extend(want.digest().map(|digest| (want.path.to_string(), digest)));
        Ok((StepStatus::Done, String::new()))
    }
}
