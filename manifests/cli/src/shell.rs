//! What belongs to a terminal's comfort: completions and manual pages, made from the command line itself.

use crate::args::Cli;
use crate::error::{Context as _, Done};
use crate::term;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::Path;

pub fn completion(shell: Shell) -> Done {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "assent", &mut out);
    term::print_exactly(&String::from_utf8(out).or_fault("the completions are not text")?)
}

/// `assent.1` and one page for each subcommand, `assent-change-new.1` and so on.
pub fn manual(dir: &Path) -> Done {
    clap_mangen::generate_to(Cli::command(), dir)
        .or_usage(format!("could not write manual pages into {}", dir.display()))?;
    term::print(&format!(
        "the manual pages are in {}\n  try: man {}/assent.1\n",
        dir.display(),
        dir.display()
    ))
}
