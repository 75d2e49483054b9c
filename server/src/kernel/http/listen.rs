//! Listeners: a connection first takes a seat of its address, then comes TLS, then HTTP.
//!
//! `HttpServer` calls nobody before its TLS handshake, in which a connection may be silent for [`HEAD_TIMEOUT`]; so this puts
//! together what `HttpServer` is made of, with the seat in front. Never: what is served.

use super::outgoing::Line;
use super::seats::Seats;
use super::{CLOSE_TIMEOUT, HEAD_TIMEOUT, KEEP_ALIVE};
use crate::kernel::error::Error;
use actix_http::{HttpServiceBuilder, Request, Response, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, Server, ServerHandle};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, map_config,
};
use actix_tls::accept::max_concurrent_tls_connect;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Extensions};
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel keeps until a worker takes them.
const BACKLOG: i32 = 1_024;
/// Seconds that open requests get to finish when the process stops.
const STOP_TIMEOUT_SECS: u64 = 20;

/// How one listener takes connections.
pub struct Door {
    pub address: SocketAddr,
    /// Open connections per worker thread.
    pub connections: usize,
    /// How many one address may have of them; `None` where all come from one proxy.
    pub seats: Option<Seats>,
    /// `None` where whoever connects has ended TLS already.
    pub tls: Option<ServerConfig>,
}

/// Serves `app`, made once per worker thread, until the handle stops it; needs the actix runtime. `greet` notes what is known
/// of a TLS connection for all of its requests.
///
/// # Errors
/// A fault when the address cannot be listened on.
pub fn listen<F, I, S, B>(
    door: Door,
    greet: impl Fn(&TlsStream<TcpStream>, &mut Extensions) + Send + Clone + 'static,
    app: F,
) -> Result<(SocketAddr, ServerHandle), Error>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let Door { address, connections, seats, tls } = door;
    let failed = |error: std::io::Error| Error::fault(format!("listening on {address}"), error);
    let socket = bound(address).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    // Silent handshakes would otherwise keep others out long before the connections are used up.
    max_concurrent_tls_connect(connections);
    let builder = Server::build()
        .max_concurrent_connections(connections)
        .shutdown_timeout(STOP_TIMEOUT_SECS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let name = format!("listener-{bound}");
    let app = move || {
        // Nothing here asks for the server's own name or address, which is all that it tells.
        map_config(app().into_factory().map_err(|error| error.into().error_response()), |()| {
            AppConfig::default()
        })
    };
    let builder = match tls {
        Some(tls) => builder.listen(name, socket, move || {
            let (greet, seats) = (greet.clone(), seats.clone());
            let single = seats.is_some();
            let greet = move |stream: &TlsStream<TcpStream>, data: &mut Extensions| {
                // One that a proxy uses for many is not ended for one of them.
                if single && let Some(line) = Line::of(stream.get_ref().0) {
                    data.insert(line);
                }
                greet(stream, data);
            };
            let http = timed(&stopping).on_connect_ext(greet).finish(app());
            let handshake = TlsAcceptorConfig::default().handshake_timeout(HEAD_TIMEOUT);
            let served = http.rustls_0_23_with_config(tls.clone(), handshake);
            apply_fn_factory(served, move |stream: TcpStream, served| seated(seats.as_ref(), stream, served))
        }),
        None => builder.listen(name, socket, move || timed(&stopping).finish(app()).tcp()),
    };
    let server = builder.map_err(failed)?.run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, %bound, "a listener ended");
        }
    });
    Ok((bound, handle))
}

/// Also in use right after an earlier process had it.
fn bound(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The limits that hold for all listeners.
fn timed<T, S>(stopping: &GracefulShutdownSignal) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: std::fmt::Debug,
    <S::Service as Service<Request>>::Future: 'static,
{
    let stopping = stopping.clone();
    HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        // Whoever waits with an open connection for nothing holds up no end of the server.
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
}

/// Serves the connection on its seat, which it leaves when it ends; without one it is closed.
fn seated<S: Service<TcpStream, Response = ()>>(
    seats: Option<&Seats>,
    stream: TcpStream,
    served: &S,
) -> impl Future<Output = Result<(), S::Error>> + use<S> {
    let seat = match seats {
        Some(seats) => seats.admit(&stream).map(Some),
        None => Some(None),
    };
    let work = seat.map(|seat| (seat, served.call(stream)));
    async move {
        match work {
            Some((_seat, work)) => work.await,
            None => Ok(()),
        }
    }
}
