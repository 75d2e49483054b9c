//! A site with one person whose approvals are real: every token comes from `shared::admit`.

use agent::apply::{self, Job, Progress, Stopped, Warrant, Watch};
use agent::clock::Clock;
use agent::disk::Disk;
use agent::host::{Fault, Host};
use agent::journal::{Journal, Outcome};
use agent::plan::{self, Ask, Planned};
use agent::vault::Vault;
use shared::admit::{self, Me, Verified};
use shared::approval::{Approval, Decision, Saw};
use shared::bundle::{Bundle, Control};
use shared::change::{Change, ChangeType, ManifestUse, Missed, PlanBinding, Reboot, Target, UndoPlan};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::ids::{HostClass, SiteId};
use shared::keys::SigningKey;
use shared::manifest::Manifest;
use shared::plan::{Action, Plan, PlanSet};
use shared::policy::{
    ClockRules, Held, LogRules, Match, Person, PersonKey, Policy, Require, Role, Rule, SCHEMA,
};
use shared::publication::Publication;
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::{Interval, Timestamp};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// The manifests of one change, and how it is run.
pub struct Site {
    person: SigningKey,
    host: SigningKey,
    pub vault: Vault,
    pub manifests: Vec<Manifest>,
    pub automatic_undo: bool,
    pub downgrade: bool,
    pub reboot: Reboot,
    pub artifacts: PathBuf,
    /// Seconds that pass at each look at the clock; the window is an hour.
    pub tick_secs: Cell<i64>,
    /// What the repository says of halts and blackouts.
    pub control: Control,
    /// Steps after which an operator halts.
    pub halt_after: Cell<Option<u32>>,
    /// The server is not reached.
    pub cut_off: Cell<bool>,
}

/// A manifest of resources, given as JSON.
pub fn manifest(name: &str, resources: serde_json::Value) -> Manifest {
    let text = serde_json::json!({ "manifest": name, "version": "1.0.0", "resources": resources });
    from_json(&text)
}

pub fn from_json(text: &serde_json::Value) -> Manifest {
    Manifest::from_json(text.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e:?}\n{text:#}"))
}

pub fn facts() -> TemplateFacts {
    TemplateFacts {
        hostname: "web1".into(),
        fqdn: "web1.example.org".into(),
        os_id: "debian".into(),
        os_version: "12".into(),
        os_codename: "bookworm".into(),
        kernel: "6.1".into(),
        arch: "amd64".into(),
        addresses: vec!["192.0.2.1".into()],
        agent_id: "0".repeat(32),
        host_class: "lab".into(),
    }
}

fn all_classes() -> std::collections::BTreeSet<ActionClass> {
    use ActionClass::{Command, External, File, Package, Reboot, SensitiveFile, Service, Trust};
    [Command, External, File, Package, Reboot, SensitiveFile, Service, Trust].into()
}

impl Site {
    pub fn new(manifests: Vec<Manifest>) -> Self {
        let host = SigningKey::from_seed(&[2; 32]);
        Self {
            vault: super::secret::vault(&Self::id(), host.public().agent_id()),
            person: SigningKey::from_seed(&[1; 32]),
            host,
            manifests,
            automatic_undo: true,
            downgrade: false,
            reboot: Reboot::Never,
            artifacts: PathBuf::from("/nonexistent"),
            tick_secs: Cell::new(0),
            control: Control::default(),
            halt_after: Cell::new(None),
            cut_off: Cell::new(false),
        }
    }

    fn id() -> SiteId {
        "00112233aabbccdd".parse().unwrap()
    }

    fn policy(&self) -> Policy {
        let key = PersonKey::file(self.person.public(), &[Role::Author, Role::Publisher, Role::Approver]);
        let require = Require::of(1, 48);
        Policy {
            schema: SCHEMA.into(),
            site: Self::id(),
            version: 1,
            issued: NOW,
            one_person: true,
            persons: vec![Person {
                id: "lead".parse().unwrap(),
                name: "First Approver".into(),
                keys: vec![key],
            }],
            rules: vec![Rule { name: "any".into(), matches: Match::default(), require }],
            clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
            log: LogRules::new(vec!["log".into()]),
            ca_spki: vec![],
            server_urls: vec![],
            vendor: None,
            delegations: Vec::new(),
            groups: Vec::new(),
            risk_rules: Vec::new(),
            conflicts: None,
            models: Vec::new(),
            breakglass: None,
            governance: Vec::new(),
        }
    }

    fn published(&self) -> Vec<(Statement<Publication>, ManifestUse)> {
        let publish = |manifest: &Manifest| {
            let statement = Statement::sign(
                Publication {
                    site: Self::id(),
                    publisher: "lead".parse().unwrap(),
                    at: NOW,
                    source: Digest::of(b"source"),
                    manifest: manifest.clone(),
                },
                &self.person,
            );
            let used = ManifestUse {
                team: manifest.team.clone(),
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                sha256: statement.digest,
                params: Map::default(),
                rules: vec![],
            };
            (statement, used)
        };
        self.manifests.iter().map(publish).collect()
    }

    pub fn change(&self) -> Statement<Change> {
        let change = Change {
            site: Self::id(),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change_type: ChangeType::Normal,
            title: "A change".into(),
            reason: "A test".into(),
            author: "lead".parse().unwrap(),
            created: NOW,
            manifests: self.published().into_iter().map(|(_, used)| used).collect(),
            targets: vec![Target { agent: self.host.public().agent_id(), key: self.host.public().digest() }],
            intervals: vec![Interval { from: NOW, until: NOW.plus(3_600) }],
            window_rules: Vec::new(),
            not_after: NOW.plus(3_600),
            missed: Missed::Skip,
            waves: vec![],
            plan_binding: PlanBinding::Within,
            action_classes: all_classes(),
            downgrade: self.downgrade,
            reboot: self.reboot,
            undo: UndoPlan { text: "put it back".into(), automatic: self.automatic_undo },
            lift_quarantine: false,
            correct_until: None,
            halt_above: None,
            series: None,
            model: None,
            supersedes: None,
            accepts: Vec::new(),
            retires: Vec::new(),
        };
        Statement::sign(change, &self.person)
    }

    /// The steps that the host would do now.
    pub fn plan(&self, host: &mut impl Host) -> Result<Vec<Action>, Refused> {
        self.planned(host).map(|planned| planned.actions)
    }

    /// Everything that an approver sees of it.
    pub fn planned(&self, host: &mut impl Host) -> Result<Planned, Refused> {
        self.planned_again(None, host)
    }

    /// For the run: with the plan that was approved.
    fn planned_again(&self, approved: Option<&[Action]>, host: &mut impl Host) -> Result<Planned, Refused> {
        let change = self.change();
        let facts = facts();
        let uses = self.manifests.iter().zip(&change.body.manifests);
        let ask = Ask::new(uses, &facts, &self.vault, self.downgrade)?.rebooting(self.reboot);
        let ask = ask.approved(approved);
        plan::compute(&ask, host)
    }

    fn signed(&self, planned: Planned) -> Statement<Plan> {
        let change = self.change();
        let plan = Plan {
            site: Self::id(),
            agent_id: self.host.public().agent_id(),
            key: self.host.public(),
            hostname: "web1".into(),
            host_class: "lab".parse().unwrap(),
            change_id: change.body.change_id.clone(),
            revision: 1,
            change: change.digest,
            at: NOW,
            actions: planned.actions,
            health: planned.health,
            upholds: planned.upholds,
            notes: planned.notes,
            agent_version: semver::Version::new(0, 1, 0),
        };
        Statement::sign(plan, &self.host)
    }

    /// Every check of `shared::admit`, in order, for the approved plan.
    fn warrant(&self, own: &Statement<Plan>) -> Warrant {
        let (policy, change) = (self.policy(), self.change());
        let class: HostClass = "lab".parse().unwrap();
        let me = Me { key: self.host.public(), host_class: &class };
        let verify = |(statement, used): &(Statement<Publication>, ManifestUse)| {
            admit::verify_manifest(&policy, &statement.to_bytes(), used, NOW).unwrap()
        };
        let manifests: Vec<Verified<Manifest>> = self.published().iter().map(verify).collect();
        let plan_set =
            PlanSet { change: change.digest, plans: [(me.id(), own.digest)].into_iter().collect() };
        let approval = Approval {
            site: Self::id(),
            change_id: change.body.change_id.clone(),
            revision: 1,
            change: change.digest,
            decision: Decision::Approve,
            person: "lead".parse().unwrap(),
            at: NOW,
            expires: NOW.plus(3_600),
            saw: Saw { plan_set: plan_set.digest(), renderer: "test".into() },
            agents: None,
            nonce: "0".repeat(32),
            comment: String::new(),
            breakglass: None,
        };
        let approvals = vec![Statement::sign(approval, &self.person)];
        let bundle = Bundle { change: change.clone(), plan_set, approvals };
        let addressed = admit::address(&policy, change.clone(), &me, NOW).unwrap();
        let sources = admit::Sources::of(&manifests);
        let approved = admit::approve(&policy, &addressed, &bundle, own, &sources, &me, NOW).unwrap();
        Warrant {
            manifests,
            logged: admit::logged(&policy, &approved, &Held::default()).unwrap(),
            change: approved,
            window: admit::in_window(&policy, &change.body, self.control.closed(me.id()), NOW, NOW).unwrap(),
            turn: {
                let gate =
                    admit::open_gate(&change, &self.control, &[], &Default::default(), me.id(), NOW).unwrap();
                admit::take_turn(gate, &BTreeSet::new(), None, NOW).unwrap()
            },
        }
    }

    /// Plans, has the plan approved, plans again and applies.
    pub fn apply<H: Host, D: Disk>(
        &self,
        host: &mut H,
        journal: &mut Journal<D>,
    ) -> Result<Outcome, Stopped> {
        let approved = self.planned(host).map_err(Stopped::Refused)?;
        self.apply_planned(approved, host, journal)
    }

    /// The approved plan may be an older one than what the host would do now.
    pub fn apply_approved<H: Host, D: Disk>(
        &self,
        actions: Vec<Action>,
        host: &mut H,
        journal: &mut Journal<D>,
    ) -> Result<Outcome, Stopped> {
        self.apply_planned(Planned { actions, ..Planned::default() }, host, journal)
    }

    pub fn apply_planned<H: Host, D: Disk>(
        &self,
        approved: Planned,
        host: &mut H,
        journal: &mut Journal<D>,
    ) -> Result<Outcome, Stopped> {
        let now = self.planned_again(Some(&approved.actions), host).map_err(Stopped::Refused)?;
        let (approved, now) = (self.signed(approved), self.signed(now));
        let facts = facts();
        let (vault, artifacts) = (&self.vault, &self.artifacts);
        let (approved, facts, vendor, correction) = (&approved, &facts, None, None);
        let job = Job { plan: &now.body, approved, facts, vault, vendor, artifacts, correction };
        let (clock, asked) = (Clock::fixed(NOW), Cell::new(0));
        let time = clock.steady();
        let watch = Watch {
            now: &|| {
                clock.set(clock.now().plus(self.tick_secs.get()));
                time.now()
            },
            halted: &|| {
                asked.set(asked.get() + 1);
                self.halt_after.get().is_some_and(|steps| asked.get() > steps)
            },
            reach: &|_| if self.cut_off.get() { Err("no way".into()) } else { Ok(()) },
        };
        match apply::apply(self.warrant(approved), &job, &watch, host, journal)? {
            Progress::Ended(outcome) => Ok(*outcome),
            // As after a power cut: whoever comes next resumes.
            Progress::Rebooting => Err(Fault::Refused("the machine goes down".into()).into()),
            Progress::Leaving => Err(Fault::Refused("another program goes on".into()).into()),
        }
    }

    pub fn resume<H: Host, D: Disk>(
        &self,
        host: &mut H,
        journal: &mut Journal<D>,
    ) -> Result<Option<Outcome>, agent::host::Fault> {
        // Later than any machine takes to go down.
        let progress = apply::resume((self.change().digest, None), NOW.plus(3_600), host, journal)?;
        Ok(progress.map(|progress| match progress {
            Progress::Ended(outcome) => *outcome,
            Progress::Rebooting => panic!("it went down long ago"),
            Progress::Leaving => panic!("no program is on trial here"),
        }))
    }
}
