//! Distributed mode, whole: two nodes under load, one of them killed; events in native hash partitions. And how it is told.

use campanile_store::testing::TestDatabase;
use serde_json::json;

use crate::harness::{Server, campanile, campanile_with, itsm_database, wait_until};
use crate::nodes::Nodes;
use crate::nothing_lost::Load;
use crate::people::text;

/// What an administrator runs, as the manual says.
const HASH_PARTITIONS: &str = include_str!("../docs/operations/hash-partitions.sql");

/// The setting, as a variable.
fn partitions(count: &str) -> [(&str, &str); 1] {
    [("CAMPANILE_POSTGRES_PARTITIONS", count)]
}

/// A database that was started once with the setting.
pub(crate) fn distributed() -> TestDatabase {
    let database = itsm_database();
    let told = campanile_with(&["doctor", "--database", database.url()], &partitions("16"));
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert_eq!(database.texts("SELECT partitions::text FROM campanile_distribution"), ["16"]);
    database
}

fn count(database: &TestDatabase, sql: &str) -> u64 {
    database.texts(sql)[0].parse().unwrap()
}

/// Load on two nodes, and kills of one of them; then the end check of all such tests.
fn two_nodes_and_kills(database: &TestDatabase) {
    let mut nodes = Nodes::start(database.url(), 2);
    // On a busy machine a node that has just started may take longer, and its handler's record would be refused.
    let admin = nodes.admin();
    let property = admin.rows("sys_properties", "name=campanile.script.max_writer_ms", "sys_id");
    let path = format!("/api/now/table/sys_properties/{}", text(&property[0], "sys_id"));
    admin.patch(&path, &json!({"value": "30000"})).result();
    let load = Load::default();
    let clients = nodes.clients();
    load.during(2, &clients, || {
        for round in 0..4 {
            wait_until("no event is one lapse from its end", || {
                database.texts("SELECT sys_id FROM sysevent_live WHERE lapses >= 2").is_empty()
            });
            load.wait_for(20);
            nodes.replace(round % 2);
            wait_until("the dead node's events are others'", || {
                let living = "SELECT name FROM campanile_node WHERE gone_at IS NULL";
                database.texts(living).len() == 2
            });
        }
        load.wait_for(20);
    });
    nodes.end(&load);
    let used = "SELECT count(DISTINCT \"partition\")::text FROM sysevent_log";
    assert_eq!(count(database, used), 16, "events are spread over all partitions");
    let apart = "SELECT count(*)::text FROM sysevent_run AS run JOIN sysevent_log AS log \
         ON log.sys_id = run.event WHERE log.\"partition\" <> run.\"partition\"";
    assert_eq!(count(database, apart), 0, "each run stands where its event stands");
}

#[test]
fn two_nodes_in_distributed_mode_lose_nothing_when_one_is_killed() {
    two_nodes_and_kills(&distributed());
}

#[test]
fn two_nodes_on_hash_partitions_lose_nothing_when_one_is_killed() {
    let database = distributed();
    database.run(HASH_PARTITIONS);
    two_nodes_and_kills(&database);
    let filled = "SELECT count(*)::text FROM pg_class WHERE relname ~ '^sysevent_log_[0-9]+$' \
         AND relkind = 'r' AND pg_relation_size(oid) > 0";
    assert!(count(&database, filled) > 4, "the rows stand in the partitions");
}

#[test]
fn a_wish_for_partitions_that_cannot_be_had_is_told_in_one_line_with_the_fix() {
    let database = distributed();
    let told = campanile_with(&["doctor", "--database", database.url()], &partitions("8"));
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("made with 16 partitions, and 8 are wanted"), "{}", told.stderr);
    // Whoever wants nothing gets what is there.
    assert_eq!(campanile(&["doctor", "--database", database.url()]).code, 0);

    let full = itsm_database();
    let node = Server::start_node(full.url(), "before");
    let fired = json!({"name": "t.before"});
    assert_eq!(node.admin().post("/api/events", &fired).status, 202);
    assert!(node.stop());
    let told = campanile_with(&["doctor", "--database", full.url()], &partitions("16"));
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(told.stderr.contains("has events already"), "{}", told.stderr);
    assert!(told.stderr.contains("campanile copy"), "{}", told.stderr);

    // As it says.
    let target = TestDatabase::create_empty();
    let from = full.url().to_owned();
    let variables = [("CAMPANILE_POSTGRES_PARTITIONS", "16"), ("CAMPANILE_DATABASE", target.url())];
    let copied = campanile_with(&["copy", "--from", &from, "--to", "postgres"], &variables);
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    assert_eq!(target.texts("SELECT partitions::text FROM campanile_distribution"), ["16"]);
    let moved = Server::start_node(target.url(), "after");
    assert_eq!(moved.admin().count("sysevent", "name=t.before"), 1);
    assert!(moved.stop());
}

#[test]
fn without_a_postgresql_database_the_setting_is_refused_in_one_line() {
    let told = campanile_with(&["serve", "--listen", "127.0.0.1:0"], &partitions("16"));
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    assert!(
        told.stderr.contains("'postgres.partitions' is for a PostgreSQL database"),
        "{}",
        told.stderr
    );
}
