//! Health checks: how the host shows after a run that it still does its work.
//!
//! Exit codes of programs are those of Nagios plugins. Redirects are not followed; certificates are checked
//! against the host's own authorities.

mod http;

use crate::host::{Exec, Fault, Host};
use crate::journal::Start;
use crate::resource::programs::{self, Coming};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::manifest::{CommandProbe, HealthCheck, HttpProbe, ParamValue, Probe, ServiceProbe, TcpProbe};
use shared::receipt::HealthResult;
use shared::refusal::{Code, Refused};
use shared::strict::Map;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A service has to stay up for so long: one that cannot read its settings is up for a moment as well.
const STAYS: Duration = Duration::from_secs(2);
/// What people read of a check's output.
const OUTPUT_CHARS: usize = 1_000;

/// The check with its address rendered, so that it can also run after a restart of the agent.
///
/// # Errors
/// The address does not render on this host.
pub fn render(
    check: &HealthCheck,
    params: &Map<String, ParamValue>,
    facts: &TemplateFacts,
) -> Result<HealthCheck, Refused> {
    let mut check = check.clone();
    if let Probe::Http(probe) = &mut check.probe {
        probe.url = shared::template::render(&probe.url, params, facts)
            .map_err(|p| Refused::new(Code::PlanFailed, format!("health check {}: {p}", check.name)))?;
    }
    Ok(check)
}

/// Runs all checks of a run, each until it passes or its tries are used up.
pub fn run(start: &Start, host: &mut impl Host) -> Vec<HealthResult> {
    start.health.iter().map(|check| one(check, start, host)).collect()
}

fn one(check: &HealthCheck, start: &Start, host: &mut impl Host) -> HealthResult {
    let started = Instant::now();
    let mut answer = attempt(check, start, host);
    for _ in 0..check.retries {
        if answer.is_ok() {
            break;
        }
        thread::sleep(PAUSE);
        answer = attempt(check, start, host);
    }
    let ok = answer.is_ok();
    let output = answer.unwrap_or_else(|why| why);
    let clean = output.chars().map(|c| if c.is_control() { ' ' } else { c }).take(OUTPUT_CHARS).collect();
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    HealthResult { name: check.name.clone(), ok, output: clean, ms }
}

/// A program runs only when its files are, at that moment, those that were approved.
fn attempt(check: &HealthCheck, start: &Start, host: &mut impl Host) -> Result<String, String> {
    if let Probe::Command(probe) = &check.probe {
        let approved = start.health_programs.iter().find(|p| p.check == check.name && p.run == probe.run);
        let approved = approved.ok_or("it is not in the approved plan, so it is not run")?;
        let (lines, coming) = ([&probe.run], Coming::done(&start.actions));
        programs::check("the check", &lines, coming, &approved.programs, host)
            .map_err(|fault| fault.text())?;
    }
    probe(&check.probe, Duration::from_secs(u64::from(check.timeout_s)), host)
}

/// One try: what to show when it passes, or why it does not.
fn probe(probe: &Probe, timeout: Duration, host: &mut impl Host) -> Result<String, String> {
    match probe {
        Probe::Http(probe) => http(probe, timeout, host),
        Probe::Tcp(probe) => tcp(probe, timeout),
        Probe::Command(probe) => command(probe, timeout, host),
        Probe::Service(probe) => service(probe, host),
    }
}

fn http(probe: &HttpProbe, timeout: Duration, host: &impl Host) -> Result<String, String> {
    let answer = http::get(&probe.url, timeout, host)?;
    if answer.status != probe.status {
        return Err(format!("status {}, expected {}", answer.status, probe.status));
    }
    if let Some(text) = &probe.contains
        && !answer.contains(text)
    {
        let digest = Digest::of(&answer.body);
        return Err(format!("status {}, but the body (sha256 {digest}) lacks {text:?}", answer.status));
    }
    Ok(format!("status {}", answer.status))
}

fn tcp(probe: &TcpProbe, timeout: Duration) -> Result<String, String> {
    connect(&probe.host, probe.port, timeout).map(|_| format!("{}:{} accepts", probe.host, probe.port))
}

/// Tries each address of the name in turn.
fn connect(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (name, port).to_socket_addrs().map_err(|e| format!("{host}: {e}"))?;
    let mut last = format!("{host} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn command(probe: &CommandProbe, timeout: Duration, host: &mut impl Host) -> Result<String, String> {
    let exec = Exec::new(probe.run.program(), probe.run.arguments().to_vec()).timeout(timeout);
    let ran = host.run(&exec).map_err(|fault| fault.text())?;
    let word = match ran.code {
        Some(0) => "ok",
        Some(1) => "warning",
        Some(2) => "critical",
        _ => "unknown",
    };
    let said = String::from_utf8_lossy(&ran.stdout).lines().next().unwrap_or_default().to_owned();
    let said = if said.is_empty() { ran.tail() } else { said };
    let text = format!("{word} ({}): {said}", ran.how);
    if ran.code.is_some_and(|code| probe.passes(code)) { Ok(text) } else { Err(text) }
}

fn service(probe: &ServiceProbe, host: &impl Host) -> Result<String, String> {
    let name = probe.name.unit();
    let look = || {
        let unit = host.unit(&name)?;
        Ok((unit, host.invocation(&name)?))
    };
    let (unit, first) = look().map_err(|fault: Fault| fault.text())?;
    let text = format!("{} is {}", probe.name, if unit.loaded { unit.active.as_str() } else { "not there" });
    if unit.active != "active" {
        return Err(text);
    }
    thread::sleep(STAYS);
    match look().map_err(|fault| fault.text())? {
        (unit, second) if unit.active == "active" && first == second => Ok(text),
        (unit, _) => {
            Err(format!("{} did not stay up for {} s and is {}", probe.name, STAYS.as_secs(), unit.active))
        }
    }
}
