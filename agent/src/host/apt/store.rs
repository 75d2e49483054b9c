//! Downloading package files with apt, into the store.

use super::{Apt, NAMES, TRANSACTION, lists};
use crate::host::Fault;
use crate::host::packages::PackageChange;
use crate::host::process::Exec;
use crate::host::store;

pub fn fetch(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    apt.store.fetch(changes, |wanted| download(apt, wanted), || lists::refresh(apt))
}

fn download(apt: &Apt, wanted: &[&PackageChange]) -> Result<(), Fault> {
    let incoming = apt.config.incoming();
    store::emptied(&incoming)?;
    for wanted in wanted.chunks(NAMES) {
        let names = wanted.iter().filter_map(|c| Some(format!("{}={}", c.name, c.to.as_ref()?)));
        let options = ["download", "-q", "-o", "Acquire::Retries=2"].map(str::to_owned);
        let mut exec = Exec::new("apt-get", options.into_iter().chain(names)).timeout(TRANSACTION);
        exec.cwd = Some(incoming.clone());
        let ran = apt.exec(exec)?;
        // What did come is kept, also when another file failed.
        apt.store.take_in(wanted, &incoming)?;
        ran.success("apt-get download")?;
    }
    Ok(())
}
