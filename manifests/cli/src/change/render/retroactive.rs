//! The page of a retroactive change: what it accepts, in the words of the hosts, and who has said what.

use super::{View, Word};
use crate::change::page::Page;
use crate::finding;
use crate::text::clean;
use shared::digest::Digest;
use shared::finding::Finding;
use shared::ids::AgentId;

impl<F: Fn(Word) -> &'static str> View<'_, F> {
    pub(super) fn retroactive(&self, mut page: Page) -> String {
        let (change, w) = (&self.review.change.body, &self.w);
        page.field(w(Word::MayUse), w(Word::RunsNowhere));
        page.field(w(Word::UndoPlan), &clean(&change.undo.text));
        page.field(w(Word::Targets), &change.targets.len().to_string());
        page.field(w(Word::Findings), &change.accepts.len().to_string());
        page.field(w(Word::ReviewUntil), &self.at(change.not_after));
        page.blank();
        page.line(w(Word::AcceptsAfterwards));
        for alike in self.alike() {
            self.accepted(&mut page, &alike);
        }
        self.approvals(&mut page);
        page.blank();
        if self.review.doubts.is_empty() {
            page.line(w(Word::VerifiedFindings));
        }
        self.words(&mut page);
        page.finish()
    }

    /// Equal findings once, with all hosts that have them.
    fn alike(&self) -> Vec<Vec<&Finding>> {
        let mut groups: Vec<(Digest, Vec<&Finding>)> = Vec::new();
        for said in &self.review.grounds.findings {
            let print = said.body.fingerprint();
            match groups.iter_mut().find(|(known, _)| *known == print) {
                Some((_, alike)) => alike.push(&said.body),
                None => groups.push((print, vec![&said.body])),
            }
        }
        groups.into_iter().map(|(_, alike)| alike).collect()
    }

    fn accepted(&self, page: &mut Page, alike: &[&Finding]) {
        let Some(finding) = alike.first() else { return };
        page.blank();
        let names: Vec<String> = alike.iter().map(|one| self.listed_name(one.header.agent_id)).collect();
        page.field(self.word(Word::Hosts), &names.join(", "));
        let first = alike.iter().map(|one| one.first_seen).min().unwrap_or(finding.first_seen);
        let last = alike.iter().map(|one| one.last_seen).max().unwrap_or(finding.last_seen);
        page.field(self.word(Word::FirstSeen), &self.at(first));
        page.field(self.word(Word::LastSeen), &self.at(last));
        let mut lines = finding::about(finding, self.style.lang, self.style.zone);
        for difference in &finding.differences {
            lines.push_str(&finding::one(difference));
        }
        lines.lines().for_each(|line| page.line(line));
        if finding.more > 0 {
            page.alarm(&format!("+{}", finding.more));
        }
    }

    /// Nobody signed the names of hosts here: the id counts.
    fn listed_name(&self, agent: AgentId) -> String {
        match self.style.names.get(&agent) {
            Some(name) => format!("{agent} ({}, {})", clean(name), self.word(Word::SaysServer)),
            None => agent.to_string(),
        }
    }
}
