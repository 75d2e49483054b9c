//! Health checks: how the host shows after a run that it still does its work.
//!
//! Programs are monitoring plugins: exit codes, first line, further lines, performance data. What is looked at over the network is looked at by a network
//! process (`courier`); this one judges what came back. Certificates are checked against the host's own authorities.

use crate::courier::{Look, Seen};
use crate::drift::ApprovedState;
use crate::host::{Exec, Fault, Host};
use crate::journal::Start;
use crate::resource::programs::{self, Coming};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::health::{HealthResult, HealthState};
use shared::limits;
use shared::manifest::{CommandProbe, HealthCheck, HttpProbe, ParamValue, Probe, ServiceProbe, TcpProbe};
use shared::plan::HealthProgram;
use shared::plugin::{self, Said};
use shared::refusal::{Code, Refused};
use shared::strict::Map;
use std::thread;
use std::time::{Duration, Instant};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A service has to stay up for so long: one that cannot read its settings is up for a moment as well.
const STAYS: Duration = Duration::from_secs(2);
/// One try outside of runs, and all checks of one look together.
const LOOK_SECS: u32 = 30;
const ROUND: Duration = Duration::from_secs(120);
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

/// What one try says.
struct Answer {
    state: HealthState,
    said: Said,
}

impl Answer {
    fn new(state: HealthState, text: impl Into<String>) -> Self {
        Self { state, said: Said { text: text.into(), ..Said::default() } }
    }

    /// Whether it counts as healthy.
    fn passes(&self, probe: &Probe) -> bool {
        match (self.state, probe) {
            (HealthState::Ok, _) => true,
            (HealthState::Warning, Probe::Command(probe)) => probe.warning_is_ok,
            _ => false,
        }
    }
}

/// A look that found what is wanted, or why it did not.
impl From<Result<String, String>> for Answer {
    fn from(looked: Result<String, String>) -> Self {
        match looked {
            Ok(text) => Self::new(HealthState::Ok, text),
            Err(why) => Self::new(HealthState::Critical, why),
        }
    }
}

/// What programs of checks have to be.
#[derive(Clone, Copy)]
struct Approved<'a> {
    programs: &'a [HealthProgram],
    coming: Coming<'a>,
}

/// Runs all checks of a run, each until it passes or its tries are used up.
pub fn run(start: &Start, host: &mut impl Host) -> Vec<HealthResult> {
    let approved = Approved { programs: &start.health_programs, coming: Coming::done(&start.actions) };
    bounded(start.health.iter().map(|check| one(check, approved, host)).collect())
}

/// Looks at the checks of what is approved for this host, outside of runs: fewer tries and less time than after a
/// change, so that the agent goes on with its other work. Checks of one name are told apart by their manifests; what
/// there is no time for is left out.
pub fn look(states: &[ApprovedState], host: &mut impl Host) -> Vec<HealthResult> {
    let until = Instant::now() + ROUND;
    let mut results: Vec<HealthResult> = Vec::new();
    for state in states {
        let approved = Approved { programs: &state.health_programs, coming: Coming::done(&[]) };
        for check in &state.manifest.health {
            if results.len() >= limits::HEALTH_CHECKS || Instant::now() >= until {
                return bounded(results);
            }
            let Ok(mut check) = render(check, &state.params, &state.facts) else { continue };
            check.timeout_s = check.timeout_s.min(LOOK_SECS);
            check.retries = check.retries.min(1);
            let mut result = one(&check, approved, host);
            if results.iter().any(|other| other.name == result.name) {
                result.name = format!("{}: {}", state.expected.manifest, result.name);
            }
            if results.iter().all(|other| other.name != result.name) {
                results.push(result);
            }
        }
    }
    bounded(results)
}

fn bounded(mut results: Vec<HealthResult>) -> Vec<HealthResult> {
    let mut room = limits::METRICS_OF_RUN;
    for result in &mut results {
        if result.metrics.len() > room {
            result.unread = format!("all checks together have more than {} numbers", limits::METRICS_OF_RUN);
            result.metrics.truncate(room);
        }
        room -= result.metrics.len();
    }
    results
}

fn one(check: &HealthCheck, approved: Approved<'_>, host: &mut impl Host) -> HealthResult {
    let started = Instant::now();
    let mut answer = attempt(check, approved, host);
    for _ in 0..check.retries {
        if answer.passes(&check.probe) {
            break;
        }
        thread::sleep(PAUSE);
        answer = attempt(check, approved, host);
    }
    let ok = answer.passes(&check.probe);
    let Answer { state, said: Said { text, long, metrics, unread } } = answer;
    let output = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(OUTPUT_CHARS).collect();
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    HealthResult { name: check.name.clone(), ok, state: Some(state), output, long, metrics, unread, ms }
}

/// A program runs only when its files are, at that moment, those that were approved.
fn attempt(check: &HealthCheck, approved: Approved<'_>, host: &mut impl Host) -> Answer {
    if let Probe::Command(probe) = &check.probe {
        let known = approved.programs.iter().find(|p| p.check == check.name && p.run == probe.run);
        let Some(known) = known else {
            return Answer::new(HealthState::Unknown, "it is not in the approved plan, so it is not run");
        };
        let checked = programs::check("the check", &[&probe.run], approved.coming, &known.programs, host);
        if let Err(fault) = checked {
            return Answer::new(HealthState::Unknown, fault.text());
        }
    }
    probe(&check.probe, Duration::from_secs(u64::from(check.timeout_s)), host)
}

/// One try.
fn probe(probe: &Probe, timeout: Duration, host: &mut impl Host) -> Answer {
    match probe {
        Probe::Http(probe) => http(probe, timeout, host).into(),
        Probe::Tcp(probe) => tcp(probe, timeout, host).into(),
        Probe::Command(probe) => command(probe, timeout, host),
        Probe::Service(probe) => service(probe, host).into(),
    }
}

fn http(probe: &HttpProbe, timeout: Duration, host: &impl Host) -> Result<String, String> {
    let Seen::Http { status, body } = host.probe(&Look::Http { url: probe.url.clone() }, timeout)? else {
        return Err("the answer is no HTTP".into());
    };
    if status != probe.status {
        return Err(format!("status {status}, expected {}", probe.status));
    }
    if let Some(text) = &probe.contains
        && !contains(&body, text)
    {
        let digest = Digest::of(&body);
        return Err(format!("status {status}, but the body (sha256 {digest}) lacks {text:?}"));
    }
    Ok(format!("status {status}"))
}

fn contains(body: &[u8], text: &str) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes())
}

fn tcp(probe: &TcpProbe, timeout: Duration, host: &impl Host) -> Result<String, String> {
    let TcpProbe { host: name, port } = probe;
    host.probe(&Look::Tcp { host: name.clone(), port: *port }, timeout)
        .map(|_| format!("{name}:{port} accepts"))
}

fn command(probe: &CommandProbe, timeout: Duration, host: &mut impl Host) -> Answer {
    let exec = Exec::new(probe.run.program(), probe.run.arguments().to_vec()).timeout(timeout);
    let ran = match host.run(&exec) {
        Ok(ran) => ran,
        Err(fault) => return Answer::new(HealthState::Unknown, fault.text()),
    };
    let state = HealthState::of_exit(ran.code);
    let mut said = plugin::read(&String::from_utf8_lossy(&ran.stdout));
    let text = if said.text.is_empty() { ran.tail() } else { said.text };
    said.text = format!("{} ({}): {text}", state.as_str(), ran.how);
    Answer { state, said }
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
