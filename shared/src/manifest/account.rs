//! Kinds that decide who may log in and with which rights: users, groups, their keys, and sudo's rules.

use super::names::{AuthorizedKey, SudoersName, UserComment};
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{AbsolutePath, AccountName};
use crate::ids::ResourceId;
use serde::{Deserialize, Serialize};

/// Rules for sudo in a file of their own, or its absence; checked with visudo before they go live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "SudoersEntry", into = "SudoersEntry")]
pub struct Sudoers {
    pub name: SudoersName,
    /// `None`: there is no such file.
    pub content: Option<String>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

impl Sudoers {
    pub fn path(&self) -> String {
        format!("/etc/sudoers.d/{}", self.name)
    }
}

resource! {
    /// A file below `/etc/sudoers.d`, checked with visudo before it goes live; `content` is required when present.
    #[schemars = "Sudoers", extend("oneOf" = [
        { "required": ["content"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct SudoersEntry {
        /// Name of the file; without a dot, or sudo ignores it.
        name: SudoersName,
        /// `absent` removes the file.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The rules, as in sudoers(5).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
    }
}

/// Keys with which a user may log in over ssh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "AuthorizedKeysEntry", into = "AuthorizedKeysEntry")]
pub struct AuthorizedKeys {
    pub user: AccountName,
    pub keys: Vec<AuthorizedKey>,
    pub want: KeysWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysWant {
    /// None of the keys is in the file.
    Absent,
    /// All keys are in the file with exactly these options; `exclusive`: nothing else is.
    Present { exclusive: bool },
}

resource! {
    /// Keys in `.ssh/authorized_keys` of a user of the host; the directory is made when it is missing.
    #[schemars = "AuthorizedKeys"]
    struct AuthorizedKeysEntry {
        /// The user; its home directory must exist.
        user: AccountName,
        /// `absent` removes the named keys.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// Lines as in authorized_keys: options (if any), type, key, comment (if any).
        keys: Vec<AuthorizedKey>,
        /// True removes everything else from the file.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exclusive: bool,
    }
}

/// A group of the host itself, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "GroupEntry", into = "GroupEntry")]
pub struct Group {
    pub name: AccountName,
    pub want: GroupWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupWant {
    Absent,
    Present {
        /// `None`: stays, or the next free number.
        gid: Option<u32>,
        /// The next free number is one of a system account.
        system: bool,
    },
}

resource! {
    /// A group in `/etc/group`, or its absence. Members are the matter of users.
    #[schemars = "Group"]
    struct GroupEntry {
        /// Name of the group.
        name: AccountName,
        /// `absent` removes the group; refused while it is the main group of a user.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// Its number; not given: stays, or the next free one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 0, max = 65_533)))]
        gid: Option<u32>,
        /// True takes a number below 1000 for a new group.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        system: bool,
    }
}

/// A user of the host itself, or its absence. What is not given stays, or gets the usual value of a new user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "UserEntry", into = "UserEntry")]
pub struct User {
    pub name: AccountName,
    pub want: UserWant,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserWant {
    Absent,
    Present(Box<UserFields>),
}

/// What is wanted of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFields {
    pub uid: Option<u32>,
    /// Main group; for a new user one of the same name, made if it is missing.
    pub group: Option<AccountName>,
    /// All other groups that the user is in.
    pub groups: Option<Vec<AccountName>>,
    pub shell: Option<AbsolutePath>,
    pub home: Option<AbsolutePath>,
    pub comment: Option<UserComment>,
    /// Whether the password and the keys of the account are out of use (the account has expired).
    pub locked: Option<bool>,
    pub system: bool,
}

resource! {
    /// A user in `/etc/passwd`, or its absence. A new user has no password and its home directory is not made.
    #[schemars = "User"]
    struct UserEntry {
        /// Login name.
        name: AccountName,
        /// `absent` removes the account; its files stay.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// Its number; not given: stays, or the next free one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 65_533)))]
        uid: Option<u32>,
        /// Main group; not given: stays, or a group of the user's name that is made if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<AccountName>,
        /// All other groups of the user; not given: they stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        groups: Option<Vec<AccountName>>,
        /// Login shell; not given: stays, or `/usr/sbin/nologin`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<AbsolutePath>,
        /// Home directory; not given: stays, or `/home/<name>`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<AbsolutePath>,
        /// Full name or purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<UserComment>,
        /// True: no login by password, key or otherwise. False undoes that. Not given: stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locked: Option<bool>,
        /// True takes a number below 1000 for a new user.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        system: bool,
    }
}

impl TryFrom<SudoersEntry> for Sudoers {
    type Error = Contradiction;
    fn try_from(text: SudoersEntry) -> Result<Self, Contradiction> {
        let SudoersEntry { name, state, content, requires, on_change, satisfies } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("sudoers {name}"), why));
        match (state, &content) {
            (Presence::Present, Some(_)) | (Presence::Absent, None) => {
                Ok(Self { name, content, requires, on_change, satisfies })
            }
            (Presence::Present, None) => refuse("has no content; the rules, or state: absent"),
            (Presence::Absent, Some(_)) => {
                refuse("is absent, so content says nothing; only name with state: absent")
            }
        }
    }
}

impl From<Sudoers> for SudoersEntry {
    fn from(own: Sudoers) -> Self {
        let Sudoers { name, content, requires, on_change, satisfies } = own;
        Self { name, state: Presence::of(content.is_some()), content, requires, on_change, satisfies }
    }
}

impl TryFrom<AuthorizedKeysEntry> for AuthorizedKeys {
    type Error = Contradiction;
    fn try_from(text: AuthorizedKeysEntry) -> Result<Self, Contradiction> {
        let AuthorizedKeysEntry { user, state, keys, exclusive, requires, on_change, satisfies } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("authorized_keys of {user}"), why));
        let mut seen: Vec<&str> = keys.iter().map(AuthorizedKey::identity).collect();
        seen.sort_unstable();
        if seen.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("names a key twice; keep one of the two lines");
        }
        let want = match state {
            Presence::Absent if exclusive => {
                return refuse(
                    "is absent, so exclusive says nothing; exclusive with no keys empties the file",
                );
            }
            Presence::Absent => KeysWant::Absent,
            Presence::Present => KeysWant::Present { exclusive },
        };
        if keys.is_empty() && want != (KeysWant::Present { exclusive: true }) {
            return refuse("names no key; give keys, or exclusive: true to empty the file");
        }
        Ok(Self { user, keys, want, requires, on_change, satisfies })
    }
}

impl From<AuthorizedKeys> for AuthorizedKeysEntry {
    fn from(own: AuthorizedKeys) -> Self {
        let AuthorizedKeys { user, keys, want, requires, on_change, satisfies } = own;
        let (state, exclusive) = match want {
            KeysWant::Absent => (Presence::Absent, false),
            KeysWant::Present { exclusive } => (Presence::Present, exclusive),
        };
        Self { user, state, keys, exclusive, requires, on_change, satisfies }
    }
}

impl TryFrom<GroupEntry> for Group {
    type Error = Contradiction;
    fn try_from(text: GroupEntry) -> Result<Self, Contradiction> {
        let GroupEntry { name, state, gid, system, requires, on_change, satisfies } = text;
        let want = match state {
            Presence::Present => GroupWant::Present { gid, system },
            Presence::Absent if gid.is_none() && !system => GroupWant::Absent,
            Presence::Absent => {
                let why = "is absent, so gid and system say nothing; only name with state: absent";
                return Err(Contradiction::Keys(format!("group {name}"), why));
            }
        };
        Ok(Self { name, want, requires, on_change, satisfies })
    }
}

impl From<Group> for GroupEntry {
    fn from(own: Group) -> Self {
        let Group { name, want, requires, on_change, satisfies } = own;
        let (state, gid, system) = match want {
            GroupWant::Absent => (Presence::Absent, None, false),
            GroupWant::Present { gid, system } => (Presence::Present, gid, system),
        };
        Self { name, state, gid, system, requires, on_change, satisfies }
    }
}

impl TryFrom<UserEntry> for User {
    type Error = Contradiction;
    fn try_from(text: UserEntry) -> Result<Self, Contradiction> {
        let UserEntry { name, state, uid, group, groups, shell, home, comment, locked, system, .. } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("user {name}"), why));
        let colon = |path: &Option<AbsolutePath>| path.as_ref().is_some_and(|p| p.as_str().contains(':'));
        if colon(&shell) || colon(&home) {
            return refuse("has a ':' in shell or home; passwd(5) cannot hold it");
        }
        if groups.as_ref().is_some_and(|all| all.iter().any(|g| Some(g) == group.as_ref())) {
            return refuse("has its main group among its other groups; name it once, as group");
        }
        let fields = UserFields { uid, group, groups, shell, home, comment, locked, system };
        let want = match state {
            Presence::Present => UserWant::Present(Box::new(fields)),
            Presence::Absent if fields == UserFields::default() => UserWant::Absent,
            Presence::Absent => {
                return refuse("is absent, so nothing else says anything; only name with state: absent");
            }
        };
        Ok(Self { name, want, requires: text.requires, on_change: text.on_change, satisfies: text.satisfies })
    }
}

impl From<User> for UserEntry {
    fn from(own: User) -> Self {
        let User { name, want, requires, on_change, satisfies } = own;
        let (state, fields) = match want {
            UserWant::Absent => (Presence::Absent, UserFields::default()),
            UserWant::Present(fields) => (Presence::Present, *fields),
        };
        let UserFields { uid, group, groups, shell, home, comment, locked, system } = fields;
        Self {
            name,
            state,
            uid,
            group,
            groups,
            shell,
            home,
            comment,
            locked,
            system,
            requires,
            on_change,
            satisfies,
        }
    }
}
