//! Accounts of passwd(5), group(5) and shadow(5). Of a password only whether there is one and since which day.

use crate::host::{Fault, Host};
use shared::facts::{Password, USERS, User, clean};
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

const BYTES: u64 = 16 << 20;
/// Groups whose members are root, or become it without being asked for more.
const PRIVILEGED: [&str; 11] = [
    "root",
    "wheel",
    "sudo",
    "admin",
    "google-sudoers",
    "docker",
    "lxd",
    "incus-admin",
    "libvirt",
    "disk",
    "shadow",
];
/// Shells that let nobody in, by their last part.
const NO_LOGIN: [&str; 6] = ["nologin", "false", "true", "sync", "shutdown", "halt"];

/// All accounts, sorted.
///
/// # Errors
/// The files cannot be read.
pub fn read(host: &impl Host) -> Result<Vec<User>, Fault> {
    let file = |path: &str| Ok::<_, Fault>(Zeroizing::new(host.read(path, BYTES)?.unwrap_or_default()));
    let (passwd, group, shadow) = (file("/etc/passwd")?, file("/etc/group")?, file("/etc/shadow")?);
    Ok(parse(&text(&passwd), &text(&group), &text(&shadow)))
}

fn text(bytes: &Zeroizing<Vec<u8>>) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())
}

pub(crate) fn parse(passwd: &str, group: &str, shadow: &str) -> Vec<User> {
    let groups = privileged(group);
    let shadow: BTreeMap<&str, Vec<&str>> = shadow
        .lines()
        .filter_map(|line| Some((line.split(':').next()?, line.split(':').collect())))
        .collect();
    let mut users = BTreeMap::new();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, own, uid, gid, _, _, shell, ..] = fields.as_slice() else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse::<u32>()) else { continue };
        if name.is_empty() || name.starts_with(['#', '+', '-']) {
            continue;
        }
        let entry = shadow.get(name);
        let of = groups.iter().filter(|group| group.id == Some(gid) || group.members.contains(name));
        let user = User {
            name: clean(name),
            uid,
            shell: clean(shell),
            // An empty one stands for /bin/sh.
            login: !NO_LOGIN.contains(&shell.rsplit('/').next().unwrap_or_default()),
            password: password(own, entry.and_then(|fields| fields.get(1).copied())),
            password_changed: entry.and_then(|fields| day(fields.get(2)?)),
            privileged: of.map(|group| group.name.to_owned()).collect(),
        };
        // As for libc the first entry of a name counts.
        users.entry(user.name.clone()).or_insert(user);
    }
    let mut users: Vec<User> = users.into_values().collect();
    users.truncate(USERS);
    users
}

/// `own` is the field of passwd(5), where some hosts still keep it.
fn password(own: &str, shadow: Option<&str>) -> Password {
    match (own, shadow) {
        ("x", None) => Password::Unknown,
        ("x", Some(field)) | (field, _) => match field {
            "" => Password::Empty,
            field if field.starts_with(['!', '*']) => Password::Locked,
            _ => Password::Set,
        },
    }
}

/// Days since 1970; 0 means that it has to be set at the next login.
fn day(days: &str) -> Option<Timestamp> {
    let days: i64 = days.parse().ok().filter(|days| (1..=2_000_000).contains(days))?;
    Some(Timestamp(days * 86_400))
}

struct Group<'a> {
    name: &'a str,
    id: Option<u32>,
    members: BTreeSet<&'a str>,
}

fn privileged(group: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = group
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| PRIVILEGED.contains(name))?;
            let (id, members) = (fields.nth(1)?, fields.next().unwrap_or_default());
            Some(Group { name, id: id.parse().ok(), members: members.split(',').collect() })
        })
        .collect();
    groups.sort_by_key(|group| group.name);
    groups.dedup_by_key(|group| group.name);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_tell_who_may_log_in_and_never_how() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nweb:x:33:33:Web:/:/usr/sbin/nologin\n\
            eve:x:1000:1000:Eve Example,,,:/home/eve:\nold::1001:27::/:/bin/sh\nroot:x:1:1::/:/bin/false\n+nis\nbad:x\n";
        let group = "root:x:0:\nsudo:x:27:eve,root\nusers:x:100:eve\ndocker:x:999:eve\n";
        let shadow = "root:$y$j9T$hash:19700:0:99999:7:::\nweb:*:19000::::::\neve:!$y$j9T$hash:0::::::\n";
        let users = parse(passwd, group, shadow);
        let told: Vec<String> = users
            .iter()
            .map(|u| {
                let changed =
                    u.password_changed.map(|at| at.to_string()[..10].to_owned()).unwrap_or_default();
                format!(
                    "{} {} {} {:?} {changed} {}",
                    u.name,
                    u.uid,
                    u.login,
                    u.password,
                    u.privileged.join(",")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "eve 1000 true Locked  docker,sudo",
                "old 1001 true Empty  sudo",
                "root 0 true Set 2023-12-09 root,sudo",
                "web 33 false Locked 2022-01-08 "
            ]
        );
        let sent = format!("{users:?}");
        assert!(!sent.contains("hash") && !sent.contains("Example"), "{sent}");
        assert_eq!(parse(passwd, group, "")[2].password, Password::Unknown);
    }
}
