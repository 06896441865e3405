//! Where generated links begin (rest-api §1): what headers say is taken when it is what it claims to be.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use campanile_engine::Engine;

/// Longest name of a host (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// `scheme://host` without a slash behind it: the property when it is set and wanted, the proxy's headers when the peer is
/// trusted, the request. A scheme other than `http` and `https`, and a host that is none, count as not sent.
pub(crate) fn base_address(engine: &Engine, headers: &HeaderMap, peer: Option<IpAddr>) -> String {
    if engine.bool_property("glide.rest.replace_request_host_with_property", true)
        && let Some(base) = engine.property("glide.servlet.uri").filter(|uri| !uri.is_empty())
    {
        return base.trim_end_matches('/').to_owned();
    }
    of_headers(headers, peer)
}

fn of_headers(headers: &HeaderMap, peer: Option<IpAddr>) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trusted = peer.is_some_and(|ip| ip.is_loopback());
    // Several proxies write a list; the first entry is what the caller used.
    let forwarded = |name: &str| {
        let first = header(name).filter(|_| trusted)?.split(',').next()?;
        Some(first.trim())
    };
    let scheme = forwarded("x-forwarded-proto").and_then(scheme).unwrap_or("http");
    let host = forwarded("x-forwarded-host").filter(|host| is_host(host));
    let host = host.or_else(|| header("host").filter(|host| is_host(host))).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

/// The scheme in lower case, when it is one that this server may stand behind.
fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

/// Whether the text is a host name or an address, with or without a port: nothing in it ends a link or begins something else.
fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.is_empty()
    };
    // A dot at the end makes a name absolute.
    let labels = name.strip_suffix('.').unwrap_or(name);
    name.len() <= HOST_BYTES_MAX && labels.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(headers: &[(&'static str, &str)], peer: &str) -> String {
        let pairs = headers.iter().map(|(name, value)| {
            (axum::http::HeaderName::from_static(name), value.parse().unwrap())
        });
        of_headers(&pairs.collect(), Some(peer.parse().unwrap()))
    }

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        let long = "a".repeat(HOST_BYTES_MAX);
        for host in [
            "localhost",
            "proxy.example.com",
            "example.com.",
            "xn--mnchen-3ya.de:8443",
            "my_host:1",
            "127.0.0.1:65535",
            "[::1]",
            "[2001:db8::7]:8080",
            &long,
        ] {
            assert!(is_host(host), "{host}");
        }
        let too_long = format!("{long}a");
        for text in [
            "",
            ".",
            ":80",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a>;rel=\"next\"",
            "a\"b",
            "a<b",
            "a\\b",
            "m\u{fc}nchen.de",
            "a:",
            "a:x",
            "a:+80",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[x]",
            "[fe80::1%eth0]",
            "%61",
            &too_long,
        ] {
            assert!(!is_host(text), "{text}");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_is_believed_as_far_as_it_makes_sense() {
        let host = ("host", "inner:8080");
        let proxy = |proto: &str, name: &str| {
            let headers = [host, ("x-forwarded-proto", proto), ("x-forwarded-host", name)];
            base(&headers, "127.0.0.1")
        };
        assert_eq!(proxy("HTTPS", "outer"), "https://outer");
        assert_eq!(proxy("https, http", "outer, inner"), "https://outer");
        for scheme in ["javascript", "ftp", "", "https:", "https://evil/", "http s"] {
            assert_eq!(proxy(scheme, "outer"), "http://outer", "{scheme}");
        }
        assert_eq!(proxy("https", "a>;rel=\"x\""), "https://inner:8080");
        assert_eq!(proxy("https", "evil/path"), "https://inner:8080");
        let headers = [host, ("x-forwarded-proto", "https"), ("x-forwarded-host", "outer")];
        assert_eq!(base(&headers, "192.0.2.7"), "http://inner:8080", "not from elsewhere");
        assert_eq!(base(&[("host", "a/b")], "192.0.2.7"), "http://localhost");
        assert_eq!(base(&[], "::1"), "http://localhost");
    }
}
