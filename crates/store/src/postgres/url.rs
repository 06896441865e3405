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
const WITH_ANY_VALUE: [&str; 3] = ["password", "user", "application_name"];

/// `host:port/database` of the part of a URL behind `://`, if it is certain that nothing of a password stands in it. A password
/// whose `@`, `/`, `?` or `:` is written as it is makes it uncertain.
fn place_of(rest: &str) -> Option<&str> {
    let (head, options) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = head.split('/').next().unwrap_or_default();
    let may_be_password = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        name.contains('@') || (value.contains('@') && !WITH_ANY_VALUE.contains(&name))
    };
    let place = match authority.split_once('@') {
        Some((login, _)) => &head[login.len() + 1..],
        // What looks like a port may be a password whose host was forgotten.
        None if authority.split(',').all(has_port_or_none) => head,
        None => return None,
    };
    let database = place.split_once('/').map_or("", |(_, database)| database);
    let is_certain = !place.contains(['@', '#', '?'])
        && !database.contains('/')
        && !options.split('&').any(may_be_password);
    is_certain.then_some(place)
}

/// Whether what follows the host, if anything does, is a number.
fn has_port_or_none(host: &str) -> bool {
    // An address of IPv6 stands in brackets.
    let behind = host.split_once(']').map_or(host, |(_, behind)| behind);
    behind.split_once(':').is_none_or(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
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
        ] {
            let url = DatabaseUrl::from(text);
            assert_eq!(url.to_string(), printed);
            assert!(!url.is_ambiguous(), "{text}");
        }
    }
}
