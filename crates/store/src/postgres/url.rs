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

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str("a text that is no URL");
        };
        // Whatever stands before the last '@', or behind '?', may be a password.
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        match rest.split('?').next() {
            Some(place) if !login.contains('?') => write!(f, "{scheme}://{place}"),
            _ => write!(f, "{scheme}://…"),
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
            "u:geheim@h",
            "host=h user=u password=geheim",
        ] {
            let url = DatabaseUrl::from(text);
            let printed = format!("{url} {url:?} {url:#?}");
            assert!(!printed.contains("geheim") && !printed.contains("heim"), "{printed}");
            assert_eq!(url.expose(), text);
        }
        assert_eq!(DatabaseUrl::from("postgres://u:x@h:5433/c").to_string(), "postgres://h:5433/c");
    }
}
