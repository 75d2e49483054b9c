//! `assent token …`: a person's own tokens for programs, each with less than the person may do.

pub mod args;

use crate::author::list::print_json;
use crate::clock;
use crate::error::Done;
use crate::lang::Word;
use crate::net::api::{NewToken, TokenLine};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{files, term, text, window};
use args::TokenCommand;
use shared::digest::{Digest, hex};
use std::path::Path;
use zeroize::Zeroizing;

pub fn run(session: &Session, command: &TokenCommand) -> Done {
    match command {
        TokenCommand::List { json: true } => print_json(&session.api.tokens()?),
        TokenCommand::List { json: false } => list(session, &session.api.tokens()?),
        TokenCommand::New { name, scope, days, out, json } => {
            new(session, (name, scope, *days), (out.as_deref(), json.json))
        }
        TokenCommand::End { sha256, json } => {
            session.api.end_token(sha256)?;
            written::tell(json.json, Written::ended("token", sha256), &format!("{sha256} has ended\n"))
        }
    }
}

fn list(session: &Session, lines: &[TokenLine]) -> Done {
    let zone = window::zone(None)?;
    let mut rows = vec![session.lang.heads(Word::HeadsOfTokens)];
    rows.extend(lines.iter().map(|line| {
        let scopes = line.scopes.as_ref().map(|scopes| {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            text::clean(&scopes.join(" "))
        });
        vec![
            line.name.as_deref().map_or_else(|| "-".to_owned(), text::clean),
            scopes.unwrap_or_else(|| session.lang.word(Word::All).to_owned()),
            line.expires.map_or_else(|| "-".to_owned(), |at| window::local_in(session.lang, at, &zone)),
            line.sha256.to_string(),
        ]
    }));
    term::print(&text::table(&rows))
}

/// The secret is written before the server knows it: a token that nobody has would be good for days.
fn new(
    session: &Session,
    (name, scopes, days): (&str, &[String], u32),
    (out, json): (Option<&Path>, bool),
) -> Done {
    let secret = Zeroizing::new(hex(&clock::random::<32>()?));
    let token = NewToken { name, scopes, days, token_sha256: Digest::of(secret.as_bytes()) };
    files::write_ahead(out, format!("{}\n", *secret).as_bytes(), || session.api.new_token(&token))?;
    if json {
        let sha256 = token.token_sha256;
        let mut now = serde_json::json!({ "name": name, "scopes": scopes, "days": days });
        if out.is_none() {
            now["secret"] = serde_json::json!(*secret);
        }
        return written::tell(json, Written::of("token", sha256, &now)?, "");
    }
    match out {
        Some(path) => term::print(&format!("{}: token {}\n", path.display(), text::clean(name))),
        None => term::print(&format!("{}\n", *secret)),
    }
}
