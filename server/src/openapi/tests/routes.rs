//! The table against the routes that both listeners have, asked from the outside.

use crate::app::Kernel;
use crate::changes::tests::world::{TOKEN, World};
use crate::kernel::http::edge;
use crate::kernel::http::person::Access;
use crate::openapi::refusals::status;
use crate::openapi::route::{Route, Who};
use crate::openapi::table::ROUTES;
use crate::site::Site;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::test::TestRequest;
use actix_web::{App, test};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Port {
    People,
    Agents,
}

pub fn on(port: Port) -> impl Iterator<Item = &'static Route> {
    let all = ROUTES.iter().flat_map(|(_, routes)| *routes);
    all.filter(move |route| (route.who == Who::Host) == (port == Port::Agents))
}

/// What one listener of the whole server serves, without sockets.
pub type Listener = Box<dyn Fn(TestRequest) -> Pin<Box<dyn Future<Output = Reply>>>>;

pub async fn listener(world: &World, port: Port) -> Listener {
    let kernel = Kernel {
        config: Arc::new(world.config.clone()),
        db: world.node.db.clone(),
        clock: world.clock.clone(),
        objects: world.objects.clone(),
    };
    let slices = Site::open(&kernel).await.unwrap().slices(&kernel);
    let app = App::new().wrap(from_fn(edge::edge));
    let app = test::init_service(match port {
        Port::People => app.configure(kernel.people(&slices.gate, &slices.people)),
        Port::Agents => app.configure(kernel.agents(&slices.gate, &slices.agents)),
    });
    let app = Rc::new(app.await);
    Box::new(move |request| {
        let app = app.clone();
        Box::pin(async move {
            let response = test::call_service(&*app, request.to_request()).await;
            let resources = response.request().resource_map();
            let pattern = resources.match_pattern(response.request().path());
            let resources = format!("{resources:?}");
            let status = response.status().as_u16();
            let media = response.headers().get("content-type");
            let media = media.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            let bytes = test::read_body(response).await.to_vec();
            Reply { status, media, bytes, resources, pattern }
        })
    })
}

pub struct Reply {
    pub status: u16,
    pub media: String,
    pub bytes: Vec<u8>,
    /// Debug text of all registered resources.
    resources: String,
    /// The pattern that the framework finds for the path.
    pattern: Option<String>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn is_registered(&self) -> bool {
        self.status != 405 && self.json()["code"] != "request.not_found"
    }
}

pub async fn send(app: &Listener, (method, path): (&str, &str), token: Option<&str>, body: Vec<u8>) -> Reply {
    let mut request = TestRequest::with_uri(path)
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .peer_addr("127.0.0.1:1".parse().unwrap())
        .insert_header(("accept-language", "en"))
        .insert_header(("content-type", "application/json"))
        .set_payload(body);
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    app(request).await
}

/// A path of this pattern; nothing is there.
fn example(pattern: &str) -> String {
    let mut path = String::new();
    let mut rest = pattern;
    while let Some((before, (inside, after))) =
        rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
    {
        let value = match inside {
            "id" | "change" => "C-999",
            "digest" | "sha256" => "00000000000000000000000000000000000000000000000000000000000000ff",
            "revision" | "finding" | "rule" => "1",
            "tile:tile/.+" => "tile/0/000",
            _ => "nothing",
        };
        path.push_str(before);
        path.push_str(value);
        rest = after;
    }
    path + rest
}

/// Patterns of all resources, from the debug text: the framework offers no other list.
fn patterns(resources: &str) -> BTreeSet<String> {
    assert!(
        !resources.contains("patterns: List("),
        "a resource with several patterns is not understood here"
    );
    let found = resources.split("patterns: Single(\"").skip(1);
    found.map(|rest| rest.split('"').next().unwrap().to_owned()).filter(|p| !p.is_empty()).collect()
}

#[actix_web::test]
async fn the_table_has_exactly_the_registered_routes() {
    let world = World::each(1, 0).await.remove(0);
    for port in [Port::People, Port::Agents] {
        let app = listener(&world, port).await;
        let resources = send(&app, ("GET", "/"), None, vec![]).await.resources;
        let mut registered = BTreeSet::new();
        for pattern in patterns(&resources) {
            let path = example(&pattern);
            for method in METHODS {
                let reply = send(&app, (method, &path), None, vec![]).await;
                assert_eq!(
                    reply.pattern.as_deref(),
                    Some(pattern.as_str()),
                    "a scope with paths inside, or a part of a path that `example` does not know"
                );
                if reply.is_registered() {
                    registered.insert(format!("{method} {pattern}"));
                }
            }
        }
        let described = on(port).map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(registered, described, "registered, described");
    }
}

/// A method that a path does not have is another thing than a path that is not there.
#[actix_web::test]
async fn a_method_that_a_path_does_not_have_is_told_with_those_that_it_has() {
    let world = World::each(1, 0).await.remove(0);
    let people = listener(&world, Port::People).await;
    for (method, path, status) in [
        ("TRACE", "/v1/waiting", 405),
        ("DELETE", "/v1/changes/C-1/notes", 405),
        ("GET", "/v1/changes/C-1/halt", 405),
        ("POST", "/v1/nothing", 404),
        ("POST", "/agent/v1/plans", 404),
    ] {
        let reply = send(&people, (method, path), Some(TOKEN), vec![]).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.json());
    }
    let methods = crate::openapi::methods("/v1/changes/C-1/notes");
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["GET", "POST"]);
}

/// What may be called without a token or certificate.
const PUBLIC: [&str; 7] = [
    "GET /healthz",
    "GET /v1/feeds/{secret}.ics",
    "GET /v1/openapi.json",
    "POST /v1/fleet-lock/{secret}/v1/pre-reboot",
    "POST /v1/fleet-lock/{secret}/v1/steady-state",
    "POST /v1/join",
    "POST /v1/renew",
];

#[actix_web::test]
async fn without_credentials_only_the_public_routes_answer() {
    let world = World::each(1, 0).await.remove(0);
    let mut public = BTreeSet::new();
    for port in [Port::People, Port::Agents] {
        let app = listener(&world, port).await;
        for route in on(port) {
            let reply = send(&app, (route.method, &example(route.path)), None, UNREADABLE.to_vec()).await;
            match (reply.status, reply.json()["code"].as_str()) {
                (401, Some("person.no_token")) => assert!(matches!(route.who, Who::Person { .. })),
                (403, Some("agent.no_identity")) => assert_eq!(route.who, Who::Host, "{}", route.id),
                _ => {
                    assert_eq!(route.who, Who::Public, "{}", route.id);
                    public.insert(format!("{} {}", route.method, route.path));
                }
            }
        }
    }
    assert_eq!(public, PUBLIC.map(str::to_owned).into());
}

/// No route can read it: whoever may not is told before anything of a body is looked at.
const UNREADABLE: &[u8] = b"{";

#[actix_web::test]
async fn permissions_and_refusals_are_as_described() {
    let world = World::each(1, 0).await.remove(0);
    let app = listener(&world, Port::People).await;
    for access in [Access::Reader, Access::Member] {
        let grant = json!({ "access": access.as_str(), "days": 1 }).to_string().into_bytes();
        let path = format!("/v1/people/{}/tokens", access.as_str());
        let granted = send(&app, ("POST", &path), Some(TOKEN), grant).await.json();
        let token = granted["token"].as_str().unwrap();
        for route in on(Port::People) {
            let path = example(route.path) + if route.id == "continueUpload" { "?offset=0" } else { "" };
            let reply = send(&app, (route.method, &path), Some(token), UNREADABLE.to_vec()).await;
            let (problem, id) = (reply.json(), route.id);
            if reply.status >= 400 {
                let code = problem["code"].as_str().unwrap();
                assert!(code == "request.rejected" || route.codes().contains(&code), "{id}: {problem}");
                assert!(code == "request.rejected" || status(code) == Some(reply.status), "{id}: {problem}");
            }
            let Who::Person { permission, needs } = route.who else { continue };
            assert_eq!(problem["code"] == "person.not_allowed", access < needs, "{id}: {problem}");
            if access < needs {
                let why = format!(
                    "{0} has the access {0}; {permission} needs {1}.",
                    access.as_str(),
                    needs.as_str()
                );
                assert_eq!(problem["why"], why, "{id}");
            }
        }
    }
}
