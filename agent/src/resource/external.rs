//! External kinds: programs that speak the resource protocol of Microsoft DSC v3.
//!
//! A plan runs nothing of a manifest, so it cannot ask the program: it shows and binds what will be handed to which
//! program, and says that the program decides at apply time. There, after the approval, `get` and `test` are asked
//! first, then `whatIf` where there is one, `set` (or `delete`) only when they differ, and `test` once more. Never:
//! another program than the bound one.

use super::{command, refuse, state};
use crate::host::{Attrs, Entry, Exec, Fault, Host, Ran};
use serde::Deserialize;
use serde_json::Value;
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::limits;
use shared::manifest::{Argv, External, Resource};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

/// Programs by their digest; root's alone.
const CACHE: &str = "/var/lib/assent/external";
/// A DSC resource manifest; real ones with an embedded schema are below 40 KiB.
const MANIFEST_BYTES: u64 = 1 << 20;
/// What a program tells on standard output: one or two JSON documents.
const OUTPUT_BYTES: usize = 1 << 20;

/// Opens a blob of the repository.
pub type Artifacts<'a> = dyn Fn(Digest) -> Result<Box<dyn Read>, Fault> + 'a;

/// What is used of a DSC resource manifest (`resource/manifest.json` of DSC v3); other keys are for other tools.
#[derive(Debug, Deserialize)]
pub struct DscManifest {
    #[serde(rename = "$schema")]
    schema_uri: String,
    #[serde(rename = "type")]
    dsc_type: String,
    /// Anything but `resource` speaks for other resources.
    #[serde(default)]
    kind: Option<String>,
    get: Method,
    set: Method,
    #[serde(default)]
    delete: Option<Method>,
    #[serde(default)]
    test: Option<Method>,
    /// Tells what `set` would come to and changes nothing.
    #[serde(default, rename = "whatIf")]
    what_if: Option<Method>,
    /// What exit codes mean, for people; 0 is success.
    #[serde(default, rename = "exitCodes")]
    exit_codes: BTreeMap<String, String>,
}

/// How one operation is started.
#[derive(Debug, Deserialize)]
struct Method {
    executable: String,
    #[serde(default)]
    args: Vec<Arg>,
    /// `stdin`, or nothing.
    #[serde(default)]
    input: Option<String>,
    /// `state` or `stateAndDiff`.
    #[serde(default, rename = "return")]
    returns: Option<String>,
    /// Whether `set` itself takes away what is not to exist.
    #[serde(default, rename = "handlesExist")]
    handles_exist: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arg {
    Text(String),
    /// The desired state as one argument after this one.
    Json {
        #[serde(rename = "jsonInputArg")]
        name: String,
        #[serde(default)]
        mandatory: bool,
    },
    /// Only given when nothing is to be changed.
    WhatIf {
        #[serde(rename = "whatIfArg")]
        name: String,
    },
}

/// Whether an operation is to do what it is for, or only to tell what that would come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    Do,
    Tell,
}

impl Method {
    /// The properties that it names in its second document, where it tells state and difference.
    fn names<'t>(&self, told: &'t [Value]) -> Option<Vec<&'t str>> {
        match told.get(1) {
            Some(Value::Array(names)) if self.returns.as_deref() == Some("stateAndDiff") => {
                Some(names.iter().filter_map(Value::as_str).collect())
            }
            _ => None,
        }
    }
}

/// The program in its place, and how it is spoken to.
#[derive(Debug)]
pub struct Ready {
    manifest: DscManifest,
    program: String,
    timeout_s: u32,
}

/// What an approval binds.
pub fn digest(want: &External) -> Digest {
    state(&("external", want))
}

/// The action; whether anything is left to do only the program can tell.
///
/// # Errors
/// It is too long to be shown.
pub fn action(id: &ResourceId, want: &External) -> Result<Action, Refused> {
    let resource = Resource::External(want.clone());
    let shown = format!(
        "type {}\nresource manifest sha256 {}\nprogram sha256 {}\nproperties {:#}\nrestore {}\ntimeout {} s\n",
        want.dsc_type,
        want.manifest.sha256,
        want.program.sha256,
        desired(want),
        want.restore,
        want.timeout_s
    );
    if shown.len() > limits::DIFF_BYTES {
        return Err(refuse(format!(
            "{id} is too long to be shown to whoever approves it; give its program a file of the manifest to read"
        )));
    }
    Ok(Action {
        resource: id.clone(),
        verb: Verb::Run,
        class: ActionClass::External,
        before: None,
        after: digest(want),
        summary: format!(
            "run the program of external type {} as root with these properties; what it changes is its own matter, \
             and only when it is applied it is asked whether anything is to change",
            want.dsc_type
        ),
        diff: Some(shown),
        undo: resource.undo().into(),
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
        content: None,
    })
}

/// Reads the resource manifest and puts the program into its place, both as approved.
///
/// # Errors
/// They are not there or do not fit each other; the machine's.
pub fn prepare(want: &External, host: &mut impl Host, artifacts: &Artifacts<'_>) -> Result<Ready, Fault> {
    let no = |why: String| Fault::Refused(format!("the resource manifest of {} {why}", want.dsc_type));
    let mut bytes = Vec::new();
    let io = Fault::io("read the resource manifest");
    artifacts(want.manifest.sha256)?.take(MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MANIFEST_BYTES || Digest::of(&bytes) != want.manifest.sha256 {
        return Err(no("is too large, or not the approved one".into()));
    }
    let manifest: DscManifest =
        serde_json::from_slice(&bytes).map_err(|e| no(format!("cannot be read: {e}")))?;
    // Both addresses of the schemas are in use.
    let is_dsc = ["/dsc/schemas/", "/DSC/"].iter().any(|part| manifest.schema_uri.contains(part));
    if !is_dsc || manifest.dsc_type != want.dsc_type.as_str() {
        let found = shared::strict::shorten(&manifest.dsc_type);
        return Err(no(format!("is no DSC resource manifest of that type, but of {found:?}")));
    }
    if let Some(kind) = manifest.kind.as_deref().filter(|kind| *kind != "resource") {
        let kind = shared::strict::shorten(kind);
        return Err(no(format!("is one of the kind {kind:?}; only single resources are supported")));
    }
    let name = manifest.set.executable.clone();
    let others = [&manifest.test, &manifest.delete, &manifest.what_if].into_iter().flatten();
    let other = others.chain([&manifest.get]).any(|method| method.executable != name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if other || name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(no("names another program beside the one that was approved".into()));
    }
    let dir = format!("{CACHE}/{}", want.program.sha256);
    let (uid, gid) = host.default_owner();
    let attrs = |mode| Attrs { uid, gid, mode };
    for dir in [CACHE, &dir] {
        if host.look(dir)? == Entry::Absent {
            host.make_dir(dir, attrs(0o700))?;
        }
    }
    let program = format!("{dir}/{name}");
    let there = host.scan(&program, 0)?;
    if there.digest != Some(want.program.sha256)
        || there.entry != (Entry::File { attrs: attrs(0o700), length: want.program.length })
    {
        host.put(&program, &mut artifacts(want.program.sha256)?, want.program.sha256, attrs(0o700))?;
    }
    Ok(Ready { manifest, program, timeout_s: want.timeout_s })
}

/// Removes the programs of earlier changes; nothing can need them any more when a run begins.
///
/// # Errors
/// The machine's.
pub fn tidy<'w>(needed: impl Iterator<Item = &'w External>, host: &mut impl Host) -> Result<(), Fault> {
    let needed: BTreeSet<String> = needed.map(|want| want.program.sha256.to_string()).collect();
    for name in host.list(CACHE)?.into_iter().filter(|name| !needed.contains(name)) {
        let dir = format!("{CACHE}/{name}");
        for file in host.list(&dir)? {
            host.remove(&format!("{dir}/{file}"))?;
        }
        host.remove_dir(&dir)?;
    }
    Ok(())
}

/// Properties are JSON in every case.
fn desired(want: &External) -> Value {
    serde_json::to_value(&want.properties).unwrap_or_default()
}

impl Ready {
    fn exec(&self, method: &Method, input: &[u8], intent: Intent) -> Result<Exec, Fault> {
        let text = || String::from_utf8_lossy(input).into_owned();
        let (mut arguments, mut given) = (Vec::new(), false);
        for arg in &method.args {
            match arg {
                Arg::Text(text) => arguments.push(text.clone()),
                Arg::Json { name, mandatory } if *mandatory || input != b"{}" => {
                    arguments.extend([name.clone(), text()]);
                    given = true;
                }
                Arg::WhatIf { name } if intent == Intent::Tell => arguments.push(name.clone()),
                Arg::Json { .. } | Arg::WhatIf { .. } => {}
            }
        }
        let mut exec = Exec::new(&self.program, arguments).output_bytes(OUTPUT_BYTES);
        exec.timeout = Duration::from_secs(u64::from(self.timeout_s));
        match method.input.as_deref() {
            Some("stdin") => exec.input = Some(input.to_vec()),
            None if given => {}
            None if input == b"{}" => {}
            other => {
                let way = other.unwrap_or("neither stdin nor an argument");
                return Err(Fault::Refused(format!(
                    "{} takes its input by {way}, which is not supported",
                    self.program
                )));
            }
        }
        Ok(exec)
    }

    /// Runs one operation; answers the JSON documents that it printed, one a line.
    fn ask(
        &self,
        what: &str,
        (method, intent): (&Method, Intent),
        input: &[u8],
        host: &mut impl Host,
    ) -> Result<Vec<Value>, Fault> {
        let Ran { code, how, stdout, cut, .. } = host.run(&self.exec(method, input, intent)?)?;
        if code != Some(0) {
            let meaning = code.and_then(|code| self.manifest.exit_codes.get(&code.to_string()));
            let meaning =
                meaning.map(|text| format!(" ({})", shared::strict::shorten(text))).unwrap_or_default();
            // What it prints may quote the state, which is nobody else's matter.
            return Err(Fault::Refused(format!("{what} of {} {how}{meaning}", self.manifest.dsc_type)));
        }
        if cut {
            return Err(Fault::Refused(format!("{what} of {} printed too much", self.manifest.dsc_type)));
        }
        let lines = stdout.split(|b| *b == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
        let bad = |_| {
            Fault::Refused(format!("{what} of {} printed something else than JSON", self.manifest.dsc_type))
        };
        lines.map(|line| serde_json::from_slice(line).map_err(bad)).collect()
    }

    /// The state now, as the program tells it.
    ///
    /// # Errors
    /// It does not tell it.
    pub fn get(&self, want: &External, host: &mut impl Host) -> Result<Value, Fault> {
        let told = self.ask("get", (&self.manifest.get, Intent::Do), &want.properties.to_json(), host)?;
        let none = || Fault::Refused(format!("get of {} told no state", self.manifest.dsc_type));
        told.into_iter().next().filter(Value::is_object).ok_or_else(none)
    }

    /// Which of the wanted properties are not as wanted, by the program's own test, or else by what `get` tells;
    /// `None` when nothing is left to do. A program need not tell which.
    ///
    /// # Errors
    /// It does not tell.
    pub fn differing(&self, want: &External, host: &mut impl Host) -> Result<Option<Vec<String>>, Fault> {
        let desired = desired(want);
        let Some(test) = &self.manifest.test else {
            return Ok(some(differing(&self.get(want, host)?, &desired)));
        };
        let told = self.ask("test", (test, Intent::Do), &want.properties.to_json(), host)?;
        if let Some(names) = test.names(&told) {
            let known = |name: &&str| desired.get(name).is_some();
            let named = names.iter().copied().filter(known).map(str::to_owned).collect();
            return Ok((!names.is_empty()).then_some(named));
        }
        let none = || Fault::Refused(format!("test of {} told no state", self.manifest.dsc_type));
        let told = told.first().filter(|told| told.is_object()).ok_or_else(none)?;
        let names = differing(told, &desired);
        Ok(match told.get("_inDesiredState").and_then(Value::as_bool) {
            Some(true) => None,
            Some(false) => Some(names),
            None => some(names),
        })
    }

    /// The operation that brings a state about: `delete` for what is not to be there, where `set` cannot do that.
    fn bringing(&self, state: &Value) -> (&'static str, &Method) {
        let gone = state.get("_exist").and_then(Value::as_bool) == Some(false);
        match &self.manifest.delete {
            Some(delete) if gone && !self.manifest.set.handles_exist => ("delete", delete),
            _ => ("set", &self.manifest.set),
        }
    }

    /// Lets the program tell what setting would come to, where it can do that without setting anything: by `whatIf`, or
    /// by an argument of the operation. Answers what it names beside the properties that are wanted.
    ///
    /// # Errors
    /// It failed, or announces another state than the approved one; then nothing is set.
    pub fn announced(&self, want: &External, host: &mut impl Host) -> Result<Vec<String>, Fault> {
        let desired = desired(want);
        let (what, method) = self.bringing(&desired);
        let by_argument = method.args.iter().any(|arg| matches!(arg, Arg::WhatIf { .. }));
        let method = match &self.manifest.what_if {
            Some(what_if) if what == "set" => what_if,
            _ if by_argument => method,
            _ => return Ok(Vec::new()),
        };
        let told = self.ask("whatIf", (method, Intent::Tell), &want.properties.to_json(), host)?;
        if told.first().is_some_and(|state| what == "set" && !holds(state, &desired)) {
            return Err(Fault::Refused(format!(
                "nothing was set: whatIf of {} announces another state than the approved one",
                want.dsc_type
            )));
        }
        let names = method.names(&told).unwrap_or_default();
        let besides = names.into_iter().filter(|name| desired.get(name).is_none());
        Ok(besides.map(shared::strict::shorten).collect())
    }

    /// Brings the state about, and asks whether it is right.
    ///
    /// # Errors
    /// It is not, or the program failed.
    pub fn set(&self, want: &External, host: &mut impl Host) -> Result<(), Fault> {
        let (what, method) = self.bringing(&desired(want));
        self.ask(what, (method, Intent::Do), &want.properties.to_json(), host)?;
        if self.differing(want, host)?.is_none() {
            return Ok(());
        }
        Err(Fault::Refused(format!(
            "{what} of {} ended well, but the state is still another one",
            want.dsc_type
        )))
    }

    /// What undoing needs: the same program, to set what it told before.
    ///
    /// # Errors
    /// The state before cannot be handed over.
    pub fn found(&self, want: &External, before: &Value, host: &impl Host) -> Result<command::Found, Fault> {
        let (mut undo, mut input) = (None, None);
        if want.restore {
            let exec = self.exec(self.bringing(before).1, before.to_string().as_bytes(), Intent::Do)?;
            let line: Vec<String> = std::iter::once(exec.program).chain(exec.arguments).collect();
            let bad = |e: shared::manifest::NotAValue| {
                Fault::Refused(format!("what was before cannot be set again: {e}"))
            };
            undo = Some(Argv::try_from(line).map_err(bad)?);
            input = exec.input.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        }
        command::Found::of(undo, Map::default(), self.timeout_s, input, host)
    }
}

fn some(names: Vec<String>) -> Option<Vec<String>> {
    (!names.is_empty()).then_some(names)
}

/// The wanted properties that are not there as wanted.
fn differing(now: &Value, wanted: &Value) -> Vec<String> {
    let (Value::Object(now), Value::Object(wanted)) = (now, wanted) else { return Vec::new() };
    wanted.iter().filter(|(key, wanted)| !has(now, key, wanted)).map(|(key, _)| key.clone()).collect()
}

/// Whether everything that is wanted is there; what is there besides does not count. The other keys of DSC that begin
/// with `_` are no state, but `_exist` is.
fn holds(now: &Value, wanted: &Value) -> bool {
    match (now, wanted) {
        (Value::Object(now), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| has(now, key, wanted))
        }
        _ => now == wanted,
    }
}

fn has(now: &serde_json::Map<String, Value>, key: &str, wanted: &Value) -> bool {
    match now.get(key) {
        Some(now) => holds(now, wanted),
        // What exists need not say so.
        None => key == "_exist" && *wanted == Value::Bool(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wanted_must_be_there_and_more_may_be() {
        let now = json!({ "a": 1, "b": { "c": "x", "d": [1, 2] }, "_inDesiredState": false });
        for (wanted, right) in [
            (json!({}), true),
            (json!({ "a": 1, "b": { "c": "x" }, "_exist": true }), true),
            (json!({ "a": 2 }), false),
            (json!({ "b": { "d": [1] } }), false),
            (json!({ "e": 1 }), false),
            (json!({ "_exist": false }), false),
        ] {
            assert_eq!(holds(&now, &wanted), right, "{wanted}");
            assert_eq!(differing(&now, &wanted).is_empty(), right, "{wanted}");
        }
        assert_eq!(differing(&now, &json!({ "a": 1, "b": {}, "e": 1, "_exist": false })), ["_exist", "e"]);
    }
}
