//! Reading searches. Strict: what is not understood is an error with its place.

use super::{BadQuery, Comparison, Details, Key, Pattern, Query, Term, Want, is_name};
use crate::limits;
use crate::manifest::suggest;
use crate::version::{DebVersion, RpmVersion};

pub(super) fn query(text: &str) -> Result<Query, BadQuery> {
    if text.len() > limits::SEARCH_BYTES {
        return Err(BadQuery { at: 1, why: format!("a search has at most {} bytes", limits::SEARCH_BYTES) });
    }
    let mut reader = Reader { rest: text.chars().collect(), at: 0 };
    let query = reader.any(0)?;
    match reader.peek() {
        None if query.size() > limits::SEARCH_TERMS => {
            Err(reader.bad(format!("a search has at most {} terms", limits::SEARCH_TERMS)))
        }
        None => Ok(query),
        Some(_) => Err(reader.bad("this bracket closes nothing; remove it or quote it")),
    }
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

/// A piece of a term, and whether it stood in quotes.
struct Piece {
    text: String,
    at: usize,
    quoted: bool,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    fn bad_at(at: usize, why: impl Into<String>) -> BadQuery {
        BadQuery { at: at + 1, why: why.into() }
    }

    fn bad(&self, why: impl Into<String>) -> BadQuery {
        Self::bad_at(self.at, why)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Whether `OR` stands here as a word of its own; it is taken.
    fn or(&mut self) -> bool {
        let word = self.rest.get(self.at..self.at + 2) == Some(&['O', 'R']);
        let ends = self.rest.get(self.at + 2).is_none_or(|c| c.is_whitespace() || *c == '(');
        self.at += if word && ends { 2 } else { 0 };
        word && ends
    }

    fn any(&mut self, depth: usize) -> Result<Query, BadQuery> {
        if depth > limits::SEARCH_DEPTH {
            return Err(self.bad(format!("at most {} brackets go into each other", limits::SEARCH_DEPTH)));
        }
        let mut all = vec![self.all(depth)?];
        loop {
            self.blanks();
            let place = self.at;
            if !self.or() {
                break;
            }
            let last = all.last().is_some_and(is_empty);
            all.push(self.all(depth)?);
            if last || all.last().is_some_and(is_empty) {
                return Err(Self::bad_at(
                    place,
                    "OR stands between two terms; quote it to look for the word",
                ));
            }
        }
        Ok(one_or(all, Query::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Query, BadQuery> {
        let mut all = Vec::new();
        loop {
            self.blanks();
            let place = self.at;
            match self.peek() {
                None | Some(')') => break,
                Some(_) if self.or() => {
                    self.at = place;
                    break;
                }
                Some(_) => all.push(self.signed(depth)?),
            }
        }
        Ok(one_or(all, Query::All))
    }

    fn signed(&mut self, depth: usize) -> Result<Query, BadQuery> {
        let not = self.eat('-');
        let query = if self.eat('(') {
            let begin = self.at;
            let inner = self.any(depth + 1)?;
            if !self.eat(')') {
                return Err(Self::bad_at(begin - 1, "this bracket is not closed"));
            }
            if is_empty(&inner) {
                return Err(Self::bad_at(begin - 1, "nothing stands between these brackets"));
            }
            inner
        } else {
            self.term()?
        };
        Ok(if not { Query::Not(Box::new(query)) } else { query })
    }

    /// A piece up to one of `stops`, a blank or a bracket.
    fn piece(&mut self, stops: &[char]) -> Result<Piece, BadQuery> {
        let (at, mut text) = (self.at, String::new());
        if self.eat('"') {
            loop {
                match self.peek() {
                    None => return Err(Self::bad_at(at, "this quote is not closed")),
                    Some('"') => break,
                    Some('\\') => self.at += 1,
                    Some(_) => {}
                }
                let Some(c) = self.peek() else { continue };
                text.push(c);
                self.at += 1;
            }
            self.at += 1;
            let ends = |c: char| c.is_whitespace() || "(),<>=:".contains(c);
            if self.peek().is_some_and(|c| !ends(c)) {
                return Err(self.bad("a blank belongs after the quote"));
            }
            return Ok(Piece { text, at, quoted: true });
        }
        while let Some(c) = self.peek() {
            if c.is_whitespace() || c == ')' || stops.contains(&c) {
                break;
            }
            if c == '"' || c == '(' || c.is_control() {
                return Err(self.bad(format!("{c:?} belongs into quotes here")));
            }
            text.push(c);
            self.at += 1;
        }
        Ok(Piece { text, at, quoted: false })
    }

    fn term(&mut self) -> Result<Query, BadQuery> {
        let first = self.piece(&[':'])?;
        if first.quoted || self.peek() != Some(':') {
            if self.peek().is_some_and(|c| ",<>=:".contains(c)) {
                return Err(self.bad("a blank belongs after the quote"));
            }
            return Ok(Query::Term(text(first)?));
        }
        let Some(key) = Key::parse(&first.text) else {
            let remedy = suggest(&first.text, Key::ALL.iter().map(|key| key.as_str()));
            let shown = crate::strict::shorten(&first.text);
            let why = format!("{shown:?} is no key: {remedy} (quote a text that has a colon)");
            return Err(Self::bad_at(first.at, why));
        };
        self.at += 1;
        let mut all = Vec::new();
        loop {
            all.push(Query::Term(self.want(key)?));
            if !self.eat(',') {
                break;
            }
        }
        Ok(one_or(all, Query::Any))
    }

    fn want(&mut self, key: Key) -> Result<Term, BadQuery> {
        let compares = key.details() != Details::None;
        let stops: &[char] = if compares { &[',', '<', '>', '='] } else { &[','] };
        let word = self.piece(stops)?;
        let sign = Comparison::ALL.into_iter().filter(|_| compares).find(|comparison| {
            let sign = comparison.sign();
            self.rest[self.at..].iter().copied().take(sign.len()).eq(sign.chars())
        });
        let compared = match sign {
            None => None,
            Some(comparison) => {
                let at = self.at;
                self.at += comparison.sign().len();
                let value = self.piece(&[','])?;
                check_compared(key, comparison, &value).map_err(|why| Self::bad_at(at, why))?;
                Some((comparison, value.text))
            }
        };
        if compared.is_none() && (word.text.is_empty() || self.peek() == Some('"')) {
            return Err(Self::bad_at(word.at, format!("something belongs after {}:", key.as_str())));
        }
        check_word(key, &word, compared.is_some()).map_err(|why| Self::bad_at(word.at, why))?;
        Ok(Term { key, want: Want { word: Pattern::new(&word.text), compared } })
    }
}

fn is_empty(query: &Query) -> bool {
    matches!(query, Query::All(all) if all.is_empty())
}

/// One alone needs no list.
fn one_or(mut all: Vec<Query>, many: fn(Vec<Query>) -> Query) -> Query {
    match all.len() {
        1 => all.remove(0),
        _ => many(all),
    }
}

fn text(piece: Piece) -> Result<Term, BadQuery> {
    if piece.text.is_empty() {
        return Err(Reader::bad_at(piece.at, "a text or a key belongs here"));
    }
    let want = Want { word: Pattern::new(&piece.text), compared: None };
    Ok(Term { key: Key::Text, want })
}

fn check_word(key: Key, word: &Piece, compared: bool) -> Result<(), String> {
    let pattern = Pattern::new(&word.text);
    let alone = matches!(key.details(), Details::Releases | Details::Steps(_)) || key == Key::Agent;
    if compared && alone && !word.text.is_empty() {
        return Err(format!("{}: compares by itself, as in {}:>=…", key.as_str(), key.as_str()));
    }
    if key == Key::Saved && !is_name(pattern.as_str()) {
        return Err("saved searches have names of small letters, digits and hyphens".into());
    }
    match key.words().filter(|_| pattern.is_exact() && !pattern.as_str().is_empty()) {
        Some(words) if !words.contains(&pattern.as_str()) => {
            let shown = crate::strict::shorten(&word.text);
            Err(format!("{}: is never {shown:?}; {}", key.as_str(), suggest(&word.text, words.into_iter())))
        }
        _ => Ok(()),
    }
}

fn check_compared(key: Key, comparison: Comparison, value: &Piece) -> Result<(), String> {
    let text = value.text.as_str();
    let shown = crate::strict::shorten(text);
    if text.is_empty() {
        return Err(format!("something belongs after {}", comparison.sign()));
    }
    match key.details() {
        Details::Label if comparison != Comparison::Equal => {
            Err("values of labels are compared with = only".into())
        }
        Details::None | Details::Label => Ok(()),
        Details::System | Details::Releases => {
            let known = text.replace('-', ".").parse::<RpmVersion>().is_ok();
            if known { Ok(()) } else { Err(format!("{shown:?} is no release such as 6.1.0-30")) }
        }
        Details::Versions => {
            let known = text.parse::<DebVersion>().is_ok() || text.parse::<RpmVersion>().is_ok();
            if known { Ok(()) } else { Err(format!("{shown:?} is no version")) }
        }
        Details::Semver => semver::Version::parse(text)
            .map(drop)
            .map_err(|_| format!("{shown:?} is no version such as 1.2.0")),
        Details::Steps(steps) => {
            let text = super::folded(text);
            if steps.contains(&text.as_str()) {
                Ok(())
            } else {
                Err(format!("{shown:?} is no step; {}", suggest(&text, steps.iter().copied())))
            }
        }
    }
}
