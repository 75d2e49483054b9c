//! The least that actix-web with rustls and ring can do for a check-in, as a process of its own.

use crate::{PATH, TAG, Tls};
use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tests::http;

/// A running reference; it ends with this value.
pub struct Bare {
    pub address: SocketAddr,
    process: Child,
}

impl Bare {
    pub fn start(tls: &Tls) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("bare").args([&tls.ca, &tls.certificate, &tls.key]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), process }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The process itself: says its address and serves until it is killed.
pub fn serve(files: &[String]) {
    let config = config(Path::new(&files[0]), Path::new(&files[1]), Path::new(&files[2]));
    let served = actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(|| App::new().route(PATH, web::get().to(work)));
        let server =
            server.keep_alive(Duration::from_secs(600)).bind_rustls_0_23(("127.0.0.1", 0), config)?;
        println!("{}", server.addrs()[0]);
        server.run().await
    });
    served.unwrap();
}

/// As the server under test: TLS 1.3, a client certificate of the site, no resumption.
fn config(ca: &Path, certificate: &Path, key: &Path) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(http::roots(ca)), http::provider());
    let builder = ServerConfig::builder_with_provider(http::provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let mut config =
        builder.with_single_cert(http::certificates(certificate), http::private_key(key)).unwrap();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

async fn work(request: HttpRequest) -> HttpResponse {
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((ETAG, TAG)).finish()
}
