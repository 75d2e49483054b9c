//! Routes of what holds changes up or warns of it: calendars, budgets, the schedule.

use super::{DONE, MATCH, MATCH_OR_NEW};
use crate::kernel::http::person::{Operate, Read};
use crate::openapi::route::{Content, HOST, PUBLIC, Route, answer, change, json, may, part, route, text};
use crate::{budgets, schedule};
use schemars::JsonSchema;
use shared::ids::BudgetName;
use shared::windows::CalendarName;
use shared::wire;

/// An empty object: the status says everything.
#[derive(JsonSchema)]
struct EmptyObject {}

const FLEET_LOCK: &[&str] =
    &["fleetlock.bad", "fleetlock.unknown", "fleetlock.group", "fleetlock.full", "request.too_many"];

pub(super) const CALENDARS: &[Route] = &[
    route(
        ("GET", "/v1/calendars"),
        "listCalendars",
        may::<Read>(),
        "Lists the calendars of blackouts that have not ended or are read from an address, by name.",
    )
    .answers(&[answer(200, "the calendars", json::<Vec<wire::CalendarLine>>())]),
    route(
        ("GET", "/v1/calendars/{calendar}"),
        "showCalendar",
        may::<Read>(),
        "Shows a calendar with its history and the times that come.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .answers(&[answer(200, "the calendar, with an `ETag`", json::<wire::CalendarFile>())])
    .refuses(&["calendar.unknown"]),
    route(
        ("PUT", "/v1/calendars/{calendar}"),
        "storeCalendar",
        may::<Operate>(),
        "Stores the next revision of a calendar, or its end.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .headers(MATCH_OR_NEW)
    .takes(json::<wire::PutCalendar>())
    .answers(&[answer(200, "the calendar afterwards", json::<wire::CalendarFile>())])
    .refuses(&[
        "calendar.bad",
        "calendar.moved",
        "calendar.subscribed",
        "ci.bad_search",
        "ci.search_circle",
        "ci.search_unknown",
        "ci.search_wide",
        "number.none",
        "number.unknown",
    ]),
    route(
        ("PUT", "/v1/calendars/{calendar}/subscription"),
        "subscribeCalendar",
        may::<Operate>(),
        "Says from which address a calendar is read again and again; the same again has it read at once.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .headers(MATCH_OR_NEW)
    .takes(json::<wire::PutSubscription>())
    .answers(&[answer(200, "the calendar, not read yet", json::<wire::CalendarFile>())])
    .refuses(&[
        "calendar.bad",
        "calendar.too_many_subscriptions",
        "ci.bad_search",
        "ci.search_circle",
        "ci.search_unknown",
        "ci.search_wide",
        "number.none",
        "number.unknown",
    ]),
    route(
        ("DELETE", "/v1/calendars/{calendar}/subscription"),
        "unsubscribeCalendar",
        may::<Operate>(),
        "Ends a subscription; the calendar stays as it was last read.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .headers(MATCH)
    .answers(DONE)
    .refuses(&["calendar.not_subscribed"]),
    route(
        ("POST", "/v1/calendars/{calendar}/accept"),
        "acceptCalendar",
        may::<Operate>(),
        "Takes what was read from the address and waits for a person's word, because it would leave closed times open.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .headers(MATCH)
    .takes(json::<wire::AcceptCalendar>())
    .answers(&[answer(200, "the calendar afterwards", json::<wire::CalendarFile>())])
    .refuses(&["calendar.bad", "calendar.not_subscribed", "calendar.nothing_waits"]),
];

pub(super) const BUDGETS: &[Route] = &[
    route(
        ("GET", "/v1/budgets"),
        "listBudgets",
        may::<Read>(),
        "Lists the disruption budgets that have not ended, by name.",
    )
    .answers(&[answer(200, "the budgets", json::<Vec<wire::BudgetLine>>())]),
    route(
        ("GET", "/v1/budgets/{budget}"),
        "showBudget",
        may::<Read>(),
        "Shows a disruption budget with its history and whoever has a slot of it.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .answers(&[answer(200, "the budget, with an `ETag`", json::<wire::BudgetFile>())])
    .refuses(&["budget.unknown"]),
    route(
        ("PUT", "/v1/budgets/{budget}"),
        "storeBudget",
        may::<Operate>(),
        "Stores the next revision of a disruption budget, or its end.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .headers(MATCH_OR_NEW)
    .takes(json::<wire::PutBudget>())
    .answers(&[answer(200, "the budget afterwards", json::<wire::BudgetFile>())])
    .refuses(&["budget.bad", "budget.moved", "ci.bad_search", "ci.search_circle", "ci.search_unknown", "ci.search_wide", "number.none", "number.unknown"]),
    route(
        ("POST", "/v1/budgets/{budget}/addresses"),
        "openBudgetAddress",
        may::<Operate>(),
        "Lets machines that have a secret take slots of a budget by the FleetLock protocol.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .takes(json::<budgets::OpenAddress>())
    .answers(DONE)
    .refuses(&["budget.unknown", "budget.address_taken"]),
    route(
        ("DELETE", "/v1/budgets/{budget}/addresses"),
        "endBudgetAddresses",
        may::<Operate>(),
        "Ends all addresses of a budget.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .answers(DONE)
    .refuses(&["budget.unknown"]),
    route(
        ("POST", "/v1/fleet-lock/{secret}/v1/pre-reboot"),
        "lockFleet",
        PUBLIC,
        "Takes a slot for a machine (FleetLock), or says who has them; problems have `kind` and `value` as well.",
    )
    .parts(&[text("secret")])
    .takes(json::<budgets::FleetLock>())
    .answers(&[answer(200, "it has a slot", json::<EmptyObject>())])
    .refuses(FLEET_LOCK),
    route(
        ("POST", "/v1/fleet-lock/{secret}/v1/steady-state"),
        "unlockFleet",
        PUBLIC,
        "Gives a machine's slot back (FleetLock), if it has one.",
    )
    .parts(&[text("secret")])
    .takes(json::<budgets::FleetLock>())
    .answers(&[answer(200, "it has none any more", json::<EmptyObject>())])
    .refuses(FLEET_LOCK),
    route(
        ("POST", "/agent/v1/slots"),
        "askForSlots",
        HOST,
        "Gives a host a slot of each disruption budget that covers it, for a while, or says who has them.",
    )
    .takes(json::<shared::budgets::AskSlots>())
    .answers(&[answer(200, "the slots, or who has them", json::<shared::budgets::Slots>())])
    .refuses(&["agent.too_much"]),
];

pub(super) const SCHEDULE: &[Route] = &[
    route(
        ("GET", "/v1/changes/{id}/conflicts"),
        "listConflicts",
        may::<Read>(),
        "Lists what gets in the way of a change: blackouts, calendars that warn, other changes on the same hosts.",
    )
    .parts(&[change("id")])
    .answers(&[answer(200, "the conflicts, the worst first", json::<Vec<shared::conflict::Conflict>>())])
    .refuses(&["change.unknown"]),
    route(
        ("GET", "/v1/changes/{id}/assessment"),
        "assessChange",
        may::<Read>(),
        "Says how much may go wrong with a change and why, what an outage of its hosts would reach, and whom to ask.",
    )
    .parts(&[change("id")])
    .answers(&[answer(200, "for people to look at: nothing is decided by it", json::<wire::Assessment>())])
    .refuses(&["change.unknown", "change.no_revision"]),
    route(
        ("GET", "/v1/free-times"),
        "listFreeTimes",
        may::<Read>(),
        "Lists times in which no blackout closes hosts and no open change is planned on them, within the windows of calendars that they are in.",
    )
    .query::<schedule::Asked>()
    .answers(&[answer(200, "the times", json::<wire::FreeTimes>())])
    .refuses(&["host.not_found", "ci.ambiguous", "ci.bad_search", "ci.search_circle", "ci.search_unknown", "ci.search_wide", "number.none", "number.unknown"]),
    route(
        ("POST", "/v1/feeds"),
        "openFeed",
        may::<Read>(),
        "Lets whoever has a secret read the schedule as a calendar, until its owner ends it or loses the access.",
    )
    .takes(json::<schedule::OpenFeed>())
    .answers(DONE)
    .refuses(&["feed.taken", "feed.too_many"]),
    route(
        ("DELETE", "/v1/feeds"),
        "endFeeds",
        may::<Read>(),
        "Ends all calendar addresses of the person who asks.",
    )
    .answers(DONE),
    route(
        ("GET", "/v1/feeds/{secret}.ics"),
        "readFeed",
        PUBLIC,
        "Gives windows of changes and blackouts as an iCalendar file (RFC 5545), to whoever has the secret.",
    )
    .parts(&[text("secret")])
    .answers(&[
        answer(200, "the calendar", Content::Bytes("text/calendar")),
        answer(304, "it is as the caller knows it", Content::Nothing),
    ])
    .refuses(&["feed.unknown"]),
];
