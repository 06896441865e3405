//! Claims that begin where the last one ended: what they cost while what is dead cannot be cleared away, and what they get.

use std::sync::Arc;

use campanile_store::testing::TestDatabase;
use campanile_store::{EventStore, PostgresOptions, PostgresStore};

use crate::events_at_hand::{MODE, claim, claimed_names, event_at, fire, names};

/// No lane is known.
const NOWHERE: &str = "'{}', '{}'";

fn open(database: &TestDatabase) -> Arc<PostgresStore> {
    PostgresStore::open(&PostgresOptions::new(database.url())).unwrap()
}

/// A claim of `limit` events from `floors` on, and the look for what is due next: the entries of the index of claims that were
/// read, and the names of the events.
fn claim_from(database: &TestDatabase, limit: usize, order: &str, floors: &str) -> (i64, String) {
    let told = database.texts(&format!(
        "WITH got AS MATERIALIZED (SELECT got.* FROM campanile_node AS node, LATERAL campanile_claim_from( \
             '', {limit}, 'p', node.token, 9000000000000, {order} = 'by priority', {floors}) AS got), \
         claimed AS MATERIALIZED (SELECT string_agg(name, ' ' ORDER BY process_on, sequence) AS names FROM got), \
         due AS MATERIALIZED (SELECT names, (SELECT min(due) FROM campanile_dues_from('', {floors})) FROM claimed) \
         SELECT pg_stat_get_xact_tuples_returned('sysevent_live_claim'::regclass) || ':' || COALESCE(names, '') FROM due"
    ));
    let (read, names) = told[0].split_once(':').unwrap();
    (read.parse().unwrap(), names.to_owned())
}

#[test]
fn while_a_snapshot_is_held_open_a_claim_reads_no_more_than_what_it_takes() {
    let database = TestDatabase::create();
    let store = open(&database);
    let events = (0..1_000).map(|n| event_at("a", 100.0, n)).collect();
    store.append_blocking(events, MODE).unwrap();
    let holder = database.stranger();
    holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sysevent_live");
    for order in ["'by priority'", "'by arrival'"] {
        let mut floor = i64::MIN;
        for _ in 0..4 {
            let floors = format!("'{{100}}', '{{{floor}}}'");
            let (read, names) = claim_from(&database, 100, order, &floors);
            assert_eq!(names.split(' ').count(), 100, "{order}");
            if floor > i64::MIN {
                // Once to claim, once past the same to what is due next; two looks for other lanes.
                assert!(read <= 210, "{order}: {read} entries were read");
            }
            let last = "SELECT max(process_on)::text FROM sysevent_live WHERE state = 'queued'";
            floor = database.texts(last)[0].parse().unwrap();
        }
    }
    let (read, _) = claim_from(&database, 100, "'by priority'", NOWHERE);
    assert!(read > 1_000, "from the beginning all is walked past: {read} entries");
}

#[test]
fn floors_hold_for_their_lanes_and_lanes_that_are_not_known_are_found() {
    let database = TestDatabase::create();
    let store = open(&database);
    let due = [("a", 1.0, 20), ("b", 2.0, 10), ("c", 2.0, 30), ("d", 3.0, 5), ("e", 4.0, 40)];
    for (name, priority, at) in due {
        fire(&store, event_at(name, priority, at));
    }
    let from = |at: i64| crate::events_at_hand::NOW.plus_millis(at).as_millis();
    let floors = format!("'{{2,4}}', '{{{},{}}}'", from(11), from(41));
    let taken_back =
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL";
    for (order, limit, names) in [
        ("'by priority'", 9, "d a c"),
        ("'by arrival'", 9, "d a c"),
        ("'by priority'", 2, "a c"),
        ("'by arrival'", 2, "d a"),
    ] {
        assert_eq!(claim_from(&database, limit, order, &floors).1, names, "{order}");
        database.run(taken_back);
    }
    assert_eq!(claim_from(&database, 9, "'by arrival'", NOWHERE).1, "d b a c e");
}

#[test]
fn what_is_given_back_is_claimed_next_though_it_was_due_before() {
    let database = TestDatabase::create();
    let store = open(&database);
    for n in 0..4 {
        fire(&store, event_at(&n.to_string(), 100.0, n));
    }
    let now = crate::events_at_hand::NOW.plus_millis(10);
    let request = campanile_store::ClaimRequest { now, ..crate::events_at_hand::request(3) };
    let claimed = store.claim(&request).unwrap();
    assert_eq!(names(&claimed.events), ["0", "1", "2"]);
    store.release(request.claimed_by, &[claimed.events[0].fired.sys_id]);
    let again = store.claim(&request).unwrap();
    assert_eq!(names(&again.events), ["0", "3"]);
}

/// As after a crash of the server, which undoes claims that had not reached its disk.
#[test]
fn what_nobody_told_of_is_found_in_a_while() {
    let database = TestDatabase::create();
    let store = open(&database);
    for n in 0..2 {
        fire(&store, event_at(&n.to_string(), 100.0, n - 9));
    }
    assert_eq!(claimed_names(&store, 9), ["0", "1"]);
    database.run(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL WHERE name = '0'",
    );
    crate::events_at_hand::wait_until("it is claimed", || names(&claim(&store, 9).events) == ["0"]);
}

/// Somebody who changes an event may leave it as it was, and tells nobody then.
#[test]
fn what_was_held_when_a_claim_went_past_it_is_claimed_once_it_is_let_go() {
    let database = TestDatabase::create();
    let store = open(&database);
    for n in 0..2 {
        fire(&store, event_at(&n.to_string(), 100.0, n - 9));
    }
    let holder = database.stranger();
    holder.run("BEGIN; SELECT 1 FROM sysevent_live WHERE name = '0' FOR UPDATE");
    let passed = claim(&store, 9);
    assert_eq!((names(&passed.events), passed.more), (vec!["1".to_owned()], true));
    for _ in 0..3 {
        let nothing = claim(&store, 9);
        assert_eq!(names(&nothing.events), [] as [&str; 0]);
        let soon = nothing.next_due.expect("it is to be looked at again");
        assert!(soon.as_millis() - crate::events_at_hand::NOW.as_millis() <= 50, "{soon:?}");
    }
    holder.run("ROLLBACK");
    assert_eq!(claimed_names(&store, 9), ["0"]);
}
