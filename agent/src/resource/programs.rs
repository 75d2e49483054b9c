//! Which files of the host a command line runs, and their digests: what binds a command to bytes.
//!
//! Bound are the program and the scripts among the arguments: what this change brings, what begins with `#!`,
//! what an interpreter is given, and every executable outside the places of packages. Not bound here: what a
//! package of the same change brings (its digest is), other programs of packages, and what a program runs in turn.

use crate::host::{Entry, Fault, Host};
use shared::digest::Digest;
use shared::manifest::Argv;
use shared::plan::{Action, HealthProgram, same_programs};
use shared::strict::Map;

/// Scripts are far smaller; a larger file is bound when it can be executed, and not searched for `#!`.
const SCRIPT_BYTES: u64 = 4 << 20;
/// Places that belong to the package manager: what lies there changes with every security update.
const PACKAGED: [&str; 9] = [
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/libexec/",
    "/usr/share/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib64/",
];
/// Programs whose first file argument is what they run. Versions are cut off before comparing.
const INTERPRETERS: [&str; 27] = [
    "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "python", "pypy", "perl", "ruby", "node",
    "nodejs", "php", "lua", "luajit", "tclsh", "expect", "awk", "gawk", "mawk", "sed", "make", "java",
    "pwsh", "Rscript",
];

/// What is known besides the host as it is.
#[derive(Clone, Copy)]
pub struct Coming<'c> {
    /// Digest of the contents that earlier steps of the plan give a path.
    pub file: &'c dyn Fn(&str) -> Option<Digest>,
    /// Steps of the plan: their packages bring files of their own.
    pub actions: &'c [Action],
}

impl<'c> Coming<'c> {
    /// All files are in place.
    pub fn done(actions: &'c [Action]) -> Self {
        Self { file: &|_| None, actions }
    }
}

/// The files that the lines run, by the path as written, with their digests.
///
/// # Errors
/// The machine's, or a link on the way belongs to another account.
pub fn bound(lines: &[&Argv], coming: Coming<'_>, host: &impl Host) -> Result<Map<String, Digest>, Fault> {
    let mut programs = Map::default();
    for line in lines {
        for (path, runs) in candidates(line.as_slice()) {
            if let Some(digest) = digest(&path, runs, coming, host)? {
                programs.insert(path, digest);
            }
        }
        if let Some((path, digest)) = script(line.as_slice(), coming, host)? {
            programs.insert(path, digest);
        }
    }
    Ok(programs)
}

/// Absolute paths of the line; the first is run itself.
fn candidates(line: &[String]) -> impl Iterator<Item = (String, bool)> {
    let paths = line.iter().enumerate().filter(|(_, item)| item.starts_with('/'));
    paths.map(|(n, item)| (item.clone(), n == 0))
}

fn is_interpreter(item: &str) -> bool {
    let name = item.rsplit('/').next().unwrap_or(item);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name)
}

/// The script that an interpreter of the line is given: its first argument that is a file. Relative ones lie
/// below the working directory, which is the root.
fn script(line: &[String], coming: Coming<'_>, host: &impl Host) -> Result<Option<(String, Digest)>, Fault> {
    let after = line.iter().skip_while(|item| !is_interpreter(item)).skip(1);
    // Text of a program (`-c`) is no path, and the line itself binds it.
    let path = |item: &&String| {
        !item.starts_with('-') && !item.is_empty() && item.len() < 4096 && !item.contains('\n')
    };
    for item in after.filter(path) {
        let absolute = if item.starts_with('/') { item.clone() } else { format!("/{item}") };
        if let Some(digest) = digest(&absolute, true, coming, host)? {
            return Ok(Some((absolute, digest)));
        }
    }
    Ok(None)
}

/// The digest that binds `path`, unless it is no file, or none that is run. `runs`: nothing but running it is
/// meant, whatever it looks like.
fn digest(path: &str, runs: bool, coming: Coming<'_>, host: &impl Host) -> Result<Option<Digest>, Fault> {
    if let Some(digest) = (coming.file)(path) {
        return Ok(Some(digest));
    }
    let Some(real) = host.real(path)? else { return Ok(None) };
    if let Some(digest) = (coming.file)(&real) {
        return Ok(Some(digest));
    }
    for pin in coming.actions.iter().filter_map(|action| action.package.as_ref()) {
        if pin.to.is_some() && host.ships(&pin.name, &real)? {
            return Ok(None);
        }
    }
    let Entry::File { attrs, .. } = host.look(&real)? else { return Ok(None) };
    let packaged = PACKAGED.iter().any(|place| real.starts_with(place));
    let scan = host.scan(&real, SCRIPT_BYTES)?;
    let is_script = scan.content.as_deref().is_some_and(|bytes| bytes.starts_with(b"#!"));
    let is_run = is_script || (!packaged && (runs || attrs.mode & 0o111 != 0));
    Ok(if is_run { scan.digest } else { None })
}

/// Checks right before running that the lines run what was approved.
///
/// # Errors
/// The first file that differs.
pub fn check(
    what: &str,
    lines: &[&Argv],
    coming: Coming<'_>,
    approved: &Map<String, Digest>,
    host: &impl Host,
) -> Result<(), Fault> {
    let mut now = bound(lines, coming, host)?;
    // What the change itself brings was bound whatever it is: once it is in place, nothing else shows that.
    let missing: Vec<&String> = approved.keys().filter(|path| now.get(path.as_str()).is_none()).collect();
    for path in missing {
        if let Some(real) = host.real(path)?
            && let Some(digest) = host.scan(&real, 0)?.digest
        {
            now.insert(path.clone(), digest);
        }
    }
    same_programs(what, &now, approved).map_err(|refused| Fault::Refused(refused.message))
}

/// Program, arguments and bound files of a health check.
///
/// # Errors
/// The machine's.
pub fn of_health(
    check: &str,
    run: &Argv,
    coming: Coming<'_>,
    host: &impl Host,
) -> Result<HealthProgram, Fault> {
    Ok(HealthProgram { check: check.to_owned(), run: run.clone(), programs: bound(&[run], coming, host)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Attrs;
    use crate::host::fake::{Fake, Node};

    fn host() -> Fake {
        let fake = Fake::default();
        for (path, mode, text) in [
            ("/srv/run", 0o755, "\u{7f}ELF"),
            ("/srv/plain", 0o644, "echo"),
            ("/srv/data", 0o644, "1"),
            ("/srv/hash", 0o644, "#!/bin/sh"),
            ("/usr/bin/tool", 0o755, "\u{7f}ELF"),
            ("/usr/bin/script", 0o755, "#!/bin/sh"),
        ] {
            let attrs = Attrs { uid: 0, gid: 0, mode };
            fake.world.borrow_mut().nodes.insert(path.into(), Node::File(attrs, text.into()));
        }
        fake.world.borrow_mut().nodes.insert("/srv/link".into(), Node::Link("/srv/plain".into()));
        fake
    }

    #[test]
    fn what_a_line_runs_is_bound_and_what_it_reads_is_not() {
        let host = host();
        for (line, paths) in [
            (&["/srv/run", "/srv/data"][..], &["/srv/run"][..]),
            (&["/usr/bin/tool", "/srv/data"], &[]),
            (&["/usr/bin/tool", "/srv/hash"], &["/srv/hash"]),
            (&["/usr/bin/tool", "/srv/run"], &["/srv/run"]),
            (&["/usr/bin/script"], &["/usr/bin/script"]),
            (&["/srv/link"], &["/srv/link"]),
            (&["/srv/none"], &[]),
            (&["/bin/sh", "-e", "/srv/plain", "/srv/data"], &["/srv/plain"]),
            (&["/usr/bin/python3.11", "srv/plain"], &["/srv/plain"]),
            (&["/usr/bin/env", "A=1", "perl", "-w", "/srv/plain"], &["/srv/plain"]),
            (&["/bin/sh", "-c", "echo /srv/plain"], &[]),
        ] {
            let words: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
            let argv = Argv::try_from(words).unwrap();
            let found = bound(&[&argv], Coming::done(&[]), &host).unwrap();
            assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), paths, "{line:?}");
        }
    }

    #[test]
    fn what_an_earlier_step_brings_counts_before_what_is_there() {
        let host = host();
        let argv = Argv::try_from(vec!["/bin/sh".to_owned(), "/srv/link".to_owned()]).unwrap();
        let brought = Digest::of(b"new");
        let file = |path: &str| (path == "/srv/plain").then_some(brought);
        let found = bound(&[&argv], Coming { file: &file, actions: &[] }, &host).unwrap();
        assert_eq!(found.get("/srv/link"), Some(&brought));
    }
}
