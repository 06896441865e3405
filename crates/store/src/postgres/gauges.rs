//! Numbers about the store, and what is wrong with it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::distributed::order;
use super::old_snapshots;
use super::store::PostgresStore;
use crate::contract::{Concern, StoreError};

impl PostgresStore {
    /// Numbers for metrics.
    pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let number = |n: usize| n as f64;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let schema = self.schema as f64;
        let (readers, readers_idle) = self.readers.sizes();
        let (writers, writers_idle) = self.writers.sizes();
        let lapses = self.shared.lapses.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let float = |n: u64| n as f64;
        let (claims, claim_micros) = self.claims.asked.so_far();
        let mut numbers = vec![
            ("schema_version", schema),
            ("reader_connections", number(readers)),
            ("reader_connections_busy", number(readers - readers_idle)),
            ("writer_connections", number(writers)),
            ("writer_connections_busy", number(writers - writers_idle)),
            ("completions_waiting", number(self.shared.pending.len())),
            ("claimed_events", number(self.claims.len())),
            ("claims", float(claims)),
            ("claims_seconds", float(claim_micros) / 1e6),
            ("lapses_counted", float(lapses)),
            ("named_statements", number(usize::from(self.shared.address.learned().is_none()))),
            ("hears_other_nodes", number(usize::from(self.shared.of_notices.is_some()))),
        ];
        if let Some(clock) = &self.options.clock {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
            numbers.push(("clock_correction_ms", clock.correction() as f64));
        }
        match self.measured() {
            Ok(more) => numbers.extend(more),
            Err(error) => tracing::debug!(%error, "the database could not be measured"),
        }
        numbers
    }

    /// Numbers that the server knows.
    fn measured(&self) -> Result<Vec<(&'static str, f64)>, StoreError> {
        let connection = self.readers.take()?;
        let row = connection.query_first(
            "SELECT pg_database_size(current_database())::float8, \
             (SELECT count(*) FROM campanile_node WHERE gone_at IS NULL)::float8",
            &[],
        )?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let mut numbers = vec![("database_bytes", row.try_get(0)?), ("nodes", row.try_get(1)?)];
        numbers.extend(old_snapshots::numbers(&connection)?);
        Ok(numbers)
    }

    /// As [`crate::Store::concerns`], of transactions that are older than `old`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    #[doc(hidden)]
    pub fn concerns_about(&self, old: Duration) -> Result<Vec<Concern>, StoreError> {
        let connection = self.readers.take()?;
        old_snapshots::concerns(&connection, old).map_err(|error| self.located(error))
    }

    /// What the database itself cannot rule out, and indexes that it gave up.
    pub(super) fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        let check = || -> Result<Vec<String>, StoreError> {
            let connection = self.readers.take()?;
            let mut problems = Vec::new();
            for row in connection.query(
                "SELECT 'index ' || indexrelid::regclass || ' is not valid' FROM pg_index WHERE NOT indisvalid \
                 UNION ALL SELECT 'event ' || live.sys_id || ' stands in both places' FROM sysevent_live AS live \
                 JOIN sysevent_log AS log ON lower(log.sys_id) = lower(live.sys_id) AND log.\"partition\" = live.\"partition\" \
                 UNION ALL SELECT 'event ' || sys_id || ' is claimed by nobody known' FROM sysevent_live \
                 WHERE claim_token IS NOT NULL AND claim_token NOT IN (SELECT token FROM campanile_node)",
                &[],
            )? {
                problems.push(row.try_get(0)?);
            }
            if let Some(spread) = self.claims.spread() {
                problems.extend(order::problems(&connection, spread)?);
            }
            Ok(problems)
        };
        check().map_err(|error| self.located(error))
    }
}
