//! Users and groups of the managed host, from its own passwd(5) and group(5).
//!
//! Never NSS: a plan must not depend on a directory server, and the root may not be the agent's own.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// The account files are ours while this lives; empty where nobody else uses them.
#[derive(Debug, Default)]
pub struct AccountLock {
    /// Closing it lets go.
    pub(super) _file: Option<OwnedFd>,
}

/// Names and numbers in both directions; the first entry of a name or number counts, as for libc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Table,
    groups: Table,
    /// Main group and home directory of each user.
    homes: BTreeMap<String, (u32, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    by_name: BTreeMap<String, u32>,
    by_id: BTreeMap<u32, String>,
}

impl Accounts {
    /// Reads the two files; lines that are not entries are skipped, as libc does.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut homes = BTreeMap::new();
        for line in String::from_utf8_lossy(passwd).lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [name, _, _, gid, _, home, ..] = fields.as_slice()
                && let Ok(gid) = gid.parse()
            {
                homes.entry((*name).to_owned()).or_insert((gid, (*home).to_owned()));
            }
        }
        Self { users: Table::parse(passwd), groups: Table::parse(group), homes }
    }

    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.by_name.get(name).copied().or((name == "root").then_some(0))
    }

    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.by_name.get(name).copied().or((name == "root").then_some(0))
    }

    /// Number of the main group and home directory of a user.
    pub fn home(&self, name: &str) -> Option<(u32, &str)> {
        self.homes.get(name).map(|(gid, home)| (*gid, home.as_str()))
    }

    /// The name of a user, or its number where it has none.
    pub fn user(&self, uid: u32) -> String {
        self.users.name(uid)
    }

    pub fn group(&self, gid: u32) -> String {
        self.groups.name(gid)
    }
}

impl Table {
    fn parse(bytes: &[u8]) -> Self {
        let mut table = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(_), Some(Ok(id))) =
                (fields.next(), fields.next(), fields.next().map(str::parse::<u32>))
            else {
                continue;
            };
            if name.is_empty() || name.starts_with(['#', '+', '-']) {
                continue;
            }
            table.by_name.entry(name.to_owned()).or_insert(id);
            table.by_id.entry(id).or_insert_with(|| name.to_owned());
        }
        table
    }

    fn name(&self, id: u32) -> String {
        match self.by_id.get(&id) {
            Some(name) => name.clone(),
            None if id == 0 => "root".to_owned(),
            None => id.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_entry_counts_and_root_needs_none() {
        let accounts = Accounts::parse(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n+nis\nbad\nweb:x:33:33::/:/bin/false\n",
            b"www:x:33:\n",
        );
        assert_eq!(
            (accounts.uid("web"), accounts.gid("www"), accounts.gid("web")),
            (Some(33), Some(33), None)
        );
        assert_eq!(
            (accounts.user(0), accounts.user(33), accounts.user(7)),
            ("root".into(), "web".into(), "7".into())
        );
        assert_eq!((accounts.gid("root"), accounts.group(0)), (Some(0), "root".into()));
    }
}
