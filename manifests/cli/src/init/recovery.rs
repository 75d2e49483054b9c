//! The recovery key leaves the machine on paper: shown once and typed back, or written to a file for scripts.

use crate::args::InitArgs;
use crate::error::{Done, Failure};
use crate::profile::Secrets;
use crate::{files, paper, term};
use shared::keys::SigningKey;
use std::path::Path;

const TRIES: usize = 3;

/// Options that are needed when nobody sits at a terminal.
pub fn check_options(args: &InitArgs, secrets: &Secrets) -> Done {
    let scripted = secrets.has_file() && args.recovery_out.is_some();
    if scripted || term::is_interactive() {
        return Ok(());
    }
    Err(Failure::usage("there is no terminal to show the recovery key on and to ask for a passphrase")
        .remedy("run it in a terminal, or give both --passphrase-file FILE and --recovery-out FILE"))
}

/// Shows the key and makes the person type its last group back, before anything is written.
pub fn hand_over(out: Option<&Path>, key: &SigningKey, site: &str) -> Done {
    let print_out = print_out(key, site);
    if let Some(path) = out {
        files::write_new(path, print_out.as_bytes())?;
        term::note(&format!(
            "WARNING: the recovery key was written to {} and was NOT typed back.\n\
             WARNING: print that file, check the print-out with `assent governance rehearse`, then remove the file.\n",
            path.display()
        ));
        return Ok(());
    }
    term::note(&print_out);
    term::note("\n");
    for _ in 0..TRIES {
        let typed = term::ask("Write it down or print it. Then type its last 8 characters:")?;
        if paper::is_last_group(key, &typed) {
            return Ok(());
        }
        term::note("these are not the last 8 characters\n");
    }
    Err(Failure::refused("the recovery key was not typed back; nothing was written")
        .remedy("run the command again"))
}

fn print_out(key: &SigningKey, site: &str) -> zeroize::Zeroizing<String> {
    let groups = paper::groups(key);
    zeroize::Zeroizing::new(format!(
        "RECOVERY KEY of the Assent site {site}\n\
         It replaces a lost governance key. Keep it on paper, away from every computer.\n\
         \n    {}\n    {}\n\n\
         public key {}\n",
        groups[..4].join(" "),
        groups[4..].join(" "),
        key.public(),
    ))
}
