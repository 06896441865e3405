//! Asking the database what other programs did, where nothing is heard from it: behind a pool that gives each transaction
//! another connection.
//!
//! Every program counts in the database how often it changed a table of definitions; who asks compares the numbers. Of new
//! events nobody has to be told: the queues that have some stand in the index that claims go by.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio_postgres::Error;

use super::connection::Connection;
use super::distributed::{self, Spread};
use super::plans::BEGIN_BY_INDEX;
use super::text::read;

/// Keys of the numbers begin so, followed by the name of the table.
const CHANGES: &str = "changes of ";

/// The numbers of all tables.
const NUMBERS: &str =
    "SELECT substr(key, length($1) + 1), value FROM campanile_meta WHERE starts_with(key, $1)";

/// The queues with events that are not claimed, one step along the index for each.
const QUEUES: &str = "WITH RECURSIVE waiting AS ( \
     (SELECT queue FROM sysevent_live WHERE state = 'ready' ORDER BY queue LIMIT 1) \
     UNION ALL SELECT (SELECT queue FROM sysevent_live WHERE state = 'ready' AND queue > waiting.queue \
     ORDER BY queue LIMIT 1) FROM waiting WHERE queue IS NOT NULL) \
     SELECT queue FROM waiting WHERE queue IS NOT NULL";

/// What was found at the last look.
#[derive(Debug)]
pub(super) struct Polls {
    numbers: HashMap<String, String>,
    looked: Instant,
}

/// What others did.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Tables whose rows were changed.
    pub(super) tables: Vec<String>,
    /// Queues in which something waits, and in which partition in distributed mode.
    pub(super) queues: Vec<(String, Option<i64>)>,
}

/// Counts a change of each of `tables`.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn note(connection: &Connection, tables: &BTreeSet<String>) -> Result<(), Error> {
    if tables.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = tables.iter().map(|table| format!("{CHANGES}{table}")).collect();
    connection.execute(
        "INSERT INTO campanile_meta AS old (key, value) SELECT key, '1' FROM unnest($1::text[]) AS new (key) \
         ON CONFLICT (key) DO UPDATE SET value = (old.value::bigint + 1)::text",
        &[&keys],
    )?;
    Ok(())
}

impl Polls {
    /// From now on.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn begin(connection: &Connection) -> Result<Self, Error> {
        Ok(Self { numbers: numbers(connection)?, looked: Instant::now() })
    }

    /// What others did since the last look; `None` when that was less than `every` ago. `spread` in distributed mode.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn when_due(
        &mut self,
        connection: &Connection,
        every: Duration,
        spread: Option<&Spread>,
    ) -> Result<Option<Found>, Error> {
        if self.looked.elapsed() < every {
            return Ok(None);
        }
        self.looked = Instant::now();
        let numbers = numbers(connection)?;
        let is_new = |table: &&String| self.numbers.get(*table) != numbers.get(*table);
        let tables = numbers.keys().filter(is_new).cloned().collect();
        self.numbers = numbers;
        Ok(Some(Found { tables, queues: queues(connection, spread)? }))
    }
}

fn numbers(connection: &Connection) -> Result<HashMap<String, String>, Error> {
    let rows = connection.query(NUMBERS, &[&CHANGES])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn queues(
    connection: &Connection,
    spread: Option<&Spread>,
) -> Result<Vec<(String, Option<i64>)>, Error> {
    let look = || {
        connection.batch(BEGIN_BY_INDEX)?;
        if let Some(spread) = spread {
            return distributed::claims::waiting_queues(connection, spread);
        }
        let rows = connection.query(QUEUES, &[])?;
        rows.iter().map(|row| Ok((read(row.try_get(0)?).into_owned(), None))).collect()
    };
    let found = look();
    connection.batch("ROLLBACK")?;
    found
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::Admin;
    use crate::testing::TestDatabase;

    #[test]
    fn queues_with_waiting_events_are_found_along_the_index_of_claims() {
        let database = TestDatabase::create();
        let admin = Admin::open(database.url()).unwrap();
        admin.run("ANALYZE sysevent_live").unwrap();
        admin
            .run(
                "INSERT INTO sysevent_live (sys_id, state, claim_token, queue, derived_priority, process_on, \
                 sys_created_on, name, \"partition\", depth, source, queue_from_call, registered, scheduled, \
                 max_attempts, coalesce_seconds) SELECT 'e' || n, CASE WHEN n % 3 = 0 THEN 'queued' ELSE 'ready' END, \
                 CASE WHEN n % 3 = 0 THEN 7 END, 'q' || n % 3, 100, 0, 0, 'n', 0, 0, 'api', false, false, false, 1, 0 \
                 FROM generate_series(1, 3000) AS made (n)",
            )
            .unwrap();
        admin.run(BEGIN_BY_INDEX).unwrap();
        assert_eq!(admin.texts(QUEUES).unwrap(), ["q1", "q2"]);
        let plan = admin.texts(&format!("EXPLAIN {QUEUES}")).unwrap().join("\n");
        assert!(plan.contains("sysevent_live_claim"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    }
}
