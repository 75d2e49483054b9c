//! Where a server in foreign hands makes its attempts: hosts with planned changes, the keys of those who approve, and what
//! each attempt has to end in.

use shared::approval::Approval;
use shared::bundle::Bundle;
use shared::keys::SigningKey;
use shared::statement::Statement;
use shared::tuf::TargetName;
use tests::World;
use tests::forge::target;
use tests::world::{NewChange, Second};

pub(super) const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

/// Keys and hosts for a row of attacks; every change is planned before the server turns hostile.
pub(super) struct Stage<'w> {
    pub(super) world: &'w mut World,
    pub(super) lead: SigningKey,
    second: Second,
    pub(super) changes: Vec<String>,
}

impl<'w> Stage<'w> {
    pub(super) fn new(world: &'w mut World, changes: usize) -> Self {
        Self::of(world, changes, MOTD, &[])
    }

    pub(super) fn of(world: &'w mut World, changes: usize, manifest: &str, more: &[&str]) -> Self {
        let second = world.add_second_person();
        world.join("a1", "production");
        world.join("v1", "vault");
        world.publish("base", "1.0.0", manifest).ok();
        let new = NewChange { manifests: &["base@1.0.0"], more, ..NewChange::default() };
        let changes: Vec<String> = (0..changes).map(|_| world.draft(&new)).collect();
        changes.iter().for_each(|id| world.submit(id));
        world.tick_all();
        Self { lead: world.own_key("approver"), second, changes, world }
    }

    /// The next unused change, fully approved as an honest bundle would be.
    pub(super) fn next(&mut self) -> Bundle {
        let id = self.changes.pop().unwrap();
        let mut bundle = self.world.bundle(&id);
        bundle.approvals = vec![self.yes("lead", &bundle, |_| {}), self.yes("second", &bundle, |_| {})];
        bundle
    }

    pub(super) fn yes(
        &self,
        person: &str,
        bundle: &Bundle,
        bend: impl FnOnce(&mut Approval),
    ) -> Statement<Approval> {
        let key = if person == "second" { &self.second.key } else { &self.lead };
        self.world.sign_approval(&bundle.change, &bundle.plan_set, person, key, bend)
    }

    /// Serves the bundle under its own name and expects this refusal from the host.
    pub(super) fn refused(&mut self, host: &str, bundle: &Bundle, code: &str) {
        let (name, bytes) = target(bundle);
        self.refused_file(host, name, bytes, code);
    }

    pub(super) fn refused_file(&mut self, host: &str, name: TargetName, bytes: Vec<u8>, code: &str) {
        let TargetName::Change { id, .. } = name.clone() else { panic!("{name}") };
        let forged = self.world.forge(&[(name, bytes)]);
        self.world.take_over(forged);
        let said = self.world.tick(host);
        let host = &self.world.hosts[host];
        let codes = host.refusal_codes(id.as_str());
        assert!(codes.iter().any(|c| c == code), "expected {code} for {id}, found {codes:?}: {said}");
        assert!(host.receipt(id.as_str()).is_none(), "{id} was run");
        assert!(!host.path("/etc/motd").exists());
        assert_eq!(host.spooled(), 0, "the refusal is on record");
    }

    /// The same server with a bundle in which everything is right: what was refused before was refused for
    /// its one fault.
    pub(super) fn applied(&mut self, host: &str, bundle: &Bundle) {
        let forged = self.world.forge(&[target(bundle)]);
        self.world.take_over(forged);
        let receipt = self.world.tick_until_receipt(host, bundle.change.body.change_id.as_str());
        assert_eq!(receipt.body.outcome.as_str(), "applied");
        assert!(self.world.hosts[host].path("/etc/motd").exists());
    }
}
