//! A network process that was taken over: it gets nothing out of the machine, and nothing into the agent.

use super::{Courier, Look, Prober, sandbox};
use crate::net::{Call, Carrier as _, Download, Limits, NetError, Part, Sink};
use crate::tls::Trust;
use shared::digest::Digest;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

const READY: &str = r#"printf '\000\000\000\007\000\000\000\000\000\000\000\000"ready"' >&0"#;

fn limits() -> Limits {
    let short = Duration::from_millis(300);
    Limits { connect: short, request: short, min_rate: 1_024 }
}

/// A network process of the attacker's making.
fn hostile(script: &str) -> Result<Courier, NetError> {
    let address = "127.0.0.1:1".parse().unwrap();
    Courier::start(&["/bin/sh", "-c", script], address, &Trust::Pinned(Digest::of(b"x")), limits())
}

/// A frame as shell: head and body, or lengths that lie.
fn frame(head: &str, body_length: u64) -> String {
    let octal = |bytes: &[u8]| bytes.iter().map(|b| format!("\\{b:03o}")).collect::<String>();
    let lengths = octal(&(head.len() as u32).to_be_bytes()) + &octal(&body_length.to_be_bytes());
    format!("printf '{lengths}{}' >&0", head.replace('%', "%%"))
}

fn whole(path: &str) -> Download<'_> {
    Download { path, from: 0, length: 1_000, proof: None }
}

struct Nowhere(u64);

impl Sink for Nowhere {
    fn begin(&mut self, _part: Part) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

#[test]
fn nothing_that_a_taken_over_network_process_says_does_more_than_fail() {
    let reply =
        |status: &str| format!(r#"{{"reply":{{"status":{status},"etag":null,"retry_after_secs":null}}}}"#);
    let scripts = [
        ("goes away", "exit 0".to_owned()),
        ("says nothing", "sleep 5".to_owned()),
        ("garbage", "head -c 100000 /dev/urandom >&0; sleep 5".to_owned()),
        ("endless", "cat /dev/zero >&0".to_owned()),
        (
            "endless head",
            "printf '\\377\\377\\377\\377\\000\\000\\000\\000\\000\\000\\000\\000' >&0; cat /dev/zero >&0"
                .to_owned(),
        ),
        ("larger than asked", format!("{}; cat /dev/zero >&0", frame(&reply("200"), 1 << 40))),
        ("larger than a problem", format!("{}; cat /dev/zero >&0", frame(&reply("500"), 1 << 20))),
        ("cut", format!("{}; printf x >&0; exit 0", frame(&reply("200"), 10))),
        ("late", format!("{}; printf x >&0; sleep 5", frame(&reply("200"), 10))),
        ("no status", frame(&reply("99"), 0)),
        ("not a number", frame(&reply("\"x\""), 0)),
        ("unknown", frame(r#"{"run":{"program":"/bin/sh"}}"#, 0)),
        ("a key twice", frame(r#"{"part":{"continued":true,"continued":false}}"#, 0)),
        ("out of turn", frame("\"ready\"", 0)),
        ("a part for a call", frame(r#"{"part":{"continued":true}}"#, 0)),
    ];
    let (all, mut asked) = (scripts.len(), 0);
    for (what, script) in scripts {
        // One that ends may be gone before it was asked anything; that is a failure like the others.
        let Ok(mut courier) = hostile(&format!("{READY}; {script}")) else { continue };
        asked += 1;
        let started = Instant::now();
        let done = courier.call(&Call::get("/agent/v1/work", 100));
        assert!(done.is_err(), "{what}: {done:?}");
        let mut sink = Nowhere(0);
        let done = courier.download(&whole("/agent/v1/artifacts/x"), &mut sink);
        // `late` has begun a part that never ends; nobody gets more than was asked for.
        assert!(done.is_err() && sink.0 <= 1_000, "{what}: {done:?} {}", sink.0);
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
    }
    assert!(asked > all / 2, "only {asked} of {all} were asked");
    assert!(matches!(hostile("exit 3").map(drop), Err(NetError::Unreachable { .. })));
    assert!(hostile("cat /dev/zero >&0").is_err());
    assert!(hostile("sleep 5").is_err());
}

#[test]
fn a_download_gives_no_byte_more_than_its_length() {
    let part = frame(r#"{"part":{"continued":false}}"#, 0);
    let chunk = frame("\"bytes\"", 600);
    let bytes = "head -c 600 /dev/zero >&0";
    let mut courier =
        hostile(&format!("{READY}; {part}; {chunk}; {bytes}; {chunk}; {bytes}; sleep 5")).unwrap();
    let mut sink = Nowhere(0);
    let done = courier.download(&whole("/x"), &mut sink);
    assert!(matches!(done, Err(NetError::Unreachable { .. })), "{done:?}");
    assert_eq!(sink.0, 600);
}

/// Set in the process that gives up its rights and then tries what it should not be able to do.
const PROBE: &str = "ASSENT_TEST_PROBE";

#[test]
fn a_taken_over_network_process_can_do_nothing_on_the_machine() {
    if std::env::var_os(PROBE).is_some() {
        probe();
    }
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "the host's own key").unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "courier::tests::a_taken_over_network_process_can_do_nothing_on_the_machine"]);
    let said = again.args(["--nocapture", "--test-threads=1"]).env(PROBE, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("PROBED"), "{text}");
    assert_eq!((text.matches("CAN ").count(), text.matches("CANNOT ").count()), (0, 12), "{text}");
    assert!(text.contains("NEEDED resolve names, threads and sockets"), "{text}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "the host's own key");
}

/// Tries, tells, and ends the process.
#[expect(clippy::print_stdout, reason = "the other process of the test reads it")]
fn probe() -> ! {
    let dir = std::path::PathBuf::from(std::env::var_os(PROBE).unwrap());
    let parent = nix::unistd::getppid();
    for missing in sandbox::enter() {
        println!("{missing}");
    }
    let tell = |what: &str, can: bool| println!("{} {what}", if can { "CAN" } else { "CANNOT" });
    tell("read a file of the host", std::fs::read(dir.join("secret")).is_ok());
    tell("write a file", std::fs::write(dir.join("new"), "x").is_ok());
    tell("change a file", std::fs::OpenOptions::new().append(true).open(dir.join("secret")).is_ok());
    tell("remove a file", std::fs::remove_file(dir.join("secret")).is_ok());
    tell("list /var/lib", std::fs::read_dir("/var/lib").is_ok());
    tell("read the shadow file", std::fs::read("/etc/shadow").is_ok());
    // Only Landlock is in the way of these two, and only seccomp of the third.
    tell("read what everybody may read", std::fs::read("/usr/bin/env").is_ok());
    let mine = std::env::temp_dir().join(format!("assent-probe-{}", std::process::id()));
    tell("make a file where everybody may", std::fs::File::create(mine).is_ok());
    let (crypto, sequence) = (rustix::net::AddressFamily::from_raw(38), rustix::net::SocketType::SEQPACKET);
    tell("use other families of sockets", rustix::net::socket(crypto, sequence, None).is_ok());
    tell("run a program", Command::new("/bin/true").status().is_ok());
    tell("become root", nix::unistd::setresuid(0.into(), 0.into(), 0.into()).is_ok());
    tell("signal the agent", nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGUSR1).is_ok());
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
    let thread = std::thread::spawn(|| 1).join().is_ok();
    let hosts = std::fs::read("/etc/hosts").is_ok();
    if listener && thread && hosts {
        println!("NEEDED resolve names, threads and sockets");
    }
    println!("PROBED");
    std::process::exit(0);
}

#[test]
fn a_look_through_a_taken_over_network_process_only_fails() {
    let seen = |status: &str| format!(r#"{{"seen":{{"status":{status}}}}}"#);
    let scripts = [
        ("goes away", "exit 0".to_owned()),
        ("garbage", "head -c 100000 /dev/urandom >&0; exit 0".to_owned()),
        ("larger than a body", format!("{}; cat /dev/zero >&0", frame(&seen("200"), 1 << 30))),
        ("cut", format!("{}; printf x >&0; exit 0", frame(&seen("200"), 10))),
        ("no status", frame(&seen("null"), 0)),
        ("not a number", frame(&seen("\"x\""), 0)),
        ("of another kind", frame("\"ready\"", 0)),
        ("a file of the host", frame(r#"{"not_seen":{"why":"x","path":"/etc/shadow"}}"#, 0)),
    ];
    for (what, script) in scripts {
        let prober = Prober::with(&["/bin/sh", "-c", &script]);
        let look = Look::Http { url: "http://127.0.0.1:1/".into() };
        let found = prober.look(&look, &[], Duration::from_secs(5));
        assert!(found.is_err(), "{what}: {found:?}");
    }
    let accepts = Prober::with(&["/bin/sh", "-c", &frame(&seen("200"), 0)]);
    let look = Look::Tcp { host: "127.0.0.1".into(), port: 1 };
    assert!(accepts.look(&look, &[], Duration::from_secs(5)).is_err(), "a status is no answer of a port");
}
