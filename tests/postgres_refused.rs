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

#[test]
fn what_else_keeps_a_user_from_a_database_is_told_in_one_line_with_the_fix() {
    let server = server();
    server.run("c", "GRANT CREATE, USAGE ON SCHEMA public TO anna");
    let url = server.url("anna:richtig", "c");
    let refused = |thing: &str, fix: &str| {
        let line = refusal(&url);
        assert!(line.contains(thing) && line.contains(fix), "{line}");
    };

    // One that says that it is older, as far as anybody can ask it.
    server.run(
        "c",
        "CREATE SCHEMA old; GRANT USAGE ON SCHEMA old TO anna; \
         CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS \
         $$ SELECT CASE name WHEN 'server_version_num' THEN '130014' WHEN 'server_version' THEN '13.14' \
         ELSE pg_catalog.current_setting(name) END $$; \
         ALTER ROLE anna IN DATABASE c SET search_path = old, pg_catalog, public",
    );
    refused("it is PostgreSQL 13.14", "14 or newer is needed");
    server.run("c", "ALTER ROLE anna IN DATABASE c RESET search_path");

    server.run("c", "REVOKE CONNECT ON DATABASE c FROM PUBLIC");
    refused("permission denied for database \"c\"", "GRANT CONNECT ON DATABASE");
    server.run("c", "GRANT CONNECT ON DATABASE c TO anna");

    server.run("c", "ALTER ROLE anna CONNECTION LIMIT 0");
    refused("too many connections for role \"anna\"", "raise max_connections");
    server.run("c", "ALTER ROLE anna CONNECTION LIMIT -1");

    server.run("c", "ALTER ROLE anna NOLOGIN");
    refused("role \"anna\" is not permitted to log in", "check user and password");
    server.run("c", "ALTER ROLE anna LOGIN");

    // What the superuser made is not hers.
    let made = campanile(&["init", "--database", &server.url("postgres", "c")]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    refused("permission denied for table", "make the one of the URL their owner");

    server.run("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let line = refusal(&server.url("anna:richtig", "latin"));
    assert!(line.contains("the encoding LATIN1: make one with ENCODING 'UTF8'"), "{line}");
}

#[test]
fn of_several_hosts_the_one_that_takes_writes_is_found() {
    let server = server();
    server.run("c", "GRANT CREATE, USAGE ON SCHEMA public TO anna");
    let replica = server.replica();
    let host = |server: &TestServer| {
        let url = server.url("anna", "c");
        url.trim_start_matches("postgres://anna@").trim_end_matches("/c").to_owned()
    };
    let (primary, replica) = (host(&server), host(&replica));
    let both = format!("postgres://anna:richtig@{replica},{primary}/c");
    let made = campanile(&["init", "--database", &both]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let line = refusal(&format!("postgres://anna:richtig@{replica},{replica}/c"));
    assert!(line.contains("does not allow writes") && line.contains("name the primary"), "{line}");
}
