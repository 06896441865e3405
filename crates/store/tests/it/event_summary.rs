//! Counts of what became of events.

use campanile_model::{EventState, Outcome};
use campanile_store::{EventSummary, NextState};

use crate::events_at_hand::{
    NOW, claim, completion, event, event_at, failed, finish, fire, fresh, on_both_engines, run_of,
};

on_both_engines! {
    an_empty_log_has_no_counts,
    only_events_after_the_point_are_counted_by_name_and_state,
}

fn an_empty_log_has_no_counts() {
    let (store, _folder) = fresh();
    assert_eq!(store.summary(0, NOW).unwrap(), EventSummary::default());
}

fn only_events_after_the_point_are_counted_by_name_and_state() {
    let (store, _folder) = fresh();
    let before = fire(&store, event("a.one")).sequence;
    finish(&store, &claim(&store, 1).events[0], NextState::Processed);
    for name in ["a.one", "a.two", "a.one", "a.two"] {
        fire(&store, event(name));
    }
    let claimed = claim(&store, 3).events;
    let mut done = completion(&claimed[0], NextState::Processed);
    done.runs =
        vec![run_of(&claimed[0], Outcome::Succeeded), run_of(&claimed[0], Outcome::Skipped)];
    store.complete(done);
    let mut broken = completion(&claimed[1], failed());
    broken.runs =
        vec![run_of(&claimed[1], Outcome::Failed), run_of(&claimed[1], Outcome::Succeeded)];
    store.complete(broken);
    store.flush().unwrap();
    fire(&store, event_at("a.late", 100.0, 60_000));

    let told = store.summary(before, NOW).unwrap();
    let name = "the recorder".to_owned();
    assert_eq!(
        told,
        EventSummary {
            last_sequence: before + 5,
            events: vec![
                ("a.late".to_owned(), EventState::Ready, 1),
                ("a.one".to_owned(), EventState::Processed, 1),
                ("a.one".to_owned(), EventState::Queued, 1),
                ("a.two".to_owned(), EventState::Error, 1),
                ("a.two".to_owned(), EventState::Ready, 1),
            ],
            runs: vec![
                (name.clone(), Outcome::Failed, 1),
                (name.clone(), Outcome::Skipped, 1),
                (name, Outcome::Succeeded, 2),
            ],
            waiting: 2,
        }
    );
    assert_eq!(store.summary(told.last_sequence, NOW).unwrap().events, []);
}
