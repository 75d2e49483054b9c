//! What waits for whom, and addresses for mail, over HTTP.

use super::{store, waiting};
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Allowed, ManagePeople, Read};
use crate::kernel::i18n::Language;
use crate::people;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{HttpResponse, get, put};
use lettre::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ids::PersonId;
use shared::wire::{InboxItem, MailLine};

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(inbox).service(list).service(put_mail);
}

/// What waits for the one who asks, the most urgent first.
#[get("/v1/inbox")]
async fn inbox(
    person: Allowed<Read>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<InboxItem>>, Error> {
    let now = clock.now();
    let own = move |tx: &mut Conn| {
        Ok::<_, Error>(waiting::waiting(tx, now)?.remove(&person.person).unwrap_or_default())
    };
    Ok(Json(db.read("reminders.inbox", own).await?))
}

#[get("/v1/mail-addresses")]
async fn list(_: Allowed<ManagePeople>, db: Data<Db>) -> Result<Json<Vec<MailLine>>, Error> {
    Ok(Json(db.read("reminders.addresses", store::list).await?))
}

/// Where somebody's reminders go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutMail {
    /// Absent: no mail any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// `de` or `en`.
    language: String,
}

/// Sets or ends where reminders for a person go.
#[put("/v1/people/{person}/mail")]
async fn put_mail(
    by: Allowed<ManagePeople>,
    person: Path<PersonId>,
    wish: Json<PutMail>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (person, wish, now) = (person.into_inner(), wish.into_inner(), clock.now());
    let bad = |why: String| Refusal::unprocessable("mail.bad").with("why", why);
    let language = Language::parse(&wish.language).ok_or_else(|| bad("the language is de or en".into()))?;
    if let Some(address) = &wish.address {
        address.parse::<Address>().map_err(|error| bad(format!("the address: {error}")))?;
    }
    db.write("reminders.mail", move |tx| {
        let object = format!("person {person}");
        audit::record(tx, &Action::by(&by.person, "people.mail", object, &wish), now)?;
        // Whoever has no access any more can still be taken off the list.
        if wish.address.is_some() && !people::has_access(tx, person.as_str())? {
            return Err(Refusal::not_found("mail.unknown_person").with("person", &person).into());
        }
        Ok::<_, Error>(store::record_mail(tx, &person, wish.address.as_deref().map(|to| (to, language)))?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
