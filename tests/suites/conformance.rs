//! The agent's TUF client against repositories by the specification alone, through the command line of the public
//! conformance suite (`tests/README.md` tells its figures, and why it is not part of a run).

use serde_json::Value;
use shared::digest::Digest;
use shared::keys::SigningKey;
use std::collections::BTreeMap;
use tests::anyrepo::{BEFORE, LATER, Pair, files, root, signed, snapshot, targets, timestamp};

#[test]
fn a_fresh_client_asks_for_each_file_once_and_keeps_exactly_the_bytes_that_were_served() {
    let pair = Pair::start();
    pair.init().ok();
    assert_eq!(pair.repository.asked(), [""; 0], "a client that only learns its root asks nobody");
    pair.refresh().ok();
    assert_eq!(
        pair.repository.asked(),
        ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    );
    let served = ["1.root", "timestamp", "1.snapshot", "1.targets"];
    let named = served.map(|name| {
        let own = name.trim_start_matches("1.");
        (format!("{own}.json"), pair.repository.get(&format!("metadata/{name}.json")))
    });
    assert_eq!(pair.trusted(), BTreeMap::from(named), "these files and no others");
    pair.refresh().ok();
    assert_eq!(pair.repository.asked(), ["2.root.json", "timestamp.json"], "nothing is new");
}

#[test]
fn a_first_root_that_does_not_sign_itself_is_refused_before_any_request() {
    let pair = Pair::start();
    let good = root(1, &pair.governance, &pair.online);
    let mut without = good.clone();
    without["roles"].as_object_mut().unwrap().remove("timestamp");
    let mut flipped = signed(&good, &[&pair.governance]);
    let at = flipped.windows(7).position(|w| w == b"\"sig\": ").unwrap() + 8;
    flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
    for bad in [
        signed(&good, &[&pair.online]),
        signed(&good, &[]),
        signed(&timestamp(1, LATER, 1), &[&pair.governance]),
        flipped,
        b"{}".to_vec(),
    ] {
        pair.repository.put("metadata/1.root.json", bad);
        assert_eq!((pair.init().code, pair.trusted().len()), (1, 0));
    }
    assert_eq!(pair.repository.asked(), [""; 0]);
    pair.put("1.root", &good, &pair.governance);
    pair.init().ok();
}

#[test]
fn what_was_verified_before_a_refusal_stays_and_what_was_refused_does_not() {
    let pair = Pair::start();
    let (governance, online) = (&pair.governance, &pair.online);
    let stranger = SigningKey::from_seed(&[9; 32]);
    pair.init().ok();
    pair.refresh().ok();
    let mut newest = 1;
    let attempt = |what: &str, file: &str, bad: Vec<u8>, trusted: [u64; 4]| {
        let good = pair.repository.get(&format!("metadata/{file}.json"));
        pair.repository.put(&format!("metadata/{file}.json"), bad);
        assert_eq!((pair.refresh().code, pair.versions()), (1, trusted), "{what}");
        pair.repository.put(&format!("metadata/{file}.json"), good);
    };
    // A new root of another key is no root; the good one is kept even when everything after it fails.
    pair.put("2.root", &root(2, governance, online), governance);
    attempt("root of a stranger", "2.root", signed(&root(2, governance, online), &[&stranger]), [1, 1, 1, 1]);
    attempt(
        "root that skips one",
        "2.root",
        signed(&root(3, governance, online), &[governance]),
        [1, 1, 1, 1],
    );
    let next = |signers: &[&SigningKey]| signed(&root(2, &stranger, online), signers);
    attempt("root that only its own new key signs", "2.root", next(&[&stranger]), [1, 1, 1, 1]);
    attempt("root that its own new key does not sign", "2.root", next(&[governance]), [1, 1, 1, 1]);
    attempt(
        "the first root once more",
        "2.root",
        signed(&root(1, governance, online), &[governance]),
        [1, 1, 1, 1],
    );
    attempt(
        "timestamp of a stranger",
        "timestamp",
        signed(&timestamp(2, LATER, 1), &[&stranger]),
        [2, 1, 1, 1],
    );
    attempt("expired timestamp", "timestamp", signed(&timestamp(2, BEFORE, 1), &[online]), [2, 1, 1, 1]);
    attempt(
        "timestamp that is a snapshot",
        "timestamp",
        signed(&snapshot(2, LATER, &[]), &[online]),
        [2, 1, 1, 1],
    );
    // A snapshot that fails leaves the new timestamp.
    for (what, bad) in [
        ("snapshot of a stranger", signed(&snapshot(2, LATER, &[("targets", 2)]), &[&stranger])),
        ("expired snapshot", signed(&snapshot(2, BEFORE, &[("targets", 2)]), &[online])),
        ("snapshot of another version", signed(&snapshot(3, LATER, &[("targets", 2)]), &[online])),
        ("the snapshot before", pair.repository.get("metadata/1.snapshot.json")),
        ("snapshot that forgets a role", signed(&snapshot(2, LATER, &[]), &[online])),
    ] {
        newest = 2;
        pair.publish(newest, &targets(newest, &[], &[]), &[]);
        attempt(what, "2.snapshot", bad, [2, 2, 1, 1]);
    }
    attempt("targets of a stranger", "2.targets", signed(&targets(2, &[], &[]), &[online]), [2, 2, 2, 1]);
    attempt("older targets", "2.targets", signed(&targets(1, &[], &[]), &[governance]), [2, 2, 2, 1]);
    attempt("newer targets", "2.targets", signed(&targets(3, &[], &[]), &[governance]), [2, 2, 2, 1]);
    let mut expired = targets(2, &[], &[]);
    expired["expires"] = BEFORE.into();
    attempt("expired targets", "2.targets", signed(&expired, &[governance]), [2, 2, 2, 1]);
    pair.refresh().ok();
    assert_eq!(pair.versions(), [2, newest, newest, newest]);
    attempt("older timestamp", "timestamp", signed(&timestamp(1, LATER, 1), &[online]), [2, 2, 2, 2]);
    let back = signed(&timestamp(3, LATER, 1), &[online]);
    attempt("timestamp of an older snapshot", "timestamp", back, [2, 2, 2, 2]);
    pair.put("timestamp", &timestamp(3, LATER, 3), online);
    pair.put("3.snapshot", &snapshot(3, LATER, &[("targets", 2)]), online);
    let back = signed(&snapshot(3, LATER, &[("targets", 1)]), &[online]);
    attempt("snapshot of older targets", "3.snapshot", back, [2, 3, 2, 2]);
    pair.refresh().ok();
    assert_eq!(pair.versions(), [2, 3, 3, 2]);
}

/// Whoever has the online key can push version numbers far ahead; new online keys bring the low ones back, nothing else does.
#[test]
fn versions_that_were_pushed_far_ahead_are_overcome_by_new_online_keys_only() {
    const FAR: u64 = 1 << 62;
    let new = SigningKey::from_seed(&[8; 32]);
    let stranger = SigningKey::from_seed(&[9; 32]);
    let recovers = |what: &str, bend: &dyn Fn(&Pair), trusted: [u64; 4]| {
        let pair = Pair::start();
        let signs = |version: u64, key: &SigningKey| {
            pair.put(&format!("{version}.snapshot"), &snapshot(version, LATER, &[("targets", 1)]), key);
            pair.put("timestamp", &timestamp(version, LATER, version), key);
        };
        signs(FAR, &pair.online);
        pair.init().ok();
        pair.refresh().ok();
        assert_eq!(pair.versions(), [1, FAR, FAR, 1]);
        pair.put("2.root", &root(2, &pair.governance, &new), &pair.governance);
        signs(1, &new);
        bend(&pair);
        let code = pair.refresh().code;
        assert_eq!((code, pair.versions()), (i32::from(trusted != [2, 1, 1, 1]), trusted), "{what}");
        if code == 0 {
            signs(FAR, &pair.online);
            assert_eq!((pair.refresh().code, pair.versions()), (1, trusted), "the old key once more");
        }
    };
    recovers("by the root of governance", &|_| (), [2, 1, 1, 1]);
    let by = |pair: &Pair, key: &SigningKey| pair.put("2.root", &root(2, &pair.governance, &new), key);
    recovers("a root by the online key", &|pair| by(pair, &pair.online), [1, FAR, FAR, 1]);
    recovers("a root by its own new key", &|pair| by(pair, &new), [1, FAR, FAR, 1]);
    recovers("a root by a stranger", &|pair| by(pair, &stranger), [1, FAR, FAR, 1]);
    let same = |pair: &Pair| {
        pair.put("2.root", &root(2, &pair.governance, &pair.online), &pair.governance);
        pair.put("1.snapshot", &snapshot(1, LATER, &[("targets", 1)]), &pair.online);
        pair.put("timestamp", &timestamp(1, LATER, 1), &pair.online);
    };
    recovers("a root that names the same online key", &same, [2, FAR, FAR, 1]);
    let old = |pair: &Pair| pair.put("timestamp", &timestamp(1, LATER, 1), &pair.online);
    recovers("a timestamp by the key that was taken away", &old, [2, FAR, FAR, 1]);
}

#[test]
fn a_role_may_have_any_name_and_none_of_them_is_a_path() {
    for (role, quoted) in [
        ("?", "%3F"),
        ("#", "%23"),
        ("/role", "%2Frole"),
        ("../role", "..%2Frole"),
        ("a b%2e", "a%20b%252e"),
        ("grün", "gr%C3%BCn"),
        ("..", ".."),
    ] {
        let pair = Pair::start();
        let team = SigningKey::from_seed(&[3; 32]);
        pair.publish(1, &targets(1, &[], &[(role, &team, "*", false)]), &[role]);
        pair.put(&format!("1.{quoted}"), &targets(1, &[("tool", b"x")], &[]), &team);
        pair.init().ok();
        assert_eq!(pair.download(&["something else"]).code, 1);
        assert_eq!(pair.repository.asked().last(), Some(&format!("1.{quoted}.json")), "{role}");
        let trusted = pair.trusted();
        assert!(
            trusted.len() == 5 && trusted.contains_key(&format!("{quoted}.json")),
            "{:?}",
            trusted.keys()
        );
        assert!(!pair.dir.path().join("role.json").exists());
    }
    // A team cannot take the name of one of the four.
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let pair = Pair::start();
        let team = SigningKey::from_seed(&[3; 32]);
        pair.publish(1, &targets(1, &[], &[(role, &team, "*", false)]), &[role]);
        pair.init().ok();
        pair.refresh().ok();
        let before = pair.trusted();
        assert_eq!((pair.download(&["tool"]).code, pair.trusted()), (1, before), "{role}");
    }
}

#[test]
fn a_target_is_found_in_the_order_of_delegations_and_only_where_its_name_is_delegated() {
    let pair = Pair::start();
    let [a, b] = [3, 4].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let top = targets(
        1,
        &[("top", b"top")],
        &[("a", &a, "a/*", false), ("b", &b, "*/*", true), ("c", &a, "*/*", false)],
    );
    pair.publish(1, &top, &["a", "b", "c"]);
    pair.put("1.a", &targets(1, &[("a/tool", b"of a"), ("b/tool", b"of a"), ("top", b"of a")], &[]), &a);
    pair.put("1.b", &targets(1, &[("a/tool", b"of b"), ("b/tool", b"of b")], &[]), &b);
    pair.put("1.c", &targets(1, &[("c/tool", b"of c")], &[]), &a);
    for (name, bytes) in [("a", "of a"), ("b", "of b"), ("c", "of c")] {
        let digest = Digest::of(bytes.as_bytes());
        pair.repository.put(&format!("targets/{name}/{digest}.tool"), bytes);
    }
    pair.repository.put(&format!("targets/{}.top", Digest::of(b"top")), "top");
    pair.init().ok();
    pair.download(&["a/tool", "b/tool", "top"]).ok();
    let kept = BTreeMap::from(
        [("a%2Ftool", "of a"), ("b%2Ftool", "of b"), ("top", "top")]
            .map(|(name, bytes)| (name.to_owned(), bytes.as_bytes().to_vec())),
    );
    assert_eq!(files(&pair.dir.path().join("targets")), kept);
    let asked = pair.repository.asked();
    assert_eq!(asked[..4], ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(asked[4], "1.a.json");
    assert!(
        asked[5].ends_with(".tool") && asked[6] == "1.b.json" && asked[7].ends_with(".tool"),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 9, "{asked:?}");
    // What ends the search hides what comes after it; nobody else may list what was not delegated.
    for missing in ["c/tool", "d/tool", "tool", "a/b/tool"] {
        assert_eq!(pair.download(&[missing]).code, 1, "{missing}");
    }
    pair.repository.asked();
    // The first failure ends the command; what is there already is not fetched again.
    assert_eq!(pair.download(&["top", "tool", "a/tool"]).code, 1);
    assert_eq!(pair.repository.asked(), ["2.root.json", "timestamp.json"]);
    assert_eq!(files(&pair.dir.path().join("targets")), kept);
}

#[test]
fn a_target_that_is_not_the_signed_one_is_never_written() {
    let pair = Pair::start();
    let path = format!("targets/{}.tool", Digest::of(b"the tool"));
    pair.publish(1, &targets(1, &[("tool", b"the tool")], &[]), &[]);
    pair.init().ok();
    for (what, bytes) in [
        ("one byte is another", &b"the toil"[..]),
        ("it is shorter", b"the too"),
        ("it is longer", b"the tools"),
        ("it does not end", &vec![b'x'; 40 << 20]),
        ("it is empty", b""),
    ] {
        pair.repository.put(&path, bytes);
        assert_eq!(
            (pair.download(&["tool"]).code, files(&pair.dir.path().join("targets")).len()),
            (1, 0),
            "{what}"
        );
    }
    pair.repository.put(&path, "the tool");
    pair.download(&["tool"]).ok();
}

#[test]
fn a_role_that_two_delegate_counts_only_with_the_keys_of_the_one_who_is_asked() {
    let [a, b, of_a, of_b] = [3, 4, 5, 6].map(|seed| SigningKey::from_seed(&[seed; 32]));
    for (what, signers, found) in [
        ("for the first only", vec![&of_a], [true, false]),
        ("for the second only", vec![&of_b], [false, true]),
        ("for both", vec![&of_a, &of_b], [true, true]),
        ("for both in the other order", vec![&of_b, &of_a], [true, true]),
        ("by those who delegate", vec![&a, &b], [false, false]),
        ("by nobody", vec![], [false, false]),
    ] {
        for (name, found) in ["a/tool", "b/tool"].iter().zip(found) {
            let pair = Pair::start();
            let top = targets(1, &[], &[("a", &a, "a/*", true), ("b", &b, "b/*", true)]);
            pair.publish(1, &top, &["a", "b", "both"]);
            pair.put("1.a", &targets(1, &[], &[("both", &of_a, "*/*", true)]), &a);
            pair.put("1.b", &targets(1, &[], &[("both", &of_b, "*/*", true)]), &b);
            let both = targets(1, &[("a/tool", b"tool"), ("b/tool", b"tool")], &[]);
            pair.repository.put("metadata/1.both.json", signed(&both, &signers));
            for dir in ["a", "b"] {
                pair.repository.put(&format!("targets/{dir}/{}.tool", Digest::of(b"tool")), "tool");
            }
            pair.init().ok();
            assert_eq!(pair.download(&[name]).code, i32::from(!found), "{name} signed {what}");
        }
    }
    // What was believed for one is not believed for the other because it is there already.
    let pair = Pair::start();
    let top = targets(1, &[], &[("a", &a, "a/*", true), ("b", &b, "b/*", true)]);
    pair.publish(1, &top, &["a", "b", "both"]);
    pair.put("1.a", &targets(1, &[], &[("both", &of_a, "*/*", true)]), &a);
    pair.put("1.b", &targets(1, &[], &[("both", &of_b, "*/*", true)]), &b);
    pair.put("1.both", &targets(1, &[("a/tool", b"tool"), ("b/tool", b"tool")], &[]), &of_a);
    pair.repository.put(&format!("targets/a/{}.tool", Digest::of(b"tool")), "tool");
    pair.repository.put(&format!("targets/b/{}.tool", Digest::of(b"tool")), "tool");
    pair.init().ok();
    pair.download(&["a/tool"]).ok();
    assert_eq!(pair.download(&["b/tool"]).code, 1);
    assert_eq!(pair.download(&["a/tool", "b/tool"]).code, 1);
}

#[test]
fn signatures_count_once_per_key_and_thresholds_are_what_they_say() {
    let second = SigningKey::from_seed(&[7; 32]);
    let with = |threshold: u64, own: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let pair = Pair::start();
        // Timestamps are of two keys from here on; `root` names the first one only.
        let mut next = root(2, &pair.governance, &pair.online);
        let other = root(2, &pair.governance, &second);
        let id = other["roles"]["timestamp"]["keyids"][0].clone();
        next["keys"][id.as_str().unwrap()] = other["keys"][id.as_str().unwrap()].clone();
        next["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(id);
        next["roles"]["timestamp"]["threshold"] = threshold.into();
        pair.put("2.root", &next, &pair.governance);
        let good = signed(&timestamp(1, LATER, 1), &[&pair.online, &second]);
        pair.repository.put("metadata/timestamp.json", own(good));
        pair.init().ok();
        pair.refresh().code
    };
    let edit = |bend: fn(&mut Vec<Value>)| {
        move |bytes: Vec<u8>| {
            let mut file: Value = serde_json::from_slice(&bytes).unwrap();
            bend(file["signatures"].as_array_mut().unwrap());
            serde_json::to_vec(&file).unwrap()
        }
    };
    assert_eq!(with(2, &|good| good), 0);
    assert_eq!(with(1, &edit(|all| drop(all.pop()))), 0, "one of two is enough for one");
    for (what, threshold, bend) in [
        ("one of two", 2, (|all| drop(all.pop())) as fn(&mut Vec<Value>)),
        ("one of two, twice", 2, |all| all[1] = all[0].clone()),
        ("one under the other's id", 2, |all| all[1]["sig"] = all[0]["sig"].clone()),
        ("nobody", 1, Vec::clear),
        ("a threshold of nothing, and nobody", 0, Vec::clear),
        ("a threshold above the keys", 3, |_| ()),
    ] {
        assert_eq!(with(threshold, &edit(bend)), 1, "{what}");
    }
}
