//! The URL of a database, which may hold a password: it is told to nobody by accident.

use std::fmt;

/// `postgres://user:password@host:port/database?options`. Printed in any way, it is without user, password and options.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole text, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it cannot be told where the login ends and the host begins.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.split_once("://").is_none_or(|(_, rest)| place_of(rest).is_none())
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for DatabaseUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Options of which a value may hold an `@`.
const WITH_ANY_VALUE: [&str; 5] =
    ["password", "user", "application_name", "options", "sslrootcert"];

/// `host:port/database` of the part of a URL behind `://`, if it is certain that nothing of a password stands in it. A password
/// whose `@`, `/`, `?` or `:` is written as it is may make it uncertain, and so does a host that was forgotten.
fn place_of(rest: &str) -> Option<&str> {
    let (head, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, place) = match head.split_once('@') {
        Some((_, place)) if place.contains('@') => return None,
        Some((login, place)) => (login, place),
        None => ("", head),
    };
    // Escaped as a whole, a login is no login.
    let is_escaped = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("%40") || text.contains("%3a")
    };
    let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let has_user = !login.is_empty() || options.split('&').any(|one| one.starts_with("user="));
    let is_certain = (password.is_some()
        || (!is_escaped(user)
            && (!login.is_empty() || !is_escaped(hosts))
            && has_no_password((hosts, database), has_user)))
        && !place.contains(['=', '&', ';', ' '])
        && !options.split('&').any(may_be_password);
    is_certain.then_some(place)
}

/// Whether hosts and database of a URL without a password look like that, and not like a login whose host was forgotten.
fn has_no_password((hosts, database): (&str, &str), has_user: bool) -> bool {
    let mut had_port = false;
    let are_hosts = hosts.split(',').all(|host| {
        // An address of IPv6 stands in brackets.
        let behind = match host.strip_prefix('[').map(|inner| inner.split_once(']')) {
            Some(Some((_, behind))) => behind,
            Some(None) => return false,
            None if host.contains([']', ';']) => return false,
            None => host,
        };
        let (name, port) = behind.split_once(':').map_or((behind, None), |(n, p)| (n, Some(p)));
        let is_name = !host.starts_with('[') && !name.contains('.');
        let may_be_rest_of_password = !has_user && had_port && port.is_none() && is_name;
        had_port |= port.is_some();
        !may_be_rest_of_password
            && port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
    });
    are_hosts && !database.contains([':', '/'])
}

/// Whether an option may be the rest of a password.
fn may_be_password(option: &str) -> bool {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    name.contains('@') || (value.contains('@') && !WITH_ANY_VALUE.contains(&name))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str("a text that is no URL");
        };
        let scheme = scheme.trim_start();
        // A scheme is short and plain; anything else may be a login before a URL.
        let scheme = if scheme.bytes().all(|b| b.is_ascii_alphabetic()) { scheme } else { "…" };
        match place_of(rest) {
            Some(place) => write!(f, "{scheme}://{place}"),
            None => write!(f, "{scheme}://…"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_printed_the_password_is_not() {
        for text in [
            "postgres://u:geheim@h:5433/c",
            "postgres://u:ge@heim@h/c",
            "postgres://h/c?user=u&password=geheim",
            "postgres://h/c?password=ge@heim",
            "postgres://u:ge?heim@h/c",
            "postgres://u:geheim",
            "postgres://u:geheim/c",
            "postgres://u:geheim:127.0.0.1:5432/c",
            "postgres://u:geheim;127.0.0.1:5432/c",
            "postgres://u:ge@heim/x@h:5432/c",
            "postgres://u:ge/heim@x@h/c",
            "postgres://u:1/heim@h/c",
            "postgres://u:ge/heim@h/c",
            "postgres://u%3Ageheim%40h/c",
            "postgres://u%3ageheim@127.0.0.1:1",
            "postgres://h:1/c&user=u&password=geheim",
            "postgres://u@h:1/c;password=geheim",
            "postgres://u:x@h:1/c;password=geheim",
            "postgres://u:ge]heim/c",
            "postgres://u:1,geheim",
            "postgres://u:99999geheim/c",
            "postgres:///u:geheim",
            "postgres://h&user=u&password=geheim",
            "postgres://u:x@h&password=geheim",
            "postgres://h user=u password=geheim",
            "postgres://u:x@h:1;password=geheim",
            "postgres://u@h/?dbname=postgres://u:geheim@h/c",
            "postgres://me@corp:geheim/c",
            "postgres://u:1/geheim/c",
            "postgres://u:ge?heim@x@h/c",
            "postgres://u:ge#heim@x@h/c",
            "postgres://u:ge@heim#x@h/c",
            "postgres://u:ge@heim,x@h/c",
            "postgres://u:ge@heim]x@h/c",
            "postgres://u:ge@heim?x@h/c",
            "postgres://u:ge@heim?x=y@h/c",
            "postgres://u:ge@h?heim@h/c",
            "u:geheim@postgres://h/c",
            "u:geheim@h",
            "host=h user=u password=geheim",
        ] {
            let url = DatabaseUrl::from(text);
            let printed = format!("{url} {url:?} {url:#?}");
            assert!(!printed.contains("geheim") && !printed.contains("heim"), "{printed}");
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn a_url_that_is_written_well_is_printed_with_host_port_and_database() {
        for (text, printed) in [
            ("postgres://u:x@h:5433/c", "postgres://h:5433/c"),
            ("postgres://u:x#y@h:5433/c?sslmode=disable", "postgres://h:5433/c"),
            ("postgres://u:x%40y@h,[::1]:5433/c", "postgres://h,[::1]:5433/c"),
            ("postgres://u:x@h:port/c", "postgres://h:port/c"),
            ("postgres://%2Ftmp/c?password=a@b&application_name=me@home", "postgres://%2Ftmp/c"),
            ("postgresql://[::1]/c", "postgresql://[::1]/c"),
            ("postgres://u:x/y@h/c", "postgres://h/c"),
            ("postgres://a%3Ab:x@h/c", "postgres://h/c"),
            ("postgres://u:x@%2Fsql%2Fp%3Ar/c", "postgres://%2Fsql%2Fp%3Ar/c"),
            ("postgres://u@h:/c", "postgres://h:/c"),
            ("postgres://one:5433,two/c?user=u&password=x", "postgres://one:5433,two/c"),
            ("postgres://[::1]:5433,[::2]/c", "postgres://[::1]:5433,[::2]/c"),
            ("postgres://one:5433,two.example.org/c", "postgres://one:5433,two.example.org/c"),
            ("postgres://u@127.0.0.1:5433,localhost/c", "postgres://127.0.0.1:5433,localhost/c"),
            ("postgres://u:x@one:5433,two/a#b/", "postgres://one:5433,two/a#b/"),
            ("postgres://u@h/c?options=-ccampanile.tag%3Da@b", "postgres://h/c"),
            ("postgres:///tmp/c?sslrootcert=/a@b.pem", "postgres://…"),
        ] {
            let url = DatabaseUrl::from(text);
            assert_eq!(url.to_string(), printed);
            assert_eq!(url.is_ambiguous(), printed.ends_with('…'), "{text}");
        }
    }
}
