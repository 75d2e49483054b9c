//! Who hears what programs of a run print and what it waits for, while it happens.

use crate::progress::Ear;
use shared::limits;
use shared::progress::What;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Between two events about one program's output.
const PAUSE: Duration = Duration::from_secs(1);
/// Output that waits to be told; only its end is.
const PENDING_BYTES: usize = 8 << 10;

thread_local! {
    /// A run is one thread, from its first step to its last; package managers start programs deep below it.
    static EAR: RefCell<Option<Ear>> = const { RefCell::new(None) };
}

/// From now on this ear hears of programs that this thread starts; nobody does with `None`.
pub fn listen(ear: Option<Ear>) {
    EAR.set(ear);
}

/// Says what the run of this thread waits for.
pub fn say_waiting(reason: &str) {
    EAR.with_borrow(|ear| {
        if let Some(ear) = ear {
            ear.say(What::Waiting { reason: reason.to_owned() });
        }
    });
}

/// The ear for what a program of this thread prints, if that may be told.
pub fn of_programs() -> Option<Ear> {
    EAR.with_borrow(Clone::clone).filter(Ear::hears_programs)
}

/// The end of a program's output, told at most once a second.
pub struct Tail {
    ear: Ear,
    pending: Vec<u8>,
    told: Option<Instant>,
}

impl Tail {
    pub fn new(ear: Ear) -> Self {
        Self { ear, pending: Vec::new(), told: None }
    }

    pub fn heard(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let old = self.pending.len().saturating_sub(PENDING_BYTES);
        self.pending.drain(..old);
        if self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            self.tell();
        }
    }

    pub fn tell(&mut self) {
        let text = last_lines(&String::from_utf8_lossy(&std::mem::take(&mut self.pending)));
        if !text.is_empty() {
            self.ear.say(What::Output { text });
            self.told = Some(Instant::now());
        }
    }
}

/// As many whole lines of the end as may be told, without control characters.
fn last_lines(text: &str) -> String {
    let clean = |line: &str| -> String {
        let line: String = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let skip = line.len().saturating_sub(limits::PROGRESS_TEXT_BYTES);
        line[line.ceil_char_boundary(skip)..].to_owned()
    };
    let lines: Vec<String> =
        text.split(['\n', '\r']).map(clean).filter(|line| !line.trim().is_empty()).collect();
    let mut room = limits::PROGRESS_TEXT_BYTES;
    let fit = lines.iter().rev().take_while(|line| {
        let fits = line.len() < room;
        room = room.saturating_sub(line.len() + 1);
        fits
    });
    let fit = fit.count().max(usize::from(!lines.is_empty()));
    lines[lines.len() - fit..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_told_in_whole_lines() {
        assert_eq!(last_lines("a\r\n\u{1b}[1mb\t\n\n  \nc"), "a\n [1mb\nc");
        assert_eq!(last_lines(" \n\r"), "");
        let many: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
        let told = last_lines(&many);
        assert!(
            told.len() <= limits::PROGRESS_TEXT_BYTES
                && told.starts_with("line ")
                && told.ends_with("line 999")
        );
        let long = last_lines(&"é".repeat(5_000));
        assert!(long.len() <= limits::PROGRESS_TEXT_BYTES && long.ends_with('é'));
    }
}
