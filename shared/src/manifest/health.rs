//! Health checks: how a host proves after an apply that it still does its work.

use super::values::{Argv, ServiceName};
use crate::risk::ActionClass;
use serde::{Deserialize, Serialize};

/// One check; it passes, or fails after all its tries, which undoes the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(try_from = "HealthText", into = "HealthText")]
pub struct HealthCheck {
    /// What is shown to people, such as `app answers`.
    pub name: String,
    pub probe: Probe,
    /// Seconds for one try.
    pub timeout_s: u32,
    /// Tries after the first one.
    pub retries: u32,
}

/// What one try does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    Http(HttpProbe),
    Tcp(TcpProbe),
    Command(CommandProbe),
    Service(ServiceProbe),
}

/// A GET request. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// A template of an http or https address, such as `http://127.0.0.1:{{params.port}}/`.
    pub url: String,
    /// The status that counts as healthy.
    #[serde(default = "HttpProbe::default_status")]
    #[cfg_attr(feature = "authoring", schemars(range(min = 100, max = 599)))]
    pub status: u16,
    /// A text that the body must contain within its first 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// A connection that is accepted and closed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// Host name or address.
    pub host: String,
    /// Port, 1 to 65535.
    #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 65_535)))]
    pub port: u16,
}

/// A program with the exit codes of Nagios plugins: 0 ok, 1 warning, 2 critical, others unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommandProbe {
    /// Absolute path of the program, then its arguments.
    pub run: Argv,
    /// Whether exit code 1 (warning) counts as healthy.
    #[serde(default = "CommandProbe::default_warning_is_ok")]
    pub warning_is_ok: bool,
}

/// A systemd unit that is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceProbe {
    /// Unit name; `.service` is implied.
    pub name: ServiceName,
}

impl HealthCheck {
    /// The kind of effect that running the check can have; looking from outside has none.
    pub fn class(&self) -> Option<ActionClass> {
        match self.probe {
            Probe::Command(_) => Some(ActionClass::Command),
            Probe::Http(_) | Probe::Tcp(_) | Probe::Service(_) => None,
        }
    }
}

impl HttpProbe {
    fn default_status() -> u16 {
        200
    }
}

impl CommandProbe {
    fn default_warning_is_ok() -> bool {
        true
    }
}

/// A health check; exactly one of `http`, `tcp`, `command` and `service`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "authoring", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "authoring", schemars(rename = "HealthCheck", extend("oneOf" = [
    { "required": ["http"] }, { "required": ["tcp"] }, { "required": ["command"] }, { "required": ["service"] }
])))]
#[serde(deny_unknown_fields)]
pub struct HealthText {
    /// What is shown to people, such as `app answers`.
    name: String,
    /// A GET request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpProbe>,
    /// A connection that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpProbe>,
    /// A program with the exit codes of Nagios plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<CommandProbe>,
    /// A systemd unit that is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<ServiceProbe>,
    /// Seconds for one try, 1 to 3600.
    #[serde(default = "HealthText::default_timeout_s")]
    #[cfg_attr(feature = "authoring", schemars(range(min = 1, max = 3_600)))]
    timeout_s: u32,
    /// Tries after the first one, 0 to 100.
    #[serde(default = "HealthText::default_retries")]
    #[cfg_attr(feature = "authoring", schemars(range(min = 0, max = 100)))]
    retries: u32,
}

/// Why a health check is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("health check {0:?} has no clear probe; exactly one of http, tcp, command and service")]
pub struct NotOneProbe(String);

impl HealthText {
    fn default_timeout_s() -> u32 {
        10
    }

    fn default_retries() -> u32 {
        3
    }
}

impl TryFrom<HealthText> for HealthCheck {
    type Error = NotOneProbe;
    fn try_from(text: HealthText) -> Result<Self, NotOneProbe> {
        let HealthText { name, http, tcp, command, service, timeout_s, retries } = text;
        let probe = match (http, tcp, command, service) {
            (Some(http), None, None, None) => Probe::Http(http),
            (None, Some(tcp), None, None) => Probe::Tcp(tcp),
            (None, None, Some(command), None) => Probe::Command(command),
            (None, None, None, Some(service)) => Probe::Service(service),
            _ => return Err(NotOneProbe(crate::strict::shorten(&name))),
        };
        Ok(Self { name, probe, timeout_s, retries })
    }
}

impl From<HealthCheck> for HealthText {
    fn from(check: HealthCheck) -> Self {
        let HealthCheck { name, probe, timeout_s, retries } = check;
        let empty = Self { name, http: None, tcp: None, command: None, service: None, timeout_s, retries };
        match probe {
            Probe::Http(http) => Self { http: Some(http), ..empty },
            Probe::Tcp(tcp) => Self { tcp: Some(tcp), ..empty },
            Probe::Command(command) => Self { command: Some(command), ..empty },
            Probe::Service(service) => Self { service: Some(service), ..empty },
        }
    }
}
