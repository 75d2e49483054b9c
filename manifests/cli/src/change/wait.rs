//! `assent change wait`: for the hosts, so that a script or a person need not ask again and again.

use super::args::Until;
use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::session::Session;
use crate::{term, text, window};
use shared::ids::ChangeId;
use shared::wire::ChangeLine;
use std::time::{Duration, Instant};

/// Small beside the minute in which hosts look for work.
const PAUSE: Duration = Duration::from_secs(2);

pub fn run(session: &Session, id: &ChangeId, until: Until, (timeout, json): (&str, bool)) -> Done {
    let seconds = u64::try_from(window::duration(timeout)?).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let line = &session.api.change_line(id)?;
        if let Some(word) = answer(line, until)? {
            return if json { print_json(line) } else { term::print(&format!("{id}: {word}\n")) };
        }
        if Instant::now() >= deadline {
            return Err(late(line, until));
        }
        std::thread::sleep(PAUSE.min(deadline - Instant::now()));
    }
}

/// What is reported when the wait is over; nothing while it goes on.
///
/// # Errors
/// What is waited for cannot come any more.
fn answer(line: &ChangeLine, until: Until) -> Done<Option<String>> {
    let state = text::clean(&line.state);
    if line.retroactive || line.retires {
        let message = format!("{} brings nothing to hosts: no host plans or runs it", line.change_id);
        return Err(Failure::refused(message).remedy(format!("assent change show {}", line.change_id)));
    }
    if line.revision == 0 {
        let message = format!("{} has no revision yet: nothing is asked of any host", line.change_id);
        return Err(Failure::refused(message).remedy("whoever asked for its number writes it, or a new one"));
    }
    let over = matches!(line.state.as_str(), "review" | "closed");
    match until {
        Until::Plans if line.plans >= line.targets => Ok(Some(format!("{} plans are there", line.plans))),
        Until::Receipts if line.reported >= line.targets => {
            Ok(Some(format!("all {} hosts have reported; it is {state}", line.targets)))
        }
        _ if over => Err(Failure::refused(format!("{} is {state}: {}", line.change_id, count(line, until)))),
        _ => Ok(None),
    }
}

fn late(line: &ChangeLine, until: Until) -> Failure {
    Failure::refused(format!("{} is {}: {}", line.change_id, text::clean(&line.state), count(line, until)))
        .remedy(format!("ask a host that is missing: assent why HOST {}", line.change_id))
}

fn count(line: &ChangeLine, until: Until) -> String {
    match until {
        Until::Plans => format!("{} of {} hosts have sent a plan", line.plans, line.targets),
        Until::Receipts => format!("{} of {} hosts have reported", line.reported, line.targets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests;

    fn line(state: &str, plans: u32, reported: u32) -> ChangeLine {
        ChangeLine { state: state.into(), targets: 3, plans, reported, ..tests::line() }
    }

    #[test]
    fn it_waits_for_all_and_not_for_what_cannot_come() {
        let told = |state, plans, reported, until| {
            answer(&line(state, plans, reported), until).map_err(|e| e.to_string())
        };
        assert_eq!(told("in_review", 2, 0, Until::Plans), Ok(None));
        assert_eq!(told("in_review", 3, 0, Until::Plans), Ok(Some("3 plans are there".into())));
        assert_eq!(told("running", 3, 2, Until::Receipts), Ok(None));
        assert!(told("review", 3, 3, Until::Receipts).unwrap().unwrap().contains("all 3 hosts"));
        assert!(told("closed", 3, 2, Until::Receipts).unwrap_err().contains("2 of 3 hosts have reported"));
        let retroactive = ChangeLine { retroactive: true, ..line("review", 0, 0) };
        let retires = ChangeLine { retires: true, ..line("review", 0, 0) };
        for of in [retroactive, retires] {
            assert!(answer(&of, Until::Receipts).unwrap_err().to_string().contains("no host"));
        }
        let unwritten = ChangeLine { revision: 0, targets: 0, ..line("draft", 0, 0) };
        assert!(answer(&unwritten, Until::Plans).unwrap_err().to_string().contains("no revision"));
        assert!(told("closed", 1, 0, Until::Plans).unwrap_err().contains("1 of 3 hosts have sent a plan"));
    }
}
