//! What the server counts about the tables of events: scans, pages, dead rows, sizes.

use super::server::Bare;
use crate::output::Failure;

/// Tables that hold events and runs; of a partitioned one the parts count.
const EVENTS: &str = "relname ~ '^sysevent_(live|log|run)'";

/// Tables of what waits.
const LIVE: &str = "relname ~ '^sysevent_live'";

/// What was read since the tables were made, as far as the connections have handed it in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    /// Times that a table of events was read from its beginning to its end.
    pub(super) scans: f64,
    /// Pages of the live table and its indexes that were looked at.
    pub(super) live_pages: f64,
    /// Pages of the log, the runs and their indexes.
    pub(super) log_pages: f64,
}

impl Reads {
    /// Until now.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn now(bare: &Bare) -> Result<Self, Failure> {
        let pages = |which: &str| {
            bare.number(&format!(
                "SELECT sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) \
                 + coalesce(idx_blks_hit, 0))::float8 FROM pg_statio_user_tables WHERE {which}"
            ))
        };
        let live_pages = pages(LIVE)?;
        Ok(Self {
            scans: bare.number(&format!(
                "SELECT sum(seq_scan)::float8 FROM pg_stat_user_tables WHERE {EVENTS}"
            ))?,
            live_pages,
            log_pages: pages(EVENTS)? - live_pages,
        })
    }

    /// What was read since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            scans: self.scans - earlier.scans,
            live_pages: self.live_pages - earlier.live_pages,
            log_pages: self.log_pages - earlier.log_pages,
        }
    }
}

/// Dead rows of what waits, as the server counts them.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn dead_rows(bare: &Bare) -> Result<f64, Failure> {
    bare.number(&format!("SELECT sum(n_dead_tup)::float8 FROM pg_stat_user_tables WHERE {LIVE}"))
}

/// Size of what waits with its indexes, in 2^20 bytes.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn live_megabytes(bare: &Bare) -> Result<f64, Failure> {
    bare.number(&format!(
        "SELECT (sum(pg_total_relation_size(relid)) / 1048576.0)::float8 FROM pg_stat_user_tables WHERE {LIVE}"
    ))
}
