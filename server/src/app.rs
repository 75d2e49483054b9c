//! Wires the kernel to the slices and runs all listeners until the process is told to stop.

use crate::fleet;
use crate::kernel::clock::Clock;
use crate::kernel::config::{Config, Proxy};
use crate::kernel::db::{Connect, Db};
use crate::kernel::error::Error;
use crate::kernel::http::agent::{self, AgentGate};
use crate::kernel::http::edge::{self, DefaultLanguage};
use crate::kernel::http::listen::{Door, listen};
use crate::kernel::http::proxied::{self, AddressHeader, Audience, OnceGate};
use crate::kernel::http::seats::Seats;
use crate::kernel::http::tls::{self, HotCert, HotVerifier};
use crate::kernel::jobs::{self, Job, Runner};
use crate::kernel::objects::Objects;
use crate::kernel::random::random;
use crate::openapi;
use crate::site::Site;
use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The file in the data directory that allows the first start to make the database.
const FIRST_START: &str = "first-start";

/// How often certificates are looked at; they have months left when they are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(12 * 3_600);
/// How soon a node follows what the policy says of the site's TLS authorities.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);

/// What slices are given. Cheap to clone.
#[derive(Clone)]
pub struct Kernel {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    pub objects: Objects,
}

/// Adds routes, and what their handlers need, to one listener; run once per worker thread.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Routes, jobs and the agent gate of all slices.
pub struct Slices {
    pub people: Routes,
    pub agents: Routes,
    pub through: Through,
    pub jobs: Vec<Job>,
    pub gate: AgentGate,
}

/// What the proxy's listener has besides the agents' routes.
#[derive(Clone)]
pub struct Through {
    /// Joining and renewing; hosts sign all other requests.
    pub strangers: Routes,
    /// Lets each of those count once.
    pub once: OnceGate,
}

impl Kernel {
    /// Connects, migrates and opens the object store. Blocks; call it outside of async code.
    ///
    /// A new database is only made at the first start, which `assent init` announces with a file: a lost or
    /// misspelt one must not be replaced by an empty ledger.
    pub fn open(config: Config, clock: Clock) -> Result<Self, Error> {
        let announced = config.data_dir.join(FIRST_START);
        let create = announced.exists();
        let db = Db::connect(&config.database_url, Connect { create })?;
        let objects = Objects::open(&config.data_dir, config.limits.object)?;
        if create {
            std::fs::remove_file(&announced)
                .map_err(|error| Error::fault(format!("removing {}", announced.display()), error))?;
        }
        Ok(Self { config: Arc::new(config), db, clock, objects })
    }

    /// All that the people's listener serves.
    pub(crate) fn people(
        &self,
        gate: &AgentGate,
        routes: &Routes,
    ) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (data, routes) = (self.data(gate), routes.clone());
        move |service| {
            service
                .configure(data)
                .route("/healthz", web::get().to(healthz))
                .route("/v1/openapi.json", web::get().to(openapi::describe))
                .configure(|service| routes(service));
        }
    }

    /// All that the agents' listener serves.
    pub(crate) fn agents(
        &self,
        gate: &AgentGate,
        routes: &Routes,
    ) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (data, routes) = (self.data(gate), routes.clone());
        move |service| {
            service.configure(data).configure(|service| routes(service));
        }
    }

    /// All that the proxy's listener serves.
    pub(crate) fn proxied(
        &self,
        proxy: &Proxy,
        gate: &AgentGate,
        (agents, through): (&Routes, &Through),
    ) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (data, once) = (self.data(gate), Data::new(through.once.clone()));
        let (strangers, agents) = (through.strangers.clone(), agents.clone());
        let audience = Data::new(Audience(fleet::address(&proxy.url)));
        let header = proxy.address_header.clone().map(|name| Data::new(AddressHeader(name)));
        move |service| {
            service.configure(data).app_data(once).app_data(audience);
            if let Some(header) = header {
                service.app_data(header);
            }
            let hosts = web::scope("").wrap(from_fn(proxied::guard)).configure(|service| agents(service));
            service.configure(|service| strangers(service)).service(hosts);
        }
    }

    fn data(&self, gate: &AgentGate) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (kernel, gate) = (self.clone(), gate.clone());
        move |service| {
            service
                .app_data(Data::new(gate))
                .app_data(Data::new(DefaultLanguage(kernel.config.language)))
                .app_data(Data::new(kernel.clock.clone()))
                .app_data(Data::new(kernel.db.clone()))
                .app_data(Data::new(kernel.objects.clone()))
                .app_data(Data::from(kernel.config.clone()))
                .configure(edge::extractors(kernel.config.limits.body))
                .default_service(web::to(nowhere));
        }
    }
}

/// Answer for every path that no route has, and for a method that a path does not have (RFC 9110 §15.5.6).
async fn nowhere(req: HttpRequest) -> Result<HttpResponse, Error> {
    let methods = openapi::methods(req.path());
    // What is there with this method is there on another listener.
    if methods.is_empty() || methods.contains(&req.method().as_str()) {
        return edge::nowhere(req).await;
    }
    let allow = (header::ALLOW, methods.into_iter().collect::<Vec<_>>().join(", "));
    Ok(HttpResponse::MethodNotAllowed().insert_header(allow).finish())
}

/// A server that accepts connections.
pub struct Running {
    pub people: SocketAddr,
    pub agents: SocketAddr,
    /// Where the proxy connects, if there is one.
    pub proxied: Option<SocketAddr>,
    handles: Vec<ServerHandle>,
    runner: Runner,
    certificates: Certificates,
}

struct Certificates {
    people: Arc<HotCert>,
    agents: Arc<HotCert>,
    proxied: Option<Arc<HotCert>>,
    ca: Arc<HotVerifier>,
}

impl Certificates {
    fn load(config: &Config) -> Result<Self, Error> {
        let proxied = config.proxy.as_ref().and_then(|proxy| proxy.tls.as_ref());
        Ok(Self {
            proxied: proxied.map(|(cert, key)| HotCert::load(cert, key)).transpose()?,
            people: HotCert::load(&config.people.cert, &config.people.key)?,
            agents: HotCert::load(&config.agents.cert, &config.agents.key)?,
            ca: HotVerifier::load(&config.ca_cert)?,
        })
    }

    fn reload(&self) -> Result<(), Error> {
        self.people.reload()?;
        self.agents.reload()?;
        self.proxied.as_ref().map_or(Ok(()), |proxied| proxied.reload())?;
        self.ca.reload()
    }

    /// Takes over what the files say now, if they are whole.
    fn read_again(&self) {
        match self.reload() {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(error = error.chain(), "the old certificates stay in use"),
        }
    }
}

/// Starts listeners and jobs; needs the actix runtime.
pub fn start(kernel: &Kernel, slices: Slices) -> Result<Running, Error> {
    let certificates = Certificates::load(&kernel.config)?;
    let people = listen_people(kernel, &slices, &certificates)?;
    let agents = listen_agents(kernel, &slices, &certificates)?;
    let proxied = kernel.config.proxy.as_ref();
    let proxied = proxied.map(|proxy| listen_proxied(kernel, &slices, proxy, &certificates)).transpose()?;
    let runner = jobs::start(&kernel.db, &kernel.clock, &node_name()?, slices.jobs);
    let mut handles = vec![people.1, agents.1];
    let proxied = proxied.map(|(address, handle)| {
        handles.push(handle);
        address
    });
    Ok(Running { people: people.0, agents: agents.0, proxied, handles, runner, certificates })
}

/// One address gets half of what one worker thread takes, so that others always find room.
fn seats(kernel: &Kernel) -> Seats {
    Seats::new(kernel.config.limits.connections / 2)
}

fn listen_people(
    kernel: &Kernel,
    slices: &Slices,
    certificates: &Certificates,
) -> Result<(SocketAddr, ServerHandle), Error> {
    let (shared, gate, routes) = (kernel.clone(), slices.gate.clone(), slices.people.clone());
    let door = Door {
        address: kernel.config.people.listen,
        connections: kernel.config.limits.connections,
        seats: Some(seats(kernel)),
        tls: Some(tls::people(certificates.people.clone(), kernel.clock.clone())?),
    };
    listen(
        door,
        |_, _| (),
        move || App::new().wrap(from_fn(edge::edge)).configure(shared.people(&gate, &routes)),
    )
}

fn listen_agents(
    kernel: &Kernel,
    slices: &Slices,
    certificates: &Certificates,
) -> Result<(SocketAddr, ServerHandle), Error> {
    let (shared, gate, routes) = (kernel.clone(), slices.gate.clone(), slices.agents.clone());
    let clock = kernel.clock.clone();
    let door = Door {
        address: kernel.config.agents.listen,
        connections: kernel.config.limits.connections,
        seats: Some(seats(kernel)),
        tls: Some(tls::agents(certificates.agents.clone(), certificates.ca.clone(), clock)?),
    };
    listen(door, agent::identify(kernel.config.site_id.clone()), move || {
        App::new().wrap(from_fn(edge::edge)).configure(shared.agents(&gate, &routes))
    })
}

/// For hosts whose TLS ends in a proxy: with TLS of its own, or plain on an address that only the proxy reaches.
fn listen_proxied(
    kernel: &Kernel,
    slices: &Slices,
    proxy: &Proxy,
    certificates: &Certificates,
) -> Result<(SocketAddr, ServerHandle), Error> {
    let (shared, gate, its) = (kernel.clone(), slices.gate.clone(), proxy.clone());
    let (routes, through) = (slices.agents.clone(), slices.through.clone());
    let tls = certificates.proxied.clone().map(|own| tls::people(own, kernel.clock.clone())).transpose()?;
    let door =
        Door { address: proxy.listen, connections: kernel.config.limits.connections, seats: None, tls };
    listen(
        door,
        |_, _| (),
        move || {
            App::new().wrap(from_fn(edge::edge)).configure(shared.proxied(&its, &gate, (&routes, &through)))
        },
    )
}

impl Running {
    /// Finishes open requests and jobs, then returns.
    pub async fn stop(self) {
        let listeners = futures_util::future::join_all(self.handles.iter().map(|handle| handle.stop(true)));
        tokio::join!(listeners, self.runner.stop());
    }
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads all certificates again.
pub async fn run(kernel: Kernel) -> Result<(), Error> {
    let fault = |error| Error::fault("listening for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(fault)?;
    renew_certificates(&kernel);
    let mut twice_a_day = actix_web::rt::time::interval(RENEW_EVERY);
    let mut often = actix_web::rt::time::interval(FOLLOW_EVERY);
    let site = Site::open(&kernel).await?;
    let running = start(&kernel, site.slices(&kernel))?;
    let proxied = running.proxied.map(tracing::field::display);
    tracing::info!(people = %running.people, agents = %running.agents, proxied, "ready");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.certificates.read_again(),
            _ = often.tick() => match site.follow_authorities(&kernel).await {
                Ok(true) => running.certificates.read_again(),
                Ok(false) => {}
                Err(error) => tracing::error!(error = error.chain(), "the TLS authorities stay as they are"),
            },
            _ = twice_a_day.tick() => if renew_certificates(&kernel) {
                running.certificates.read_again();
            },
        }
    }
    tracing::info!("stopping");
    running.stop().await;
    site.close(&kernel).await
}

/// Renews certificates of the site's own authority before they end. True when one was written.
fn renew_certificates(kernel: &Kernel) -> bool {
    match fleet::renew_listeners(&kernel.config, kernel.clock.machine()) {
        Ok(written) => {
            for path in &written {
                tracing::info!(path = %path.display(), "renewed the certificate");
            }
            !written.is_empty()
        }
        Err(error) => {
            tracing::error!(
                error = error.chain(),
                "a certificate could not be renewed; the old one stays in use"
            );
            false
        }
    }
}

/// Host name for people, random part so that a restarted process is another holder of leases.
fn node_name() -> Result<String, Error> {
    let random = random::<8>()?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "node".into());
    Ok(format!("{}-{}", host.trim(), shared::digest::hex(&random)))
}

/// Answers 200 when the database answers.
async fn healthz(db: Data<Db>) -> Result<HttpResponse, Error> {
    db.read("healthz", |tx| Ok::<_, Error>(crate::kernel::generation::read_all(tx).map(drop)?)).await?;
    Ok(HttpResponse::Ok().content_type("text/plain").body("ok\n"))
}
