//! A server that has been taken over: it holds the online keys and signs whatever it likes into the repository.
//!
//! Everything that it does not forge it passes on to the real server, so hosts stay connected and what they
//! refuse is put on record.

use crate::http::Message;
use crate::programs::Said;
use crate::proxy::{Deliver, Delivery, Hook, Proxy};
use crate::world::World;
use rcgen::{CertificateParams, Issuer, KeyPair};
use shared::bundle::{Bundle, Control};
use shared::change::Change;
use shared::plan::PlanSet;
use shared::statement::Statement;
use shared::strict::Map;
use shared::tuf::writer;
use shared::tuf::{Role, Signed, Snapshot, TargetFile, TargetName, Targets};
use shared::wire::ChangeFile;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Each forgery is newer than the one before, or hosts would refuse it as old and not for what it is.
static NEXT: AtomicU64 = AtomicU64::new(1_000);

/// Files of a forged repository by the name that they are served under.
#[derive(Clone, Debug, Default)]
pub struct Forged {
    pub files: BTreeMap<String, Vec<u8>>,
    pub timestamp_version: u64,
}

impl World {
    /// A repository in which `changes` lists exactly these targets, correctly signed by the online key.
    pub fn forge(&self, targets: &[(TargetName, Vec<u8>)]) -> Forged {
        self.forge_with(targets, None)
    }

    /// Also puts other top-level targets and the files that they list in, signed by whoever signed them.
    pub fn forge_with(
        &self,
        targets: &[(TargetName, Vec<u8>)],
        top: Option<(&Signed<Targets>, &[u8])>,
    ) -> Forged {
        let step = NEXT.fetch_add(1, Ordering::SeqCst);
        let online = self.server_key("online");
        let (now, honest) = (self.now(), self.current_snapshot());
        let version = |role: &Role| honest.pin(role).map_or(0, |pin| pin.version) + step;
        let control = (TargetName::Control, shared::strict::to_json(&Control::default()));
        let mut forged = Forged::default();
        let mut listed = Map::default();
        for (name, bytes) in targets.iter().chain([&control]) {
            let file = TargetFile::of(bytes);
            forged.files.insert(name.served_as(&file), bytes.clone());
            listed.insert(name.clone(), file);
        }
        let changes = writer::changes(version(&Role::Changes), now.plus(86_400), listed).unwrap();
        let changes = Signed::by(changes, &[&online]);
        let mut metadata = vec![(Role::Changes, changes.signed.version, changes.to_bytes())];
        if let Some((targets, policy)) = top {
            metadata.push((Role::Targets, targets.signed.version, targets.to_bytes()));
            let file = TargetFile::of(policy);
            forged.files.insert(TargetName::Policy.served_as(&file), policy.to_vec());
        }
        let pins: Vec<_> = metadata.iter().map(|(role, _, bytes)| (role.clone(), bytes.as_slice())).collect();
        let snapshot =
            writer::snapshot(honest.version + step, now.plus(86_400), Some(&honest), &pins).unwrap();
        let snapshot = Signed::by(snapshot, &[&online]);
        for (role, version, bytes) in &metadata {
            forged.files.insert(role.file(*version), bytes.clone());
        }
        self.finish(forged, &snapshot, step)
    }

    /// The same files under a new timestamp, and under another snapshot where `bend` makes one of it.
    pub fn reseal(&self, forged: Forged, bend: impl FnOnce(&mut Snapshot)) -> Forged {
        let name = forged.files.keys().find(|name| name.ends_with(".snapshot.json")).unwrap();
        let mut snapshot = Signed::<Snapshot>::parse(&Role::Snapshot, &forged.files[name]).unwrap().signed;
        bend(&mut snapshot);
        let snapshot = Signed::by(snapshot, &[&self.server_key("online")]);
        self.finish(forged, &snapshot, NEXT.fetch_add(1, Ordering::SeqCst))
    }

    fn finish(&self, mut forged: Forged, snapshot: &Signed<Snapshot>, step: u64) -> Forged {
        let bytes = snapshot.to_bytes();
        let now = self.now();
        let timestamp = writer::timestamp(step + 1_000_000, now.plus(86_400), now, &bytes).unwrap();
        forged.timestamp_version = timestamp.version;
        forged.files.insert(Role::Snapshot.file(snapshot.signed.version), bytes);
        let timestamp = Signed::by(timestamp, &[&self.server_key("online")]);
        forged.files.insert("timestamp.json".into(), timestamp.to_bytes());
        forged
    }

    /// Lets agents talk to a server that serves the forged files.
    pub fn take_over(&self, forged: Forged) {
        self.hook(serving(forged));
    }

    /// Lets agents talk to a server that does what `hook` says.
    pub fn hook(&self, hook: Arc<Hook>) {
        self.relay(hook, Arc::new(|_| Delivery::Whole));
    }

    /// The same through a relay that hands the answers on as `deliver` says.
    pub fn relay(&self, hook: Arc<Hook>, deliver: Arc<Deliver>) {
        let tls = self.site().join("server/tls");
        self.proxy.take_over(&tls.join("agents.crt"), &tls.join("agents.key"), hook, deliver);
    }

    /// A person's directory whose server does what `hook` says; it is there as long as the proxy is.
    pub fn deceived(&self, hook: Arc<Hook>) -> (Proxy, PathBuf) {
        let dir = self.path("deceived");
        std::fs::create_dir_all(&dir).unwrap();
        for entry in std::fs::read_dir(self.site()).unwrap().map(|entry| entry.unwrap().path()) {
            if !entry.ends_with("server") {
                Said::of(Command::new("cp").arg("-a").arg(entry).arg(&dir)).ok();
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener, &self.site().join("ca.crt"));
        let true_port = self.nodes[0].people;
        proxy.set_backends(&[SocketAddr::from(([127, 0, 0, 1], true_port))]);
        let tls = self.site().join("server/tls");
        proxy.take_over_people(&tls.join("people.crt"), &tls.join("people.key"), hook);
        let profile = dir.join("cli.toml");
        let text = std::fs::read_to_string(&profile).unwrap();
        let bent = text.replace(&format!(":{true_port}"), &format!(":{}", proxy.address.port()));
        assert_ne!(text, bent);
        std::fs::write(&profile, bent).unwrap();
        (proxy, dir)
    }

    /// A certificate of the site's authority with a new key, as whoever holds the authority's key makes one.
    pub fn mint(&self, name: &str, params: CertificateParams) -> (PathBuf, PathBuf) {
        let tls = self.site().join("server/tls");
        let read = |name: &str| std::fs::read_to_string(tls.join(name)).unwrap();
        let authority =
            Issuer::from_ca_cert_pem(&read("ca.crt"), KeyPair::from_pem(&read("ca.key")).unwrap());
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = params.signed_by(&key, &authority.unwrap()).unwrap();
        let key = self.file(&format!("{name}.key"), &key.serialize_pem());
        (self.file(&format!("{name}.crt"), &certificate.pem()), key)
    }

    /// The honest bundle of a change: what the server would serve, with every approval that it holds.
    pub fn bundle(&self, id: &str) -> Bundle {
        let file = self.change_file(id);
        Bundle {
            plan_set: plan_set(&file),
            change: Statement::<Change>::open(file.change).unwrap(),
            approvals: file.approvals.into_iter().map(|a| Statement::open(a).unwrap()).collect(),
        }
    }
}

/// The plans that hosts have sent, as an approver's program puts them together.
pub fn plan_set(file: &ChangeFile) -> PlanSet {
    let plans = file.plans.iter().map(|plan| shared::plan::open_plan(&plan.to_bytes()).unwrap());
    PlanSet {
        change: file.change.digest(),
        plans: plans.map(|plan| (plan.body.agent_id, plan.digest)).collect(),
    }
}

/// The name under which a bundle belongs into the repository.
pub fn target(bundle: &Bundle) -> (TargetName, Vec<u8>) {
    let body = &bundle.change.body;
    (TargetName::Change { id: body.change_id.clone(), revision: body.revision }, bundle.to_bytes())
}

/// Answers for the repository; everything else goes to the real server.
pub fn serving(forged: Forged) -> Arc<Hook> {
    Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let file = request.path().strip_prefix("/agent/v1/tuf/").and_then(|name| forged.files.get(name));
        if let Some(bytes) = file {
            return Some(Message::reply(200, bytes));
        }
        if request.path() != "/agent/v1/work" {
            return Some(ask(request));
        }
        let reply = ask(request.without("if-none-match"));
        let mut work = reply.json();
        work["timestamp_version"] = forged.timestamp_version.into();
        Some(reply.carrying(work.to_string().as_bytes()).without("etag"))
    })
}
