//! TLS to a real server with a certificate that a test has made: whom we trust, and what is told when we do not.

use std::net::Ipv4Addr;
use std::path::Path;

use campanile_store::testing::TestServer;

use crate::certificates::Certificates;
use crate::harness::campanile;

/// The name in the certificate. It is not local, so TLS is spoken unless the URL says otherwise.
const HOST: &str = "db.campanile.test";

/// A server that takes nobody but by TLS, with the certificate of [`HOST`], and a database `c` of the user `anna`.
fn server(certificates: &Certificates) -> (TestServer, Ipv4Addr) {
    let server = TestServer::start();
    server.run("postgres", "CREATE USER anna PASSWORD 'richtig'");
    server.run("postgres", "CREATE DATABASE c OWNER anna");
    let (certificate, key) = certificates.server(HOST);
    let address = server.demand_tls(&certificate, &key);
    (server, address)
}

/// As a name server would lead there.
fn url(host: &str, address: Ipv4Addr, options: &str) -> String {
    format!("postgres://anna:richtig@{host}/c?hostaddr={address}{options}")
}

fn roots(file: &Path) -> String {
    format!("&sslrootcert={}", file.display())
}

/// What `doctor` says in its one line, with exit code 2 and never the password.
fn refusal(url: &str) -> String {
    let run = campanile(&["doctor", "--database", url]);
    assert_eq!(run.code, 2, "{url}: {} {}", run.stdout, run.stderr);
    assert!(!run.stderr.contains("richtig"), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [line] = lines[..] else { panic!("expected one line, got {}", run.stderr) };
    line.to_owned()
}

#[test]
fn who_is_not_trusted_is_told_in_one_line_with_the_fix() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let (_server, address) = server(&certificates);
    let trusted = roots(&certificates.authority());
    let no_file = roots(Path::new("/nowhere/ca.pem"));
    let (_, key) = strangers.server(HOST);
    for (url, thing, fix) in [
        (url(HOST, address, ""), "UnknownIssuer", "sslrootcert=FILE in the URL"),
        (
            url(HOST, address, &roots(&strangers.authority())),
            "invalid peer certificate",
            "sslrootcert=FILE in the URL",
        ),
        (
            url("other.campanile.test", address, &trusted),
            "not valid for name \"other.campanile.test\"",
            "use a name of the certificate as the host",
        ),
        (url(HOST, address, &no_file), "sslrootcert '/nowhere/ca.pem'", "cannot be read"),
        (url(HOST, address, &roots(&key)), "sslrootcert '", "holds no certificate"),
        (url(HOST, address, "&sslmode=disable"), "no encryption", "take sslmode=disable out"),
        (url(HOST, address, "&sslmode=maybe"), "sslmode", "expected postgres://"),
    ] {
        let line = refusal(&url);
        assert!(line.contains(thing) && line.contains(fix), "{url}: {line}");
    }
}

#[test]
fn whom_the_url_trusts_is_spoken_to_by_tls_whatever_the_mode_that_asks_for_it() {
    let certificates = Certificates::new();
    let (server, address) = server(&certificates);
    let trusted = roots(&certificates.authority());
    let made = campanile(&["init", "--database", &url(HOST, address, &trusted)]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    for mode in ["require", "verify-ca", "verify-full", "prefer"] {
        let url = url(HOST, address, &format!("{trusted}&sslmode={mode}"));
        let run = campanile(&["doctor", "--database", &url]);
        assert_eq!(run.code, 0, "{mode}: {}", run.stderr);
    }
    // Over the socket of this machine nobody asks for it.
    let run = campanile(&["doctor", "--database", &server.url("postgres", "c")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_server_without_tls_is_refused_unless_the_url_says_that_it_may_be_so() {
    let server = TestServer::start();
    server.run("postgres", "CREATE USER anna PASSWORD 'richtig'");
    server.run("postgres", "CREATE DATABASE c OWNER anna");
    let address = server.listen_without_tls();
    let line = refusal(&url(HOST, address, ""));
    assert!(line.contains("server does not support TLS"), "{line}");
    assert!(line.contains("or say sslmode=disable in the URL"), "{line}");
    let plain = url(HOST, address, "&sslmode=disable");
    let made = campanile(&["init", "--database", &plain]);
    assert_eq!(made.code, 0, "{}", made.stderr);
}
