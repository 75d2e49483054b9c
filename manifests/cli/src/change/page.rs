//! A page of plain text that grows line by line; colour only where the terminal has it.

use crate::term::{PLAIN, RED};

pub struct Page {
    out: String,
    colour: bool,
}

/// Width of the label column.
const LABEL: usize = 20;

impl Page {
    pub fn new(colour: bool) -> Self {
        Self { out: String::new(), colour }
    }

    pub fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A line that must not be overlooked; it also starts with `!` for terminals without colour.
    pub fn alarm(&mut self, text: &str) {
        let line = format!("! {text}");
        if self.colour { self.line(&format!("{RED}{line}{PLAIN}")) } else { self.line(&line) }
    }

    pub fn field(&mut self, label: &str, value: &str) {
        let pad = LABEL.saturating_sub(label.chars().count()).max(1);
        self.line(&format!("  {label}{}{value}", " ".repeat(pad)));
    }

    pub fn finish(self) -> String {
        self.out
    }
}
