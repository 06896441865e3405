//! Beginning a transaction whose statements are planned by their indexes, whatever the server believes of the tables.
//!
//! A table that was analysed while it was empty is planned as a scan, and stays so while it fills: so scans are ruled
//! out. A plan that cannot do without one is then so dear on paper that the server would compile it, which took 300 ms
//! for a statement of 0.1 ms: so compiling is ruled out too.

/// Begins it.
pub(super) const BEGIN_BY_INDEX: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off";

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
