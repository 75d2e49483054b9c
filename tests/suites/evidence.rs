//! The evidence bundle in the hands of somebody who has none of our programs, and of somebody who forges.

use shared::envelope::{Envelope, IN_TOTO, pae};
use shared::receipt::Receipt;
use shared::statement::Statement;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::world::NewChange;
use tests::{Said, World};

const BODY: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

/// A change that was applied on two hosts, exported and unpacked with tar.
pub(super) fn exported(world: &mut World) -> (String, PathBuf) {
    world.join("a1", "production");
    world.join("a2", "production");
    world.publish("base", "1.0.0", BODY).ok();
    let id = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    world.tick_until_receipt("a2", &id);
    world.tick_all();
    let tar = world.path("bundle.tar");
    world.assent(&["export", "--change", &id, "--out", tar.to_str().unwrap()]).ok();
    let dir = world.path("bundle");
    fs::create_dir_all(&dir).unwrap();
    Said::of(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&dir)).ok();
    (id, top_of(&dir))
}

/// The folder that holds SHA256SUMS; an archive may have one folder around everything.
fn top_of(dir: &Path) -> PathBuf {
    if dir.join("SHA256SUMS").exists() {
        return dir.to_owned();
    }
    let inner = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    inner.into_iter().find(|p| p.join("SHA256SUMS").exists()).expect("a bundle has SHA256SUMS")
}

fn shell(dir: &Path, line: &str) -> Said {
    Said::of(Command::new("bash").args(["-o", "pipefail", "-c", line]).current_dir(dir))
}

on_both! {
    fn a_bundle_is_verified_with_tools_that_everybody_has(world) {
        let (id, dir) = exported(world);
        shell(&dir, "sha256sum -c --strict --quiet SHA256SUMS").ok();
        shell(&dir, "openssl pkeyutl -verify -pubin -inkey signer.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig").ok();
        shell(&dir, "ssh-keygen -Y verify -f keys/allowed_signers -I assent-evidence -n assent-evidence -s SHA256SUMS.sshsig < SHA256SUMS").ok();
        let added = "comm -3 <(cut -c67- SHA256SUMS | LC_ALL=C sort) <(find . -type f ! -name 'SHA256SUMS*' ! -name signer.pub | cut -c3- | LC_ALL=C sort)";
        assert_eq!(shell(&dir, added).ok().out, "");
        receipts_are_signed_by_their_hosts(world, &dir);
        let table = |name: &str| fs::read_to_string(dir.join(format!("data/{name}.csv"))).unwrap();
        assert!(table("applications").contains(&id) && table("applications").contains("/etc/motd"));
        assert!(table("approvals").contains(&id) && table("approvals").contains("lead"));
        // The same question at the same size of the ledger gives the same bytes, also as a folder.
        let again = world.path("again.tar");
        world.assent(&["export", "--change", &id, "--out", again.to_str().unwrap()]).ok();
        assert_eq!(fs::read(&again).unwrap(), fs::read(world.path("bundle.tar")).unwrap());
        world.stop_server();
        world.assent(&["verify", dir.to_str().unwrap()]).ok();
    }
}

/// openssl checks each receipt with the key that its host holds, over the bytes that DSSE says.
fn receipts_are_signed_by_their_hosts(world: &World, dir: &Path) {
    let mut found = 0;
    for entry in fs::read_dir(dir.join("statements")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let Ok(receipt) = Statement::<Receipt>::parse(&bytes) else { continue };
        let envelope = Envelope::parse(&bytes).unwrap();
        let host = world.hosts.values().find(|h| h.agent() == receipt.body.header.agent_id).unwrap();
        let name = |what: &str| world.path(&format!("{what}-{found}"));
        fs::write(name("message"), pae(IN_TOTO, &envelope.payload)).unwrap();
        fs::write(name("base64"), &envelope.signatures[0].sig).unwrap();
        assert_eq!(receipt.body.header.key, host.key().public());
        fs::write(name("pem"), receipt.body.header.key.to_pem()).unwrap();
        let verify = "openssl pkeyutl -verify -pubin -rawin -sigfile signature";
        let line = format!(
            "base64 -d base64-{found} > signature && {verify} -inkey pem-{found} -in message-{found}"
        );
        shell(&world.path(""), &line).ok();
        found += 1;
    }
    assert_eq!(found, 2, "one receipt of each host");
}

on_both! {
    fn one_flipped_byte_is_found_and_named(world) {
        let (_, dir) = exported(world);
        let root = shared::digest::Digest::of(&fs::read(world.site().join("trust/root.json")).unwrap()).hex();
        let verify = |dir: &Path| world.assent(&["verify", dir.to_str().unwrap(), "--root-sha256", &root]);
        verify(&dir).ok();
        let files = shell(&dir, "find . -type f | cut -c3- | LC_ALL=C sort").ok().out;
        // One file of each kind; each verification reads everything again.
        let mut kinds = std::collections::BTreeSet::new();
        for file in files.lines() {
            if !kinds.insert(file.split('/').next().unwrap().to_owned()) {
                continue;
            }
            let path = dir.join(file);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            let middle = bad.len() / 2;
            bad[middle] ^= 1;
            fs::write(&path, &bad).unwrap();
            let said = verify(&dir);
            assert!(said.code == 1 && said.all().contains(file), "{file}: {said}");
            fs::write(&path, &good).unwrap();
        }
        fs::write(dir.join("statements/added.json"), b"{}").unwrap();
        let said = verify(&dir);
        assert!(said.code == 1 && said.all().contains("added.json"), "{said}");
        fs::remove_file(dir.join("statements/added.json")).unwrap();
        // Another root than the one that the auditor knows.
        let other = shared::digest::Digest::of(b"other").hex();
        assert_eq!(world.assent(&["verify", dir.to_str().unwrap(), "--root-sha256", &other]).code, 1);
        verify(&dir).ok();
    }
}
