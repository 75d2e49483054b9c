//! What holds changes up or warns of it: calendars, budgets, the schedule and its addresses.

use super::{LARGE, SMALL, escape};
use crate::error::Done;
use crate::net::{Client, Method, Only, Request, Seen};
use serde::Serialize;
use shared::digest::Digest;
use shared::ids::BudgetName;
use shared::strict;
use shared::time::Interval;
use shared::windows::CalendarName;
use shared::wire::{
    AcceptCalendar, BudgetFile, BudgetLine, CalendarFile, CalendarLine, FreeTimes, PutBudget, PutCalendar,
    PutSubscription,
};

impl Client {
    pub fn budgets(&self) -> Done<Vec<BudgetLine>> {
        self.read("the list of budgets", &Request::get("/v1/budgets", SMALL * 4))
    }

    /// `None` when there is none of this name, and never was.
    pub fn budget(&self, name: &BudgetName) -> Done<Option<Seen<BudgetFile>>> {
        self.see("the budget", &Request::get(&format!("/v1/budgets/{name}"), LARGE))
    }

    pub fn put_budget(&self, name: &BudgetName, put: &PutBudget, only: Only) -> Done<Seen<BudgetFile>> {
        let path = format!("/v1/budgets/{name}");
        let request = Request::json(Method::PUT, &path, strict::to_json(put), LARGE);
        self.wrote("the budget", &Request { again: false, only, ..request })
    }

    pub fn calendars(&self) -> Done<Vec<CalendarLine>> {
        self.read("the list of calendars", &Request::get("/v1/calendars", SMALL * 4))
    }

    /// `None` when there is none of this name, and never was.
    pub fn calendar(&self, name: &CalendarName) -> Done<Option<Seen<CalendarFile>>> {
        self.see("the calendar", &Request::get(&format!("/v1/calendars/{name}"), LARGE))
    }

    pub fn put_calendar(
        &self,
        name: &CalendarName,
        put: &PutCalendar,
        only: Only,
    ) -> Done<Seen<CalendarFile>> {
        let path = format!("/v1/calendars/{name}");
        let request = Request::json(Method::PUT, &path, strict::to_json(put), LARGE);
        self.wrote("the calendar", &Request { again: false, only, ..request })
    }

    pub fn subscribe_calendar(
        &self,
        name: &CalendarName,
        put: &PutSubscription,
        only: Only,
    ) -> Done<Seen<CalendarFile>> {
        let path = format!("/v1/calendars/{name}/subscription");
        let request = Request::json(Method::PUT, &path, strict::to_json(put), LARGE);
        self.wrote("the calendar", &Request { again: false, only, ..request })
    }

    pub fn unsubscribe_calendar(&self, name: &CalendarName) -> Done {
        let path = format!("/v1/calendars/{name}/subscription");
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn accept_calendar(&self, name: &CalendarName, accept: &AcceptCalendar) -> Done<Seen<CalendarFile>> {
        let path = format!("/v1/calendars/{name}/accept");
        let request = Request::json(Method::POST, &path, strict::to_json(accept), LARGE);
        self.wrote("the calendar", &Request { again: false, ..request })
    }

    /// Lets whoever has the secret of this digest read the schedule.
    pub fn open_feed(&self, sha256: &Digest) -> Done {
        self.open("/v1/feeds", sha256)
    }

    /// Lets machines that have the secret of this digest take slots of a budget.
    pub fn open_address(&self, name: &BudgetName, sha256: &Digest) -> Done {
        self.open(&format!("/v1/budgets/{name}/addresses"), sha256)
    }

    pub fn end_addresses(&self, name: &BudgetName) -> Done {
        let path = format!("/v1/budgets/{name}/addresses");
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    fn open(&self, path: &str, sha256: &Digest) -> Done {
        #[derive(Serialize)]
        struct Open<'a> {
            sha256: &'a Digest,
        }
        let body = strict::to_json(&Open { sha256 });
        self.send(&Request::json(Method::POST, path, body, SMALL))?.good().map(drop)
    }

    pub fn end_feeds(&self) -> Done {
        self.send(&Request::json(Method::DELETE, "/v1/feeds", Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn free_times(
        &self,
        labels: &[(String, String)],
        hosts: &[String],
        search: Option<&str>,
        (span, anywhere): (Interval, bool),
    ) -> Done<FreeTimes> {
        let mut path = format!("/v1/free-times?from={}&until={}&anywhere={anywhere}", span.from, span.until);
        for (name, value) in labels {
            path.push_str(&format!("&label={}", escape(&format!("{name}={value}"))));
        }
        for host in hosts {
            path.push_str(&format!("&host={}", escape(host)));
        }
        if let Some(search) = search {
            path.push_str(&format!("&search={}", escape(search)));
        }
        self.read("the free times", &Request::get(&path, SMALL * 4))
    }
}
