//! Notes, keys, checkpoints, leaves and tiles as texts and bytes.

use super::{Log, log_key, origin, verifier};
use crate::digest::Digest;
use crate::keys::SigningKey;
use crate::ledger::tile::{TileError, write_entries, write_hashes};
use crate::ledger::{
    Checkpoint, CheckpointError, KeyName, Leaf, LeafKind, NoteError, Opening, SignedNote, Tile, TileKind,
    VerifierKey, WitnessKey, merkle,
};
use crate::time::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;

/// Key, note and signature of the tests of Go's `sumdb/note`.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn go_key() -> SigningKey {
    let raw = BASE64.decode(SECRET).unwrap();
    SigningKey::from_seed(raw[1..].try_into().unwrap())
}

#[test]
fn notes_are_signed_and_verified_as_by_the_go_implementation() {
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!((key.to_string().as_str(), key.id()), (VKEY, [0xc7, 0x4f, 0x20, 0xa3]));
    let note = SignedNote::sign(TEXT, key.name(), &go_key()).unwrap();
    assert_eq!(note.to_string(), format!("{TEXT}\n{LINE}"));
    let read = SignedNote::parse(&note.to_string()).unwrap();
    assert_eq!(read.verify(&key), Ok(TEXT));
    assert_eq!(read, note);
}

#[test]
fn no_part_and_no_neighbour_of_a_verifier_key_is_a_key() {
    for from in 0..VKEY.len() {
        for to in from..=VKEY.len() {
            let part = &VKEY[from..to];
            assert!(part == VKEY || part.parse::<VerifierKey>().is_err(), "{part}");
        }
        let mut bytes = VKEY.as_bytes().to_vec();
        bytes[from] += 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed.parse::<VerifierKey>().is_err(), "{changed}");
    }
    for bad in [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_note_counts_only_with_a_right_signature_of_the_key_asked_for() {
    let key: VerifierKey = VKEY.parse().unwrap();
    let verify = |note: &str| SignedNote::parse(note)?.verify(&key).map(str::to_owned);
    let other = SigningKey::from_seed(&[3; 32]);
    let mut note = SignedNote::sign(TEXT, key.name(), &other).unwrap();
    // Same name, other key: not ours, so ignored; and ours below it counts.
    assert_eq!(verify(&note.to_string()), Err(NoteError::Unsigned(key.name().clone())));
    note.add_signature(key.name(), &go_key());
    note.add_signature(&"witness.example".parse().unwrap(), &other);
    assert_eq!(verify(&note.to_string()), Ok(TEXT.to_owned()));

    let wrong = Err(NoteError::WrongSignature(key.name().clone()));
    assert_eq!(verify(&note.to_string().replace("cryptography", "cryptographY")), wrong);
    assert_eq!(verify(&format!("{TEXT}\n{LINE}{}", LINE.replace("/ZJk", "/ZJj"))), wrong);
    // The right key id with a cut or a longer signature.
    let raw = BASE64.decode(LINE.trim_end().rsplit(' ').next().unwrap()).unwrap();
    for raw in [&raw[..67], &[raw.as_slice(), &[0]].concat()] {
        assert_eq!(verify(&format!("{TEXT}\n— PeterNeumann {}\n", BASE64.encode(raw))), wrong);
    }
    assert!(matches!(verify(&format!("{TEXT}{TEXT}\n{LINE}")), Err(NoteError::WrongSignature(_))));
}

#[test]
fn malformed_notes_are_refused() {
    let many = LINE.repeat(33);
    for (note, why) in [
        (String::new(), "no empty line"),
        (TEXT.to_owned(), "no empty line"),
        (format!("{TEXT}{LINE}"), "no empty line"),
        (format!("{TEXT}\n"), "does not end"),
        (format!("{TEXT}\n{}", LINE.trim_end()), "does not end"),
        (format!("{TEXT}\n{LINE}\n"), "does not end"),
        (format!("{TEXT}\n{LINE}more\n"), "em dash"),
        (format!("{TEXT}\n{}", LINE.replace('—', "-")), "em dash"),
        (format!("{TEXT}\n{}", LINE.replace("Peter", "Peter ")), "em dash"),
        (format!("{TEXT}\n{}", LINE.replace("Peter", "Peter+")), "em dash"),
        (format!("{TEXT}\n{}", LINE.replace("nAM=", "nAM")), "em dash"),
        (format!("{TEXT}\n{}", LINE.replace("nAM=", "nAN=")), "em dash"),
        (format!("{TEXT}\n— PeterNeumann x08gow==\n"), "em dash"),
        (format!("{TEXT}\n— PeterNeumann \n"), "em dash"),
        (format!("{TEXT}\r\n\n{LINE}"), "control"),
        (format!("{TEXT}\0\n\n{LINE}"), "control"),
        (format!("{TEXT}\n{many}"), "more signatures"),
        ("x".repeat(200_000), "200000 bytes"),
    ] {
        let refusal = SignedNote::parse(&note).unwrap_err().to_string();
        assert!(refusal.contains(why), "{note:.200}: {refusal}");
    }
    assert!(SignedNote::parse(&format!("{TEXT}\n{}", LINE.repeat(32))).is_ok());
    assert!(SignedNote::sign("no newline", &origin(), &log_key()).is_err());
    assert!(SignedNote::sign("tab\t\n", &origin(), &log_key()).is_err());
    for bad in ["", "a b", "a+b", "a\u{a0}b", "a\u{7f}", &"a".repeat(256)] {
        assert!(bad.parse::<KeyName>().is_err(), "{bad}");
    }
}

#[test]
fn a_checkpoint_is_three_lines_under_its_own_origin() {
    let checkpoint = Log::with_size(300).checkpoint();
    assert_eq!(
        checkpoint.text(),
        format!("assent.example.org/ledger\n300\n{}\n", BASE64.encode(checkpoint.root.0))
    );
    let note = checkpoint.sign(&log_key()).unwrap().to_string();
    assert_eq!(Checkpoint::open(&note, &verifier()), Ok(checkpoint.clone()));

    let elsewhere: KeyName = "assent.example.org/other".parse().unwrap();
    let borrowed = SignedNote::sign(&checkpoint.text(), &elsewhere, &log_key()).unwrap().to_string();
    let key = VerifierKey::new(elsewhere.clone(), log_key().public());
    let refused = CheckpointError::OtherLog { got: origin(), expected: elsewhere };
    assert_eq!(Checkpoint::open(&borrowed, &key), Err(refused));
    assert!(Checkpoint::open(&note, &key).is_err());
    let stranger = VerifierKey::new(origin(), SigningKey::from_seed(&[8; 32]).public());
    assert!(Checkpoint::open(&note, &stranger).is_err());

    let json = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
    assert!(serde_json::from_str::<Checkpoint>(&json.replace("300", "9223372036854775808")).is_err());
}

#[test]
fn other_checkpoint_texts_are_refused() {
    let text = Log::with_size(7).checkpoint().text();
    assert!(Checkpoint::parse(&text).is_ok());
    for bad in [
        text.replace("\n7\n", "\n07\n"),
        text.replace("\n7\n", "\n+7\n"),
        text.replace("\n7\n", "\n-7\n"),
        text.replace("\n7\n", "\n9223372036854775808\n"),
        text.replace("\n7\n", "\n99999999999999999999\n"),
        text.replace("=\n", "\n"),
        text.replace("\n7\n", "\n7\nAAAA"),
        text.replacen("assent.example.org/ledger", "", 1),
        text.replacen("assent", "as sent", 1),
        format!("{text}extension\n"),
        text.trim_end().to_owned(),
        String::new(),
        "\n\n\n".to_owned(),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn leaves_keep_their_bytes() {
    let sha256 = Digest::of(b"a statement");
    let (agent, change) = ("00112233445566778899aabbccddeeff", "C-114");
    let receipt = Leaf::new(
        LeafKind::Receipt,
        sha256,
        Some(agent.parse().unwrap()),
        Some(17),
        Some(change.parse().unwrap()),
    )
    .unwrap();
    let text = format!(
        r#"{{"v":1,"t":"receipt","sha256":"{sha256}","agent":"{agent}","seq":17,"change":"{change}"}}"#
    );
    assert_eq!(String::from_utf8(receipt.to_bytes()).unwrap(), text);
    assert_eq!(Leaf::parse(text.as_bytes()).unwrap(), receipt);
    assert_eq!(receipt.hash(), merkle::leaf_hash(text.as_bytes()));

    let plan_set = Leaf::new(LeafKind::PlanSet, sha256, None, None, Some(change.parse().unwrap())).unwrap();
    let text = format!(r#"{{"v":1,"t":"plan_set","sha256":"{sha256}","change":"{change}"}}"#);
    assert_eq!(String::from_utf8(plan_set.to_bytes()).unwrap(), text);
}

#[test]
fn other_leaves_are_refused_with_their_reason() {
    let good = Leaf::new(LeafKind::Policy, Digest::of(b"p"), None, None, None).unwrap();
    let good = String::from_utf8(good.to_bytes()).unwrap();
    let sha256 = Digest::of(b"p").hex();
    for (bad, why) in [
        (good.replace("\"v\":1", "\"v\":2"), "version 2"),
        (good.replace("\"v\":1,", ""), "missing field `v`"),
        (good.replace("\"v\":1", "\"v\":1,\"v\":1"), "duplicate field"),
        (good.replace("policy", "party"), "unknown variant"),
        (good.replace('}', ",\"x\":1}"), "unknown field"),
        (good.replace('}', ",\"agent\":null}"), "invalid type: null"),
        (good.replace('}', ",\"seq\":1}"), "no agent"),
        (good.replace('}', ",\"seq\":-1}"), "invalid value"),
        (good.replace("policy", "receipt"), "needs agent and seq"),
        (good.replace("policy", "enrolment"), "needs an agent"),
        (good.replace("policy", "approval"), "needs a change"),
        (good.replace(&sha256, &sha256.to_uppercase()), "lower-case"),
        (format!("{good}{}", " ".repeat(1024)), "at most 1024"),
        (format!("{good}x"), "trailing"),
    ] {
        let refusal = Leaf::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(refusal.contains(why), "{bad}: {refusal}");
    }
}

#[test]
fn a_log_opens_with_its_name_and_the_log_before_it() {
    let previous = Log::with_size(5).checkpoint().sign(&log_key()).unwrap().to_string();
    let opening = Opening { origin: "assent.example.org/ledger2".parse().unwrap(), previous: Some(previous) };
    let read = Opening::parse(&opening.to_bytes()).unwrap();
    assert_eq!(read, opening);
    let old = Checkpoint::open(read.previous.as_deref().unwrap(), &verifier()).unwrap();
    assert_eq!((old.origin, old.size), (origin(), 5));
    let leaf = opening.leaf();
    assert_eq!(Leaf::parse(&leaf.to_bytes()).unwrap(), leaf);
    assert_eq!((leaf.kind, leaf.sha256), (LeafKind::Origin, Digest::of(&opening.to_bytes())));
    let first = Opening { origin: origin(), previous: None };
    assert_eq!(first.to_bytes(), br#"{"origin":"assent.example.org/ledger"}"#);
}

#[test]
fn tile_paths_are_those_of_the_specification() {
    for (path, kind, index, width) in [
        ("tile/0/000", TileKind::Hashes { level: 0 }, 0, 256),
        ("tile/1/x001/234", TileKind::Hashes { level: 1 }, 1_234, 256),
        ("tile/0/x001/x234/067", TileKind::Hashes { level: 0 }, 1_234_067, 256),
        ("tile/2/000.p/1", TileKind::Hashes { level: 2 }, 0, 1),
        ("tile/entries/x001/000.p/255", TileKind::Entries, 1_000, 255),
        ("tile/entries/999", TileKind::Entries, 999, 256),
    ] {
        let tile: Tile = path.parse().unwrap();
        assert_eq!((tile.kind, tile.index, tile.width()), (kind, index, width));
        assert_eq!(tile.to_string(), path);
    }
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/0/001/234",
        "tile/0/x000/001",
        "tile/0/x001/x234",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/05",
        "tile/0/001.p/5/",
        "tile/0/../000",
        "/tile/0/000",
        "tile/entries/x1/234",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/٠٠٠",
    ] {
        assert!(bad.parse::<Tile>().is_err(), "{bad}");
    }
}

/// The example of the specification: a log of 70,000 leaves.
#[test]
fn a_log_has_the_tiles_of_the_specification() {
    let width = |level, index| Tile::at(TileKind::Hashes { level }, index, 70_000).map(|t| t.width());
    assert_eq!([0, 272, 273, 274].map(|n| width(0, n)), [Some(256), Some(256), Some(112), None]);
    assert_eq!([0, 1, 2].map(|n| width(1, n)), [Some(256), Some(17), None]);
    assert_eq!([width(2, 0), width(2, 1), width(3, 0), width(8, 0)], [Some(1), None, None, None]);
    assert_eq!(Tile::at(TileKind::Hashes { level: 1 }, 0, 256).map(|t| t.width()), Some(1));
    assert_eq!(Tile::at(TileKind::Entries, u64::MAX, u64::MAX), None);
    let partial: Tile = "tile/0/001.p/3".parse().unwrap();
    assert_eq!([258, 259, 300, 512].map(|size| partial.is_within(size)), [false, true, true, true]);
    assert_eq!(partial.nodes(), crate::ledger::NodeRange { level: 0, start: 256, count: 3 });
}

#[test]
fn a_full_tile_hashes_to_its_node_in_the_level_above() {
    let log = Log::with_size(600);
    let at = |path: &str| {
        let tile: Tile = path.parse().unwrap();
        let range = tile.nodes();
        let hashes: Vec<_> =
            (range.start..range.start + range.count).map(|i| log.nodes[&(range.level, i)]).collect();
        let bytes = write_hashes(&hashes);
        assert_eq!(tile.read_hashes(&bytes).unwrap(), hashes);
        assert!(matches!(tile.read_hashes(&bytes[1..]), Err(TileError::Length { .. })));
        assert!(tile.read_hashes(&[bytes.as_slice(), &[0; 32]].concat()).is_err());
        hashes
    };
    let above = at("tile/1/000.p/2");
    assert_eq!(merkle::root_of(&at("tile/0/000")), above[0]);
    assert_eq!(merkle::root_of(&at("tile/0/001")), above[1]);
    assert_eq!(at("tile/0/002.p/88").len(), 88);
}

#[test]
fn entries_carry_their_length() {
    let bundle: Tile = "tile/entries/000.p/3".parse().unwrap();
    let entries: [&[u8]; 3] = [b"one", b"", &[7; 300]];
    let bytes = write_entries(&entries).unwrap();
    assert_eq!(bytes[..7], [0, 3, b'o', b'n', b'e', 0, 0]);
    assert_eq!(bundle.read_entries(&bytes).unwrap(), entries);
    for cut in 0..bytes.len() {
        assert!(bundle.read_entries(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(bundle.read_entries(&[bytes.as_slice(), &[0, 0]].concat()).is_err());
    assert_eq!(write_entries(&[vec![0; 65_536]]), Err(TileError::LongEntry { entry: 0, got: 65_536 }));
    assert!(write_entries(&[vec![0; 65_535]]).is_ok());
}

proptest! {
    #[test]
    fn each_tile_has_one_path(level in 0..8_u8, entries: bool, index in 0..=i64::MAX as u64, extra: u64) {
        let kind = if entries { TileKind::Entries } else { TileKind::Hashes { level } };
        if let Some(tile) = Tile::at(kind, index >> (extra % 64), extra) {
            prop_assert_eq!(tile.to_string().parse::<Tile>().unwrap(), tile);
            prop_assert!(tile.is_within(extra));
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "[ -~\n—äx/.+=]{0,80}", bytes: Vec<u8>) {
        let tile: Tile = "tile/entries/000".parse().unwrap();
        prop_assert!(tile.read_entries(&bytes).is_err());
        prop_assert!(Checkpoint::open(&text, &verifier()).is_err());
        prop_assert!(Leaf::parse(text.as_bytes()).is_err());
        prop_assert!(text.parse::<VerifierKey>().is_err());
        if let Ok(tile) = format!("tile/{text}").parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), format!("tile/{}", text));
        }
    }
}

/// The key of a witness that runs in the open, as its operator publishes it.
const WITNESS: &str =
    "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G";

#[test]
fn keys_of_witnesses_and_of_logs_are_not_mixed_up() {
    let key: WitnessKey = WITNESS.parse().unwrap();
    assert_eq!((key.to_string().as_str(), key.id()), (WITNESS, [0xa3, 0xe0, 0x0f, 0xe2]));
    assert!(matches!(VKEY.parse::<WitnessKey>(), Err(NoteError::WitnessKey(_))));
    assert!(matches!(WITNESS.parse::<VerifierKey>(), Err(NoteError::VerifierKey(_))));
    for bent in [WITNESS.replace("navigli", "navigle"), WITNESS.replace("a3e0", "a3e1")] {
        assert!(matches!(bent.parse::<WitnessKey>(), Err(NoteError::KeyHash { .. })), "{bent}");
    }
    for bent in ["", "w", "w+00", "w+00+!", "w+00+BA=="] {
        assert!(bent.parse::<WitnessKey>().is_err(), "{bent}");
    }
}

#[test]
fn a_witness_signs_this_checkpoint_at_this_time_and_nothing_else() {
    let (name, key) = ("w.test".parse::<KeyName>().unwrap(), SigningKey::from_seed(&[8; 32]));
    let witness = WitnessKey::new(name.clone(), key.public());
    let (first, later) = (Timestamp(1_800_000_000), Timestamp(1_800_000_060));
    let checkpoint = Checkpoint { origin: origin(), size: 3, root: Digest::of(b"root") };
    let mut note = checkpoint.sign(&log_key()).unwrap();
    assert_eq!(note.cosigned(&witness), Ok(None));
    note.cosign(&name, &key, first);
    assert_eq!(note.cosigned(&witness), Ok(Some(first)));
    let text = note.to_string();
    assert_eq!(
        Checkpoint::open(&text, &verifier()),
        Ok(checkpoint.clone()),
        "the log's own line still counts"
    );
    assert_eq!(SignedNote::parse(&text).unwrap(), note);
    note.cosign(&name, &key, later);
    assert_eq!(note.cosigned(&witness), Ok(Some(later)), "the last look counts");
    let kept = note.clone().only(&[witness.id()]);
    assert_eq!(kept.cosigned(&witness), Ok(Some(later)));
    assert!(kept.verify(&verifier()).is_err(), "the log's line was left out");

    // The signature covers type, time and the whole text: another one of the same key is none.
    let line = |bytes: &[u8]| format!("— {name} {}\n", BASE64.encode([&witness.id(), bytes].concat()));
    let raw = BASE64.decode(text.lines().last().unwrap().rsplit(' ').next().unwrap()).unwrap();
    let mut other_time = raw[4..].to_vec();
    other_time[7] ^= 1;
    let plain = [&raw[4..12], &key.sign(checkpoint.text().as_bytes())].concat();
    let other_text = Checkpoint { size: 4, ..checkpoint.clone() }.sign(&log_key()).unwrap();
    let head = checkpoint.sign(&log_key()).unwrap().to_string();
    let wrong = Err(NoteError::WrongSignature(name.clone()));
    for (what, bent) in [
        ("another time", format!("{head}{}", line(&other_time))),
        ("a plain signature", format!("{head}{}", line(&plain))),
        ("another checkpoint", format!("{other_text}{}", line(&raw[4..]))),
        ("no time", format!("{head}{}", line(&raw[12..]))),
        ("time 0", format!("{head}{}", line(&[&[0; 8], &raw[12..]].concat()))),
        ("a short one", format!("{head}{}", line(b"short"))),
        ("a right one beside it", format!("{head}{}{}", line(&raw[4..]), line(&other_time))),
    ] {
        assert_eq!(SignedNote::parse(&bent).unwrap().cosigned(&witness), wrong, "{what}");
    }
    let elsewhere = WitnessKey::new("v.test".parse().unwrap(), key.public());
    assert_eq!(note.cosigned(&elsewhere), Ok(None), "under another name");
}
