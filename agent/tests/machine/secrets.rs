//! Secrets on real private roots: they arrive, and nothing that leaves the host or stays beside them tells them.

use super::files::Bench;
use super::support::secret::{OTHER, OWN, encrypted, sealed, sealed_for};
use super::support::site::{Site, from_json};
use agent::journal::Outcome;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::plan::{Action, UndoContract};
use shared::receipt::HostOutcome;
use shared::strict;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What must not be found anywhere, also not as a digest: five digits are guessed in a moment.
const PASSWORD: &str = "47113";
const OLD: &str = "08154";

fn manifest(resources: Value) -> Site {
    let parameters = json!({
        "password": { "type": "secret", "default": { "secret": sealed(&[OWN, OTHER], "app", PASSWORD.as_bytes()) } },
        "unused": { "type": "secret", "default": { "secret": sealed(&[OTHER], "app", b"for another host") } },
        "user": { "type": "string", "default": "app" },
    });
    let text =
        json!({ "manifest": "app", "version": "1.0.0", "parameters": parameters, "resources": resources });
    Site::new(vec![from_json(&text)])
}

fn both_ways() -> Value {
    json!([
        { "file": { "path": "/srv/plain", "mode": "0600", "content": { "secret": sealed(&[OWN], "app", PASSWORD.as_bytes()) } } },
        { "file": { "path": "/srv/app.conf", "mode": "0640", "template": "user={{params.user}}\npassword={{params.password}}\n" } },
        { "file": { "path": "/srv/public", "template": "user={{params.user}}\n" } },
    ])
}

/// Every text that tells the secret, or lets somebody find it by trying: the value, and plain digests of it and of
/// the files that hold it.
fn telling(password: &str) -> Vec<String> {
    let contents = [password.to_owned(), format!("{password}\n"), format!("user=app\npassword={password}\n")];
    let digests = contents.iter().map(|text| Digest::of(text.as_bytes()).hex());
    [password.to_owned()].into_iter().chain(digests).collect()
}

fn silent(what: &str, text: &str) {
    for told in telling(PASSWORD).into_iter().chain(telling(OLD)) {
        assert!(!text.contains(&told), "{what} tells the secret ({told}): {text}");
    }
}

/// No file below the agent's own directory tells the value.
fn nothing_in(dir: &Path, but: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nothing_in(&path, but);
        } else if !but(&path) {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            silent(&path.display().to_string(), &text);
        }
    }
}

fn told(plan: &[Action], outcome: Option<&Outcome>) {
    silent("the plan", &String::from_utf8_lossy(&strict::to_json(&plan)));
    if let Some(outcome) = outcome {
        silent("the outcome", &String::from_utf8_lossy(&strict::to_json(outcome)));
    }
}

#[test]
fn secrets_arrive_and_are_told_by_nobody() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/plain"), OLD).unwrap();
    let site = manifest(both_ways());
    let plan = site.plan(&mut bench.machine).unwrap();
    let shown: Vec<&str> = plan.iter().map(|action| action.summary.as_str()).collect();
    assert!(shown[0].starts_with("update /srv/plain: contents (a secret)"), "{shown:?}");
    assert!(shown[1].starts_with("create /srv/app.conf: a secret, "), "{shown:?}");
    assert_eq!(
        plan.iter().filter(|action| action.diff.is_some()).count(),
        1,
        "only the public file is shown"
    );
    assert!(plan.iter().all(|action| action.undo.undo == UndoContract::Yes));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    told(&plan, Some(&outcome));
    assert_eq!(fs::read_to_string(bench.path("srv/plain")).unwrap(), PASSWORD);
    assert_eq!(
        fs::read_to_string(bench.path("srv/app.conf")).unwrap(),
        format!("user=app\npassword={PASSWORD}\n")
    );
    for (path, mode) in [("srv/plain", 0o600), ("srv/app.conf", 0o640)] {
        assert_eq!(fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "the second time there is nothing to do");
    // Until the receipt, the old contents are kept for undo, for root alone.
    let saved = bench.path("var/lib/assent").join("journal/saved");
    let kept: Vec<_> = fs::read_dir(&saved).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!kept.is_empty());
    for path in &kept {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    nothing_in(&bench.path("var/lib/assent"), &|path| path.starts_with(bench.path("var/lib/assent/journal")));
    bench.journal.receipt_made(Digest::of(b"receipt")).unwrap();
    nothing_in(&bench.path("var/lib/assent"), &|_| false);
}

#[test]
fn a_failed_run_and_its_undo_tell_nothing_either() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/plain"), OLD).unwrap();
    // The checker prints the file that it refuses.
    let mut resources = both_ways();
    resources.as_array_mut().unwrap().push(json!({ "file": {
        "path": "/srv/checked", "mode": "0600", "template": "password={{params.password}}",
        "validate": ["/bin/sh", "-c", "cat \"$1\"; cat \"$1\" >&2; exit 3", "sh", "{file}"] } }));
    let site = manifest(resources);
    let plan = site.plan(&mut bench.machine).unwrap();
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(
        outcome.note.contains("/bin/sh ended with exit code 3; what it printed is not shown"),
        "{outcome:#?}"
    );
    told(&plan, Some(&outcome));
    assert_eq!(fs::read_to_string(bench.path("srv/plain")).unwrap(), OLD);
    assert!(!bench.path("srv/app.conf").exists() && !bench.path("srv/checked").exists());
    bench.journal.receipt_made(Digest::of(b"receipt")).unwrap();
    nothing_in(&bench.path("var/lib/assent"), &|_| false);
    let left: Vec<_> = fs::read_dir(bench.path("srv")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["plain"], "nothing unfinished is left");
}

/// A program is bound by the digest of its bytes, which would tell about the secret.
#[test]
fn what_holds_a_secret_is_not_run() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/app.conf"), PASSWORD).unwrap();
    let mut resources = both_ways();
    resources.as_array_mut().unwrap().push(
        json!({ "command": { "name": "run", "run": ["/bin/sh", "/srv/app.conf"], "needed": "always" } }),
    );
    let refused = manifest(resources).plan(&mut bench.machine).unwrap_err().to_string();
    assert!(refused.contains("/srv/app.conf holds a secret and is run as a program"), "{refused}");
    silent("the refusal", &refused);
}

#[test]
fn removing_a_file_that_others_may_not_read_tells_no_digest_of_it() {
    let mut bench = Bench::new();
    fs::write(bench.path("srv/plain"), OLD).unwrap();
    fs::set_permissions(bench.path("srv/plain"), fs::Permissions::from_mode(0o600)).unwrap();
    let site = bench.site(json!([{ "file": { "path": "/srv/plain", "state": "absent" } }]));
    let first = site.plan(&mut bench.machine).unwrap();
    fs::write(bench.path("srv/plain"), "another").unwrap();
    let second = site.plan(&mut bench.machine).unwrap();
    assert_eq!(first, second, "whatever is in it, the plan says the same");
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied);
    assert!(!bench.path("srv/plain").exists());
}

#[test]
fn what_is_not_for_this_host_and_manifest_is_refused_when_it_is_planned() {
    let mut bench = Bench::new();
    let mut refusal = |secret: String| {
        let file = json!({ "path": "/srv/x", "mode": "0600", "content": { "secret": secret } });
        let refused = manifest(json!([{ "file": file }])).plan(&mut bench.machine).unwrap_err();
        silent("the refusal", &refused.to_string());
        refused.to_string()
    };
    let value = PASSWORD.as_bytes();
    for (secret, why) in [
        (sealed(&[OTHER], "app", value), "was not encrypted for this host"),
        (
            sealed(&[OWN], "other-app", value),
            "was made for main/other-app at site 00112233aabbccdd, not for main/app",
        ),
        (
            sealed_for("ffffffffffffffff", &[OWN], "app", value),
            "was made for main/app at site ffffffffffffffff",
        ),
        (encrypted(&[OWN], value), "was not made by assent secret encrypt"),
    ] {
        let refused = refusal(secret);
        assert!(refused.contains(why) && refused.contains("/srv/x"), "{why}: {refused}");
    }
    // One changed letter is found out by the cipher, not by luck.
    let good = sealed(&[OWN], "app", &[b'x'; 200]);
    let middle = good.len() / 2;
    // The end of a line of the armor is no letter.
    let middle = if &good[middle..=middle] == "\n" { middle + 1 } else { middle };
    let swapped = if &good[middle..=middle] == "A" { "B" } else { "A" };
    let damaged = format!("{}{swapped}{}", &good[..middle], &good[middle + 1..]);
    assert!(refusal(damaged).contains("is a secret that"), "a damaged secret was used");
}
