//! Commits whose answer is lost: what is told afterwards is what happened.

use std::sync::Arc;

use campanile_model::{EventState, NewEvent};
use campanile_store::testing::{Cut, Proxy, TestDatabase};
use campanile_store::{
    EventAction, EventStore, NextState, PostgresOptions, PostgresStore, Store, StoreError, WriteTx,
};

use crate::conformance::engine::{Bench, key};
use crate::events_at_hand::{BY, MODE, NOW, completion, event, names, record, request, wait_until};
use crate::postgres_at_hand::still;

/// A store whose line to its database can be cut, and the database.
struct House {
    bench: Bench,
    store: Arc<PostgresStore>,
    proxy: Proxy,
    database: TestDatabase,
}

impl House {
    fn new() -> Self {
        let database = TestDatabase::create();
        let proxy = Proxy::to(database.url());
        // Nothing but the test commits.
        let store = PostgresStore::open(&still(proxy.url(), "campanile")).unwrap();
        let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
        Self { bench, store, proxy, database }
    }

    /// Inserts a row and an event in one transaction whose commit meets `cut`.
    fn commit(&self, number: usize, cut: Option<Cut>) -> Result<(), StoreError> {
        let mut tx: Box<dyn WriteTx> = self.bench.write();
        tx.insert(&self.bench.row("thing", &[("sys_id", &key(number))])).unwrap();
        tx.append_events(&[event("beside.the.row")]).unwrap();
        if let Some(cut) = cut {
            self.proxy.cut_next_commit(cut);
        }
        tx.commit().map(drop)
    }

    /// Rows and events as another program sees them.
    fn kept(&self) -> (String, String) {
        let number = |table: &str| {
            self.database.texts(&format!("SELECT count(*)::text FROM {table}")).remove(0)
        };
        (number("thing"), number("sysevent_live"))
    }
}

#[test]
fn a_commit_that_was_kept_is_told_as_kept_though_its_answer_was_lost() {
    let house = House::new();
    for round in 1..=20 {
        house.commit(round, Some(Cut::After)).unwrap();
        assert_eq!(house.proxy.cuts(), round);
        assert_eq!(house.kept(), (round.to_string(), round.to_string()));
    }
}

#[test]
fn a_commit_that_never_arrived_is_told_as_not_kept_and_the_next_one_goes_on() {
    let house = House::new();
    for round in 1..=20 {
        let error = house.commit(round, Some(Cut::Before)).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert_eq!(house.proxy.cuts(), round);
    }
    house.commit(100, None).unwrap();
    assert_eq!(house.kept(), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn a_commit_that_hangs_is_ended_and_cannot_come_true_later() {
    let house = House::new();
    let error = house.commit(1, Some(Cut::Held)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    // The server gets it now, on a connection that it has ended.
    house.proxy.release();
    house.commit(2, None).unwrap();
    assert_eq!(house.kept(), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn who_cannot_learn_what_became_of_a_commit_is_told_that() {
    let house = House::new();
    let mut tx = house.bench.write();
    tx.insert(&house.bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    house.proxy.cut_next_commit(Cut::After);
    house.proxy.close();
    let error = tx.commit().map(drop).unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.to_string().contains("idempotency key"), "{error}");
    assert_eq!(house.kept().0, "1", "it was kept");
    house.store.abandon();
}

/// Appends two events and cuts the line on which `text` comes, twenty times.
fn append_under_cuts(text: &str, key_of: fn(usize) -> String) {
    let house = House::new();
    let mut sequences = Vec::new();
    for (round, cut) in [Cut::Before, Cut::After].into_iter().cycle().take(20).enumerate() {
        let new =
            |name: &str, at| NewEvent { dedupe_key: key_of(2 * round + at).into(), ..event(name) };
        house.proxy.cut_next_with(text, cut);
        let (outcomes, _) =
            house.store.append_blocking(vec![new("cut.one", 0), new("cut.two", 1)], MODE).unwrap();
        assert_eq!(house.proxy.cuts(), round + 1);
        assert_eq!(house.kept().1, (2 * (round + 1)).to_string());
        sequences.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().sequence.to_string()));
    }
    let kept = house
        .database
        .texts("SELECT sequence::text FROM sysevent_live ORDER BY sysevent_live.sequence");
    assert_eq!(sequences, kept, "each caller is told the order of arrival that its event has");
}

#[test]
fn a_group_of_appends_whose_answer_was_lost_is_neither_lost_nor_doubled() {
    append_under_cuts("cut.one", |_| String::new());
}

#[test]
fn a_group_of_appends_with_keys_whose_answer_was_lost_is_neither_lost_nor_doubled() {
    append_under_cuts("COMMIT", |number| format!("key-{number}"));
}

/// The same event under a key: its group takes several statements and a commit of its own.
fn keyed(name: &str) -> NewEvent {
    NewEvent { dedupe_key: format!("key of {name}").into(), ..event(name) }
}

#[test]
fn a_group_whose_commit_hangs_is_ended_and_appended_once() {
    let house = House::new();
    house.proxy.cut_next_commit(Cut::Held);
    house.store.append_blocking(vec![keyed("one"), keyed("two")], MODE).unwrap();
    assert_eq!(house.proxy.cuts(), 1);
    // The server gets the first one now, on a connection that it has ended.
    house.proxy.release();
    house.store.append_blocking(vec![event("three")], MODE).unwrap();
    assert_eq!(house.kept().1, "3");
}

/// What is appended in one statement is not known to the server before it comes: it must not come true when the program has
/// given it up, not even when its events are gone from the live table by then.
#[test]
fn a_group_that_reaches_the_server_after_it_was_given_up_is_appended_once() {
    let house = House::new();
    house.proxy.cut_next_with("cut.one", Cut::Held);
    house.store.append_blocking(vec![event("cut.one"), event("cut.two")], MODE).unwrap();
    assert_eq!(house.proxy.cuts(), 1);
    let claimed = house.store.claim(&request(9)).unwrap().events;
    assert_eq!(names(&claimed), ["cut.one", "cut.two"]);
    for event in &claimed {
        assert!(house.store.begin(&event.fired.sys_id, BY, 0));
        house.store.complete(completion(event, NextState::Processed));
    }
    house.store.flush().unwrap();
    let processes = || -> usize {
        let of_program = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'campanile'";
        house.database.texts(of_program).len()
    };
    let before = processes();
    house.proxy.release();
    wait_until("the late statement has come, and its process is gone", || processes() < before);
    house.store.append_blocking(vec![event("three")], MODE).unwrap();
    assert_eq!(house.kept().1, "1");
    let log = "SELECT name FROM sysevent_log ORDER BY sequence";
    assert_eq!(house.database.texts(log), ["cut.one", "cut.two"]);
}

/// Whoever asks uses the number of the group up; when the answer to that is lost, the next look must not take it for the group's.
#[test]
fn a_group_that_never_arrived_is_not_told_as_kept_when_the_question_was_cut_off_too() {
    for second in [Cut::After, Cut::Before] {
        let house = House::new();
        house.proxy.cut_next_with("cut.one", Cut::Before);
        house.proxy.close();
        std::thread::scope(|scope| {
            let appending =
                scope.spawn(|| house.store.append_blocking(vec![event("cut.one")], MODE));
            wait_until("the group is cut off", || house.proxy.cuts() == 1);
            house.proxy.cut_next_commit(second);
            house.proxy.open_again();
            appending.join().unwrap().unwrap();
        });
        assert_eq!(house.proxy.cuts(), 2);
        assert_eq!(house.kept().1, "1");
        house.store.append_blocking(vec![event("two")], MODE).unwrap();
        assert_eq!(house.kept().1, "2");
    }
}

/// What waits for a lock, by the beginning of its statement.
fn waits(house: &House, statement: &str) -> bool {
    let waiting = format!(
        "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND starts_with(query, '{statement}')"
    );
    !house.database.texts(&waiting).is_empty()
}

/// The commit comes true after the program has a new connection, and its events are gone from the live table before the
/// program learns of it: only the group's number tells.
#[test]
fn a_commit_after_the_reconnect_whose_events_another_program_has_completed_is_told_as_kept() {
    let house = House::new();
    let other = PostgresStore::open(&PostgresOptions::new(house.database.url())).unwrap();
    let own = "SELECT token::text FROM campanile_node ORDER BY token LIMIT 1";
    let token = house.database.texts(own).remove(0);
    house.proxy.cut_next_commit(Cut::Held);
    house.proxy.close();
    std::thread::scope(|scope| {
        let (store, database) = (&house.store, &house.database);
        let appending =
            scope.spawn(|| store.append_blocking(vec![keyed("one"), keyed("two")], MODE));
        wait_until("the commit is held", || house.proxy.cuts() == 1);
        // Whoever waits first for the row has it first.
        let (let_go, may_go) = std::sync::mpsc::channel::<()>();
        let stranger = scope.spawn(move || {
            let stranger = database.stranger();
            stranger.run(&format!(
                "BEGIN; SELECT 1 FROM campanile_node_writer WHERE token = {token} AND writer = 1 FOR UPDATE"
            ));
            may_go.recv().unwrap();
        });
        wait_until("the stranger waits", || waits(&house, "BEGIN; SELECT 1"));
        house.proxy.open_again();
        wait_until("the program asks on a new connection", || waits(&house, "SELECT last_group"));
        assert_eq!(house.kept().1, "0");
        house.proxy.release();
        wait_until("the commit has come true", || house.kept().1 == "2");

        let claimed = other.claim(&request(9)).unwrap().events;
        assert_eq!(names(&claimed), ["one", "two"]);
        for event in &claimed {
            assert!(other.begin(&event.fired.sys_id, BY, 0));
            other.complete(completion(event, NextState::Processed));
        }
        other.flush().unwrap();
        assert_eq!(house.kept().1, "0");
        assert!(!appending.is_finished(), "nobody can know yet");
        let_go.send(()).unwrap();
        stranger.join().unwrap();

        let (outcomes, _) = appending.join().unwrap().unwrap();
        let told: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().sys_id).collect();
        let done: Vec<_> = claimed.iter().map(|event| event.fired.sys_id).collect();
        assert_eq!(told, done);
    });
    house.store.append_blocking(vec![event("three")], MODE).unwrap();
    assert_eq!(house.kept().1, "1");
    let log = "SELECT name FROM sysevent_log ORDER BY sequence";
    assert_eq!(house.database.texts(log), ["one", "two"]);
}

/// What was handed in while the database was gone stands on the lease of that time: when the program has a new one, and has
/// claimed the event again, the old end must not end the new attempt.
#[test]
fn an_end_that_waited_for_the_database_past_the_lease_does_not_end_the_next_claim() {
    let house = House::new();
    house.store.append_blocking(vec![event("a")], MODE).unwrap();
    let first = house.store.claim(&request(1)).unwrap().events.remove(0);
    assert!(house.store.begin(&first.fired.sys_id, BY, 0));
    house.proxy.close();
    house.proxy.cut_all();
    house.store.complete(completion(&first, NextState::Processed));
    house.store.flush().unwrap_err();
    house.database.lapse_all();
    let other = PostgresStore::open(&PostgresOptions::new(house.database.url())).unwrap();
    house.proxy.open_again();
    let again = loop {
        // The first tries find lines that were cut.
        match house.store.claim(&request(1)) {
            Ok(claim) if !claim.events.is_empty() => break claim.events,
            Ok(_) | Err(StoreError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(names(&again), ["a"]);
    assert!(house.store.begin(&again[0].fired.sys_id, BY, 0));
    wait_until("everything that was handed in is written", || house.store.flush().is_ok());
    let held = house.store.event(&first.fired.sys_id).unwrap().unwrap();
    assert_eq!(held.state, EventState::Queued, "it is being handled under the new lease");
    house.store.complete(completion(&again[0], NextState::Processed));
    house.store.flush().unwrap();
    let done = house.store.event(&first.fired.sys_id).unwrap().unwrap();
    assert_eq!(done.state, EventState::Processed);
    drop(other);
}

#[test]
fn what_people_did_to_events_is_told_as_what_it_was_though_the_answer_was_lost() {
    let house = House::new();
    for (round, cut) in [Cut::After, Cut::Before].into_iter().cycle().take(10).enumerate() {
        let (appended, _) = house.store.append_blocking(vec![event("a")], MODE).unwrap();
        let sys_id = appended[0].as_ref().unwrap().sys_id;
        house.proxy.cut_next_commit(cut);
        let action = EventAction::Cancel { sys_id, now: NOW, record: record("cancel", &[sys_id]) };
        let told = house.store.act(action);
        assert_eq!(house.proxy.cuts(), round + 1);
        let found = house.store.event(&sys_id).unwrap().unwrap();
        let logged = house.store.actions(&sys_id).unwrap().len();
        if cut == Cut::After {
            told.unwrap();
            assert_eq!((found.state, logged), (EventState::Cancelled, 1));
        } else {
            let error = told.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            assert_eq!((found.state, logged), (EventState::Ready, 0));
        }
    }
}

#[test]
fn a_kind_that_is_moved_is_moved_once_though_an_answer_was_lost() {
    let house = House::new();
    house.store.append_blocking(vec![event("a"), event("a"), event("b")], MODE).unwrap();
    house.proxy.cut_next_commit(Cut::After);
    assert_eq!(house.store.move_kind("a", "elsewhere").unwrap().moved, 2);
    assert_eq!(house.proxy.cuts(), 1);
}
