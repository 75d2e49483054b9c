//! What the agent tells people: standard output, standard error and the log. The only door for such text.
//!
//! Names of packages, output of programs and reasons of servers pass through it with everything visible that would
//! steer a terminal. A reader that went away is no reason to stop.

use shared::visible;
use std::io::{self, Write};

/// Lines on standard output.
pub fn out(text: &str) {
    let _gone = writeln!(io::stdout(), "{}", visible::lines(text.trim_end_matches('\n')));
}

/// One line on standard output, whatever the text holds.
pub fn line(text: &str) {
    out(&visible::line(text));
}

/// One JSON document on standard output.
pub fn json(bytes: &[u8]) {
    let _gone = writeln!(io::stdout(), "{}", visible::json(&String::from_utf8_lossy(bytes)));
}

/// Lines on standard error.
pub fn err(text: &str) {
    let _gone = writeln!(io::stderr(), "{}", visible::lines(text));
}

/// The log: standard error, made visible.
#[derive(Debug)]
pub struct Log<W>(pub W);

impl<W: Write> Write for Log<W> {
    /// An event comes in one piece and is one line: no text of others makes a second one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(format!("{}\n", visible::line(text.trim_end_matches('\n'))).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_steers_no_terminal() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || Log(writer.clone())).finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(
                host = "a\u{1b}[2J\u{202e}b",
                "said \r\u{9b}1m and \u{1b}]0;x\u{7}\n WARN a second one"
            );
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("said") && text.ends_with('\n'), "{text:?}");
        assert!(
            text.lines().count() == 1 && text.lines().all(|l| !l.contains(visible::is_hidden)),
            "{text:?}"
        );
    }
}
