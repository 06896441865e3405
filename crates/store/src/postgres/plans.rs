//! Beginning a view, and a transaction of the store's own threads (appends, completions, taking over): planned by its
//! indexes, and bounded by what it is, not by what an administrator thought of when he set a limit for people's queries.
//!
//! A table that was analysed while it was empty is planned as a scan, and stays so while it fills: so scans are ruled
//! out. A plan that cannot do without one is then so dear on paper that the server would compile it, which took 300 ms
//! for a statement of 0.1 ms: so compiling is ruled out too.

/// Begins it. It waits for a lock that a stranger holds for ten seconds, as record operations do, and then fails with nothing
/// kept; a limit for statements that was meant for long queries would refuse a large group each time anew. Between two of its
/// statements there is hardly any time: where there is, this program was stopped, and must not hold its rows.
pub(super) const BEGIN_BY_INDEX: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off; SET LOCAL statement_timeout = 0; \
     SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '5s'";

/// The same for all transactions of a connection that is this program's alone, said once instead of each time (eight
/// statements). What is one statement then needs no beginning and no end.
pub(super) const ALWAYS_BY_INDEX: &str = "SET default_transaction_isolation = 'read committed'; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; SET statement_timeout = 0; \
     SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5s'";

/// Said too where all statements are reads of rows by their keys (`row_reads`): each is planned once for all values. For a short
/// list of keys the server thinks a plan of its own cheaper than one for any list, and so made one for each read: 124 µs beside
/// the 59 µs that the read took. Not said to the writer and the completer: of their statements it keeps the plan after five
/// runs by itself.
pub(super) const PLANNED_ONCE: &str = "SET plan_cache_mode = force_generic_plan";

/// Begins a view that stays the same from its first statement on. Who locks a table and stays keeps no more readers waiting
/// than come in ten seconds: their connections are needed for the other tables.
pub(super) const BEGIN_VIEW: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL lock_timeout = '10s'";

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::Admin;
    use crate::testing::TestDatabase;

    #[test]
    fn a_statement_that_needs_a_scan_is_not_compiled_for_it() {
        let database = TestDatabase::create();
        let admin = Admin::open(database.url()).unwrap();
        admin.run(BEGIN_BY_INDEX).unwrap();
        let explained = admin
            .texts("EXPLAIN (ANALYZE) SELECT token FROM campanile_node WHERE gone_at IS NULL")
            .unwrap();
        assert!(explained.iter().any(|line| line.contains("Seq Scan")), "{explained:?}");
        assert!(!explained.iter().any(|line| line.contains("JIT")), "{explained:?}");
    }
}
