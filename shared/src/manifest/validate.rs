//! What the types cannot say: references, limits and templates. Finds all problems at once.

use super::order::{in_the_way, order, refers};
use super::{
    Acl, AclEntry, AclTag, Archive, Artifact, Block, BlockWant, Body, Command, Directory, Dropin, EnvName,
    File, FileSource, FileWant, Firewall, HealthCheck, Hook, HookPoint, KernelModule, Manifest, Mode,
    ModuleWant, Mount, NamePattern, Needed, ParamName, ParameterType, Patch, Probe, Problem, Properties,
    Recurse, Resource, ResourceKind, Restart, RestartServices, RuleId, Select, Sudoers, TextSource, Timer,
    TimerJob, User, UserWant, suggest,
};
use crate::ids::ResourceId;
use crate::limits;
use crate::strict::{Map, shorten};
use crate::template;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters in one manifest.
pub const PARAMETERS: usize = 256;
/// Choices of one parameter, and references of one resource.
pub const LIST_ITEMS: usize = 256;
/// Health checks in one manifest.
pub const HEALTH_CHECKS: usize = 64;
/// Hooks at one point of a manifest.
pub const HOOKS: usize = 32;
/// Bytes of the contents of one file; larger files are artifacts.
pub const CONTENT_BYTES: usize = 256 << 10;
/// Bytes of a title or the name of a health check.
pub const TITLE_BYTES: usize = 200;

/// Problems that are told at once; more help nobody.
pub const PROBLEMS: usize = 200;

/// What is wrong with a manifest, the first 200 of it; empty for a valid one.
pub fn validate(manifest: &Manifest) -> Vec<Problem> {
    let params: Vec<&str> = manifest.parameters.keys().map(ParamName::as_str).collect();
    let open = open_params(manifest);
    let mut check = Check { params, open, problems: Vec::new() };
    check.text("title", &manifest.title, TITLE_BYTES);
    check.count("parameters", manifest.parameters.len(), PARAMETERS);
    check.count("health", manifest.health.len(), HEALTH_CHECKS);
    for point in HookPoint::ALL {
        check.hooks(&format!("hooks.{}", point.as_str()), manifest.hooks.at(point));
    }
    check.parameters(manifest);
    match &manifest.body {
        Body::Resources(resources) => check.resources(manifest, resources),
        Body::Patch(patch) => check.patch(manifest, patch),
    }
    for (index, health) in manifest.health.iter().enumerate() {
        check.health(&format!("health[{index}]"), health);
    }
    check.problems
}

/// Parameters that everybody may read.
fn open_params(manifest: &Manifest) -> Vec<&str> {
    let open =
        manifest.parameters.iter().filter(|(_, parameter)| parameter.value_type != ParameterType::Secret);
    open.map(|(name, _)| name.as_str()).collect()
}

struct Check<'a> {
    /// All parameters.
    params: Vec<&'a str>,
    /// Those that are no secrets.
    open: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, place: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem::new(place, message, remedy));
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS
    }

    fn count(&mut self, place: &str, count: usize, limit: usize) {
        if count > limit {
            self.problem(place, format!("there are {count} entries"), format!("use at most {limit}"));
        }
    }

    /// One line of text for people.
    fn text(&mut self, place: &str, text: &str, limit: usize) {
        if text.len() > limit {
            self.problem(place, format!("the text has {} bytes", text.len()), format!("use at most {limit}"));
        }
        if text.chars().any(char::is_control) {
            self.problem(place, "the text contains control characters", "write it in one line");
        }
    }

    /// A template whose result is shown or sent: secrets have no place in it.
    fn template(&mut self, place: &str, text: &str) {
        if self.uses_secrets(text) {
            let remedy = "use it in the template of a file, and let whoever needs it read that file";
            return self.problem(place, "the template uses a parameter that is a secret", remedy);
        }
        for found in template::check(text, &self.open) {
            self.problem(place, format!("template line {}: {}", found.line, found.message), found.remedy);
        }
    }

    /// True for a template that is good, but only with secrets.
    fn uses_secrets(&self, text: &str) -> bool {
        self.open.len() < self.params.len()
            && template::check(text, &self.params).is_empty()
            && !template::check(text, &self.open).is_empty()
    }

    fn range(&mut self, place: String, value: u32, min: u32, max: u32) {
        if !(min..=max).contains(&value) {
            self.problem(place, format!("{value} is out of range"), format!("use {min} to {max}"));
        }
    }

    fn parameters(&mut self, manifest: &Manifest) {
        for (name, parameter) in manifest.parameters.iter() {
            let place = format!("parameters.{name}");
            self.count(&format!("{place}.enum"), parameter.choices.len(), LIST_ITEMS);
            if parameter.description.len() > limits::TEXT_BYTES {
                let remedy = format!("use at most {} bytes", limits::TEXT_BYTES);
                self.problem(format!("{place}.description"), "the description is too long", remedy);
            }
            if parameter.value_type == ParameterType::Secret && !parameter.choices.is_empty() {
                self.problem(format!("{place}.enum"), "a secret has no choices", "remove them");
            }
            let bounded = parameter.min.is_some() || parameter.max.is_some();
            if bounded && parameter.value_type != ParameterType::Integer {
                self.problem(place.clone(), "min and max are for integers only", "remove them, or use enum");
            }
            if let (Some(min), Some(max)) = (parameter.min, parameter.max)
                && min > max
            {
                self.problem(format!("{place}.min"), format!("min {min} is above max {max}"), "swap them");
            }
            for (index, choice) in parameter.choices.iter().enumerate() {
                if let Some((message, remedy)) = parameter.refuse(choice) {
                    self.problem(format!("{place}.enum[{index}]"), message, remedy);
                }
            }
            if let Some((message, remedy)) =
                parameter.default.as_ref().and_then(|value| parameter.refuse(value))
            {
                self.problem(format!("{place}.default"), message, remedy);
            }
        }
    }

    fn resources(&mut self, manifest: &Manifest, resources: &[Resource]) {
        self.count("resources", resources.len(), limits::MANIFEST_RESOURCES);
        if resources.is_empty() {
            self.problem("resources", "the manifest wants nothing", "add at least one resource");
        }
        // Of resources with one id the paths are the same: names are only kept where there is none, or where others
        // refer to them. A manifest may have ten thousand files.
        let refer = resources.iter().any(refers);
        let mut first: BTreeMap<ResourceId, usize> = BTreeMap::new();
        let mut paths: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
        for (index, resource) in resources.iter().enumerate() {
            let id = (refer || resource.paths().next().is_none()).then(|| resource.id());
            let earlier = id.as_ref().and_then(|id| first.get(id).copied());
            let earlier = earlier.or_else(|| resource.paths().find_map(|path| paths.get(&path).copied()));
            if let Some(earlier) = earlier {
                let (id, kind) = (resource.id(), resource.kind().as_str());
                let message = format!("{id} is already managed by resources[{earlier}]");
                self.problem(format!("resources[{index}].{kind}"), message, "merge the two resources");
            }
            if let Some(id) = id {
                first.entry(id).or_insert(index);
            }
            for path in resource.paths() {
                paths.entry(path).or_insert(index);
            }
        }
        for (index, resource) in resources.iter().enumerate() {
            if let Some(path) = resource.edits()
                && let Some(whole) = paths.get(path)
            {
                let place = format!("resources[{index}].{}", resource.kind().as_str());
                let message = format!("{path} belongs as a whole to resources[{whole}]");
                self.problem(place, message, "put this part into that resource");
            }
        }
        drop(paths);
        for (index, resource) in resources.iter().enumerate() {
            self.resource(&format!("resources[{index}].{}", resource.kind().as_str()), resource, &first);
        }
        self.alone(manifest, resources);
        self.masks(resources);
        if let Some((leaf, below, path)) = in_the_way(&resources.iter().collect::<Vec<_>>()) {
            let (leaf, below) = (resources[leaf].id(), (below, resources[below].kind().as_str()));
            let message = format!("this needs {path}, but {leaf} makes something else of it");
            let remedy = "remove one of the two; what lies behind a link is named by its real path";
            self.problem(format!("resources[{}].{}", below.0, below.1), message, remedy);
        }
        if let Err(cycle) = order(manifest) {
            let at = cycle.0.first().and_then(|id| first.get(id)).copied().unwrap_or_default();
            self.problem(format!("resources[{at}]"), cycle.to_string(), "remove one of these links");
        }
    }

    fn resource(&mut self, place: &str, resource: &Resource, known: &BTreeMap<ResourceId, usize>) {
        // Places are only written where there is something to look at: most resources have none of these.
        let (requires, on_change) = (resource.requires(), resource.on_change());
        for (key, ids, services) in [("requires", requires, false), ("on_change", on_change, true)] {
            if !ids.is_empty() {
                self.references(&format!("{place}.{key}"), ids, known, services);
            }
        }
        if !resource.satisfies().is_empty() {
            self.rules(&format!("{place}.satisfies"), resource.satisfies());
        }
        match resource {
            Resource::File(file) => {
                if let FileWant::Present { source, mode, .. } = &file.want {
                    self.source(place, source, *mode);
                }
            }
            Resource::Command(command) => self.command(place, command, known),
            Resource::External(own) => {
                self.range(format!("{place}.timeout_s"), own.timeout_s, 1, Command::MAX_TIMEOUT_S);
                self.artifact(&format!("{place}.manifest"), &own.manifest);
                self.artifact(&format!("{place}.program"), &own.program);
                if own.properties.to_json().len() > Properties::BYTES {
                    let remedy = format!("use at most {} bytes of JSON", Properties::BYTES);
                    self.problem(format!("{place}.properties"), "the properties are too long", remedy);
                }
            }
            Resource::Service(service) if service.state.is_none() && service.enabled.is_none() => {
                self.problem(place, "the service wants nothing", "give state, enabled or both");
            }
            Resource::Block(block) => self.block(place, block),
            Resource::Directory(directory) => self.directory(place, directory),
            Resource::Sudoers(Sudoers { content: Some(content), .. }) => {
                self.content(&format!("{place}.content"), content);
                if !content.ends_with('\n') {
                    self.problem(
                        format!("{place}.content"),
                        "the last rule has no line break",
                        "end it with one; write the rules as a block with |",
                    );
                }
            }
            Resource::Dropin(Dropin { source: Some(source), .. }) => {
                self.written(place, source);
            }
            Resource::Timer(Timer { job: Some(job), .. }) => self.timer(place, job),
            Resource::Firewall(firewall) => {
                let (min, max) = (Firewall::MIN_CONFIRM_S, Firewall::MAX_CONFIRM_S);
                self.range(format!("{place}.confirm_s"), firewall.confirm_s, min, max);
                let (place, text) = self.written(place, &firewall.source);
                if matches!(firewall.source, TextSource::Content(_)) && !Firewall::begins_anew(text) {
                    let message =
                        "the ruleset does not begin with `flush ruleset`, so loading it twice adds it twice";
                    self.problem(place, message, "write `flush ruleset` as its first line");
                }
            }
            Resource::Mount(Mount { want: Some(want), .. }) => {
                self.count(&format!("{place}.options"), want.options.len(), LIST_ITEMS);
                self.range(format!("{place}.pass"), want.pass, 0, 2);
            }
            Resource::KernelModule(KernelModule { want: ModuleWant::Loaded { options }, .. }) => {
                self.count(&format!("{place}.options"), options.len(), LIST_ITEMS);
            }
            Resource::Archive(Archive { path, want: Some(want), .. }) => {
                self.artifact(&format!("{place}.artifact"), &want.artifact);
                self.range(format!("{place}.strip"), want.strip, 0, Archive::STRIP);
                if path.as_str().rfind('/') == Some(0) {
                    let message = format!("{path} is a directory of the whole system");
                    self.problem(format!("{place}.path"), message, "unpack into a directory below it");
                }
            }
            Resource::Acl(acl) => self.acl(place, acl),
            Resource::AuthorizedKeys(keys) => {
                self.count(&format!("{place}.keys"), keys.keys.len(), LIST_ITEMS)
            }
            Resource::User(User { want: UserWant::Present(fields), .. }) => {
                let groups = fields.groups.as_ref().map_or(0, Vec::len);
                self.count(&format!("{place}.groups"), groups, LIST_ITEMS);
            }
            _ => {}
        }
    }

    fn acl(&mut self, place: &str, acl: &Acl) {
        if acl.access.is_empty() && acl.default.is_empty() && !acl.purge {
            self.problem(place, "the ACL wants nothing", "give access, default or purge: true");
        }
        for (key, entries) in [("access", &acl.access), ("default", &acl.default)] {
            self.count(&format!("{place}.{key}"), entries.len(), LIST_ITEMS);
            let mut seen = BTreeSet::new();
            for (index, entry) in entries.iter().enumerate() {
                let (tag, name, _) = entry.parts();
                if !seen.insert((tag, name)) {
                    let message = format!("another entry is about the same as {entry}");
                    self.problem(format!("{place}.{key}[{index}]"), message, "keep one of them");
                }
            }
        }
    }

    /// Nothing else may depend on the moment at which another program takes the agent's place.
    fn alone(&mut self, manifest: &Manifest, resources: &[Resource]) {
        let at = resources.iter().position(|resource| matches!(resource, Resource::Agent(_)));
        let Some(at) = at.filter(|_| resources.len() > 1 || !manifest.hooks.is_empty()) else { return };
        let message = "a manifest that brings a program of the agent brings nothing else, and has no hooks";
        self.problem(format!("resources[{at}].agent"), message, "put the rest into a manifest of its own");
    }

    /// The group's permissions in a mode are the mask of an ACL: with both given they must be the same, or each run
    /// would take back what the other one did.
    fn masks(&mut self, resources: &[Resource]) {
        if !resources.iter().any(|resource| matches!(resource, Resource::Acl(_))) {
            return;
        }
        let modes: BTreeMap<&str, Mode> = resources
            .iter()
            .filter_map(|resource| match resource {
                Resource::File(File { path, want: FileWant::Present { mode, .. }, .. }) => {
                    Some((path.as_str(), (*mode)?))
                }
                Resource::Directory(own) => Some((own.path.as_str(), own.mode?)),
                _ => None,
            })
            .collect();
        for (index, resource) in resources.iter().enumerate() {
            let Resource::Acl(acl) = resource else { continue };
            let Some(mode) = modes.get(acl.path.as_str()).filter(|_| !acl.access.is_empty() || acl.purge)
            else {
                continue;
            };
            for (tag, shift) in [(AclTag::UserObj, 6), (AclTag::Mask, 3), (AclTag::Other, 0)] {
                let bits = (mode.bits() >> shift) & 7;
                let listed = acl.access.iter().map(AclEntry::parts).find(|(of, ..)| *of == tag);
                let same = listed.map(|(.., perms)| u32::from(perms) == bits);
                if same.unwrap_or(tag != AclTag::Mask) {
                    continue;
                }
                let word = match tag {
                    AclTag::UserObj => "user::",
                    AclTag::Mask => "mask::",
                    _ => "other::",
                };
                let bit = |at: u32, c: char| if (bits >> at) & 1 == 1 { c } else { '-' };
                let remedy = format!(
                    "list {word}{}{}{}, or leave mode out there",
                    bit(2, 'r'),
                    bit(1, 'w'),
                    bit(0, 'x')
                );
                let message = format!("the mode {mode} of {} says otherwise than this ACL", acl.path);
                self.problem(format!("resources[{index}].acl.access"), message, remedy);
            }
        }
    }

    fn references(
        &mut self,
        place: &str,
        ids: &[ResourceId],
        known: &BTreeMap<ResourceId, usize>,
        services: bool,
    ) {
        self.count(place, ids.len(), LIST_ITEMS);
        let service = format!("{}:", ResourceKind::Service.as_str());
        for (index, id) in ids.iter().enumerate() {
            let place = format!("{place}[{index}]");
            if self.is_full() {
                return;
            }
            if services && !id.as_str().starts_with(&service) {
                self.problem(place, format!("{id} is not a service"), "on_change names services to restart");
            } else if !known.contains_key(id) {
                let candidates =
                    known.keys().map(ResourceId::as_str).filter(|k| !services || k.starts_with(&service));
                let remedy = suggest(id.as_str(), candidates);
                self.problem(place, format!("the manifest has no resource {id}"), remedy);
            }
        }
    }

    fn rules(&mut self, place: &str, rules: &[RuleId]) {
        self.count(place, rules.len(), LIST_ITEMS);
        let mut seen = BTreeSet::new();
        for (index, rule) in rules.iter().enumerate() {
            if !seen.insert(rule) {
                self.problem(format!("{place}[{index}]"), format!("{rule} is named twice"), "name it once");
            }
        }
    }

    fn source(&mut self, place: &str, source: &FileSource, mode: Option<Mode>) {
        match source {
            FileSource::Content(content) => self.content(&format!("{place}.content"), content),
            FileSource::Secret(_) => self.closed(place, mode),
            FileSource::Template(text) if self.uses_secrets(text) => {
                self.closed(place, mode);
                if text.starts_with("#!") {
                    let remedy = "let it read them from a file of their own";
                    self.problem(format!("{place}.template"), "a script must not hold secrets", remedy);
                }
            }
            FileSource::Template(text) => self.template(&format!("{place}.template"), text),
            FileSource::Artifact(artifact) => self.artifact(&format!("{place}.artifact"), artifact),
        }
    }

    /// A file with a secret is not for everybody's eyes, whatever was there before.
    fn closed(&mut self, place: &str, mode: Option<Mode>) {
        if mode.is_none_or(|mode| mode.bits() & 0o007 != 0) {
            let message = "the file holds a secret, and its mode does not keep others out";
            self.problem(format!("{place}.mode"), message, "give a mode such as \"0600\" or \"0640\"");
        }
    }

    fn content(&mut self, place: &str, content: &str) {
        if content.len() > CONTENT_BYTES {
            let message = format!("the content has {} bytes", content.len());
            self.problem(place, message, format!("use at most {CONTENT_BYTES} bytes, or an artifact"));
        }
    }

    /// Checks a text; answers its place and the text itself.
    fn written<'t>(&mut self, place: &str, source: &'t TextSource) -> (String, &'t str) {
        let (place, text) = match source {
            TextSource::Content(text) => (format!("{place}.content"), text),
            TextSource::Template(text) => (format!("{place}.template"), text),
        };
        self.content(&place, text);
        if matches!(source, TextSource::Template(_)) {
            self.template(&place, text);
        }
        (place, text)
    }

    fn timer(&mut self, place: &str, job: &TimerJob) {
        self.count(&format!("{place}.on_calendar"), job.on_calendar.len(), LIST_ITEMS);
        self.range(format!("{place}.random_delay_s"), job.random_delay_s, 0, Timer::MAX_S);
        self.range(format!("{place}.timeout_s"), job.timeout_s.unwrap_or(1), 1, Timer::MAX_S);
        if job
            .run
            .as_slice()
            .iter()
            .any(|item| item.contains(|c: char| c.is_control() && c != '\n' && c != '\t'))
        {
            self.problem(
                format!("{place}.run"),
                "an argument has control characters, which a unit file cannot hold",
                "put them into a script",
            );
        }
    }

    fn directory(&mut self, place: &str, directory: &Directory) {
        if directory.purge && directory.path.as_str().rfind('/') == Some(0) {
            let message = format!("{} is a directory of the whole system", directory.path);
            self.problem(format!("{place}.purge"), message, "purge a directory below it, or nothing");
        }
        if let Some(Recurse { owner: None, group: None, file_mode: None, directory_mode: None }) =
            directory.recurse
        {
            let remedy = "give owner, group, file_mode or directory_mode";
            self.problem(format!("{place}.recurse"), "nothing is wanted of what lies below", remedy);
        }
    }

    fn block(&mut self, place: &str, block: &Block) {
        let BlockWant::Present { source, .. } = &block.want else { return };
        let (place, text) = self.written(place, source);
        let (begin, end) = block.markers();
        if text.lines().any(|line| line.trim() == begin || line.trim() == end) {
            self.problem(place, "the block contains its own marker line", "remove it; markers are added");
        }
    }

    fn command(&mut self, place: &str, command: &Command, known: &BTreeMap<ResourceId, usize>) {
        self.program(place, command.timeout_s, &command.env);
        if let Needed::Changed(ids) = &command.needed {
            let place = format!("{place}.needed.changed");
            if ids.is_empty() {
                self.problem(
                    place.clone(),
                    "the list is empty, so the command would never run",
                    "name a resource",
                );
            }
            self.references(&place, ids, known, false);
        }
    }

    /// Time limit and environment of a program.
    fn program(&mut self, place: &str, timeout_s: u32, env: &Map<EnvName, String>) {
        self.range(format!("{place}.timeout_s"), timeout_s, 1, Command::MAX_TIMEOUT_S);
        self.count(&format!("{place}.env"), env.len(), LIST_ITEMS);
        for (name, value) in env.iter() {
            if value.contains('\0') || value.len() > limits::TEXT_BYTES {
                let remedy = format!("use at most {} bytes without NUL", limits::TEXT_BYTES);
                self.problem(format!("{place}.env.{name}"), "the value is too long or contains NUL", remedy);
            }
        }
    }

    fn hooks(&mut self, place: &str, hooks: &[Hook]) {
        self.count(place, hooks.len(), HOOKS);
        let mut names = BTreeSet::new();
        for (index, hook) in hooks.iter().enumerate() {
            let place = format!("{place}[{index}]");
            self.program(&place, hook.timeout_s, &hook.env);
            if !names.insert(&hook.name) {
                let message = format!("there is another hook {} at this point", hook.name);
                self.problem(format!("{place}.name"), message, "give it another name");
            }
            if !hook.names_its_script() {
                let message = format!("script and the argument {} belong together", Hook::SCRIPT);
                self.problem(format!("{place}.run"), message, "give both, or neither");
            }
            if let Some(script) = &hook.script {
                self.artifact(&format!("{place}.script"), script);
            }
        }
    }

    fn artifact(&mut self, place: &str, artifact: &Artifact) {
        if artifact.length > limits::ARTIFACT_BYTES {
            let message = format!("the artifact has {} bytes", artifact.length);
            let remedy = format!("use at most {} bytes", limits::ARTIFACT_BYTES);
            self.problem(format!("{place}.length"), message, remedy);
        }
    }

    fn patch(&mut self, manifest: &Manifest, patch: &Patch) {
        self.restart(&patch.restart);
        for (place, patterns) in [("patch.names", &patch.names), ("patch.exclude", &patch.exclude)] {
            self.count(place, patterns.len(), LIST_ITEMS);
            for (index, pattern) in patterns.iter().enumerate() {
                self.pattern(manifest, &format!("{place}[{index}]"), pattern);
            }
        }
        match (patch.select, patch.names.is_empty()) {
            (Select::Named, true) => {
                self.problem("patch.names", "select: named needs names", "add names, or select: all");
            }
            (Select::All | Select::Security, false) => {
                self.problem(
                    "patch.names",
                    "names are for select: named only",
                    "remove them, or select: named",
                );
            }
            _ => {}
        }
    }

    /// A parameter with patterns is text, and its default, if any, holds patterns.
    fn pattern(&mut self, manifest: &Manifest, place: &str, pattern: &NamePattern) {
        let NamePattern::Param(name) = pattern else { return };
        match manifest.parameters.get(name).map(|declared| declared.value_type) {
            Some(ParameterType::String) => {}
            Some(_) => {
                self.problem(place, format!("parameter {name} is no text"), "declare it with type: string");
            }
            None => {
                let known = self.params.clone();
                let remedy = suggest(name.as_str(), known.into_iter());
                self.problem(place, format!("the manifest has no parameter {name}"), remedy);
            }
        }
    }

    fn restart(&mut self, restart: &Restart) {
        self.count("patch.restart.names", restart.names.len(), LIST_ITEMS);
        self.count("patch.restart.except", restart.except.len(), LIST_ITEMS);
        match (restart.services, restart.names.is_empty()) {
            (RestartServices::Named, true) => {
                self.problem(
                    "patch.restart.names",
                    "services: named needs names",
                    "add names, or services: auto",
                );
            }
            (RestartServices::Auto | RestartServices::Never, false) => {
                self.problem(
                    "patch.restart.names",
                    "names are for services: named only",
                    "remove them, or services: named",
                );
            }
            _ => {}
        }
    }

    fn health(&mut self, place: &str, health: &HealthCheck) {
        self.text(&format!("{place}.name"), &health.name, TITLE_BYTES);
        if health.name.trim().is_empty() {
            self.problem(format!("{place}.name"), "the name is empty", "say what works when it passes");
        }
        self.range(format!("{place}.timeout_s"), health.timeout_s, 1, 3_600);
        self.range(format!("{place}.retries"), health.retries, 0, 100);
        match &health.probe {
            Probe::Http(http) => {
                self.url(&format!("{place}.http.url"), &http.url);
                self.range(format!("{place}.http.status"), http.status.into(), 100, 599);
                self.text(
                    &format!("{place}.http.contains"),
                    http.contains.as_deref().unwrap_or(""),
                    limits::TEXT_BYTES,
                );
            }
            Probe::Tcp(tcp) => {
                let host = |c: u8| c.is_ascii_alphanumeric() || b".-_:".contains(&c);
                if tcp.host.is_empty() || tcp.host.len() > 253 || !tcp.host.bytes().all(host) {
                    let message = format!("{:?} is not a host name or address", shorten(&tcp.host));
                    self.problem(format!("{place}.tcp.host"), message, "write it without scheme and port");
                }
                self.range(format!("{place}.tcp.port"), tcp.port.into(), 1, 65_535);
            }
            Probe::Command(_) | Probe::Service(_) => {}
        }
    }

    fn url(&mut self, place: &str, url: &str) {
        self.template(place, url);
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let authority = rest.unwrap_or("").split(['/', '?', '#']).next().unwrap_or("");
        let unfit = |c: char| c.is_control() || c.is_whitespace();
        let blank = url
            .split("{{")
            .any(|part| part.split_once("}}").map_or(part, |(_, after)| after).contains(unfit));
        if rest.is_none() {
            self.problem(
                place,
                format!("{:?} is not an http or https address", shorten(url)),
                "start it with http:// or https://",
            );
        } else if authority.is_empty() || authority.contains('@') || blank || url.len() > limits::TEXT_BYTES {
            let remedy = "write http://host:port/path, without blanks and without user or password";
            self.problem(place, format!("{:?} is not a usable address", shorten(url)), remedy);
        }
    }
}
