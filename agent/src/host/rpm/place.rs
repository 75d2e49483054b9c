//! Where the packages of a root are, and how programs are run for it.

use crate::host::Fault;
use crate::host::process::{Exec, Ran, run};
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A full upgrade over a slow line.
pub const TRANSACTION: Duration = Duration::from_secs(4 * 3_600);
pub const LOOK: Duration = Duration::from_secs(300);
/// Listings of hosts with many packages and sources.
pub const LISTING_BYTES: usize = 64 << 20;
/// Names in one command line; these stay far below the kernel's limit on arguments.
pub const NAMES: usize = 1_000;

/// A root with rpm packages, and the agent's own directory for it.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    whole: bool,
    dir: PathBuf,
    dbpath: OnceCell<String>,
}

impl Place {
    pub fn new(root: &Path, whole: bool, dir: PathBuf) -> Self {
        Self { root: root.to_owned(), whole, dir, dbpath: OnceCell::new() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the root is the machine's own.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path of the root as programs outside of it see it.
    pub fn outside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Makes the agent's own directories.
    pub fn prepare(&self) -> Result<(), Fault> {
        let make =
            || ["store", "incoming"].iter().try_for_each(|name| fs::create_dir_all(self.dir.join(name)));
        make().map_err(Fault::io(format!("prepare {}", self.dir.display())))
    }

    /// Runs without translations; rpm's macros may ask for the home directory.
    pub fn exec(&self, exec: Exec) -> Result<Ran, Fault> {
        let program = exec.program.clone();
        let ran = run(&exec.env("LC_ALL", "C").env("HOME", "/root"))?;
        if ran.cut {
            return Err(Fault::Refused(format!("{program} printed more than {LISTING_BYTES} bytes")));
        }
        Ok(ran)
    }

    /// The rpm of the host, for this root.
    pub fn rpm<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Exec {
        let mut all: Vec<String> = Vec::new();
        if !self.whole {
            all.extend(["--root".to_owned(), self.root.display().to_string()]);
        }
        all.extend(arguments.into_iter().map(Into::into));
        Exec::new("rpm", all).timeout(LOOK).output_bytes(LISTING_BYTES)
    }

    /// All that a program printed, whatever its exit code: queries of several packages end badly when one is unknown.
    pub fn text(&self, exec: Exec) -> Result<(Ran, String), Fault> {
        let ran = self.exec(exec)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        Ok((ran, text))
    }

    /// Where the database is, which distributions differ in.
    pub fn database(&self) -> Result<PathBuf, Fault> {
        if let Some(path) = self.dbpath.get() {
            return Ok(self.outside(path));
        }
        let ran =
            self.exec(Exec::new("rpm", ["--eval", "%{_dbpath}"]).timeout(LOOK))?.success("rpm --eval")?;
        let text = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        Ok(self.outside(self.dbpath.get_or_init(|| text)))
    }

    /// Runs what changes packages. It goes on when the agent is killed: its output goes to files, and a shell notes
    /// how it ended.
    pub fn carry_out(&self, exec: Exec) -> Result<Ran, Fault> {
        const SHELL: &str = "out=$1 end=$2; shift 2; echo $$ >\"$end.pid\"; \"$@\" >\"$out\" 2>\"$out.err\"; code=$?; \
                             echo $code >\"$end.new\" && mv \"$end.new\" \"$end\"; exit $code";
        let (out, end) = (self.dir.join("transaction.out"), super::unfinished::ended(self));
        let files = [&out, &end].map(|path| path.display().to_string());
        let mut shell = Exec { program: "/bin/sh".into(), ..exec.clone() };
        shell.arguments = ["-c", SHELL, "sh"].map(str::to_owned).into_iter().chain(files).collect();
        shell.arguments.push(exec.program);
        shell.arguments.extend(exec.arguments);
        let mut ran = self.exec(shell)?;
        let read = |path: PathBuf| -> Result<Vec<u8>, Fault> {
            let mut bytes = fs::read(&path).map_err(Fault::io(format!("read {}", path.display())))?;
            bytes.truncate(LISTING_BYTES);
            Ok(bytes)
        };
        ran.stdout = read(out)?;
        ran.stderr = read(self.dir.join("transaction.out.err"))?;
        Ok(ran)
    }
}
