//! Slots of disruption budgets: the last thing that a start needs, and given back where nothing starts after all.
//!
//! The receipt gives them back as well. Never: a start without the server's word where a budget covers this host.

use super::{Agent, Tick};
use crate::hands::Hands;
use crate::server::Server;
use crate::state::StateError;
use shared::admit::{self, Approved, GateOpen, Turn};
use shared::budgets::{AskSlots, SlotWish, Slots};
use shared::digest::Digest;
use shared::refusal::{Code, Refused};

impl<H: Hands, S: Server> Agent<H, S> {
    /// Whether the host could have its slots now; nothing is taken.
    pub(super) fn look_for_slots(
        &mut self,
        approved: &Approved,
        tick: &mut Tick,
    ) -> Result<Result<(), Refused>, StateError> {
        let asked = self.ask_for_slots(SlotWish::Look, approved, tick)?;
        Ok(asked.and_then(|answer| match answer {
            Some(Slots::Held(used)) => Err(used.refused()),
            Some(Slots::Free | Slots::Granted(_) | Slots::Returned) | None => Ok(()),
        }))
    }

    /// Takes the slots, or keeps those that it has for this change.
    pub(super) fn take_turn(
        &mut self,
        gate: GateOpen,
        approved: &Approved,
        tick: &mut Tick,
    ) -> Result<Result<Turn, Refused>, StateError> {
        let answer = match self.ask_for_slots(SlotWish::Take, approved, tick)? {
            Ok(answer) => answer,
            Err(refused) => return Ok(Err(refused)),
        };
        let now = self.clock.now();
        self.check(tick, now, |court, _| {
            let needed = admit::budgets_of(approved, court.control, court.me.id());
            admit::take_turn(gate, &needed, answer.as_ref(), now)
        })
    }

    /// `None` where no budget covers this host: the server is not asked then, and need not be there.
    fn ask_for_slots(
        &mut self,
        wish: SlotWish,
        approved: &Approved,
        tick: &mut Tick,
    ) -> Result<Result<Option<Slots>, Refused>, StateError> {
        let (now, offline) = (self.clock.now(), tick.offline);
        let asked = self.check(tick, now, |court, pulled| {
            let needed = admit::budgets_of(approved, court.control, court.me.id());
            let Some(first) = needed.first() else { return Ok(None) };
            if offline {
                let message = format!("the server cannot be asked for a slot of the budget {first}");
                return Err(Refused::new(Code::LockUnanswered, message));
            }
            let ask = AskSlots { change: approved.change().digest, wish };
            let answer = pulled.server.slots(&ask);
            answer.map(Some).map_err(|error| pulled.refused(error.into(), Code::LockUnanswered))
        })?;
        if offline && asked.is_err() {
            // The network's failure is no judgement.
            tick.unanswered = true;
        }
        Ok(asked)
    }

    /// Best effort: a slot that is not given back ends by itself.
    pub(super) fn give_back(&mut self, change: Digest, turn: &Turn, tick: &mut Tick) {
        if turn.slots().is_empty() {
            return;
        }
        if let Err(error) = self.server.slots(&AskSlots { change, wish: SlotWish::GiveBack }) {
            self.lost(tick, "giving a slot back", &error);
        }
    }
}
