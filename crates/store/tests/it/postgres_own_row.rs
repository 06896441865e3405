//! The rows in which a program writes down how far it is, which it changes where they stood last: somebody may have moved them.

use campanile_store::testing::TestDatabase;
use campanile_store::{EventStore, NextState, PostgresOptions, PostgresStore};

use crate::events_at_hand::{BY, MODE, claim, event, finish, fire, wait_until};

#[test]
fn rows_that_somebody_has_moved_are_found_again() {
    let database = TestDatabase::create();
    let store = PostgresStore::open(&PostgresOptions::new(database.url())).unwrap();
    for round in 0..4 {
        // In one statement, and in a transaction of several.
        fire(&store, event("a"));
        let mut known = event("b");
        known.dedupe_key = round.to_string().into();
        store.append_blocking(vec![known], MODE).unwrap().0.remove(0).unwrap();
        let claimed = claim(&store, 9).events;
        assert_eq!(claimed.len(), 2, "round {round}");
        for event in &claimed {
            assert!(store.begin(&event.fired.sys_id, BY, 0));
            let told = format!(
                "SELECT handling::text FROM campanile_node_writer WHERE {} = ANY (handling)",
                event.sequence
            );
            wait_until("it is written down", || !database.texts(&told).is_empty());
            finish(&store, event, NextState::Processed);
            database.run("VACUUM FULL campanile_node_writer");
        }
    }
    let groups = database.texts("SELECT max(last_group)::text FROM campanile_node_writer");
    assert!(groups[0].parse::<i64>().unwrap() >= 8, "{groups:?}");
}
