//! News that leave the server: what happened, by whom (a person's id) and to what, and where to look it up. No titles, names of
//! machines or reasons: whoever may read those reads them at the server.

use crate::digest::{Digest, hex};
use crate::ids::{AgentId, ChangeId, PersonId, SeriesName, SiteId};
use crate::strict;
use crate::time::Timestamp;
use crate::windows::{CalendarName, Differs};
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal),+ $(,)?) => {
        /// What happened, as subscribers name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum NewsKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind),+
        }

        impl NewsKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

kinds! {
    ChangeSubmitted "change.submitted",
    /// A new revision was signed: what was said about the old one is void.
    ChangeRevised "change.revised",
    ChangeApproved "change.approved",
    ChangeRejected "change.rejected",
    ChangeWithdrawn "change.withdrawn",
    /// The first host reported.
    ChangeStarted "change.started",
    ChangeHalted "change.halted",
    ChangeResumed "change.resumed",
    /// All hosts reported, or its time is over.
    ChangeFinished "change.finished",
    /// Its time passed and no host had started.
    ChangeExpired "change.expired",
    ChangeClosed "change.closed",
    /// Hosts refuse at run time what was approved for them; told once for each class of their plans.
    ChangeRefused "change.refused",
    /// A change that was not open ran because one person broke the glass.
    GlassBroken "glass.broken",
    /// A review that has to be done, and until when.
    ReviewDue "review.due",
    /// Words are missing, and the time in which they are of use is short.
    ApprovalReminder "approval.reminder",
    /// A review that had to be done by now.
    ReviewOverdue "review.overdue",
    /// A subscribed calendar could not be read for long.
    CalendarOld "calendar.old",
    /// What was read from an address would open closed times or end windows, and waits for a word.
    CalendarWaits "calendar.waits",
    /// The last time of a calendar is near.
    CalendarEnds "calendar.ends",
    /// The last occurrence of a series is near.
    SeriesEnds "series.ends",
    /// The time zone database gives other windows by the rules behind a change than those that are signed.
    WindowsDiffer "change.windows_differ",
    FindingOpened "finding.opened",
    HostJoined "host.joined",
    /// The server gives it no new work until somebody enables it again.
    HostHeld "host.held",
    HostDisabled "host.disabled",
    HostEnabled "host.enabled",
    /// A change has taken it out of the register.
    HostRetired "host.retired",
    /// It goes on in the place of another host, as a change says.
    HostSucceeded "host.succeeded",
    AlarmRaised "alarm.raised",
    /// Somebody tries a webhook.
    WebhookTest "webhook.test",
}

impl std::fmt::Display for NewsKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for NewsKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{:?} is no kind of news; there are {}", strict::shorten(text), all.join(", "))
        })
    }
}

/// What it is about; only what fits is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "NewsAbout"))]
pub struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    /// Its number of the year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// State of the change afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Number of a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<u64>,
    /// Id of an entry of the CMDB, such as `CI-7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Name of a calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarName>,
    /// Name of a series; the change is its last occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    /// The windows that are signed, and those that their rules give by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Differs>,
    /// Kind of an alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// Who did it, by id; nobody when it happened by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// For whom it waits, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<PersonId>,
    /// Until when something has to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// What happened once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct News {
    pub kind: NewsKind,
    pub at: Timestamp,
    pub about: About,
}

/// The body of a delivery: `type`, `timestamp` and `data` as the Standard Webhooks specification suggests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewsEvent {
    /// The same in each attempt, as in the header `webhook-id`.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: NewsKind,
    /// When it happened.
    pub timestamp: Timestamp,
    pub site: SiteId,
    pub data: About,
    /// Where it is looked up, with a token.
    pub url: String,
}

impl NewsEvent {
    /// The id follows from what happened: the same news twice are one event.
    pub fn of(news: News, site: &SiteId, people_url: &str) -> Self {
        let News { kind, at, about } = news;
        let digest = Digest::of(&strict::to_json(&(kind, at, site, &about)));
        let url = format!("{people_url}{}", place(kind, &about));
        Self {
            id: format!("evt_{}", hex(&digest.0[..16])),
            kind,
            timestamp: at,
            site: site.clone(),
            data: about,
            url,
        }
    }
}

/// Path of the interface under which the subject is found.
fn place(kind: NewsKind, about: &About) -> String {
    if kind == NewsKind::AlarmRaised {
        return "/v1/alarms".into();
    }
    match about {
        About { change: Some(change), .. } => format!("/v1/changes/{change}"),
        About { finding: Some(finding), .. } => format!("/v1/findings/{finding}"),
        About { calendar: Some(calendar), .. } => format!("/v1/calendars/{calendar}"),
        About { ci: Some(ci), .. } => format!("/v1/cis/{ci}"),
        _ => "/v1/site".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_an_event_stays_as_it_is() {
        let about = About {
            change: Some("C-7".parse().unwrap()),
            revision: Some(2),
            state: Some("approved".into()),
            person: Some("lead".parse().unwrap()),
            ..About::default()
        };
        let news = News { kind: NewsKind::ChangeApproved, at: Timestamp(1_790_000_000), about };
        let site = "0011223344556677".parse().unwrap();
        let event = NewsEvent::of(news.clone(), &site, "https://a.example:8443");
        assert_eq!(
            String::from_utf8(strict::to_json(&event)).unwrap(),
            "{\"id\":\"evt_690d845fe6efa5ae8b2e23f2d146189e\",\"type\":\"change.approved\",\"timestamp\":\"2026-09-21T14:13:20Z\",\
             \"site\":\"0011223344556677\",\"data\":{\"change\":\"C-7\",\"revision\":2,\"state\":\"approved\",\
             \"person\":\"lead\"},\"url\":\"https://a.example:8443/v1/changes/C-7\"}"
        );
        let again = NewsEvent::of(news.clone(), &site, "https://b.example");
        assert_eq!(again.id, event.id);
        let later =
            NewsEvent::of(News { at: Timestamp(1_790_000_001), ..news }, &site, "https://a.example:8443");
        assert_ne!(later.id, event.id);
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in NewsKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("change.exploded".parse::<NewsKind>().unwrap_err().contains("change.submitted"));
    }
}
