//! Running the query and moving over its rows (scripting §5.3).

use campanile_model::SysId;
use campanile_script::{ExternalValue, HostError};
use campanile_store::Select;

use super::object::{Nature, ScriptRecord};
use super::row::{Place, Row};
use crate::error::EngineError;
use crate::records::conversion;

/// Rows of one query when `glide.db.max_view_records` says nothing.
const ROWS_MAX: i64 = 10_000;

impl ScriptRecord {
    /// Ends the script when it has used up what it may.
    pub(super) fn check_budget(&self) -> Result<(), HostError> {
        self.execution.must_end().map_or(Ok(()), |limit| Err(HostError::Terminated(limit)))
    }

    /// A failure of the store under a read: an exception that the script may catch.
    pub(super) fn read_failed(&self, error: &EngineError) -> HostError {
        self.execution.note_outage(error);
        HostError::Throw {
            class: "Error",
            message: format!("{} could not be read: {error}", self.name),
        }
    }

    /// Runs the query; the cursor stands before the first row.
    pub(super) fn run_query(&self) -> Result<(), HostError> {
        self.check_budget()?;
        let mut found = Vec::new();
        if self.nature == Nature::Plain
            && let Some(bound) = self.bound()
        {
            let ceiling =
                self.execution.engine().int_property("glide.db.max_view_records", ROWS_MAX);
            let ceiling = u64::try_from(ceiling).unwrap_or(0);
            let (limit, window) = {
                let search = self.search.borrow();
                (search.limit, search.window)
            };
            let (offset, wanted) = window.map_or((0, limit), |(first, rows)| (first, Some(rows)));
            let mut select = Select::new(bound);
            select.offset = offset;
            // One more than the ceiling tells whether it was reached.
            select.limit = Some(wanted.unwrap_or(u64::MAX).min(ceiling.saturating_add(1)));
            found = self
                .execution
                .with_read(|tx| tx.select(&select))
                .map_err(|error| self.read_failed(&error))?;
            let ceiling = usize::try_from(ceiling).unwrap_or(usize::MAX);
            if found.len() > ceiling {
                found.truncate(ceiling);
                self.execution.warn(&format!(
                    "a query on {} found more than {ceiling} rows: the rest is left out (glide.db.max_view_records)",
                    self.name
                ));
            }
        }
        self.search.borrow_mut().keep_rows(found);
        self.check_held()
    }

    /// Moves to the next row.
    pub(super) fn move_on(&self) -> Result<bool, HostError> {
        self.check_budget()?;
        self.aborted.replace(None);
        let next = self.search.borrow_mut().rows.next();
        let mut row = self.row();
        match next {
            Some(record) => {
                *row = Row::read(record);
                drop(row);
                self.field_errors.borrow_mut().clear();
                Ok(true)
            }
            None => {
                if row.place == Place::OnRow {
                    row.place = Place::PastEnd;
                }
                Ok(false)
            }
        }
    }

    /// `get(value)`.
    pub(super) fn find(&self, value: &ExternalValue) -> Result<bool, HostError> {
        self.check_budget()?;
        if conversion::is_nothing(value) || self.nature != Nature::Plain {
            return Ok(false);
        }
        let text = conversion::text_of(value);
        if SysId::is_valid(&text) {
            let found = self
                .execution
                .read_row(&self.table, &text)
                .map_err(|error| self.read_failed(&error))?;
            if let Some(record) = found {
                self.search.borrow_mut().clear();
                self.add_term("sys_id", "=", &ExternalValue::Text(text.as_str().into()));
                self.search.borrow_mut().row_count = 1;
                *self.row() = Row::read(record);
                return Ok(true);
            }
        }
        let Some(display) = self.table.fields.get(self.table.display_field) else {
            return Ok(false);
        };
        let name = display.name.clone();
        self.find_by(&name, &ExternalValue::Text(text.into()))
    }

    /// `get(field, value)`: the first match; `move_on` gives further ones.
    pub(super) fn find_by(&self, field: &str, value: &ExternalValue) -> Result<bool, HostError> {
        if self.nature != Nature::Plain {
            return Ok(false);
        }
        self.search.borrow_mut().clear();
        self.add_term(field, "=", value);
        self.run_query()?;
        let found = self.move_on()?;
        if !found {
            let mut row = self.row();
            *row = Row::blank(&self.table);
            row.place = Place::NotFound;
        }
        Ok(found)
    }

    /// Rows of the result; with a window, of the query without it.
    pub(super) fn count_rows(&self) -> Result<i64, HostError> {
        self.check_budget()?;
        let (queried, windowed, count) = {
            let search = self.search.borrow();
            (search.queried, search.window.is_some(), search.row_count)
        };
        let count = match (queried && windowed).then(|| self.bound()).flatten() {
            Some(bound) => self
                .execution
                .with_read(|tx| tx.count(&bound))
                .map_err(|error| self.read_failed(&error))?,
            None => count,
        };
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
