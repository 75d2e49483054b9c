//! What every command that talks to the server starts from: profile, language, passphrase, time, connection.

use crate::args::Global;
use crate::clock;
use crate::error::{Done, Failure};
use crate::lang::Lang;
use crate::net::Client;
use crate::profile::{KeyUse, Profile, Secrets};
use crate::site::authority;
use crate::trust::{self, Site};
use crate::{term, text};
use shared::ids::{ChangeId, ChangeRef};
use shared::keys::SigningKey;
use shared::time::Timestamp;

pub struct Session {
    pub profile: Profile,
    pub api: Client,
    pub secrets: Secrets,
    pub lang: Lang,
    pub now: Timestamp,
}

impl Session {
    pub fn open(global: &Global) -> Done<Self> {
        let profile = Profile::open(global.site.as_deref())?;
        let lang = global.lang.unwrap_or_else(Lang::from_env);
        Ok(Self {
            api: Client::new(&profile, lang)?,
            profile,
            secrets: Secrets::new(global.passphrase_file.clone()),
            lang,
            now: clock::now()?,
        })
    }

    /// The verified repository and policy; the file by which the server is known follows it.
    pub fn site(&self) -> Done<Site> {
        let site = trust::refresh(&self.profile, &self.api, self.now)?;
        authority::keep_up(self, &site.policy)?;
        Ok(site)
    }

    /// The change that somebody named. To which id a number of the year belongs is the server's word, so it is told.
    pub fn change(&self, named: &ChangeRef) -> Done<ChangeId> {
        let number = match named {
            ChangeRef::Id(id) => return Ok(id.clone()),
            ChangeRef::Number(number) => number,
        };
        let line = self.api.numbered(number)?;
        if line.register.as_deref() != Some(number.as_str()) {
            return Err(Failure::fault(format!("the server answers with another change than {number}")));
        }
        term::note(&format!("{number}: {} {}\n", line.change_id, text::clean(&line.title)));
        Ok(line.change_id)
    }

    pub fn key(&self, which: KeyUse) -> Done<SigningKey> {
        self.profile.key(which, &self.secrets)
    }
}
