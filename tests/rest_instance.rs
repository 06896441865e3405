//! Health, metrics, version, and how bodies travel (rest-api §§2, 22).

use std::io::Write as _;
use std::net::TcpStream;

use base64::Engine as _;
use serde_json::json;

use crate::harness::{ADMIN_PASSWORD, on_postgres, wait_until};
use crate::people::{House, refusal, text};

#[test]
fn health_and_readiness_need_no_login() {
    let house = House::new();
    let anonymous = house.server.anonymous();
    let alive = anonymous.get("/healthz");
    assert_eq!((alive.status, alive.text.trim()), (200, "ok"));
    let ready = anonymous.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text);
    let body = ready.json();
    assert_eq!(body["status"], "ready");
    let checks = body["checks"].as_array().unwrap();
    for name in ["storage", "migrations", "queues", "disk"] {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["ok"], true, "{check}");
        assert!(check["ms"].is_u64(), "{check}");
    }
}

#[test]
fn metrics_count_events_handlers_and_requests() {
    let house = House::new();
    house.handler("t.metric", "Runs", "gs.log('ran', 'metric');");
    house.fired(&json!({"name": "t.metric"}));
    let anonymous = house.server.anonymous();
    // The batch that held the event is counted when it is done as a whole.
    wait_until("the batch is counted", || {
        anonymous.get("/metrics").text.contains("campanile_events_processed_total")
    });
    let answer = anonymous.get("/metrics");
    assert_eq!(answer.status, 200);
    for line in [
        "campanile_events_fired_total{source=\"api\",registered=\"false\"} 1",
        "campanile_events_processed_total",
        "campanile_handler_runs_total{kind=\"script_action\",outcome=\"succeeded\"} 1",
        "campanile_http_requests_total",
        "campanile_events_backlog{queue=\"default\"} 0",
        // A client does not see how full the disk of a PostgreSQL server is.
        if on_postgres() {
            "campanile_storage_nodes 1"
        } else {
            "campanile_storage_disk_free_ratio"
        },
        "campanile_storage_bytes ",
        "campanile_storage_commit_seconds_bucket{le=",
        "campanile_event_wait_seconds_bucket{queue=\"default\",le=",
        "campanile_event_duration_seconds_count{queue=\"default\"} 1",
        "campanile_events_oldest_ready_seconds{queue=\"default\"} 0",
        "campanile_processors{queue=\"default\",state=\"idle\"}",
        "campanile_http_request_seconds_bucket{api=\"table\",le=",
        "campanile_script_seconds_count{kind=\"script_action\"} 1",
        "campanile_lapses_total 0",
    ] {
        assert!(answer.text.contains(line), "{line} is missing in\n{}", answer.text);
    }
    assert!(!answer.text.contains("t.metric"), "event names are never labels");
    let commits = |text: &str| {
        let number = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
            line.trim().parse().expect("a number")
        };
        let name = "campanile_storage_commit_seconds";
        (number(&format!("{name}_count")), number(&format!("{name}_sum")))
    };
    let (count, sum) = commits(&answer.text);
    house.admin.post("/api/now/table/incident", &json!({"short_description": "x"})).result();
    let (count_after, sum_after) = commits(&anonymous.get("/metrics").text);
    assert!((count_after - count - 1.0).abs() < 0.1, "one commit: {count} {count_after}");
    // No disk and no server answers as fast as that.
    assert!(sum_after - sum > 10e-6, "{sum} {sum_after}");
    let endless = json!({"script": "for (;;) {}", "limits": {"max_ms": 100}});
    house.admin.post("/api/scripts/evaluate", &endless).result();
    let after = anonymous.get("/metrics").text;
    assert!(after.contains("campanile_script_limit_hits_total{limit=\"time\"} 1"), "{after}");
}

#[test]
fn the_version_tells_what_runs_here_to_those_who_are_signed_in() {
    let house = House::new();
    assert_eq!(house.server.anonymous().get("/api/version").status, 401);
    let version = house.person("joe", &[]).get("/api/version").result();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["schema"].as_i64().unwrap() > 0, "{version}");
    assert!(!text(&version, "node").is_empty());
    assert!(version["uptime_s"].is_u64() && version["commit"].is_string(), "{version}");
}

#[test]
fn a_request_is_known_by_its_trace() {
    let house = House::new();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer =
        house.admin.send("GET", "/api/now/table/incident", &[("traceparent", &parent)], None);
    assert_eq!(answer.header("x-transaction-id"), Some(trace));
    let other = house.admin.get("/api/now/table/incident");
    assert_ne!(other.header("x-transaction-id").unwrap(), trace);
}

/// `Server-Timing` by name, in milliseconds.
fn timing(answer: &crate::harness::Answer, name: &str) -> f64 {
    let header = answer.header("server-timing").unwrap();
    let part = header.split(", ").find_map(|part| part.strip_prefix(&format!("{name};dur=")));
    part.unwrap_or_else(|| panic!("no {name} in {header}")).parse().unwrap()
}

#[test]
fn an_answer_tells_what_its_time_was_spent_on() {
    let house = House::new();
    let path = "/api/now/table/incident";
    let plain = house.admin.get(path);
    assert!(timing(&plain, "rules").abs() < f64::EPSILON, "nothing but a read: {plain:?}");
    assert!(timing(&plain, "db") <= timing(&plain, "total"), "{plain:?}");
    house.insert(
        "sys_script",
        &json!({
            "name": "Slow", "collection": "incident", "when": "before", "active": "true",
            "advanced": "true", "action_insert": "true", "script": "gs.sleep(120);",
        }),
    );
    let slow = house.admin.post(path, &json!({"short_description": "x"}));
    assert_eq!(slow.status, 201);
    assert!(timing(&slow, "rules") >= 120.0, "{slow:?}");
    assert!(timing(&slow, "db") > 0.0, "{slow:?}");
    assert!(timing(&slow, "total") >= timing(&slow, "rules"), "{slow:?}");
    let fired = house.admin.post("/api/events", &json!({"name": "t.timed"}));
    assert!(timing(&fired, "db") > 0.0, "{fired:?}");
    assert!(timing(&fired, "total") >= timing(&fired, "db"), "{fired:?}");
}

/// A POST whose body is bytes, on a connection of its own: the first line of the answer.
fn post_bytes(house: &House, path: &str, headers: &str, body: &[u8]) -> String {
    let login = base64::engine::general_purpose::STANDARD.encode(format!("admin:{ADMIN_PASSWORD}"));
    let mut stream = TcpStream::connect(house.server.url().trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nauthorization: Basic {login}\r\nconnection: close\r\n\
         {headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    std::io::read_to_string(stream).unwrap()
}

#[test]
fn a_body_may_be_packed_with_gzip() {
    let house = House::new();
    // printf '{"short_description":"packed"}' | gzip -n
    let packed = base64::engine::general_purpose::STANDARD
        .decode("H4sIAAAAAAAAA6tWKs7ILyqJT0ktTi7KLCjJzM9TslIqSEzOTk1RqgUA958U+x4AAAA=")
        .unwrap();
    let path = "/api/now/table/incident";
    let answer = post_bytes(&house, path, "content-encoding: gzip\r\n", &packed);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(house.admin.count("incident", "short_description=packed"), 1);
    let broken = post_bytes(&house, path, "content-encoding: gzip\r\n", b"{\"impact\":1}");
    assert!(broken.starts_with("HTTP/1.1 400") && broken.contains("gzip"), "{broken}");
    let unknown = post_bytes(&house, path, "content-encoding: br\r\n", b"{}");
    assert!(unknown.starts_with("HTTP/1.1 415") && unknown.contains("br"), "{unknown}");
}

#[test]
fn a_body_that_is_too_large_is_refused_with_both_numbers() {
    let house = House::new();
    let body = json!({"description": "x".repeat(11 << 20)}).to_string();
    let answer = house.admin.send("POST", "/api/now/table/incident", &[], Some(&body));
    let (status, code, message, detail) = refusal(&answer);
    assert_eq!((status, code.as_str()), (400, "too_large"));
    assert_eq!(message, "Exception while reading request");
    assert_eq!(
        detail,
        format!(
            "Rejected large REST payload with content-length = {} bytes. Max allowed: 10485760 bytes.",
            body.len()
        )
    );
    house.property("glide.rest.max_content_length", "1");
    let body = json!({"name": "x".repeat(1 << 20)}).to_string();
    let answer = house.admin.send("POST", "/api/events", &[], Some(&body));
    let (_, code, _, detail) = refusal(&answer);
    assert_eq!(code, "too_large");
    assert!(detail.ends_with("Max allowed: 1048576 bytes."), "{detail}");
    // The smallest value locks nobody out.
    let body = json!({"name": "x".repeat(50), "parm1": "x".repeat(60_000)});
    house.admin.post("/api/events", &body).result();
    for misfit in ["0", "26", "10485760"] {
        let property = json!({"name": "glide.rest.max_content_length", "value": misfit});
        let answer = house.admin.post("/api/now/table/sys_properties", &property);
        assert!(answer.text.contains("1 to 25"), "{misfit}: {}", answer.text);
    }
}
