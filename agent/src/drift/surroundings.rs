//! What is watched although no manifest names it: accounts, what systemd starts, and boots of the machine.
//!
//! Each look is compared with the one before, which is kept across restarts of the agent; what runs of the agent did
//! themselves counts as seen. Never: whether a unit has failed, which is no change of anybody's but a matter of health.

use crate::host::{Entry, Fault, Host};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::finding::{Area, Difference};
use shared::ids::ResourceId;
use shared::manifest::Resource;
use shared::strict;
use shared::time::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Account files and authorized keys are far smaller.
const TEXT_BYTES: u64 = 4 << 20;
/// Things of one area that are told apart; the rest counts as one.
const APART: usize = 4_000;
const UNITS: &str = "/etc/systemd/system";
const SUDOERS: &str = "/etc/sudoers.d";
/// Where accounts and units lie, for whoever wants to hear of changes at once.
pub const PLACES: [&str; 6] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/sudoers", SUDOERS, UNITS];
/// Groups whose members may become root on the systems that are supported.
const ROOT_GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];

/// One look: each thing with what it is like, in words that say no more than everybody may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    pub boot_id: String,
    pub booted: Timestamp,
    pub accounts: BTreeMap<String, String>,
    pub units: BTreeMap<String, String>,
}

/// What approved states name: told by their own findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    ids: BTreeSet<String>,
    paths: BTreeSet<String>,
    units: BTreeSet<String>,
}

impl Named {
    pub fn of<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Self {
        let mut named = Self::default();
        for resource in resources {
            named.ids.insert(resource.id().to_string());
            named.paths.extend(resource.paths().map(Cow::into_owned));
            named.paths.extend(resource.edits().map(str::to_owned));
            match resource {
                Resource::Service(own) => drop(named.units.insert(own.name.unit())),
                Resource::Timer(own) => {
                    named.units.extend(["timer", "service"].map(|kind| format!("{}.{kind}", own.name)));
                }
                _ => {}
            }
        }
        named
    }

    fn has(&self, id: &str) -> bool {
        let (kind, what) = id.split_once(':').unwrap_or_default();
        let path = match kind {
            "unit" => format!("{UNITS}/{what}"),
            "sudoers" => format!("{SUDOERS}/{what}"),
            _ => String::new(),
        };
        let unit = what.rsplit('/').next().unwrap_or(what);
        self.ids.contains(id) || self.paths.contains(&path) || kind == "unit" && self.units.contains(unit)
    }
}

/// Looks at the machine.
///
/// # Errors
/// The machine's.
pub fn look(host: &impl Host) -> Result<Surroundings, Fault> {
    Ok(Surroundings {
        boot_id: host.boot_id()?,
        booted: host.booted()?,
        accounts: bounded(accounts(host)?),
        units: bounded(units(host)?),
    })
}

/// What differs between two looks in one area, but for what approved states name. In the order of resources.
pub fn differences(area: Area, before: &Surroundings, now: &Surroundings, named: &Named) -> Vec<Difference> {
    let of = |look: &Surroundings| match area {
        Area::Accounts => look.accounts.clone(),
        Area::Units => look.units.clone(),
    };
    let (before, now) = (of(before), of(now));
    let ids: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed = ids.into_iter().filter(|id| before.get(*id) != now.get(*id) && !named.has(id));
    let found = changed.filter_map(|id| {
        let (old, new) = (before.get(id), now.get(id));
        let summary = match (old, new) {
            (None, Some(new)) => format!("{id} was added: {new}"),
            (Some(old), None) => format!("{id} was removed; it was: {old}"),
            (Some(old), Some(new)) => format!("{id} was: {old}; is: {new}"),
            (None, None) => return None,
        };
        let digest = |text: Option<&String>| Digest::of(&strict::to_json(&(id, text)));
        Some(Difference {
            resource: id.parse::<ResourceId>().ok()?,
            expected: digest(old),
            observed: new.map(|_| digest(new)),
            summary,
            diff: None,
        })
    });
    let mut all: Vec<Difference> = found.collect();
    all.sort_by(|a, b| a.resource.cmp(&b.resource));
    all
}

/// The start of the machine as a difference.
pub fn boot(before: &Surroundings, now: &Surroundings) -> Option<Difference> {
    let digest = |look: &Surroundings| Digest::of(look.boot_id.as_bytes());
    Some(Difference {
        resource: "host:boot".parse().ok()?,
        expected: digest(before),
        observed: Some(digest(now)),
        summary: format!("the machine was started at {}", now.booted),
        diff: None,
    })
}

/// Keeps names that a resource id can carry, and so many of them; the others count together.
fn bounded(all: Vec<(String, String)>) -> BTreeMap<String, String> {
    let (mut kept, mut rest) = (BTreeMap::new(), Vec::new());
    for (id, what) in all {
        if kept.len() < APART && id.parse::<ResourceId>().is_ok() {
            kept.insert(id, what);
        } else {
            rest.push((id, what));
        }
    }
    if !rest.is_empty() {
        rest.sort();
        let digest = Digest::of(&strict::to_json(&rest));
        kept.insert("more:others".into(), format!("{} others, sha256 {digest}", rest.len()));
    }
    kept
}

fn text(path: &str, host: &impl Host) -> Result<String, Fault> {
    match host.look(path)? {
        Entry::File { length, .. } if length <= TEXT_BYTES => {
            let bytes = host.read(path, TEXT_BYTES)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Ok(String::new()),
    }
}

fn accounts(host: &impl Host) -> Result<Vec<(String, String)>, Fault> {
    let (passwd, group) = (text("/etc/passwd", host)?, text("/etc/group", host)?);
    let shadow = text("/etc/shadow", host)?;
    let passwords = passwords(&shadow);
    let mut all = Vec::new();
    let mut privileged: BTreeSet<&str> = BTreeSet::new();
    for line in group.lines() {
        let [name, _, gid, members] = fields(line);
        if !name.is_empty() {
            if ROOT_GROUPS.contains(&name) {
                privileged.extend(members.split(',').filter(|member| !member.is_empty()));
            }
            all.push((format!("group:{name}"), format!("gid {gid}, members {members}")));
        }
    }
    for line in passwd.lines() {
        let [name, _, uid, gid, _, home, shell] = fields(line);
        if name.is_empty() {
            continue;
        }
        let password = passwords.get(name).copied().unwrap_or("without an entry in shadow");
        all.push((
            format!("user:{name}"),
            format!("uid {uid}, gid {gid}, home {home}, shell {shell}, password {password}"),
        ));
        if uid == "0" || privileged.contains(name) {
            for file in ["authorized_keys", "authorized_keys2"] {
                let path = format!("{}/.ssh/{file}", home.trim_end_matches('/'));
                all.extend(keys(name, file, &path, host)?);
            }
        }
    }
    let mut rules = vec![("sudoers:/etc/sudoers".to_owned(), "/etc/sudoers".to_owned())];
    let files = host.list(SUDOERS)?.into_iter();
    rules.extend(files.map(|name| (format!("sudoers:{name}"), format!("{SUDOERS}/{name}"))));
    for (id, path) in rules {
        all.extend(described(&path, host)?.map(|what| (id, what)));
    }
    Ok(all)
}

/// The first fields of a line of an account file; missing ones are empty.
fn fields<const N: usize>(line: &str) -> [&str; N] {
    let mut all = line.split(':');
    [(); N].map(|()| all.next().unwrap_or_default())
}

/// Whether each account can log in by a password; never more about it.
fn passwords(shadow: &str) -> BTreeMap<&str, &'static str> {
    let state = |hash: &str| match hash {
        "" => "empty",
        hash if hash.starts_with('!') || hash.starts_with('*') => "locked",
        _ => "set",
    };
    shadow.lines().map(fields::<2>).map(|[name, hash]| (name, state(hash))).collect()
}

fn keys(user: &str, file: &str, path: &str, host: &impl Host) -> Result<Option<(String, String)>, Fault> {
    let text = text(path, host)?;
    let keys = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: BTreeSet<&str> = keys.collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let digest = Digest::of(&strict::to_json(&keys));
    let id = if file == "authorized_keys" { user.to_owned() } else { format!("{user}/{file}") };
    Ok(Some((format!("authorized_keys:{id}"), format!("{} keys, sha256 {digest}", keys.len()))))
}

/// What people, and packages for them, have set up for systemd: links that start units, masks, own files.
fn units(host: &impl Host) -> Result<Vec<(String, String)>, Fault> {
    let mut all = Vec::new();
    for name in host.list(UNITS)? {
        let path = format!("{UNITS}/{name}");
        match host.look(&path)? {
            Entry::Directory { .. } => {
                for below in host.list(&path)? {
                    let what = described(&format!("{path}/{below}"), host)?;
                    all.extend(what.map(|what| (format!("unit:{name}/{below}"), what)));
                }
            }
            _ => all.extend(described(&path, host)?.map(|what| (format!("unit:{name}"), what))),
        }
    }
    Ok(all)
}

fn described(path: &str, host: &impl Host) -> Result<Option<String>, Fault> {
    let scan = host.scan(path, 0)?;
    Ok(match (scan.entry, scan.digest) {
        (Entry::Absent, _) => None,
        (Entry::Link { target }, _) if target == "/dev/null" => Some("masked".into()),
        (Entry::Link { target }, _) => Some(format!("a link to {target}")),
        (Entry::File { .. }, Some(digest)) => Some(format!("a file, sha256 {digest}")),
        _ => Some("no file".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{Fake, Node, ROOT};

    fn host() -> Fake {
        let host = Fake::default();
        host.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n");
        host.file("/etc/group", "root:x:0:\nsudo:x:27:ada\n");
        host.file("/etc/shadow", "root:*:1::::::\nada:$6$secret:1::::::\n");
        host.file("/home/ada/.ssh/authorized_keys", "# laptop\nssh-ed25519 AAAA ada\n");
        host.file("/etc/sudoers", "%sudo ALL=(ALL) ALL\n");
        host.file("/etc/systemd/system/own.service", "[Service]\n");
        host
    }

    fn told(before: &Surroundings, now: &Surroundings, area: Area) -> Vec<String> {
        differences(area, before, now, &Named::default()).into_iter().map(|d| d.summary).collect()
    }

    #[test]
    fn accounts_keys_rules_and_units_are_told_apart_and_no_password_is() {
        let host = host();
        let before = look(&host).unwrap();
        assert!(!format!("{before:?}").contains("secret"));
        assert_eq!(told(&before, &look(&host).unwrap(), Area::Accounts), Vec::<String>::new());
        host.file(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\nm:x:0:0::/m:/bin/sh\n",
        );
        host.file("/etc/shadow", "root::1::::::\nada:$6$other:1::::::\n");
        host.file("/home/ada/.ssh/authorized_keys", "ssh-ed25519 AAAA ada\nssh-ed25519 BBBB m\n");
        host.file("/etc/sudoers.d/m", "m ALL=(ALL) NOPASSWD: ALL\n");
        let links = [
            ("/etc/systemd/system/ssh.service", "/dev/null"),
            ("/etc/systemd/system/multi-user.target.wants/m.service", "/etc/systemd/system/m.service"),
        ];
        for (path, target) in links {
            host.world.borrow_mut().nodes.insert(path.into(), Node::Link(target.into()));
        }
        let wants = "/etc/systemd/system/multi-user.target.wants";
        host.world.borrow_mut().nodes.insert(wants.into(), Node::Dir(ROOT));
        let now = look(&host).unwrap();
        let all = told(&before, &now, Area::Accounts);
        let begins = [
            "authorized_keys:ada was: 1 keys",
            "sudoers:m was added",
            "user:m was added: uid 0",
            "user:root was: ",
        ];
        assert_eq!(all.len(), begins.len(), "{all:#?}");
        for (line, begin) in all.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line}");
        }
        assert!(all[3].contains("password locked") && all[3].ends_with("password empty"), "{}", all[3]);
        let units = told(&before, &now, Area::Units);
        assert_eq!(
            units,
            [
                "unit:multi-user.target.wants/m.service was added: a link to /etc/systemd/system/m.service",
                "unit:ssh.service was added: masked"
            ]
        );
    }

    #[test]
    fn what_a_manifest_names_is_not_told_here() {
        let before = look(&host()).unwrap();
        let after = host();
        after.file("/etc/sudoers.d/web", "x\n");
        after.file("/etc/group", "root:x:0:\nsudo:x:27:\n");
        let manifest = serde_json::json!({
            "manifest": "a", "version": "1.0.0", "team": "main", "resources": [
                { "sudoers": { "name": "web", "content": "%web ALL=(root) /bin/true\n" } },
                { "group": { "name": "sudo", "gid": 27 } }
            ]
        });
        let manifest = shared::manifest::Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        let named = Named::of(manifest.resources());
        let all = differences(Area::Accounts, &before, &look(&after).unwrap(), &named);
        let all: Vec<_> = all.iter().map(|d| d.resource.as_str()).collect();
        // Who may not become root any more has keys of no further interest.
        assert_eq!(all, ["authorized_keys:ada"]);
    }

    #[test]
    fn names_that_no_statement_can_carry_still_count() {
        let odd =
            vec![("unit:a\nb".to_owned(), "masked".to_owned()), ("unit:c".to_owned(), "masked".to_owned())];
        let kept = bounded(odd);
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), ["more:others", "unit:c"]);
    }
}
