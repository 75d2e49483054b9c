//! `assent ci list QUERY` and `assent ci search …`: entries of the CMDB by what is known of them. The server's word.

use super::{args, fits_in_words};
use crate::args::AsJson;
use crate::author::list::print_json;
use crate::change::pairs;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text, window};
use clap::Subcommand;
use shared::search::Query;
use shared::wire::{CiLine, PutSearch};

#[derive(Debug, Subcommand)]
pub enum SearchCommand {
    /// List saved searches
    #[command(after_help = "Example: assent ci search list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Save a search, or change it
    #[command(
        after_help = "Example: assent ci search save old-ssl 'package:openssl<3.0.17' --about \"patch day\"\n         assent ci list 'saved:old-ssl label:prod'"
    )]
    Save {
        /// Small letters, digits and hyphens
        name: String,
        /// What is looked for
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// What it is for
        #[arg(long, default_value = "")]
        about: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Remove a saved search that no other one uses
    #[command(after_help = "Example: assent ci search remove old-ssl")]
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        json: AsJson,
    },
}

/// Reads a search as the server does, so that a mistake is told before anything is asked.
pub fn read(text: &str) -> Done<Query> {
    text.parse().map_err(|error| {
        Failure::usage(format!("the search is not understood: {error}")).remedy("see `assent ci list --help`")
    })
}

/// Entries of all classes; labels are terms like others.
pub fn list(session: &Session, query: &[String], labels: &[String], by: &args::ByFacts, json: bool) -> Done {
    let mut query = query.join(" ");
    for (name, value) in pairs(labels)? {
        query = format!("({query}) label:{name:?}={value:?}");
    }
    read(&query)?;
    let conditions = by.query();
    let lines = session.api.cis(&query, &conditions)?;
    if json {
        return print_json(&lines);
    }
    let mut heads = session.lang.heads(Word::HeadsOfEntries);
    let told = !conditions.is_empty();
    heads.extend(told.then(|| session.lang.word(Word::HeadOfFits).to_owned()));
    let mut rows = vec![heads];
    rows.extend(lines.iter().map(|line| {
        let mut row = row(line, session);
        row.extend(told.then(|| fits_in_words(&line.matched)));
        row
    }));
    let count = session.lang.fill(Word::Found, &lines.len().to_string());
    term::print(&format!("{}{count}\n", text::table(&rows)))
}

fn row(line: &CiLine, session: &Session) -> Vec<String> {
    let system =
        [&line.os, &line.os_version].map(|part| part.as_deref().map(text::clean).unwrap_or_default());
    let reported = line
        .facts_at
        .map_or("-".to_owned(), |at| session.lang.fill(Word::Ago, &text::span(session.now.since(at))));
    vec![
        text::clean(&line.name),
        text::clean(&line.ci),
        text::clean(&line.kind),
        if line.os.is_some() { system.join(" ") } else { "-".to_owned() },
        line.agent_version.as_deref().map_or("-".to_owned(), text::clean),
        reported,
    ]
}

pub fn run(session: &Session, command: &SearchCommand) -> Done {
    match command {
        SearchCommand::List { json } => {
            let all = session.api.searches()?;
            if *json {
                return print_json(&all);
            }
            let zone = window::zone(None)?;
            let mut rows = vec![session.lang.heads(Word::HeadsOfSearches)];
            rows.extend(all.iter().map(|saved| {
                vec![
                    text::clean(&saved.name),
                    text::clean(&saved.query),
                    saved.by.to_string(),
                    window::local_in(session.lang, saved.at, &zone),
                    text::clean(&saved.about),
                ]
            }));
            term::print(&text::table(&rows))
        }
        SearchCommand::Save { name, query, about, json } => {
            let put = PutSearch { query: read(query)?.to_string(), about: about.clone() };
            session.api.save_search(name, &put)?;
            written::tell(json.json, Written::of("search", name, &put)?, "")
        }
        SearchCommand::Remove { name, json } => {
            session.api.forget_search(name)?;
            written::tell(json.json, Written::ended("search", name), "")
        }
    }
}
