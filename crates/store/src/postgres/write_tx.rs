//! A write transaction on a connection of its own.
//!
//! Differs because many write at once: what SQLite has by one writer, locks give here. A row that was read to be
//! changed belongs to this transaction until it ends, and so does a key of the small table of marks.

use std::any::Any;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Dictionary, FieldIndex, Instant, NewEvent, Record, SysId, TableDef};

use super::actions;
use super::ahead::Written;
use super::answers;
use super::append;
use super::connection::Connection;
use super::ddl;
use super::distributed;
use super::effects::Effects;
use super::failure::{broken_uniqueness, taken_for_dead};
use super::fate::{self, Mark};
use super::held::{Held, Standing};
use super::let_go::{LetGo, let_go};
use super::marks;
use super::move_kind;
use super::order;
use super::pool::Lent;
use super::rows;
use super::store::PostgresStore;
use super::text::stored;
use super::turns::{self, Arriving};
use crate::contract::{
    AppendOutcome, CommitMark, EventAction, KeptAnswer, QueueRule, ReadTx, SavepointId, Select,
    StoreError, WriteTx,
};
use crate::sql::{self, Dialect, Part, Statement};

/// Reads and writes in one transaction; sees its own writes.
#[derive(Debug)]
pub(super) struct PostgresWriteTx {
    store: Arc<PostgresStore>,
    connection: Lent,
    mark: Mark,
    /// What waits for the commit.
    effects: Vec<Effects>,
    /// For each open savepoint, its number, and the effects and what was let go of before it.
    savepoints: Vec<(u32, usize, usize)>,
    savepoints_made: u32,
    /// What this program knows of the order of queues may be of this transaction.
    sets_order: bool,
    /// Rows that it wrote, or may have.
    written: Written,
    /// Events that waited for a processor of this program and are to wait for any from here on.
    let_go: LetGo,
    /// It was committed, or the connection is lost.
    has_ended: bool,
}

impl PostgresWriteTx {
    pub(super) fn begin(store: Arc<PostgresStore>) -> Result<Self, StoreError> {
        Self::begin_and_read(store, "").map(|(tx, _)| tx)
    }

    /// As [`PostgresWriteTx::begin`], for what a handler of `event` does. While it lasts nobody takes the event over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the event is another's by now.
    pub(super) fn begin_for(store: Arc<PostgresStore>, event: &SysId) -> Result<Self, StoreError> {
        let standing = store.claims.standing(event.as_str());
        let (Standing::Claimed, Some(Held { sequence, token, .. })) =
            (standing, store.claims.held(event))
        else {
            let is_lost = standing == Standing::Lost;
            return if is_lost { Err(store.located(taken_for_dead())) } else { Self::begin(store) };
        };
        if store.claims.spread().is_some() {
            let tx = Self::begin(store)?;
            let claims = &tx.store.claims;
            let causes = [event.as_str().to_ascii_lowercase()];
            let held =
                tx.on(|connection| distributed::append::hold(connection, claims, &causes, token))?;
            return if held.is_empty() { Err(tx.store.located(taken_for_dead())) } else { Ok(tx) };
        }
        // In the same message as the beginning. The numbers are our own.
        let own = format!(
            ", (SELECT count(*) FROM (SELECT FROM sysevent_live WHERE sequence = {sequence} \
             AND claim_token = {token} FOR KEY SHARE) AS own)::text"
        );
        match Self::begin_and_read(store, &own)? {
            (tx, Some(own)) if own == "1" => Ok(tx),
            (tx, _) => Err(tx.store.located(taken_for_dead())),
        }
    }

    /// Begins, and reads `more` columns behind those of the mark; returns the first of them.
    fn begin_and_read(
        store: Arc<PostgresStore>,
        more: &str,
    ) -> Result<(Self, Option<String>), StoreError> {
        let connection = store.writers.take()?;
        let patience = store.patience().as_millis();
        let silence = store.silence_max().as_millis();
        // From here on whatever fails rolls back.
        let mut tx = Self {
            store,
            connection,
            mark: Mark::default(),
            effects: Vec::new(),
            savepoints: Vec::new(),
            savepoints_made: 0,
            sets_order: false,
            written: Written::default(),
            let_go: LetGo::default(),
            has_ended: false,
        };
        // READ COMMITTED: whoever waited for a row goes on with what the other has left.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = {patience}; \
             SET LOCAL idle_in_transaction_session_timeout = {silence}; {}{more}",
            Mark::SELECT
        );
        let mut begun = tx.on(|connection| Ok(connection.batch_row(&begin)?))?;
        let more = (begun.len() > Mark::COLUMNS).then(|| begun.pop()).flatten();
        tx.mark = Mark::read(&begun)?;
        Ok((tx, more))
    }

    /// Waits until no other program holds the lock of whoever starts; it is held until this ends.
    pub(super) fn wait_to_be_alone(&mut self) -> Result<(), StoreError> {
        // Whoever is before us may be making a whole database.
        self.run(
            "SET LOCAL lock_timeout = '5min'; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock(1667329392, 3)",
        )
    }

    fn on<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(&self.connection).map_err(|e| self.store.located(e))
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.batch(sql).map_err(|e| self.store.located(e.into()))
    }

    /// Does `work` as a whole or not at all: a refusal leaves the transaction usable.
    fn as_a_whole<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run("SAVEPOINT whole")?;
        match work(self) {
            Ok(value) => {
                self.run("RELEASE whole")?;
                Ok(value)
            }
            Err(error) => {
                self.run("ROLLBACK TO whole; RELEASE whole")?;
                Err(self.store.located(error))
            }
        }
    }

    /// Runs a statement that writes `record`'s values.
    fn write(&mut self, record: &Record, statement: &Statement) -> Result<u64, StoreError> {
        self.written.add(record.text("sys_id"));
        self.as_a_whole(|tx| {
            tx.connection
                .change(statement)
                .map_err(|error| duplicate(record, &error).unwrap_or_else(|| error.into()))
        })
    }

    /// What handlers have at hand of the rows that were written is not to be told to them any more.
    fn forget_written(&mut self) {
        let written = std::mem::take(&mut self.written);
        if let Some(row_reads) = &self.store.row_reads {
            row_reads.ahead.forget(&written);
        }
    }

    /// Takes `savepoint` and all that were made after it off the list.
    fn end_savepoint(&mut self, savepoint: SavepointId) -> Result<(u32, usize, usize), StoreError> {
        let found = self.savepoints.iter().position(|(number, ..)| *number == savepoint.0);
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

impl Drop for PostgresWriteTx {
    fn drop(&mut self) {
        self.forget_written();
        if self.sets_order {
            self.store.shared.orders.forget();
        }
        if !self.has_ended
            && let Err(error) = self.connection.batch("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction could not be rolled back; its connection is closed");
            self.connection.spoil();
        }
        let left = self.let_go.left();
        self.store.shared.give_back_later(&left);
    }
}

/// The error as [`StoreError::Duplicate`], if that is what it is. PostgreSQL names the index.
fn duplicate(record: &Record, error: &tokio_postgres::Error) -> Option<StoreError> {
    let index = broken_uniqueness(error)?;
    let table = record.table();
    let field = table.fields.iter().find(|field| {
        let name = |suffix| ddl::index_name(&table.root, &field.column, suffix);
        index == name("unique") || index == name("key")
    })?;
    Some(StoreError::Duplicate {
        table: table.name.to_string(),
        field: field.name.to_string(),
        value: record.text(&field.name).to_owned(),
    })
}

impl ReadTx for PostgresWriteTx {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.on(|connection| rows::get(connection, Part::whole(table), sys_id))
    }

    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError> {
        self.on(|connection| rows::select(connection, select))
    }

    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError> {
        self.on(|connection| rows::count(connection, query))
    }

    fn kept_answer(
        &self,
        key: &str,
        content_hash: u64,
        forgotten: Instant,
    ) -> Result<Option<String>, StoreError> {
        self.on(|connection| answers::kept(connection, key, content_hash, forgotten))
    }
}

impl WriteTx for PostgresWriteTx {
    fn as_read(&self) -> &dyn ReadTx {
        self
    }

    fn get_for_change(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, StoreError> {
        self.on(|connection| rows::get_for_change(connection, Part::whole(table), sys_id))
    }

    fn insert(&mut self, record: &Record) -> Result<(), StoreError> {
        self.write(record, &sql::insert(Dialect::Postgres, record)?)?;
        Ok(())
    }

    fn update(&mut self, record: &Record, changed: &[FieldIndex]) -> Result<bool, StoreError> {
        match sql::update(Dialect::Postgres, record, changed)? {
            Some(statement) => Ok(self.write(record, &statement)? > 0),
            None => Ok(self.get(record.table(), record.text("sys_id"))?.is_some()),
        }
    }

    fn delete(&mut self, table: &Arc<TableDef>, sys_id: &str) -> Result<bool, StoreError> {
        self.written.add(sys_id);
        let deleted = self.on(|connection| {
            Ok(connection.change(&sql::delete(Dialect::Postgres, table, sys_id))?)
        })?;
        Ok(deleted > 0)
    }

    fn append_events(&mut self, events: &[NewEvent]) -> Result<Vec<AppendOutcome>, StoreError> {
        let (outcomes, mut effects, orders) = self.as_a_whole(|tx| {
            let orders = tx.store.shared.orders.known(&tx.connection)?;
            let events: Vec<&NewEvent> = events.iter().collect();
            let held = append::Held(&tx.store.claims, tx.store.shared.node.token(), &orders);
            let (outcomes, effects) = append::append_events(&tx.connection, held, &events)?;
            Ok((outcomes, effects, orders))
        })?;
        let spread = self.store.claims.spread().map(AsRef::as_ref);
        effects.arriving = turns::arriving((&orders, spread), events.iter().zip(&outcomes));
        self.effects.push(effects);
        Ok(outcomes)
    }

    fn act_on_event(&mut self, action: &EventAction) -> Result<(), StoreError> {
        let waiting = self.let_go.take_on(self.store.claims.waiting_here(action), action);
        let acted = self.as_a_whole(|tx| {
            let mut effects = let_go(&tx.connection, &waiting)?;
            effects.extend(&actions::act(&tx.connection, action, tx.store.claims.spread())?);
            Ok(effects)
        });
        self.let_go.note(waiting, acted.is_ok());
        self.effects.push(acted?);
        Ok(())
    }

    fn move_kind(&mut self, name: &str, to_queue: &str, after: i64) -> Result<u64, StoreError> {
        let waiting = self.store.claims.kind_waiting_here(name, to_queue);
        let waiting_moved = self
            .as_a_whole(|tx| move_kind::move_waiting(&tx.connection, (name, to_queue), &waiting));
        self.let_go.note(waiting, waiting_moved.is_ok());
        let (step, effects) = waiting_moved?;
        self.effects.push(effects);
        let (mut moved, mut after) = (step.moved, after);
        loop {
            let (step, effects) = self.as_a_whole(|tx| {
                let spread = tx.store.claims.spread();
                move_kind::step(&tx.connection, (name, to_queue), after, spread)
            })?;
            if step.moved == 0 {
                return Ok(moved);
            }
            self.effects.push(effects);
            moved += step.moved;
            after = step.last;
        }
    }

    fn set_queue_order(&mut self, queue: &str, rule: Option<QueueRule>) -> Result<(), StoreError> {
        self.sets_order = true;
        self.as_a_whole(|tx| {
            let spread = tx.store.claims.spread().map(AsRef::as_ref);
            order::set(&tx.connection, queue, rule, spread)
        })
    }

    fn ensure_tables(
        &mut self,
        dictionary: &Dictionary,
        tables: &[Arc<TableDef>],
    ) -> Result<(), StoreError> {
        self.written.add_unknown();
        self.as_a_whole(|tx| ddl::ensure_tables(&tx.connection, dictionary, tables))
    }

    fn drop_unused(&mut self, dictionary: &Dictionary, gone: &TableDef) -> Result<(), StoreError> {
        self.written.add_unknown();
        self.as_a_whole(|tx| ddl::drop_unused(&tx.connection, dictionary, gone))
    }

    fn meta_get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.on(|connection| {
            // Also where there is no row yet that could be locked.
            connection.query(
                "SELECT pg_advisory_xact_lock(1667329393, hashtext($1))::text",
                &[&stored(key)],
            )?;
            marks::get(connection, key)
        })
    }

    fn meta_set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.on(|connection| marks::set(connection, key, value))
    }

    fn savepoint(&mut self) -> Result<SavepointId, StoreError> {
        self.savepoints_made += 1;
        let number = self.savepoints_made;
        self.run(&format!("SAVEPOINT {}", name(self.savepoints.len())))?;
        self.savepoints.push((number, self.effects.len(), self.let_go.len()));
        Ok(SavepointId(number))
    }

    fn rollback_to(&mut self, savepoint: SavepointId) -> Result<(), StoreError> {
        let (_, effects, let_go) = self.end_savepoint(savepoint)?;
        let name = name(self.savepoints.len());
        self.run(&format!("ROLLBACK TO {name}; RELEASE {name}"))?;
        self.effects.truncate(effects);
        self.let_go.undo_to(let_go);
        Ok(())
    }

    fn release(&mut self, savepoint: SavepointId) -> Result<(), StoreError> {
        self.end_savepoint(savepoint)?;
        self.run(&format!("RELEASE {}", name(self.savepoints.len())))
    }

    fn keep_answer(&mut self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.on(|connection| answers::keep(connection, answer))
    }

    fn commit(mut self: Box<Self>) -> Result<CommitMark, StoreError> {
        let arriving: Vec<Arriving> =
            self.effects.iter().flat_map(|effects| &effects.arriving).cloned().collect();
        let shared = &self.store.shared;
        if let Err(error) = fate::commit(&self.connection, &self.mark, shared, &arriving) {
            self.has_ended = self.connection.is_closed();
            return Err(self.store.located(error));
        }
        self.has_ended = true;
        self.let_go.committed();
        self.forget_written();
        let mark = self.store.committed();
        for effects in std::mem::take(&mut self.effects) {
            self.store.carry_out(&effects);
        }
        Ok(mark)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The name of a savepoint by its depth, so that the log of the server stays readable.
fn name(depth: usize) -> String {
    format!("s{depth}")
}
