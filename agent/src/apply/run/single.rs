//! Steps of their own: services, commands, accounts, hold marks, checks.

use super::{Run, Went, is_unit_file};
use crate::apply::artifact;
use crate::disk::Disk;
use crate::host::{Fault, Host, Mark};
use crate::journal::{Record, Step};
use crate::plan::Item;
use crate::resource::programs::{self, Coming};
use crate::resource::wanted::Nothing;
use crate::resource::{Found, account, agent, archive, command, external, firewall, package, parts, service};
use shared::ids::ResourceId;
use shared::manifest::{Archive, Argv, External, Resource};
use shared::plan::{Action, Verb};
use shared::receipt::StepStatus;
use shared::risk::ActionClass;
use std::time::Instant;

/// Old contents that are written to the disk together.
const PACKED_BYTES: usize = 16 << 20;

/// The number of a pack of the step, apart from those of groups.
fn pack(step: usize, number: usize) -> usize {
    (1 << 40) + (step << 20) + number
}

impl<'a, H: Host, D: Disk> Run<'a, H, D> {
    /// Everything that is a step of its own: services, commands, hold marks.
    pub(super) fn other(&mut self, n: usize) -> Result<Option<String>, Fault> {
        let action = &self.actions[n];
        let before = match self.find_other(n) {
            Ok(before) => before,
            Err(fault) => return self.failed_before(n, &fault),
        };
        if let Found::Agent(_) = &before {
            return self.program(n, before);
        }
        if let Found::Reboot(_) = &before {
            return self.reboot(n, before);
        }
        self.journal.write(vec![Record::Before(Step(n), before.clone())])?;
        let started = Instant::now();
        let went = match &before {
            Found::Hook(_) => self.hook(action),
            Found::Outdated(found) => self.restart_outdated(action, found),
            Found::Service(found) => self.service(action, found),
            Found::Package(found) => self.mark(action, found),
            Found::Command(_) if action.class == ActionClass::External => self.external(action),
            Found::Command(_) => self.command(action),
            Found::Check(_) => self.check(action),
            Found::Account(_) => self.account(action),
            Found::Parts(found) => self.looked_at(action, found),
            Found::File(_) | Found::Secret(..) | Found::Directory(_) | Found::Reboot(_) | Found::Agent(_) => {
                Err(Fault::Refused("not a step of its own".into()))
            }
        };
        let mut records = Vec::new();
        let failure = self.note(n, went, started, &mut records);
        self.journal.write(records)?;
        Ok(failure)
    }

    /// Looks at everything that the archive is about, and keeps what it takes away.
    fn find_archive(&mut self, n: usize, want: &Archive) -> Result<Found, Fault> {
        let artifacts = self.job.artifacts;
        let run = archive::inspect(want, self.host, &|digest| artifact(artifacts, digest))?;
        let (mut old, mut packs) = (Vec::new(), 0);
        for (path, found) in archive::endangered(&run) {
            self.keep(path, found, &mut old)?;
            if old.iter().map(Vec::len).sum::<usize>() >= PACKED_BYTES {
                self.journal.save(pack(n, packs), &std::mem::take(&mut old))?;
                packs += 1;
            }
        }
        self.journal.save(pack(n, packs), &old)?;
        Ok(Found::Parts(run.found))
    }

    /// Kinds that look at several parts and bring them about by themselves.
    fn looked_at(&mut self, action: &Action, before: &[parts::Found]) -> Went {
        self.stays_in_its_place(action)?;
        let item = self.item(action)?;
        match item.resource {
            Resource::Firewall(_) => self.firewall(action, before),
            Resource::Acl(_) => self.put_parts(action, item, before),
            _ => self.archive(action, before),
        }
    }

    fn inspect_firewall(&self, action: &Action) -> Result<(firewall::Run<'a>, u32), Fault> {
        let item = self.item(action)?;
        let Resource::Firewall(want) = item.resource else {
            return Err(Fault::Refused(format!("{} is no firewall", action.resource)));
        };
        let accounts = self.host.accounts()?;
        let none = Nothing::default();
        let sight = none.sight(&*self.host, &accounts);
        let run = firewall::inspect((want, action.after), item, self.job.facts, &sight)?;
        Ok((run, want.confirm_s))
    }

    fn find_firewall(&mut self, n: usize) -> Result<Found, Fault> {
        let (run, _) = self.inspect_firewall(&self.actions[n])?;
        let (found, former) = (run.found, run.former);
        self.journal.save_one(former.as_bytes())?;
        let mut old = Vec::new();
        for part in &found {
            if let parts::Found::File { path, found } = part {
                self.keep(path, found, &mut old)?;
            }
        }
        self.journal.save(pack(n, 0), &old)?;
        Ok(Found::Parts(found))
    }

    fn firewall(&mut self, action: &Action, before: &[parts::Found]) -> Went {
        let (run, confirm_s) = self.inspect_firewall(action)?;
        let accounts = self.host.accounts()?;
        if parts::digest(&run.found, &accounts) != parts::digest(before, &accounts) {
            return Err(Fault::Refused("it has changed since it was looked at a moment ago".into()));
        }
        firewall::apply(&run, confirm_s, self.host, self.watch.reach)?;
        Ok((StepStatus::Done, String::new()))
    }

    fn archive(&mut self, action: &Action, before: &[parts::Found]) -> Went {
        let Resource::Archive(want) = self.item(action)?.resource else {
            return Err(Fault::Refused(format!("{} is no archive", action.resource)));
        };
        if action.after != parts::unseen(self.item(action)?.resource) {
            return Err(Fault::Refused("the archive is not the approved one; plan again".into()));
        }
        let artifacts = self.job.artifacts;
        let open = |digest| artifact(artifacts, digest);
        let run = archive::inspect(want, self.host, &open)?;
        let accounts = self.host.accounts()?;
        if parts::digest(&run.found, &accounts) != parts::digest(before, &accounts) {
            return Err(Fault::Refused("it has changed since it was looked at a moment ago".into()));
        }
        archive::apply(want, &run, self.host, &open)?;
        self.stale_units |= before.iter().any(|part| is_unit_file(part.place()));
        Ok((StepStatus::Done, String::new()))
    }

    fn find_other(&mut self, n: usize) -> Result<Found, Fault> {
        let action = &self.actions[n];
        if let Some(found) = self.find_upkeep(action)? {
            return Ok(found);
        }
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
            Resource::Archive(want) => self.find_archive(n, want),
            Resource::Firewall(_) => self.find_firewall(n),
            // Earlier steps may make what it is about, so it shares no group with them.
            Resource::Acl(_) => self.parts(self.item(action)?).map(|(_, found)| Found::Parts(found)),
            Resource::Command(want) => command::found(want, self.host).map(Found::Command),
            Resource::External(want) => self.find_external(want),
            Resource::Agent(_) => agent::inspect(self.host).map(Found::Agent),
            _ => Err(Fault::Refused(format!("{} cannot {}", action.resource, action.verb.as_str()))),
        }
    }

    /// The program is asked for the state before; nothing of that is to change anything.
    fn find_external(&mut self, want: &External) -> Result<Found, Fault> {
        let artifacts = self.job.artifacts;
        let ready = external::prepare(want, self.host, &|digest| artifact(artifacts, digest))?;
        let before = ready.get(want, self.host)?;
        ready.found(want, &before, self.host).map(Found::Command)
    }

    fn external(&mut self, action: &Action) -> Went {
        let Resource::External(want) = self.item(action)?.resource else {
            return Err(Fault::Refused(format!("{} is no external resource", action.resource)));
        };
        if external::digest(want) != action.after {
            return Err(Fault::Refused("the external resource is not the approved one; plan again".into()));
        }
        let artifacts = self.job.artifacts;
        let ready = external::prepare(want, self.host, &|digest| artifact(artifacts, digest))?;
        let Some(differing) = ready.differing(want, self.host)? else {
            return Ok((StepStatus::Unneeded, "its program says that nothing is to be done".into()));
        };
        let besides = ready.announced(want, self.host)?;
        ready.set(want, self.host)?;
        // Names only; values may be nobody's matter.
        let told = [("set", differing), ("announced besides:", besides)];
        let told = told.iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<_> = told.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        Ok((StepStatus::Done, shared::strict::shorten(&told.join("; "))))
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
        self.items.values().filter(causes).any(|item| self.changed.contains(&item.id()))
    }

    fn mark(&mut self, action: &Action, found: &package::Found) -> Went {
        let name = action.resource.as_str().strip_prefix("package:").unwrap_or_default();
        let hold = action.verb == Verb::Hold;
        if found.held() == hold {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.host.packager().mark(if hold { Mark::Hold } else { Mark::Unhold }, &[name])?;
        Ok((StepStatus::Done, String::new()))
    }

    fn command(&mut self, action: &Action) -> Went {
        let Resource::Command(want) = self.item(action)?.resource else {
            return Err(Fault::Refused(format!("{} is no command", action.resource)));
        };
        if !command::is_needed(want, self.host, &|id| self.changed.contains(id))? {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        self.check_programs(action, &command::lines(want))?;
        if command::digest(want, &action.programs) != action.after {
            return Err(Fault::Refused("the command is not the approved one; plan again".into()));
        }
        if command::guard_holds(want, self.host)? {
            return Ok((StepStatus::Unneeded, "its guard says that it is not needed".into()));
        }
        command::apply(want, self.host)?;
        Ok((StepStatus::Done, String::new()))
    }

    /// What the step runs is the approved thing down to the bytes of its files.
    pub(super) fn check_programs(&self, action: &Action, lines: &[&Argv]) -> Result<(), Fault> {
        let coming = Coming::done(self.actions);
        programs::check(action.resource.as_str(), lines, coming, &action.programs, self.host)
    }
}
