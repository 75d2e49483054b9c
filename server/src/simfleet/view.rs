//! What the repository says at one version, verified as hosts verify it and read once for all of them.

use crate::changes::tests::world::World;
use crate::manifests;
use shared::admit::{self, GateOpen, Sources};
use shared::approval::Reach;
use shared::bundle::{Bundle, Control};
use shared::change::ManifestUse;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::policy::Policy;
use shared::refusal::Refused;
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
    /// What gates are judged by, by change and wave.
    ends: BTreeMap<(ChangeId, usize), Vec<Envelope>>,
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
        let (mut bundles, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for (id, revision, _) in trusted.changes().unwrap() {
            let bundle = world.bundle(&Bundle::target_name(id, revision)).await;
            for wave in 0..bundle.change.body.waves.len() {
                if let Some(told) = world.gate(id, u32::try_from(wave).unwrap()).await {
                    ends.insert((id.clone(), wave), told);
                }
            }
            bundles.insert(id.clone(), bundle);
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
            ends,
            sources: Sources::of([&verified]),
            gates: RefCell::default(),
        }
    }

    /// The gate of the host's wave: the same for all of a wave whose clocks say the same.
    pub fn gate(&self, bundle: &Bundle, me: AgentId, now: Timestamp) -> Result<GateOpen, Refused> {
        let change = &bundle.change;
        let wave = change.body.wave_of(me).unwrap();
        let id = &change.body.change_id;
        let ends = self.ends.get(&(id.clone(), wave)).map_or(&[][..], Vec::as_slice);
        let key = (id.clone(), wave, now);
        let reach = Reach::of(bundle.approvals.iter().map(|approval| &approval.body));
        let judge = || admit::open_gate(change, &self.control, ends, &reach, me, now);
        self.gates.borrow_mut().entry(key).or_insert_with(judge).clone()
    }
}
