//! The real binary behind the real PgBouncer in transaction mode, with a pool that is as small as the manual allows.

use std::sync::{Arc, Mutex};

use campanile_store::testing::{PgBouncer, TestDatabase};

use crate::harness::{Server, campanile, itsm_database, wait_until};
use crate::nothing_lost::{Load, install_handlers};
use crate::postgres::the_other_learns_of_a_change;

/// Writing connections of each of two servers.
const WRITERS: usize = 2;

/// What the manual asks for: for each server its writers and six of its own, and one more.
const POOL: usize = 2 * (WRITERS + 6) + 1;

fn node(pool: &PgBouncer, name: &str, direct_url: &str) -> Server {
    let settings =
        [("CAMPANILE_POSTGRES_WRITERS", "2"), ("CAMPANILE_POSTGRES_DIRECT_URL", direct_url)];
    Server::start_node_with(pool.url(), name, &settings)
}

/// Two nodes under load, one of them killed and replaced three times: nothing is lost, nothing doubled, and each learns of
/// what the other changed.
fn two_nodes_lose_nothing(settings: &str, direct_url: impl Fn(&TestDatabase) -> String) {
    let database = itsm_database();
    let settings = format!("default_pool_size = {POOL}\n{settings}");
    let Some(pool) = PgBouncer::before(database.url(), &settings) else { return };
    let direct_url = direct_url(&database);
    let first = node(&pool, "node-1", &direct_url);
    let second = node(&pool, "node-2", &direct_url);
    install_handlers(&first.admin());
    the_other_learns_of_a_change(&first, &second, "t.shared");
    let load = Load::default();
    let clients = Arc::new(Mutex::new(vec![first.admin(), second.admin()]));
    let mut others = vec![second];
    load.during(4, &clients, || {
        for round in 0..3 {
            load.wait_for(100);
            others.remove(0).kill();
            let heir = node(&pool, &format!("node-2-{round}"), &direct_url);
            clients.lock().unwrap()[1] = heir.admin();
            others.push(heir);
        }
        load.wait_for(100);
    });
    let admin = first.admin();
    admin.wait_until_drained();
    load.check(&admin);
    others.push(first);
    for node in others {
        assert!(node.stop(), "the node stops in order");
    }
}

fn no_direct_url(_: &TestDatabase) -> String {
    String::new()
}

#[test]
fn two_nodes_behind_a_pool_that_knows_no_names_lose_nothing() {
    let forget = if PgBouncer::knows_names() { "max_prepared_statements = 0" } else { "" };
    two_nodes_lose_nothing(forget, no_direct_url);
}

#[test]
fn two_nodes_behind_a_pool_with_a_way_past_it_lose_nothing() {
    // With names, where the pool that is installed knows them.
    let names = if PgBouncer::knows_names() { "max_prepared_statements = 100" } else { "" };
    two_nodes_lose_nothing(names, |database| database.url().to_owned());
}

#[test]
fn doctor_tells_what_a_server_takes_and_what_the_database_or_the_pool_has_to_give() {
    let database = itsm_database();
    let run = campanile(&["doctor", "--database", database.url()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told = "connections: a server takes 38 at most (16 that read, 16 that write, 6 of its own); 0 servers run now; \
                the database gives ";
    assert!(run.stdout.contains(told), "{}", run.stdout);

    database.run(&format!(
        "ALTER DATABASE {} CONNECTION LIMIT 30",
        database.url().rsplit('/').next().unwrap()
    ));
    let run = campanile(&["doctor", "--database", database.url()]);
    let told = "note: 1 server may take 38 connections to the database, which gives 30\n  fix: raise the database's limit";
    assert!(run.stdout.contains(told) && run.code == 0, "{} {}", run.stdout, run.stderr);

    let Some(pool) = PgBouncer::before(database.url(), "") else { return };
    let run = campanile(&["doctor", "--database", pool.url()]);
    let told = "the pool before it has to give 23 at least";
    assert!(run.stdout.contains(told), "{} {}", run.stdout, run.stderr);
}

#[test]
fn a_pool_is_asked_every_second_for_what_others_changed() {
    let database = itsm_database();
    let Some(pool) = PgBouncer::before(database.url(), "") else { return };
    let behind = Server::start_on_database(pool.url());
    let metrics = || behind.anonymous().get("/metrics").text;
    assert!(metrics().contains("campanile_storage_hears_other_nodes 0"), "{}", metrics());
    let straight = Server::start_on_database(database.url());
    the_other_learns_of_a_change(&straight, &behind, "t.straight");
    the_other_learns_of_a_change(&behind, &straight, "t.behind");
    wait_until("both count", || metrics().contains("campanile_storage_nodes 2"));
}
