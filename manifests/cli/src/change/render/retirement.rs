//! The page of a change that retires hosts: who leaves, who goes on in whose place, and who has said what.

use super::{View, Word};
use crate::change::page::Page;
use crate::text::clean;
use shared::ids::AgentId;

impl<F: Fn(Word) -> &'static str> View<'_, F> {
    pub(super) fn retirement(&self, mut page: Page) -> String {
        let (change, w) = (&self.review.change.body, &self.w);
        page.field(w(Word::MayUse), w(Word::RunsNowhere));
        page.field(w(Word::UndoPlan), &clean(&change.undo.text));
        page.field(w(Word::Targets), &change.targets.len().to_string());
        page.field(w(Word::ReviewUntil), &self.at(change.not_after));
        page.blank();
        page.line(w(Word::RetiresHosts));
        for retirement in &change.retires {
            page.blank();
            self.joined(&mut page, Word::Leaves, retirement.host.agent);
            if let Some(successor) = retirement.successor {
                self.joined(&mut page, Word::GoesOn, successor.agent);
            }
        }
        self.approvals(&mut page);
        page.blank();
        if self.review.doubts.is_empty() {
            page.line(w(Word::VerifiedEnrolments));
        }
        self.words(&mut page);
        page.finish()
    }

    /// A host in its own signed words.
    fn joined(&self, page: &mut Page, word: Word, agent: AgentId) {
        let joined = self.review.grounds.enrolments.iter().find(|one| one.body.header.agent_id == agent);
        let told = joined.map(|one| {
            let header = &one.body.header;
            let since = format!("{} {}", self.word(Word::JoinedAt), self.at(header.at));
            format!("{} ({}), {}, {since}", clean(&one.body.hostname), agent, header.host_class)
        });
        page.field(self.word(word), &told.unwrap_or_else(|| agent.to_string()));
    }
}
