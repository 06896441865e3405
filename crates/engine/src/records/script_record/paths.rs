//! Elements: fields of the row and fields behind references, each with a number that stays (scripting §3.1).

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::limits::DOT_WALK_STEPS_MAX;
use campanile_model::{FieldDef, FieldIndex, FieldType, Record, TableDef, Value};
use campanile_script::PathId;

use super::object::ScriptRecord;
use super::row::ReferencedRow;

/// Fields behind references. A number below the number of the table's fields is a field of the row itself.
#[derive(Debug, Default)]
pub(super) struct Paths {
    walked: Vec<Walked>,
    by_step: HashMap<(PathId, Arc<str>), PathId>,
}

#[derive(Debug, Clone)]
struct Walked {
    parent: PathId,
    name: Arc<str>,
    depth: usize,
    /// Table that the reference declares.
    declared: Arc<TableDef>,
}

/// A field and its present value, as scripts see it: passwords and secrets are nil, set or not.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) table: Arc<TableDef>,
    pub(super) index: FieldIndex,
    pub(super) value: Value,
}

impl Located {
    fn new(table: &Arc<TableDef>, index: FieldIndex, stored: &Value) -> Self {
        let value =
            if table.fields[index].field_type.is_secret() { Value::Nil } else { stored.clone() };
        Self { table: Arc::clone(table), index, value }
    }

    pub(super) fn field(&self) -> &FieldDef {
        &self.table.fields[self.index]
    }
}

impl ScriptRecord {
    /// The field of the row that `path` is, when it is none behind a reference.
    pub(super) fn own_field(&self, path: PathId) -> Option<FieldIndex> {
        usize::try_from(path).ok().filter(|index| *index < self.table.fields.len())
    }

    pub(super) fn path_of(index: FieldIndex) -> PathId {
        PathId::try_from(index).unwrap_or(PathId::MAX)
    }

    fn walked(&self, path: PathId) -> Option<Walked> {
        let at = usize::try_from(path).ok()?.checked_sub(self.table.fields.len())?;
        self.paths.borrow().walked.get(at).cloned()
    }

    /// The field `name` behind the reference `parent`.
    pub(super) fn walk(&self, parent: PathId, name: &str) -> Option<PathId> {
        let name: Arc<str> = Arc::from(name);
        if let Some(known) = self.paths.borrow().by_step.get(&(parent, Arc::clone(&name))) {
            return Some(*known);
        }
        let depth = self.walked(parent).map_or(1, |walked| walked.depth + 1);
        if depth > DOT_WALK_STEPS_MAX {
            return None;
        }
        let at = self.locate(parent)?;
        if at.field().field_type != FieldType::Reference {
            return None;
        }
        let dictionary = self.execution.dictionary().ok()?;
        let declared = Arc::clone(dictionary.table(&at.field().reference)?);
        if declared.index(&name).is_none() {
            let has_it = self.with_referenced(parent, |row| row.table().index(&name).is_some());
            if has_it != Some(true) {
                return None;
            }
        }
        let mut paths = self.paths.borrow_mut();
        let path = Self::path_of(self.table.fields.len() + paths.walked.len());
        paths.walked.push(Walked { parent, name: Arc::clone(&name), depth, declared });
        paths.by_step.insert((parent, name), path);
        Some(path)
    }

    /// A field called by a dotted name.
    pub(super) fn path_by_name(&self, name: &str) -> Option<PathId> {
        let mut steps = name.split('.');
        let first = self.table.index(steps.next()?)?;
        steps.try_fold(Self::path_of(first), |path, step| self.walk(path, step))
    }

    /// Where the element is and what it holds. Behind an empty or dangling reference it is a nil field of the
    /// declared table; `None` when the row behind the reference has no such field.
    pub(super) fn locate(&self, path: PathId) -> Option<Located> {
        if let Some(index) = self.own_field(path) {
            let row = self.row();
            let hidden = self.hides_own(&row, index);
            let stored = if hidden { &Value::Nil } else { row.record.at(index) };
            return Some(Located::new(&self.table, index, stored));
        }
        let walked = self.walked(path)?;
        let found = self.with_referenced(walked.parent, |row| {
            let index = row.table().index(&walked.name)?;
            let stored = if self.hides(row, index) { &Value::Nil } else { row.at(index) };
            Some(Located::new(row.table(), index, stored))
        });
        match found {
            Some(located) => located,
            None => {
                let index = walked.declared.index(&walked.name)?;
                Some(Located { table: Arc::clone(&walked.declared), index, value: Value::Nil })
            }
        }
    }

    /// Does something with the row behind the reference `parent`, read on first use and kept until the reference
    /// changes or the cursor moves. `None` when it leads nowhere.
    pub(super) fn with_referenced<T>(
        &self,
        parent: PathId,
        f: impl FnOnce(&mut Record) -> T,
    ) -> Option<T> {
        let at = self.locate(parent)?;
        let sys_id = match (&at.value, at.field().field_type) {
            (Value::Text(sys_id), FieldType::Reference) => Arc::clone(sys_id),
            _ => return None,
        };
        let known = self.row().references.get(&parent).is_some_and(|known| known.sys_id == sys_id);
        if !known {
            let record = self.read_referenced(&at.field().reference, &sys_id);
            self.row().references.insert(parent, ReferencedRow { sys_id, record });
        }
        let mut row = self.row();
        row.references.get_mut(&parent)?.record.as_mut().map(f)
    }

    pub(super) fn read_referenced(&self, table: &str, sys_id: &str) -> Option<Record> {
        let dictionary = self.execution.dictionary().ok()?;
        let target = dictionary.table(table)?;
        match self.execution.read_real_row(target, sys_id) {
            Ok(record) => record,
            Err(error) => {
                self.execution
                    .log_error("record", &format!("{table} {sys_id} could not be read: {error}"));
                None
            }
        }
    }

    /// Sets the element's value in memory.
    pub(super) fn put_at(&self, path: PathId, value: Value) {
        if let Some(index) = self.own_field(path) {
            let mut row = self.row();
            let (new, old) = (value.as_str().len(), row.record.at(index).as_str().len());
            row.assigned_bytes = (row.assigned_bytes + new).saturating_sub(old);
            row.record.set_at(index, value);
            if !row.assigned.contains(&index) {
                row.assigned.push(index);
            }
        } else if let Some(walked) = self.walked(path) {
            self.with_referenced(walked.parent, |row| row.set(&walked.name, value));
        }
    }
}
