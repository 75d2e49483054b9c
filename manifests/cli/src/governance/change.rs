//! The next set of governance keys: more of them, fewer, others, or a new recovery key.

use super::args::ChangeArgs;
use super::holder_of;
use crate::error::{Done, Failure};
use crate::init::recovery;
use crate::policy::{self, Draft};
use crate::session::Session;
use crate::trust::Site;
use crate::{clock, term};
use shared::governance::{Holder, Keeper, NoSet, Wish, keys_of, next_set};
use shared::keys::{AnyKey, PublicKey, SigningKey};
use shared::words;
use zeroize::Zeroizing;

pub fn run(session: &Session, args: &ChangeArgs) -> Done {
    let json = args.sign.json.begin();
    let site = policy::current(session)?;
    let mut wish = Wish {
        add: args.add.clone(),
        remove: args.remove.clone(),
        threshold: args.threshold,
        without_recovery: args.without_recovery,
    };
    let mut made = Vec::new();
    if args.new_recovery {
        let key = SigningKey::from_seed(&Zeroizing::new(clock::random::<32>()?));
        let old = site.policy.governance.iter().filter(|holder| holder.keeper == Keeper::Paper);
        wish.remove.extend(old.map(|holder| holder.public));
        wish.add.push(Holder { public: key.public(), keeper: Keeper::Paper });
        made.push(key);
    }
    let draft = draft(&site, &wish, made)?;
    for holder in &args.add {
        let words = words::of_introduction(&AnyKey::from(holder.public).digest());
        let who = holder_of(&holder.public, &draft.policy.governance);
        term::print(&format!(
            "new key of {who}: compare these words with what `assent key new` printed: {words}\n"
        ))?;
    }
    for key in &draft.made {
        recovery::hand_over(args.recovery_out.as_deref(), key, session.profile.config.site.as_str())?;
    }
    let concluded = policy::conclude(session, &site, draft, (&args.sign.by, args.sign.yes))?;
    policy::tell(session, concluded.as_ref(), json)
}

/// The edition with the next set; `made` are new keys that sign at once.
fn draft(site: &Site, wish: &Wish, made: Vec<SigningKey>) -> Done<Draft> {
    let root = site.trusted.root();
    let refused = "this set of governance keys is not proposed";
    let next = next_set(&keys_of(root, &root.roles.root), &site.policy.governance, wish);
    let (set, holders) = next.map_err(|no| {
        let failure = Failure::refused(refused).why(&no);
        match no {
            NoSet::NoPaper | NoSet::NoSpare(_) => {
                failure.remedy("keep a key on paper and one to spare; --without-recovery if it is meant so")
            }
            NoSet::Unreachable { .. } | NoSet::Zero => failure.remedy("give another --threshold"),
            NoSet::Same | NoSet::Already(_) | NoSet::Stranger(_) => {
                failure.remedy("see `assent governance show`")
            }
        }
    })?;
    let mut draft = Draft::of(site)?;
    draft.policy.governance = holders;
    draft.governance = Some(set);
    draft.made = made;
    Ok(draft)
}

/// Only there may the keys that do not sign on one machine be called lost.
pub fn one_key_suffices(site: &Site) -> Done {
    let root = site.trusted.root();
    let (threshold, keys) = (root.roles.root.threshold, root.roles.root.keyids.len());
    if threshold == 1 {
        return Ok(());
    }
    Err(Failure::refused(format!("{threshold} of {keys} governance keys sign at this site"))
        .why("a key that does not sign on this machine is not lost for that")
        .remedy("assent governance change --remove LOST --add PERSON=NEW --key FILE --key NEW-FILE --propose FILE"))
}

/// Every governance key that does not sign goes, and `new` comes.
pub fn without_lost(session: &Session, site: &Site, signers: &[SigningKey], new: SigningKey) -> Done<Draft> {
    let root = site.trusted.root();
    let lost = |key: &PublicKey| signers.iter().all(|signer| signer.public() != *key);
    let keeper = Keeper::Person(session.profile.config.person.clone());
    let wish = Wish {
        add: vec![Holder { public: new.public(), keeper }],
        remove: keys_of(root, &root.roles.root).keys.into_iter().filter(lost).collect(),
        threshold: None,
        // Whoever has lost the paper must be able to go on too; what is left is shown.
        without_recovery: true,
    };
    draft(site, &wish, vec![new])
}
