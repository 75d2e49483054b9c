//! dnf 4, through its own library: what a small program in its language answers is read as data.
//!
//! Never: the command line's tables, which are made for people, nor a key that the host does not have as a file.

pub(crate) mod excludes;
mod history;
mod keys;

use super::packages::{Mark, PackageChange};
use super::process::Exec;
use super::rpm::Wish;
use super::rpm::database::{Row, split};
use super::rpm::offers::{Catalogue, Item};
use super::rpm::place::{LISTING_BYTES, LOOK, NAMES, Place, TRANSACTION};
use super::rpm::transact::Work;
use super::settings;
use super::{Fault, lock};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Runs in the interpreter of the host's dnf.
const ASK: &str = include_str!("dnf/ask.py");
/// Where dnf and its relatives keep their own interpreter's name, in their first line.
const PROGRAMS: [&str; 3] = ["/usr/bin/dnf-3", "/usr/bin/dnf", "/usr/bin/yum"];
const CONF: &str = "/etc/dnf/dnf.conf";

#[derive(Debug, Default)]
pub struct Dnf;

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Refused { refused: String },
    Done(T),
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Files {
    files: Vec<Downloaded>,
}

/// A file that dnf has brought; below a repository on this machine it lies where it was.
#[derive(Deserialize)]
struct Downloaded {
    path: PathBuf,
    /// Whether the repository's packages must be signed.
    checked: bool,
    keys: Vec<String>,
    repo: String,
}

/// What the first line of dnf's own program names; dnf 5 is compiled and has none.
fn interpreter() -> Result<String, Fault> {
    for program in PROGRAMS {
        let Ok(file) = fs::File::open(program) else { continue };
        let mut line = String::new();
        if BufReader::new(file.take(256)).read_line(&mut line).is_err() {
            continue;
        }
        let name = line.strip_prefix("#!").and_then(|rest| rest.split_whitespace().next());
        if let Some(name) = name.filter(|name| name.contains("python")) {
            return Ok(name.to_owned());
        }
    }
    Err(Fault::Refused("this host has no dnf 4, so its packages cannot be managed".into()))
}

fn exact(wish: &Wish) -> Vec<Value> {
    let one = |w: &super::rpm::Exact| json!({ "name": w.name, "arch": w.archs, "evr": w.evr });
    wish.install.iter().map(one).collect()
}

fn gone(rows: &[Row]) -> Vec<Value> {
    let one = |row: &Row| json!({ "name": row.name, "arch": row.arch, "evr": row.evr });
    rows.iter().map(one).collect()
}

impl Dnf {
    /// The program with the request in a file: names of many packages are more than an argument may hold.
    fn exec(place: &Place, mut ask: Value) -> Result<Exec, Fault> {
        let dir = place.dir();
        if let Some(ask) = ask.as_object_mut() {
            ask.insert("root".into(), json!(place.root()));
            ask.insert("whole".into(), json!(place.is_whole()));
            ask.insert("dir".into(), json!(dir.join("dnf")));
            ask.insert("conf".into(), json!(place.outside(CONF)));
            ask.insert("persist".into(), json!(place.outside("/var/lib/dnf")));
        }
        let request = dir.join("request.json");
        let write = || {
            fs::create_dir_all(dir.join("dnf"))?;
            fs::write(&request, ask.to_string())
        };
        write().map_err(Fault::io(format!("write {}", request.display())))?;
        let arguments = ["-I".to_owned(), "-c".into(), ASK.into(), request.display().to_string()];
        Ok(Exec::new(interpreter()?, arguments).output_bytes(LISTING_BYTES))
    }

    fn ask<T: DeserializeOwned>(place: &Place, ask: Value) -> Result<T, Fault> {
        let what = ask["do"].as_str().unwrap_or_default().to_owned();
        let slow = ["refresh", "download"].contains(&what.as_str());
        let exec = Self::exec(place, ask)?.timeout(if slow { TRANSACTION } else { LOOK });
        let ran = place.exec(exec)?;
        Self::answer(ran.success(&format!("dnf ({what})"))?.stdout, &what)
    }

    fn answer<T: DeserializeOwned>(bytes: Vec<u8>, what: &str) -> Result<T, Fault> {
        match serde_json::from_slice(&bytes) {
            Ok(Answer::Done(answer)) => Ok(answer),
            Ok(Answer::Refused { refused }) => Err(Fault::Refused(format!("dnf: {refused}"))),
            Err(e) => Err(Fault::Refused(format!("dnf ({what}) gave an answer that cannot be read: {e}"))),
        }
    }

    pub fn refresh(&self, place: &Place) -> Result<(), Fault> {
        Self::ask::<Value>(place, json!({ "do": "refresh" })).map(drop)
    }

    pub fn listed(&self, place: &Place, names: &[&str]) -> Result<Catalogue, Fault> {
        // Those on hold are looked at, too: what they miss is to be told.
        Self::ask(place, json!({ "do": "listed", "names": names, "free": ["*"] }))
    }

    pub fn solve(&self, place: &Place, wish: &Wish) -> Result<Vec<Item>, Fault> {
        let ask = json!({
            "do": "solve", "install": exact(wish), "remove": gone(&wish.remove), "free": wish.free,
        });
        Ok(Self::ask::<Items>(place, ask)?.items)
    }

    pub fn rehearse(&self, place: &Place, work: &Work) -> Result<Vec<Item>, Fault> {
        let ask = json!({ "do": "rehearse", "files": work.files, "remove": gone(&work.remove) });
        Ok(Self::ask::<Items>(place, ask)?.items)
    }

    pub fn commit(&self, place: &Place, work: &Work) -> Result<(), Fault> {
        let ask = json!({ "do": "commit", "files": work.files, "remove": gone(&work.remove) });
        let ran = place.carry_out(Self::exec(place, ask)?.timeout(TRANSACTION))?;
        if ran.stdout.is_empty() {
            ran.success("dnf (commit)")?;
            return Err(Fault::Refused("dnf (commit) gave no answer".into()));
        }
        Self::answer::<Items>(ran.stdout, "commit").map(drop)
    }

    pub fn download(&self, place: &Place, wanted: &[&PackageChange], into: &Path) -> Result<(), Fault> {
        for wanted in wanted.chunks(NAMES) {
            let one = |c: &&PackageChange| json!({ "name": split(&c.name).0, "arch": c.arch, "evr": c.to, "sha256": c.sha256 });
            let install: Vec<Value> = wanted.iter().map(one).collect();
            let free: Vec<&str> = wanted.iter().map(|c| split(&c.name).0).collect();
            let ask = json!({ "do": "download", "install": install, "into": into, "free": free });
            let files = Self::ask::<Files>(place, ask)?.files;
            let signed = files.iter().filter(|file| file.checked);
            let repos: BTreeMap<&str, &Downloaded> =
                signed.clone().map(|file| (file.repo.as_str(), file)).collect();
            for (repo, first) in repos {
                let own = signed.clone().filter(|file| file.repo == repo).map(|file| file.path.as_path());
                keys::check(place, &own.collect::<Vec<_>>(), &first.keys, repo)?;
            }
            for file in &files {
                if !file.path.starts_with(into) {
                    let name = file.path.file_name().unwrap_or_default();
                    fs::copy(&file.path, into.join(name))
                        .map_err(Fault::io(format!("copy {}", file.path.display())))?;
                }
            }
        }
        Ok(())
    }

    pub fn holds(&self, place: &Place) -> Result<Vec<String>, Fault> {
        Ok(excludes::list(&settings::read(&place.outside(CONF))?))
    }

    pub fn mark(&self, place: &Place, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        match mark {
            Mark::Hold => excludes::change(&place.outside(CONF), names, &[]),
            Mark::Unhold => excludes::change(&place.outside(CONF), &[], names),
            Mark::Auto => Self::ask::<Value>(place, json!({ "do": "auto", "names": names })).map(drop),
        }
    }

    pub fn holder(&self, place: &Place) -> Result<Option<String>, Fault> {
        const USERS: [&str; 5] = ["dnf", "dnf-3", "yum", "dnf-automatic", "packagekitd"];
        for name in ["rpmdb_lock.pid", "download_lock.pid"] {
            if let Some(holder) = lock::of_number(&place.outside("/var/lib/dnf").join(name), &USERS)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}
