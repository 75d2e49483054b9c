//! Last year's change is judged by last year's policy: since then an approver has left, another one has come, everybody has
//! new keys, and governance has as well.

use super::accepted::{GOOD, Story, told_at};
use super::*;
use crate::policy::PersonKey;

const YEAR: i64 = 365 * 86_400;

/// What governance made of last year's policy: `first` has left, `third` has come (key 60), and `second` has another key (44).
fn successor(policy: &Policy, more: impl Fn(&mut Policy)) -> Policy {
    let mut next = Policy { version: policy.version + 1, issued: NOW.plus(YEAR), ..policy.clone() };
    next.persons.retain(|person| person.id != person_id("first"));
    renewed(&mut next, "second", 44);
    let mut third = policy.person(&person_id("first")).unwrap().clone();
    third.id = person_id("third");
    third.keys.truncate(1);
    third.keys[0].public = key(60).public().into();
    next.persons.push(third);
    more(&mut next);
    next
}

/// The person's first key is replaced, the others end.
fn renewed(policy: &mut Policy, name: &str, number: u8) {
    let person = policy.persons.iter_mut().find(|person| person.id == person_id(name)).unwrap();
    person.keys.truncate(1);
    person.keys[0] = PersonKey { public: key(number).public().into(), ..person.keys[0].clone() };
}

/// The next files of governance: a root that hands over from key 30 to `governance`, and targets signed with `signs`.
fn governs(site: &mut Site, policy: &Policy, (governance, signs): (u8, u8), publisher: u8) {
    let end = NOW.plus(2 * YEAR);
    let set = |number: u8| KeySet::one(key(number).public());
    let keys = &mut site.material.keys;
    let last = keys.keys().filter(|name| name.ends_with(".root.json")).count() as u64;
    if last == 1 {
        let root = writer::new_root(2, end, &set(governance), &set(71)).unwrap();
        let root = Signed::by(root, &[&key(30), &key(governance)]).to_bytes();
        keys.insert("2.root.json".into(), root);
    }
    let number = policy.version - site.policy.version + 1;
    let document = strict::to_json(policy);
    let teams = BTreeMap::from([("main".parse().unwrap(), set(publisher))]);
    let targets = writer::targets_with_policy(number, end, &document, &teams, &set(71)).unwrap();
    keys.insert(format!("{number}.targets.json"), Signed::by(targets, &[&key(signs)]).to_bytes());
    site.material.policies.insert(policy.version, document);
}

/// The site a year later: new keys of governance (70), of its server (71) and of the publishing team (66), whose newest
/// content lists what it published last year.
fn a_year_later(more: impl Fn(&mut Policy)) -> (Site, SigningKey, Policy) {
    let (mut site, log_key) = site();
    let next = successor(&site.policy, more);
    governs(&mut site, &next, (70, 70), 66);
    let published = publication(site.id.clone());
    let target: TargetName = published.body.target_name().parse().unwrap();
    let listed = [(target, TargetFile::of(&published.to_bytes()))].into_iter().collect();
    let content = writer::content(2, NOW.plus(2 * YEAR), &"main".parse().unwrap(), listed).unwrap();
    let keys = &mut site.material.keys;
    keys.remove("1.content.main.json");
    keys.insert("2.content.main.json".into(), Signed::by(content, &[&key(66)]).to_bytes());
    (site, log_key, next)
}

/// Everybody of last year's change has another key by now.
fn all_new(policy: &mut Policy) {
    renewed(policy, "author", 11);
    renewed(policy, "publisher", 66);
}

fn last_years(bend: impl Fn(&mut Receipt, &mut Case, &Policy)) -> Files {
    let (site, log_key, next) = a_year_later(all_new);
    built_at((site, log_key), |receipt, case| bend(receipt, case, &next), |_| None, (2, &[]))
}

/// The host signs that somebody else has approved as well, or instead.
fn approved_by(receipt: &mut Receipt, case: &mut Case, (name, number): (&str, u8), later: i64) {
    let mut approval = case.approval(name);
    approval.site = case.bundle.change.body.site.clone();
    (approval.at, approval.expires) = (approval.at.plus(later), approval.expires.plus(later));
    case.bundle.approvals.clear();
    case.add(approval, number);
    receipt.approvals = vec![case.bundle.approvals[0].digest];
}

/// The same change made and run a year later, by the policy of then, approved by one person.
fn this_years(approver: (&str, u8), dated: i64, by_last_years: bool) -> Files {
    let (site, log_key, next) = a_year_later(|_| ());
    let bend = |receipt: &mut Receipt, case: &mut Case| {
        let mut body = case.bundle.change.body.clone();
        body.created = body.created.plus(YEAR);
        body.not_after = body.not_after.plus(YEAR);
        for interval in &mut body.intervals {
            (interval.from, interval.until) = (interval.from.plus(YEAR), interval.until.plus(YEAR));
        }
        if dated < YEAR {
            body.created = body.created.plus(dated - YEAR);
        }
        *case = Case::of(body);
        let Bundle { change, plan_set, .. } = &case.bundle;
        receipt.interval = change.body.intervals[0];
        (receipt.change, receipt.plan, receipt.plan_set) =
            (change.digest, case.plan.digest, plan_set.digest());
        (receipt.started, receipt.finished) = (NOW.plus(YEAR + 600), NOW.plus(YEAR + 602));
        approved_by(receipt, case, approver, dated);
        if !by_last_years {
            (receipt.policy, receipt.policy_version) = (Digest::of(&strict::to_json(&next)), next.version);
        }
    };
    built_at((site, log_key), bend, |_| None, (2, &[]))
}

fn refused(files: &Files, why: &str) {
    let found = flaws(files);
    assert!(found.contains(why), "{why}: {found}");
}

#[test]
fn last_years_change_verifies_against_last_years_policy() {
    let files = last_years(|_, _, _| ());
    let report = verify(&files, Some(Digest::of(&files["keys/1.root.json"])));
    assert_eq!((flaws(&files).as_str(), report.remarks.len()), ("", 1), "{report:?}");
    let checked = |what: &str| report.checked.iter().any(|(n, told)| *n == 2 && told.contains(what));
    assert!(checked("roots, each signed") && checked("policy editions"), "{report:?}");
    let (approved, change) = (row(&files, "approvals"), row(&files, "changes"));
    assert_eq!((&*approved["approver"], &*approved["valid"]), ("first", "true"));
    assert_eq!((&*change["approvers"], &*change["sod_ok"]), ("first", "true"));
}

#[test]
fn this_years_policy_says_nothing_of_last_year() {
    // In the other one's place, under its name or under its own, and in the host's own words.
    let mut files = last_years(|_, _, _| ());
    let newer = files["policy/6.json"].clone();
    files.insert("policy/5.json".into(), newer);
    reseal(&mut files);
    refused(&files, "the policy that it names is not in the bundle");
    let mut files = last_years(|_, _, _| ());
    files.remove("policy/5.json");
    reseal(&mut files);
    refused(&files, "the policy that it names is not in the bundle");
    let newer = |receipt: &mut Receipt, next: &Policy| {
        (receipt.policy, receipt.policy_version) = (Digest::of(&strict::to_json(next)), next.version);
    };
    refused(&last_years(|r, _, next| newer(r, next)), "before policy edition 6 was issued");
    refused(&last_years(|r, _, _| r.policy_version = 6), "the policy with that digest is edition 5");
    // Also with the approval of somebody whom it names.
    let files = last_years(|receipt, case, next| {
        newer(receipt, next);
        approved_by(receipt, case, ("third", 60), 0);
    });
    refused(&files, "before policy edition 6 was issued");
}

#[test]
fn who_became_an_approver_later_and_keys_of_later_count_for_nothing() {
    for (who, why) in [
        (("third", 60), "0 of 1 counted"),
        (("second", 44), "0 of 1 counted"),
        (("first", 60), "no policy edition accepts it as the word of first"),
        (("second", 60), "no policy edition accepts it as the word of second"),
    ] {
        let files = last_years(|receipt, case, _| approved_by(receipt, case, who, 0));
        refused(&files, why);
        assert_eq!(row(&files, "applications")["approvals_valid_at_apply"], "false", "{who:?}");
    }
    assert_eq!(flaws(&last_years(|receipt, case, _| approved_by(receipt, case, ("second", 4), 0))), "");
}

#[test]
fn whoever_was_taken_out_approves_nothing_afterwards_however_it_is_dated() {
    assert_eq!(flaws(&this_years(("third", 60), YEAR, false)), "");
    assert_eq!(flaws(&this_years(("second", 44), YEAR, false)), "");
    refused(&this_years(("first", 2), YEAR, false), "0 of 1 counted");
    refused(&this_years(("second", 4), YEAR, false), "0 of 1 counted");
    for earlier in [3_600, 30 * 86_400] {
        refused(&this_years(("first", 2), YEAR - earlier, false), "0 of 1 counted");
    }
    // What a host began in good faith is covered; that it had not heard of the newer edition is told.
    let files = this_years(("first", 2), YEAR, true);
    let told = verify(&files, None).remarks;
    assert_eq!(flaws(&files), "");
    assert!(
        told.iter().any(|said| said.contains("by policy edition 5; edition 6 was issued at")),
        "{told:?}"
    );
}

/// Nobody but the server hears what is said of a retroactive change, so dates decide.
#[test]
fn what_was_accepted_last_year_is_judged_by_last_years_policy_and_nothing_later() {
    let told = |story: &Story| {
        let (site, log_key, _) = a_year_later(all_new);
        told_at((site, log_key), story)
    };
    let files = told(&GOOD);
    assert_eq!((flaws(&files).as_str(), &*row(&files, "changes")["result"]), ("", "accepted"));
    let why = "is called successful, but";
    refused(&told(&Story { later: YEAR + 60, ..GOOD }), why);
    refused(&told(&Story { later: YEAR + 60, approver: ("second", 4), ..GOOD }), why);
    refused(&told(&Story { approver: ("first", 60), ..GOOD }), why);
    // Whoever is an approver by now may accept it now.
    let now = told(&Story { later: YEAR + 60, approver: ("third", 60), ..GOOD });
    assert_eq!((flaws(&now).as_str(), &*row(&now, "changes")["approvers"]), ("", "third"));
}

#[test]
fn governance_keys_that_were_replaced_make_no_policy_any_more() {
    let with = |signs: u8, bend: &dyn Fn(&mut Site)| {
        let (mut site, log_key, next) = a_year_later(all_new);
        let mine = with_first_again(&next);
        governs(&mut site, &mine, (70, signs), 66);
        bend(&mut site);
        flaws(&built_at((site, log_key), |_, _| (), |_| None, (2, &[])))
    };
    assert_eq!(with(70, &|_| ()), "");
    let old = with(30, &|_| ());
    assert!(
        old.contains("keys/3.targets.json: is signed with keys that governance had already replaced"),
        "{old}"
    );
    assert!(old.contains("policy/7.json: no targets file signed by governance lists it"), "{old}");
    let online = with(71, &|_| ());
    assert!(online.contains("keys/3.targets.json: no root of the chain vouches for it"), "{online}");
    let renamed = with(30, &|site| {
        let keys = &mut site.material.keys;
        let (mine, theirs) = (keys.remove("3.targets.json").unwrap(), keys.remove("2.targets.json").unwrap());
        keys.extend([("2.targets.json".into(), mine), ("3.targets.json".into(), theirs)]);
    });
    assert!(renamed.contains("is filed under another number than its own"), "{renamed}");
    let without = with(70, &|site| drop(site.material.keys.remove("2.root.json")));
    assert!(without.contains("keys/2.targets.json: no root of the chain vouches for it"), "{without}");
    let twice = with(70, &|site| {
        let other = Policy { issued: NOW, ..site.policy.clone() };
        site.material.policies.insert(8, strict::to_json(&other));
    });
    assert!(twice.contains("policy/5.json: there are several editions with this number"), "{twice}");
}

/// The edition after it, in which `first` is an approver again.
fn with_first_again(policy: &Policy) -> Policy {
    let mut next = Policy { version: policy.version + 1, issued: NOW.plus(YEAR + 600), ..policy.clone() };
    next.persons.extend(fix::policy(1).person(&person_id("first")).cloned());
    next
}
