//! nginx as it is installed, answering check-ins from its configuration.

use crate::process::children;
use crate::{PATH, TAG, Tls};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::{http, programs};

/// A running reference; it ends with this value.
pub struct Nginx {
    pub address: SocketAddr,
    process: Child,
}

impl Nginx {
    /// `None` when nginx is not installed (recorded as skipped).
    pub fn start(tls: &Tls, dir: &Path) -> Option<Self> {
        if !programs::has_tool("bench checkins against nginx", "nginx") {
            return None;
        }
        std::fs::create_dir(dir).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], http::free_port()));
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration(tls, dir, address)).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "stderr"]).stdout(Stdio::null());
        let mut process = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while children(process.id()).len() < workers() || TcpStream::connect(address).is_err() {
            let alive = process.try_wait().unwrap().is_none();
            assert!(alive && Instant::now() < deadline, "nginx does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { address, process })
    }

    /// Its workers, which do all the work.
    pub fn pids(&self) -> Vec<u32> {
        children(self.process.id())
    }
}

impl Drop for Nginx {
    /// The master takes its workers with it when it is asked to end.
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()));
        self.process.wait().unwrap();
    }
}

/// One for each core, as the other servers have.
fn workers() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

fn configuration(tls: &Tls, dir: &Path, address: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", dir.display()))
        .concat();
    format!(
        "worker_processes {workers};\ndaemon off;\npid {dir}/pid;\nerror_log stderr error;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n{temporary}\
         access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; tcp_nodelay on;\n\
         ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off;\n\
         ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         ssl_client_certificate {ca}; ssl_verify_client on;\n\
         server {{ listen {address} ssl;\n\
         location = {PATH} {{\n\
         add_header ETag '{TAG}' always;\n\
         if ($http_if_none_match = '{TAG}') {{ return 304; }}\nreturn 200; }} }} }}\n",
        workers = workers(),
        dir = dir.display(),
        certificate = tls.certificate.display(),
        key = tls.key.display(),
        ca = tls.ca.display(),
    )
}
