//! File systems: their line in fstab(5), and whether they are mounted now.
//!
//! Two mounts count as the same when source, type and those options agree that decide who may do what: the kernel
//! shows many more options than anybody writes.

use super::file::Want;
use super::parts::{Part, plain};
use super::wanted::Sight;
use super::{refuse, state, units};
use crate::host::{Entry, Fault, Host, Mounted};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Mount, MountWant};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;

/// Options that are compared, each with whether its absence is told by another word.
const COMPARED: [&str; 5] = ["ro", "nosuid", "nodev", "noexec", "noatime"];

pub(super) fn wanted<'a, H: Host>(own: &'a Mount, sight: &Sight<'_, H>) -> Result<Vec<Part<'a>>, Refused> {
    let path = own.path.as_str();
    let old = sight.bytes(Mount::TABLE)?;
    let old = String::from_utf8(old.unwrap_or_default())
        .map_err(|_| refuse(format!("{} is no UTF-8 text and is not edited", Mount::TABLE)))?;
    let new = edit(own, &old);
    let table = Part::File(Want::part(Mount::TABLE.into(), new));
    let table = (own.want.is_some() || !old.is_empty()).then_some(table);
    let live = sight.host.has_kernel();
    let mut parts = Vec::new();
    match &own.want {
        Some(want) => {
            parts.extend(units::missing(path, sight)?);
            parts.extend(table);
            if want.mounted && live {
                parts.push(Part::Mount { path: path.to_owned(), want: Some(mounted(want)) });
            }
        }
        None => {
            if live {
                parts.push(Part::Mount { path: path.to_owned(), want: None });
            }
            parts.extend(table);
        }
    }
    Ok(parts)
}

fn mounted(want: &MountWant) -> Mounted {
    Mounted {
        source: want.source.to_string(),
        fstype: want.fstype.to_string(),
        options: want.options.iter().map(|option| option.to_string()).collect(),
    }
}

/// The table with one line for the mount point, in its old place if it had one.
fn edit(own: &Mount, table: &str) -> String {
    let path = escaped(own.path.as_str());
    let line = own.want.as_ref().map(|want| {
        let options: Vec<&str> = want.options.iter().map(|option| option.as_str()).collect();
        let options = if options.is_empty() { "defaults".to_owned() } else { options.join(",") };
        format!(
            "{} {path} {} {} 0 {}",
            escaped(want.source.as_str()),
            want.fstype,
            escaped(&options),
            want.pass
        )
    });
    let mut line = line;
    let mut lines: Vec<String> = Vec::new();
    for old in table.lines() {
        let fields: Vec<&str> = old.split_whitespace().collect();
        let about = fields.get(1) == Some(&path.as_str()) && !old.trim_start().starts_with('#');
        if !about {
            lines.push(old.to_owned());
        } else if let Some(new) = line.take() {
            let mut same: Vec<&str> = new.split(' ').collect();
            // Missing numbers are zero.
            while same.len() > fields.len() && same.last() == Some(&"0") {
                same.pop();
            }
            lines.push(if same == fields { old.to_owned() } else { new.clone() });
        }
    }
    lines.extend(line);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// As fstab(5) writes blanks and backslashes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}

/// What makes two mounts the same.
fn normal(of: Option<&Mounted>, host: &impl Host) -> Result<Option<(String, String, Vec<String>)>, Fault> {
    let Some(of) = of else { return Ok(None) };
    let has = |name: &&&str| of.options.iter().any(|option| option == *name);
    let options = COMPARED.iter().filter(has).map(|name| (*name).to_owned()).collect();
    let bind = of.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
    let fstype = if of.fstype == "nfs4" { "nfs" } else { &of.fstype };
    Ok(Some(match bind {
        // The kernel shows the file system that it is a part of.
        true => (String::new(), String::new(), options),
        false => (device(&of.source, host)?, fstype.to_owned(), options),
    }))
}

/// The device behind its several names.
fn device(source: &str, host: &impl Host) -> Result<String, Fault> {
    let by = [("UUID=", "uuid"), ("LABEL=", "label"), ("PARTUUID=", "partuuid"), ("PARTLABEL=", "partlabel")];
    let named = by.iter().find_map(|(mark, dir)| {
        source.strip_prefix(mark).map(|name| format!("/dev/disk/by-{dir}/{}", name.trim_matches('"')))
    });
    let path = named.unwrap_or_else(|| source.to_owned());
    if !path.starts_with("/dev/") {
        return Ok(path);
    }
    Ok(match host.look(&path)? {
        Entry::Link { target } => format!("/dev/{}", target.rsplit('/').next().unwrap_or_default()),
        _ => path,
    })
}

/// Whether what is mounted is what is wanted.
pub fn same(one: Option<&Mounted>, other: Option<&Mounted>, host: &impl Host) -> Result<bool, Fault> {
    let (Some(a), Some(b)) = (normal(one, host)?, normal(other, host)?) else {
        return Ok(one.is_none() && other.is_none());
    };
    let bind = a.0.is_empty() || b.0.is_empty();
    Ok(a.2 == b.2 && (bind || ((a.1 == b.1 || a.1 == "auto" || b.1 == "auto") && a.0 == b.0)))
}

/// The digest of a mount as it is shown by the kernel or written by an author.
pub fn digest(path: &str, of: Option<&Mounted>) -> Digest {
    let compared = of.map(|of| {
        let has = |name: &&&str| of.options.iter().any(|option| option == *name);
        let options: Vec<&str> = COMPARED.iter().filter(has).copied().collect();
        (&of.source, &of.fstype, options)
    });
    state(&("mount", path, compared))
}

pub(super) fn change<H: Host>(
    id: &ResourceId,
    path: &str,
    want: Option<&Mounted>,
    now: Option<&Mounted>,
    sight: &Sight<'_, H>,
) -> Result<Option<Action>, Refused> {
    if same(want, now, sight.host).map_err(|fault| refuse(fault.text()))? {
        return Ok(None);
    }
    let show = |mount: &Mounted| format!("{} ({}, {})", mount.source, mount.fstype, mount.options.join(","));
    let (verb, summary) = match (want, now) {
        (Some(want), None) => (Verb::Create, format!("mount {} on {path}", show(want))),
        (Some(want), Some(now)) => {
            (Verb::Update, format!("mount {} on {path} in place of {}", show(want), show(now)))
        }
        (None, Some(now)) => (Verb::Remove, format!("unmount {path} (is {})", show(now))),
        (None, None) => return Ok(None),
    };
    let why = "a file system that is in use by then cannot be unmounted".to_owned();
    Ok(Some(Action {
        class: ActionClass::SensitiveFile,
        undo: Reversibility { undo: UndoContract::Partly, why },
        ..plain(id, verb, (digest(path, now), digest(path, want)), summary)
    }))
}

/// Mounts, mounts with other options, or unmounts.
///
/// # Errors
/// mount(8)'s and umount(8)'s: the file system is in use, or there is no such device.
pub fn bring(path: &str, want: Option<&Mounted>, host: &mut impl Host) -> Result<(), Fault> {
    let now = host.mounted(path)?;
    if same(want, now.as_ref(), host)? {
        return Ok(());
    }
    let other = |now: &Mounted| -> Result<bool, Fault> {
        Ok(want.is_none_or(|want| want.fstype != now.fstype)
            || match want {
                Some(want) => device(&want.source, host)? != device(&now.source, host)?,
                None => true,
            })
    };
    let unmount = match &now {
        Some(now) => other(now)?,
        None => false,
    };
    if unmount {
        host.unmount(path)?;
    }
    let Some(want) = want else { return Ok(()) };
    host.mount(path, want, now.is_some() && !unmount)?;
    if same(Some(want), host.mounted(path)?.as_ref(), host)? {
        return Ok(());
    }
    Err(Fault::Refused(format!("{path} is mounted, but not as it was asked for")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> Mount {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_table_has_one_line_for_the_place() {
        let data = mount(
            r#"{"path":"/srv/my data","source":"UUID=1","fstype":"ext4","options":["nosuid","nodev"],"pass":2}"#,
        );
        let tmp = mount(r#"{"path":"/tmp","source":"tmpfs","fstype":"tmpfs"}"#);
        let gone = mount(r#"{"path":"/tmp","state":"absent"}"#);
        let line = "UUID=1 /srv/my\\040data ext4 nosuid,nodev 0 2\n";
        for (own, before, after) in [
            (&data, "", line.to_owned()),
            (
                &data,
                "# /srv\n/dev/sda1 / ext4 defaults 0 1",
                format!("# /srv\n/dev/sda1 / ext4 defaults 0 1\n{line}"),
            ),
            (
                &data,
                "a /srv/my\\040data x y\nb c d e 0 0\nz /srv/my\\040data x y\n",
                format!("{line}b c d e 0 0\n"),
            ),
            (&tmp, "tmpfs\t/tmp  tmpfs defaults\n", "tmpfs\t/tmp  tmpfs defaults\n".to_owned()),
            (&tmp, "tmpfs /tmp tmpfs defaults 0 0\n", "tmpfs /tmp tmpfs defaults 0 0\n".to_owned()),
            (&gone, "tmpfs /tmp tmpfs defaults\n#tmpfs /tmp\n", "#tmpfs /tmp\n".to_owned()),
            (&gone, "x /tmp2 y\n", "x /tmp2 y\n".to_owned()),
        ] {
            assert_eq!(edit(own, before), after, "{before:?}");
            assert_eq!(edit(own, &after), after, "a second run: {before:?}");
        }
    }
}
