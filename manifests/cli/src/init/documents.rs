//! The first documents of a site: root, policy, targets and the empty content of its one team.

use super::Site;
use crate::error::{Context as _, Done};
use shared::digest::{Digest, hex};
use shared::governance::{Holder, Keeper};
use shared::ids::SiteId;
use shared::policy::{ClockRules, LogRules, Match, Person, PersonKey, Policy, Require, Role, Rule, SCHEMA};
use shared::strict;
use shared::tuf::Signed;
use shared::tuf::writer::{self, KeySet};
use std::collections::BTreeMap;

/// A week: an approval given on Friday still holds for the window of the next weekend but one day.
const APPROVAL_HOURS: u32 = 7 * 24;
/// Laptops that were away over a long weekend still take part.
const OFFLINE_GRACE_HOURS: u32 = 96;

/// Exact bytes as signed.
pub struct Documents {
    pub site: SiteId,
    pub root: Vec<u8>,
    pub policy: Vec<u8>,
    pub targets: Vec<u8>,
    pub content: Vec<u8>,
}

pub use crate::governance::expires;

impl Documents {
    pub fn make(site: &Site<'_>) -> Done<Self> {
        let (keys, until) = (&site.keys, expires(site.now));
        let failed = "the first documents could not be made";
        let governance =
            KeySet { keys: vec![keys.governance.public(), keys.recovery.public()], threshold: 1 };
        let online = KeySet::one(keys.online.public());
        let root = writer::new_root(1, until, &governance, &online).or_fault(failed)?;
        // Both sign: it proves that the recovery key on paper belongs to this root.
        let root = Signed::by(root, &[&keys.governance, &keys.recovery]).to_bytes();
        let id: SiteId = hex(&Digest::of(&root).0[..8]).parse().or_fault(failed)?;
        let policy = strict::to_json(&policy(site, &id)?);
        Policy::parse(&policy).or_fault(failed)?;
        let teams = BTreeMap::from([(Site::team(), KeySet::one(keys.publisher.public()))]);
        let targets = writer::targets_with_policy(1, until, &policy, &teams, &online).or_fault(failed)?;
        let content = writer::content(1, until, &Site::team(), Default::default()).or_fault(failed)?;
        Ok(Self {
            site: id,
            root,
            policy,
            targets: Signed::by(targets, &[&keys.governance]).to_bytes(),
            content: Signed::by(content, &[&keys.publisher]).to_bytes(),
        })
    }
}

/// One person, one rule, and no pretence: `one_person` is stamped into every receipt.
fn policy(site: &Site<'_>, id: &SiteId) -> Done<Policy> {
    let key = |key: &shared::keys::SigningKey, roles: &[Role]| PersonKey::file(key.public(), roles);
    Ok(Policy {
        schema: SCHEMA.into(),
        site: id.clone(),
        version: 1,
        issued: site.now,
        one_person: true,
        persons: vec![Person {
            id: site.args.person.clone(),
            name: site.args.name.clone(),
            keys: vec![
                key(&site.keys.approver, &[Role::Author, Role::Approver]),
                key(&site.keys.publisher, &[Role::Publisher]),
            ],
        }],
        rules: vec![Rule {
            name: "one person".into(),
            matches: Match::default(),
            require: Require::of(1, APPROVAL_HOURS),
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: OFFLINE_GRACE_HOURS },
        log: LogRules::new(vec![site.log_vkey(id.as_str())?]),
        ca_spki: vec![site.certificates.ca_spki],
        server_urls: vec![site.addresses.people_url.clone()],
        vendor: None,
        delegations: Vec::new(),
        groups: Vec::new(),
        risk_rules: Vec::new(),
        conflicts: None,
        models: Vec::new(),
        breakglass: None,
        governance: vec![
            Holder {
                public: site.keys.governance.public(),
                keeper: Keeper::Person(site.args.person.clone()),
            },
            Holder { public: site.keys.recovery.public(), keeper: Keeper::Paper },
        ],
    })
}
