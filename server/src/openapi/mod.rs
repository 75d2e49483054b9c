//! The description of the server's JSON interface: OpenAPI 3.1, built from one table and from the wire types.
//!
//! Owns what is said about routes. Never registers or answers one; tests compare the table with the routes that
//! both listeners really have, and real answers with the schemas.

mod document;
mod refusals;
mod route;
mod table;
#[cfg(test)]
mod tests;

pub use document::document;

use actix_web::HttpResponse;
use actix_web::dev::ResourceDef;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The same for everybody and for the life of the process.
static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

/// Methods of the routes that have this path, on all listeners.
pub fn methods(path: &str) -> BTreeSet<&'static str> {
    let routes = table::ROUTES.iter().flat_map(|(_, routes)| routes.iter());
    let fits = |route: &&route::Route| ResourceDef::new(route.path).is_match(path);
    routes.filter(fits).map(|route| route.method).collect()
}

/// The document itself. Public: it holds no secrets, and tools fetch it without a token.
pub async fn describe() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(TEXT.as_str())
}
