//! Whether the programs that a bench measures were built.

/// Ends the bench with a remedy when one of our programs is not beside it.
pub fn require(programs: &[&str]) {
    let missing: Vec<_> =
        programs.iter().map(|name| tests::programs::place(name)).filter(|at| !at.exists()).collect();
    if !missing.is_empty() {
        eprintln!(
            "{missing:?}: build with cargo build --release -p server -p cli && cargo build --profile dist -p agent first"
        );
        std::process::exit(1);
    }
}
