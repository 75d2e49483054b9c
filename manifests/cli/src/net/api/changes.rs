//! Changes: revisions, steps, what people say of them, and what hosts wait for.

use super::{ApproveReply, LARGE, Pages, SMALL, escape};
use crate::error::{Done, Failure};
use crate::net::{Client, Method, Request, Seen};
use serde::{Deserialize, Serialize};
use shared::conflict::Conflict;
use shared::envelope::Envelope;
use shared::ids::{ChangeId, ChangeRef, SeriesName, YearNumber};
use shared::note::ChangeNote;
use shared::strict;
use shared::time::Interval;
use shared::wire::{
    Addition, Approve, Assessment, ChangeFile, ChangeLine, ChangeNotes, CourseStep, Kpis, ProgressPage,
    Remark, SeriesLine, Waiting, WaveLine, Why,
};

/// What a change is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Submit,
    SubmitLater,
    Halt,
    Resume,
    StopCorrecting,
    Withdraw,
    Close,
}

impl Act {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit | Self::SubmitLater => "submit",
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::StopCorrecting => "stop correcting",
            Self::Withdraw => "withdraw",
            Self::Close => "close",
        }
    }
}

/// Which changes are listed.
#[derive(Default)]
pub struct Wanted<'a> {
    pub state: Option<&'a str>,
    /// Only occurrences of this series.
    pub series: Option<&'a SeriesName>,
    /// Only those made before this one.
    pub before: Option<&'a ChangeRef>,
    /// No more than so many, the newest ones.
    pub most: Option<usize>,
}

impl Client {
    /// Allots the next change number.
    pub fn new_change(&self) -> Done<ChangeId> {
        #[derive(Deserialize)]
        struct Allotted {
            change_id: ChangeId,
        }
        let request = Request::json(Method::POST, "/v1/changes", b"{}".into(), SMALL);
        Ok(self.read::<Allotted>("the new change", &request)?.change_id)
    }

    pub fn put_revision(&self, id: &ChangeId, revision: u32, change: &Envelope) -> Done<Seen<ChangeLine>> {
        let path = format!("/v1/changes/{id}/revisions/{revision}");
        self.wrote("the change", &Request::json(Method::PUT, &path, change.to_bytes(), SMALL))
    }

    /// The same for a change that accepts findings.
    pub fn put_retroactive(&self, id: &ChangeId, revision: u32, change: &Envelope) -> Done<ChangeLine> {
        let path = format!("/v1/retroactive-changes/{id}/revisions/{revision}");
        self.read("the change", &Request::json(Method::PUT, &path, change.to_bytes(), SMALL))
    }

    pub fn act(&self, id: &ChangeId, act: Act, body: &impl Serialize) -> Done<Seen<ChangeLine>> {
        let path = match act {
            Act::Submit => format!("/v1/changes/{id}/submit"),
            Act::SubmitLater => format!("/v1/changes/{id}/submit-later"),
            Act::Halt => format!("/v1/changes/{id}/halt"),
            Act::Resume => format!("/v1/changes/{id}/resume"),
            Act::StopCorrecting => format!("/v1/changes/{id}/stop-correcting"),
            Act::Withdraw => format!("/v1/changes/{id}/withdraw"),
            Act::Close => format!("/v1/changes/{id}/close"),
        };
        self.wrote("the change", &Request::json(Method::POST, &path, strict::to_json(body), LARGE))
    }

    /// It is not submitted by itself any more.
    pub fn keep_draft(&self, id: &ChangeId) -> Done<Seen<ChangeLine>> {
        let path = format!("/v1/changes/{id}/submit-later");
        self.wrote("the change", &Request::json(Method::DELETE, &path, Vec::new(), SMALL))
    }

    /// The steps of a change so far, oldest first.
    pub fn course(&self, id: &ChangeId) -> Done<Vec<CourseStep>> {
        self.read("the course of the change", &Request::get(&format!("/v1/changes/{id}/course"), LARGE))
    }

    /// Newest first: those that are wanted, from all pages, or as many as are wanted.
    pub fn changes(&self, wanted: &Wanted<'_>) -> Done<Vec<ChangeLine>> {
        const PAGE: usize = 200;
        let page = wanted.most.map_or(PAGE, |most| most.clamp(1, PAGE));
        let state = wanted.state.map(|state| format!("&state={}", escape(state))).unwrap_or_default();
        let series = wanted.series.map(|series| format!("&series={series}")).unwrap_or_default();
        let list = Pages {
            what: "the list of changes",
            path: "/v1/changes",
            query: state + &series,
            first: wanted.before.map(|before| format!("before={before}")),
            length: page,
            most: wanted.most,
        };
        self.pages(&list, |last: &ChangeLine| format!("before={}", last.change_id))
    }

    /// The server's line of one change.
    pub fn change_line(&self, id: &ChangeId) -> Done<ChangeLine> {
        self.only_change(&format!("/v1/changes?id={id}"), id)
    }

    /// The change that has this number of the year.
    pub fn numbered(&self, number: &YearNumber) -> Done<ChangeLine> {
        self.only_change(&format!("/v1/changes?number={number}"), number)
    }

    fn only_change(&self, path: &str, named: &impl std::fmt::Display) -> Done<ChangeLine> {
        let found: Vec<ChangeLine> = self.read("the change", &Request::get(path, SMALL))?;
        found.into_iter().next().ok_or_else(|| Failure::refused(format!("there is no change {named}")))
    }

    pub fn series(&self) -> Done<Vec<SeriesLine>> {
        self.read("the list of series", &Request::get("/v1/series", LARGE))
    }

    pub fn change(&self, id: &ChangeId) -> Done<ChangeFile> {
        self.read("the change", &Request::get(&format!("/v1/changes/{id}"), LARGE))
    }

    /// One revision, as its author signed it.
    pub fn revision(&self, id: &ChangeId, revision: u32) -> Done<Envelope> {
        self.read("the revision", &Request::get(&format!("/v1/changes/{id}/revisions/{revision}"), LARGE))
    }

    pub fn notes(&self, id: &ChangeId) -> Done<ChangeNotes> {
        self.read("the notes", &Request::get(&format!("/v1/changes/{id}/notes"), LARGE))
    }

    /// A comment, an objection or an answer.
    pub fn remark(&self, id: &ChangeId, remark: &Remark) -> Done<ChangeNote> {
        self.post("the note", &format!("/v1/changes/{id}/comments"), remark)
    }

    /// A link, its end, or a file that is uploaded.
    pub fn add_note(&self, id: &ChangeId, addition: &Addition) -> Done<ChangeNote> {
        self.post("the note", &format!("/v1/changes/{id}/notes"), addition)
    }

    pub fn approve(&self, id: &ChangeId, body: &Approve) -> Done<ApproveReply> {
        self.post("the answer to the approval", &format!("/v1/changes/{id}/approvals"), body)
    }

    pub fn kpis(&self, period: Interval) -> Done<Kpis> {
        let path = format!("/v1/kpis?from={}&to={}", period.from, period.until);
        self.read("the key figures", &Request::get(&path, SMALL))
    }

    /// What hosts of one change wait for, or of all open ones.
    pub fn waiting(&self, id: Option<&ChangeId>) -> Done<Vec<Waiting>> {
        let path = id.map_or("/v1/waiting".to_owned(), |id| format!("/v1/waiting?change={id}"));
        self.read("what hosts wait for", &Request::get(&path, LARGE))
    }

    /// Where the hosts of each wave stand.
    pub fn waves(&self, id: &ChangeId) -> Done<Vec<WaveLine>> {
        self.read("the waves", &Request::get(&format!("/v1/changes/{id}/waves"), LARGE))
    }

    pub fn assessment(&self, id: &ChangeId) -> Done<Assessment> {
        self.read("the assessment", &Request::get(&format!("/v1/changes/{id}/assessment"), LARGE))
    }

    pub fn conflicts(&self, id: &ChangeId) -> Done<Vec<Conflict>> {
        self.read("the conflicts", &Request::get(&format!("/v1/changes/{id}/conflicts"), SMALL * 4))
    }

    pub fn why(&self, host: &str, id: &ChangeId) -> Done<Why> {
        self.read("the reason", &Request::get(&format!("/v1/why/{}/{id}", escape(host)), SMALL * 4))
    }

    /// What hosts tell of a running change behind a place.
    pub fn progress(&self, id: &ChangeId, after: u64, host: Option<&str>) -> Done<ProgressPage> {
        let host = host.map(|host| format!("&host={}", escape(host))).unwrap_or_default();
        let path = format!("/v1/changes/{id}/progress?after={after}{host}");
        self.read("what hosts tell", &Request::get(&path, LARGE))
    }
}
