//! What reads the words of other programs and the files of the host, for the fuzz targets of `tests/fuzz`.
//!
//! None of it may panic, overflow or take long, and what is read and written again reads as the same. In no program that
//! is installed (feature `fuzzing`).

use crate::facts::{certificates, local, users};
use crate::host::accounts::Accounts;
use crate::host::acl::Acl;
use crate::host::apt::{history, parse, status};
use crate::host::dnf::excludes;
use crate::host::fake::{Fake, Node, ROOT};
use crate::host::rpm::database;
use crate::host::survey::{hardware, mounts, sockets};
use crate::host::zypper::{self, answer, locks, metadata};
use crate::host::{Attrs, kernel, outdated, systemd};
use std::collections::BTreeSet;
use std::hint::black_box;

/// Lists, listings and simulations of apt and dpkg, and the records of both.
pub fn apt(text: &str) {
    if let Ok(installed) = parse::installed(text, "amd64") {
        assert!(installed.is_sorted_by(|a, b| a.name <= b.name));
    }
    black_box(parse::simulation(text)).ok();
    black_box((parse::stanzas(text), parse::sizes(text), parse::conffiles(text)));
    let sources = parse::sources(text);
    black_box(parse::offers(text, &sources));
    let mut supposed = status::Supposed::default();
    let (before, after) = halves(text);
    before.split("\n\n").for_each(|stanza| supposed.installed(stanza));
    let applied = supposed.apply(after);
    assert_eq!(supposed.apply(&applied), applied, "what is supposed is there already");
    let mut events: Vec<_> = before.lines().filter_map(|line| history::entry(line, "amd64")).collect();
    let all: Vec<_> = after.split("\n\n").filter_map(|block| history::told(block, "amd64")).collect();
    history::explain(&mut events, &all);
}

/// What rpm prints, the exclusions of dnf, and the locks and the record of zypper.
pub fn rpm(text: &str) {
    let rows = database::rows(text).unwrap_or_default();
    let kernels: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).take(1).collect();
    let count = rows.len();
    let entries = database::called("kernel", rows, &kernels, "x86_64");
    assert_eq!(entries.iter().map(|entry| 1 + entry.doubles.len()).sum::<usize>(), count, "none is lost");
    text.lines().for_each(|line| {
        black_box((database::conffile(line), database::damage(line), database::source(line)));
        black_box(database::spec(database::split(line).0));
    });
    let mut cause = None;
    text.lines().for_each(|line| drop(black_box(zypper::history::told(line, &mut cause))));
    let names = excludes::list(text);
    // A carriage return at the end of a line is part of the line's end when it is read again.
    if names.iter().all(|name| !name.contains('\r')) {
        assert_eq!(excludes::list(&excludes::with(text, &names)), names);
    }
    assert!(excludes::list(&excludes::with(text, &[])).is_empty());
    let locked = locks::names(text);
    assert_eq!(locks::names(&locks::without(text, &[])), locked);
    black_box(locks::without(text, &locked));
}

/// Answers of zypper, and the lists of repositories that it keeps.
pub fn xml(bytes: &[u8]) {
    drop(black_box(answer::parse(bytes)));
    metadata::listened(bytes);
}

/// What systemd and the kernel tell: units, mounts, sockets, processors, mapped files.
pub fn system(text: &str) {
    let (before, after) = halves(text);
    black_box((systemd::parse(text), systemd::join(before, after)));
    let (path, table) = text.split_once('\n').unwrap_or((text, ""));
    black_box((kernel::find(table, path), mounts::parse(text), sockets::address_of(path)));
    black_box((hardware::processor(text), hardware::online(path), hardware::memory_mib(text)));
    black_box((outdated::replaced(text, &["/usr/"]), outdated::unit_of(text)));
}

/// Tables of accounts, access control lists, certificates and files of local facts.
pub fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (before, after) = halves(&text);
    let accounts = Accounts::parse(before.as_bytes(), after.as_bytes());
    let known = users::parse(before, after, after);
    assert!(known.is_sorted_by(|a, b| a.name < b.name));
    known.iter().for_each(|user| drop(black_box(accounts.user(user.uid))));
    if let Some(list) = Acl::<u32>::decode(bytes) {
        assert_eq!(Acl::decode(&list.encode()), Some(list));
    }
    black_box(certificates::read("/etc/ssl/it.pem", bytes));
    for name in ["it.toml", "it.json"] {
        let host = Fake::default();
        let directory = || Node::Dir(Attrs { mode: 0o755, ..ROOT });
        let file = Node::File(ROOT, bytes.into());
        let path = format!("{}/{name}", local::DIR);
        let nodes = [("/etc/assent", directory()), (local::DIR, directory()), (&path, file)];
        host.world.borrow_mut().nodes.extend(nodes.map(|(path, node)| (path.to_owned(), node)));
        let mut notes = Vec::new();
        let facts = local::read(&host, &mut notes);
        assert!(facts.is_empty() || notes.is_empty(), "a file is taken whole or not at all");
    }
}

/// Two texts of one, around the first line of three dashes.
fn halves(text: &str) -> (&str, &str) {
    text.split_once("\n---\n").unwrap_or((text, text))
}
