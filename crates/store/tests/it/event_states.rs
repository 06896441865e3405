//! One home for the states of an event: the enum, the table in the docs and the schema say the same. And what
//! other programs see of the log.

use std::collections::{BTreeMap, BTreeSet};

use campanile_model::EventState;
use campanile_store::NextState;
use rusqlite::Connection;

use crate::events_at_hand::{append, claim, event, finish, fire, fresh};

const DOCS: &str = include_str!("../../../../docs/events.md");

/// The states that a cell of the table names, in the order of the reference.
fn states(cell: &str) -> BTreeSet<EventState> {
    cell.split('`').filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn the_docs_and_the_enum_allow_the_same_moves() {
    let table: BTreeMap<EventState, BTreeSet<EventState>> = DOCS
        .lines()
        .skip_while(|line| !line.starts_with("| from | may become |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').skip(1);
            let from = *states(cells.next().unwrap()).first().unwrap();
            (from, states(cells.next().unwrap()))
        })
        .collect();
    let allowed = EventState::ALL.map(|from| {
        (
            from,
            EventState::ALL.into_iter().filter(|to| from.may_become(*to)).collect::<BTreeSet<_>>(),
        )
    });
    assert_eq!(table, BTreeMap::from(allowed));
}

#[test]
fn the_picture_names_every_state() {
    let picture = DOCS.split("```").nth(1).unwrap();
    for state in EventState::ALL {
        assert!(picture.contains(state.as_str()), "{state}");
    }
}

#[test]
fn the_live_table_takes_ready_alone_and_the_log_what_is_final() {
    let (store, folder) = fresh();
    append(&store, vec![event("live"), event("done")]);
    let claimed = claim(&store, 2).events;
    finish(&store, &claimed[1], NextState::Processed);
    drop(store);
    let connection = Connection::open(folder.path().join("campanile.db")).unwrap();
    for state in EventState::ALL {
        let takes = |table: &str| {
            connection.execute(&format!("UPDATE {table} SET state = ?1"), [state.as_str()]).is_ok()
        };
        // A claim is not stored.
        assert_eq!(takes("sysevent_live"), state == EventState::Ready, "{state}");
        assert_eq!(takes("sysevent_log"), !state.is_live(), "{state}");
    }
}

#[test]
fn another_program_reads_the_log_with_any_sql_tool() {
    let (store, folder) = fresh();
    fire(&store, event("t.ping"));
    claim(&store, 1);
    let connection = Connection::open(folder.path().join("campanile.db")).unwrap();
    let row: (String, String, Option<String>, i64) = connection
        .query_row("SELECT name, state, claimed_by, sys_created_on FROM sysevent", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!(row, ("t.ping".to_owned(), "ready".to_owned(), None, 1_700_000_000_000));
    for view in ["sysevent_handler_run", "sysevent_action_log"] {
        let rows: i64 = connection
            .query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 0);
    }
}
