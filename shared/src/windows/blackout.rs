//! Times in which nothing may start, as the server publishes them: they can only stop things.

use crate::change::ChangeType;
use crate::ids::AgentId;
use crate::refusal::{Code, Refused};
use crate::strict;
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The short name of a calendar: lower-case letters, digits and hyphens, at most 40.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalendarName(String);

/// Why a text does not name a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a calendar: 1 to 40 lower-case letters, digits and hyphens, a letter first"
)]
pub struct NotACalendar(String);

impl CalendarName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CalendarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CalendarName {
    type Err = NotACalendar;
    fn from_str(text: &str) -> Result<Self, NotACalendar> {
        let fits = (1..=40).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NotACalendar(strict::shorten(text))) }
    }
}

strict::text_serde!(CalendarName);
strict::text_schema!(CalendarName, "Name of a calendar.", { "pattern": "^[a-z][a-z0-9-]{0,39}$" });

/// One calendar of times in which hosts begin nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blackout {
    pub name: CalendarName,
    /// Why, in one line.
    pub title: String,
    /// The hosts that it holds; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<BTreeSet<AgentId>>,
    /// The types of changes that it holds. A broken glass is held by none.
    pub holds: BTreeSet<ChangeType>,
    /// Ascending; those that are over may be missing.
    pub intervals: Vec<Interval>,
}

impl Blackout {
    fn holds(&self, change_type: ChangeType, host: AgentId) -> bool {
        self.holds.contains(&change_type) && self.agents.as_ref().is_none_or(|agents| agents.contains(&host))
    }
}

/// The blackouts of a site, as one host sees them.
#[derive(Clone, Copy, Debug)]
pub struct Closed<'a> {
    pub blackouts: &'a [Blackout],
    pub host: AgentId,
}

impl Closed<'_> {
    /// What of `open` is left for a start at `now`: it ends where the next blackout begins.
    ///
    /// # Errors
    /// `time.blackout` while one holds the host, with the end of all that follow one another without a break.
    pub fn leaves(
        self,
        change_type: ChangeType,
        open: Interval,
        now: Timestamp,
    ) -> Result<Interval, Refused> {
        let mut held: Vec<(Interval, &Blackout)> = self
            .blackouts
            .iter()
            .filter(|blackout| blackout.holds(change_type, self.host))
            .flat_map(|blackout| blackout.intervals.iter().map(move |interval| (*interval, blackout)))
            .filter(|(interval, _)| interval.until > now && !interval.is_empty())
            .collect();
        held.sort_by_key(|(interval, _)| interval.from);
        let Some((_, first)) = held.iter().find(|(interval, _)| interval.contains(now)) else {
            let next = held.first().map(|(interval, _)| interval.from);
            return Ok(Interval { until: next.map_or(open.until, |at| at.min(open.until)), ..open });
        };
        let mut until = now;
        for (interval, _) in held.iter().filter(|(interval, _)| interval.contains(now)) {
            until = until.max(interval.until);
        }
        for (interval, _) in &held {
            if interval.from <= until {
                until = until.max(interval.until);
            }
        }
        let (name, title) = (&first.name, &first.title);
        let message = format!("the blackout {name} holds this host until {until}: {title}");
        Err(Refused::until(Code::TimeBlackout, message, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn host(n: u8) -> AgentId {
        AgentId::of_key(&[n; 32])
    }

    fn hours(from: i64, until: i64) -> Interval {
        Interval { from: NOW.plus(from * 3_600), until: NOW.plus(until * 3_600) }
    }

    fn blackout(intervals: &[Interval]) -> Blackout {
        Blackout {
            name: "year-end".parse().unwrap(),
            title: "closing of the books".into(),
            agents: None,
            holds: [ChangeType::Standard, ChangeType::Normal].into(),
            intervals: intervals.to_vec(),
        }
    }

    fn left(blackouts: &[Blackout], change_type: ChangeType) -> Result<Interval, Option<Timestamp>> {
        let closed = Closed { blackouts, host: host(1) };
        closed.leaves(change_type, hours(-1, 10), NOW).map_err(|refused| {
            assert_eq!(refused.code, Code::TimeBlackout);
            assert!(refused.message.contains("closing of the books"), "{refused}");
            refused.retry_at
        })
    }

    #[test]
    fn a_blackout_stops_starts_and_ends_the_window_where_it_begins() {
        for (intervals, expected) in [
            (vec![], Ok(hours(-1, 10))),
            (vec![hours(-9, 0)], Ok(hours(-1, 10))),
            (vec![hours(2, 3)], Ok(hours(-1, 2))),
            (vec![hours(2, 3), hours(1, 2)], Ok(hours(-1, 1))),
            (vec![hours(20, 30)], Ok(hours(-1, 10))),
            (vec![hours(0, 2)], Err(Some(NOW.plus(2 * 3_600)))),
            (vec![hours(-9, 2), hours(2, 4), hours(3, 5), hours(6, 7)], Err(Some(NOW.plus(5 * 3_600)))),
            (vec![hours(1, 1), hours(5, 4)], Ok(hours(-1, 10))),
        ] {
            assert_eq!(left(&[blackout(&intervals)], ChangeType::Normal), expected, "{intervals:?}");
        }
        // Two calendars that meet.
        let two = [blackout(&[hours(1, 3)]), blackout(&[hours(-1, 1)])];
        assert_eq!(left(&two, ChangeType::Normal), Err(Some(NOW.plus(3 * 3_600))));
    }

    #[test]
    fn it_holds_only_its_hosts_and_types() {
        let all = blackout(&[hours(-1, 1)]);
        assert!(left(std::slice::from_ref(&all), ChangeType::Standard).is_err());
        assert!(left(std::slice::from_ref(&all), ChangeType::Emergency).is_ok());
        let others = Blackout { agents: Some([host(2), host(3)].into()), ..all.clone() };
        assert!(left(&[others], ChangeType::Normal).is_ok());
        let ours = Blackout { agents: Some([host(1)].into()), ..all.clone() };
        assert!(left(&[ours], ChangeType::Normal).is_err());
        let nobody = Blackout { agents: Some(BTreeSet::new()), ..all };
        assert!(left(&[nobody], ChangeType::Normal).is_ok());
    }

    #[test]
    fn names_of_calendars_are_plain() {
        for good in ["a", "year-end", "bank-holidays-2027"] {
            assert_eq!(good.parse::<CalendarName>().unwrap().to_string(), good);
        }
        for bad in ["", "Year", "1a", "a_b", "a b", "ä", "-a", &"a".repeat(41)] {
            assert!(bad.parse::<CalendarName>().is_err(), "{bad}");
        }
    }
}
