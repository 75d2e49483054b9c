//! Breaking the glass with `assent approve --break-glass`: who may, for how long, and what that means.

use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::term;
use crate::trust::Site;
use crate::window;
use shared::time::Timestamp;

/// Says what follows, after looking whether the person may and says why.
pub fn check(session: &Session, site: &Site, reason: &str) -> Done {
    let person = &session.profile.config.person;
    if site.policy.glass_keys(person, session.now).is_empty() {
        let why =
            format!("policy version {} gives no key of {person} the role break_glass", site.policy.version);
        return Err(Failure::refused(format!("{person} may not break the glass at this site"))
            .why(why)
            .remedy("ask somebody who may; governance gives the role with `assent policy edit`"));
    }
    if reason.trim().is_empty() {
        return Err(Failure::usage("the reason is empty; it is signed, and read at the review"));
    }
    term::note(&format!("note: {}\n", session.lang.word(Word::BreaksGlass)));
    Ok(())
}

/// Until when it stands: as long as the policy lets it, or shorter.
pub fn expires(session: &Session, site: &Site, given: Option<&str>) -> Done<Timestamp> {
    let longest = site.policy.glass_secs();
    let Some(given) = given else { return Ok(session.now.plus(longest)) };
    let secs = window::duration(given)?;
    match secs <= longest {
        true => Ok(session.now.plus(secs)),
        false => Err(Failure::usage(format!(
            "a broken glass stands for at most {} hours at this site",
            longest / 3_600
        ))),
    }
}
