//! `assent ci mismatch …`: where what is declared and what hosts report do not fit together. The server's word.

use crate::args::AsJson;
use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text, window};
use clap::{Args, Subcommand};
use shared::time::Timestamp;
use shared::wire::{DisposeMismatches, Disposition, MismatchLine, SeenMismatch};

#[derive(Debug, Subcommand)]
pub enum MismatchCommand {
    /// List mismatches: those that are there and open, if nothing else is asked for
    #[command(after_help = "Example: assent ci mismatch list --entry web1")]
    List {
        /// Of this entry (name or CI)
        #[arg(long)]
        entry: Option<String>,
        /// Also those that are gone or were judged
        #[arg(long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// It does not matter until a time
    #[command(after_help = "Example: assent ci mismatch ignore 4 --until 30d --reason \"is being moved\"")]
    Ignore {
        #[command(flatten)]
        judged: Judged,
        /// When somebody looks again: a time, or so long from now on (s, m, h, d, w)
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Somebody has to see to it
    #[command(after_help = "Example: assent ci mismatch confirm 4 --reason \"one machine, two agents\"")]
    Confirm {
        #[command(flatten)]
        judged: Judged,
    },
    /// Take back what was made of it
    #[command(after_help = "Example: assent ci mismatch reopen 4 --reason \"judged too early\"")]
    Reopen {
        #[command(flatten)]
        judged: Judged,
    },
}

/// Which ones, and why.
#[derive(Debug, Args)]
pub struct Judged {
    /// Numbers of mismatches
    #[arg(required = true, value_name = "NUMBER")]
    mismatch: Vec<u64>,
    /// Why; kept with it
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    json: AsJson,
}

pub fn run(session: &Session, command: &MismatchCommand) -> Done {
    match command {
        MismatchCommand::List { entry, all, json } => {
            let found = session.api.mismatches(entry.as_deref(), *all)?;
            if *json { print_json(&found) } else { term::print(&told(session, &found)?) }
        }
        MismatchCommand::Ignore { judged, until } => {
            let until = window::end(until, &window::zone(None)?, session.now)?;
            judge(session, judged, Disposition::Ignored, Some(until))
        }
        MismatchCommand::Confirm { judged } => judge(session, judged, Disposition::Confirmed, None),
        MismatchCommand::Reopen { judged } => judge(session, judged, Disposition::Open, None),
    }
}

/// Judges them as they are listed now, and shows what that was.
fn judge(session: &Session, judged: &Judged, disposition: Disposition, until: Option<Timestamp>) -> Done {
    let mut known = session.api.mismatches(None, true)?;
    known.retain(|line| judged.mismatch.contains(&line.id));
    if let Some(missing) = judged.mismatch.iter().find(|id| known.iter().all(|line| line.id != **id)) {
        return Err(Failure::refused(format!("there is no mismatch {missing}"))
            .remedy("see `assent ci mismatch list --all`"));
    }
    let mismatches = known.iter().map(|line| SeenMismatch { id: line.id, count: line.count }).collect();
    let wish = DisposeMismatches { mismatches, disposition, reason: judged.reason.clone(), until };
    session.api.dispose_mismatches(&wish)?;
    known.iter_mut().for_each(|line| {
        line.disposition = disposition;
        line.reason = Some(judged.reason.clone());
    });
    let written = known.iter().map(|line| Written::of("mismatch", line.id, line)).collect::<Done<_>>()?;
    written::tell_all(judged.json.json, written, &told(session, &known)?)
}

fn told(session: &Session, found: &[MismatchLine]) -> Done<String> {
    let zone = window::zone(None)?;
    let mut rows = vec![session.lang.heads(Word::HeadsOfMismatches)];
    rows.extend(found.iter().map(|line| {
        let reason = line.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        vec![
            line.id.to_string(),
            text::clean(&format!("{} ({})", line.name, line.ci)),
            line.kind.as_str().to_owned(),
            text::clean(&line.declared),
            text::clean(&line.observed),
            window::local_in(session.lang, line.first_seen, &zone),
            line.presence.as_str().to_owned(),
            text::clean(&format!("{}{reason}", line.disposition.as_str())),
        ]
    }));
    Ok(text::table(&rows))
}
