//! The account files as tables of entries, one a line. Lines that are no entries stay where they are.

use super::{Described, Whole};
use crate::resource::lines::Lines;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    Passwd,
    Group,
    Shadow,
    Gshadow,
}

impl Table {
    pub fn path(self) -> &'static str {
        match self {
            Self::Passwd => "/etc/passwd",
            Self::Group => "/etc/group",
            Self::Shadow => "/etc/shadow",
            Self::Gshadow => "/etc/gshadow",
        }
    }

    pub fn is_secret(self) -> bool {
        matches!(self, Self::Shadow | Self::Gshadow)
    }
}

/// The four files; the secret ones may be missing (pwconv(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    passwd: Lines,
    group: Lines,
    shadow: Option<Lines>,
    gshadow: Option<Lines>,
}

/// What shadow(5) writes for an account that has expired on its first day.
const EXPIRED: &str = "1";
const EXPIRES: usize = 7;

fn name(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn field(line: &str, number: usize) -> &str {
    line.split(':').nth(number).unwrap_or_default()
}

fn with_field(line: &str, number: usize, value: &str) -> String {
    let mut fields: Vec<&str> = line.split(':').collect();
    if let Some(field) = fields.get_mut(number) {
        *field = value;
    }
    fields.join(":")
}

fn members(line: &str) -> impl Iterator<Item = &str> {
    field(line, 3).split(',').filter(|m| !m.is_empty())
}

/// Administrators of an entry of gshadow(5).
fn admins(line: &str) -> impl Iterator<Item = &str> {
    field(line, 2).split(',').filter(|admin| !admin.is_empty())
}

impl Tables {
    pub fn of(passwd: &str, group: &str, shadow: Option<&str>, gshadow: Option<&str>) -> Self {
        Self {
            passwd: Lines::of(passwd),
            group: Lines::of(group),
            shadow: shadow.map(Lines::of),
            gshadow: gshadow.map(Lines::of),
        }
    }

    fn lines(&self, table: Table) -> Option<&Lines> {
        match table {
            Table::Passwd => Some(&self.passwd),
            Table::Group => Some(&self.group),
            Table::Shadow => self.shadow.as_ref(),
            Table::Gshadow => self.gshadow.as_ref(),
        }
    }

    fn lines_mut(&mut self, table: Table) -> Option<&mut Lines> {
        match table {
            Table::Passwd => Some(&mut self.passwd),
            Table::Group => Some(&mut self.group),
            Table::Shadow => self.shadow.as_mut(),
            Table::Gshadow => self.gshadow.as_mut(),
        }
    }

    pub fn text(&self, table: Table) -> Option<String> {
        self.lines(table).map(ToString::to_string)
    }

    /// The entry of that name; the first one counts, as for libc.
    pub fn entry(&self, table: Table, wanted: &str) -> Option<&str> {
        self.lines(table)?.iter().find(|line| name(line) == wanted)
    }

    /// Sets an entry: where it stands, or at the end (before `+` lines, which end what is local).
    pub fn set(&mut self, table: Table, line: &str) {
        let Some(lines) = self.lines_mut(table) else { return };
        let at = lines.iter().position(|other| name(other) == name(line));
        match at {
            Some(at) => lines.replace(at, line),
            None => {
                let end = lines.iter().position(|other| other.starts_with('+')).unwrap_or(lines.len());
                lines.insert(end, line);
            }
        }
    }

    pub fn remove(&mut self, table: Table, wanted: &str) {
        if let Some(lines) = self.lines_mut(table) {
            lines.retain(|_, line| name(line) != wanted);
        }
    }

    /// Numbers of all users or groups, with their names.
    pub fn numbers(&self, table: Table) -> impl Iterator<Item = (u32, &str)> {
        let lines = self.lines(table).into_iter().flat_map(Lines::iter);
        lines.filter_map(|line| Some((field(line, 2).parse().ok()?, name(line))))
    }

    pub fn group_name(&self, gid: u32) -> String {
        let named = self.numbers(Table::Group).find(|(number, _)| *number == gid);
        named.map_or_else(|| gid.to_string(), |(_, name)| name.to_owned())
    }

    pub fn gid(&self, group: &str) -> Option<u32> {
        field(self.entry(Table::Group, group)?, 2).parse().ok()
    }

    /// Users whose main group has this number.
    pub fn users_of(&self, gid: u32) -> impl Iterator<Item = &str> {
        self.passwd.iter().filter(move |line| field(line, 3).parse() == Ok(gid)).map(name)
    }

    /// Groups in which the user is a further member, in the order of the file.
    pub fn member_of(&self, user: &str) -> Vec<String> {
        let is_in = |line: &&str| members(line).any(|member| member == user);
        self.group.iter().filter(is_in).map(|line| name(line).to_owned()).collect()
    }

    /// Makes the user a member of exactly these groups (in both files).
    pub fn set_groups(&mut self, user: &str, groups: &[String]) {
        for table in [Table::Group, Table::Gshadow] {
            let Some(lines) = self.lines_mut(table) else { continue };
            for at in 0..lines.len() {
                let Some(line) = lines.iter().nth(at).map(str::to_owned) else { continue };
                let wanted = groups.iter().any(|group| group == name(&line));
                if let Some(changed) = with_member(&line, user, wanted) {
                    lines.replace(at, &changed);
                }
            }
        }
    }

    /// Takes the user out of the administrators of groups (gshadow(5)).
    pub fn drop_admin(&mut self, user: &str) {
        let Some(lines) = self.gshadow.as_mut() else { return };
        for at in 0..lines.len() {
            let Some(line) = lines.iter().nth(at).map(str::to_owned) else { continue };
            let left: Vec<&str> = admins(&line).filter(|admin| *admin != user).collect();
            let left = left.join(",");
            if left != field(&line, 2) {
                lines.replace(at, &with_field(&line, 2, &left));
            }
        }
    }

    pub fn is_locked(&self, user: &str) -> bool {
        self.entry(Table::Shadow, user).is_some_and(|line| field(line, EXPIRES) == EXPIRED)
    }

    pub fn set_locked(&mut self, user: &str, locked: bool) {
        let Some(line) = self.entry(Table::Shadow, user).map(str::to_owned) else { return };
        if locked != self.is_locked(user) {
            self.set(Table::Shadow, &with_field(&line, EXPIRES, if locked { EXPIRED } else { "" }));
        }
    }

    pub fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    pub fn describe(&self, wanted: &str, is_user: bool) -> Option<Described> {
        if !is_user {
            return self.gid(wanted).map(|gid| Described::Group { gid });
        }
        let line = self.entry(Table::Passwd, wanted)?;
        let mut groups = self.member_of(wanted);
        groups.sort();
        groups.dedup();
        Some(Described::User {
            uid: field(line, 2).parse().ok()?,
            group: field(line, 3)
                .parse()
                .map_or_else(|_| field(line, 3).to_owned(), |gid| self.group_name(gid)),
            groups,
            comment: field(line, 4).to_owned(),
            home: field(line, 5).to_owned(),
            shell: field(line, 6).to_owned(),
            locked: self.is_locked(wanted),
        })
    }

    pub fn whole(&self, wanted: &str, is_user: bool) -> Whole {
        let in_gshadow = |line: &&str| is_user && members(line).chain(admins(line)).any(|m| m == wanted);
        let gshadow = self.gshadow.iter().flat_map(Lines::iter).filter(in_gshadow);
        Whole {
            described: self.describe(wanted, is_user),
            has_shadow: is_user && self.entry(Table::Shadow, wanted).is_some(),
            shadow_groups: gshadow.map(|line| name(line).to_owned()).collect(),
            has_group: self.entry(Table::Group, wanted).is_some(),
            has_gshadow: self.entry(Table::Gshadow, wanted).is_some(),
        }
    }

    /// All entries that are about the account, with their lines: its own, and those of groups that it is in.
    pub fn entries_about(
        &self,
        wanted: &str,
        is_user: bool,
    ) -> impl Iterator<Item = (Table, &str, usize, &str)> {
        let tables = [Table::Passwd, Table::Shadow, Table::Group, Table::Gshadow];
        let of_table = move |table: Table| {
            let lines = self.lines(table).into_iter().flat_map(|lines| lines.iter().enumerate());
            let is_group = matches!(table, Table::Group | Table::Gshadow);
            lines
                .filter(move |(_, line)| {
                    let own = name(line) == wanted && (is_user || is_group);
                    let in_it = is_user
                        && is_group
                        && (members(line).any(|m| m == wanted) || is_admin(table, line, wanted));
                    own || in_it
                })
                .map(move |(at, line)| (table, name(line), at, line))
        };
        tables.into_iter().flat_map(of_table)
    }

    /// Puts the entries of the account back: `old` by table and name, with the place where each stood.
    pub fn restore(
        &mut self,
        wanted: &str,
        is_user: bool,
        with_group: bool,
        old: &BTreeMap<(Table, String), (usize, String)>,
    ) {
        for table in [Table::Passwd, Table::Shadow, Table::Group, Table::Gshadow] {
            let is_group = matches!(table, Table::Group | Table::Gshadow);
            if is_user || is_group {
                let own = !is_group || !is_user || with_group;
                match old.get(&(table, wanted.to_owned())) {
                    Some((at, line)) if own => self.put_back(table, *at, line),
                    None if own => self.remove(table, wanted),
                    _ => {}
                }
            }
            if is_user && is_group {
                self.restore_members(table, wanted, old);
            }
        }
    }

    fn put_back(&mut self, table: Table, at: usize, line: &str) {
        let there = self.entry(table, name(line)).is_some();
        match self.lines_mut(table) {
            Some(lines) if !there => lines.insert(at, line),
            _ => self.set(table, line),
        }
    }

    fn restore_members(
        &mut self,
        table: Table,
        user: &str,
        old: &BTreeMap<(Table, String), (usize, String)>,
    ) {
        let Some(lines) = self.lines_mut(table) else { return };
        for at in 0..lines.len() {
            let Some(line) = lines.iter().nth(at).map(str::to_owned) else { continue };
            let before = old.get(&(table, name(&line).to_owned())).map(|(_, line)| line.as_str());
            let was_in = before.is_some_and(|before| members(before).any(|m| m == user));
            let mut new = with_member(&line, user, was_in).unwrap_or_else(|| line.clone());
            // The order of the members comes back too, unless others have changed the group meanwhile.
            if let Some(before) = before
                && same_but_order(before, &new, user)
            {
                new = before.to_owned();
            }
            if new != line {
                lines.replace(at, &new);
            }
        }
    }
}

fn is_admin(table: Table, line: &str, user: &str) -> bool {
    table == Table::Gshadow && admins(line).any(|admin| admin == user)
}

/// The line with or without the member; `None` when it is right already or no entry.
fn with_member(line: &str, user: &str, wanted: bool) -> Option<String> {
    let is_in = members(line).any(|member| member == user);
    if is_in == wanted || line.split(':').count() != 4 {
        return None;
    }
    let mut all: Vec<&str> = members(line).filter(|member| *member != user).collect();
    if wanted {
        all.push(user);
    }
    Some(with_field(line, 3, &all.join(",")))
}

/// Whether two group entries differ in the order of members and the user's own rights alone.
fn same_but_order(one: &str, other: &str, user: &str) -> bool {
    let parts = |line: &str| {
        let mut all: Vec<String> = members(line).map(str::to_owned).collect();
        all.sort();
        let others: Vec<String> = admins(line).filter(|a| *a != user).map(str::to_owned).collect();
        (name(line).to_owned(), field(line, 1).to_owned(), others, all)
    };
    parts(one) == parts(other)
}
