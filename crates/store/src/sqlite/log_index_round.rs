//! One round of filling the index of the log: read, sort, write in short units.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, params};

use super::claims::{Claims, Readers as _};
use super::log_index::LogIndex;
use super::ranges::Ranges;
use super::readers::Readers;
use super::writer::Writer;
use crate::contract::StoreError;

/// Entries that one unit of the group writer puts in: some milliseconds, so that a fire behind it does not wait long.
const UNIT_ENTRIES: usize = 500;

/// What a round needs.
#[derive(Debug, Clone)]
pub(in crate::sqlite) struct Indexer {
    pub(in crate::sqlite) claims: Arc<Claims>,
    pub(in crate::sqlite) readers: Arc<Readers>,
    pub(in crate::sqlite) writer: Writer,
}

impl Indexer {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system said.
    pub(in crate::sqlite) fn start(&self) -> std::io::Result<JoinHandle<()>> {
        let indexer = self.clone();
        std::thread::Builder::new().name("store-index".to_owned()).spawn(move || {
            while indexer.index().wait_until_due() {
                if let Err(error) = indexer.run_once() {
                    // What waits is found all the same, only slower.
                    tracing::warn!(%error, "finished events could not be indexed, it will be tried again");
                    indexer.index().wait_after_failure();
                }
            }
        })
    }

    /// Lets the thread end; a round under way is broken off.
    pub(in crate::sqlite) fn stop(&self) {
        self.index().stop();
    }

    /// Puts the next rows of the log that are not in the index into it. Returns how many sequences it looked at; 0
    /// when nothing waits, or when the thread is to end.
    ///
    /// # Errors
    /// What SQLite said; then they wait again.
    pub(in crate::sqlite) fn run_once(&self) -> Result<u64, StoreError> {
        let _one_at_a_time = self.index().round.lock();
        let taken = self.index().take();
        if taken.is_empty() {
            return Ok(0);
        }
        match self.round(&taken) {
            Ok(Some(generation)) => {
                self.index().finish(generation);
                Ok(taken.span())
            }
            Ok(None) => {
                self.index().put_back();
                Ok(0)
            }
            Err(error) => {
                self.index().put_back();
                Err(error)
            }
        }
    }

    /// Notes in the database that nothing is missing, if so: the last write before a close.
    ///
    /// # Errors
    /// What SQLite said.
    pub(in crate::sqlite) fn note_complete(&self) -> Result<(), StoreError> {
        if !self.index().is_complete() {
            return Ok(());
        }
        let turn = self.writer.turn()?;
        turn.run("UPDATE sysevent_log_indexing SET complete = 1")?;
        turn.commit()?;
        Ok(())
    }

    fn index(&self) -> &LogIndex {
        self.claims.log_index()
    }

    /// The generation since when `taken` is in the index; none when it was broken off.
    fn round(&self, taken: &Ranges) -> Result<Option<i64>, StoreError> {
        // What is on its way into the log may not be in the snapshot: it waits for the next round.
        for sequence in self.claims.leaving() {
            self.index().note(sequence);
        }
        let mut entries = Vec::new();
        self.readers.with_reader(&mut |connection| {
            entries = read(connection, taken)?;
            Ok(())
        })?;
        entries.sort_unstable();
        let mut noted = self.index().noted();
        while !entries.is_empty() {
            let unit = entries.split_off(entries.len().saturating_sub(UNIT_ENTRIES));
            self.writer.run_and_wait(move |connection| put(connection, &unit), |(), _| {})?;
            if !self.index().rest_while_busy(&mut noted) {
                return Ok(None);
            }
        }
        let claims = Arc::clone(&self.claims);
        let (generation, _) = self.writer.run_and_wait(
            move |connection| advance(connection, claims.log_index().first_waiting()),
            |_, _| {},
        )?;
        Ok(Some(generation))
    }
}

/// Folded instance and sequence of the rows of the log in `taken`, from one snapshot.
fn read(connection: &Connection, taken: &Ranges) -> Result<Vec<(String, i64)>, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut statement = transaction.prepare_cached(
        "SELECT campanile_fold(instance), sequence FROM sysevent_log WHERE sequence BETWEEN ?1 AND ?2 AND instance IS NOT NULL",
    )?;
    let mut entries = Vec::new();
    for (first, last) in taken.iter() {
        let rows = statement.query_map((first, last), |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            entries.push(row?);
        }
    }
    Ok(entries)
}

/// An entry may be there: from before a crash, or from before the event was reprocessed.
fn put(connection: &Connection, entries: &[(String, i64)]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO sysevent_log_instance (instance, sequence) VALUES (?1, ?2)",
    )?;
    for (instance, sequence) in entries {
        insert.execute(params![instance, sequence])?;
    }
    Ok(())
}

/// Counts the round and moves the mark as far as nothing below it can be missing.
fn advance(connection: &Connection, first_waiting: Option<i64>) -> Result<i64, StoreError> {
    let generation = connection
        .prepare_cached(
            "UPDATE sysevent_log_indexing SET generation = generation + 1, low = min( \
             COALESCE((SELECT min(sequence) FROM sysevent_live), ?2), COALESCE(?1, ?2), \
             COALESCE((SELECT max(sequence) + 1 FROM sysevent_log), 0)) RETURNING generation",
        )?
        .query_row((first_waiting, i64::MAX), |row| row.get(0))?;
    Ok(generation)
}
