//! Moments of events: whole days, or readings of the clocks of a zone.

use super::zone::{self, Places};
use super::{Zones, parameter};
use crate::strict;
use crate::time::Timestamp;
use crate::windows::WallTime;
use icalendar::parser::Property;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// By which clocks a file is read.
#[derive(Clone, Copy)]
pub(super) struct Clock<'a> {
    pub zones: Zones<'a>,
    pub places: &'a Places,
}

#[derive(Clone, Debug)]
pub(super) enum At {
    Day(Date),
    Wall(DateTime, TimeZone),
}

impl At {
    /// The one moment of a property.
    pub fn of(property: &Property<'_>, clock: Clock<'_>) -> Result<Self, String> {
        Self::read(property.val.as_ref(), &zone_of(property, clock)?)
    }

    /// All moments of a property that may have several.
    pub fn all(property: &Property<'_>, clock: Clock<'_>) -> Result<Vec<Self>, String> {
        let zone = zone_of(property, clock)?;
        property.val.as_ref().split(',').map(|text| Self::read(text, &zone)).collect()
    }

    /// `zone` is that of readings that are not in UTC.
    pub fn read(text: &str, zone: &TimeZone) -> Result<Self, String> {
        let text = text.trim();
        let not = || format!("{:?} is not a time of RFC 5545", strict::shorten(text));
        if text.len() == 8 {
            return Date::strptime("%Y%m%d", text).map(Self::Day).map_err(|_| not());
        }
        let (local, zone) = match text.strip_suffix('Z') {
            Some(local) => (local, TimeZone::UTC),
            None => (text, zone.clone()),
        };
        DateTime::strptime("%Y%m%dT%H%M%S", local).map(|local| Self::Wall(local, zone)).map_err(|_| not())
    }

    /// `own` is the zone of whole days.
    pub fn moment(&self, own: &TimeZone) -> Result<Timestamp, String> {
        let far = || "its time is out of range".to_owned();
        match self {
            Self::Day(day) => midnight(*day, own).ok_or_else(far),
            Self::Wall(local, zone) => {
                let at = zone.to_ambiguous_zoned(*local).compatible().map_err(|_| far())?;
                Ok(Timestamp(at.timestamp().as_second()))
            }
        }
    }

    /// Exchange names the times that others replace by their day alone, written as its midnight.
    pub fn day_at_midnight(&self, start: &Self) -> Self {
        match (self, start) {
            (Self::Wall(local, zone), Self::Wall(start, other))
                if zone == other && local.time() == Time::midnight() && start.time() != Time::midnight() =>
            {
                Self::Day(local.date())
            }
            _ => self.clone(),
        }
    }

    /// Whether it names the time of an event that begins at `start`: a day names all that begins on it there.
    pub fn names(&self, start: &Self, own: &TimeZone) -> bool {
        match (self, start) {
            (Self::Day(day), Self::Day(other)) => day == other,
            (Self::Day(day), Self::Wall(local, _)) => *day == local.date(),
            (Self::Wall(..), _) => self.moment(own).is_ok_and(|at| start.moment(own) == Ok(at)),
        }
    }

    /// The reading with which an event that comes again, for the first time at `first`, begins at this moment, if it can.
    pub fn in_rule(&self, first: &Self, own: &TimeZone) -> Option<WallTime> {
        let in_zone = |zone: &TimeZone| {
            let at = jiff::Timestamp::from_second(self.moment(own).ok()?.0).ok()?;
            Some(zone.to_datetime(at))
        };
        let wall = match (self, first) {
            (Self::Day(day), Self::Day(_)) => day.at(0, 0, 0, 0),
            (Self::Day(day), Self::Wall(first, _)) => day.to_datetime(first.time()),
            (Self::Wall(local, zone), Self::Wall(_, other)) if zone == other => *local,
            (Self::Wall(..), Self::Wall(_, other)) => in_zone(other)?,
            (Self::Wall(..), Self::Day(_)) => {
                let wall = in_zone(own)?;
                (wall.time() == Time::midnight()).then_some(wall)?
            }
        };
        (1970..=9000).contains(&wall.year()).then(|| wall.into())
    }
}

fn zone_of(property: &Property<'_>, clock: Clock<'_>) -> Result<TimeZone, String> {
    let Some(name) = parameter(property, "TZID") else { return Ok(clock.zones.own.clone()) };
    // A moment in UTC names no zone, whatever stands beside it.
    if property.val.as_ref().trim().ends_with('Z') {
        return Ok(TimeZone::UTC);
    }
    let unknown = || format!("its time zone {:?} is not known here", strict::shorten(name));
    zone::named(name, clock.places, clock.zones).ok_or_else(unknown)
}

/// When the day begins there; where clocks jump over midnight, after the jump.
pub fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    day.to_zoned(zone.clone()).ok().map(|begins| Timestamp(begins.timestamp().as_second()))
}
