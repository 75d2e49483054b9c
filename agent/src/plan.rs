//! Planning: what this host would do for a change, exactly. Changes nothing on the host and runs nothing of
//! a manifest; it reads, compares and asks the package manager to simulate.

mod back;
mod deviations;
mod packages;
mod places;
mod upkeep;

use crate::host::{Accounts, Fault, Host};
use crate::resource::account::{self, Table};
use crate::resource::entry::{self, Managed};
use crate::resource::programs::{self, Coming};
use crate::resource::wanted::{Wanted, wanted};
use crate::resource::{acl, agent, archive, command, directory, external, file, firewall, parts, service};
use crate::vault::{Opener, Vault};
pub(crate) use back::{back, upholds};
pub(crate) use deviations::deviations;
use packages::Packages;
use places::Leaves;
pub(crate) use places::class_of_places;
use shared::change::ManifestUse;
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::ids::{AgentId, ResourceId};
use shared::limits;
use shared::manifest::{
    Body, Command, Conffiles, Manifest, PackageWant, ParamValue, Probe, Reboot, Resource, Timer, in_the_way,
    order, resolve_params,
};
use shared::plan::{Action, HealthProgram, Uphold, Verb};
use shared::refusal::{Code, Refused};
use shared::release::Vendor;
use shared::strict::Map;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
pub(crate) use upkeep::{hooks, rules};

/// What is planned: the manifests of one change in its order, each with the values of its parameters.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub manifests: Vec<(&'a Manifest, Map<String, ParamValue>)>,
    pub facts: &'a TemplateFacts,
    pub vault: &'a Vault,
    /// Whether the change allows older versions of packages.
    pub downgrade: bool,
    /// The plan that was approved, when one was: packages keep to its versions and files.
    pub approved: Option<&'a [Action]>,
    /// Whether the machine is rebooted in the end.
    pub reboot: Reboot,
    /// Whose releases may take the agent's place.
    pub vendor: Option<&'a Vendor>,
}

/// The actions in their order, the health checks that run programs, and notes for people (such as packages on
/// hold).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    pub actions: Vec<Action>,
    pub health: Vec<HealthProgram>,
    /// What is to stay as it is, where the change lets hosts correct.
    pub upholds: Vec<Uphold>,
    pub notes: Vec<String>,
}

impl<'a> Ask<'a> {
    /// Pairs manifests with the uses that the change names and fills in the parameters.
    ///
    /// # Errors
    /// A parameter without a value or with a wrong one.
    pub fn new(
        manifests: impl IntoIterator<Item = (&'a Manifest, &'a ManifestUse)>,
        facts: &'a TemplateFacts,
        vault: &'a Vault,
        downgrade: bool,
    ) -> Result<Self, Refused> {
        let with_params = |(manifest, used): (&'a Manifest, &'a ManifestUse)| {
            Ok((manifest, parameters(manifest, used, vault.agent())?))
        };
        let manifests = manifests.into_iter().map(with_params).collect::<Result<_, Refused>>()?;
        Ok(Self { manifests, facts, vault, downgrade, approved: None, reboot: Reboot::Never, vendor: None })
    }

    /// For the run: with the plan that was approved.
    #[must_use]
    pub fn approved(self, actions: Option<&'a [Action]>) -> Self {
        Self { approved: actions, ..self }
    }

    /// The same with a reboot as the change wants it.
    #[must_use]
    pub fn rebooting(self, reboot: Reboot) -> Self {
        Self { reboot, ..self }
    }

    /// The same with the vendor whose releases count.
    #[must_use]
    pub fn vendor(self, vendor: Option<&'a Vendor>) -> Self {
        Self { vendor, ..self }
    }

    /// All resources in the order in which they are done, with the parameters of their manifest.
    ///
    /// # Errors
    /// Resources of one manifest wait for each other, or two manifests want the same resource.
    pub(crate) fn resources(&self) -> Result<Vec<Item<'_>>, Refused> {
        let mut items = Vec::new();
        for (manifest, params) in &self.manifests {
            let all = manifest.resources();
            let order = order(manifest).map_err(|cycle| failed(format!("{}: {cycle}", manifest.id())))?;
            items.reserve(order.len());
            for resource in order.into_iter().filter_map(|index| all.get(index)) {
                let opener = self.vault.opener(manifest);
                items.push(Item { resource, params, opener });
            }
        }
        // Of one manifest the validation has found out, when it was read.
        if self.manifests.len() > 1 {
            self.one_manifest_a_resource(&items)?;
            one_thing_a_path(&items)?;
        }
        Ok(items)
    }

    fn one_manifest_a_resource(&self, items: &[Item<'_>]) -> Result<(), Refused> {
        let mut seen: BTreeMap<ResourceId, String> = BTreeMap::new();
        let owners = self.manifests.iter().flat_map(|(own, _)| own.resources().iter().map(|_| own.id()));
        for (item, owner) in items.iter().zip(owners) {
            let id = item.id();
            if let Some(other) = seen.insert(id.clone(), owner.clone()) {
                let message = format!("{id} is wanted by {other} and by {owner}; a change may name it once");
                return Err(failed(message));
            }
        }
        Ok(())
    }
}

/// The values of a manifest's parameters on this host.
///
/// # Errors
/// A parameter without a value or with a wrong one.
pub(crate) fn parameters(
    manifest: &Manifest,
    used: &ManifestUse,
    agent: AgentId,
) -> Result<Map<String, ParamValue>, Refused> {
    let given = used.params_for(agent).0;
    let given = given.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    resolve_params(&manifest.parameters, &given)
        .map_err(|problems| failed(format!("{}: {}", manifest.id(), first(&problems))))
}

/// The same path as a whole by two resources of two manifests, or as a whole by one and in part by another.
fn one_thing_a_path(items: &[Item<'_>]) -> Result<(), Refused> {
    let mut paths: BTreeMap<Cow<'_, str>, &Item<'_>> = BTreeMap::new();
    for item in items {
        for path in item.resource.paths() {
            if let Some(other) = paths.insert(path.clone(), item) {
                let (other, own) = (other.id(), item.id());
                return Err(failed(format!("{path} is wanted as a whole by {other} and by {own}")));
            }
        }
    }
    for item in items {
        if let Some(path) = item.resource.edits()
            && let Some(other) = paths.get(path)
        {
            let (other, own) = (other.id(), item.id());
            return Err(failed(format!("{path} is wanted as a whole by {other} and in part by {own}")));
        }
    }
    let all: Vec<&Resource> = items.iter().map(|item| item.resource).collect();
    match in_the_way(&all) {
        None => Ok(()),
        Some((leaf, below, path)) => Err(failed(format!(
            "{} needs {path}, but {} makes something else of it",
            items[below].id(),
            items[leaf].id()
        ))),
    }
}

/// A resource, ready to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    pub resource: &'a Resource,
    pub params: &'a Map<String, ParamValue>,
    /// Opens the secrets of its manifest.
    pub opener: Opener<'a>,
}

impl Item<'_> {
    /// Made when it is asked for: a plan has thousands of these, and few of them have anything to say.
    pub fn id(&self) -> ResourceId {
        self.resource.id()
    }
}

fn first<T: std::fmt::Display>(problems: &[T]) -> String {
    problems.first().map_or_else(String::new, ToString::to_string)
}

fn failed(message: impl Into<String>) -> Refused {
    Refused::new(Code::PlanFailed, message)
}

/// Faults while looking are reasons not to plan.
pub(crate) fn refused(fault: Fault) -> Refused {
    let full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
    let code = match &fault {
        Fault::Room(_) => Code::PlanRoom,
        Fault::Io { source, .. } if full(source) => Code::PlanRoom,
        Fault::Io { .. } | Fault::Program { .. } | Fault::Refused(_) | Fault::Digest { .. } => {
            Code::PlanFailed
        }
    };
    Refused::new(code, fault.text())
}

/// Computes the plan. The package lists in the agent's own directory are refreshed when packages are to
/// change; nothing else is written.
///
/// # Errors
/// `plan.failed` with the reason: what is in the way, missing or contradictory.
pub fn compute<H: Host>(ask: &Ask<'_>, host: &mut H) -> Result<Planned, Refused> {
    let items = ask.resources()?;
    let mut planner = Planner::new(ask, &items, host)?;
    planner.repairs(&items)?;
    let mut rest = items.as_slice();
    for (manifest, params) in &ask.manifests {
        if let Body::Patch(patch) = &manifest.body {
            planner.before_packages(patch.conffiles)?;
            planner.packages.patch(patch, params, planner.host, &mut planner.planned.notes)?;
            continue;
        }
        let (mine, others) = rest.split_at(manifest.resources().len().min(rest.len()));
        rest = others;
        for item in mine {
            planner.plan(item)?;
        }
    }
    planner.flush()?;
    planner.restarts(&items);
    planner.health()?;
    planner.surround()?;
    planner.alone()?;
    planner.keeps_secrets()?;
    planner.rules(&items);
    planner.planned.notes.truncate(limits::PLAN_NOTES);
    Ok(planner.planned)
}

/// Packages that a manifest names itself.
pub(crate) fn explicit(items: &[Item<'_>]) -> BTreeSet<String> {
    let name = |item: &Item<'_>| match item.resource {
        Resource::Package(package) => Some(package.name.to_string()),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

/// What is foreseen of ACLs where a plan is about none.
static NO_ACLS: acl::Foreseen = acl::Foreseen::new();

struct Planner<'a, H> {
    ask: &'a Ask<'a>,
    host: &'a mut H,
    accounts: Accounts,
    packages: Packages<'a>,
    planned: Planned,
    /// Services to be restarted, with the resources that are changed.
    causes: BTreeMap<ResourceId, Vec<ResourceId>>,
    /// Files with contents that this change brings.
    brought: BTreeMap<&'a str, Digest>,
    /// Files that hold secrets.
    secret: BTreeSet<&'a str>,
    /// Paths that parts of this plan change, as they leave them.
    files: BTreeMap<String, file::Found>,
    /// Resources that can only be planned after this change.
    later: BTreeSet<ResourceId>,
    /// What belongs to resources, so that directories leave it alone.
    managed: Managed<'a>,
    /// Directories that parts of this plan make.
    made: BTreeSet<String>,
    leaves: Leaves<'a>,
    /// ACLs as steps of this plan leave them; only kept where the plan is about any.
    acls: Option<acl::Foreseen>,
}

impl<'a, H: Host> Planner<'a, H> {
    fn new(ask: &'a Ask<'a>, items: &[Item<'a>], host: &'a mut H) -> Result<Self, Refused> {
        let accounts = host.accounts().map_err(refused)?;
        Ok(Self {
            managed: Managed::of(items, &accounts),
            ask,
            host,
            accounts,
            packages: Packages::new(ask.downgrade, items, ask.approved),
            planned: Planned::default(),
            causes: BTreeMap::new(),
            brought: BTreeMap::new(),
            secret: BTreeSet::new(),
            files: BTreeMap::new(),
            made: BTreeSet::new(),
            leaves: Leaves::default(),
            acls: items.iter().any(|item| matches!(item.resource, Resource::Acl(_))).then(BTreeMap::new),
            later: BTreeSet::new(),
        })
    }

    fn plan(&mut self, item: &Item<'a>) -> Result<(), Refused> {
        if let Some(needed) = item.resource.requires().iter().find(|id| self.later.contains(id)) {
            return self.postpone(item, &needed.clone());
        }
        if let Resource::Package(package) = item.resource
            && let Some(repository) = self.packages.waits(package, self.host)?
        {
            return self.postpone(item, &repository);
        }
        if let Resource::Package(package) = item.resource {
            if let PackageWant::Present { conffiles, .. } = package.want {
                self.before_packages(conffiles)?;
            }
            return self.packages.want(package, item.resource.on_change(), self.host);
        }
        self.flush()?;
        self.need_accounts(item)?;
        self.put_leaves(item)?;
        match item.resource {
            Resource::File(wanted) => {
                let want = file::resolve(wanted, item.params, self.ask.facts, item.opener)?;
                let path = wanted.path.as_str();
                let found = file::inspect(path, self.host).map_err(refused)?;
                let action =
                    file::diff(&item.id(), &want, &found, &self.accounts, self.host.default_owner())?;
                match want.digest() {
                    Some(_) if want.seal().is_some() => {
                        self.secret.insert(path);
                    }
                    // Of files that stay as they are the host itself tells the content.
                    Some(digest) if action.is_some() => {
                        self.brought.insert(path, digest);
                    }
                    _ => {}
                }
                self.need_parent(path, action.as_ref())?;
                if let Some(action) = action {
                    let outcome = want.outcome(&found, &self.accounts, self.host.default_owner());
                    self.foresee_file(item, path, &found, &outcome)?;
                    if outcome == file::Found::Absent {
                        self.files.insert(path.to_owned(), file::Found::Absent);
                    }
                    let file = |path: &str| self.coming(path);
                    let coming = Coming { file: &file, actions: &self.planned.actions };
                    let check = parts::check(&item.id(), &want, &self.sight(item), coming)?;
                    self.add(item, check.into_iter().chain([action]))?;
                }
            }
            Resource::Directory(wanted) => {
                let found = directory::inspect(wanted.path.as_str(), self.host).map_err(refused)?;
                let action = directory::diff(wanted, &found, &self.accounts, self.host.default_owner())?;
                self.need_parent(wanted.path.as_str(), action.as_ref())?;
                if action.is_some() {
                    let made = found == directory::Found::Absent;
                    self.occupy(item, wanted.path.as_str().into(), true)?;
                    if made && !self.made.insert(wanted.path.to_string()) {
                        return Err(failed(format!(
                            "an earlier step makes {} for what it puts there; let its resource require {}",
                            wanted.path,
                            item.id()
                        )));
                    }
                    self.foresee(item, (wanted.path.as_str(), true), directory::mode(wanted, &found), made)?;
                }
                self.add(item, action)?;
                let below = entry::diff(wanted, &self.managed, &*self.host)?;
                self.add(item, below)?;
            }
            Resource::Service(wanted) => {
                let found = service::inspect(&wanted.name.unit(), self.host).map_err(refused)?;
                let actions = service::diff(wanted, &found, self.brings_units())?;
                self.add(item, actions)?;
            }
            Resource::Command(wanted) => self.command(item, wanted)?,
            Resource::External(wanted) => {
                let action = external::action(&item.id(), wanted)?;
                self.add(item, Some(action))?;
            }
            Resource::Package(_) => {}
            Resource::User(_) | Resource::Group(_) => self.account(item)?,
            Resource::Agent(wanted) => {
                let rules = (self.ask.vendor, self.ask.downgrade);
                let action = agent::diff(&item.id(), wanted, rules, &*self.host)?;
                self.add(item, action)?;
            }
            Resource::Firewall(wanted) => {
                let action = firewall::diff(item, wanted, self.ask.facts, &self.sight(item))?;
                self.add(item, action)?;
            }
            Resource::Archive(wanted) => {
                let action = archive::diff(item, wanted, &*self.host)?;
                self.need_parent(wanted.path.as_str(), action.as_ref())?;
                self.add(item, action)?;
            }
            Resource::PackageRepository(own) => {
                let before = self.planned.actions.len();
                self.parts(item)?;
                if own.source.is_some() && self.planned.actions.len() > before {
                    self.packages.comes(&item.id());
                }
            }
            _ => self.parts(item)?,
        }
        Ok(())
    }

    fn parts(&mut self, item: &Item<'a>) -> Result<(), Refused> {
        let sight = self.sight(item);
        let all = match wanted(item, self.ask.facts, &sight)? {
            None => return Err(failed(format!("{} is of a kind that is not known here", item.id()))),
            Some(Wanted::Later(path)) => {
                let action = parts::later(item, path);
                self.add(item, Some(action))?;
                return Ok(());
            }
            Some(Wanted::Parts(all)) => all,
        };
        let found = parts::inspect(&all, &sight)?;
        let file = |path: &str| self.coming(path);
        let coming = Coming { file: &file, actions: &self.planned.actions };
        let mut actions = parts::diff(item, &all, &found, &sight, coming)?;
        if actions.is_empty() {
            return Ok(());
        }
        if let Resource::Timer(Timer { job: Some(job), .. }) = item.resource {
            // What systemd is to run as root is bound like what the agent runs.
            let programs = programs::bound(&[&job.run], coming, &*self.host).map_err(refused)?;
            actions.iter_mut().for_each(|action| action.programs = programs.clone());
        }
        self.made.extend(parts::made(&all, &found).map(str::to_owned));
        for (part, found) in all.iter().zip(&found) {
            self.foresee_part(item, part, found)?;
            if let (parts::Part::File(want), parts::Found::File { path, found }) = (part, found) {
                if *found == file::Found::Absent && !matches!(want.content, file::Content::Absent) {
                    self.need_directory(path)?;
                }
                let outcome = want.outcome(found, &self.accounts, self.host.default_owner());
                self.files.insert(path.clone(), outcome);
            }
        }
        self.add(item, actions)
    }

    /// Accounts are planned on what the plan makes of the account files; later steps see them.
    fn account(&mut self, item: &Item<'a>) -> Result<(), Refused> {
        let sight = self.sight(item);
        let tables = account::read(|path| sight.bytes(path), failed)?;
        let Some((action, after)) = account::diff(item.resource, &tables)? else { return Ok(()) };
        let mut changed = Vec::new();
        for table in [Table::Passwd, Table::Group, Table::Shadow, Table::Gshadow] {
            if let Some(text) = after.text(table) {
                changed.push((
                    table.path().to_owned(),
                    sight.file(table.path())?.with_content(text.into_bytes()),
                ));
            }
        }
        self.files.extend(changed);
        let text = |table: Table| after.text(table).unwrap_or_default();
        self.accounts = Accounts::parse(text(Table::Passwd).as_bytes(), text(Table::Group).as_bytes());
        self.add(item, Some(action))
    }

    fn command(&mut self, item: &Item<'a>, wanted: &Command) -> Result<(), Refused> {
        let changed = |id: &ResourceId| self.planned.actions.iter().any(|a| a.resource == *id);
        if !command::is_needed(wanted, self.host, &changed).map_err(refused)? {
            return Ok(());
        }
        let file = |path: &str| self.coming(path);
        let coming = Coming { file: &file, actions: &self.planned.actions };
        let programs = programs::bound(&command::lines(wanted), coming, self.host).map_err(refused)?;
        self.add(item, Some(command::action(wanted, programs)?))
    }

    /// Digest of the contents that the plan so far gives a path.
    fn coming(&self, path: &str) -> Option<Digest> {
        let edited = || match self.files.get(path) {
            Some(file::Found::File { digest, .. }) => Some(*digest),
            _ => None,
        };
        self.brought.get(path).copied().or_else(edited)
    }

    /// Health checks run when everything is in place; what they run is bound all the same.
    fn health(&mut self) -> Result<(), Refused> {
        let file = |path: &str| self.coming(path);
        let coming = Coming { file: &file, actions: &self.planned.actions };
        let mut all = Vec::new();
        for check in self.ask.manifests.iter().flat_map(|(manifest, _)| &manifest.health) {
            if let Probe::Command(probe) = &check.probe {
                all.push(programs::of_health(&check.name, &probe.run, coming, &*self.host).map_err(refused)?);
            }
        }
        self.planned.health = all;
        Ok(())
    }

    /// The digest that binds a program would tell about a secret in it.
    fn keeps_secrets(&self) -> Result<(), Refused> {
        let actions = self.planned.actions.iter().map(|action| &action.programs);
        let health = self.planned.health.iter().map(|health| &health.programs);
        match actions
            .chain(health)
            .flat_map(|all| all.keys())
            .find(|path| self.secret.contains(path.as_str()))
        {
            None => Ok(()),
            Some(path) => Err(failed(format!(
                "{path} holds a secret and is run as a program; let the program read the secret from a file of its own"
            ))),
        }
    }

    /// Each step names the rules that its resource satisfies.
    fn rules(&mut self, items: &[Item<'a>]) {
        let rules: BTreeMap<_, _> = items
            .iter()
            .filter(|item| !item.resource.satisfies().is_empty())
            .map(|item| (item.id(), item.resource.satisfies()))
            .collect();
        for action in &mut self.planned.actions {
            if let Some(rules) = rules.get(&action.resource) {
                action.satisfies = rules.to_vec();
            }
        }
    }

    /// True when a package or file of this plan may bring a unit that is not there yet.
    fn brings_units(&self) -> bool {
        let brings = |a: &Action| matches!(a.verb, Verb::Install | Verb::Create) || a.package.is_some();
        self.planned.actions.iter().any(brings)
    }

    fn add(&mut self, item: &Item<'a>, actions: impl IntoIterator<Item = Action>) -> Result<(), Refused> {
        let before = self.planned.actions.len();
        for mut action in actions {
            let class = class_of_places(&action, item.resource, &*self.host).map_err(refused)?;
            action.class = action.class.max(class);
            self.planned.actions.push(action);
        }
        if self.planned.actions.len() > before {
            self.cause(&item.id(), item.resource.on_change());
        }
        Ok(())
    }

    fn cause(&mut self, id: &ResourceId, services: &[ResourceId]) {
        for service in services {
            self.causes.entry(service.clone()).or_default().push(id.clone());
        }
    }

    /// Leaves a resource to the next change, and says so.
    fn postpone(&mut self, item: &Item<'_>, cause: &ResourceId) -> Result<(), Refused> {
        self.planned.notes.push(format!(
            "{} is not part of this plan: it waits for {cause}, and what comes of it is only known then; request the manifest again afterwards",
            item.id()
        ));
        self.later.insert(item.id());
        Ok(())
    }

    /// What an earlier run of the package manager left half done comes before everything else.
    fn repairs(&mut self, items: &[Item<'_>]) -> Result<(), Refused> {
        let patches = self.ask.manifests.iter().any(|(manifest, _)| manifest.patch().is_some());
        if patches || items.iter().any(|item| matches!(item.resource, Resource::Package(_))) {
            self.planned.actions.extend(self.packages.repairs(self.host)?);
        }
        Ok(())
    }

    /// Packages that treat configuration files in another way are another transaction.
    fn before_packages(&mut self, conffiles: Conffiles) -> Result<(), Refused> {
        if self.packages.differs(conffiles) { self.flush() } else { Ok(()) }
    }

    /// Turns the packages gathered so far into actions: one transaction.
    fn flush(&mut self) -> Result<(), Refused> {
        let flushed = self.packages.flush(self.host)?;
        for (id, services) in flushed.causes {
            self.cause(&id, &services);
        }
        self.planned.actions.extend(flushed.actions);
        Ok(())
    }

    /// A program that takes the agent's place is all that a change brings: what comes after it would be another
    /// program's matter.
    fn alone(&self) -> Result<(), Refused> {
        let all = &self.planned.actions;
        match all.iter().find(|action| action.resource.as_str().starts_with("agent:")) {
            Some(program) if all.len() > 1 => Err(failed(format!(
                "{} comes in a change of its own: without other resources, hooks and reboot",
                program.resource
            ))),
            _ => Ok(()),
        }
    }

    /// One restart a service, at the very end; none for a service that this plan starts or stops anyway.
    fn restarts(&mut self, items: &[Item<'_>]) {
        let moved = |id: &ResourceId| {
            let state = |a: &Action| a.resource == *id && matches!(a.verb, Verb::Start | Verb::Stop);
            self.planned.actions.iter().any(state)
        };
        let stopped = |id: &ResourceId| {
            items.iter().any(|item| match item.resource {
                Resource::Service(s) => {
                    s.state == Some(shared::manifest::ServiceState::Stopped) && item.id() == *id
                }
                _ => false,
            })
        };
        let restarts: Vec<Action> = self
            .causes
            .iter()
            .filter(|(id, _)| !moved(id) && !stopped(id))
            .map(|(id, causes)| service::restart(id, causes))
            .collect();
        self.planned.actions.extend(restarts);
    }
}
