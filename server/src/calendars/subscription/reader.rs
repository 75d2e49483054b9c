//! Reads what is due: each calendar by one node at a time, a few at once.
//!
//! A node that dies between taking a subscription and noting what it read leaves it to be read again after a while; what an older
//! reading brings late is dropped.

use super::store::{self, Taken};
use crate::calendars::model::{self, zone};
use crate::kernel::call::{Answer, Limits, Way, call};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::endpoint::Endpoint;
use crate::kernel::error::Error;
use crate::kernel::http::tls;
use crate::kernel::random::random;
use futures_util::StreamExt as _;
use futures_util::stream;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, CONTENT_ENCODING, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Request, StatusCode};
use jiff::tz::TimeZone;
use shared::time::Timestamp;
use shared::windows::ics::{self, Zones};
use shared::wire::Calendar;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Calendars that are read at once; each may have some megabytes.
const AT_ONCE: usize = 4;
const LIMITS: Limits = Limits { patience: Duration::from_secs(30), body: Some(ics::LARGEST) };
/// Bytes of what the other side calls a version.
const VALIDATOR_BYTES: usize = 512;

/// What one reading brought.
pub(in crate::calendars) enum Brought {
    /// The other side says that nothing changed since the last reading.
    Unchanged,
    New(Box<New>),
}

/// A calendar, perhaps without any times, and how the other side calls its version.
#[derive(Clone)]
pub(in crate::calendars) struct New {
    pub calendar: Calendar,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// Nothing that could be taken.
#[derive(Debug, Clone)]
pub(in crate::calendars) struct Failed {
    pub why: String,
    /// Seconds that the other side asks for.
    pub wait: Option<i64>,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, wait: None }
    }
}

pub(in crate::calendars) struct Reader {
    db: Db,
    config: Arc<Config>,
    clock: Clock,
}

impl Reader {
    pub fn new(db: &Db, config: &Arc<Config>, clock: &Clock) -> Self {
        Self { db: db.clone(), config: config.clone(), clock: clock.clone() }
    }

    pub async fn read_due(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let due = self.db.read("calendars.due", move |tx| Ok::<_, Error>(store::list_due(tx, now)?)).await?;
        let each = stream::iter(due).for_each_concurrent(AT_ONCE, async |id| {
            if let Err(error) = self.serve(id).await {
                tracing::error!(subscription = id, error = error.chain(), "the calendar is read again later");
            }
        });
        each.await;
        Ok(())
    }

    async fn serve(&self, id: i64) -> Result<(), Error> {
        let now = self.clock.now();
        let Some(taken) = self.db.write("calendars.take", move |tx| store::take(tx, id, now)).await? else {
            return Ok(());
        };
        let brought = self.fetch(&taken).await;
        let (now, [spread]) = (self.clock.now(), random::<1>()?);
        let note = move |tx: &mut _| store::record(tx, &taken, &brought, spread, now);
        self.db.write("calendars.read", note).await
    }

    async fn fetch(&self, taken: &Taken) -> Result<Brought, Failed> {
        let endpoint = Endpoint::with_login(&taken.url)?;
        let mut request = Request::get("/").header(ACCEPT, "text/calendar");
        for (name, value) in [(IF_NONE_MATCH, &taken.etag), (IF_MODIFIED_SINCE, &taken.last_modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        // Read each time: authorities are renewed with the system's packages.
        let trust = tls::trusting(&self.config.outgoing_ca).map(Arc::new);
        let way = Way { trust: &trust, reach: &self.config.reach };
        let answer = call(&endpoint, (request, Bytes::new()), way, LIMITS).await?;
        let now = self.clock.now();
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if taken.etag.is_some() || taken.last_modified.is_some() => {
                return Ok(Brought::Unchanged);
            }
            _ => return Err(Failed { why: answer.told(), wait: answer.wait(now) }),
        }
        let (scope, zone_name) = (taken.scope.clone(), taken.zone.clone());
        let own = zone(&zone_name).ok_or_else(|| format!("the time zone {zone_name} is not known here"))?;
        // Some megabytes take a while.
        let read = spawn_blocking(move || understand(&answer, &own, scope, now)).await;
        read.map_err(|error| format!("reading it: {error}"))?.map_err(Failed::from)
    }
}

/// The same reader and the same rules as for a file that a person imports.
fn understand(answer: &Answer, own: &TimeZone, scope: Calendar, now: Timestamp) -> Result<Brought, String> {
    let plain = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
    if answer.headers.get(CONTENT_ENCODING).is_some_and(|coding| !plain(coding.as_bytes())) {
        return Err("it answered with a compressed text that nobody asked for".into());
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| "it answered with no text (UTF-8)")?;
    let zones = Zones { own, find: |name| TimeZone::get(name).ok() };
    // Without the words of the parser where it is no calendar: nobody reads other things through the server.
    let read = ics::read(text, zones, now).map_err(|not| not.to_string())?;
    let mut times = read.times;
    times.sort_by_key(|time| (time.from, time.until));
    times.dedup();
    let calendar = Calendar { rules: read.rules, times, ..scope };
    if !calendar.rules.is_empty() || !calendar.times.is_empty() {
        model::check_times(&calendar, now)?;
    }
    let (etag, last_modified) = (validator(answer, &ETAG), validator(answer, &LAST_MODIFIED));
    Ok(Brought::New(Box::new(New { calendar, etag, last_modified })))
}

fn validator(answer: &Answer, name: &HeaderName) -> Option<String> {
    let value = answer.headers.get(name)?.to_str().ok()?;
    (value.len() <= VALIDATOR_BYTES).then(|| value.to_owned())
}
