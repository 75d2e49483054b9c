//! A tick of a program on trial: contact, the verified repository, a look at the host. It says nothing in the host's
//! name and starts nothing; its disk keeps nothing either (`disk::Overlay`).

use super::{Agent, Report};
use crate::decide::Chore;
use crate::hands::Hands;
use crate::pull::Source;
use crate::server::Server;
use shared::time::Timestamp;

impl<H: Hands, S: Server> Agent<H, S> {
    /// Whether this program could do the work.
    ///
    /// # Errors
    /// What did not work, as one line.
    pub fn trial(&mut self) -> Result<(), String> {
        self.memory.next_check_in = Timestamp(i64::MIN);
        let mut tick = self.begin();
        tick.silent = true;
        let done = self.check_in(&mut tick).and_then(|()| self.refresh(&mut tick));
        done.map_err(|error| error.to_string())?;
        let from_server = tick.repository.as_ref().is_some_and(|found| found.source == Source::Server);
        if tick.check_in != Chore::Settled || !from_server {
            return Err(told(&tick.report));
        }
        self.hands.facts().map(drop).map_err(|refused| refused.to_string())
    }
}

fn told(report: &Report) -> String {
    let refused = report.refusals.iter().map(|said| said.reason.to_string());
    let all: Vec<String> = report.faults.iter().chain(&report.troubles).cloned().chain(refused).collect();
    if all.is_empty() { "the server was not reached".to_owned() } else { all.join("; ") }
}
