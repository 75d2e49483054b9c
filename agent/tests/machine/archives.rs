//! Archives on real private roots and on a machine in memory whose power goes.

use super::crash::{full_disk, sweep_site};
use super::files::Bench;
use super::support::site::{Site, manifest};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::receipt::HostOutcome;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A tar file with these files; `->` in front of the text makes a link.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        match text.strip_prefix("->") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            }
            None => {
                header.set_size(text.len() as u64);
                builder.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

/// Puts the archive where downloads lie and gives the resource.
pub fn archive(dir: &Path, files: &[(&str, &str)], more: Value) -> Value {
    let bytes = tar(files);
    let digest = Digest::of(&bytes);
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(digest.hex()), &bytes).unwrap();
    let mut own =
        json!({ "path": "/srv/app", "artifact": { "sha256": digest.to_string(), "length": bytes.len() } });
    own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "archive": own })
}

fn failing(mut resources: Vec<Value>) -> Value {
    resources.push(json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } }));
    Value::from(resources)
}

#[test]
fn an_archive_is_unpacked_kept_replaced_and_removed() {
    let mut bench = Bench::new();
    let artifacts = bench.path("var/lib/assent/artifacts");
    let first = archive(
        &artifacts,
        &[("app-1/bin/tool", "one"), ("app-1/lib/old/x", "gone later"), ("app-1/current", "->bin/tool")],
        json!({ "strip": 1, "owner": "web" }),
    );
    let second =
        archive(&artifacts, &[("bin/tool", "two"), ("etc/conf", "new"), ("lib", "a file now")], json!({}));
    let undone = |bench: &mut Bench, resource: &Value| {
        let before = bench.tree();
        let outcome = bench
            .site(failing(vec![resource.clone()]))
            .apply(&mut bench.machine, &mut bench.journal)
            .unwrap();
        assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
        assert_eq!(bench.tree(), before);
        bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    };
    let applied = |bench: &mut Bench, resource: &Value| {
        let site = bench.site(json!([resource]));
        let plan = site.plan(&mut bench.machine).unwrap();
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
        bench.journal.receipt_made(Digest::of(b"r")).unwrap();
        assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
        (plan[0].summary.clone(), plan[0].diff.clone().unwrap_or_default())
    };
    undone(&mut bench, &first);
    let (summary, _) = applied(&mut bench, &first);
    assert!(summary.starts_with("unpack archive ") && summary.ends_with(" into /srv/app"), "{summary}");
    let tree = bench.tree();
    let ours = |tree: &super::support::tree::Tree| -> Vec<String> {
        let below = tree.iter().filter(|(path, _)| path.starts_with("/srv/app"));
        below
            .map(|(path, what)| format!("{path} {}", what.split(' ').take(2).collect::<Vec<_>>().join(" ")))
            .collect()
    };
    assert_eq!(
        ours(&tree),
        [
            "/srv/app 40755 33:0",
            "/srv/app/bin 40755 33:0",
            "/srv/app/bin/tool 100640 33:0",
            "/srv/app/current 120777 0:0",
            "/srv/app/lib 40755 33:0",
            "/srv/app/lib/old 40755 33:0",
            "/srv/app/lib/old/x 100640 33:0",
        ]
    );

    // What somebody changes or removes comes back; what is not the archive's stays.
    fs::write(bench.path("srv/app/bin/tool"), "hacked").unwrap();
    fs::remove_file(bench.path("srv/app/current")).unwrap();
    fs::write(bench.path("srv/app/bin/data"), "mine").unwrap();
    undone(&mut bench, &first);
    let (summary, diff) = applied(&mut bench, &first);
    assert!(summary.ends_with("again: 2 entries are not as they were unpacked"), "{summary}");
    assert_eq!(diff, "/srv/app/bin/tool\n/srv/app/current\n");

    // A link where the new version wants to write through: nothing is written elsewhere.
    let lib = bench.path("srv/app/lib");
    fs::rename(&lib, bench.path("srv/lib")).unwrap();
    symlink("/srv/lib", &lib).unwrap();
    let refused = bench.site(json!([first])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("/srv/app/lib exists and is no directory"), "{refused}");
    fs::remove_file(&lib).unwrap();
    fs::rename(bench.path("srv/lib"), &lib).unwrap();

    // The next version wants a file where the one before had a directory: told before anything is written.
    let before = bench.tree();
    let outcome = bench.site(json!([second])).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert!(outcome.note.contains("/srv/app/lib is a directory or device"), "{}", outcome.note);
    assert_eq!(bench.tree(), before);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();

    let third = archive(&artifacts, &[("bin/tool", "two"), ("etc/conf", "new")], json!({}));
    undone(&mut bench, &third);
    let (summary, _) = applied(&mut bench, &third);
    assert!(summary.contains(" in place of archive "), "{summary}");
    let paths: Vec<String> =
        ours(&bench.tree()).iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        [
            "/srv/app",
            "/srv/app/bin",
            "/srv/app/bin/data",
            "/srv/app/bin/tool",
            "/srv/app/etc",
            "/srv/app/etc/conf"
        ]
    );

    let gone = json!({ "archive": { "path": "/srv/app", "state": "absent" } });
    undone(&mut bench, &gone);
    let (summary, diff) = applied(&mut bench, &gone);
    assert!(summary.starts_with("remove what archive "), "{summary}");
    assert_eq!(diff, "-bin\n-bin/tool\n-etc\n-etc/conf\n");
    let left: Vec<String> =
        ours(&bench.tree()).iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(left, ["/srv/app", "/srv/app/bin", "/srv/app/bin/data"]);
}

#[test]
fn an_archive_that_leads_out_is_not_unpacked() {
    let mut bench = Bench::new();
    let artifacts = bench.path("var/lib/assent/artifacts");
    let evil = archive(&artifacts, &[("a", "x"), ("b", "->../../etc/passwd")], json!({}));
    let before = bench.tree();
    let outcome = bench.site(json!([evil])).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack);
    assert!(outcome.note.contains("the link b leads out of it"), "{}", outcome.note);
    assert_eq!(bench.tree(), before);
}

#[test]
fn archives_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let dir = tempfile::tempdir().unwrap();
    let first =
        archive(dir.path(), &[("bin/tool", "one"), ("bin/link", "->tool"), ("x/y/z", "deep")], json!({}));
    let mut site = Site::new(vec![manifest("app", json!([first]))]);
    site.artifacts = dir.path().to_owned();
    let (rolled_back, applied, failed) = sweep_site(&site, None);
    assert!(rolled_back > 20 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep_site(&site, Some(11));
    assert!(rolled_back > 20 && failed == 0, "{rolled_back} {failed}");
    full_disk(&site);
}
