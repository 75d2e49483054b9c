//! Where the hosts of each wave stand, and when it opens, by the server's word.

use super::waves::told;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::wire::{ChangeLine, WaveLine};

/// While a change may run, and when it has run.
pub(super) fn tell(session: &Session, line: &ChangeLine) -> Done {
    let shown = matches!(line.state.as_str(), "approved" | "running" | "halted" | "review");
    if !shown || line.retroactive || line.retires {
        return Ok(());
    }
    let lines = session.api.waves(&line.change_id)?;
    term::print(&table(&lines, session.lang, &window::zone(None)?))
}

/// A line for each wave.
pub(super) fn table(lines: &[WaveLine], lang: Lang, zone: &TimeZone) -> String {
    let mut rows = vec![lang.heads(Word::HeadsOfWaves)];
    rows.extend(lines.iter().map(|line| {
        let counts = [
            line.wave,
            line.targets,
            line.planned,
            line.waiting,
            line.refused,
            line.running,
            line.succeeded,
            line.failed,
            line.pending,
        ];
        let mut row: Vec<String> = counts.iter().map(ToString::to_string).collect();
        row.push(gate(line, lang, zone));
        row
    }));
    format!("{} ({})\n{}", lang.word(Word::Waves), lang.word(Word::SaidByServer), text::table(&rows))
}

fn gate(line: &WaveLine, lang: Lang, zone: &TimeZone) -> String {
    let asks = line.gate.map(told).unwrap_or_default();
    let asks = asks.trim_start_matches("; ");
    let state = match (line.open, line.opens) {
        (Some(true), _) => lang.word(Word::GateOpen).to_owned(),
        (Some(false), Some(at)) => lang.fill(Word::GateOpens, &window::local_in(lang, at, zone)),
        (Some(false), None) => text::clean(line.message.as_deref().unwrap_or("-")),
        (None, _) => String::new(),
    };
    match (asks.is_empty(), state.is_empty()) {
        (false, false) => format!("{state} ({asks})"),
        (true, true) => "-".to_owned(),
        (true, false) => state,
        (false, true) => asks.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::NOW;
    use super::*;
    use shared::change::Gate;

    fn line(wave: u32) -> WaveLine {
        WaveLine {
            wave,
            targets: 4,
            planned: 4,
            waiting: 1,
            refused: 0,
            running: 1,
            succeeded: 1,
            failed: 1,
            pending: 0,
            gate: None,
            open: Some(true),
            message: None,
            opens: None,
        }
    }

    #[test]
    fn each_wave_is_a_line_with_its_gate_and_when_it_opens() {
        let gate = Some(Gate { min_success: 3, max_fail: 1, soak_s: 60 });
        let lines = [
            line(1),
            WaveLine { gate, open: Some(false), opens: Some(NOW), ..line(2) },
            WaveLine { gate, open: Some(false), message: Some("2 of 3\u{1b}[2J".into()), ..line(3) },
            WaveLine { gate, open: None, ..line(4) },
            WaveLine { open: None, ..line(5) },
        ];
        let shown = table(&lines, Lang::En, &window::zone(Some("Europe/Berlin")).unwrap());
        for part in [
            "1     4      4        1        0        1        1   1       0        open\n",
            "opens Fri 2026-11-20 12:07 +01:00 (>= 3 ok, <= 1 failed, 60 s)\n",
            "2 of 3",
            "0        >= 3 ok, <= 1 failed, 60 s\n",
            "0        -\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
