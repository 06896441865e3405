//! What the names in a pack stand for: its own rows first, then rows that are there already.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, Record, SysId, TableDef};

use super::sections::name_column;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;
use campanile_model::nearest::suggestion;

/// Names of rows, by table.
#[derive(Debug, Default)]
pub(super) struct Names {
    handles: HashMap<String, (String, String)>,
    rows: HashMap<(String, String), String>,
}

impl Names {
    /// A row of the pack is called `name`.
    pub(super) fn add(&mut self, table: &str, name: &str, sys_id: &str) {
        self.rows.insert((table.to_owned(), name.to_owned()), sys_id.to_owned());
    }

    /// A row of the pack has the handle `as: handle`. Returns whether the handle was free.
    pub(super) fn add_handle(&mut self, handle: &str, table: &str, sys_id: &str) -> bool {
        self.handles.insert(handle.to_owned(), (table.to_owned(), sys_id.to_owned())).is_none()
    }

    /// Whether the pack has a row of `table` with this name.
    pub(super) fn has(&self, table: &str, name: &str) -> bool {
        self.rows.contains_key(&(table.to_owned(), name.to_owned()))
    }

    /// The key of the row of `target` (or of a class below it) that `name` stands for: a handle, a row of the pack,
    /// a `sys_id`, a row of the database by its name.
    ///
    /// # Errors
    /// The inner one tells in words why there is none; the outer one what the store answers.
    pub(super) fn resolve(
        &self,
        execution: &Rc<Execution>,
        dictionary: &Dictionary,
        target: &str,
        name: &str,
    ) -> Result<Result<String, String>, EngineError> {
        let Some(table) = dictionary.table(target) else {
            return Ok(Err(format!("refers to table '{target}', which does not exist")));
        };
        if let Some((of, sys_id)) = self.handles.get(name) {
            let fits = dictionary.table(of).is_some_and(|of| of.extends(target));
            return Ok(match fits {
                true => Ok(sys_id.clone()),
                false => Err(format!("'{name}' is a row of {of}, expected one of {target}")),
            });
        }
        for class in &table.subtree {
            if let Some(sys_id) = self.rows.get(&(class.to_string(), name.to_owned())) {
                return Ok(Ok(sys_id.clone()));
            }
        }
        if SysId::is_valid(name) {
            return Ok(Ok(name.to_owned()));
        }
        let columns =
            name_column(target).into_iter().chain([&*table.fields[table.display_field].name]);
        for column in columns {
            let mut found = rows_with(execution, table, column, name)?;
            match found.len() {
                0 => {}
                1 => return Ok(Ok(found.remove(0).text("sys_id").to_owned())),
                many => {
                    return Ok(Err(format!(
                        "{many} rows of {target} are called '{name}': write the sys_id of one"
                    )));
                }
            }
        }
        let known = self.rows.keys().filter(|(of, _)| of == target).map(|(_, name)| name.as_str());
        let known = known.chain(self.handles.keys().map(String::as_str));
        Ok(Err(format!("nothing in {target} is called '{name}'{}", suggestion(name, known))))
    }
}

/// The rows whose `column` has exactly this text.
pub(super) fn rows_with(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    column: &str,
    text: &str,
) -> Result<Vec<Record>, EngineError> {
    let select = lookup::equal(table, &[(column, text)]);
    let mut rows = execution.with_read(|tx| tx.select(&select))?;
    rows.retain(|row| row.text(column) == text);
    Ok(rows)
}
