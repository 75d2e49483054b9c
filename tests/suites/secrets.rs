//! Secrets through a whole site: the value reaches the hosts that it is for, and nothing else on its way.

use shared::envelope::Envelope;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::world::{Database, NewChange};
use tests::{Said, World};

const MARKER: &str = "Zq7-marker-47113";

const BODY: &str = "parameters:
  password: {type: secret}
resources:
  - file: {path: /etc/app.conf, mode: \"0600\", template: \"password={{params.password}}\\n\"}
";

/// How the marker looks in a file, in the base64 of an envelope (whatever stands before it) and in a dump of bytes.
fn guises() -> Vec<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let base64 = |shift: usize| {
        let bytes: Vec<u8> = MARKER.bytes().skip(shift).collect();
        let whole = bytes.chunks_exact(3).flat_map(|three| {
            let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            [18, 12, 6, 0].map(|at| LETTERS[(bits >> at & 63) as usize])
        });
        whole.collect::<Vec<u8>>()
    };
    let digest = |text: &str| shared::digest::Digest::of(text.as_bytes()).hex().into_bytes();
    let mut all = vec![MARKER.as_bytes().to_vec(), digest(MARKER), digest(&format!("password={MARKER}\n"))];
    all.extend((0..3).map(base64));
    let dumped: Vec<Vec<u8>> = all.iter().map(|bytes| shared::digest::hex(bytes).into_bytes()).collect();
    all.extend(dumped);
    all
}

fn holds(bytes: &[u8]) -> Option<String> {
    let found = guises().into_iter().find(|guise| bytes.windows(guise.len()).any(|window| window == guise));
    found.map(|guise| String::from_utf8_lossy(&guise).into_owned())
}

fn find(what: &str, bytes: &[u8]) {
    let found = holds(bytes);
    assert_eq!(found, None, "{what} holds the secret");
}

/// A search that finds nothing anywhere proves nothing.
#[test]
fn the_search_finds_what_is_there() {
    for before in ["", "a", "ab"] {
        let key = shared::keys::SigningKey::from_seed(&[1; 32]);
        let envelope = Envelope::sign(format!("{before}{MARKER}").into_bytes(), &key).to_bytes();
        let dump = format!("\\x{}", shared::digest::hex(&envelope));
        for bytes in [envelope.as_slice(), dump.as_bytes(), MARKER.as_bytes()] {
            assert!(holds(bytes).is_some(), "{}", String::from_utf8_lossy(bytes));
        }
    }
    assert_eq!(holds(b"Zq7-marker-4711"), None);
}

fn walk(dir: &Path, but: &[&Path]) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if but.contains(&path.as_path()) {
            continue;
        } else if kind.is_dir() {
            files += walk(&path, but);
        } else if kind.is_file() {
            find(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
            files += 1;
        }
    }
    files
}

/// Everything that the site, its server, its agents and their logs have written, but for the managed files.
fn search(world: &World, secret_files: &[&Path]) {
    assert!(walk(&world.path(""), secret_files) > 100, "the search looks at the world");
    if world.database == Database::Postgresql {
        let dump = Said::of(Command::new("pg_dump").arg(&world.url)).ok().out;
        assert!(dump.contains("CREATE TABLE"));
        find("the database", dump.as_bytes());
    }
    for said in world.memory.said.values().flatten() {
        find("what an agent said", format!("{said}").as_bytes());
    }
}

fn encrypt(world: &World, args: &[&str]) -> Said {
    let value = world.path("value");
    let mut all =
        vec!["secret", "encrypt", "--manifest", "vault", "--trim", "--file", value.to_str().unwrap()];
    all.extend(args);
    world.assent(&all)
}

on_both! {
    fn a_secret_reaches_its_hosts_and_nobody_else(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        let value = world.file("value", &format!("{MARKER}\n"));
        let configs = ["a1", "a2"].map(|name| world.hosts[name].path("/etc/app.conf"));
        let but = [value.as_path(), &configs[0], &configs[1]];
        // A new host is never trusted silently.
        let said = encrypt(world, &["--host", "a1"]);
        assert!(said.code == 1 && said.err.contains("new") && said.err.contains(&world.hosts["a1"].agent().to_string()), "{said}");
        let secret = world.file("a1.age", &encrypt(world, &["--host", "a1", "--yes"]).ok().out);
        let again = encrypt(world, &["--host", "a1"]).ok();
        assert_ne!(again.out, fs::read_to_string(&secret).unwrap(), "confirmed hosts are not asked about again");
        world.publish("vault", "1.0.0", BODY).ok();
        let param = format!("vault.password={}", secret.display());
        let new = NewChange { manifests: &["vault@1.0.0"], more: &["--param", &param], ..NewChange::default() };
        let id = world.request(&new);
        // The host that it is not for says so before anybody approves.
        assert_eq!(world.hosts["a2"].refusal_codes(&id), ["plan.failed"]);
        assert_eq!(world.change_file(&id).line.plans, 1);
        let shown = world.assent(&["change", "show", &id]).ok().out;
        assert!(shown.contains("was not encrypted for this host") && shown.contains("password = a secret (sha256"), "{shown}");
        find("the change as shown", shown.as_bytes());
        world.assent(&["change", "withdraw", &id]).ok();
        // Encrypted again for both, from the ciphertext alone.
        let rekeyed = world.assent(&["secret", "rekey", secret.to_str().unwrap(), "--host", "a1", "--host", "a2", "--yes"]).ok();
        let both = world.file("both.age", &rekeyed.out);
        let param = format!("vault.password={}", both.display());
        let new = NewChange { manifests: &["vault@1.0.0"], more: &["--param", &param], ..NewChange::default() };
        let id = world.request_and_approve(&new);
        let shown = world.assent(&["change", "show", &id]).ok().out;
        assert!(shown.contains("create /etc/app.conf: a secret"), "{shown}");
        assert!(shown.contains(": 2 hosts"), "equal plans stay one class: {shown}");
        for (name, config) in ["a1", "a2"].iter().zip(&configs) {
            let receipt = world.tick_until_receipt(name, &id);
            assert_eq!(receipt.body.outcome.as_str(), "applied", "{:?}", receipt.body);
            assert_eq!(fs::read_to_string(config).unwrap(), format!("password={MARKER}\n"));
        }
        world.tick_all();
        let tar = world.path("evidence.tar");
        world.assent(&["export", "--change", &id, "--out", tar.to_str().unwrap()]).ok();
        search(world, &but);
        // A failing run that replaces the secret and puts it back.
        let health = format!("{BODY}health:\n  - {{name: never, command: {{run: [/bin/false], warning_is_ok: false}}, retries: 0}}\n");
        world.publish("vault", "1.1.0", &health.replace("password=", "secret=")).ok();
        let new = NewChange { manifests: &["vault@1.1.0"], more: &["--param", &param], ..NewChange::default() };
        let id = world.request_and_approve(&new);
        let receipt = world.tick_until_receipt("a1", &id);
        assert_eq!(receipt.body.outcome.as_str(), "rolled_back", "{:?}", receipt.body);
        assert_eq!(fs::read_to_string(&configs[0]).unwrap(), format!("password={MARKER}\n"));
        world.tick_all();
        search(world, &but);
    }
}
