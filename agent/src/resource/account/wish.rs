//! What a manifest wishes of accounts, carried out on the tables. Pure: the same tables give the same end.

use super::Described;
use super::tables::{Table, Tables};
use shared::manifest::{Group, GroupWant, Resource, User, UserFields, UserWant};

/// Numbers of accounts of people and of the system (login.defs(5) of all supported systems).
const PEOPLE: std::ops::RangeInclusive<u32> = 1_000..=60_000;
const SYSTEM: std::ops::RangeInclusive<u32> = 100..=999;
const NO_LOGIN: &str = "/usr/sbin/nologin";

/// The tables after the wish.
///
/// # Errors
/// Why it cannot be granted, for people.
pub fn grant(resource: &Resource, tables: &Tables) -> Result<Tables, String> {
    let mut tables = tables.clone();
    match resource {
        Resource::Group(own) => group(own, &mut tables)?,
        Resource::User(User { name, want: UserWant::Absent, .. }) => {
            without_user(name.as_str(), &mut tables)?
        }
        Resource::User(User { name, want: UserWant::Present(fields), .. }) => {
            user(name.as_str(), fields, &mut tables)?;
        }
        _ => return Err("it is no account".into()),
    }
    Ok(tables)
}

/// Whether a group of the user's name comes or goes with the user.
pub fn brings_group(resource: &Resource, tables: &Tables) -> bool {
    let Resource::User(user) = resource else { return false };
    let name = user.name.as_str();
    match &user.want {
        UserWant::Absent => goes_along(name, tables),
        UserWant::Present(fields) => {
            fields.group.is_none()
                && tables.entry(Table::Passwd, name).is_none()
                && tables.entry(Table::Group, name).is_none()
        }
    }
}

fn group(own: &Group, tables: &mut Tables) -> Result<(), String> {
    let name = own.name.as_str();
    let known = tables.gid(name);
    match own.want {
        GroupWant::Absent => {
            let Some(gid) = known else { return Ok(()) };
            if let Some(user) = tables.users_of(gid).next() {
                return Err(format!("it is the main group of {user}; give {user} another one first"));
            }
            tables.remove(Table::Group, name);
            tables.remove(Table::Gshadow, name);
        }
        GroupWant::Present { gid, system } => {
            if let Some(known) = known {
                return match gid {
                    Some(wanted) if wanted != known => Err(format!(
                        "it has the number {known}, not {wanted}; files of the group would be left behind, so it is not renumbered"
                    )),
                    _ => Ok(()),
                };
            }
            let gid = number(gid, system, Table::Group, tables)?;
            add_group(name, gid, tables);
        }
    }
    Ok(())
}

fn add_group(name: &str, gid: u32, tables: &mut Tables) {
    tables.set(Table::Group, &format!("{name}:x:{gid}:"));
    tables.set(Table::Gshadow, &format!("{name}:!::"));
}

/// The wanted number if it is free, or the next one: above the highest in use, as useradd(8) chooses.
fn number(wanted: Option<u32>, system: bool, table: Table, tables: &Tables) -> Result<u32, String> {
    if let Some(wanted) = wanted {
        return match tables.numbers(table).find(|(number, _)| *number == wanted) {
            Some((_, other)) => Err(format!("the number {wanted} belongs to {other}")),
            None => Ok(wanted),
        };
    }
    let is_free = |number: &u32| !tables.numbers(table).any(|(used, _)| used == *number);
    let free = if system {
        SYSTEM.rev().find(is_free)
    } else {
        let highest = tables.numbers(table).map(|(used, _)| used).filter(|used| PEOPLE.contains(used)).max();
        let next = highest.map_or(*PEOPLE.start(), |highest| highest + 1);
        if PEOPLE.contains(&next) { Some(next) } else { PEOPLE.into_iter().find(is_free) }
    };
    free.ok_or_else(|| "there is no free number left".to_owned())
}

fn user(name: &str, fields: &UserFields, tables: &mut Tables) -> Result<(), String> {
    let groups: Option<Vec<String>> =
        fields.groups.as_ref().map(|groups| groups.iter().map(ToString::to_string).collect());
    let missing = |group: &&String| tables.gid(group).is_none();
    if let Some(group) = groups.iter().flatten().find(missing) {
        return Err(format!(
            "the host has no group {group}; require the resource group:{group} that brings it"
        ));
    }
    if fields.locked == Some(true) && !tables.has_shadow() {
        return Err("the host has no /etc/shadow, so no account can be locked; run pwconv first".into());
    }
    let known = tables.entry(Table::Passwd, name).map(str::to_owned);
    let line = match known {
        Some(line) => changed(&line, fields, tables)?,
        None => new_user(name, fields, tables)?,
    };
    tables.set(Table::Passwd, &line);
    if let Some(groups) = groups {
        tables.set_groups(name, &groups);
    }
    if let Some(locked) = fields.locked {
        tables.set_locked(name, locked);
    }
    Ok(())
}

fn main_group(fields: &UserFields, tables: &Tables) -> Result<Option<u32>, String> {
    let Some(group) = &fields.group else { return Ok(None) };
    let none = || format!("the host has no group {group}; require the resource group:{group} that brings it");
    tables.gid(group.as_str()).map(Some).ok_or_else(none)
}

fn changed(line: &str, fields: &UserFields, tables: &Tables) -> Result<String, String> {
    let mut all: Vec<String> = line.split(':').map(str::to_owned).collect();
    let [_, _, uid, gid, comment, home, shell] = all.as_mut_slice() else {
        return Err("its entry in /etc/passwd is damaged; repair it first".into());
    };
    if let Some(wanted) = fields.uid
        && *uid != wanted.to_string()
    {
        return Err(format!(
            "it has the number {uid}, not {wanted}; files of the user would be left behind, so it is not renumbered"
        ));
    }
    if let Some(wanted) = main_group(fields, tables)? {
        *gid = wanted.to_string();
    }
    let take = |old: &mut String, new: Option<&str>| {
        if let Some(new) = new {
            new.clone_into(old);
        }
    };
    take(comment, fields.comment.as_ref().map(|c| c.as_str()));
    take(home, fields.home.as_ref().map(|h| h.as_str()));
    take(shell, fields.shell.as_ref().map(|s| s.as_str()));
    Ok(all.join(":"))
}

/// A new user has no password: `!` matches none.
fn new_user(name: &str, fields: &UserFields, tables: &mut Tables) -> Result<String, String> {
    let uid = number(fields.uid, fields.system, Table::Passwd, tables)?;
    let gid = match (main_group(fields, tables)?, tables.gid(name)) {
        (Some(gid), _) | (None, Some(gid)) => gid,
        (None, None) => {
            let same = number(Some(uid), fields.system, Table::Group, tables).ok();
            let gid = same.map_or_else(|| number(None, fields.system, Table::Group, tables), Ok)?;
            add_group(name, gid, tables);
            gid
        }
    };
    if tables.entry(Table::Shadow, name).is_some() {
        return Err("/etc/shadow has an entry of that name already; remove it first".into());
    }
    // No date of the last change: ageing does not run, and equal hosts get equal entries.
    tables.set(Table::Shadow, &format!("{name}:!::0:99999:7:::"));
    let comment = fields.comment.as_ref().map_or("", |c| c.as_str());
    let home = fields.home.as_ref().map_or_else(|| format!("/home/{name}"), ToString::to_string);
    let shell = fields.shell.as_ref().map_or(NO_LOGIN, |s| s.as_str());
    let password = if tables.has_shadow() { "x" } else { "!" };
    Ok(format!("{name}:{password}:{uid}:{gid}:{comment}:{home}:{shell}"))
}

/// Whether the group of the user's name is his own alone.
fn goes_along(name: &str, tables: &Tables) -> bool {
    let Some(gid) = tables.gid(name) else { return false };
    let main = tables
        .describe(name, true)
        .is_some_and(|described| matches!(described, Described::User { group, .. } if group == name));
    let others = tables.users_of(gid).any(|user| user != name);
    let members = tables.entry(Table::Group, name).is_some_and(|line| !line.ends_with(':'));
    main && !others && !members
}

fn without_user(name: &str, tables: &mut Tables) -> Result<(), String> {
    let Some(Described::User { uid, .. }) = tables.describe(name, true) else { return Ok(()) };
    if uid == 0 {
        return Err("an account with the number 0 is not removed; the host could not be administered".into());
    }
    if goes_along(name, tables) {
        tables.remove(Table::Group, name);
        tables.remove(Table::Gshadow, name);
    }
    tables.set_groups(name, &[]);
    tables.drop_admin(name);
    tables.remove(Table::Shadow, name);
    tables.remove(Table::Passwd, name);
    Ok(())
}

/// One line for people.
pub fn summary(
    resource: &Resource,
    old: Option<&Described>,
    new: Option<&Described>,
    after: &Tables,
) -> String {
    let id = resource.id();
    let what = id.as_str().replacen(':', " ", 1);
    match (old, new) {
        (None, Some(new)) => {
            let all: Vec<String> =
                told(new).into_iter().map(|(key, value)| format!("{key} {value}")).collect();
            format!("create {what}: {}", all.join(", "))
        }
        (Some(old), Some(new)) => {
            let pairs = told(old).into_iter().zip(told(new));
            let differs = pairs.filter(|(a, b)| a != b);
            let all: Vec<String> = differs.map(|((key, a), (_, b))| format!("{key} {a} to {b}")).collect();
            format!("update {what}: {}", all.join(", "))
        }
        (Some(old), None) => {
            let group = match (old, resource) {
                (Described::User { group, .. }, Resource::User(user))
                    if group == user.name.as_str() && after.gid(group).is_none() =>
                {
                    " with its group"
                }
                _ => "",
            };
            let number = told(old).into_iter().next().map(|(key, value)| format!("{key} {value}"));
            format!("remove {what} ({}){group}; its files stay", number.unwrap_or_default())
        }
        (None, None) => what,
    }
}

fn told(described: &Described) -> Vec<(&'static str, String)> {
    match described {
        Described::Group { gid } => vec![("gid", gid.to_string())],
        Described::User { uid, group, groups, comment, home, shell, locked } => {
            let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
            vec![
                ("uid", uid.to_string()),
                ("group", group.clone()),
                ("other groups", groups),
                ("comment", format!("{comment:?}")),
                ("home", home.clone()),
                ("shell", shell.clone()),
                ("locked", locked.to_string()),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nweb:x:1000:1000:Web:/srv/web:/bin/sh\ndba:x:1001:50::/home/dba:/bin/sh\n+::::::\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:web,dba\nstaff:x:50:\nweb:x:1000:\nsudo:x:27:dba,web,root\n";
    const SHADOW: &str = "root:*:1:0:99999:7:::\nweb:$y$secret:19000:0:99999:7:::\ndba:!:1::::::\n";
    const GSHADOW: &str = "adm:*::web,dba\nweb:!::\nsudo:*:web:dba,web,root\n";

    fn tables() -> Tables {
        Tables::of(PASSWD, GROUP, Some(SHADOW), Some(GSHADOW))
    }

    fn resource(json: &str) -> Resource {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn wishes_are_granted_once() {
        for (json, table, line) in [
            (r#"{"user":{"name":"new"}}"#, Table::Passwd, "new:x:1002:1002::/home/new:/usr/sbin/nologin"),
            (r#"{"user":{"name":"new"}}"#, Table::Shadow, "new:!::0:99999:7:::"),
            (r#"{"user":{"name":"new"}}"#, Table::Group, "new:x:1002:"),
            (r#"{"user":{"name":"new"}}"#, Table::Gshadow, "new:!::"),
            (
                r#"{"user":{"name":"svc","system":true,"group":"staff"}}"#,
                Table::Passwd,
                "svc:x:999:50::/home/svc:/usr/sbin/nologin",
            ),
            (
                r#"{"user":{"name":"web","shell":"/bin/zsh","comment":"x"}}"#,
                Table::Passwd,
                "web:x:1000:1000:x:/srv/web:/bin/zsh",
            ),
            (r#"{"user":{"name":"web","locked":true}}"#, Table::Shadow, "web:$y$secret:19000:0:99999:7::1:"),
            (r#"{"user":{"name":"web","groups":["staff","adm"]}}"#, Table::Group, "staff:x:50:web"),
            (r#"{"user":{"name":"web","groups":["staff","adm"]}}"#, Table::Group, "sudo:x:27:dba,root"),
            (r#"{"user":{"name":"web","groups":["staff","adm"]}}"#, Table::Gshadow, "sudo:*:web:dba,root"),
            (r#"{"group":{"name":"ops","gid":77}}"#, Table::Group, "ops:x:77:"),
            (r#"{"group":{"name":"ops"}}"#, Table::Group, "ops:x:1001:"),
            (r#"{"group":{"name":"ops","system":true}}"#, Table::Group, "ops:x:999:"),
        ] {
            let own = resource(json);
            let after = grant(&own, &tables()).unwrap();
            let name = line.split(':').next().unwrap();
            assert_eq!(after.entry(table, name), Some(line), "{json}");
            assert_eq!(grant(&own, &after).unwrap(), after, "a second run: {json}");
        }
        let gone = grant(&resource(r#"{"user":{"name":"web","state":"absent"}}"#), &tables()).unwrap();
        let all = [Table::Passwd, Table::Shadow, Table::Group, Table::Gshadow]
            .map(|t| gone.text(t).unwrap())
            .concat();
        assert!(!all.contains("web"), "{all}");
        assert!(
            gone.text(Table::Passwd).unwrap().ends_with("+::::::\n"),
            "what ends the local part stays last"
        );
    }

    #[test]
    fn what_cannot_be_granted_says_why() {
        for (json, expected) in [
            (r#"{"user":{"name":"root","state":"absent"}}"#, "number 0 is not removed"),
            (r#"{"user":{"name":"web","uid":7}}"#, "it has the number 1000, not 7"),
            (r#"{"user":{"name":"new","uid":1000}}"#, "the number 1000 belongs to web"),
            (r#"{"user":{"name":"new","group":"none"}}"#, "no group none"),
            (r#"{"user":{"name":"new","groups":["none"]}}"#, "no group none"),
            (r#"{"group":{"name":"staff","state":"absent"}}"#, "main group of dba"),
            (r#"{"group":{"name":"staff","gid":7}}"#, "it has the number 50, not 7"),
            (r#"{"group":{"name":"x","gid":4}}"#, "belongs to adm"),
        ] {
            let why = grant(&resource(json), &tables()).unwrap_err();
            assert!(why.contains(expected), "{json}: {why}");
        }
    }

    #[test]
    fn undo_brings_every_byte_back_and_leaves_what_others_did() {
        for json in [
            r#"{"user":{"name":"new","groups":["adm","sudo"]}}"#,
            r#"{"user":{"name":"web","groups":["staff"],"shell":"/bin/zsh","locked":true}}"#,
            r#"{"user":{"name":"web","state":"absent"}}"#,
            r#"{"user":{"name":"dba","state":"absent"}}"#,
            r#"{"group":{"name":"ops"}}"#,
        ] {
            let own = resource(json);
            let (before, _) = super::super::found(&own, &tables());
            let mut old = BTreeMap::new();
            for (table, entry, at, line) in tables().entries_about(&before.name, before.is_user) {
                old.insert((table, entry.to_owned()), (at, line.to_owned()));
            }
            let after = grant(&own, &tables()).unwrap();
            let mut undone = after.clone();
            undone.restore(&before.name, before.is_user, before.with_group, &old);
            assert_eq!(undone, tables(), "{json}");
            let mut others = after.clone();
            others.set(Table::Passwd, "ops2:x:1500:50::/home/ops2:/bin/sh");
            others.restore(&before.name, before.is_user, before.with_group, &old);
            assert!(others.entry(Table::Passwd, "ops2").is_some(), "{json}");
            assert_eq!(others.describe(&before.name, before.is_user), before.whole.described, "{json}");
        }
    }
}
