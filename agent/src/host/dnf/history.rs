//! The history of dnf 4, which microdnf and PackageKit write as well: one transaction after the other, by number.
//!
//! Never: a change of it, nor what a transaction does that has not ended.

use super::{Dnf, interpreter};
use crate::host::packages::{Cause, Place as Read};
use crate::host::process::Exec;
use crate::host::rpm::history::Deed;
use crate::host::rpm::place::{LISTING_BYTES, LOOK, Place};
use crate::host::{Fault, record};
use serde::Deserialize;
use serde_json::json;
use shared::time::Timestamp;
use std::fs;
use std::path::PathBuf;

/// Runs in the interpreter of the host's dnf.
const ASK: &str = include_str!("history.py");
const DATABASE: &str = "/var/lib/dnf/history.sqlite";

#[derive(Deserialize)]
struct Told {
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    id: u64,
    begun: i64,
    ended: bool,
    by: String,
    command: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    arch: String,
    evr: String,
    action: u8,
}

/// Numbers of libdnf's `TransactionItemAction`.
mod action {
    pub const INSTALL: u8 = 1;
    pub const DOWNGRADE: u8 = 2;
    pub const DOWNGRADED: u8 = 3;
    pub const OBSOLETE: u8 = 4;
    pub const OBSOLETED: u8 = 5;
    pub const UPGRADE: u8 = 6;
    pub const UPGRADED: u8 = 7;
    pub const REMOVE: u8 = 8;
}

impl Dnf {
    /// What ended since that place. A history that was begun anew is told from its beginning, one that was put back from
    /// what is younger than the last that was told.
    pub fn history(&self, place: &Place, since: Option<&Read>) -> Result<(Vec<Deed>, Read), Fault> {
        let database = place.outside(DATABASE);
        let mut standing = Vec::new();
        for end in ["", "-wal"] {
            let path = PathBuf::from(format!("{}{end}", database.display()));
            standing
                .extend(record::standing(&path).map_err(Fault::io(format!("look at {}", path.display())))?);
        }
        let last = since.filter(|since| since.record.is_some());
        if let Some(last) = last.filter(|last| last.record.as_ref() == Some(&standing)) {
            return Ok((Vec::new(), last.clone()));
        }
        let mut next = Read { record: Some(standing), ..Read::default() };
        if !database.exists() {
            return Ok((Vec::new(), next));
        }
        let Some(last) = last else {
            if let Some(newest) = transactions(place, None)?.into_iter().rfind(|one| one.ended) {
                (next.transaction, next.cause) = (newest.id, Some(newest.cause()));
            }
            return Ok((Vec::new(), next));
        };
        let mut new = transactions(place, Some(last.transaction))?;
        let is_last = |one: &Transaction| one.id == last.transaction && Some(one.cause()) == last.cause;
        if new.first().is_some_and(is_last) {
            new.remove(0);
        } else if let Some(told) = &last.cause {
            new = transactions(place, Some(0))?;
            new.retain(|one| one.cause().began > told.began);
        }
        // The one that is going on ends later; one that was broken off never does.
        if new.last().is_some_and(|newest| !newest.ended) {
            new.pop();
        }
        (next.transaction, next.cause) = match new.last() {
            Some(newest) => (newest.id, Some(newest.cause())),
            None => (last.transaction, last.cause.clone()),
        };
        Ok((new.iter().filter(|one| one.ended).flat_map(Transaction::deeds).collect(), next))
    }
}

fn transactions(place: &Place, from: Option<u64>) -> Result<Vec<Transaction>, Fault> {
    let request = place.dir().join("history.json");
    let ask = json!({ "database": place.outside(DATABASE), "from": from, "whole": place.is_whole() });
    fs::write(&request, ask.to_string()).map_err(Fault::io(format!("write {}", request.display())))?;
    let arguments = ["-I".to_owned(), "-c".into(), ASK.into(), request.display().to_string()];
    let exec = Exec::new(interpreter()?, arguments).output_bytes(LISTING_BYTES).timeout(LOOK);
    let ran = place.exec(exec)?.success("dnf (history)")?;
    Dnf::answer::<Told>(ran.stdout, "history").map(|told| told.transactions)
}

impl Transaction {
    fn cause(&self) -> Cause {
        Cause { began: Timestamp(self.begun).to_string(), command: self.command.clone(), by: self.by.clone() }
    }

    /// What came with what it took the place of, then what went.
    fn deeds(&self) -> Vec<Deed> {
        let deed = |item: &Item, from: Option<&Item>, went| Deed {
            when: Timestamp(self.begun).to_string(),
            name: item.name.clone(),
            arch: item.arch.clone(),
            evr: item.evr.clone(),
            from: from.map(|from| from.evr.clone()),
            went,
            cause: Some(self.cause()),
        };
        let replaced = |item: &Item| {
            let half = match item.action {
                action::UPGRADE => action::UPGRADED,
                action::DOWNGRADE => action::DOWNGRADED,
                _ => return None,
            };
            // A package may change between no architecture and that of the machine.
            let mut halves = self.items.iter().filter(|old| old.action == half && old.name == item.name);
            halves.clone().find(|old| old.arch == item.arch).or_else(|| halves.next())
        };
        let of =
            |actions: &'static [u8]| self.items.iter().filter(move |item| actions.contains(&item.action));
        let come = of(&[action::INSTALL, action::UPGRADE, action::DOWNGRADE, action::OBSOLETE]);
        let gone = of(&[action::REMOVE, action::OBSOLETED, action::UPGRADED, action::DOWNGRADED]);
        let come = come.map(|item| deed(item, replaced(item), false));
        come.chain(gone.map(|item| deed(item, None, true))).collect()
    }
}
