//! The limit of an append: SQLite itself, inserting the same columns with the same indexes, by one caller.

use std::path::Path;

use rusqlite::{Connection, params};

use super::took::{Took, timed};
use crate::output::Failure;

const COLUMNS: &str = "sequence, sys_id, queue, derived_priority, process_on, sys_created_on, name, \"table\", instance, \
     parm1, parm2, user_name, uri, \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, \
     coalesce_seconds";

/// A database with the table of waiting events and nothing else.
#[derive(Debug)]
pub(super) struct RawTable {
    connection: Connection,
    inserted: i64,
}

impl RawTable {
    /// Makes `file` with the table and indexes as the database in `like` has them, write-ahead log and a sync at
    /// each commit.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn make(file: &Path, like: &Path) -> Result<Self, Failure> {
        Self::open(file, like).map_err(|error| Failure::failed(format!("raw inserts: {error}")))
    }

    fn open(file: &Path, like: &Path) -> rusqlite::Result<Self> {
        let model = Connection::open(like)?;
        let mut statement = model.prepare(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'sysevent_live' AND sql IS NOT NULL",
        )?;
        let made: Vec<String> =
            statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let connection = Connection::open(file)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        for sql in made {
            connection.execute(&sql, [])?;
        }
        Ok(Self { connection, inserted: 0 })
    }

    /// Inserts `count` rows, `batch` a transaction.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn insert(&mut self, count: usize, batch: usize) -> Result<Took, Failure> {
        let (took, ()) = timed(|| self.transactions(count, batch))
            .map_err(|error| Failure::failed(format!("raw inserts: {error}")))?;
        Ok(took)
    }

    fn transactions(&mut self, count: usize, batch: usize) -> rusqlite::Result<()> {
        let marks: Vec<String> = (1..=21).map(|n| format!("?{n}")).collect();
        let sql = format!("INSERT INTO sysevent_live ({COLUMNS}) VALUES ({})", marks.join(", "));
        for _ in 0..count / batch {
            let tx = self.connection.transaction()?;
            {
                let mut insert = tx.prepare_cached(&sql)?;
                for _ in 0..batch {
                    self.inserted += 1;
                    let n = self.inserted;
                    let now = 1_700_000_000_000 + n;
                    insert.execute(params![
                        n,
                        format!("0190{n:028x}"),
                        "",
                        100.0,
                        now,
                        now,
                        "bench.fired",
                        "u_bench_task",
                        super::house::task(usize::try_from(n).unwrap_or(0)),
                        format!("{n:032x}"),
                        "fred.luddy",
                        "system",
                        "/api/events",
                        n % 16,
                        0,
                        "api",
                        false,
                        true,
                        false,
                        0,
                        0,
                    ])?;
                }
            }
            tx.commit()?;
        }
        Ok(())
    }
}
