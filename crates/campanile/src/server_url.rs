//! The address in `--url`, in the form that requests are made of.

use ureq::http::Uri;

use crate::output::Failure;

/// `given` as `http://HOST[:PORT]`, without a slash at its end. An address on this machine may lack the scheme.
///
/// # Errors
/// Wrong usage, naming what was expected: no scheme, another one than http, no host, a port that is none, something behind
/// the host.
pub(crate) fn server_url(given: &str) -> Result<String, Failure> {
    let refuse = |expected: &str| {
        Failure::usage(format!("--url: expected {expected}, got '{}'", given.escape_debug()))
    };
    let text = given.trim_end_matches('/');
    let text = match given.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            format!("http://{}", rest.trim_end_matches('/'))
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err(refuse(
                "http://…: commands do not speak https; give an address that answers http, such as the server's own",
            ));
        }
        Some(_) => return Err(refuse("an address that begins with http://")),
        None if is_here(text) => format!("http://{text}"),
        // `http:/host`, or nothing at all.
        None if text.is_empty() || text.contains(":/") => return Err(refuse("http://HOST:PORT")),
        None => return Err(refuse(&format!("a scheme, as in 'http://{}'", text.escape_debug()))),
    };
    let uri: Uri = text.parse().map_err(|_error| refuse("http://HOST:PORT"))?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    let Some(authority) = authority else { return Err(refuse("http://HOST:PORT")) };
    let behind_host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let behind_host = &behind_host[authority.host().len()..];
    if !behind_host.is_empty() && authority.port_u16().is_none() {
        return Err(refuse("a port from 0 to 65535"));
    }
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
        return Err(refuse("nothing behind the host and the port"));
    }
    Ok(text)
}

/// Whether an address without a scheme begins with a name of this machine.
fn is_here(text: &str) -> bool {
    let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) => inside,
        None => text.split([':', '/']).next().unwrap_or_default(),
    };
    let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    host.eq_ignore_ascii_case("localhost") || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_needs_no_scheme() {
        for (given, expected) in [
            ("localhost:8080", "http://localhost:8080"),
            ("LOCALHOST", "http://LOCALHOST"),
            ("127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("http://example.com:8080", "http://example.com:8080"),
            ("HTTP://example.com/", "http://example.com"),
            ("http://u:p@example.com:80", "http://u:p@example.com:80"),
        ] {
            assert_eq!(server_url(given).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn another_address_without_a_scheme_is_refused_with_the_fix() {
        for (given, words) in [
            ("example.com:8080", "'http://example.com:8080'"),
            ("localhost.example.com:8080", "'http://localhost.example.com:8080'"),
            ("10.0.0.7:8080", "'http://10.0.0.7:8080'"),
            ("", "http://HOST:PORT"),
            ("http://", "http://HOST:PORT"),
            ("http:/localhost", "http://HOST:PORT"),
            ("http://:8080", "http://HOST:PORT"),
            ("https://localhost", "do not speak https"),
            ("ftp://localhost", "begins with http://"),
            ("http://localhost:99999", "a port"),
            ("http://localhost:x", "a port"),
            ("http://localhost:", "a port"),
            ("http://localhost:8080 x", "http://HOST:PORT"),
            ("http://localhost:8080/api", "nothing behind"),
            ("http://localhost:8080?x=1", "nothing behind"),
        ] {
            let told = format!("{:?}", server_url(given).unwrap_err());
            assert!(told.contains("--url") && told.contains(words), "{given}: {told}");
        }
    }
}
