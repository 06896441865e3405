//! A real server that refuses: a wrong password, missing rights, a replica. Each is told at start in one line that names
//! the thing and the fix, with exit code 2, and never with the password.

use campanile_store::testing::TestServer;

use crate::harness::campanile;

/// A server whose user `anna` has the password `richtig`, and a database `c` on which she may do nothing.
fn server() -> TestServer {
    let server = TestServer::start();
    server.run("postgres", "CREATE USER anna PASSWORD 'richtig'");
    server.run("postgres", "CREATE DATABASE c");
    server.run("c", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    server.demand_passwords();
    server
}

/// What every command that opens a database says of `url`.
fn refusal(url: &str) -> String {
    let mut told = Vec::new();
    for command in
        [&["doctor"][..], &["init"], &["user", "list"], &["serve", "--listen", "127.0.0.1:0"]]
    {
        let run = campanile(&[command, &["--database", url]].concat());
        assert_eq!(run.code, 2, "{command:?}: {}", run.stderr);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("geheim") && !said.contains("richtig"), "{said}");
        let lines: Vec<&str> = run.stderr.lines().collect();
        let [line] = lines[..] else {
            panic!("{command:?}: expected one line, got {}", run.stderr)
        };
        told.push(line.to_owned());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "all commands say the same");
    told.remove(0)
}

#[test]
fn a_wrong_password_and_missing_rights_are_told_in_one_line_with_the_fix() {
    let server = server();
    for (login, thing, fix) in [
        (
            "anna:geheim",
            "password authentication failed for user \"anna\"",
            "check user and password",
        ),
        ("anna", "password missing", "give it in the URL"),
        (
            "anna:richtig",
            "permission denied for schema public",
            "give the user of the URL the rights CREATE",
        ),
    ] {
        let line = refusal(&server.url(login, "c"));
        assert!(line.contains(thing) && line.contains(fix), "{login}: {line}");
        assert!(line.contains("/c"), "{login}: the place is named: {line}");
    }
    server.run("c", "GRANT CREATE, USAGE ON SCHEMA public TO anna");
    let made = campanile(&["init", "--database", &server.url("anna:richtig", "c")]);
    assert_eq!(made.code, 0, "{}", made.stderr);
}

#[test]
fn a_replica_is_told_in_one_line_with_the_fix() {
    let server = server();
    let replica = server.replica();
    let line = refusal(&replica.url("anna:richtig", "c"));
    assert!(
        line.contains("it is a replica that takes no writes: name the primary server"),
        "{line}"
    );
}
