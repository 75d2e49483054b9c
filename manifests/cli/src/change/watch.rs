//! `assent change watch`: what hosts tell of a change while it runs, each message verified as the host's own.
//!
//! Reading goes on where it was when the connection is back. How a host ended counts by its signed receipt alone.

mod scene;
#[cfg(test)]
mod tests;

use super::stages;
use crate::error::{Context as _, Done, Failure, Kind};
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text, window};
use scene::{Scene, Told};
use shared::change::Change;
use shared::ids::{AgentId, ChangeId, SiteId};
use shared::receipt::{HostOutcome, Receipt, open_chained};
use shared::statement::Statement;
use shared::wire::{ChangeFile, ProgressPage, WaveLine};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);
/// Waves are asked for less often: the server looks at every host of the change for them.
const WAVES_PAUSE: Duration = Duration::from_secs(10);
/// How long a server that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(900);

/// What is watched, and how it is shown.
pub struct Wanted<'a> {
    pub change: &'a ChangeId,
    pub host: Option<&'a str>,
    pub after: u64,
    pub json: bool,
}

pub fn run(session: &Session, wanted: &Wanted<'_>) -> Done {
    let file = session.api.change(wanted.change)?;
    let change =
        Statement::<Change>::open(file.change.clone()).or_refuse("the server's change is not valid")?;
    if change.body.is_record() {
        return Err(Failure::refused(format!("{} brings nothing to hosts: none runs it", wanted.change)));
    }
    let known = session.api.hosts(&[])?;
    let only = wanted.host.map(|name| super::find_host(&known, name)).transpose()?.map(|host| host.agent);
    let names: BTreeMap<AgentId, String> =
        known.into_iter().map(|host| (host.agent, text::clean(&host.hostname))).collect();
    let targets = change.body.targets.iter().map(|target| target.agent);
    let targets: Vec<AgentId> = targets.filter(|agent| only.is_none_or(|only| only == *agent)).collect();
    if targets.is_empty() {
        return Err(Failure::refused(format!("{} is not about that host", wanted.change)));
    }
    let scene = Scene::new(&session.profile.config.site, &change, &targets, &names);
    let in_waves = change.body.waves.len() > 1 && only.is_none();
    let mut watch = Watch {
        session,
        wanted,
        scene,
        after: wanted.after,
        shown: false,
        waves: in_waves.then(Waves::default),
    };
    let page = watch.follow()?;
    watch.verdict(&page)
}

struct Watch<'a> {
    session: &'a Session,
    wanted: &'a Wanted<'a>,
    scene: Scene<'a>,
    after: u64,
    /// The first table is out.
    shown: bool,
    /// Of a change that has waves.
    waves: Option<Waves>,
}

/// What was told of waves last, and when they were asked for.
#[derive(Default)]
struct Waves {
    told: Vec<WaveLine>,
    asked: Option<Instant>,
}

impl Watch<'_> {
    /// Follows until nothing more will come; the last page.
    fn follow(&mut self) -> Done<ProgressPage> {
        loop {
            let page = self.page()?;
            if page.revision != self.scene.revision() {
                let message = format!("{} has a newer revision", self.wanted.change);
                return Err(Failure::refused(message).remedy("watch it again"));
            }
            for line in &page.messages {
                self.after = line.place;
                match self.scene.take(&line.statement) {
                    Ok(told) => self.tell(&told)?,
                    Err(why) => term::note(&format!("! {}\n", text::clean(&why.to_string()))),
                }
            }
            if page.more {
                continue;
            }
            self.scene.reported(&page.hosts);
            if !self.shown && !self.wanted.json {
                self.shown = true;
                term::print(&self.scene.table(self.session.lang, &self.heading(&page)))?;
            }
            let over = self.scene.is_over(&page.state);
            self.tell_waves(over)?;
            if over {
                return Ok(page);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Where the waves stand, when that is otherwise than before.
    fn tell_waves(&mut self, over: bool) -> Done {
        let Some(waves) = &mut self.waves else { return Ok(()) };
        if !over && waves.asked.is_some_and(|at| at.elapsed() < WAVES_PAUSE) {
            return Ok(());
        }
        waves.asked = Some(Instant::now());
        // They are shown beside what hosts tell; whether the server answers, that tells.
        let Ok(lines) = self.session.api.waves(self.wanted.change) else { return Ok(()) };
        if lines == waves.told {
            return Ok(());
        }
        waves.told = lines;
        match self.wanted.json {
            true => term::print_json(&format!("{}\n", serde_json::json!({ "waves": waves.told }))),
            false => term::print(&stages::table(&waves.told, self.session.lang, &window::zone(None)?)),
        }
    }

    fn heading(&self, page: &ProgressPage) -> String {
        let lang = self.session.lang;
        format!(
            "{}, {} {}: {}",
            self.wanted.change,
            lang.word(Word::Revision),
            page.revision,
            text::clean(&page.state)
        )
    }

    /// Asks again while the server does not answer.
    fn page(&self) -> Done<ProgressPage> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            match self.session.api.progress(self.wanted.change, self.after, self.wanted.host) {
                Err(failure) if failure.kind == Kind::Fault && begun.elapsed() < PATIENCE => {
                    if !std::mem::replace(&mut told, true) {
                        let note = self.session.lang.word(Word::AskedAgain);
                        term::note(&format!("! {}: {note}\n", text::clean(&failure.message)));
                    }
                    std::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    fn tell(&self, told: &Told) -> Done {
        if self.wanted.json {
            let line = serde_json::json!({ "place": self.after, "host": told.host, "message": told.message });
            return term::print_json(&format!("{line}\n"));
        }
        let zone = window::zone(None)?;
        term::print(&self.scene.lines(told, self.session.lang, &zone))
    }

    /// How every host ended, by the receipts that it signed.
    fn verdict(&mut self, page: &ProgressPage) -> Done {
        let file = self.session.api.change(self.wanted.change)?;
        let ended = outcomes(&file, &self.session.profile.config.site, &self.scene);
        self.scene.ended(&ended);
        let failed = self.scene.failed(&ended);
        if self.wanted.json {
            let hosts = self.scene.summary(&ended);
            term::print_json(&format!("{}\n", serde_json::json!({ "state": page.state, "hosts": hosts })))?;
        } else {
            term::print(&self.scene.table(self.session.lang, &self.heading(page)))?;
        }
        if failed.is_empty() {
            return Ok(());
        }
        let (count, of) = (failed.len(), self.scene.count());
        Err(Failure::refused(format!("{count} of {of} hosts did not succeed: {}", failed.join(", ")))
            .remedy(format!("assent why {} {}", failed[0], self.wanted.change)))
    }
}

/// The newest outcome of each host of the scene that a receipt for its change proves.
fn outcomes(file: &ChangeFile, site: &SiteId, scene: &Scene<'_>) -> BTreeMap<AgentId, HostOutcome> {
    let receipts =
        file.receipts.iter().filter_map(|envelope| open_chained::<Receipt>(&envelope.to_bytes(), site).ok());
    let mut newest: BTreeMap<AgentId, (u64, HostOutcome)> = BTreeMap::new();
    for receipt in receipts.map(|receipt| receipt.body).filter(|body| scene.is_about(&body.change)) {
        let (agent, found) = (receipt.header.agent_id, (receipt.header.seq, receipt.outcome));
        let entry = newest.entry(agent).or_insert(found);
        if found.0 > entry.0 {
            *entry = found;
        }
    }
    newest
        .into_iter()
        .filter(|(agent, _)| scene.has(agent))
        .map(|(agent, (_, outcome))| (agent, outcome))
        .collect()
}
