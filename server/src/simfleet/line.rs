//! The server's two ports as a simulated fleet reaches them: the real handlers, without sockets.

use crate::changes;
use crate::changes::tests::world::{TOKEN, World};
use crate::fleet::{self, Rates};
use crate::kernel::http::agent::as_if_of;
use crate::kernel::http::edge;
use crate::receipts;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Data;
use actix_web::{App, test};
use serde_json::Value;
use shared::ids::AgentId;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

/// Names the host of a request, in place of its certificate.
const HOST: &str = "x-host";

pub struct Answer {
    pub status: u16,
    pub tag: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A port that is wired once and asked many times.
#[derive(Clone)]
pub struct Line {
    serve: Rc<Serve>,
    /// Every request from another address, so that nobody is taken for somebody who tries many tokens.
    from: Rc<Cell<u32>>,
}

type Serve = dyn Fn(test::TestRequest) -> Pin<Box<dyn Future<Output = Answer>>>;

impl Line {
    async fn to<F, B>(app: App<F>) -> Self
    where
        F: ServiceFactory<
                ServiceRequest,
                Config = (),
                Response = ServiceResponse<B>,
                Error = actix_web::Error,
                InitError = (),
            > + 'static,
        B: MessageBody + 'static,
    {
        let app = Rc::new(test::init_service(app).await);
        let serve = Rc::new(move |request: test::TestRequest| {
            let app = app.clone();
            Box::pin(async move {
                let response = test::call_service(&*app, request.to_request()).await;
                let status = response.status().as_u16();
                let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
                let body = test::read_body(response).await.to_vec();
                Answer { status, tag, body }
            }) as Pin<Box<dyn Future<Output = Answer>>>
        });
        Self { serve, from: Rc::default() }
    }

    pub async fn people(world: &World) -> Self {
        Self::to(world.people(&world.node)).await
    }

    pub async fn agents(world: &World) -> Self {
        let node = &world.node;
        let app = App::new()
            .wrap(from_fn(of_host))
            .wrap(from_fn(edge::edge))
            .app_data(Data::new(world.clock.clone()))
            .app_data(Data::new(node.db.clone()))
            .app_data(Data::new(world.config.clone()))
            .app_data(Data::new(world.log.clone()))
            .app_data(Data::new(node.board.clone()))
            .app_data(Data::new(node.intake.clone()))
            .app_data(Data::new(Rates::default()))
            .app_data(Data::new(fleet::gate(&node.board)))
            .configure(fleet::agent_routes)
            .configure(receipts::agent_routes)
            .configure(changes::agents);
        Self::to(app).await
    }

    async fn ask(
        &self,
        (method, path): (&'static str, &str),
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Answer {
        self.from.set(self.from.get() + 1);
        let [.., a, b, c] = self.from.get().to_be_bytes();
        let request = test::TestRequest::with_uri(path)
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .peer_addr(([10, a, b, c], 1).into())
            .insert_header(("content-type", "application/json"))
            .set_payload(body);
        (self.serve)(headers.into_iter().fold(request, |request, header| request.insert_header(header))).await
    }

    /// A person's request that must succeed.
    pub async fn person(&self, method: &'static str, path: &str, body: impl serde::Serialize) -> Value {
        let token = ("authorization", format!("Bearer {TOKEN}"));
        let answer = self.ask((method, path), vec![token], shared::strict::to_json(&body)).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.json());
        answer.json()
    }

    /// A host's request; any answer but a fault.
    pub async fn host(
        &self,
        agent: AgentId,
        to: (&'static str, &str),
        known: Option<&str>,
        body: Vec<u8>,
    ) -> Answer {
        let mut headers = vec![(HOST, agent.to_string())];
        headers.extend(known.map(|tag| ("if-none-match", tag.to_owned())));
        let answer = self.ask(to, headers, body).await;
        assert!(answer.status < 500, "{} {}: {} {}", to.0, to.1, answer.status, answer.json());
        answer
    }
}

async fn of_host(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    if let Some(agent) = host {
        as_if_of(&request, agent);
    }
    next.call(request).await
}
