//! What tests of several programs on one PostgreSQL database have at hand.

use std::time::Duration;

use campanile_model::EventState;
use campanile_store::testing::TestDatabase;
use campanile_store::{EventStore, Lease, NextState, PostgresOptions, PostgresStore};

use crate::events_at_hand::{BY, MODE, completion, event, request};

/// For a program of this name that beats and looks for others when it opens, and never by itself.
pub(crate) fn still(url: &str, name: &str) -> PostgresOptions {
    PostgresOptions {
        node: name.to_owned(),
        lease: Lease { beat: Duration::from_secs(3_600), ..Lease::default() },
        watch: Duration::from_secs(3_600),
        ..PostgresOptions::new(url)
    }
}

/// An event goes all the way.
pub(crate) fn works(store: &PostgresStore) {
    store.append_blocking(vec![event("works")], MODE).unwrap();
    let claimed = store.claim(&request(1)).unwrap().events.remove(0);
    assert!(store.begin(&claimed.fired.sys_id, BY, 0));
    store.complete(completion(&claimed, NextState::Processed));
    store.flush().unwrap();
    let found = store.event(&claimed.fired.sys_id).unwrap().unwrap();
    assert_eq!(found.state, EventState::Processed);
}

/// How many connections wait for a lock with a statement that has this part.
pub(crate) fn waiting(database: &TestDatabase, part: &str) -> usize {
    let waiting = format!(
        "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '%{part}%' AND pid <> pg_backend_pid()"
    );
    database.texts(&waiting).len()
}

/// Whether one does.
pub(crate) fn waits(database: &TestDatabase, part: &str) -> bool {
    waiting(database, part) > 0
}
