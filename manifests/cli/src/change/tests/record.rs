//! What holds of reviews of every change that brings nothing to hosts.

use super::*;
use crate::change::forecast;

/// What a test bends of what the server sends.
pub(super) type Bend = fn(&mut ChangeFile);

/// The words of such a change.
pub(super) fn words(title: &str, reason: &str, undo: &str) -> Change {
    Change {
        change_id: "C-8".parse().unwrap(),
        title: title.into(),
        reason: reason.into(),
        undo: UndoPlan { text: undo.into(), automatic: false },
        ..change().body
    }
}

/// As its author signs it and the server sends it, without what hosts have signed.
pub(super) fn sent(body: Change) -> ChangeFile {
    assert_eq!(body.problems(), Vec::<String>::new());
    let change = Statement::sign(body, &key(1));
    let mut file = file(vec![]);
    file.line.change_id = change.body.change_id.clone();
    file.line.state = "review".into();
    (file.change, file.refusals) = (change.envelope, vec![]);
    file
}

fn reviewed(file: ChangeFile) -> Done<Review> {
    Review::of(&policy(), &"C-8".parse().unwrap(), file, manifest, NOW)
}

/// The pages are as they are known, a draft is not decided yet, and what an approval would come to is told before the server
/// says anything.
pub(super) fn check_review(name: &str, sent: fn() -> ChangeFile) {
    let review = reviewed(sent()).unwrap();
    review.check_approvable().unwrap();
    check_golden(&format!("{name}.en.txt"), &page(&review, Lang::En));
    check_golden(&format!("{name}.de.txt"), &page(&review, Lang::De));
    assert!(!page(&review, Lang::En).contains('\u{1b}'), "a host steers the terminal");
    let mut draft = sent();
    draft.line.state = "draft".into();
    let failure = reviewed(draft).unwrap().check_approvable().unwrap_err();
    assert!(failure.to_string().contains("assent change submit C-8"), "{failure}");
    let verdict = |who: &str, n: u8| {
        let yes = approval(&review, who, n);
        forecast::acceptance(&policy(), &review, &yes, NOW).verdict.map_err(|refused| refused.code)
    };
    assert_eq!(verdict("peer", 2), Ok([person("peer")].into()));
    assert_eq!(verdict("lead", 1), Err(Code::ApprovalQuorum));
}

/// Nothing that is bent reaches the question.
pub(super) fn check_refused(sent: fn() -> ChangeFile, bends: &[(&str, Bend)]) {
    for (what, bend) in bends {
        let mut bent = sent();
        bend(&mut bent);
        let failure = reviewed(bent).err().unwrap_or_else(|| panic!("accepted: {what}"));
        assert_eq!(failure.exit_code(), 1, "{what}: {failure}");
    }
}
