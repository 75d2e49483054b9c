//! The ruleset of nftables: loaded at once, and kept only when the server can be reached under it.
//!
//! Order: check, arm a restore that runs by itself, load, reach the server, disarm, and only then the file that is
//! loaded at boot. Whatever ends the agent in between, the former rules come back: by the armed restore, by the boot,
//! or by the agent that is started again.

use super::file::{self, Content, Want};
use super::parts::{Found, plain};
use super::wanted::Sight;
use super::{Saved, refuse, state, units};
use crate::host::{Attrs, Fault, Host};
use crate::plan::Item;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::manifest::{Checker, Firewall};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict;
use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

/// What was loaded last, and what the kernel then showed.
const RECORD: &str = "/var/lib/assent/firewall.json";
const RECORD_BYTES: u64 = 4 << 10;
/// The former rules, for whoever restores them.
const FORMER: &str = "/var/lib/assent/firewall-former.nft";
const PROGRAM: &str = "/usr/sbin/nft";
/// The armed restore leaves the agent time to do it itself, and to tell.
const GRACE_S: u32 = 10;
/// Between two tries to reach the server.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    content: Digest,
    live: Digest,
}

/// A run's view of the three parts: the kernel's rules, the file for the boot, the record.
pub struct Run<'a> {
    pub found: Vec<Found>,
    pub file: Want<'a>,
    /// The former rules, for [`super::Saved`].
    pub former: String,
}

/// What the kernel shows, without what changes by itself: counters, and elements that sets collect.
pub fn normal(rules: &str) -> Digest {
    let (mut kept, mut collects, mut skipping) = (String::new(), false, false);
    for line in rules.lines().map(str::trim) {
        if line.starts_with("set ") || line.starts_with("map ") {
            collects = false;
        }
        if let Some(flags) = line.strip_prefix("flags ") {
            collects = flags.split([',', ' ']).any(|flag| matches!(flag.trim(), "dynamic" | "timeout"));
        }
        skipping |= collects && line.starts_with("elements = {");
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
        if skipping && line.ends_with('}') {
            skipping = false;
        }
    }
    Digest::of(kept.as_bytes())
}

fn rules<H: Host>(host: &H) -> Result<String, Fault> {
    // Before the package that brings it there are no rules of its making.
    if host.has_program(PROGRAM)? { host.rules() } else { Ok(String::new()) }
}

fn content<'a, H: Host>(
    own: &Firewall,
    item: &Item<'a>,
    facts: &TemplateFacts,
    sight: &Sight<'_, H>,
) -> Result<Want<'a>, Refused> {
    let text = units::text(item, &own.source, facts)?;
    if !Firewall::begins_anew(&text) {
        return Err(refuse(
            "the ruleset does not begin with `flush ruleset`; loading it twice would add it twice",
        ));
    }
    let there = sight.host.has_program(PROGRAM).map_err(|fault| refuse(fault.text()))?;
    if !there && !sight.comes {
        return Err(refuse(format!("the host has no {PROGRAM}; require the package nftables")));
    }
    let content = Content::Bytes(text.into_bytes().into());
    Ok(Want { checker: Some(Cow::Owned(Checker::nft())), ..Want::plain(Firewall::PATH.into(), content) })
}

/// The action that brings the ruleset about; `None` when file and kernel have it.
///
/// # Errors
/// The machine's, or the ruleset cannot be one.
pub(crate) fn diff<H: Host>(
    item: &Item<'_>,
    own: &Firewall,
    facts: &TemplateFacts,
    sight: &Sight<'_, H>,
) -> Result<Option<Action>, Refused> {
    let refused = |fault: Fault| refuse(fault.text());
    let want = content(own, item, facts, sight)?;
    let found = sight.file(Firewall::PATH)?;
    let owner = sight.host.default_owner();
    let change = file::diff(&item.id(), &want, &found, sight.accounts, owner)?;
    let live =
        if sight.host.has_kernel() { Some(normal(&rules(sight.host).map_err(refused)?)) } else { None };
    let loaded = match live {
        None => true,
        Some(live) => {
            record(sight.host).map_err(refused)? == want.digest().map(|content| Record { content, live })
        }
    };
    let (verb, mut summary, diff) = match change {
        None if loaded => return Ok(None),
        None => (Verb::Update, format!("{} stays as it is", Firewall::PATH), None),
        Some(change) => (change.verb, change.summary, change.diff),
    };
    if live.is_some() {
        summary = format!(
            "load the ruleset of nftables, which is taken back unless the server is reached within {} s; {summary}",
            own.confirm_s
        );
    }
    let before = state(&("firewall", file::digest(&found, sight.accounts), live));
    let after = state(&("firewall", want.end(&found, sight.accounts, owner), live.is_some(), own.confirm_s));
    let action = plain(&item.id(), verb, (before, after), summary);
    Ok(Some(Action { class: ActionClass::SensitiveFile, diff, ..action }))
}

fn record(host: &impl Host) -> Result<Option<Record>, Fault> {
    // A damaged record only means that the rules are loaded once more.
    Ok(host.read(RECORD, RECORD_BYTES)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Looks at what the step is about, and checks that it would end as approved.
///
/// # Errors
/// The machine's; file or template are not as they were when the plan was made.
pub(crate) fn inspect<'a, H: Host>(
    (own, after): (&Firewall, Digest),
    item: &Item<'a>,
    facts: &TemplateFacts,
    sight: &Sight<'_, H>,
) -> Result<Run<'a>, Fault> {
    let file = content(own, item, facts, sight).map_err(|refused| Fault::Refused(refused.message))?;
    let found = file::inspect(Firewall::PATH, sight.host)?;
    let has_kernel = sight.host.has_kernel();
    let end = file.end(&found, sight.accounts, sight.host.default_owner());
    if state(&("firewall", end, has_kernel, own.confirm_s)) != after {
        return Err(Fault::Refused("the ruleset would not become the approved one; plan again".into()));
    }
    let mut all = Vec::new();
    let mut former = String::new();
    if has_kernel {
        all.push(Found::File { path: RECORD.into(), found: file::inspect(RECORD, sight.host)? });
        former = rules(sight.host)?;
        let saved = Digest::of(former.as_bytes());
        all.push(Found::Rules { path: "nftables".into(), live: normal(&former), saved });
    }
    all.push(Found::File { path: Firewall::PATH.into(), found });
    Ok(Run { found: all, file, former })
}

/// Brings the ruleset about. `reach` asks the server on a new connection, within the given time.
///
/// # Errors
/// It is not accepted by nft, or the server was not reached in time: then the former rules are back.
pub fn apply(
    run: &Run<'_>,
    confirm_s: u32,
    host: &mut impl Host,
    reach: &dyn Fn(Duration) -> Result<(), String>,
) -> Result<(), Fault> {
    let owner = host.default_owner();
    let accounts = host.accounts()?;
    let Some(Found::File { found, .. }) = run.found.last() else {
        return Err(Fault::Refused("there is nothing to be loaded".into()));
    };
    let (digest, attrs) = run.file.content_and_attrs(found, &accounts, owner)?;
    let Content::Bytes(text) = &run.file.content else { return Ok(()) };
    host.stage(Firewall::PATH, &mut &text[..], digest, attrs)?;
    host.sync_staged()?;
    file::check(&run.file, host)?;
    if host.has_kernel() {
        let loaded = live(&run.former, confirm_s, host, reach);
        if let Err(fault) = loaded {
            host.sweep(Firewall::PATH)?;
            return Err(fault);
        }
    }
    host.commit(Firewall::PATH)?;
    host.sync_committed()?;
    if host.has_kernel() {
        let record = strict::to_json(&Record { content: digest, live: normal(&host.rules()?) });
        put(RECORD, &record, host)?;
        host.remove(FORMER)?;
    }
    Ok(())
}

fn put(path: &str, bytes: &[u8], host: &mut impl Host) -> Result<(), Fault> {
    let (uid, gid) = host.default_owner();
    host.put(path, &mut &bytes[..], Digest::of(bytes), Attrs { uid, gid, mode: 0o600 })
}

/// The part that can cut the host off.
fn live(
    former: &str,
    confirm_s: u32,
    host: &mut impl Host,
    reach: &dyn Fn(Duration) -> Result<(), String>,
) -> Result<(), Fault> {
    // One of an earlier run would take these rules back.
    host.disarm_restore()?;
    put(FORMER, format!("flush ruleset\n{former}").as_bytes(), host)?;
    host.arm_restore(FORMER, confirm_s + GRACE_S)?;
    let loaded = host.check(Firewall::PATH, &Checker::nft_load());
    let confirmed = loaded.and_then(|ran| ran.success(PROGRAM)).and_then(|_| {
        let loaded = normal(&host.rules()?);
        confirm(confirm_s, reach)?;
        host.disarm_restore()?;
        // A restore that was quicker than the answer has undone what would be told.
        let changed = || Fault::Refused("the new rules did not stay loaded".into());
        if normal(&host.rules()?) == loaded { Ok(()) } else { Err(changed()) }
    });
    let Err(why) = confirmed else { return Ok(()) };
    host.load_rules(FORMER)?;
    host.disarm_restore()?;
    Err(Fault::Refused(format!("{}; the former rules are back", why.text())))
}

fn confirm(confirm_s: u32, reach: &dyn Fn(Duration) -> Result<(), String>) -> Result<(), Fault> {
    let (started, limit) = (Instant::now(), Duration::from_secs(confirm_s.into()));
    let mut last = String::new();
    loop {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Fault::Refused(format!(
                "the server was not reached within {confirm_s} s under the new rules ({last})"
            )));
        }
        match reach(left) {
            Ok(()) if started.elapsed() < limit => return Ok(()),
            Ok(()) => last = "the answer came too late".into(),
            Err(why) => last = why,
        }
        thread::sleep(PAUSE.min(limit.saturating_sub(started.elapsed())));
    }
}

/// Puts the former rules back into the kernel.
///
/// # Errors
/// The machine's, or the former rules were not kept.
pub fn undo(live: Digest, saved: Digest, host: &mut impl Host, kept: &dyn Saved) -> Result<(), Fault> {
    // What is armed stays so until the rules are back.
    if normal(&rules(host)?) != live {
        let mut former = String::new();
        std::io::Read::read_to_string(&mut kept.open(saved)?, &mut former)
            .map_err(Fault::io("read the former rules"))?;
        put(FORMER, format!("flush ruleset\n{former}").as_bytes(), host)?;
        host.load_rules(FORMER)?;
    }
    host.disarm_restore()?;
    host.remove(FORMER)
}

/// After a run that broke off: nothing is restored any more where nothing has changed.
///
/// # Errors
/// The machine's.
pub fn tidy(live: Digest, host: &mut impl Host) -> Result<(), Fault> {
    if normal(&rules(host)?) != live {
        return Ok(());
    }
    host.disarm_restore()?;
    host.remove(FORMER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let rules = |element: &str, port: u32| {
            format!(
                "table inet f {{\n\tset bans {{\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\telements = {{ {element}\n\t\t\t     192.0.2.9 expires 5m }}\n\t}}\n\n\tset fixed {{\n\t\ttype ipv4_addr\n\t\telements = {{ 192.0.2.7 }}\n\t}}\n\tchain i {{\n\t\ttcp dport {port} accept\n\t}}\n}}\n"
            )
        };
        assert_eq!(normal(&rules("192.0.2.1 expires 3m,", 22)), normal(&rules("192.0.2.2,", 22)));
        assert_ne!(normal(&rules("192.0.2.1,", 22)), normal(&rules("192.0.2.1,", 23)));
        let other = rules("192.0.2.1,", 22).replace("192.0.2.7", "192.0.2.8");
        assert_ne!(normal(&rules("192.0.2.1,", 22)), normal(&other));
    }
}
