//! Kernel modules: the files that load, set up or bar them, and whether they are loaded now.

use super::file::{Content, Want};
use super::parts::{Part, plain};
use super::wanted::Sight;
use super::{refuse, state, units};
use crate::host::{Entry, Fault, Host, Module};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{KernelModule, ModuleWant};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;

pub(super) fn wanted<'a, H: Host>(
    own: &'a KernelModule,
    sight: &Sight<'_, H>,
) -> Result<Vec<Part<'a>>, Refused> {
    let name = own.name.as_str();
    let (load, settings, loaded) = match &own.want {
        ModuleWant::Loaded { options } => {
            let options: Vec<&str> = options.iter().map(|option| option.as_str()).collect();
            let settings = (!options.is_empty()).then(|| format!("options {name} {}\n", options.join(" ")));
            (Some(format!("{name}\n")), settings, Some(true))
        }
        // The second line bars what loads it by name as well (modprobe.d(5)).
        ModuleWant::Blocked => {
            (None, Some(format!("blacklist {name}\ninstall {name} /bin/false\n")), Some(false))
        }
        ModuleWant::Absent => (None, None, None),
    };
    let mut parts = Vec::new();
    for (path, text) in [(own.load_file(), load), (own.settings_file(), settings)] {
        let content = match text {
            Some(text) => {
                parts.extend(units::missing(path.rsplit_once('/').map_or("", |(dir, _)| dir), sight)?);
                Content::Bytes(text.into_bytes().into())
            }
            None => Content::Absent,
        };
        parts.push(Part::File(Want::plain(path.into(), content)));
    }
    if let Some(loaded) = loaded.filter(|_| sight.host.has_kernel()) {
        let now = sight.host.module(name).map_err(|fault| refuse(fault.text()))?;
        bar(name, loaded, now, sight)?;
        parts.push(Part::Module { name: name.to_owned(), loaded });
    }
    Ok(parts)
}

/// Why the running kernel could not do what is wanted.
fn bar<H: Host>(name: &str, loaded: bool, now: Module, sight: &Sight<'_, H>) -> Result<(), Refused> {
    if now == Module::BuiltIn && !loaded {
        return Err(refuse(format!("{name} is built into the running kernel and cannot be unloaded")));
    }
    if (now == Module::Absent) != loaded {
        return Ok(());
    }
    let dir = format!("/lib/modules/{}", sight.host.uname().release);
    let there = sight.host.look(&dir).map_err(|fault| refuse(fault.text()))?;
    if there != Entry::Absent || sight.comes {
        return Ok(());
    }
    Err(refuse(format!(
        "the host has no {dir}, so it cannot load or unload {name} (a container uses the kernel of its host)"
    )))
}

pub fn digest(name: &str, loaded: bool) -> Digest {
    state(&("module", name, loaded))
}

pub(super) fn change(id: &ResourceId, name: &str, loaded: bool, now: bool) -> Option<Action> {
    let (verb, word, why) = match loaded {
        true => (Verb::Create, "load", "a module that is in use by then stays loaded"),
        false => (Verb::Remove, "unload", "it is loaded again with the parameters that files give it"),
    };
    (loaded != now).then(|| Action {
        class: ActionClass::SensitiveFile,
        undo: Reversibility { undo: UndoContract::Partly, why: why.to_owned() },
        ..plain(
            id,
            verb,
            (digest(name, now), digest(name, loaded)),
            format!("{word} the kernel module {name}"),
        )
    })
}

/// Loads or unloads it.
///
/// # Errors
/// modprobe(8)'s: there is no such module, or it is in use.
pub fn bring(name: &str, loaded: bool, host: &mut impl Host) -> Result<(), Fault> {
    let is =
        |host: &dyn Fn() -> Result<Module, Fault>| -> Result<bool, Fault> { Ok(host()? != Module::Absent) };
    if is(&|| host.module(name))? == loaded {
        return Ok(());
    }
    host.set_module(name, loaded)?;
    if is(&|| host.module(name))? == loaded {
        return Ok(());
    }
    let word = if loaded { "was not loaded" } else { "is still loaded" };
    Err(Fault::Refused(format!("the kernel module {name} {word}")))
}
