//! What this program is, as its own mark says: version, and what it was built for.
//!
//! The mark stands in the program's file, so that whoever signs a release reads it from the very bytes.

use semver::Version;
use shared::release::{MARK, MARK_BYTES, Target, marked};

const ENV: &str = if cfg!(target_env = "gnu") {
    "-gnu\n"
} else if cfg!(target_env = "musl") {
    "-musl\n"
} else {
    "\n"
};

/// [`shared::release::mark`], made when the program is.
const fn mark() -> [u8; MARK_BYTES] {
    let parts = [
        MARK[0],
        MARK[1],
        env!("CARGO_PKG_VERSION"),
        " ",
        std::env::consts::ARCH,
        "-",
        std::env::consts::OS,
        ENV,
    ];
    let mut bytes = [0; MARK_BYTES];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let text = parts[part].as_bytes();
        let mut n = 0;
        while n < text.len() {
            bytes[at] = text[n];
            n += 1;
            at += 1;
        }
        part += 1;
    }
    bytes
}

static OWN: [u8; MARK_BYTES] = mark();

fn own() -> (Version, Target) {
    // Read from the file's own bytes, not from what the compiler knows of them.
    let found = marked(std::hint::black_box(&OWN));
    #[expect(clippy::expect_used, reason = "made of a version and a target above; the tests read it")]
    found.expect("the program has its mark")
}

/// The version of this program.
pub fn version() -> Version {
    own().0
}

/// What this program was built for.
pub fn target() -> Target {
    own().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_says_what_the_program_was_built_as() {
        let text = String::from_utf8(OWN.to_vec()).unwrap();
        let whole = shared::release::mark(env!("CARGO_PKG_VERSION"), &target().to_string());
        assert_eq!(text.trim_end_matches('\0'), whole);
        assert_eq!(version().to_string(), env!("CARGO_PKG_VERSION"));
        assert!(target().to_string().starts_with(std::env::consts::ARCH), "{}", target());
    }
}
