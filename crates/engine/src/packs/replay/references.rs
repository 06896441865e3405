//! Names in a file and the rows that they stand for: found by one field, made when missing.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, Value};

use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;
use crate::records::operation::{self, Change, Door, Kind, Options, Outcome};

/// Names that one statement looks up.
const NAMES_PER_SELECT: usize = 500;

/// Where rows are found: their table, and the field that names them.
pub(super) type Finder = (Arc<str>, Arc<str>);

/// Rows that were found or made, while a batch is replayed.
#[derive(Debug, Default)]
pub(super) struct References {
    found: HashMap<Finder, HashMap<String, Value>>,
    /// Rows that were made, by table.
    pub(super) created: HashMap<Arc<str>, u64>,
}

impl References {
    /// Looks up all these names at once. The oldest of several rows with one name counts.
    ///
    /// # Errors
    /// What the store answers.
    pub(super) fn find(
        &mut self,
        execution: &Execution,
        dictionary: &Dictionary,
        finder: &Finder,
        names: &[&str],
    ) -> Result<(), EngineError> {
        let known = self.found.entry(finder.clone()).or_default();
        let table = lookup::table(dictionary, &finder.0)?;
        let mut wanted: Vec<Arc<str>> = names
            .iter()
            .filter(|name| !known.contains_key(**name))
            .map(|name| Arc::from(*name))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for part in wanted.chunks(NAMES_PER_SELECT) {
            let select = lookup::one_of(table, &[(&finder.1, part.to_vec())]);
            let mut select = lookup::ordered(select, &["sys_created_on", "sys_id"]);
            let fields = ["sys_id", "sys_created_on", &finder.1];
            select.fields = Some(fields.iter().filter_map(|name| table.index(name)).collect());
            for row in execution.with_read(|tx| tx.select(&select))? {
                let key = row.get("sys_id").clone();
                known.entry(row.text(&finder.1).to_owned()).or_insert(key);
            }
        }
        Ok(())
    }

    /// The row of this name; it is made when it was not found.
    ///
    /// # Errors
    /// The refusal of the new row; what the store answers.
    pub(super) fn row(
        &mut self,
        execution: &Rc<Execution>,
        dictionary: &Dictionary,
        finder: &Finder,
        name: &str,
    ) -> Result<Value, EngineError> {
        let known = self.found.entry(finder.clone()).or_default();
        if let Some(key) = known.get(name) {
            return Ok(key.clone());
        }
        let change = Change {
            kind: Kind::Insert,
            table: Arc::clone(lookup::table(dictionary, &finder.0)?),
            sys_id: None,
            values: vec![(Arc::clone(&finder.1), Value::text(name))],
            journals: Vec::new(),
            fresh: None,
            reason: Arc::from("replay"),
            options: Options::plain(Door::System),
        };
        match operation::run(execution, &change).map_err(operation::Failure::into_error)? {
            Outcome::Done { record, .. } => {
                let key = record.get("sys_id").clone();
                known.insert(name.to_owned(), key.clone());
                *self.created.entry(Arc::clone(&finder.0)).or_default() += 1;
                Ok(key)
            }
            Outcome::Refused(refusal) => Err(refusal),
        }
    }
}
