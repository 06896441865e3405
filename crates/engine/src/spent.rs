//! What a piece of work spends its time on, for whoever waits for it (`Server-Timing`, rest-api §2.4).
//!
//! Kept by the thread that does the work; counted only while somebody asks, so that queue processors pay nothing.

use std::cell::Cell;
use std::time::{Duration, Instant as Monotonic};

use campanile_store::{CommitMark, Store, StoreError, WriteTx};

/// Time by what it was spent on. The rules' time contains what their scripts read and wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Reading, writing, waiting for the writer, committing.
    pub database: Duration,
    /// Business rules with their conditions and scripts.
    pub rules: Duration,
}

thread_local! {
    static SPENT: Cell<Option<Spent>> = const { Cell::new(None) };
    static IN_RULES: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` on this thread and tells what it spent its time on.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let before = SPENT.replace(Some(Spent::default()));
    let result = work();
    let spent = SPENT.replace(before).unwrap_or_default();
    (result, spent)
}

/// Counts `work` as the database's.
pub(crate) fn in_database<T>(work: impl FnOnce() -> T) -> T {
    if SPENT.get().is_none() {
        return work();
    }
    let began = Monotonic::now();
    let result = work();
    add(|spent| spent.database += began.elapsed());
    result
}

/// Counts `work` as the rules'; rules inside rules are counted once.
pub(crate) fn in_rules<T>(work: impl FnOnce() -> T) -> T {
    if SPENT.get().is_none() || IN_RULES.replace(true) {
        return work();
    }
    let began = Monotonic::now();
    let result = work();
    IN_RULES.set(false);
    add(|spent| spent.rules += began.elapsed());
    result
}

/// Commits, counted as the database's time. Where the commit is what answers wait for, it is measured as that too.
///
/// # Errors
/// What the store answers.
pub(crate) fn committing(
    store: &dyn Store,
    writer: Box<dyn WriteTx>,
) -> Result<CommitMark, StoreError> {
    let began = Monotonic::now();
    let committed = in_database(|| writer.commit());
    if store.is_durable_at_commit() {
        metrics::histogram!("campanile_storage_commit_seconds")
            .record(began.elapsed().as_secs_f64());
    }
    committed
}

fn add(count: impl FnOnce(&mut Spent)) {
    if let Some(mut spent) = SPENT.get() {
        count(&mut spent);
        SPENT.set(Some(spent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(time: Duration) {
        let began = Monotonic::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn rules_inside_rules_are_counted_once_and_nothing_is_counted_unasked() {
        let step = Duration::from_millis(3);
        in_rules(|| pass(step));
        let (value, spent) = measured(|| {
            in_rules(|| {
                in_rules(|| pass(step));
                in_database(|| pass(step));
            });
            in_database(|| pass(step));
            7
        });
        assert_eq!(value, 7);
        assert!(spent.rules >= step * 2, "{spent:?}");
        assert!(spent.database >= step * 2, "{spent:?}");
        assert!(spent.rules + step <= spent.database + spent.rules, "{spent:?}");
        assert_eq!(measured(|| ()).1, Spent::default());
    }
}
