//! The configuration file: at most thirty settings, each with its line and origin.
//!
//! All problems are reported at once, with file, line and remedy. Unknown keys are errors.

use super::address;
use super::db::DbUrl;
use super::http::tls;
use super::i18n::Language;
use super::mail::MailServer;
use super::reach::Reach;
use actix_web::http::header::HeaderName;
use serde::Deserialize;
use shared::ids::SiteId;
use shared::secret::Recipient;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Every setting with its default, commented; packages ship it.
pub const SAMPLE: &str = include_str!("../../../packaging/server.toml.sample");

/// The only setting that the environment may override: it carries a password.
pub const DATABASE_URL: &str = "ASSENT_SERVER_DATABASE_URL";

/// One listener: where it binds, how others reach it, and its certificate chain and key (PEM files).
#[derive(Debug, Clone)]
pub struct Listener {
    pub listen: SocketAddr,
    pub url: String,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Where requests of hosts come from a proxy that ends TLS.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub listen: SocketAddr,
    /// How hosts reach the proxy.
    pub url: String,
    /// Certificate chain and key for TLS between proxy and server; plain HTTP without.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The header in which the proxy says whose request it is; limits count the proxy itself without.
    pub address_header: Option<HeaderName>,
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// JSON and form bodies, bytes. The largest regular one is a batch of receipts.
    pub body: usize,
    /// One artifact, bytes.
    pub object: u64,
    /// Open connections per listener and worker thread; 10,000 agents keep one each.
    pub connections: usize,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub site_id: SiteId,
    pub data_dir: PathBuf,
    pub language: Language,
    pub database_url: String,
    pub people: Listener,
    pub agents: Listener,
    pub proxy: Option<Proxy>,
    /// Issues agents' TLS certificates, and nothing else.
    pub ca_cert: PathBuf,
    pub ca_key: PathBuf,
    /// Signs snapshot, timestamp and bundles of active changes.
    pub online_key: PathBuf,
    /// Signs checkpoints of the ledger.
    pub log_key: PathBuf,
    /// For whom backups are encrypted; none are made without.
    pub backup: Option<Recipient>,
    /// Authorities of the servers that this one connects to by itself (PEM).
    pub outgoing_ca: PathBuf,
    /// Where mail goes out; none is sent without.
    pub mail: Option<MailServer>,
    /// Where addresses may lead that people name: those of webhooks and calendars.
    pub reach: Reach,
    pub limits: Limits,
    /// Every setting with its value and origin, for `config explain`.
    pub settings: Vec<Setting>,
}

#[derive(Debug, Clone)]
pub struct Setting {
    pub name: &'static str,
    /// Passwords are masked.
    pub value: String,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Line(usize),
    Default,
    Environment,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Default => f.write_str("default"),
            Self::Environment => write!(f, "environment {DATABASE_URL}"),
        }
    }
}

/// Everything that is wrong with a configuration file, one line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadConfig(pub Vec<String>);

type Text = Option<Spanned<String>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    site_id: Text,
    data_dir: Text,
    language: Text,
    database: RawDatabase,
    people: RawListener,
    agents: RawAgents,
    proxy: RawProxy,
    keys: RawKeys,
    backup: RawBackup,
    outgoing: RawOutgoing,
    mail: RawMail,
    webhooks: RawWebhooks,
    limits: RawLimits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDatabase {
    url: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawListener {
    listen: Text,
    url: Text,
    cert: Text,
    key: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAgents {
    listen: Text,
    url: Text,
    cert: Text,
    key: Text,
    ca_cert: Text,
    ca_key: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProxy {
    listen: Text,
    url: Text,
    cert: Text,
    key: Text,
    address_header: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawKeys {
    online: Text,
    log: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBackup {
    recipient: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOutgoing {
    ca: Text,
    networks: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMail {
    server: Text,
    from: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawWebhooks {
    networks: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    body_kib: Option<Spanned<u32>>,
    object_mib: Option<Spanned<u32>>,
    connections: Option<Spanned<u32>>,
}

impl Config {
    pub fn load(file: &Path) -> Result<Self, BadConfig> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            BadConfig(vec![format!("{}: {error}; check path and rights", file.display())])
        })?;
        Self::parse(&file.display().to_string(), &text, std::env::var(DATABASE_URL).ok())
    }

    /// `file` is for messages only; `database_url` is the value from the environment.
    pub fn parse(file: &str, text: &str, database_url: Option<String>) -> Result<Self, BadConfig> {
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let remedy = "`assent-server config sample` prints the settings that exist";
            BadConfig(vec![format!("{file}:{line}: {}; {remedy}", error.message())])
        })?;
        let mut reader = Reader { file, text, settings: Vec::new(), problems: Vec::new() };
        match reader.config(raw, database_url) {
            Some(config) if reader.problems.is_empty() => Ok(Self { settings: reader.settings, ..config }),
            _ => Err(BadConfig(reader.problems)),
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    settings: Vec<Setting>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self, raw: Raw, environment: Option<String>) -> Option<Config> {
        let site_id =
            self.required("site_id", raw.site_id, "write the 16 hex digits that the key ceremony printed");
        let site_id = self.checked(site_id, str::parse::<SiteId>);
        let data_dir = self.optional("data_dir", raw.data_dir, "/var/lib/assent-server").0;
        let language = self.optional("language", raw.language, "de");
        let language = self.checked(Some(language), |text| match text {
            "de" => Ok(Language::De),
            "en" => Ok(Language::En),
            other => Err(format!("{other:?} is not a language; write \"de\" or \"en\"")),
        });
        let database_url = self.database(raw.database.url, environment, &data_dir);
        let people = self.listener(&PEOPLE, raw.people, &data_dir);
        let RawAgents { listen, url, cert, key, ca_cert, ca_key } = raw.agents;
        let agents = self.listener(&AGENTS, RawListener { listen, url, cert, key }, &data_dir);
        let proxy = self.proxy(raw.proxy);
        let mut path = |name, value, file: &str| {
            PathBuf::from(self.optional(name, value, &format!("{data_dir}/{file}")).0)
        };
        let ca_cert = path("agents.ca_cert", ca_cert, "tls/ca.crt");
        let ca_key = path("agents.ca_key", ca_key, "tls/ca.key");
        let online_key = path("keys.online", raw.keys.online, "keys/online.key");
        let log_key = path("keys.log", raw.keys.log, "keys/log.key");
        let recipient = self.optional("backup.recipient", raw.backup.recipient, "");
        let backup = self.checked(Some(recipient), |text| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                format!("{text:?} is not an age recipient; `assent backup recipient` prints the site's")
            }),
        });
        let outgoing_ca = match self.optional("outgoing.ca", raw.outgoing.ca, "system").0.as_str() {
            "system" => tls::system_authorities(),
            path => path.into(),
        };
        let mail = self.mail(raw.mail);
        let networks = self.networks(raw.outgoing.networks, raw.webhooks.networks);
        let reach = self.checked(Some(networks), str::parse::<Reach>);
        let limits = self.limits(raw.limits);
        Some(Config {
            site_id: site_id?,
            data_dir: data_dir.into(),
            language: language?,
            database_url: database_url?,
            people: people?,
            agents: agents?,
            proxy: proxy?,
            ca_cert,
            ca_key,
            online_key,
            log_key,
            backup: backup?,
            outgoing_ca,
            mail: mail?,
            reach: reach?,
            limits,
            settings: Vec::new(),
        })
    }

    /// By its former name too, which holds for the same.
    fn networks(&mut self, networks: Text, former: Text) -> (String, Origin) {
        let both = networks.is_some() && former.is_some();
        let given = match (networks, former) {
            (None, Some(former)) => self.optional("webhooks.networks", Some(former), ""),
            (networks, _) => self.optional("outgoing.networks", networks, ""),
        };
        if both {
            let what = "webhooks.networks is its former name; write only this one";
            self.problem("outgoing.networks", given.1, &what);
        }
        given
    }

    fn database(&mut self, url: Text, environment: Option<String>, data_dir: &str) -> Option<String> {
        let (value, origin) = match (environment, url) {
            (Some(value), _) => (value, Origin::Environment),
            (None, Some(value)) => {
                (value.get_ref().clone(), Origin::Line(line_of(self.text, value.span().start)))
            }
            (None, None) => {
                let place = Path::new(data_dir).join("assent.sqlite");
                let scheme = if place.is_absolute() { "sqlite://" } else { "sqlite:" };
                (format!("{scheme}{}", place.display()), Origin::Default)
            }
        };
        match DbUrl::parse(&value) {
            Ok(parsed) => {
                self.settings.push(Setting { name: "database.url", value: parsed.masked(), origin });
                Some(value)
            }
            Err(error) => {
                self.problem("database.url", origin, &error);
                None
            }
        }
    }

    fn listener(&mut self, names: &ListenerNames, raw: RawListener, data_dir: &str) -> Option<Listener> {
        let listen = self.optional(names.listen, raw.listen, names.default_listen);
        let listen = self.checked_as(names.listen, Some(listen), |text| {
            text.parse().map_err(|_| format!("{text:?} is not an address; write one like 0.0.0.0:8443"))
        });
        let url = self.required(
            names.url,
            raw.url,
            "write the address that others use, like https://assent.example.org:8443",
        );
        let url = self.checked_as(names.url, url, https);
        let cert =
            self.optional(names.cert, raw.cert, &format!("{data_dir}/tls/{}.crt", names.file)).0.into();
        let key = self.optional(names.key, raw.key, &format!("{data_dir}/tls/{}.key", names.file)).0.into();
        Some(Listener { listen: listen?, url: url?, cert, key })
    }

    /// No listener without an address of the proxy; the outer `None` is a problem.
    fn proxy(&mut self, raw: RawProxy) -> Option<Option<Proxy>> {
        let listen = self.optional("proxy.listen", raw.listen, "127.0.0.1:8445");
        let listen = self.checked(Some(listen), |text| {
            text.parse().map_err(|_| format!("{text:?} is not an address; write one like 127.0.0.1:8445"))
        });
        let unless_empty = |text: String| (!text.is_empty()).then_some(text);
        let url = self.optional("proxy.url", raw.url, "");
        let url =
            self.checked(Some(url), |text| if text.is_empty() { Ok(None) } else { https(text).map(Some) });
        let (cert, origin) = self.optional("proxy.cert", raw.cert, "");
        let key = self.optional("proxy.key", raw.key, "").0;
        let tls = match (unless_empty(cert), unless_empty(key)) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => {
                self.problem(
                    "proxy.cert",
                    origin,
                    &"give both proxy.cert and proxy.key, or none for plain HTTP",
                );
                return None;
            }
        };
        let header = self.optional("proxy.address_header", raw.address_header, "");
        let address_header = self.checked(Some(header), |text| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("{text:?} is not the name of a header")),
        });
        let (listen, url, address_header) = (listen?, url?, address_header?);
        Some(url.map(|url| Proxy { listen, url, tls, address_header }))
    }

    /// No mail without a server; the outer `None` is a problem.
    fn mail(&mut self, raw: RawMail) -> Option<Option<MailServer>> {
        let (url, origin) = self.optional("mail.server", raw.server, "");
        if let Some(shown) = self.settings.last_mut() {
            shown.value = address::masked(&url);
        }
        let from = self.optional("mail.from", raw.from, "").0;
        if url.is_empty() {
            return Some(None);
        }
        let server = MailServer::parse(&url, &from);
        server.map_err(|error| self.problem("mail.server", origin, &error)).ok().map(Some)
    }

    fn limits(&mut self, raw: RawLimits) -> Limits {
        let body = self.number("limits.body_kib", raw.body_kib, 1_024, 16);
        let object = self.number("limits.object_mib", raw.object_mib, 4_096, 1);
        let connections = self.number("limits.connections", raw.connections, 25_000, 10);
        Limits {
            body: body as usize * 1_024,
            object: u64::from(object) << 20,
            connections: connections as usize,
        }
    }

    fn number(&mut self, name: &'static str, given: Option<Spanned<u32>>, default: u32, least: u32) -> u32 {
        let (value, origin) = match given {
            Some(value) => (*value.get_ref(), Origin::Line(line_of(self.text, value.span().start))),
            None => (default, Origin::Default),
        };
        if value < least {
            self.problem(name, origin, &format!("{value} is too small; write {least} or more"));
        }
        self.settings.push(Setting { name, value: value.to_string(), origin });
        value
    }

    fn optional(&mut self, name: &'static str, given: Text, default: &str) -> (String, Origin) {
        let (value, origin) = match given {
            Some(value) => (value.get_ref().clone(), Origin::Line(line_of(self.text, value.span().start))),
            None => (default.to_owned(), Origin::Default),
        };
        self.settings.push(Setting { name, value: value.clone(), origin });
        (value, origin)
    }

    fn required(&mut self, name: &'static str, given: Text, remedy: &str) -> Option<(String, Origin)> {
        if given.is_none() {
            self.problems.push(format!("{}: {name} is missing; {remedy}", self.file));
            return None;
        }
        Some(self.optional(name, given, ""))
    }

    fn checked<T, E: Display>(
        &mut self,
        value: Option<(String, Origin)>,
        check: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let name = self.settings.last().map_or("", |setting| setting.name);
        self.checked_as(name, value, check)
    }

    fn checked_as<T, E: Display>(
        &mut self,
        name: &'static str,
        value: Option<(String, Origin)>,
        check: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (value, origin) = value?;
        check(&value).map_err(|error| self.problem(name, origin, &error)).ok()
    }

    fn problem(&mut self, name: &'static str, origin: Origin, what: &dyn Display) {
        let place = match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Default => format!("{} (default)", self.file),
            Origin::Environment => format!("environment {DATABASE_URL}"),
        };
        self.problems.push(format!("{place}: {name}: {what}"));
    }
}

struct ListenerNames {
    listen: &'static str,
    url: &'static str,
    cert: &'static str,
    key: &'static str,
    file: &'static str,
    default_listen: &'static str,
}

const PEOPLE: ListenerNames = ListenerNames {
    listen: "people.listen",
    url: "people.url",
    cert: "people.cert",
    key: "people.key",
    file: "people",
    default_listen: "0.0.0.0:8443",
};

const AGENTS: ListenerNames = ListenerNames {
    listen: "agents.listen",
    url: "agents.url",
    cert: "agents.cert",
    key: "agents.key",
    file: "agents",
    default_listen: "0.0.0.0:8444",
};

fn https(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(plain) {
        return Err(format!(
            "{text:?} is not a public address; write https://name or https://name:port, no path"
        ));
    }
    Ok(format!("https://{host}"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "site_id = \"0011223344556677\"\n[people]\nurl = \"https://a.example\"\n[agents]\nurl = \"https://a.example:8444/\"\n";

    #[test]
    fn the_smallest_file_is_enough_and_every_setting_has_an_origin() {
        let config = Config::parse("c.toml", SMALLEST, None).unwrap();
        assert_eq!(config.database_url, "sqlite:///var/lib/assent-server/assent.sqlite");
        assert_eq!(config.agents.url, "https://a.example:8444");
        assert_eq!(config.limits.body, 1 << 20);
        assert!(config.settings.len() <= 30, "{}", config.settings.len());
        let origin = |name| config.settings.iter().find(|s| s.name == name).map(|s| s.origin);
        assert_eq!(origin("people.url"), Some(Origin::Line(3)));
        assert_eq!(origin("limits.body_kib"), Some(Origin::Default));
    }

    #[test]
    fn a_proxy_needs_its_address_and_brings_a_listener() {
        assert!(Config::parse("c.toml", SMALLEST, None).unwrap().proxy.is_none());
        let with = |more: &str| Config::parse("c.toml", &format!("{SMALLEST}[proxy]\n{more}"), None);
        let plain = with("url = \"https://p.example\"\n").unwrap().proxy.unwrap();
        assert_eq!(
            (plain.listen.to_string().as_str(), plain.url.as_str()),
            ("127.0.0.1:8445", "https://p.example")
        );
        assert!(plain.tls.is_none() && plain.address_header.is_none());
        let whole =
            "url = \"https://p.example\"\ncert = \"c\"\nkey = \"k\"\naddress_header = \"X-Real-IP\"\n";
        let whole = with(whole).unwrap().proxy.unwrap();
        assert_eq!(whole.tls, Some(("c".into(), "k".into())));
        assert_eq!(whole.address_header.unwrap().as_str(), "x-real-ip");
        for (bad, start) in [
            ("url = \"http://p.example\"\n", "c.toml:7: proxy.url: "),
            ("listen = \"8445\"\n", "c.toml:7: proxy.listen: "),
            ("cert = \"c\"\n", "c.toml:7: proxy.cert: give both"),
            ("address_header = \"X Real\"\n", "c.toml:7: proxy.address_header: "),
        ] {
            let BadConfig(problems) = with(bad).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(start), "{problems:?}");
        }
    }

    #[test]
    fn the_environment_wins_for_the_database_and_the_password_is_masked() {
        let text = format!("{SMALLEST}[database]\nurl = \"sqlite:x\"\n");
        let config = Config::parse("c.toml", &text, Some("postgresql://u:secret@h/d".into())).unwrap();
        assert_eq!(config.database_url, "postgresql://u:secret@h/d");
        let shown = config.settings.iter().find(|s| s.name == "database.url").unwrap();
        assert_eq!((shown.value.as_str(), shown.origin), ("postgresql://u:***@h/d", Origin::Environment));
    }

    #[test]
    fn all_problems_are_told_at_once_with_line_and_remedy() {
        let text = "language = \"fr\"\n[database]\nurl = \"mysql://x\"\n[people]\nlisten = \"8443\"\n\
                    url = \"http://x\"\n[limits]\nbody_kib = 1\n";
        let BadConfig(problems) = Config::parse("c.toml", text, None).unwrap_err();
        let starts = [
            "c.toml: site_id is missing; write",
            "c.toml:1: language: ",
            "c.toml:3: database.url: ",
            "c.toml:5: people.listen: ",
            "c.toml:6: people.url: ",
            "c.toml: agents.url is missing; write",
            "c.toml:8: limits.body_kib: 1 is too small; write 16",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem} / {start}");
        }
    }

    /// Both as shipped and with every default written out it is valid, and it leaves no setting out.
    #[test]
    fn the_sample_shows_every_setting_with_its_default() {
        let shipped = Config::parse("sample", SAMPLE, None).unwrap();
        let is_setting =
            |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        let plain = |line: &str| if is_setting(line) { line[1..].to_owned() } else { line.to_owned() };
        let text: String = SAMPLE.lines().map(|line| plain(line) + "\n").collect();
        let written = Config::parse("sample", &text, None).unwrap();
        for (shipped, written) in shipped.settings.iter().zip(&written.settings) {
            assert!(matches!(written.origin, Origin::Line(_)), "{} is not in the sample", written.name);
            assert_eq!((shipped.name, &shipped.value), (written.name, &written.value));
        }
        assert_eq!(shipped.settings.len(), written.settings.len());
    }

    #[test]
    fn networks_that_may_be_reached_have_a_name_and_a_former_one() {
        let with = |more: &str| Config::parse("c.toml", &format!("{SMALLEST}{more}"), None);
        let expected: Reach = "10.20.0.0/16".parse().unwrap();
        for name in ["outgoing", "webhooks"] {
            let config = with(&format!("[{name}]\nnetworks = \"10.20.0.0/16\"\n")).unwrap();
            assert_eq!(config.reach, expected, "{name}");
            let shown = format!("{name}.networks");
            assert!(config.settings.iter().any(|setting| setting.name == shown), "{shown}");
            let BadConfig(problems) = with(&format!("[{name}]\nnetworks = \"10/8\"\n")).unwrap_err();
            assert!(problems[0].starts_with(&format!("c.toml:7: {shown}: ")), "{problems:?}");
        }
        let both = "[outgoing]\nnetworks = \"10.20.0.0/16\"\n[webhooks]\nnetworks = \"10.0.0.0/8\"\n";
        let BadConfig(problems) = with(both).unwrap_err();
        assert!(
            problems[0].contains("outgoing.networks") && problems[0].contains("former name"),
            "{problems:?}"
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let BadConfig(problems) = Config::parse("c.toml", "site_id = \"x\"\nsight = 1\n", None).unwrap_err();
        assert!(problems[0].starts_with("c.toml:2: unknown field `sight`"), "{problems:?}");
    }
}
