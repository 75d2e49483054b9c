//! Keys of persons, added and taken away with one command each and signed like any other edition.

use super::args::KeyArgs;
use super::{current, publish_next};
use crate::error::{Done, Failure};
use crate::governance::SignArgs;
use crate::session::Session;
use crate::{files, profile, ssh};
use shared::ids::PersonId;
use shared::keys::AnyKey;
use shared::policy::{Assurance, Person, PersonKey};
use shared::signature::KeyKind;
use std::path::Path;

pub fn add(session: &Session, args: &KeyArgs) -> Done {
    let (public, kind) = match (&args.ssh, args.public) {
        (Some(path), _) => read_ssh(path)?,
        (None, Some(public)) => (public, KeyKind::File),
        (None, None) => return Err(Failure::usage("give --ssh or --public")),
    };
    let roles = args.role.iter().copied().collect();
    let key = PersonKey { public, kind, roles, assurance: Assurance::Independent, not_after: None };
    let site = current(session)?;
    let mut next = site.policy.clone();
    match (next.persons.iter_mut().find(|person| person.id == args.person), &args.name) {
        (Some(person), _) => person.keys.push(key),
        (None, Some(name)) => {
            next.persons.push(Person { id: args.person.clone(), name: name.clone(), keys: vec![key] });
        }
        (None, None) => {
            let message = format!("{} is not in the policy yet", args.person);
            return Err(Failure::usage(message).remedy("give --name \"FULL NAME\" to add the person"));
        }
    }
    publish_next(session, &site, next, &args.sign)
}

pub fn remove(session: &Session, (id, public): (&PersonId, &AnyKey), sign: &SignArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    let person = next.persons.iter_mut().find(|person| person.id == *id);
    person.into_iter().for_each(|person| person.keys.retain(|key| key.public != *public));
    if next == site.policy {
        return Err(Failure::refused(format!("the policy names no such key of {id}"))
            .remedy("see `assent policy show`"));
    }
    publish_next(session, &site, next, sign)
}

pub fn read_ssh(path: &Path) -> Done<(AnyKey, KeyKind)> {
    let text = files::read_text(path, profile::SMALL)?;
    ssh::public(&text).ok_or_else(|| {
        Failure::usage(format!("{} is no public ed25519 key of OpenSSH", path.display()))
            .remedy("make one with: ssh-keygen -t ed25519, and give the file that ends with .pub")
    })
}
