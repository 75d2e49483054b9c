//! Kinds that are units of systemd: drop-ins for units that packages bring, and timers with what they run.

use super::edit::TextSource;
use super::resource::resource;
use super::rule::RuleId;
use super::text::{Contradiction, Presence};
use super::values::{AccountName, Argv, NotAValue, ServiceName, as_written, made_of, text_value};
use crate::ids::ResourceId;
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Where systemd reads units of administrators (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";

text_value!(
    /// The name of a drop-in, without `.conf`; drop-ins of a unit are read in the order of their names.
    DropinName, "dropin-name", "the name of a drop-in",
    "1 to 64 of letters, digits, '.', '_' and '-', starting with a letter or digit; .conf is added",
    |t| made_of(t, 64, |c| c.is_ascii_alphanumeric(), b"._-") && !t.ends_with(".conf")
);
text_value!(
    /// The name of a timer and of the service that it starts, without suffix.
    TimerName, "timer-name", "the name of a timer",
    "1 to 100 of letters, digits, '.', '_' and '-', starting with a letter; .timer and .service are added",
    |t| made_of(t, 100, |c| c.is_ascii_alphabetic(), b"._-") && !t.ends_with(".timer") && !t.ends_with(".service")
);
text_value!(
    /// When a timer elapses, as in systemd.time(7), such as `Mon..Fri 02:30 Europe/Berlin` or `daily`.
    CalendarText, "calendar", "a calendar expression",
    "1 to 200 of letters, digits, blanks and '*,.:/~_+-', such as \"Mon..Fri 02:30\" (systemd.time(7))",
    |t| (1..=200).contains(&t.len())
        && t.trim() == t
        && t.bytes().all(|c| c.is_ascii_alphanumeric() || b" *,.:/~_+-".contains(&c))
);
as_written!(DropinName TimerName CalendarText);

/// Settings that are added to a systemd unit, in a file of their own, or their absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "DropinEntry", into = "DropinEntry")]
pub struct Dropin {
    pub unit: ServiceName,
    pub name: DropinName,
    /// `None`: there is no such drop-in.
    pub source: Option<TextSource>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

impl Dropin {
    /// The directory of the unit's drop-ins.
    pub fn directory(&self) -> String {
        format!("{UNITS}/{}.d", self.unit.unit())
    }

    pub fn path(&self) -> String {
        format!("{}/{}.conf", self.directory(), self.name)
    }
}

resource! {
    /// A drop-in `/etc/systemd/system/UNIT.d/NAME.conf`, checked with systemd-analyze before it goes live; exactly one
    /// of `content` and `template` when present. Running services get it when they are restarted.
    #[schemars = "Dropin", extend("oneOf" = [
        { "required": ["content"] }, { "required": ["template"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct DropinEntry {
        /// Name of the unit; `.service` is implied.
        unit: ServiceName,
        /// Name of the drop-in; `.conf` is added.
        name: DropinName,
        /// `absent` removes the drop-in.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// The settings as they are, with their sections.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// The settings as a handlebars template over `params.*` and `facts.*`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
    }
}

/// A program that systemd runs at certain times, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "TimerEntry", into = "TimerEntry")]
pub struct Timer {
    pub name: TimerName,
    /// `None`: there is no such timer.
    pub job: Option<Box<TimerJob>>,
    pub requires: Vec<ResourceId>,
    pub on_change: Vec<ResourceId>,
    pub satisfies: Vec<RuleId>,
}

/// What a timer runs, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerJob {
    /// At least one.
    pub on_calendar: Vec<CalendarText>,
    pub run: Argv,
    /// `None` is root.
    pub user: Option<AccountName>,
    /// A time at which the host was off is made up for.
    pub persistent: bool,
    /// Each time is put off by a random time of at most so many seconds.
    pub random_delay_s: u32,
    /// Seconds after which the program is ended; `None` lets it run.
    pub timeout_s: Option<u32>,
}

impl Timer {
    /// Longest delay and longest run: a week.
    pub const MAX_S: u32 = 7 * 86_400;

    /// The unit with this suffix, such as `.timer`.
    pub fn path(&self, suffix: &str) -> String {
        format!("{UNITS}/{}{suffix}", self.name)
    }

    /// The link by which the timer starts at boot, as `systemctl enable` makes it.
    pub fn wants(&self) -> String {
        format!("{UNITS}/timers.target.wants/{}.timer", self.name)
    }
}

resource! {
    /// A systemd timer with the service that it starts: a program that is run at certain times, directly and never
    /// through a shell. `on_calendar` and `run` are required when present.
    #[schemars = "Timer", extend("oneOf" = [
        { "required": ["on_calendar", "run"] },
        { "required": ["state"], "properties": { "state": { "const": "absent" } } }
    ])]
    struct TimerEntry {
        /// Name of the timer and of its service.
        name: TimerName,
        /// `absent` stops and removes the timer and its service.
        #[serde(default, skip_serializing_if = "Presence::is_present")]
        state: Presence,
        /// When it runs, such as `daily` or `Mon..Fri 02:30`; several times add up (systemd.time(7)).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        on_calendar: Vec<CalendarText>,
        /// Absolute path of the program, then its arguments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<Argv>,
        /// The user that it runs as; root when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<AccountName>,
        /// True makes up for a time at which the host was off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        persistent: bool,
        /// Seconds by which each run is put off at most, at random; 0 to 604800.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 0, max = 604_800)))]
        random_delay_s: u32,
        /// Seconds after which the program is ended and counts as failed; 1 to 604800, not given: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 604_800)))]
        timeout_s: Option<u32>,
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TryFrom<DropinEntry> for Dropin {
    type Error = Contradiction;
    fn try_from(text: DropinEntry) -> Result<Self, Contradiction> {
        let DropinEntry { unit, name, state, content, template, requires, on_change, satisfies } = text;
        let source = TextSource::of(state, content, template)
            .map_err(|why| Contradiction::Keys(format!("dropin {name} of {unit}"), why))?;
        Ok(Self { unit, name, source, requires, on_change, satisfies })
    }
}

impl From<Dropin> for DropinEntry {
    fn from(own: Dropin) -> Self {
        let Dropin { unit, name, source, requires, on_change, satisfies } = own;
        let state = Presence::of(source.is_some());
        let (content, template) = TextSource::keys(source);
        Self { unit, name, state, content, template, requires, on_change, satisfies }
    }
}

impl TryFrom<TimerEntry> for Timer {
    type Error = Contradiction;
    fn try_from(text: TimerEntry) -> Result<Self, Contradiction> {
        let TimerEntry { name, state, on_calendar, run, user, persistent, random_delay_s, .. } = text;
        let refuse = |why| Err(Contradiction::Keys(format!("timer {name}"), why));
        let bare = user.is_none() && !persistent && random_delay_s == 0 && text.timeout_s.is_none();
        let job = match (state, run) {
            (Presence::Absent, None) if on_calendar.is_empty() && bare => None,
            (Presence::Absent, _) => {
                return refuse("is absent, so nothing else says anything; only name with state: absent");
            }
            (Presence::Present, Some(run)) if !on_calendar.is_empty() => Some(Box::new(TimerJob {
                on_calendar,
                run,
                user,
                persistent,
                random_delay_s,
                timeout_s: text.timeout_s,
            })),
            (Presence::Present, _) => {
                return refuse("has no clear job; on_calendar and run, or state: absent");
            }
        };
        Ok(Self { name, job, requires: text.requires, on_change: text.on_change, satisfies: text.satisfies })
    }
}

impl From<Timer> for TimerEntry {
    fn from(own: Timer) -> Self {
        let Timer { name, job, requires, on_change, satisfies } = own;
        let mut text = Self {
            name,
            state: Presence::Absent,
            on_calendar: Vec::new(),
            run: None,
            user: None,
            persistent: false,
            random_delay_s: 0,
            timeout_s: None,
            requires,
            on_change,
            satisfies,
        };
        if let Some(job) = job {
            let TimerJob { on_calendar, run, user, persistent, random_delay_s, timeout_s } = *job;
            text = Self {
                state: Presence::Present,
                on_calendar,
                run: Some(run),
                user,
                persistent,
                random_delay_s,
                timeout_s,
                ..text
            };
        }
        text
    }
}
