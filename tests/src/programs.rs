//! The programs under test, the tools that tests need, and the one way to skip.

use shared::release;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// One of our own programs, beside the test executable.
///
/// # Panics
/// It was not built.
pub fn own(name: &str) -> PathBuf {
    let path = place(name);
    assert!(path.exists(), "{} is missing; run cargo build --workspace --bins first", path.display());
    path
}

/// Where it is: beside what runs, and for benches the agent as it is installed (profile `dist`).
///
/// # Panics
/// The place of what runs is not known.
pub fn place(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let dir = here.parent().and_then(Path::parent).unwrap();
    if name == "assent-agent" && dir.ends_with("release") {
        return dir.with_file_name("dist").join(name);
    }
    dir.join(name)
}

/// Whether a tool is installed; when it is not, the test is skipped under `name` (a failure when CI=true).
pub fn has_tool(name: &str, tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()));
    if !found {
        skip(name, &format!("{tool} is not installed"));
    }
    found
}

/// Records that a test could not run here.
///
/// # Panics
/// When CI=true: what CI skips is not tested anywhere.
pub fn skip(name: &str, reason: &str) {
    assert!(!std::env::var("CI").is_ok_and(|v| v == "true"), "{name}: {reason}");
    let Some(file) = std::env::var_os("ASSENT_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{name}: {reason}\n").as_bytes()).unwrap();
}

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub command: String,
    /// Exit code; -1 when it was killed.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self::from(&format!("{command:?}"), &output)
    }

    pub fn from(command: &str, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            command: command.into(),
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// The rest of the first line that has this label.
    ///
    /// # Panics
    /// No line has it.
    pub fn after(&self, label: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.split_once(label));
        line.unwrap_or_else(|| panic!("no {label:?}: {self}")).1.trim()
    }

    /// Both outputs, for searching.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// # Panics
    /// It did not end with 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// # Panics
    /// It did not refuse (exit code 1) with this text.
    pub fn refused(self, text: &str) -> Self {
        assert!(self.code == 1 && self.all().contains(text), "expected a refusal with {text:?}: {self}");
        self
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended with {}\n{}{}", self.command, self.code, self.out, self.err)
    }
}

/// Our agent as another version of itself, in `dir`: a stripped copy in which only the mark differs.
///
/// # Panics
/// The versions have texts of different length.
pub fn agent_as(version: &str, dir: &Path) -> PathBuf {
    let to = dir.join(format!("assent-agent-{version}"));
    let mut strip = Command::new("strip");
    Said::of(strip.arg("-o").arg(&to).arg(own("assent-agent"))).ok();
    let mut bytes = std::fs::read(&to).unwrap();
    let (old, target) = release::marked(&bytes).unwrap();
    let [old, new] =
        [old.to_string().as_str(), version].map(|v| release::mark(v, &target.to_string()).into_bytes());
    assert_eq!(old.len(), new.len(), "both marks have one length");
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(&new);
    std::fs::write(&to, bytes).unwrap();
    to
}

/// How often the threads of a process have gone to sleep by themselves (`proc_pid_status(5)`).
///
/// # Panics
/// There is no such process.
pub fn sleeps(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let count = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    tasks.filter_map(count).sum()
}
