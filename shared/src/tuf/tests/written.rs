//! The writer: what it writes is read back unchanged and accepted by the library's own updater.

use super::*;
use crate::tuf::backend;
use crate::tuf::metadata::{Key, Root, Timestamp, canonical_bytes};
use sigstore_tuf::transport::FetchFuture;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

struct Served(Arc<BTreeMap<String, Vec<u8>>>);

impl sigstore_tuf::Repository for Served {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max: u64) -> FetchFuture<'a> {
        let found = self.0.get(name).filter(|bytes| bytes.len() as u64 <= max).cloned();
        Box::pin(async move { Ok(found) })
    }
    fn fetch_target<'a>(&'a self, path: &'a str, max: u64) -> FetchFuture<'a> {
        self.fetch_metadata(path, max)
    }
}

/// Runs a future that never has to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("an in-memory repository never waits"),
    }
}

#[test]
fn the_updater_of_the_library_accepts_a_written_repository() {
    backend::install().unwrap();
    let mut site = Site::new();
    site.put_root(&root_file(2, 11, &[2, 3]));
    site.online = 11;
    site.put(Role::Targets, 2, top(2, 11));
    site.put(Role::Changes, 2, changes_file(2, 11));
    site.seal(2);
    let name = target("manifest.web.base.1.0.0.json");
    let mut served = site.served.clone();
    served.insert(name.served_as(&TargetFile::of(MANIFEST)), MANIFEST.to_vec());
    served.insert(TargetName::Policy.served_as(&TargetFile::of(POLICY)), POLICY.to_vec());
    let now = jiff::Timestamp::from_second(NOW.0).unwrap();
    let mut updater =
        sigstore_tuf::Updater::new(Served(Arc::new(served)), &site.file("1.root.json")).unwrap();
    ready(updater.refresh(now)).unwrap();
    assert_eq!(updater.trusted().root().version, 2);
    assert_eq!(ready(updater.get_target("policy.json", now)).unwrap(), POLICY);
    assert_eq!(ready(updater.get_target(&name.to_string(), now)).unwrap(), MANIFEST);
    assert!(ready(updater.get_target_info("control.json", now)).unwrap().is_some());
    assert!(ready(updater.get_target_info("manifest.db.base.1.0.0.json", now)).unwrap().is_none());
    let issued = &updater.trusted().timestamp().unwrap().extra["x-issued"];
    assert_eq!(issued, &serde_json::json!(NOW));
}

#[test]
fn every_written_file_is_read_back_byte_for_byte() {
    fn again<T: super::super::metadata::Payload>(role: Role, bytes: &[u8]) -> bool {
        Signed::<T>::parse(&role, bytes).unwrap().to_bytes() == bytes
    }
    let site = Site::new();
    assert!(again::<Root>(Role::Root, &site.file("1.root.json")));
    assert!(again::<Targets>(Role::Targets, &site.file("1.targets.json")));
    assert!(again::<Targets>(content("web"), &site.file("1.content.web.json")));
    assert!(again::<Snapshot>(Role::Snapshot, &site.file("1.snapshot.json")));
    assert!(again::<Timestamp>(Role::Timestamp, &site.file("timestamp.json")));
}

#[test]
fn several_people_sign_one_root_in_turn() {
    let root = writer::new_root(1, later(400), &governance(), &online(10)).unwrap();
    let mut first = Signed::by(root, &[&key(1)]);
    first.sign(&key(1));
    let mut second = Signed::<Root>::parse(&Role::Root, &first.to_bytes()).unwrap();
    assert_eq!(Host::new(&second.to_bytes()).outcome(&Site::new(), NOW), "tuf.signature");
    second.sign(&key(3));
    let keys = governance().keys;
    assert_eq!(second.signers(&keys), [&keys[0], &keys[2]]);
    assert_eq!(second.to_bytes(), sign(second.signed.clone(), &[3, 1]));
    assert_eq!(Host::new(&second.to_bytes()).outcome(&Site::new(), NOW), "trusted");
    second.signed.version = 2;
    assert!(second.signers(&keys).is_empty());
}

#[test]
fn a_publisher_adds_a_manifest_and_the_server_pins_it_without_losing_the_rest() {
    let mut site = Site::new();
    let mut file =
        Signed::<Targets>::parse(&content("web"), &site.file("1.content.web.json")).unwrap().signed;
    file.targets.insert(target("manifest.web.base.1.1.0.json"), TargetFile::of(b"new"));
    let file = writer::content(file.version + 1, later(400), &team("web"), file.targets).unwrap();
    let bytes = sign(file, &[20]);
    let before = Signed::<Snapshot>::parse(&Role::Snapshot, &site.file("1.snapshot.json")).unwrap().signed;
    let after = writer::snapshot(2, later(7), Some(&before), &[(content("web"), &bytes)]).unwrap();
    assert_eq!(after.meta.len(), 3);
    site.served.insert(content("web").file(2), bytes);
    site.seal_with(after.clone(), 2);
    let trusted = Host::enrolled(&site).refresh(&site, NOW).unwrap();
    assert_eq!(trusted.manifests(&team("web")).unwrap().len(), 2);
    let old = site.file("1.content.web.json");
    let back = writer::snapshot(3, later(7), Some(&after), &[(content("web"), &old)]);
    assert_eq!(back.unwrap_err().code(), "tuf.rollback");
}

#[test]
fn the_writer_refuses_what_clients_would_refuse() {
    let code = |result: Result<(), TufError>| result.unwrap_err().code();
    let twice = KeySet { keys: vec![key(1).public(), key(1).public()], threshold: 2 };
    let many = KeySet { keys: vec![key(1).public()], threshold: 2 };
    for bad in [&twice, &many, &KeySet { keys: vec![], threshold: 0 }] {
        assert_eq!(code(writer::new_root(1, later(1), bad, &online(10)).map(drop)), "tuf.profile");
    }
    assert_eq!(code(writer::new_root(1, later(1), &governance(), &online(1)).map(drop)), "tuf.profile");
    let teams = BTreeMap::from([(team("web"), online(10))]);
    let shared = writer::targets_with_policy(1, later(1), POLICY, &teams, &online(10));
    assert_eq!(code(shared.map(drop)), "tuf.profile");
    let foreign = files(&["manifest.db.base.1.0.0.json"]);
    assert_eq!(code(writer::content(1, later(1), &team("web"), foreign.clone()).map(drop)), "tuf.profile");
    assert_eq!(code(writer::changes(1, later(1), foreign).map(drop)), "tuf.profile");
    let unpinned = writer::snapshot(1, later(1), None, &[(Role::Changes, &changes_file(1, 10))]);
    assert_eq!(code(unpinned.map(drop)), "tuf.profile");
}

#[test]
fn key_ids_and_signed_bytes_are_those_of_the_library() {
    let theirs: sigstore_tuf::Key =
        serde_json::from_value(serde_json::to_value(Key::new(key(1).public())).unwrap()).unwrap();
    assert_eq!(Key::new(key(1).public()).id().hex(), theirs.key_id().unwrap());
    let bytes = Site::new().file("timestamp.json");
    let theirs = sigstore_tuf::Metadata::<sigstore_tuf::Timestamp>::from_slice(&bytes).unwrap();
    let ours = Signed::<Timestamp>::parse(&Role::Timestamp, &bytes).unwrap();
    assert_eq!(theirs.signed_canonical(), canonical_bytes(&ours.signed));
}
