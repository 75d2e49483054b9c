//! Running programs: no shell, empty environment, own process group, time limit, bounded output.

mod heard;

pub use heard::{listen, say_waiting};

use super::Fault;
use heard::Tail;
use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The search path of every program that the agent runs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Output that is kept of a command of a manifest or check: what people read; the rest is dropped.
pub const OUTPUT_BYTES: usize = 64 << 10;
/// How long output is awaited after the program ended; daemons that it started may hold the pipe for ever.
const LINGER: Duration = Duration::from_secs(2);

/// One program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Absolute path, or a name that is found in [`PATH`].
    pub program: String,
    pub arguments: Vec<String>,
    /// The whole environment besides `PATH`.
    pub env: Vec<(String, String)>,
    /// Working directory; the root of the machine when absent.
    pub cwd: Option<PathBuf>,
    pub timeout: Duration,
    /// Standard input; nothing when absent.
    pub input: Option<Vec<u8>>,
    /// Bytes of standard output that are kept; standard error keeps [`OUTPUT_BYTES`].
    pub output_bytes: usize,
    /// Whether who watches the run may read what it prints.
    pub heard: bool,
}

impl Exec {
    pub fn new<S: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            timeout: Duration::from_secs(300),
            input: None,
            output_bytes: OUTPUT_BYTES,
            heard: false,
        }
    }

    /// For programs of a step, which people watch.
    pub fn heard(mut self) -> Self {
        self.heard = true;
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For programs whose whole output is parsed.
    pub fn output_bytes(mut self, bytes: usize) -> Self {
        self.output_bytes = bytes;
        self
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; `None` when it was ended by a signal or the time limit.
    pub code: Option<i32>,
    /// Such as `ended with exit code 2` or `was ended after 300 s`.
    pub how: String,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// True when standard output was longer than asked for.
    pub cut: bool,
}

impl Ran {
    /// The last lines of what it said, standard error first if there is any; one line. Of apt's output the
    /// errors (`E: …`) are all that people need, and dpkg's, whose reason is in the line below.
    pub fn tail(&self) -> String {
        let bytes = if self.stderr.iter().all(u8::is_ascii_whitespace) { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(bytes);
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        if lines.iter().any(|l| l.starts_with("E: ")) {
            let mut below = false;
            lines.retain(|l| {
                let is_dpkg = l.starts_with("dpkg: error");
                std::mem::replace(&mut below, is_dpkg) || is_dpkg || l.starts_with("E: ")
            });
        }
        let line = lines.join(" | ");
        let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let skip = clean.chars().count().saturating_sub(600);
        clean.chars().skip(skip).collect()
    }

    /// # Errors
    /// [`Fault::Program`] unless it ended with exit code 0.
    pub fn success(self, program: &str) -> Result<Self, Fault> {
        if self.code == Some(0) {
            return Ok(self);
        }
        let output = self.tail();
        Err(Fault::Program { program: program.to_owned(), how: self.how, output })
    }
}

/// Runs the program and waits for it; the whole process group is killed at the time limit.
///
/// # Errors
/// The program cannot be started or waited for.
pub fn run(exec: &Exec) -> Result<Ran, Fault> {
    let fail = || Fault::io(format!("run {}", exec.program));
    let mut command = Command::new(&exec.program);
    command.args(&exec.arguments).env_clear().env("PATH", PATH);
    command.envs(exec.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(exec.cwd.clone().unwrap_or_else(|| PathBuf::from("/")));
    command.stdin(if exec.input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = spawn(&mut command).map_err(fail())?;
    feed(child.stdin.take(), exec.input.clone());
    let tail = || exec.heard.then(heard::of_programs).flatten().map(Tail::new);
    let stdout = Capture::start(child.stdout.take(), exec.output_bytes, tail());
    let stderr = Capture::start(child.stderr.take(), OUTPUT_BYTES, tail());
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fail())? {
            break Some(status);
        }
        if started.elapsed() >= exec.timeout {
            kill(child.id());
            child.wait().map_err(fail())?;
            break None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let (stdout, cut) = stdout.finish();
    let (stderr, _) = stderr.finish();
    let (code, how) = match status {
        Some(status) => (status.code(), describe(status)),
        None => (None, format!("was ended after {} s", exec.timeout.as_secs())),
    };
    Ok(Ran { code, how, stdout, stderr, cut })
}

/// How long a program may be open for writing before that is an error: a program that this process has just
/// written is still open in what another thread has forked, until that becomes another program.
const BUSY: Duration = Duration::from_secs(5);

fn spawn(command: &mut Command) -> std::io::Result<std::process::Child> {
    let started = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && started.elapsed() < BUSY => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Gives this process to another program, with these variables set or taken away; answers only when that fails.
pub fn replace(
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (&'static str, Option<OsString>)>,
) -> Fault {
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Fault::io(format!("become {}", program.display()))(command.exec())
}

/// Where the program of this process lies, also when another one has been put there since.
///
/// # Errors
/// The kernel's.
pub fn own_path() -> Result<PathBuf, Fault> {
    let path = std::env::current_exe().map_err(Fault::io("find the own program"))?;
    let text = path.as_os_str().as_encoded_bytes();
    Ok(match text.strip_suffix(b" (deleted)") {
        Some(text) => PathBuf::from(std::ffi::OsStr::from_bytes(text)),
        None => path,
    })
}

/// As long as it lives, requests to stop wait (SIGTERM and SIGINT); afterwards they take their course.
pub struct Deaf(SigSet);

impl Deaf {
    /// # Errors
    /// The kernel's.
    pub fn new() -> Result<Self, Fault> {
        let fail = |e: nix::errno::Errno| Fault::io("hold signals back")(e.into());
        let before = SigSet::thread_get_mask().map_err(fail)?;
        let mut held = SigSet::empty();
        held.add(nix::sys::signal::SIGTERM);
        held.add(nix::sys::signal::SIGINT);
        held.thread_block().map_err(fail)?;
        Ok(Self(before))
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        if let Err(error) = self.0.thread_set_mask() {
            tracing::error!(%error, "signals stay held back");
        }
    }
}

/// Starts a program that outlives this one, in a session of its own, with no output.
///
/// # Errors
/// It cannot be started.
pub fn detach(exec: &Exec) -> Result<(), Fault> {
    let mut command = Command::new("setsid");
    command.arg("--fork").arg(&exec.program).args(&exec.arguments).env_clear().env("PATH", PATH);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(Fault::io(format!("start {}", exec.program)))?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::Refused(format!("{} {}", exec.program, describe(status))))
}

/// Writes the input beside everything else: a program may print before it has read all, or never read.
fn feed(pipe: Option<std::process::ChildStdin>, input: Option<Vec<u8>>) {
    let (Some(mut pipe), Some(input)) = (pipe, input) else { return };
    thread::spawn(move || {
        use std::io::Write;
        if let Err(error) = pipe.write_all(&input) {
            tracing::debug!(%error, "a program did not read its input to the end");
        }
    });
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn kill(child: u32) {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    // It may have ended in this moment; waiting for it tells.
    if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
        tracing::debug!(%error, "no process group to end");
    }
}

/// Reads a pipe to its end, so that the program never waits, and keeps the first bytes of it.
struct Capture {
    kept: Arc<Mutex<(Vec<u8>, bool)>>,
    done: Receiver<()>,
}

impl Capture {
    fn start(pipe: Option<impl Read + Send + 'static>, limit: usize, mut tail: Option<Tail>) -> Self {
        let kept = Arc::new(Mutex::new((Vec::new(), false)));
        let (sender, done) = channel();
        let into = Arc::clone(&kept);
        thread::spawn(move || {
            // Dropped when the pipe ends: that is the news the other side waits for.
            let _done = sender;
            let Some(mut pipe) = pipe else { return };
            let mut piece = [0; 8 << 10];
            while let Ok(n) = pipe.read(&mut piece) {
                if n == 0 {
                    break;
                }
                if let Some(tail) = &mut tail {
                    tail.heard(&piece[..n]);
                }
                if let Ok(mut kept) = into.lock() {
                    let room = limit.saturating_sub(kept.0.len()).min(n);
                    kept.0.extend_from_slice(&piece[..room]);
                    kept.1 |= room < n;
                }
            }
            if let Some(mut tail) = tail {
                tail.tell();
            }
        });
        Self { kept, done }
    }

    fn finish(self) -> (Vec<u8>, bool) {
        if self.done.recv_timeout(LINGER) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("a process that outlives the program holds its output");
        }
        self.kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Exec {
        Exec::new("/bin/sh", ["-c", script])
    }

    #[test]
    fn environment_is_empty_but_for_what_is_given() {
        let ran = run(&sh("/usr/bin/env | /usr/bin/sort").env("A", "1")).unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        let names: Vec<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
        assert_eq!(names, ["A", "PATH", "PWD"], "{text}");
    }

    #[test]
    fn input_arrives_whole_and_need_not_be_read() {
        let mut exec = sh("wc -c");
        exec.input = Some(vec![b'x'; 300_000]);
        assert_eq!(String::from_utf8_lossy(&run(&exec).unwrap().stdout).trim(), "300000");
        exec.arguments = vec!["-c".into(), "exit 0".into()];
        assert_eq!(run(&exec).unwrap().code, Some(0));
    }

    #[test]
    fn a_program_that_is_still_open_for_writing_is_awaited() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("module");
        std::fs::write(&program, "#!/bin/sh\necho ran\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let writer = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(writer);
        });
        let ran = run(&Exec::new(program.to_str().unwrap(), Vec::<String>::new())).unwrap();
        assert_eq!(ran.stdout, b"ran\n");
        other.join().unwrap();
    }

    #[test]
    fn the_whole_group_ends_at_the_time_limit() {
        let started = Instant::now();
        let ran = run(&sh("sleep 60 & sleep 60").timeout(Duration::from_millis(200))).unwrap();
        assert_eq!((ran.code, ran.how.as_str()), (None, "was ended after 0 s"));
        // The pipe closes only because the background process is gone too.
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn of_the_package_manager_its_errors_are_told_with_their_reasons() {
        let said = "echo 'Selecting x' >&2; echo 'dpkg: error processing package x (--configure):' >&2; \
                    echo ' post-installation script failed' >&2; echo 'Errors were encountered:' >&2; \
                    echo 'E: Sub-process failed' >&2; exit 100";
        let told = "dpkg: error processing package x (--configure): | post-installation script failed | E: Sub-process failed";
        assert_eq!(run(&sh(said)).unwrap().tail(), told);
    }

    #[test]
    fn output_is_cut_and_a_daemon_does_not_hold_the_agent() {
        let ran = run(&sh("head -c 100000 /dev/zero | tr '\\0' x; echo oops >&2; exit 3").output_bytes(10))
            .unwrap();
        assert_eq!((ran.code, ran.stdout.len(), ran.cut), (Some(3), 10, true));
        assert!(ran.success("x").unwrap_err().text().contains("exit code 3: oops"));
        let started = Instant::now();
        run(&sh("setsid sleep 8 & exit 0")).unwrap();
        assert!(started.elapsed() < Duration::from_secs(7));
    }
}
