//! Where a plan changes something: what its steps make of paths and owners, and how sensitive the places really are.

use super::{Item, NO_ACLS, Planner, failed, refused};
use crate::host::{Entry, Fault, Host};
use crate::resource::wanted::Sight;
use crate::resource::{acl, directory, entry, file, parts};
use shared::manifest::{AccountName, Resource};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The paths that an action changes, as far as the manifest names them.
fn places<'r>(action: &'r Action, resource: &'r Resource) -> Vec<Cow<'r, str>> {
    if let Some(path) = entry::path_of(&action.resource) {
        return vec![path.into()];
    }
    let mut paths: Vec<Cow<'r, str>> = resource.paths().collect();
    paths.extend(resource.edits().map(Into::into));
    match resource {
        Resource::Acl(own) => paths.push(own.path.as_str().into()),
        Resource::Archive(own) => paths.push(own.path.as_str().into()),
        Resource::Mount(own) => paths.push(own.path.as_str().into()),
        _ => {}
    }
    paths
}

/// The class of the places that an action changes.
///
/// # Errors
/// The machine's.
pub(crate) fn class_of_places(
    action: &Action,
    resource: &Resource,
    host: &impl Host,
) -> Result<ActionClass, Fault> {
    let mut classes = places(action, resource).into_iter().map(|path| class_of_place(&path, host));
    classes.try_fold(ActionClass::File, |all, class| Ok(all.max(class?)))
}

/// The class of where a path really lies: links on the way must not make an ordinary file of a sensitive one.
///
/// # Errors
/// The machine's.
fn class_of_place(path: &str, host: &impl Host) -> Result<ActionClass, Fault> {
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
        above = parent;
        if let Some(real) = host.real(parent)? {
            let rest = path.strip_prefix(parent).unwrap_or_default();
            return Ok(ActionClass::of_file(&format!("{}{rest}", real.trim_end_matches('/')), None));
        }
    }
    Ok(ActionClass::File)
}

/// Files and links that the steps of a plan so far put or remove. Where nothing is made nobody asks for them, and the
/// set of thousands of paths is never built.
#[derive(Debug, Default)]
pub(super) struct Leaves<'a> {
    paths: BTreeSet<Cow<'a, str>>,
    /// Resources whose leaves are still to be added.
    unasked: Vec<&'a Resource>,
}

impl Leaves<'_> {
    fn contains(&mut self, path: &str) -> bool {
        self.paths.extend(self.unasked.drain(..).flat_map(Resource::leaves));
        self.paths.contains(path)
    }
}

impl<'a, H: Host> Planner<'a, H> {
    /// A path is a directory or a leaf for all of a plan; where one lies is sometimes only known to the host.
    pub(super) fn occupy(
        &mut self,
        item: &Item<'_>,
        path: Cow<'a, str>,
        directory: bool,
    ) -> Result<(), Refused> {
        let taken = if directory { self.leaves.contains(&path) } else { self.made.contains(&*path) };
        if taken {
            return Err(something_else(item, &path));
        }
        if !directory {
            self.leaves.paths.insert(path);
        }
        Ok(())
    }

    /// The same for everything that the resource makes a leaf.
    pub(super) fn put_leaves(&mut self, item: &Item<'a>) -> Result<(), Refused> {
        if let Some(path) = item.resource.leaves().find(|path| self.made.contains(&**path)) {
            return Err(something_else(item, &path));
        }
        self.leaves.unasked.push(item.resource);
        Ok(())
    }

    /// Later steps see what this one leaves.
    pub(super) fn foresee_part(
        &mut self,
        item: &Item<'a>,
        part: &parts::Part<'_>,
        found: &parts::Found,
    ) -> Result<(), Refused> {
        match (part, found) {
            (parts::Part::File(want), parts::Found::File { path, found }) => {
                let outcome = want.outcome(found, &self.accounts, self.host.default_owner());
                self.foresee_file(item, path, found, &outcome)
            }
            (parts::Part::Directory(want), parts::Found::Directory { path, found }) => {
                let made = *found == directory::Found::Absent;
                self.occupy(item, path.clone().into(), true)?;
                self.foresee(item, (path, true), directory::mode(want, found), made)
            }
            (parts::Part::Acl { own }, parts::Found::Acl { path, found }) => {
                let acls = acl::outcome(own, found, &self.accounts);
                self.acls.get_or_insert_default().insert(path.clone(), (found.directory, acls));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn foresee_file(
        &mut self,
        item: &Item<'a>,
        path: &str,
        before: &file::Found,
        after: &file::Found,
    ) -> Result<(), Refused> {
        self.occupy(item, path.to_owned().into(), false)?;
        let file::Found::File { attrs, .. } = after else { return Ok(()) };
        self.foresee(item, (path, false), attrs.mode, !matches!(before, file::Found::File { .. }))
    }

    pub(super) fn foresee(
        &mut self,
        item: &Item<'a>,
        (path, directory): (&str, bool),
        mode: u32,
        made: bool,
    ) -> Result<(), Refused> {
        if self.acls.is_none() {
            return Ok(());
        }
        let acls = acl::foresee((path, directory), mode, made, &self.sight(item)).map_err(refused)?;
        if let (Some(all), Some(acls)) = (&mut self.acls, acls) {
            all.insert(path.to_owned(), (directory, acls));
        }
        Ok(())
    }

    /// The host as the plan leaves it so far.
    pub(super) fn sight(&self, item: &Item<'_>) -> Sight<'_, H> {
        let installs = |a: &Action| {
            a.package.as_ref().is_some_and(|pin| pin.to.is_some())
                && item.resource.requires().contains(&a.resource)
        };
        Sight {
            host: &*self.host,
            accounts: &self.accounts,
            files: &self.files,
            made: &self.made,
            acls: self.acls.as_ref().unwrap_or(&NO_ACLS),
            comes: self.planned.actions.iter().any(installs),
            directories: false,
        }
    }

    /// What is created needs a directory to lie in: there, or made earlier in this plan.
    pub(super) fn need_parent(&mut self, path: &str, action: Option<&Action>) -> Result<(), Refused> {
        if action.is_none_or(|a| a.verb != Verb::Create) { Ok(()) } else { self.need_directory(path) }
    }

    pub(super) fn need_directory(&mut self, path: &str) -> Result<(), Refused> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if parent.is_empty() || self.made.contains(parent) {
            return Ok(());
        }
        let comes = |a: &Action| {
            // A package may bring it; only its installation tells.
            a.package.is_some() || a.resource.as_str().strip_prefix("directory:") == Some(parent)
        };
        if self.planned.actions.iter().any(comes) {
            return Ok(());
        }
        if self.leaves.contains(parent) {
            return Err(failed(format!(
                "{path} cannot be created: an earlier step makes no directory of {parent}"
            )));
        }
        let real = self.host.real(parent).map_err(refused)?;
        let why = match real.map(|real| self.host.look(&real)).transpose().map_err(refused)? {
            Some(Entry::Directory { .. }) => return Ok(()),
            None | Some(Entry::Absent) => "does not exist; add it as a directory",
            Some(_) => "is no directory; remove it first",
        };
        Err(failed(format!("{path} cannot be created: {parent} {why}")))
    }

    /// Whom something is to belong to: there, or made earlier in this plan.
    pub(super) fn need_accounts(&self, item: &Item<'_>) -> Result<(), Refused> {
        // A package may bring them; only its installation tells.
        if self.planned.actions.iter().any(|action| action.package.is_some()) {
            return Ok(());
        }
        let (users, groups) = item.resource.accounts();
        let unknown = |kind: &str, name: &AccountName| {
            failed(format!(
                "{}: the host has no {kind} {name}; require the resource or package that brings it",
                item.id()
            ))
        };
        if let Some(name) = users.into_iter().find(|name| self.accounts.uid(name.as_str()).is_none()) {
            return Err(unknown("user", name));
        }
        match groups.into_iter().find(|name| self.accounts.gid(name.as_str()).is_none()) {
            Some(name) => Err(unknown("group", name)),
            None => Ok(()),
        }
    }
}

fn something_else(item: &Item<'_>, path: &str) -> Refused {
    failed(format!("{} needs {path}, but an earlier step makes something else of it", item.id()))
}
