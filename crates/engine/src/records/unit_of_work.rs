//! Several operations in one transaction: packs, dry runs, scripts that are only tried.
//!
//! Outside a unit every outermost operation commits for itself. Inside one they all use the unit's writer, each
//! within a savepoint, so that a refused or failed operation leaves the others as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Dictionary, NewEvent, Record};
use campanile_store::{AppendOutcome, SavepointId, WriteTx};

use super::execution::Execution;
use super::operation::transaction::Transaction;
use super::operation::{Failure, Outcome};
use super::{dictionary, lookup};
use crate::engine::Trial;
use crate::error::EngineError;
use crate::events::fire::provision::{self, Provision, Waiting};
use crate::spent;

/// Tables whose rows the dictionary is made of.
const DICTIONARY_TABLES: [&str; 4] =
    ["sys_db_object", "sys_dictionary", "sys_dictionary_override", "sys_choice"];

/// How a unit of work ends when its work succeeded. Work that fails is always rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Everything is committed.
    Commit,
    /// Nothing is kept, lines of `syslog` neither. The report still tells what was written, fired and logged.
    RollBack,
}

/// What one unit of work has done so far.
pub(crate) struct Unit {
    writer: Option<Box<dyn WriteTx>>,
    /// The turn of a trial that holds the writer. Dropped after the writer.
    trial: Option<Trial>,
    held_since: Option<Monotonic>,
    /// Definitions are written in bulk: the physical tables follow when [`Execution::settle_definitions`] says so.
    installs: bool,
    /// It ends with a rollback, whatever the work comes to.
    is_trial: bool,
    /// Tables whose definitions wait for that.
    waiting: BTreeSet<String>,
    /// The dictionary as the unit sees it, once it has changed it.
    dictionary: Option<Arc<Dictionary>>,
    tables: BTreeSet<Arc<str>>,
}

impl Unit {
    /// The writer, when the unit holds it and no operation has borrowed it.
    pub(crate) fn writer(&self) -> Option<&dyn WriteTx> {
        self.writer.as_deref()
    }

    /// The dictionary, when the unit has changed it.
    pub(crate) fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        self.dictionary.as_ref()
    }

    /// How long scripts of the unit have kept others waiting; an installation's scripts are bounded one by one.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        self.held_since.filter(|_| !self.installs).map(|since| since.elapsed())
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit")
            .field("writer", &self.writer.is_some())
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Execution {
    /// Runs `work`; all its operations and events go into one transaction, which is taken at the first write and
    /// ends as `finish` says when `work` succeeds. Definitions that others have cached (rules, registrations) stay
    /// as they are until the commit. A unit inside a unit is part of the outer one.
    ///
    /// # Errors
    /// What `work` answers: then nothing is kept. What the store answers at the commit.
    pub fn unit_of_work<T>(
        &self,
        finish: Finish,
        work: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.unit(finish, false, work)
    }

    /// As [`Execution::unit_of_work`], for many definitions at once: rows of `sys_db_object` and `sys_dictionary`
    /// have no effect until [`Execution::settle_definitions`], so that their order does not matter.
    ///
    /// # Errors
    /// As [`Execution::unit_of_work`].
    pub fn installation<T>(
        &self,
        finish: Finish,
        work: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.unit(finish, true, work)
    }

    fn unit<T>(
        &self,
        finish: Finish,
        installs: bool,
        work: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        if self.in_unit() {
            return work();
        }
        let ordinals = self.ordinals_mark();
        self.set_unit(Some(Unit {
            writer: None,
            trial: None,
            held_since: None,
            installs,
            is_trial: finish == Finish::RollBack,
            waiting: BTreeSet::new(),
            dictionary: None,
            tables: BTreeSet::new(),
        }));
        let result = work();
        let Some(unit) = self.set_unit(None) else { return result };
        if result.is_err() || finish == Finish::RollBack {
            // Dropping the writer rolls back.
            self.ordinals_go_back(ordinals);
            return result;
        }
        if let Some(writer) = unit.writer {
            self.note_commit(spent::committing(&**self.engine().store(), writer)?);
            self.engine().tables_changed(unit.tables.iter().map(|name| &**name));
        }
        result
    }

    /// Whether a unit of work is open.
    #[must_use]
    pub fn in_unit(&self) -> bool {
        self.unit.borrow().is_some()
    }

    /// Whether everything that is done now will be undone.
    pub(crate) fn is_trial(&self) -> bool {
        self.unit.borrow().as_ref().is_some_and(|unit| unit.is_trial)
    }

    fn set_unit(&self, unit: Option<Unit>) -> Option<Unit> {
        self.unit.replace(unit)
    }

    /// Does something with the open unit of work; `None` when there is none. `f` must not call back.
    fn with_unit<T>(&self, f: impl FnOnce(&mut Unit) -> T) -> Option<T> {
        self.unit.borrow_mut().as_mut().map(f)
    }

    /// Whether a row of `table` has this text in `column`, as this execution sees the database: caches do not know yet
    /// what its transaction has written.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) fn sees_row(
        &self,
        table: &str,
        column: &str,
        text: &str,
    ) -> Result<bool, EngineError> {
        let dictionary = self.dictionary()?;
        let Some(table) = dictionary.table(table) else { return Ok(false) };
        let rows = self.with_read(|tx| tx.select(&lookup::equal(table, &[(column, text)])))?;
        Ok(rows.iter().any(|row| row.text(column) == text))
    }

    /// Makes the physical tables follow all definitions that were written since the last call, and the unit see
    /// them and the choices. Does nothing outside an installation.
    ///
    /// # Errors
    /// [`EngineError::Integrity`] with code `definition_invalid`; what the store answers.
    pub fn settle_definitions(&self) -> Result<(), EngineError> {
        self.with_unit(|unit| {
            let waiting = std::mem::take(&mut unit.waiting);
            let Some(writer) = unit.writer.as_mut() else { return Ok(()) };
            if !waiting.is_empty() {
                dictionary::after_many(&mut **writer, waiting.iter().map(String::as_str))?;
            }
            unit.dictionary = Some(Arc::new(dictionary::read(writer.as_read())?));
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Whether the physical tables are to follow this definition later.
    pub(crate) fn defers_definition(&self, record: &Record) -> bool {
        let bulk = matches!(&*record.table().name, "sys_db_object" | "sys_dictionary");
        bulk && self
            .with_unit(|unit| {
                if unit.installs {
                    unit.waiting.insert(record.text("name").to_owned());
                }
                unit.installs
            })
            .unwrap_or(false)
    }

    /// Inside a unit: begins the transaction of an operation with the unit's writer.
    pub(crate) fn begin_in_unit(&self) -> Result<Option<SavepointId>, Failure> {
        if !self.in_unit() {
            return Ok(None);
        }
        let mut writer = self.take_unit_writer()?;
        let savepoint = writer.savepoint();
        let savepoint = match savepoint {
            Ok(savepoint) => savepoint,
            Err(error) => {
                self.return_unit_writer(writer);
                return Err(error.into());
            }
        };
        let mut tx = Transaction::new(true);
        tx.hold(writer);
        self.begin_transaction(tx);
        Ok(Some(savepoint))
    }

    /// Ends what [`Execution::begin_in_unit`] began.
    pub(crate) fn end_in_unit(
        &self,
        savepoint: SavepointId,
        result: Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        let Some(mut tx) = self.end_transaction() else { return result };
        let Some(mut writer) = tx.writer.take() else { return result };
        let ended = match &result {
            Ok(_) => writer.release(savepoint),
            Err(_) => writer.rollback_to(savepoint),
        };
        self.return_unit_writer(writer);
        let outcome = result?;
        ended?;
        let changed: BTreeSet<Arc<str>> = tx.tables.clone();
        self.note_done(tx);
        self.with_unit(|unit| {
            let defined = changed.iter().any(|name| DICTIONARY_TABLES.contains(&&**name));
            unit.tables.extend(changed);
            match unit.writer.as_ref() {
                Some(writer) if defined && !unit.installs => {
                    unit.dictionary = Some(Arc::new(dictionary::read(writer.as_read())?));
                    Ok(())
                }
                _ => Ok(()),
            }
        })
        .unwrap_or(Ok::<(), EngineError>(()))?;
        Ok(outcome)
    }

    /// Inside a unit: appends events that no operation fired.
    pub(crate) fn append_in_unit(
        &self,
        events: &mut [NewEvent],
        provisions: &[Provision],
    ) -> Result<Vec<AppendOutcome>, EngineError> {
        let mut writer = self.take_unit_writer()?;
        let waiting = Waiting { provisions, events };
        let outcomes = provision::write(self.engine(), &mut *writer, waiting)
            .and_then(|tables| Ok((tables, writer.append_events(events)?)));
        self.return_unit_writer(writer);
        let (tables, outcomes) = outcomes?;
        self.with_unit(|unit| unit.tables.extend(tables.into_iter().map(Arc::from)));
        Ok(outcomes)
    }

    /// Does something with the writer of the unit, which is taken first if need be. `work` must not call back.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] outside a unit; what `work` and the store answer.
    pub(crate) fn with_unit_writer<T>(
        &self,
        work: impl FnOnce(&mut dyn WriteTx) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut writer = self.take_unit_writer()?;
        let result = work(&mut *writer);
        self.return_unit_writer(writer);
        result
    }

    fn take_unit_writer(&self) -> Result<Box<dyn WriteTx>, EngineError> {
        if !self.in_unit() {
            return Err(EngineError::Unavailable("no unit of work is open".to_owned()));
        }
        if let Some(writer) = self.with_unit(|unit| unit.writer.take()).flatten() {
            return Ok(writer);
        }
        let trial = self.is_trial().then(|| spent::in_database(|| self.engine().begin_trial()));
        let writer = spent::in_database(|| Arc::clone(self.engine().store()).write())?;
        self.with_unit(|unit| {
            unit.trial = trial;
            unit.held_since = Some(Monotonic::now());
        });
        Ok(writer)
    }

    fn return_unit_writer(&self, writer: Box<dyn WriteTx>) {
        self.with_unit(|unit| unit.writer = Some(writer));
    }
}
