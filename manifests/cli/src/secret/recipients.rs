//! Whose keys a value is encrypted for: those of hosts that a person has looked at.
//!
//! A host's key is part of its enrolment, which the host itself signed and the ledger holds. Which hosts there are and
//! how they are labelled is only the server's word: one that was taken over could add a host of its own. Therefore new
//! hosts are shown and confirmed once; `trust/recipients.json` remembers them.

use crate::args::SecretArgs;
use crate::change::hosts::{Choice, Chosen, choose};
use crate::error::{Context as _, Done, Failure};
use crate::session::Session;
use crate::{files, ledger, term, text};
use serde::{Deserialize, Serialize};
use shared::ids::AgentId;
use shared::ledger::Proven;
use shared::secret::Recipient;
use shared::strict::{self, Map};

const KNOWN: &str = "recipients.json";
const KNOWN_BYTES: usize = 4 << 20;

/// Keys of hosts that were confirmed here before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    hosts: Map<AgentId, Recipient>,
}

/// The keys of the chosen hosts.
///
/// # Errors
/// A host has no key, its enrolment is not in the ledger, or nobody confirmed a new one.
pub fn confirmed(session: &Session, args: &SecretArgs) -> Done<Vec<Recipient>> {
    let choice = Choice { names: &args.host, labels: &args.label, all: args.all, search: None };
    if choice.is_empty() {
        return Err(
            Failure::usage("no hosts are chosen").remedy("give --host HOST, --label KEY=VALUE or --all")
        );
    }
    let chosen = choose(&session.api, &session.profile.config.site, &choice)?;
    let keys = chosen.iter().map(key).collect::<Done<Vec<_>>>()?;
    let path = session.profile.dir.join("trust").join(KNOWN);
    let mut known: Known = match files::try_read(&path, KNOWN_BYTES)? {
        Some(bytes) => strict::from_json("the list of confirmed hosts", &bytes, KNOWN_BYTES)
            .or_fault(format!("{} is damaged", path.display()))?,
        None => Known::default(),
    };
    let new: Vec<(&Chosen, &Recipient)> = chosen
        .iter()
        .zip(&keys)
        .filter(|(chosen, key)| known.hosts.get(&chosen.host.agent) != Some(*key))
        .collect();
    if !new.is_empty() {
        recorded(session, &new)?;
        term::note(&listing(&new, &known));
        term::confirm("Type yes to let them read the value:", "yes", args.yes)?;
        known.hosts.extend(new.iter().map(|(chosen, key)| (chosen.host.agent, (*key).clone())));
        files::replace(&path, &strict::to_json(&known))?;
    }
    Ok(keys)
}

fn key(chosen: &Chosen) -> Done<Recipient> {
    let none = || {
        Failure::refused(format!("{} has no key for secrets", text::clean(&chosen.host.hostname)))
            .why("it joined with an agent that did not make one yet")
            .remedy("join it again with this version, or leave it out")
    };
    chosen.enrolment.body.recipient.clone().ok_or_else(none)
}

/// A host that a server invents has to be in the ledger for everybody to see.
fn recorded(session: &Session, new: &[(&Chosen, &Recipient)]) -> Done {
    let log = ledger::key(&session.site()?.policy)?;
    for (chosen, _) in new {
        let digest = chosen.enrolment.digest;
        let proof = session.api.proof(&digest)?;
        Proven::check(&proof.inclusion, &proof.checkpoint, &log, &digest).or_refuse(format!(
            "the enrolment of {} is not proven to be in the ledger",
            text::clean(&chosen.host.hostname)
        ))?;
    }
    Ok(())
}

fn listing(new: &[(&Chosen, &Recipient)], known: &Known) -> String {
    let mut rows = vec![["HOST", "CLASS", "AGENT ID", "KEY FOR SECRETS", ""].map(str::to_owned).to_vec()];
    rows.extend(new.iter().map(|(chosen, key)| {
        let before = known.hosts.contains_key(&chosen.host.agent);
        vec![
            text::clean(&chosen.enrolment.body.hostname),
            chosen.host.host_class.to_string(),
            chosen.host.agent.to_string(),
            key.to_string(),
            if before { "OTHER KEY THAN BEFORE".to_owned() } else { "new".to_owned() },
        ]
    }));
    format!(
        "These hosts have not been confirmed here. Which hosts exist and how they are labelled is the server's word:\n\
         compare the agent ids with `assent-agent status` on the hosts.\n{}",
        text::table(&rows)
    )
}
