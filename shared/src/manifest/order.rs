//! The order of resources: what a resource needs comes first, otherwise as written.

use super::{Command, File, FileWant, Manifest, Needed, Resource};
use crate::ids::ResourceId;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;

/// Resources that wait for each other; each needs the next one, the last one needs the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<ResourceId>);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("resources wait for each other: ")?;
        for id in &self.0 {
            write!(f, "{id} needs ")?;
        }
        match self.0.first() {
            Some(first) => write!(f, "{first}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Cycle {}

/// A resource that needs a directory where another one puts a file or link, or wants nothing to be; or an ACL of what
/// is to be a link or nothing.
///
/// A link that a change makes counts as in the way as well: what lies behind it would be elsewhere than it was when
/// the change was planned. Answers the two indexes and the path; the first found.
pub fn in_the_way<'r>(resources: &[&'r Resource]) -> Option<(usize, usize, Cow<'r, str>)> {
    if !are_some_needed_as_directories(resources) {
        return None;
    }
    let leaves = resources.iter().enumerate();
    let leaves = leaves.flat_map(|(index, resource)| resource.leaves().map(move |path| (path, index)));
    let leaves: BTreeMap<Cow<'r, str>, usize> = leaves.collect();
    let has_acl = |leaf: &Resource| {
        !matches!(leaf, Resource::Symlink(_) | Resource::File(File { want: FileWant::Absent, .. }))
    };
    for (index, resource) in resources.iter().enumerate() {
        if let Resource::Acl(acl) = resource
            && let Some((path, leaf)) = leaves.get_key_value(acl.path.as_str())
            && !has_acl(resources[*leaf])
        {
            return Some((*leaf, index, path.clone()));
        }
        let itself = resource.directories().map(|path| format!("{path}/").into());
        for path in resource.leaves().chain(itself) {
            for above in above(&path) {
                if let Some((leaf, other)) = leaves.get_key_value(above) {
                    return Some((*other, index, leaf.clone()));
                }
            }
        }
    }
    None
}

/// The directories that a path lies in, from the outside in, without the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).filter(|above| !above.is_empty())
}

/// Whether a leaf is a directory that others need, or has an ACL. Thousands of files lie in few directories, so this
/// is quicker than asking where each of them lies.
fn are_some_needed_as_directories(resources: &[&Resource]) -> bool {
    let mut needed: BTreeSet<Cow<'_, str>> = BTreeSet::new();
    let mut last = String::new();
    for resource in resources {
        let itself = if let Resource::Acl(acl) = resource { Some(acl.path.as_str()) } else { None };
        needed.extend(resource.directories().into_iter().chain(itself).map(Cow::from));
        for path in resource.leaves().chain(resource.directories().map(Cow::from)) {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if parent != last {
                needed.extend(above(&path).map(|above| above.to_owned().into()));
                parent.clone_into(&mut last);
            }
        }
    }
    resources.iter().flat_map(|resource| resource.leaves()).any(|leaf| needed.contains(&leaf))
}

/// Indexes of the resources in the order in which they are done; stable: ties stay as written.
///
/// A resource comes after what it `requires`, after the resources that restart it or whose change it
/// waits for, and after the directories of the manifest that its path lies in; an ACL also after its file. Packages come after repositories. Unknown ids are ignored
/// here; validation reports them.
///
/// # Errors
/// One cycle, with all its members.
pub fn order(manifest: &Manifest) -> Result<Vec<usize>, Cycle> {
    let resources = manifest.resources();
    let before = prerequisites(resources);
    if before.is_empty() {
        return Ok((0..resources.len()).collect());
    }
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); resources.len()];
    let mut waiting = vec![0; resources.len()];
    for (index, needs) in &before {
        waiting[*index] = needs.len();
        for need in needs {
            after[*need].push(*index);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..resources.len()).filter(|i| waiting[*i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(resources.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for next in &after[index] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    if order.len() == resources.len() {
        return Ok(order);
    }
    Err(Cycle(cycle(&before, &waiting).into_iter().map(|i| resources[i].id()).collect()))
}

/// Resources as others name them: only what somebody asks for.
struct Named<'r> {
    ids: BTreeMap<ResourceId, usize>,
    directories: BTreeMap<&'r str, usize>,
    files: BTreeMap<&'r str, usize>,
}

impl<'r> Named<'r> {
    /// Of two resources with one name, which validation reports, the first counts.
    fn of(resources: &'r [Resource]) -> Self {
        let (refer, acls) = (
            resources.iter().any(refers),
            resources.iter().any(|resource| matches!(resource, Resource::Acl(_))),
        );
        let mut named = Self { ids: BTreeMap::new(), directories: BTreeMap::new(), files: BTreeMap::new() };
        for (i, resource) in resources.iter().enumerate().rev() {
            if refer {
                named.ids.insert(resource.id(), i);
            }
            match resource {
                Resource::Directory(own) => drop(named.directories.insert(own.path.as_str(), i)),
                Resource::File(own) if acls => drop(named.files.insert(own.path.as_str(), i)),
                _ => {}
            }
        }
        named
    }
}

/// Whether it names other resources.
pub(super) fn refers(resource: &Resource) -> bool {
    !(resource.requires().is_empty() && resource.on_change().is_empty() && awaited(resource).is_empty())
}

/// Resources whose change a command waits for.
fn awaited(resource: &Resource) -> &[ResourceId] {
    match resource {
        Resource::Command(Command { needed: Needed::Changed(ids), .. }) => ids,
        _ => &[],
    }
}

/// For each resource that does not come as it is written the indexes that come first, sorted, each once.
fn prerequisites(resources: &[Resource]) -> BTreeMap<usize, Vec<usize>> {
    let named = Named::of(resources);
    let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, resource) in resources.iter().enumerate() {
        let needs = resource.requires().iter().chain(awaited(resource));
        let needs = needs.filter_map(|id| named.ids.get(id).copied());
        let needs: Vec<usize> = needs.chain(enclosing(resource, &named)).collect();
        if !needs.is_empty() {
            before.entry(i).or_default().extend(needs);
        }
        for service in resource.on_change().iter().filter_map(|id| named.ids.get(id)) {
            before.entry(*service).or_default().push(i);
        }
    }
    let repositories: Vec<usize> =
        (0..resources.len()).filter(|i| matches!(resources[*i], Resource::PackageRepository(_))).collect();
    let needed = all_before(&repositories, &before);
    for (i, resource) in resources.iter().enumerate() {
        // A package that a repository itself needs, such as certificates, comes before it.
        if matches!(resource, Resource::Package(_)) && !needed.contains(&i) && !repositories.is_empty() {
            before.entry(i).or_default().extend(&repositories);
        }
    }
    for needs in before.values_mut() {
        needs.sort_unstable();
        needs.dedup();
    }
    before
}

/// Everything that comes before one of `last`, directly or not.
fn all_before(last: &[usize], before: &BTreeMap<usize, Vec<usize>>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut todo = last.to_vec();
    while let Some(index) = todo.pop() {
        let needs = before.get(&index).into_iter().flatten();
        todo.extend(needs.copied().filter(|need| found.insert(*need)));
    }
    found
}

/// Directories of the manifest in which the path of `resource` lies.
fn enclosing(resource: &Resource, named: &Named<'_>) -> Vec<usize> {
    if named.directories.is_empty() && named.files.is_empty() {
        return Vec::new();
    }
    let mut paths: Vec<Cow<'_, str>> = resource.paths().collect();
    paths.extend(resource.edits().map(Into::into));
    if let Resource::Mount(mount) = resource {
        paths.push(format!("{}/", mount.path).into());
    }
    if let Resource::Archive(archive) = resource {
        // The directory itself may be a resource, with owner and mode of its own.
        paths.push(format!("{}/", archive.path).into());
    }
    let mut itself = None;
    if let Resource::Acl(acl) = resource {
        // What it is about may be made, or get its mode, by a resource of its own.
        paths.push(format!("{}/", acl.path).into());
        itself = named.files.get(acl.path.as_str()).copied();
    }
    let directories = paths.iter().flat_map(|path| above(path));
    directories.filter_map(|above| named.directories.get(above).copied()).chain(itself).collect()
}

/// One cycle among the resources that still wait. Each of them waits for another one that waits,
/// so following those links must come back to a resource already seen.
fn cycle(before: &BTreeMap<usize, Vec<usize>>, waiting: &[usize]) -> Vec<usize> {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut path = Vec::new();
    let mut next = waiting.iter().position(|count| *count > 0);
    while let Some(index) = next {
        if let Some(start) = seen.insert(index, path.len()) {
            return path.split_off(start);
        }
        path.push(index);
        next = before.get(&index).into_iter().flatten().copied().find(|need| waiting[*need] > 0);
    }
    path
}
