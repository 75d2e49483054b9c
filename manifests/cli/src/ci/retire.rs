//! `assent ci retire` and `assent ci succeed`: drafts of changes with which hosts leave for good, or machines go on under
//! their entries with another key. Each host is known by its own signed enrolment, verified here first.

use super::args::{Retire, Succeed, Wording};
use crate::change::hosts::{Chosen, find, proven};
use crate::change::record::{self, Kind, Words};
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text};
use shared::change::{Change, Target};
use shared::digest::Digest;
use shared::wire::HostLine;

const UNDO: &str =
    "nothing brings a retired key back: the machine joins again and follows this host (assent ci succeed)";

/// A host that leaves, and the one that goes on in its place.
type Pair = (Chosen, Option<Chosen>);

pub fn retire(session: &Session, args: &Retire) -> Done {
    let known = session.api.hosts(&[])?;
    let mut pairs: Vec<Pair> = Vec::with_capacity(args.hosts.len());
    for name in &args.hosts {
        let host = find(&known, name)?;
        if let Some(change) = &host.retired_by {
            return Err(Failure::refused(format!("{} has left already, with {change}", shown(host))));
        }
        pairs.push((proven(session, host)?, None));
    }
    let names: Vec<String> = pairs.iter().map(|(host, _)| text::clean(&host.host.hostname)).collect();
    let title = session.lang.fill(Word::RetireTitle, &names.join(", "));
    draft(session, &args.wording, &title, pairs)
}

pub fn succeed(session: &Session, args: &Succeed) -> Done {
    let known = session.api.hosts(&[])?;
    let (old, new) = (find(&known, &args.old)?, find(&known, &args.new)?);
    if old.agent == new.agent {
        return Err(Failure::usage(format!("{} and {} are the same host", args.old, args.new))
            .remedy("give the agent id of the old and of the new one, see `assent ci list`"));
    }
    let (old, new) = (proven(session, old)?, proven(session, new)?);
    if old.host.host_class != new.host.host_class {
        let why = format!("it is of class {}, the old one of {}", new.host.host_class, old.host.host_class);
        return Err(Failure::refused(format!("{} cannot follow {}", shown(&new.host), shown(&old.host)))
            .why(why)
            .remedy("join the machine again with the class of the old host, or retire the old host alone"));
    }
    if !new.host.enabled {
        return Err(Failure::refused(format!("{} is disabled", shown(&new.host)))
            .remedy("enable it if it is the right machine: assent ci enable HOST"));
    }
    let title = session.lang.fill(Word::SucceedTitle, &text::clean(&old.host.hostname));
    draft(session, &args.wording, &title, vec![(old, Some(new))])
}

fn shown(host: &HostLine) -> String {
    format!("{} ({})", text::clean(&host.hostname), host.agent)
}

fn named(chosen: &Chosen) -> (Target, Digest) {
    (chosen.target, chosen.enrolment.digest)
}

fn draft(session: &Session, wording: &Wording, title: &str, mut pairs: Vec<Pair>) -> Done {
    let words = Words {
        title: wording.title.as_deref().unwrap_or(title),
        reason: &wording.reason,
        undo: wording.undo.as_deref().unwrap_or(UNDO),
        review_by: &wording.review_by,
        revise: wording.revise.as_ref(),
    };
    pairs.sort_by_key(|(host, _)| host.host.agent);
    if let Some(twice) = pairs.windows(2).find(|two| two[0].0.host.agent == two[1].0.host.agent) {
        return Err(Failure::usage(format!("{} is named twice", shown(&twice[0].0.host))));
    }
    let about = |change: Change| {
        change.retiring(pairs.iter().map(|(host, follows)| (named(host), follows.as_ref().map(named))))
    };
    let (change, line) = record::draft(session, Kind::Retirement, &words, about)?;
    if wording.json.json {
        return written::tell(true, Written::of("change", &change.change_id, &line)?, "");
    }
    let (id, state, title) = (&change.change_id, text::clean(&line.state), text::clean(&change.title));
    let mut out = format!("{id} revision {} is {state}: {title}\n", change.revision);
    for (host, follows) in &pairs {
        out.push_str(&format!("  {:<9} {}\n", session.lang.word(Word::Leaves), shown(&host.host)));
        if let Some(follows) = follows {
            let entry = text::clean(&host.host.ci);
            let word = session.lang.word(Word::GoesOn);
            out.push_str(&format!("  {word:<9} {} -> {entry}\n", shown(&follows.host)));
        }
    }
    out.push_str(&format!(
        "  {:<9} {}\n{}",
        session.lang.word(Word::Until),
        change.not_after,
        record::next(id)
    ));
    term::print(&out)
}
