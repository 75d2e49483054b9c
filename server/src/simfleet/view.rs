//! What the repository says at one version, verified as hosts verify it and read once for all of them.

use crate::changes::tests::world::World;
use crate::manifests;
use shared::admit::{self, GateOpen, Sources};
use shared::approval::Reach;
use shared::bundle::{Bundle, Control};
use shared::change::ManifestUse;
use shared::ids::{AgentId, ChangeId};
use shared::policy::Policy;
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;
use shared::tuf::TargetName;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Gates by change, wave and the clock of whoever asks.
type Gates = BTreeMap<(ChangeId, usize, Timestamp), Result<GateOpen, Refused>>;

pub struct View {
    pub version: u64,
    pub issued: Timestamp,
    /// Leaves of the ledger when it was published.
    pub size: usize,
    pub policy: Policy,
    pub control: Control,
    pub bundles: BTreeMap<ChangeId, Bundle>,
    /// What the manifest of all changes brings to their judgement.
    pub sources: Sources,
    gates: RefCell<Gates>,
}

impl View {
    pub async fn fetch(world: &World, used: &ManifestUse, size: usize) -> Self {
        let now = world.now();
        let (trusted, policy) = world
            .read(move |tx| Ok((manifests::tests::as_client(tx, now)?, manifests::policy(tx)?.policy)))
            .await;
        let mut bundles = BTreeMap::new();
        for (id, revision, _) in trusted.changes().unwrap() {
            bundles.insert(id.clone(), world.bundle(&Bundle::target_name(id, revision)).await);
        }
        let control = world.file(&Control::TARGET.parse().unwrap()).await;
        let control = control.map_or_else(Control::default, |bytes| Control::parse(&bytes).unwrap());
        let manifest = TargetName::manifest(&used.team, &used.name, &used.version);
        let manifest = world.file(&manifest).await.unwrap();
        let verified = admit::verify_manifest(&policy, &manifest, used, now).unwrap();
        Self {
            version: trusted.versions().timestamp,
            issued: trusted.issued(),
            size,
            policy,
            control,
            bundles,
            sources: Sources::of([&verified]),
            gates: RefCell::default(),
        }
    }

    /// The gate of the host's wave: the same for all of a wave whose clocks say the same.
    pub fn gate(&self, bundle: &Bundle, me: AgentId, now: Timestamp) -> Result<GateOpen, Refused> {
        let change = &bundle.change;
        let wave = change.body.wave_of(me).unwrap();
        // Without enough receipts to be counted none of them is verified: it would be most of the work of a run.
        let least = change.body.waves[wave].gate.map_or(0, |gate| gate.min_success as usize);
        if bundle.gate_receipts.len() < least {
            return Err(Refused::new(Code::WaveGate, "earlier waves have reported too little"));
        }
        let key = (change.body.change_id.clone(), wave, now);
        let reach = Reach::of(bundle.approvals.iter().map(|approval| &approval.body));
        let judge = || admit::open_gate(change, &self.control, &bundle.gate_receipts, &reach, me, now);
        self.gates.borrow_mut().entry(key).or_insert_with(judge).clone()
    }
}
