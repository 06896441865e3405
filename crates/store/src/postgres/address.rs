//! Where the database is: a URL taken apart, with the password kept out of everything that is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::statements::Learned;
use super::tls;
use super::url::DatabaseUrl;
use crate::contract::StoreError;

/// What a URL looks like.
const SHAPE: &str = "postgres://user:password@host:port/database";

/// How long a connection of the network may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// And so many times as long all that goes before the first statement: looking up the host, its other addresses, TLS, the password, a
/// pool that looks for a connection.
const ANSWER_PART: u32 = 6;

/// How long sent bytes may stay without an answer of the network, before the connection counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How often a silent peer is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Option of the URL that names a file with the certificates to trust.
const ROOTS_OPTION: &str = "sslrootcert";

/// An address to connect to.
#[derive(Clone)]
pub(super) struct Address {
    /// One for each host, in their order.
    hosts: Vec<Config>,
    /// Which of them answered last: the others may be silent, and each of them would cost [`Address::answer_max`] again.
    answered: Arc<AtomicUsize>,
    answer_max: Duration,
    place: String,
    tls: MakeRustlsConnect,
    learned: Option<Arc<Learned>>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.place).finish()
    }
}

impl Address {
    /// Takes `url` apart: `postgres://user:password@host:port/database?options`.
    ///
    /// Hosts that are not local are spoken to by TLS, with their certificates verified, unless `sslmode=disable` says
    /// otherwise.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what is wrong in the URL, and never its password.
    pub(super) fn parse(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let refused = |reason: String| StoreError::Unavailable { place: url.to_string(), reason };
        let is_ambiguous = url.is_ambiguous();
        let url = url.expose();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refused(format!("expected {SHAPE}")));
        }
        if is_ambiguous {
            return Err(refused(format!(
                "it cannot be told where the password ends and the host begins: expected {SHAPE}, with %40 for '@', %3A for ':', \
                 %2F for '/' and %3F for '?' in user and password"
            )));
        }
        let (url_for_client, mut options) = split_options(url);
        if let Some(unknown) = unknown_option(url) {
            return Err(refused(format!("unknown option {unknown}: expected {SHAPE}")));
        }
        let roots = take_option(&mut options, ROOTS_OPTION);
        let names_mode = options.iter().any(|(name, _)| name == "sslmode");
        // These two ask for what is done anyway.
        for (name, value) in &mut options {
            if name == "sslmode" && matches!(value.as_str(), "verify-full" | "verify-ca") {
                "require".clone_into(value);
            }
        }
        let mut config: Config = join_options(url_for_client, &options).parse().map_err(
            |error: tokio_postgres::Error| refused(format!("{}: expected {SHAPE}", reason(&error))),
        )?;
        if config.get_hosts().is_empty() {
            return Err(refused("the URL names no host".to_owned()));
        }
        // The name may be one thing and the address another.
        let is_local = config.get_hosts().iter().all(is_local)
            && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        if !names_mode {
            config.ssl_mode(if is_local { SslMode::Disable } else { SslMode::Require });
        }
        // Of several, the one that may be written to: which one that is may change.
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("campanile");
        }
        config.tcp_user_timeout(SILENCE_MAX);
        config.keepalives_idle(KEEPALIVE);
        let needs_tls = config.get_ssl_mode() != SslMode::Disable;
        let tls = tls::connector(needs_tls, roots.as_deref()).map_err(refused)?;
        let connect_max = config.get_connect_timeout().map_or(CONNECT_MAX, |max| *max);
        let at_once = config.get_hosts().len();
        let (place, hosts, answered) = (place(&config), each_host(config), Arc::default());
        // The client may try several as one.
        let at_once = u32::try_from(at_once / hosts.len().max(1)).unwrap_or(1);
        let answer_max = connect_max.saturating_mul(ANSWER_PART).saturating_mul(at_once.max(1));
        Ok(Self { hosts, answered, answer_max, place, tls, learned: None })
    }

    /// The same place, to which statements go without names.
    pub(super) fn without_names(self) -> Self {
        Self { learned: Some(Arc::default()), ..self }
    }

    /// Where the types of statements without names are kept; `None` when statements have names.
    pub(super) fn learned(&self) -> Option<Arc<Learned>> {
        self.learned.clone()
    }

    /// For people: host, port and database.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// How to connect to each of the hosts, with its place among them, in the order in which they are to be tried: the one that
    /// answered last, then those behind it, and around.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (usize, &Config)> {
        let first = self.answered.load(Ordering::Relaxed);
        let hosts = self.hosts.iter().enumerate();
        hosts.clone().skip(first).chain(hosts.take(first))
    }

    /// The host at this place answered.
    pub(super) fn has_answered(&self, at: usize) {
        self.answered.store(at, Ordering::Relaxed);
    }

    /// How long one of them may take before the first statement.
    pub(super) fn answer_max(&self) -> Duration {
        self.answer_max
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }
}

/// Whether bytes to `host` stay on this machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let name = name.trim_start_matches('[').trim_end_matches(']');
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// The configuration of each host by itself. Where they are to be taken at random the client does that.
fn each_host(config: Config) -> Vec<Config> {
    let hosts = config.get_hosts();
    // What does not go together is the client's to refuse.
    let goes_together =
        |count: usize, is_for_all: usize| count <= is_for_all || count == hosts.len();
    if hosts.len() < 2
        || config.get_load_balance_hosts() == LoadBalanceHosts::Random
        || !goes_together(config.get_hostaddrs().len(), 0)
        || !goes_together(config.get_ports().len(), 1)
    {
        return vec![config];
    }
    let one = |(at, host): (usize, &Host)| {
        let mut one = Config::new();
        match host {
            Host::Tcp(name) => one.host(name.as_str()),
            #[cfg(unix)]
            Host::Unix(folder) => one.host_path(folder),
        };
        config.get_hostaddrs().get(at).map(|address| one.hostaddr(*address));
        config.get_user().map(|user| one.user(user));
        config.get_password().map(|password| one.password(password));
        config.get_dbname().map(|name| one.dbname(name));
        config.get_options().map(|options| one.options(options));
        config.get_application_name().map(|name| one.application_name(name));
        config.get_connect_timeout().map(|max| one.connect_timeout(*max));
        config.get_tcp_user_timeout().map(|max| one.tcp_user_timeout(*max));
        config.get_keepalives_interval().map(|every| one.keepalives_interval(every));
        config.get_keepalives_retries().map(|count| one.keepalives_retries(count));
        one.port(port(&config, at))
            .ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle())
            .target_session_attrs(config.get_target_session_attrs())
            .channel_binding(config.get_channel_binding());
        one
    };
    hosts.iter().enumerate().map(one).collect()
}

/// The port of the host at this place: one that is named alone counts for all.
fn port(config: &Config, at: usize) -> u16 {
    let ports = config.get_ports();
    ports.get(at).or(ports.first()).copied().unwrap_or(5432)
}

fn place(config: &Config) -> String {
    let port = |at: usize| port(config, at);
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(at, host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(at)),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{}", folder.display(), port(at)),
        })
        .collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("postgres://{}/{database}", hosts.join(","))
}

fn reason(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// The options of a URL that are known.
const OPTIONS: [&str; 20] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslmode",
    "sslnegotiation",
    ROOTS_OPTION,
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

type Options = Vec<(String, String)>;

/// The first option that nobody knows, in words: its name is told where it cannot be the rest of a password.
fn unknown_option(url: &str) -> Option<String> {
    let (_, options) = url.split_once('?')?;
    let mut is_behind_password = false;
    for option in options.split('&').filter(|one| !one.is_empty()) {
        let (name, value) = option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v)));
        if !OPTIONS.contains(&name) {
            let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let may_be_told = is_plain && value.is_some() && !is_behind_password;
            return Some(if may_be_told { format!("`{name}`") } else { "in the URL".to_owned() });
        }
        is_behind_password |= name == "password";
    }
    None
}

fn split_options(url: &str) -> (&str, Options) {
    let Some((head, tail)) = url.split_once('?') else { return (url, Vec::new()) };
    let options = tail
        .split('&')
        .filter(|one| !one.is_empty())
        .map(|one| {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    (head, options)
}

fn take_option(options: &mut Options, name: &str) -> Option<String> {
    let at = options.iter().position(|(known, _)| known == name)?;
    Some(options.remove(at).1.replace("%2F", "/").replace("%2f", "/"))
}

fn join_options(head: &str, options: &Options) -> String {
    // The client takes all before an '@' for the login, wherever that stands.
    let written =
        |(name, value): &(String, String)| format!("{name}={}", value.replace('@', "%40"));
    let list: Vec<String> = options.iter().map(written).collect();
    if list.is_empty() { head.to_owned() } else { format!("{head}?{}", list.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Address, StoreError> {
        Address::parse(&DatabaseUrl::from(url))
    }

    fn mode(url: &str) -> SslMode {
        parsed(url).unwrap().hosts[0].get_ssl_mode()
    }

    #[test]
    fn a_host_that_is_not_local_is_spoken_to_by_tls_unless_the_url_says_otherwise() {
        assert_eq!(mode("postgres://u@db.example.org/c"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example.org/c?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example.org/c?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u@localhost/c?hostaddr=192.0.2.7"), SslMode::Require);
        assert_eq!(mode("postgres://u@localhost,db.example.org/c"), SslMode::Require);
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Ftmp"] {
            assert_eq!(mode(&format!("postgres://u@{local}/c")), SslMode::Disable, "{local}");
        }
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "postgres://u:geheim@h:port/c",
            "postgres://u:geheim@h/c?sslmode=maybe",
            "postgres://u:geheim@h/c?color=red",
            "mysql://u:geheim@h/c",
            "postgres://u:ge@heim@h/c?x",
        ] {
            let told = parsed(url).unwrap_err().to_string();
            assert!(!told.contains("geheim") && !told.contains("heim"), "{told}");
        }
        let told = parsed("postgres://u:ge@heim@h/c").unwrap_err().to_string();
        assert!(told.contains("%40 for '@'"), "{told}");
        let told = parsed("postgres://u:geheim@h/c?color=red").unwrap_err().to_string();
        assert!(told.contains("color"), "{told}");
    }

    #[test]
    fn each_host_of_several_is_reached_as_the_url_says() {
        let url = "postgres://u:geheim@one,two:5433/c?connect_timeout=2&keepalives_retries=4&options=-csearch_path%3Dx&application_name=me";
        let address = parsed(url).unwrap();
        assert_eq!(address.answer_max(), Duration::from_secs(12));
        let [one, two] = &address.hosts[..] else { panic!("two hosts") };
        assert_eq!(
            (one.get_hosts(), one.get_ports()),
            (&[Host::Tcp("one".into())][..], &[5432][..])
        );
        assert_eq!(
            (two.get_hosts(), two.get_ports()),
            (&[Host::Tcp("two".into())][..], &[5433][..])
        );
        let whole: Config = url.parse().unwrap();
        for host in [one, two] {
            assert_eq!(host.get_password(), whole.get_password());
            assert_eq!(host.get_user(), whole.get_user());
            assert_eq!(host.get_dbname(), whole.get_dbname());
            assert_eq!(host.get_options(), whole.get_options());
            assert_eq!(host.get_application_name(), whole.get_application_name());
            assert_eq!(host.get_connect_timeout(), whole.get_connect_timeout());
            assert_eq!(host.get_keepalives_retries(), whole.get_keepalives_retries());
            assert_eq!(host.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!(host.get_ssl_mode(), SslMode::Require);
        }
    }

    #[test]
    fn what_does_not_go_together_is_left_to_the_client() {
        for (url, count) in [
            ("postgres://u@one:1,two:2/c", 2),
            ("postgres://u@one,two/c?hostaddr=192.0.2.1,192.0.2.2", 2),
            ("postgres://u@one,two/c?hostaddr=192.0.2.1", 1),
            ("postgres://u@one:1,two:2/c?port=3", 1),
            ("postgres://u@one,two/c?load_balance_hosts=random", 1),
        ] {
            assert_eq!(parsed(url).unwrap().hosts.len(), count, "{url}");
        }
        let random = "postgres://u@one,two/c?load_balance_hosts=random&connect_timeout=1";
        assert_eq!(parsed(random).unwrap().answer_max(), Duration::from_secs(12));
        let for_ever = "postgres://u@h/c?connect_timeout=9223372036854775807";
        assert!(parsed(for_ever).unwrap().answer_max() > Duration::from_secs(1 << 62));
    }

    #[test]
    fn an_unknown_option_is_named_unless_it_may_be_of_a_password() {
        let told = |url: &str| parsed(url).unwrap_err().to_string();
        assert!(told("postgres://h/c?color=red").contains("unknown option `color`"));
        for url in [
            "postgres://h/c?user=u&password=ge&heim",
            "postgres://h/c?user=u&password=ge&heim=x",
            "postgres://u:1?heim",
            "postgres://u:1?u:heim",
        ] {
            let told = told(url);
            assert!(told.contains("unknown option in the URL") && !told.contains("heim"), "{told}");
        }
    }

    #[test]
    fn the_host_that_answered_last_is_tried_first() {
        let address = parsed("postgres://one,two,three/c").unwrap();
        let order = || address.hosts().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        address.clone().has_answered(1);
        assert_eq!(order(), [1, 2, 0]);
    }

    #[test]
    fn an_at_sign_in_an_option_is_no_end_of_a_login() {
        let address =
            parsed("postgres://h:5432/c?user=u&password=ge@heim&options=-ctag=a@b").unwrap();
        assert_eq!(address.place(), "postgres://h:5432/c");
        let [host] = &address.hosts[..] else { panic!("one host") };
        assert_eq!(host.get_password(), Some(&b"ge@heim"[..]));
        assert_eq!((host.get_user(), host.get_options()), (Some("u"), Some("-ctag=a@b")));
    }

    #[test]
    fn an_address_is_told_by_host_port_and_database() {
        let address = parsed("postgres://u:geheim@db.example.org:5433/events").unwrap();
        assert_eq!(address.place(), "postgres://db.example.org:5433/events");
        let address = parsed("postgres://u:geheim@one:5433,two/events").unwrap();
        assert_eq!(address.place(), "postgres://one:5433,two:5432/events");
        assert!(!format!("{address:?}").contains("geheim"));
    }
}
