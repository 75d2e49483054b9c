//! The terminal: prompts, hidden input, colour where there is one, and words that people must type.
//!
//! The only door for text: whatever hosts, servers and manifests bring, nothing leaves it that steers a terminal or
//! hides a part of itself, except the colour of this program.

use crate::error::{Context as _, Done, Failure};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

/// Begins and ends what must not be overlooked.
pub const RED: &str = "\u{1b}[1;31m";
pub const PLAIN: &str = "\u{1b}[0m";

/// The text with everything visible but the own colour.
pub fn shown(text: &str) -> String {
    let pieces = text.split(RED).map(|piece| {
        let pieces: Vec<String> = piece.split(PLAIN).map(shared::visible::lines).collect();
        pieces.join(PLAIN)
    });
    pieces.collect::<Vec<_>>().join(RED)
}

/// Whether somebody can answer a question.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Whether standard output shows colour; `NO_COLOR` and pipes do not.
pub fn has_colour() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Asks a question and reads one line; questions go to standard error, so that output can be piped.
pub fn ask(question: &str) -> Done<String> {
    let asked = write!(stderr(), "{} ", shown(question)).and_then(|()| stderr().flush());
    asked.or_fault("could not write to the terminal")?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line).or_fault("could not read the answer")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks without showing what is typed. The terminal is put back even when reading fails.
pub fn ask_hidden(question: &str) -> Done<Zeroizing<String>> {
    let input = stdin();
    let before = tcgetattr(&input).or_fault("the terminal does not answer")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &silent).or_fault("could not hide the input")?;
    let answer = ask(question).map(Zeroizing::new);
    note("\n");
    tcsetattr(&input, OptionalActions::Flush, &before).or_fault("could not show the input again")?;
    answer
}

/// Tells a person something that is not the output. A terminal that hung up cannot be told so; the exit code says
/// how it ended.
pub fn note(text: &str) {
    let _gone = stderr().write_all(shown(text).as_bytes()).and_then(|()| stderr().flush());
}

/// Makes a person type `word`; `yes` skips the question (for scripts).
pub fn confirm(question: &str, word: &str, yes: bool) -> Done {
    if yes {
        return Ok(());
    }
    if !is_interactive() {
        let message = "this asks a person to confirm, and there is no terminal";
        return Err(Failure::refused(message)
            .remedy("run it in a terminal, or add --yes in a script that has checked"));
    }
    if ask(question)? == word {
        return Ok(());
    }
    Err(Failure::refused(format!("not confirmed: {word} was not typed")).why("nothing was signed or sent"))
}

/// Whether standard output is one JSON document's.
static FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// With `json` what people read goes to standard error from now on, because a program reads standard output.
pub fn for_programs(json: bool) {
    FOR_PROGRAMS.store(json, Ordering::Relaxed);
}

/// Writes to standard output; a reader that went away (`| head`) ends the command quietly.
pub fn print(text: &str) -> Done {
    if FOR_PROGRAMS.load(Ordering::Relaxed) {
        note(text);
        return Ok(());
    }
    write(&shown(text))
}

/// The same as JSON, in which characters that a terminal obeys are escapes.
pub fn print_json(text: &str) -> Done {
    write(&shared::visible::json(text))
}

/// What another program is to read, byte for byte, unless a person looks.
pub fn print_exactly(text: &str) -> Done {
    if stdout().is_terminal() { print(text) } else { write(text) }
}

fn write(text: &str) -> Done {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::fault("could not write the output").why(e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_own_colour_leaves_the_door() {
        let hostile = format!("{RED}! web1{PLAIN}\n\u{1b}[2J\u{1b}]0;x\u{7}a\rb \u{202e}exe\t\u{9b}1m\n");
        let shown = shown(&hostile);
        assert!(shown.starts_with(&format!("{RED}! web1{PLAIN}\n\\u{{1b}}[2J")), "{shown:?}");
        let rest = shown.replace(RED, "").replace(PLAIN, "");
        assert!(rest.chars().all(|c| "\n\t".contains(c) || !shared::visible::is_hidden(c)), "{rest:?}");
    }
}
