//! Evidence bundles: fetched from the server, verified here with what auditors run.

use crate::args::Global;
use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::profile::Profile;
use crate::session::Session;
use crate::written::{self, Written};
use crate::{archive, files, term, text, window};
use serde::Serialize;
use shared::digest::Digest;
use shared::evidence::{self, Files, Report};
use shared::former::{Former, Kept};
use shared::ids::ChangeId;
use shared::time::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// As long as a host may have made it.
const FORMER_BYTES: usize = 64 << 20;

#[derive(Serialize)]
#[serde(untagged)]
enum Wish<'a> {
    Change { change_id: &'a ChangeId },
    Period { from: Timestamp, to: Timestamp },
}

/// Streams the bundle to disk; the file appears under its name only when it is whole.
pub fn export(
    session: &Session,
    (change, period): (Option<&ChangeId>, Option<&str>),
    (out, json): (&Path, bool),
) -> Done {
    let wish = match (change, period) {
        (Some(change_id), _) => Wish::Change { change_id },
        (None, Some(text)) => {
            let period = window::period(text)?;
            Wish::Period { from: period.from, to: period.until }
        }
        (None, None) => return Err(Failure::usage("nothing to export").remedy("give --change or --period")),
    };
    let part = files::beside(out, ".part");
    match fetch(session, &wish, &part) {
        Ok(length) => {
            files::rename(&part, out)?;
            let shown = out.display();
            let words = format!("{shown} written, {length} bytes\nnext: assent verify {shown}\n");
            let now = serde_json::json!({ "bytes": length });
            written::tell(json, Written::of("bundle", shown, &now)?, &words)
        }
        Err(failure) => {
            // The first failure is the one to tell; a left-over part is overwritten by the next export.
            let _left_over = std::fs::remove_file(&part);
            Err(failure)
        }
    }
}

/// Bytes written; durable.
fn fetch(session: &Session, wish: &Wish<'_>, part: &Path) -> Done<usize> {
    let failed = format!("could not write {}", part.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part);
    let mut file = file.or_fault(&*failed)?;
    let mut length = 0;
    session.api.export(wish, &mut |piece| {
        length += piece.len();
        file.write_all(piece).or_fault(&*failed)
    })?;
    file.sync_all().or_fault(&*failed)?;
    Ok(length)
}

/// What `assent verify --json` says.
#[derive(Serialize)]
struct Verdict {
    holds: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_sha256: Option<Digest>,
    checked: Vec<Checked>,
    remarks: Vec<String>,
    flaws: Vec<String>,
    /// Entries of the ledger in the earlier bundle, and in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    grown: Option<(u64, u64)>,
}

#[derive(Serialize)]
struct Checked {
    count: usize,
    what: &'static str,
}

/// Verifies a bundle without any server. Refused when anything does not hold.
pub fn verify(
    global: &Global,
    bundle: &Path,
    (root, previous): (Option<Digest>, Option<&Path>),
    json: bool,
) -> Done {
    term::for_programs(json);
    let root = match (root, &global.site) {
        (Some(root), _) => Some(root),
        (None, Some(dir)) => Some(Profile::open(Some(dir))?.config.root_sha256),
        (None, None) => None,
    };
    if let Some(former) = former(bundle)? {
        return check_former(bundle, &former, root, json);
    }
    let files = archive::read(bundle)?;
    let report = evidence::verify(&files, root);
    term::print(&rendered(&report, root.is_some()))?;
    let grown = match report.is_good() {
        true => previous.map(|previous| follows(&files, previous, report.root_sha256)).transpose(),
        false => Err(Failure::refused(format!(
            "{} does not hold (flaws: {})",
            bundle.display(),
            report.flaws.len()
        ))
        .remedy("ask for a new export, and keep this one as it is")),
    };
    if json {
        let flaws = report.flaws.iter().map(ToString::to_string);
        let broken = grown.as_ref().err().filter(|_| report.is_good()).map(|failure| failure.message.clone());
        print_json(&Verdict {
            holds: grown.is_ok(),
            root_sha256: report.root_sha256,
            checked: report.checked.iter().map(|&(count, what)| Checked { count, what }).collect(),
            flaws: flaws.chain(broken).collect(),
            grown: grown.as_ref().ok().copied().flatten(),
            remarks: report.remarks,
        })?;
    }
    grown.map(drop)
}

/// What `assent-agent former export` wrote, if the file is of that kind: a JSON document and no archive.
fn former(bundle: &Path) -> Done<Option<Former>> {
    if bundle.is_dir() {
        return Ok(None);
    }
    let shown = bundle.display();
    let mut first = [0];
    let mut file = File::open(bundle).or_refuse(format!("cannot read {shown}"))?;
    if !matches!(file.read(&mut first), Ok(1) if first == *b"{") {
        return Ok(None);
    }
    let bytes = files::read(bundle, FORMER_BYTES)?;
    Former::parse(&bytes).map(Some).or_refuse(format!("{shown} does not hold"))
}

/// Signed words of one host and their order; no ledger stands behind them.
fn check_former(file: &Path, former: &Former, root: Option<Digest>, json: bool) -> Done {
    let shown = file.display();
    if let Some(root) = root.filter(|root| *root != former.root) {
        let why = format!("its first root is {}, expected {root}", former.root);
        return Err(Failure::refused(format!("{shown} is of another site")).why(why));
    }
    let kept = former.check().or_refuse(format!("{shown} does not hold"))?;
    if json {
        let said = |one: &Kept| {
            serde_json::json!({
                "seq": one.seq, "at": one.at, "kind": one.kind, "about": one.about, "statement": one.digest,
                "delivered": one.delivered,
            })
        };
        return print_json(&serde_json::json!({
            "holds": true, "agent": former.agent, "site": former.site, "root_sha256": former.root,
            "statements": kept.iter().map(said).collect::<Vec<_>>(),
        }));
    }
    let rows: Vec<_> = kept
        .iter()
        .map(|one| {
            let delivered = if one.delivered { "" } else { "not delivered" };
            [&one.seq.to_string(), &one.at.to_string(), one.kind, &text::clean(&one.about), delivered]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    term::print(&format!(
        "{}host {} at site {} (first root {}): {} statements, signed by it, in the order of its chain\n\
         no ledger proves that the site had them\n",
        text::table(&rows),
        former.agent,
        former.site,
        former.root,
        kept.len()
    ))
}

/// An earlier bundle of the same site that holds by itself, and whose ledger this one goes on from.
fn follows(files: &Files, previous: &Path, root: Option<Digest>) -> Done<(u64, u64)> {
    let shown = previous.display();
    let earlier = archive::read(previous)?;
    let report = evidence::verify(&earlier, root);
    if let Some(flaw) = report.flaws.first() {
        return Err(Failure::refused(format!("the earlier bundle {shown} does not hold")).why(flaw));
    }
    let sizes = evidence::follows(&earlier, files);
    let (before, now) = sizes.or_refuse(format!("this bundle does not follow {shown}"))?;
    term::print(&format!("the ledger has only grown since {shown}: from {before} to {now} entries\n"))?;
    Ok((before, now))
}

fn rendered(report: &Report, pinned: bool) -> String {
    let mut out = String::new();
    let rows: Vec<_> =
        report.checked.iter().map(|(n, what)| vec![format!("checked {n:>6}"), (*what).to_owned()]).collect();
    out.push_str(&text::table(&rows));
    for remark in &report.remarks {
        out.push_str(&format!("remark: {}\n", text::clean(remark)));
    }
    for flaw in &report.flaws {
        out.push_str(&format!("FLAW: {}\n", text::clean(&flaw.to_string())));
    }
    if let Some(root) = report.root_sha256 {
        let note = if pinned { "as expected" } else { "compare it with the one that the site gave you" };
        let note = if pinned && !report.is_good() { "see the flaws" } else { note };
        out.push_str(&format!("first root {root} ({note})\n"));
    }
    if report.is_good() {
        out.push_str("everything in this bundle holds\n");
    }
    out
}
