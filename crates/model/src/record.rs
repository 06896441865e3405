//! One row in memory.

use std::sync::Arc;

use crate::sys_id::SysId;
use crate::table_def::{FieldIndex, TableDef};
use crate::value::Value;

/// The values of one row, by position in its table's field list. Journals have no value here.
///
/// Cloning is cheap: clones share their values until one of them is changed.
#[derive(Debug, Clone)]
pub struct Record {
    table: Arc<TableDef>,
    values: Arc<[Value]>,
}

impl Record {
    /// An empty row of `table`: every field nil.
    #[must_use]
    pub fn empty(table: Arc<TableDef>) -> Self {
        let values = std::iter::repeat_n(Value::Nil, table.fields.len()).collect();
        Self { table, values }
    }

    /// A row with `values` in the order of the table's fields.
    ///
    /// # Panics
    /// When the number of values is not the number of fields: a programmer's error.
    #[must_use]
    pub fn from_values(table: Arc<TableDef>, values: impl Into<Arc<[Value]>>) -> Self {
        let values = values.into();
        assert_eq!(values.len(), table.fields.len(), "a record has one value for each field");
        Self { table, values }
    }

    /// The class that the field list belongs to.
    #[must_use]
    pub fn table(&self) -> &Arc<TableDef> {
        &self.table
    }

    /// The value at `field`.
    #[must_use]
    pub fn at(&self, field: FieldIndex) -> &Value {
        &self.values[field]
    }

    /// Sets the value at `field`.
    pub fn set_at(&mut self, field: FieldIndex, value: Value) {
        Arc::make_mut(&mut self.values)[field] = value;
    }

    /// The value of the field called `name`; nil when there is no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        static NIL: Value = Value::Nil;
        self.table.index(name).map_or(&NIL, |i| &self.values[i])
    }

    /// The stored text of the field called `name`; empty when nil or unknown.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).as_str()
    }

    /// Sets the field called `name`. Returns whether there is such a field.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> bool {
        match self.table.index(name) {
            Some(i) => {
                self.set_at(i, value.into());
                true
            }
            None => false,
        }
    }

    /// The row's key, when it has one.
    #[must_use]
    pub fn sys_id(&self) -> Option<SysId> {
        self.text("sys_id").parse().ok()
    }

    /// The row's real class: `sys_class_name` where there is one, else the table.
    #[must_use]
    pub fn class_name(&self) -> &str {
        self.get("sys_class_name").as_option().unwrap_or(&self.table.name)
    }

    /// The same row seen as `table`: fields of that name are kept, others are nil or dropped.
    #[must_use]
    pub fn as_table(&self, table: &Arc<TableDef>) -> Self {
        let values = table.fields.iter().map(|field| self.get(&field.name).clone()).collect();
        Self { table: Arc::clone(table), values }
    }

    /// Whether both are the same values without a look at them; unequal ones may share nothing and be equal.
    #[must_use]
    pub fn shares_values(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    /// All values in field order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
