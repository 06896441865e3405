//! The store itself: opening, closing, numbers about it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::checkpoint::Checkpoints;
use super::connection::{self, Role};
use super::event_store::Events;
use super::events::show_claims;
use super::failure::{io_failure, located};
use super::load::unfinished;
use super::lock::FolderLock;
use super::log_index_round::Indexer;
use super::readers::Readers;
use super::row_cache::RowCache;
use super::sync::Durability;
use super::writer::{Parts, Writer};
use crate::contract::{EventStore, StoreError};
use crate::migrate::migrate_sqlite;

/// Name of the database file inside the data folder.
pub(in crate::sqlite) const DATABASE_FILE: &str = "campanile.db";

/// Finished events that a close still puts into their index: some tenths of a second.
const INDEXED_AT_CLOSE_MAX: u64 = 20_000;

/// How to open.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The data folder; made when it is missing.
    pub folder: PathBuf,
    /// How long an operation waits for its turn with the writer.
    pub patience: Duration,
    /// The database may not grow beyond this many pages of 4 KiB; `None` for no bound but the disk.
    pub pages_max: Option<u32>,
}

impl SqliteOptions {
    /// The usual settings for `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        // Longer than any operation may hold the writer (`campanile.script.max_writer_ms` is 5,000).
        Self { folder: folder.into(), patience: Duration::from_secs(10), pages_max: None }
    }
}

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    file: PathBuf,
    /// The newest migration of the database.
    pub(in crate::sqlite) schema: i64,
    log_file: PathBuf,
    pub(in crate::sqlite) writer: Writer,
    pub(in crate::sqlite) readers: Arc<Readers>,
    pub(in crate::sqlite) rows: Arc<RowCache>,
    pub(in crate::sqlite) durability: Arc<Durability>,
    pub(in crate::sqlite) events: Arc<Events>,
    checkpoints: Arc<Checkpoints>,
    indexer: Indexer,
    /// Emptied by [`SqliteStore::close_all`]. The lock goes last.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    writer: JoinHandle<()>,
    sync: JoinHandle<()>,
    checkpoint: JoinHandle<()>,
    index: JoinHandle<()>,
    _lock: FolderLock,
}

impl SqliteStore {
    /// Opens the store in `options.folder`, making the folder and the database when they are missing, and bringing
    /// the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process serves the folder; [`StoreError::NewerSchema`];
    /// [`StoreError::Unavailable`] when a file cannot be opened or written.
    pub fn open(options: &SqliteOptions) -> Result<Arc<Self>, StoreError> {
        let folder = &options.folder;
        fs::create_dir_all(folder).map_err(|e| io_failure(&e, folder))?;
        let lock = FolderLock::take(folder)?;
        let file = folder.join(DATABASE_FILE);
        let log_file = folder.join(format!("{DATABASE_FILE}-wal"));
        let at_file = |e: rusqlite::Error| located(e.into(), &file);

        let mut connection = connection::open(&file, Role::Writer).map_err(at_file)?;
        let schema = migrate_sqlite(&mut connection, &file).map_err(|e| located(e, &file))?;
        if let Some(source_place) = unfinished(&connection).map_err(|e| located(e, &file))? {
            let place = file.display().to_string();
            return Err(StoreError::UnfinishedCopy { place, source_place });
        }
        if let Some(pages) = options.pages_max {
            connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .map_err(at_file)?;
        }
        let checkpoints = Arc::new(Checkpoints::default());
        checkpoints.watch(&mut connection).map_err(at_file)?;

        let events = Events::open(&connection, folder).map_err(|e| located(e, &file))?;
        show_claims(&connection, &events.claims).map_err(|e| located(e, &file))?;

        let durability = Durability::new(&log_file);
        let log = open_log(&connection, &log_file)?;
        sync_folder(folder)?;
        let at_folder = |e: std::io::Error| io_failure(&e, folder);
        let sync = durability.start(log).map_err(at_folder)?;
        let writer = Writer::new(Parts {
            connection,
            durability: Arc::clone(&durability),
            checkpoints: Arc::clone(&checkpoints),
            file: file.clone(),
            patience: options.patience,
        });
        let nudged = writer.clone();
        let mover = connection::open(&file, Role::Checkpointer).map_err(at_file)?;
        let readers = Arc::new(Readers::new(file.clone(), Arc::clone(&events.claims)));
        let indexer = Indexer {
            claims: Arc::clone(&events.claims),
            readers: Arc::clone(&readers),
            writer: writer.clone(),
        };
        let running = Running {
            writer: writer.start().map_err(at_folder)?,
            sync,
            checkpoint: checkpoints.start(mover, move || nudged.nudge()).map_err(at_folder)?,
            index: indexer.start().map_err(at_folder)?,
            _lock: lock,
        };
        Ok(Arc::new(Self {
            readers,
            schema,
            rows: Arc::default(),
            events,
            indexer,
            file,
            log_file,
            writer,
            durability,
            checkpoints,
            running: Mutex::new(Some(running)),
        }))
    }

    /// Stops the threads in the order in which they need each other, and lets the folder go.
    pub(in crate::sqlite) fn close_all(&self) -> Result<(), StoreError> {
        let Some(running) = self.running.lock().take() else { return Ok(()) };
        let flushed = self.flush();
        if let Err(error) = &flushed {
            tracing::error!(%error, "completed events could not be written: they will be handled again");
        }
        self.finish_indexing(flushed.is_ok());
        join(running.index);
        self.writer.stop();
        join(running.writer);
        // Now nothing more enters the log.
        if let Err(error) = self.indexer.note_complete() {
            tracing::warn!(%error, "the next start looks for finished events that are not indexed");
        }
        self.checkpoints.stop();
        join(running.checkpoint);
        self.durability.stop();
        join(running.sync);
        self.readers.close();
        self.rows.forget_all();
        // The last connection moves the log into the database file and removes it: nobody waits for it any more.
        let closed = self.writer.close();
        match self.durability.failure() {
            Some(error) => Err(error),
            None => {
                closed?;
                self.events.forget_handling().map_err(|e| io_failure(&e, &self.file))
            }
        }
    }

    /// Puts every finished event into the index on its record now, instead of when the house is quiet. Searches find
    /// them either way.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn index_finished(&self) -> Result<(), StoreError> {
        while self.indexer.run_once().map_err(|e| self.located(e))? > 0 {}
        Ok(())
    }

    /// Before a close: a little that is missing is put in, so that the next opening has nothing to look for. Not when
    /// completions could not be written: what is on its way into the log would be looked for without end.
    fn finish_indexing(&self, is_written: bool) {
        let few = self.events.claims.log_index().span_missing() <= INDEXED_AT_CLOSE_MAX;
        let outcome = if is_written && few { self.index_finished() } else { Ok(()) };
        self.indexer.stop();
        if let Err(error) = outcome {
            tracing::warn!(%error, "finished events could not be indexed; the next start goes on with it");
        }
    }

    /// The database file.
    pub(in crate::sqlite) fn file(&self) -> &Path {
        &self.file
    }

    /// The same error with the file's name.
    pub(in crate::sqlite) fn located(&self, error: StoreError) -> StoreError {
        located(error, &self.file)
    }

    /// Numbers for metrics.
    pub(in crate::sqlite) fn numbers(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let number = |n: u64| n as f64;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let schema = self.schema as f64;
        let bytes = |path: &Path| number(fs::metadata(path).map_or(0, |m| m.len()));
        let measured = self.writer.measured();
        let (syncs, last_sync_ms) = self.durability.measured();
        let millis = |us: u64| number(us) / 1000.0;
        let mut numbers = vec![
            ("schema_version", schema),
            ("database_bytes", bytes(&self.file)),
            ("wal_bytes", bytes(&self.log_file)),
            ("wal_pages_to_move", number(self.checkpoints.pages_to_move())),
            ("syncs", number(syncs)),
            ("last_sync_ms", last_sync_ms),
            ("writer_groups", number(measured.groups.load(Ordering::Relaxed))),
            ("writer_units", number(measured.units.load(Ordering::Relaxed))),
            ("writer_operations", number(measured.operations.load(Ordering::Relaxed))),
            ("writer_hold_ms", millis(measured.operation_hold_us.load(Ordering::Relaxed))),
            ("writer_hold_max_ms", millis(measured.operation_hold_us_max.load(Ordering::Relaxed))),
        ];
        numbers.extend(self.events.numbers());
        // Unknown (a file system that does not tell) is no number: nobody must take it for a full disk.
        numbers.extend(free_ratio(&self.file).map(|ratio| ("disk_free_ratio", ratio)));
        numbers
    }

    /// The database's own check.
    pub(in crate::sqlite) fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.readers.take()?;
        let lines = (|| -> Result<Vec<String>, rusqlite::Error> {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })();
        self.readers.give_back(connection);
        let lines = lines.map_err(|e| located(e.into(), &self.file))?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Err(error) = self.close_all() {
            tracing::error!(%error, "the store was not closed cleanly");
        }
    }
}

/// The log file by a descriptor of our own, to sync it. (The database file must never be opened like that: closing
/// any descriptor of it drops SQLite's locks. The log file is not locked.)
fn open_log(connection: &rusqlite::Connection, log_file: &Path) -> Result<File, StoreError> {
    // A first read makes SQLite create the log file.
    connection
        .query_row("SELECT count(*) FROM campanile_meta", [], |_| Ok(()))
        .map_err(|e| located(e.into(), log_file))?;
    File::open(log_file).map_err(|e| io_failure(&e, log_file))
}

/// The part of the file system under `file` that is free for this process, from 0 to 1.
fn free_ratio(file: &Path) -> Option<f64> {
    match rustix::fs::statvfs(file) {
        Ok(space) if space.f_blocks > 0 =>
        {
            #[expect(clippy::cast_precision_loss, reason = "a ratio of block counts")]
            Some(space.f_bavail as f64 / space.f_blocks as f64)
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the free space could not be read");
            None
        }
    }
}

/// Makes the names of new files durable.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io_failure(&e, folder))
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}
