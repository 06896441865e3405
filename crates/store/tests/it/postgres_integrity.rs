//! What the database itself cannot rule out is found.

use campanile_store::testing::TestDatabase;
use campanile_store::{EventStore, NextState, PostgresOptions, PostgresStore, Store};

use crate::events_at_hand::{claim, event, finish, fire};

#[test]
fn an_event_that_stands_in_both_places_or_is_claimed_by_nobody_known_is_told() {
    let database = TestDatabase::create();
    let store = PostgresStore::open(&PostgresOptions::new(database.url())).unwrap();
    let id = fire(&store, event("a")).sys_id;
    let claimed = claim(&store, 1).events.remove(0);
    finish(&store, &claimed, NextState::Processed);
    store.flush().unwrap();
    assert_eq!(store.integrity_problems().unwrap(), [""; 0]);
    let columns = "sequence, sys_id, queue, derived_priority, process_on, sys_created_on, name, \"partition\", depth, source, \
         queue_from_call, registered, scheduled, max_attempts, coalesce_seconds";
    database
        .run(&format!("INSERT INTO sysevent_live ({columns}) SELECT {columns} FROM sysevent_log"));
    let both = format!("event {id} stands in both places");
    assert_eq!(store.integrity_problems().unwrap(), [both.as_str()]);
    database
        .run("UPDATE sysevent_live SET state = 'queued', claimed_by = 'nobody', claim_token = 999");
    let nobody = format!("event {id} is claimed by nobody known");
    assert_eq!(store.integrity_problems().unwrap(), [both, nobody]);
}
