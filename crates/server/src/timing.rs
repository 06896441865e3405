//! What a request spends its time on, gathered over all threads that work for it: `Server-Timing` (rest-api §2.4).

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use campanile_engine::spent::Spent;

tokio::task_local! {
    static REQUEST: Cell<Spent>;
}

/// Lets `request` run; what it spent its time on comes with its answer.
pub(crate) async fn of<T>(request: impl Future<Output = T>) -> (T, Spent) {
    REQUEST
        .scope(Cell::default(), async {
            let answer = request.await;
            (answer, REQUEST.with(Cell::get))
        })
        .await
}

/// Adds what a piece of work for the present request spent. Outside a request nothing is kept.
pub(crate) fn add(spent: Spent) {
    let added = REQUEST.try_with(|request| {
        let sum = request.get();
        request
            .set(Spent { database: sum.database + spent.database, rules: sum.rules + spent.rules });
    });
    if added.is_err() {
        tracing::trace!("time was spent outside a request");
    }
}

/// Adds time that the database took.
pub(crate) fn database(took: Duration) {
    add(Spent { database: took, ..Spent::default() });
}

/// A commit was waited for this long until it was on disk.
pub(crate) fn committed(took: Duration) {
    metrics::histogram!("campanile_storage_commit_seconds").record(took.as_secs_f64());
    database(took);
}

/// `db`, `rules` and `total` in milliseconds.
pub(crate) fn header(spent: Spent, total: Duration) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    format!(
        "db;dur={:.1}, rules;dur={:.1}, total;dur={:.1}",
        ms(spent.database),
        ms(spent.rules),
        ms(total)
    )
}
