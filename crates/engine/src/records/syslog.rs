//! The system log: rows of `syslog`, written in batches by a thread of its own.
//!
//! A line is never part of the operation that wrote it: an operation that is rolled back keeps its lines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use campanile_model::{Instant, Record, SysId, TableDef, Value};
use campanile_store::{Store, StoreError};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::seed;
use crate::worker::spawn_named;

/// Lines that may wait for the writer; further ones are counted and dropped, because a thread that holds the
/// database's writer must never wait for a log line.
const WAITING_MAX: usize = 20_000;
/// Lines of one transaction.
const BATCH_MAX: usize = 1_000;
/// How often a batch is tried when the database is busy or full.
const TRIES_MAX: usize = 3;

/// Level of a line as `syslog.level` has it (scripting §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// −1
    Debug,
    /// 0
    Info,
    /// 1
    Warning,
    /// 2
    Error,
}

impl Level {
    /// The stored number.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Debug => -1,
            Self::Info => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }

    /// The level that a word of `campanile.log.level` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warning" | "warn" => Some(Self::Warning),
            "error" => Some(Self::Error),
            _ => None,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Level.
    pub level: Level,
    /// Text.
    pub message: String,
    /// Where it comes from; scripts that give none have `*** Script`.
    pub source: String,
    /// Login of the acting user.
    pub user_name: String,
    /// Table of the row that holds the script; empty when none.
    pub script_table: String,
    /// sys_id of that row.
    pub script_sys_id: String,
    /// The execution, to find lines that belong together.
    pub execution_id: String,
}

impl LogEntry {
    /// A line of the product itself.
    #[must_use]
    pub fn of_product(level: Level, source: &str, message: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            source: source.to_owned(),
            user_name: "system".to_owned(),
            script_table: String::new(),
            script_sys_id: String::new(),
            execution_id: String::new(),
        }
    }
}

/// Adds a line. Never blocks and never fails; it becomes visible a moment later ([`SystemLog::flush`]).
pub fn write(engine: &Engine, entry: LogEntry) {
    engine.system_log.write(engine.clock().now(), entry);
}

/// Returns when every line that was added before is visible. The caller must not hold the database's writer.
pub fn flush(engine: &Engine) {
    engine.system_log.flush();
}

enum Message {
    Line(Instant, LogEntry),
    Flush(SyncSender<()>),
    Stop,
}

/// The lines that wait, and the thread that writes them.
pub struct SystemLog {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for SystemLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemLog")
    }
}

impl SystemLog {
    /// A log that writes to `store`; its thread starts at once.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the machine gives no thread.
    pub fn start(store: Arc<dyn Store>) -> Result<Self, EngineError> {
        let table = seed::system_table("syslog")?;
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { store, table, receiver, dropped: Arc::clone(&dropped) };
        let thread = spawn_named("syslog", None, move || writer.run()).map_err(|error| {
            EngineError::Unavailable(format!("the log's thread did not start: {error}"))
        })?;
        Ok(Self { sender, dropped, thread: Mutex::new(Some(thread)) })
    }

    fn write(&self, at: Instant, entry: LogEntry) {
        match self.sender.try_send(Message::Line(at, entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns when every line that was added before is visible. The caller must not hold the database's writer.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_err() || wait.recv().is_err() {
            tracing::debug!("the log's thread has ended: there is nothing left to wait for");
        }
    }

    /// Writes what waits and ends the thread. Later lines are dropped.
    pub fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        if self.sender.send(Message::Stop).is_ok() && thread.join().is_err() {
            tracing::error!("the log's thread panicked");
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    table: Arc<TableDef>,
    receiver: Receiver<Message>,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    fn run(self) {
        let mut stopping = false;
        while !stopping {
            let Ok(first) = self.receiver.recv() else { return };
            let mut rows = Vec::new();
            let mut waiting = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(at, entry) => rows.push(self.row(at, &entry)),
                    Message::Flush(done) => waiting.push(done),
                    Message::Stop => stopping = true,
                }
                let room = rows.len() < BATCH_MAX && !stopping;
                next = if room { self.receiver.try_recv().ok() } else { None };
            }
            self.note_dropped(&mut rows);
            self.write_patiently(&rows);
            for done in waiting {
                if done.send(()).is_err() {
                    tracing::debug!("whoever asked for the log to be written has gone");
                }
            }
        }
    }

    fn row(&self, at: Instant, entry: &LogEntry) -> Record {
        let mut row = Record::empty(Arc::clone(&self.table));
        let at_text = at.to_glide_text();
        row.set("sys_id", SysId::generate(at).as_str());
        row.set("sys_created_on", at_text.as_str());
        row.set("sys_created_by", entry.user_name.as_str());
        row.set("sys_updated_on", at_text);
        row.set("sys_updated_by", entry.user_name.as_str());
        row.set("sys_mod_count", Value::int(0));
        row.set("level", Value::int(entry.level.number()));
        row.set("message", entry.message.as_str());
        row.set("source", entry.source.as_str());
        row.set("script_table", entry.script_table.as_str());
        row.set("script_sys_id", entry.script_sys_id.as_str());
        row.set("execution_id", entry.execution_id.as_str());
        row
    }

    fn note_dropped(&self, rows: &mut Vec<Record>) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if let (true, Some(last)) = (dropped > 0, rows.last()) {
            let at = Instant::parse_glide_text(last.text("sys_created_on")).unwrap_or_default();
            let text = format!("{dropped} log lines were dropped: more came than could be written");
            rows.push(self.row(at, &LogEntry::of_product(Level::Warning, "syslog", text)));
        }
    }

    fn write_patiently(&self, rows: &[Record]) {
        for attempt in 1..=TRIES_MAX {
            match self.write_once(rows) {
                Ok(()) => return,
                Err(error) if attempt == TRIES_MAX => {
                    tracing::error!(%error, lines = rows.len(), "log lines could not be written");
                }
                Err(_) => {}
            }
        }
    }

    fn write_once(&self, rows: &[Record]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = Arc::clone(&self.store).write()?;
        for row in rows {
            tx.insert(row)?;
        }
        tx.commit().map(drop)
    }
}
