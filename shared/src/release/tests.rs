use super::*;
use crate::keys::SigningKey;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn vendor(threshold: u32, keys: &[u8]) -> Vendor {
    Vendor { threshold, keys: keys.iter().map(|n| key(*n).public()).collect() }
}

fn release() -> Release {
    Release {
        product: PRODUCT.into(),
        version: Version::new(0, 2, 0),
        target: "x86_64-linux-gnu".parse().unwrap(),
        min_from: Version::new(0, 1, 0),
        sha256: Digest::of(b"program"),
        length: 7,
    }
}

fn signed(release: Release, keys: &[u8]) -> SignedRelease {
    let mut statement = Statement::sign(release, &key(keys[0]));
    keys[1..].iter().for_each(|n| statement.envelope.add_signature(&key(*n)));
    SignedRelease::new(statement).unwrap()
}

fn running(version: &str) -> Predecessor {
    Predecessor { version: version.parse().unwrap(), target: "x86_64-linux-gnu".parse().unwrap() }
}

#[test]
fn a_release_counts_with_enough_distinct_keys_of_the_policy() {
    let two = vendor(2, &[1, 2, 3]);
    for (keys, vendor, good) in [
        (&[1u8, 2][..], Some(&two), Some(2)),
        (&[3, 2, 1], Some(&two), Some(3)),
        (&[1], Some(&two), None),
        // The same key twice is one key, and a key of nobody is none.
        (&[1, 1], Some(&two), None),
        (&[1, 9], Some(&two), None),
        (&[1, 2, 3], None, None),
        (&[1, 2], Some(&vendor(0, &[1, 2])), None),
    ] {
        let release = signed(release(), keys);
        let admitted = admit(&release, vendor, &running("0.1.0"), false);
        match good {
            Some(count) => assert_eq!(admitted.unwrap().signers(), count, "{keys:?}"),
            None => assert_eq!(admitted.unwrap_err().code, Code::ReleaseUnsigned, "{keys:?} {vendor:?}"),
        }
    }
}

#[test]
fn a_release_fits_the_host_and_the_version_before_it() {
    let vendor = vendor(1, &[1]);
    let with = |change: &dyn Fn(&mut Release)| {
        let mut body = release();
        change(&mut body);
        signed(body, &[1])
    };
    let plain = with(&|_| {});
    assert!(admit(&plain, Some(&vendor), &running("0.1.0"), false).is_ok());
    assert!(admit(&plain, Some(&vendor), &running("0.3.0"), true).is_ok(), "a step back that is asked for");
    let other = with(&|r| r.target = "aarch64-linux-gnu".parse().unwrap());
    let far = with(&|r| r.min_from = Version::new(0, 1, 5));
    for (release, from, downgrade, why) in [
        (&other, "0.1.0", false, "another machine"),
        (&far, "0.1.4", false, "may only follow 0.1.5"),
        (&far, "0.1.5-rc.1", false, "may only follow 0.1.5"),
        (&plain, "0.3.0", false, "is older than 0.3.0"),
        (&plain, "0.2.0", true, "has the version that runs"),
    ] {
        let refused = admit(release, Some(&vendor), &running(from), downgrade).unwrap_err();
        assert_eq!(refused.code, Code::ReleaseUnfit, "{refused}");
        assert!(refused.message.contains(why), "{why}: {refused}");
    }
}

#[test]
fn no_changed_byte_of_a_release_goes_unnoticed() {
    let vendor = vendor(2, &[1, 2]);
    let good = signed(release(), &[1, 2]);
    let bytes = good.as_str().as_bytes();
    for at in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[at] ^= 1;
        let read = String::from_utf8(bad).ok().and_then(|text| text.parse::<SignedRelease>().ok());
        let Some(read) = read else { continue };
        // `keyid` is only a hint, and base64 may hold bits that mean nothing: then the release is the same one.
        match signers(&read, Some(&vendor)) {
            Ok(_) => assert_eq!(read.body(), good.body(), "byte {at}"),
            Err(refused) => assert_eq!(refused.code, Code::ReleaseUnsigned),
        }
    }
}

#[test]
fn statements_that_cannot_be_releases_are_refused_with_the_reason() {
    let text = |change: &dyn Fn(&mut Release)| {
        let mut body = release();
        change(&mut body);
        String::from_utf8(Statement::sign(body, &key(1)).to_bytes()).unwrap()
    };
    let good = text(&|_| {});
    assert_eq!(good.parse::<SignedRelease>().unwrap().to_string(), good);
    assert_eq!(format!("  {good}\n").parse::<SignedRelease>().unwrap().to_string(), good);
    for (bad, why) in [
        (text(&|r| r.product = "other".into()), "not assent-agent"),
        (text(&|r| r.length = 0), "1 to"),
        (text(&|r| r.min_from = Version::new(9, 0, 0)), "is above its version"),
        ("x".repeat(limits::RELEASE_BYTES + 1), "at most"),
        (String::new(), "not valid"),
    ] {
        assert!(bad.parse::<SignedRelease>().unwrap_err().to_string().contains(why), "{why}");
    }
    for bad in ["", "x86_64", "x86_64-", "X86-linux", "a-b-c-d-e", "a-b\n"] {
        assert!(bad.parse::<Target>().is_err(), "{bad:?}");
    }
    assert_eq!(vendor(2, &[1, 1]).problems().len(), 2, "{:?}", vendor(2, &[1, 1]).problems());
    assert_eq!(vendor(2, &[1, 2]).problems(), Vec::<String>::new());
    assert_eq!(vendor(0, &[1]).problems().len(), 1);
}

#[test]
fn a_program_tells_its_version_by_its_mark() {
    let program = |mark: &str| format!("\x7fELF…{}{}\0{mark}\0\0…", MARK[0], MARK[1]).into_bytes();
    let found = marked(&program(&mark("0.2.0", "x86_64-linux-gnu")));
    assert_eq!(found, Some((Version::new(0, 2, 0), "x86_64-linux-gnu".parse().unwrap())));
    for bad in ["", &mark("0.2", "x86_64-linux-gnu"), &mark("0.2.0", "x"), &MARK.concat()] {
        assert_eq!(marked(&program(bad)), None, "{bad:?}");
    }
}
