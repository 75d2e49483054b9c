//! Whether the programs that a bench measures were built.

use std::path::Path;

/// Ends the bench with a remedy when one of our programs is not beside it.
pub fn require(programs: &[&str]) {
    let here = std::env::current_exe().unwrap();
    let dir = here.parent().and_then(Path::parent).unwrap();
    let missing: Vec<_> = programs.iter().filter(|name| !dir.join(name).exists()).collect();
    if !missing.is_empty() {
        eprintln!("{missing:?} not in {}: build with cargo build --release first", dir.display());
        std::process::exit(1);
    }
}
