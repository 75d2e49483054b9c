//! A text as lines that keep their own line breaks, so that an edit changes nothing but its own lines.

/// The lines of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    lines: Vec<(String, &'static str)>,
    /// What new lines end with: as the first line does.
    end: &'static str,
}

impl Lines {
    pub fn of(text: &str) -> Self {
        let split = |raw: &str| match raw.strip_suffix("\r\n") {
            Some(body) => (body.to_owned(), "\r\n"),
            None => match raw.strip_suffix('\n') {
                Some(body) => (body.to_owned(), "\n"),
                None => (raw.to_owned(), ""),
            },
        };
        let lines: Vec<_> = text.split_inclusive('\n').map(split).collect();
        let end = match lines.first() {
            Some((_, "\r\n")) => "\r\n",
            _ => "\n",
        };
        Self { lines, end }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(|(body, _)| body.as_str())
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Inserts a line before the line `at`; a last line without a break gets one when something follows it.
    pub fn insert(&mut self, at: usize, body: &str) {
        let at = at.min(self.lines.len());
        if let Some((_, end)) = at.checked_sub(1).and_then(|before| self.lines.get_mut(before))
            && end.is_empty()
        {
            *end = self.end;
        }
        self.lines.insert(at, (body.to_owned(), self.end));
    }

    /// Replaces the text of a line, not its break.
    pub fn replace(&mut self, at: usize, body: &str) {
        if let Some((old, _)) = self.lines.get_mut(at) {
            body.clone_into(old);
        }
    }

    /// Keeps the lines for which `keep` says so; it gets number and text.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, &str) -> bool) {
        let mut at = 0;
        self.lines.retain(|(body, _)| {
            at += 1;
            keep(at - 1, body)
        });
    }

    pub fn remove(&mut self, range: std::ops::RangeInclusive<usize>) {
        self.retain(|at, _| !range.contains(&at));
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines.iter().try_for_each(|(body, end)| write!(f, "{body}{end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in ["", "a", "a\n", "a\r\nb\nc", "\n\n", "a\n\nb\r\n", "\r", "a\rb\n"] {
            assert_eq!(Lines::of(text).to_string(), text, "{text:?}");
        }
    }

    #[test]
    fn new_lines_end_as_the_first_one_does() {
        for (text, at, expected) in [
            ("", 0, "x\n"),
            ("a", 1, "a\nx\n"),
            ("a", 0, "x\na"),
            ("a\r\nb", 2, "a\r\nb\r\nx\r\n"),
            ("a\nb\n", 1, "a\nx\nb\n"),
        ] {
            let mut lines = Lines::of(text);
            lines.insert(at, "x");
            assert_eq!(lines.to_string(), expected, "{text:?} {at}");
        }
    }
}
