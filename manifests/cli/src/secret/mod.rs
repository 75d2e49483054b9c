//! `assent secret …`: values that only chosen hosts can read, encrypted here.
//!
//! Never: sends a value anywhere, takes one from the command line, or writes one to a disk.

mod cipher;
mod own;
mod recipients;

use crate::args::{SecretArgs, SecretCommand};
use crate::clock;
use crate::error::{Context as _, Done, Failure};
use crate::session::Session;
use crate::{files, term};
use shared::limits::{SECRET_ARMOR_BYTES, SECRET_BYTES};
use shared::secret::{Opened, Purpose, Recipient, Seal, Secret};
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

pub fn run(session: &Session, command: &SecretCommand) -> Done {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .or_fault("core files of this process cannot be forbidden")?;
    match command {
        SecretCommand::Encrypt { manifest, file, trim, args } => {
            let purpose = purpose(session, manifest)?;
            let to = readers(session, args)?;
            let value = value(file.as_deref(), *trim)?;
            let opened = Opened { purpose, seal: Seal::new(clock::random()?), value };
            print(&opened, &to)
        }
        SecretCommand::Rekey { file, args } => {
            let text = files::read_text(file, SECRET_ARMOR_BYTES)?;
            let secret: Secret = text.parse().or_usage(format!("{} holds no secret", file.display()))?;
            let opened = own::open(session, &secret)?;
            print(&opened, &readers(session, args)?)
        }
        SecretCommand::Key => term::print(&format!("{}\n", own::recipient(session)?)),
    }
}

/// Everybody who will be able to read the value.
fn readers(session: &Session, args: &SecretArgs) -> Done<Vec<Recipient>> {
    let mut to = recipients::confirmed(session, args)?;
    if !args.hosts_only {
        to.push(own::recipient(session)?);
    }
    to.extend(args.recipient.iter().cloned());
    to.sort();
    to.dedup();
    Ok(to)
}

fn print(opened: &Opened, to: &[Recipient]) -> Done {
    let secret = cipher::encrypt(opened, to)?;
    term::note(&format!("note: a secret for {}, readable with {} keys\n", opened.purpose, to.len()));
    term::print(secret.as_str())
}

/// `[team/]name` of the manifest that may use the value.
fn purpose(session: &Session, manifest: &str) -> Done<Purpose> {
    let config = &session.profile.config;
    let (team, name) = manifest.split_once('/').unwrap_or((config.team.as_str(), manifest));
    let bad = format!("{manifest:?} is not a manifest");
    Ok(Purpose {
        site: config.site.clone(),
        team: team.parse().or_usage(&*bad)?,
        manifest: name.parse().or_usage(&*bad)?,
    })
}

fn value(file: Option<&Path>, trim: bool) -> Done<Zeroizing<Vec<u8>>> {
    let mut value = match file {
        Some(path) => {
            let failed = format!("could not read {}", path.display());
            read(&mut std::fs::File::open(path).or_usage(&*failed)?, &failed)?
        }
        None if term::is_interactive() => typed()?,
        None => read(&mut std::io::stdin().lock(), "could not read the value from standard input")?,
    };
    if value.ends_with(b"\n") {
        if trim {
            value.pop();
        } else {
            term::note("note: the value ends with a line break; --trim takes it off\n");
        }
    }
    if value.is_empty() {
        return Err(Failure::usage("the value is empty").remedy("give it on standard input or with --file"));
    }
    Ok(value)
}

/// Room for everything at once: growing would leave copies behind.
fn read(from: &mut dyn Read, failed: &str) -> Done<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(Vec::with_capacity(SECRET_BYTES + 1));
    from.take(SECRET_BYTES as u64 + 1).read_to_end(&mut value).or_fault(failed)?;
    if value.len() > SECRET_BYTES {
        let message = format!("the value has more than {SECRET_BYTES} bytes");
        return Err(Failure::usage(message).remedy("give the key of an encrypted artifact instead"));
    }
    Ok(value)
}

fn typed() -> Done<Zeroizing<Vec<u8>>> {
    let first = term::ask_hidden("The value:")?;
    if *first != *term::ask_hidden("The same again:")? {
        return Err(Failure::refused("the two values differ").remedy("run the command again"));
    }
    Ok(Zeroizing::new(first.as_bytes().to_vec()))
}
