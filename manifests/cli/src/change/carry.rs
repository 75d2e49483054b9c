//! `assent glass`: a change is put into a file while the server is there, and the glass is broken for it when it is not.
//!
//! The change has its number and its hosts' plans from the server; what is signed without it is only the word. Never: a
//! word for something that this machine has not verified and shown.

use super::approve::{self, Said};
use super::args::BreakArgs;
use super::forecast::Forecast;
use super::glass;
use super::narrow;
use super::render::{Style, render};
use super::review::Review;
use super::show;
use crate::error::{Context as _, Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::trust::{self, Site};
use crate::written::{self, Written};
use crate::{files, term, window};
use serde::{Deserialize, Serialize};
use shared::approval::{BreakGlass, Decision};
use shared::bundle::Bundle;
use shared::carried::Carried;
use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::limits;
use shared::manifest::Artifact;
use shared::strict;
use shared::wire::ChangeFile;
use std::collections::BTreeMap;
use std::path::Path;

const SCHEMA: &str = "assent-prepared-v1";
/// What is carried, and the change as it is shown: its plans for up to 2,000 hosts.
const PREPARED_BYTES: usize = 64 << 20;
/// Contents of artifacts together, so that they fit into what a host takes.
const ARTIFACT_BYTES: u64 = 4 << 20;

/// A change on the shelf.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepared {
    schema: String,
    /// As the server gave it; verified again when it is opened.
    file: ChangeFile,
    /// What hosts get, without the word.
    carried: String,
}

/// Puts the change with everything that its hosts need into a file.
pub fn prepare(session: &Session, id: &ChangeId, (out, json): (&Path, bool)) -> Done {
    let site = session.site()?;
    let file = session.api.change(id)?;
    let manifest = |named: &_| site.manifest_of(&session.api, named);
    let review = Review::of(&site.policy, id, file.clone(), manifest, session.now)?;
    check(&site, &review)?;
    let mut manifests = Vec::new();
    for named in &review.change.body.manifests {
        let bytes = site.manifest_bytes(&session.api, &named.team, &named.name, &named.version)?;
        manifests.push(String::from_utf8(bytes).or_refuse("a published manifest is no text")?);
    }
    let bundle = Bundle {
        change: review.change.clone(),
        plan_set: review.set.clone(),
        approvals: review.approvals.iter().map(|said| said.statement.clone()).collect(),
    };
    let ends = review.receipts.values().map(|receipt| receipt.envelope.clone()).collect();
    let carried =
        Carried { bundle, ends, manifests, plans: Vec::new(), artifacts: artifacts(session, &review)? };
    let carried = String::from_utf8(sized(&carried)?).or_refuse("what is to be carried is no text")?;
    let prepared = Prepared { schema: SCHEMA.into(), file, carried };
    files::write_new(out, &strict::to_json(&prepared))?;
    let (hosts, until) = (review.set.plans.len(), review.change.body.not_after);
    let (revision, shown) = (review.change.body.revision, out.display());
    let words = format!(
        "{id} revision {revision} for {hosts} hosts is in {shown}, good until {until}\nkeep it where you find it when \
         the server is away; prepare it anew after each edition of its manifests or plans\n",
    );
    let now =
        serde_json::json!({ "change_id": id, "revision": revision, "hosts": hosts, "not_after": until });
    written::tell(json, Written::of("prepared", shown, &now)?, &words)
}

fn check(site: &Site, review: &Review) -> Done {
    review.check_approvable()?;
    let body = &review.change.body;
    let id = &body.change_id;
    if body.is_record() {
        return Err(Failure::refused(format!("{id} brings nothing to hosts, and no host runs it")));
    }
    if let Some(model) = &body.model {
        let failure =
            Failure::refused(format!("{id} is a standard change, which model {model} allows or not"));
        return Err(failure.remedy("prepare a normal or emergency change"));
    }
    if site.policy.log.proof_before_start {
        let failure = Failure::refused("nothing can be carried by hand at this site");
        return Err(failure.why("its policy lets nothing begin that the ledger does not prove"));
    }
    Ok(())
}

fn artifacts(session: &Session, review: &Review) -> Done<Vec<Vec<u8>>> {
    let wanted = review.manifests.iter().flat_map(|manifest| manifest.get().artifacts());
    let wanted: BTreeMap<Digest, Artifact> = wanted.map(|artifact| (artifact.sha256, artifact)).collect();
    let length: u64 = wanted.values().map(|artifact| artifact.length).fold(0, u64::saturating_add);
    if length > ARTIFACT_BYTES || wanted.len() > limits::CARRIED_ARTIFACTS {
        let why = format!("there are {} with {length} bytes", wanted.len());
        let most = format!(
            "at most {} artifacts with {ARTIFACT_BYTES} bytes together are carried by hand",
            limits::CARRIED_ARTIFACTS
        );
        return Err(Failure::refused(most).why(why));
    }
    let fetch = |artifact: &Artifact| {
        let bytes = session.api.artifact(&artifact.sha256, artifact.length)?;
        match Digest::of(&bytes) == artifact.sha256 {
            true => Ok(bytes),
            false => {
                Err(Failure::refused(format!("the server sent another artifact than {}", artifact.sha256)))
            }
        }
    };
    wanted.values().map(fetch).collect()
}

fn sized(carried: &Carried) -> Done<Vec<u8>> {
    let bytes = carried.to_bytes();
    let (size, most) = (bytes.len(), limits::CARRIED_BYTES);
    if size > most {
        let failure =
            Failure::refused(format!("what a host needs has {size} bytes; at most {most} are carried"));
        return Err(failure.remedy("make a change for fewer hosts"));
    }
    Ok(bytes)
}

/// Signs the word for a prepared change, with what this machine knows of the site.
pub fn break_glass(session: &Session, args: &BreakArgs) -> Done {
    let json = args.json.begin();
    let site = trust::kept(&session.profile, session.now)?;
    let bytes = files::read(&args.file, PREPARED_BYTES)?;
    let name = args.file.display();
    let prepared: Prepared = strict::from_json("it", &bytes, PREPARED_BYTES)
        .or_refuse(format!("{name} is no file of `assent glass prepare`"))?;
    if prepared.schema != SCHEMA {
        return Err(Failure::refused(format!("{name} is of another version of this command")));
    }
    let mut carried = Carried::parse(prepared.carried.as_bytes()).or_refuse(format!("{name} is damaged"))?;
    let id = carried.bundle.change.body.change_id.clone();
    let kept = |named: &_| site.kept_manifest(named, &carried.manifests);
    let review = Review::of(&site.policy, &id, prepared.file, kept, session.now)?;
    if carried.bundle.change != review.change || carried.bundle.plan_set != review.set {
        return Err(Failure::refused(format!("{name} shows another change or plans than it carries")));
    }
    glass::check(session, &site, &args.reason)?;
    check(&site, &review)?;
    look(session, &site, &review, args)?;
    let agents = narrow::only(&review, &args.host)?.unwrap_or_default();
    if agents.len() > limits::CARRIED_HOSTS {
        let most = limits::CARRIED_HOSTS;
        return Err(Failure::usage(format!("one word is carried to at most {most} hosts")));
    }
    let expires = glass::expires(session, &site, args.expires.as_deref())?;
    term::confirm(&format!("{}:", session.lang.word(Word::TypeToApprove)), id.as_str(), args.yes)?;
    let breakglass = Some(BreakGlass { reason: args.reason.clone(), by_hand: true });
    let said =
        Said { decision: Decision::Approve, expires, agents: Some(agents.clone()), comment: "", breakglass };
    let statement = approve::signed(session, &site, &review, said, args.ssh.place())?;
    let forecast = Forecast::of(&site.policy, &review, Some(&statement), session.now);
    if forecast.allowed() == 0 {
        let why: Vec<String> = forecast.reasons().into_iter().collect();
        return Err(Failure::refused("no host would start by this word").why(why.join("; ")));
    }
    carried.bundle.approvals.push(statement);
    carried.plans =
        agents.iter().filter_map(|agent| review.plans.get(agent)).map(|plan| plan.envelope.clone()).collect();
    files::write_new(&args.out, &sized(&carried)?)?;
    term::print(&approve::told(session, &review, &forecast))?;
    let file = args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    term::print(&format!(
        "{} is good until {expires}, once on each host that it names\non each of them, as root: assent-agent glass {file}\n",
        args.out.display()
    ))?;
    let now = serde_json::json!({ "change_id": id, "agents": agents, "expires": expires });
    written::tell(json, Written::of("glass", args.out.display(), &now)?, "")
}

/// The page of the change, as before any other word.
fn look(session: &Session, site: &Site, review: &Review, args: &BreakArgs) -> Done {
    let (zone, names) = (window::zone(None)?, BTreeMap::new());
    let style = Style { lang: session.lang, zone: &zone, colour: term::has_colour(), names: &names };
    term::print(&render(review, &site.policy, &style))?;
    show::tell_what_counts(session, site, review)?;
    approve::show_hidden(session, review, (args.diff_to.as_deref(), args.accept_unseen), |_| None)?;
    term::note(&format!("note: {}\n", session.lang.word(Word::CarriedByHand)));
    Ok(())
}
