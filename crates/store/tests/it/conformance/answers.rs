//! Answers under idempotency keys: with their row or not at all, one space of keys with events, a day long.

use std::sync::Arc;

use campanile_model::{Instant, NewEvent};
use campanile_store::{KeptAnswer, StoreError};

use super::engine::{Bench, Engine, key};
use crate::events_at_hand::{NOW, event};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn answer(name: &str, content_hash: u64, at: Instant) -> KeptAnswer {
    KeptAnswer {
        key: Arc::from(name),
        content_hash,
        sys_id: Arc::from(key(1)),
        answer: format!("answer to {name}"),
        at,
        key_life_ms: DAY_MS,
    }
}

fn kept(
    bench: &Bench,
    name: &str,
    content: u64,
    now: Instant,
) -> Result<Option<String>, StoreError> {
    let forgotten = now.plus_millis(-DAY_MS);
    Arc::clone(&bench.store).read().unwrap().kept_answer(name, content, forgotten)
}

pub(crate) fn an_answer_is_kept_with_its_row_or_not_at_all(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    tx.keep_answer(&answer("u:joe:k", 7, NOW)).unwrap();
    assert_eq!(
        tx.kept_answer("u:joe:k", 7, NOW.plus_millis(-DAY_MS)),
        Ok(Some("answer to u:joe:k".to_owned()))
    );
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(None), "nobody else sees it yet");
    drop(tx);
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(None));
    bench.in_tx(|tx| {
        tx.insert(&bench.row("thing", &[("sys_id", &key(1))]))?;
        tx.keep_answer(&answer("u:joe:k", 7, NOW))
    });
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
    assert_eq!(kept(&bench, "u:beth:k", 7, NOW), Ok(None));
    let reused = Err(StoreError::KeyReused { key: "u:joe:k".to_owned() });
    assert_eq!(kept(&bench, "u:joe:k", 8, NOW), reused);
    // It is there after a reopen.
    bench.store.close().unwrap();
    let bench = Bench::on(engine.open());
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
}

pub(crate) fn of_two_that_keep_an_answer_under_one_key_the_second_is_refused(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.in_tx(|tx| tx.keep_answer(&answer("u:joe:k", 7, NOW)));
    for content in [7, 8] {
        let refused = bench.write().keep_answer(&answer("u:joe:k", content, NOW));
        assert!(matches!(refused, Err(StoreError::Duplicate { .. })), "{refused:?}");
    }
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
}

pub(crate) fn events_and_answers_share_one_space_of_keys(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let keyed = |name: &str, content_hash: u64| NewEvent {
        dedupe_key: Arc::from(name),
        content_hash,
        ..event("t.keyed")
    };
    bench.in_tx(|tx| {
        assert!(tx.append_events(&[keyed("of an event", 7)])?[0].is_ok());
        tx.keep_answer(&answer("of an answer", 7, NOW))
    });
    let reused = |name: &str| StoreError::KeyReused { key: name.to_owned() };
    assert_eq!(kept(&bench, "of an event", 7, NOW), Err(reused("of an event")));
    let refused = bench.write().keep_answer(&answer("of an event", 7, NOW));
    assert!(matches!(refused, Err(StoreError::Duplicate { .. })), "{refused:?}");
    let outcomes = bench.write().append_events(&[keyed("of an answer", 7)]).unwrap();
    assert_eq!(outcomes, [Err(reused("of an answer"))]);
}

pub(crate) fn a_key_is_free_again_after_a_day(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.in_tx(|tx| tx.keep_answer(&answer("k", 7, NOW)));
    let almost = NOW.plus_millis(DAY_MS - 1);
    assert_eq!(kept(&bench, "k", 7, almost), Ok(Some("answer to k".to_owned())));
    assert!(bench.write().keep_answer(&answer("k", 8, almost)).is_err());
    let later = NOW.plus_millis(DAY_MS);
    assert_eq!(kept(&bench, "k", 7, later), Ok(None));
    bench.in_tx(|tx| tx.keep_answer(&answer("k", 8, later)));
    assert_eq!(kept(&bench, "k", 8, later), Ok(Some("answer to k".to_owned())));
    // An event may take it over too, and then it is the event's.
    let latest = later.plus_millis(DAY_MS);
    let fired = NewEvent {
        dedupe_key: Arc::from("k"),
        content_hash: 8,
        created: latest,
        process_on: latest,
        ..event("t.keyed")
    };
    bench.in_tx(|tx| {
        assert!(!tx.append_events(std::slice::from_ref(&fired))?[0].as_ref().unwrap().duplicate);
        Ok(())
    });
    assert!(matches!(kept(&bench, "k", 8, latest), Err(StoreError::KeyReused { .. })));
}

/// The life of keys is the caller's: the look-up, the taking over and the forgetting follow it.
pub(crate) fn a_key_lives_as_long_as_the_call_that_comes_says(engine: &dyn Engine) {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    let bench = Bench::new(engine);
    let of_life = |content: u64, at: Instant, hours: i64| KeptAnswer {
        key_life_ms: hours * HOUR_MS,
        ..answer("k", content, at)
    };
    bench.in_tx(|tx| tx.keep_answer(&of_life(7, NOW, 1)));
    let at = NOW.plus_millis(2 * HOUR_MS);
    assert_eq!(kept(&bench, "k", 7, at), Ok(Some("answer to k".to_owned())), "a day for this one");
    assert!(bench.write().keep_answer(&of_life(8, at, 3)).is_err());
    bench.in_tx(|tx| tx.keep_answer(&of_life(8, at, 2)));
    // An event beside it.
    let fired = |content_hash: u64, at: Instant, hours: i64| NewEvent {
        dedupe_key: Arc::from("e"),
        content_hash,
        created: at,
        process_on: at,
        key_life_ms: hours * HOUR_MS,
        ..event("t.keyed")
    };
    let append = |event: NewEvent| {
        let mut tx = bench.write();
        let outcome = tx.append_events(&[event]).unwrap().remove(0);
        tx.commit().unwrap();
        outcome.map(|appended| appended.duplicate)
    };
    let reused = Err(StoreError::KeyReused { key: "e".to_owned() });
    assert_eq!(append(fired(1, NOW, 1)), Ok(false));
    assert_eq!(append(fired(1, at, 3)), Ok(true));
    assert_eq!(append(fired(2, at, 3)), reused);
    assert_eq!(append(fired(2, at, 2)), Ok(false), "free after two hours");
    // What is forgotten along the way is gone for a longer life too: first not a key of two hours, then it is.
    bench.in_tx(|tx| tx.keep_answer(&answer("old", 7, NOW)));
    for (hours, left) in [(3, true), (1, false)] {
        let other =
            KeptAnswer { key: Arc::from(format!("other {hours}")), ..of_life(1, at, hours) };
        bench.in_tx(|tx| tx.keep_answer(&other));
        assert_eq!(kept(&bench, "old", 7, at).unwrap().is_some(), left, "{hours}");
    }
}
