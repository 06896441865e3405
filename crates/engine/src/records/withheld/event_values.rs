//! What an event tells of the record that it is about: its display value, its snapshot, the values that a condition
//! of a handler compared. Whoever may read the record sees them (rest-api §17.2).

use std::sync::Arc;

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, PathStep, Test};
use campanile_model::{Dictionary, FieldIndex, Record, TableDef};
use campanile_store::{ReadTx, StoreError};

use super::asking::{self, Guard};
use crate::records::gate;
use crate::session::Session;

const EVENTS: &str = "sysevent";
const RUNS: &str = "sysevent_handler_run";

/// Whether values of this column tell of the record that an event is about.
pub(in crate::records) fn tells_of_a_record(table: &TableDef, field: FieldIndex) -> bool {
    match &*table.name {
        EVENTS => matches!(&*table.fields[field].name, "descriptive_name" | "snapshot"),
        RUNS => &*table.fields[field].name == "sentence",
        _ => false,
    }
}

/// Columns that say which record a row of `table` tells of: they are read with it.
pub(in crate::records) fn deciding_columns(table: &TableDef) -> &'static [&'static str] {
    match &*table.name {
        EVENTS => &["table", "instance"],
        RUNS => &["event"],
        _ => &[],
    }
}

/// Whether the session may be told of the record `instance` of `table`, there or not: of what it may read, and of no
/// record at all. Of a table that is gone only administrators are told.
#[must_use]
pub fn may_be_told_of(
    session: &Session,
    dictionary: &Dictionary,
    table: &str,
    instance: &str,
) -> bool {
    if table.is_empty() || instance.is_empty() {
        return true;
    }
    match dictionary.table(table) {
        Some(table) => gate::may_see_key(session, table, instance),
        None => session.user.is_admin(),
    }
}

/// Whether `row`, an event or a run that has its [`deciding_columns`], withholds from the session what it tells of a
/// record. What a run tells is withheld when its event is gone.
///
/// # Errors
/// What the store answers.
pub(in crate::records) fn hides(
    session: &Session,
    dictionary: &Dictionary,
    read: &dyn ReadTx,
    row: &Record,
) -> Result<bool, StoreError> {
    if session.user.is_admin() {
        return Ok(false);
    }
    let hidden = |event: &Record| {
        !may_be_told_of(session, dictionary, event.text("table"), event.text("instance"))
    };
    if &*row.table().name == EVENTS {
        return Ok(hidden(row));
    }
    let Some(events) = dictionary.table(EVENTS) else { return Ok(true) };
    Ok(read.get(events, row.text("event"))?.as_ref().is_none_or(hidden))
}

/// Leaves out of a query what would tell, by its effect, of records that the session may not read.
pub(in crate::records) fn restrict_events(
    session: &Session,
    dictionary: &Dictionary,
    query: &mut BoundQuery,
) {
    if session.user.is_admin() {
        return;
    }
    let table = Arc::clone(&query.table);
    asking::restrict(query, &OfEvents { session, dictionary, table });
}

struct OfEvents<'a> {
    session: &'a Session,
    dictionary: &'a Dictionary,
    /// The queried table.
    table: Arc<TableDef>,
}

impl Guard for OfEvents<'_> {
    fn guards(&self, path: &BoundPath) -> bool {
        tells_of_a_record(&path.table, path.field)
    }

    fn shown_by(&self) -> Vec<Vec<BoundTerm>> {
        let Some(steps) = self.steps_to_event() else { return vec![Vec::new()] };
        let steps = &steps;
        let term = |field: &str, test: Test| {
            let table = steps.last().map_or(&self.table, |step| &step.target);
            table.index(field).map(|field| BoundTerm {
                path: BoundPath { steps: steps.clone(), table: Arc::clone(table), field },
                test,
                text: Arc::from("table"),
            })
        };
        let tables = self.dictionary.tables();
        let open = tables.filter(|table| gate::may_read_all(self.session, table));
        let open: Vec<_> = open.map(|table| Arc::clone(&table.name)).collect();
        let open = if open.is_empty() { Test::Never } else { Test::In(open) };
        let is_there = [term("sys_id", Test::NotNil)];
        let is_open = [term("table", Test::Nil), term("table", open)];
        vec![is_there.into_iter().flatten().collect(), is_open.into_iter().flatten().collect()]
    }
}

impl OfEvents<'_> {
    /// The way from the queried row to its event; `None` when there is none.
    fn steps_to_event(&self) -> Option<Vec<PathStep>> {
        if &*self.table.name == EVENTS {
            return Some(Vec::new());
        }
        let target = Arc::clone(self.dictionary.table(EVENTS)?);
        let field = self.table.index("event")?;
        Some(vec![PathStep { table: Arc::clone(&self.table), field, target }])
    }
}
