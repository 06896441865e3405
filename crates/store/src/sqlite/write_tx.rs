//! A write transaction: an operation's turn with the write connection.

use std::any::Any;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Dictionary, FieldIndex, Instant, NewEvent, Record, TableDef};
use rusqlite::{Connection, ErrorCode};

use super::actions;
use super::answers;
use super::ddl;
use super::effects::EventEffects;
use super::event_store::Events;
use super::marks;
use super::move_kind::{Kind, move_all};
use super::order;
use super::row_cache::Writes;
use super::rows;
use super::store::SqliteStore;
use super::turn::Turn;
use crate::contract::{
    AppendOutcome, CommitMark, EventAction, KeptAnswer, QueueRule, ReadTx, SavepointId, Select,
    StoreError, WriteTx,
};
use crate::sql::{self, Dialect, Statement};

/// Reads and writes in one transaction; sees its own writes.
#[derive(Debug)]
pub(in crate::sqlite) struct SqliteWriteTx {
    store: Arc<SqliteStore>,
    turn: Turn,
    writes: Writes,
    savepoints: Vec<Savepoint>,
    savepoints_made: u32,
}

/// An open savepoint: its number, and what came before it.
#[derive(Debug, Clone, Copy)]
struct Savepoint {
    number: u32,
    hooks: usize,
    writes: usize,
}

impl SqliteWriteTx {
    pub(in crate::sqlite) fn begin(store: Arc<SqliteStore>) -> Result<Self, StoreError> {
        let turn = store.writer.turn()?;
        let writes = Writes::default();
        Ok(Self { store, turn, writes, savepoints: Vec::new(), savepoints_made: 0 })
    }

    /// Does `work` on events as a whole or not at all, and lets its effects on the queues follow the commit.
    fn on_events<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Events) -> Result<(T, EventEffects), StoreError>,
    ) -> Result<T, StoreError> {
        self.turn.run("SAVEPOINT events")?;
        let connection = self.turn.connection()?;
        match work(connection, &self.store.events) {
            Ok((value, effects)) => {
                self.turn.run("RELEASE events")?;
                self.turn.after_commit(Box::new(move |_| effects.carry_out()));
                Ok(value)
            }
            Err(error) => {
                // A full disk may have ended the whole transaction already.
                if !connection.is_autocommit() {
                    self.turn.run("ROLLBACK TO events")?;
                    self.turn.run("RELEASE events")?;
                }
                Err(self.turn.located(error))
            }
        }
    }

    /// Runs a statement that writes `record`'s values.
    fn write(&self, record: &Record, statement: &Statement) -> Result<usize, StoreError> {
        rows::execute(self.turn.connection()?, statement).map_err(|error| {
            duplicate(record, &error).unwrap_or_else(|| self.turn.located(error.into()))
        })
    }

    /// Takes `savepoint` and all that were made after it off the list.
    fn end_savepoint(&mut self, savepoint: SavepointId) -> Result<Savepoint, StoreError> {
        let found = self.savepoints.iter().position(|open| open.number == savepoint.0);
        let Some(at) = found else {
            return Err(StoreError::Statement {
                reason: format!("savepoint {} has already ended", savepoint.0),
            });
        };
        let ended = self.savepoints[at];
        self.savepoints.truncate(at);
        Ok(ended)
    }
}

/// The error as [`StoreError::Duplicate`], if that is what it is. SQLite says
/// `UNIQUE constraint failed: table.column`.
fn duplicate(record: &Record, error: &rusqlite::Error) -> Option<StoreError> {
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return None;
    }
    let text = error.to_string();
    let column = text.split_once("UNIQUE constraint failed: ")?.1.rsplit('.').next()?.trim();
    let table = record.table();
    let field = table.fields.iter().find(|field| &*field.column == column)?;
    Some(StoreError::Duplicate {
        table: table.name.to_string(),
        field: field.name.to_string(),
        value: record.text(&field.name).to_owned(),
    })
}

impl ReadTx for SqliteWriteTx {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        let connection = self.turn.connection()?;
        if self.writes.contain(table, sys_id) {
            return rows::get(connection, table, sys_id).map_err(|e| self.turn.located(e));
        }
        // Nobody commits while the writer is held: what was committed is what this transaction sees.
        let moment = match self.store.rows.get(table, sys_id) {
            Ok(known) => return Ok(Some(known)),
            Err(moment) => moment,
        };
        let found = rows::get(connection, table, sys_id).map_err(|e| self.turn.located(e))?;
        if let Some(record) = &found {
            self.store.rows.note(moment, sys_id, record);
        }
        Ok(found)
    }

    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError> {
        rows::select(self.turn.connection()?, select).map_err(|e| self.turn.located(e))
    }

    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError> {
        rows::count(self.turn.connection()?, query).map_err(|e| self.turn.located(e))
    }

    fn kept_answer(
        &self,
        key: &str,
        content_hash: u64,
        forgotten: Instant,
    ) -> Result<Option<String>, StoreError> {
        answers::kept(self.turn.connection()?, key, content_hash, forgotten)
            .map_err(|e| self.turn.located(e))
    }
}

impl WriteTx for SqliteWriteTx {
    fn as_read(&self) -> &dyn ReadTx {
        self
    }

    fn insert(&mut self, record: &Record) -> Result<(), StoreError> {
        self.write(record, &sql::insert(Dialect::Sqlite, record)?)?;
        self.writes.replaced(record.table(), record.text("sys_id"));
        Ok(())
    }

    fn update(&mut self, record: &Record, changed: &[FieldIndex]) -> Result<bool, StoreError> {
        match sql::update(Dialect::Sqlite, record, changed)? {
            Some(statement) => {
                let is_there = self.write(record, &statement)? > 0;
                if is_there {
                    self.writes.updated(record, changed);
                }
                Ok(is_there)
            }
            None => Ok(self.get(record.table(), record.text("sys_id"))?.is_some()),
        }
    }

    fn delete(&mut self, table: &Arc<TableDef>, sys_id: &str) -> Result<bool, StoreError> {
        self.writes.replaced(table, sys_id);
        let deleted =
            rows::execute(self.turn.connection()?, &sql::delete(Dialect::Sqlite, table, sys_id))
                .map_err(|e| self.turn.located(e.into()))?;
        Ok(deleted > 0)
    }

    fn append_events(&mut self, events: &[NewEvent]) -> Result<Vec<AppendOutcome>, StoreError> {
        self.on_events(|connection, store| store.append(connection, events))
    }

    fn act_on_event(&mut self, action: &EventAction) -> Result<(), StoreError> {
        self.on_events(|connection, store| {
            let mut effects = EventEffects::new(&store.claims);
            actions::act(connection, action, &mut effects)?;
            Ok(((), effects))
        })
    }

    fn move_kind(&mut self, name: &str, to_queue: &str, after: i64) -> Result<u64, StoreError> {
        let kind = Kind { name: Arc::from(name), to_queue: Arc::from(to_queue) };
        self.on_events(|connection, store| {
            let mut effects = EventEffects::new(&store.claims);
            let moved = move_all(connection, &kind, after, &mut effects)?;
            Ok((moved, effects))
        })
    }

    fn set_queue_order(&mut self, queue: &str, rule: Option<QueueRule>) -> Result<(), StoreError> {
        self.on_events(|connection, store| {
            let mut effects = EventEffects::new(&store.claims);
            order::set(connection, queue, rule, &mut effects)?;
            Ok(((), effects))
        })
    }

    fn ensure_tables(
        &mut self,
        dictionary: &Dictionary,
        tables: &[Arc<TableDef>],
    ) -> Result<(), StoreError> {
        ddl::ensure_tables(self.turn.connection()?, dictionary, tables)
            .map_err(|e| self.turn.located(e))
    }

    fn drop_unused(&mut self, dictionary: &Dictionary, gone: &TableDef) -> Result<(), StoreError> {
        ddl::drop_unused(self.turn.connection()?, dictionary, gone)
            .map_err(|e| self.turn.located(e))
    }

    fn meta_get(&self, key: &str) -> Result<Option<String>, StoreError> {
        marks::get(self.turn.connection()?, key).map_err(|e| self.turn.located(e))
    }

    fn meta_set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        marks::set(self.turn.connection()?, key, value).map_err(|e| self.turn.located(e))
    }

    fn savepoint(&mut self) -> Result<SavepointId, StoreError> {
        self.savepoints_made += 1;
        let number = self.savepoints_made;
        self.turn.run(&format!("SAVEPOINT {}", name(self.savepoints.len())))?;
        let (hooks, writes) = (self.turn.hooks(), self.writes.mark());
        self.savepoints.push(Savepoint { number, hooks, writes });
        Ok(SavepointId(number))
    }

    fn rollback_to(&mut self, savepoint: SavepointId) -> Result<(), StoreError> {
        let before = self.end_savepoint(savepoint)?;
        let name = name(self.savepoints.len());
        self.turn.run(&format!("ROLLBACK TO {name}"))?;
        self.turn.run(&format!("RELEASE {name}"))?;
        self.turn.forget_hooks_after(before.hooks);
        self.writes.undo_after(before.writes);
        Ok(())
    }

    fn release(&mut self, savepoint: SavepointId) -> Result<(), StoreError> {
        self.end_savepoint(savepoint)?;
        self.turn.run(&format!("RELEASE {}", name(self.savepoints.len())))
    }

    fn keep_answer(&mut self, answer: &KeptAnswer) -> Result<(), StoreError> {
        answers::keep(self.turn.connection()?, answer).map_err(|e| self.turn.located(e))
    }

    fn commit(mut self: Box<Self>) -> Result<CommitMark, StoreError> {
        if !self.writes.is_empty() {
            let committing = self.store.rows.begin_commit(std::mem::take(&mut self.writes));
            self.turn.first_after_commit(Box::new(move |_| committing.done()));
        }
        self.turn.commit()
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The name of a savepoint by its depth, so that few statements are prepared.
fn name(depth: usize) -> String {
    format!("s{depth}")
}
