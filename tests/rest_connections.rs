//! Callers who have no login keep nobody out: neither with connections on which nothing whole comes, nor with passwords.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::Server;

/// `number` connections that have begun a request each and never end it.
fn half_requests(server: &Server, number: usize) -> Vec<TcpStream> {
    let address = server.url().trim_start_matches("http://");
    let half = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"POST /api/events HTTP/1.1\r\nHost: here\r\nContent-").unwrap();
        stream
    };
    (0..number).map(half).collect()
}

#[test]
fn three_hundred_half_requests_keep_nobody_out_of_a_house_with_twenty_places() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("campanile.toml");
    std::fs::write(&settings, "[server]\nconnections = 20\n").unwrap();
    let flags = ["--settings", settings.to_str().unwrap()];
    let server = Server::start_on(&folder.path().join("data"), &flags);

    let mut held = half_requests(&server, 300);
    // Each is a connection of its own: it needs a place.
    for _ in 0..5 {
        assert_eq!(server.admin().get("/api/now/table/incident?sysparm_limit=1").status, 200);
        assert_eq!(server.anonymous().get("/readyz").status, 200);
    }
    let mut rest = Vec::new();
    // A reset is an end too.
    held[0].read_to_end(&mut rest).ok();
    assert!(rest.is_empty(), "the one that waited longest gave way without an answer");

    let metrics = server.anonymous().get("/metrics").text;
    let gave_way = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix("campanile_http_connections_closed_total{reason=\"gave_way\"} ")
        })
        .map(|number| number.parse::<u64>().unwrap());
    assert!(gave_way.is_some_and(|number| number >= 280), "{gave_way:?}");
    assert!(server.stop(), "those that are left do not hold up the stop");
}

#[test]
fn who_guesses_passwords_by_the_hundred_is_told_to_come_again_and_others_go_on() {
    let server = Server::start();
    let admin = server.admin();
    assert_eq!(admin.get("/api/now/table/incident?sysparm_limit=1").status, 200);

    let address = server.url().trim_start_matches("http://");
    let guess = |number: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        let token = STANDARD.encode(format!("admin:guess {number}"));
        let request = format!(
            "GET /api/now/table/incident HTTP/1.1\r\nHost: here\r\nAuthorization: Basic {token}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let guesses: Vec<TcpStream> = (0..700).map(guess).collect();
    assert_eq!(admin.get("/api/now/table/incident?sysparm_limit=1").status, 200);

    let answers = guesses.into_iter().map(|mut stream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (busy, refused): (Vec<String>, Vec<String>) =
        answers.partition(|answer| answer.starts_with("HTTP/1.1 503 "));
    assert!(!busy.is_empty(), "700 guesses at once and 32 places");
    for answer in &busy {
        assert!(answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
        assert!(answer.contains("32 passwords are being checked already"), "{answer}");
    }
    assert!(refused.iter().all(|answer| answer.starts_with("HTTP/1.1 401 ")), "{refused:?}");
    assert!(refused.len() >= 32, "{}", refused.len());
}
