//! Servers of two versions on one PostgreSQL database: what a newer one has only added to, an older one goes on with.

use campanile_store::testing::TestDatabase;
use serde_json::json;

use crate::harness::{Server, campanile, itsm_database, wait_until};

/// A migration that this version does not know, as a newer one would have run it.
fn later(number: u32, stops_older: bool) -> String {
    format!(
        "ALTER TABLE sysevent_live ADD COLUMN later_{number} TEXT; \
         ALTER TABLE sys_properties ADD COLUMN later_{number} TEXT; \
         INSERT INTO campanile_migration (number, name, stops_older) VALUES ({number}, 'later', {stops_older})"
    )
}

fn works(server: &Server, name: &str) {
    let admin = server.admin();
    let action =
        json!({"name": name, "event_name": name, "active": "true", "script": "gs.log('seen');"});
    admin.post("/api/now/table/sysevent_script_action", &action).result();
    let property = json!({"name": name, "value": "there"});
    admin.post("/api/now/table/sys_properties", &property).result();
    admin.post("/api/events", &json!({"name": name})).result();
    wait_until("the event is handled", || {
        admin.count("sysevent_handler_run", &format!("handler_name={name}^outcome=succeeded")) == 1
    });
}

#[test]
fn an_older_server_goes_on_with_a_newer_schema_until_one_that_changes_what_it_uses() {
    let database = itsm_database();
    let running = Server::start_on_database(database.url());
    works(&running, "t.before");
    database.run(&later(9_001, false));
    works(&running, "t.expanded");
    let started = Server::start_on_database(database.url());
    works(&started, "t.started");
    works(&running, "t.beside");
    assert!(started.anonymous().get("/readyz").text.contains("schema 9001"));
    assert!(started.stop() && running.stop(), "the servers stop in order");

    database.run(&later(9_002, true));
    for command in [&["doctor"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let run = campanile(&[command, &["--database", database.url()]].concat());
        assert_eq!(run.code, 2, "{command:?}: {}", run.stderr);
        let told: Vec<&str> = run.stderr.lines().collect();
        assert!(
            matches!(told[..], [line] if line.contains("schema 9002")
            && line.contains("use the newer version")),
            "{told:?}"
        );
    }
}

#[test]
fn a_migration_that_older_servers_cannot_live_with_is_not_run_while_one_works() {
    let database = TestDatabase::create_empty();
    database.run(include_str!("../crates/store/migrations/postgres/0001_base.sql"));
    database.run(include_str!("../crates/store/migrations/postgres/0002_events.sql"));
    database.run(
        "INSERT INTO campanile_migration (number, name) VALUES (1, 'base'), (2, 'events'); \
         INSERT INTO campanile_node (name, lease_ms) VALUES ('the-older-one', 600000)",
    );
    let run = campanile(&["init", "--database", database.url()]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert!(
        matches!(told[..], [line] if line.contains("migration 3") && line.contains("the-older-one")
            && line.contains("stop them first")),
        "{told:?}"
    );
    database.run("UPDATE campanile_node SET gone_at = clock_timestamp()");
    assert_eq!(campanile(&["init", "--database", database.url()]).code, 0);
}
