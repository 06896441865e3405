//! What a copy of a database consists of, and the statements that read it page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_model::{ColumnStorage, Dictionary, FieldDef, TableDef};

use super::dialect::Dialect;
use super::schema::{EVENT_TABLES, columns};
use super::statement::{Statement, quoted};
use super::values::Param;
use crate::contract::{DumpKind, DumpTable, DumpValue, StoreError};

/// Keys of `campanile_meta` that tell of a copy that is under way. They belong to one database and are not copied.
pub(crate) const COPY_KEYS: &str = "copy:";

/// The key that says that a copy is unfinished, and whose.
pub(crate) const UNFINISHED_KEY: &str = "copy:unfinished";

/// The key of a table's mark.
pub(crate) fn mark_key(table: &DumpTable) -> String {
    format!("{COPY_KEYS}at:{}", table.name)
}

/// The tables that migrations make and both engines have: name, columns of the key, columns with their kinds.
///
/// Not among them is what each database makes for itself: migrations, indexes that are filled behind, programs with
/// their leases; nor the columns of a claim, which ends with the program that holds it.
const FIXED: [(&str, usize, &str); 9] = [
    ("campanile_meta", 1, "key:t value:t"),
    // Before the events: where these stand may depend on it.
    ("sysevent_queue_order", 1, "queue:t kind:t halts:f halted_event:t halted_at:i"),
    (
        "sysevent_live",
        1,
        "sequence:i sys_id:t queue:t derived_priority:r process_on:i sys_created_on:i name:t table:t instance:t \
         parm1:t parm2:t descriptive_name:t user_id:t user_name:t uri:t snapshot:t partition:i depth:i cause_event:t \
         cause_handler:t dedupe_key:t source:t queue_from_call:f registered:f scheduled:f max_attempts:i \
         coalesce_seconds:i origin_id:t epoch:i attempts:i lapses:i only_failed:f coalesced:i processed:i \
         processing_duration:i error_code:t error_message:t sys_updated_on:i sys_updated_by:t sys_mod_count:i",
    ),
    (
        "sysevent_log",
        1,
        "sequence:i sys_id:t state:t queue:t derived_priority:r process_on:i sys_created_on:i name:t table:t \
         instance:t parm1:t parm2:t descriptive_name:t user_id:t user_name:t uri:t snapshot:t partition:i depth:i \
         cause_event:t cause_handler:t dedupe_key:t source:t queue_from_call:f registered:f scheduled:f \
         max_attempts:i coalesce_seconds:i origin_id:t epoch:i attempts:i lapses:i only_failed:f coalesced:i \
         processed:i processing_duration:i error_code:t error_message:t sys_updated_on:i sys_updated_by:t \
         sys_mod_count:i",
    ),
    (
        "sysevent_run",
        1,
        "run:i sys_id:t event:t origin_id:t epoch:i attempt:i handler_kind:t handler:t handler_name:t order:i \
         outcome:t reason:t sentence:t started_at:i duration_ms:i error_message:t error_line:i error_stack:t log:t \
         fired_events:i fired_event_refs:t written_records:i written_record_refs:t definition_version:i",
    ),
    ("sysevent_action", 1, "id:i sys_id:t action:t user:t at:i sys_ids:t count:i reason:t"),
    ("sysevent_action_event", 2, "event:t action:i"),
    ("sysevent_dedupe", 1, "key:t content_hash:i sys_id:t created:i answer:t"),
    ("sysevent_fired", 1, "key:t sys_id:t"),
];

/// The tables of the first kind.
pub(crate) fn fixed_tables() -> Vec<DumpTable> {
    let column = |text: &str| {
        let (name, kind) = text.split_once(':').unwrap_or((text, "t"));
        let kind = match kind {
            "i" => DumpKind::Integer,
            "f" => DumpKind::Flag,
            "r" => DumpKind::Real,
            _ => DumpKind::Text,
        };
        (name.to_owned(), kind)
    };
    FIXED
        .iter()
        .map(|(name, keys, text)| DumpTable {
            name: (*name).to_owned(),
            columns: text.split_whitespace().map(column).collect(),
            key: (0..*keys).collect(),
            is_records: false,
        })
        .collect()
}

/// Everything that a copy of a database with this dictionary consists of, in the order in which it can be loaded.
///
/// # Errors
/// [`StoreError::Statement`] when two classes want one column with different types.
pub fn dump_tables(dictionary: &Dictionary) -> Result<Vec<DumpTable>, StoreError> {
    let mut hierarchies: BTreeMap<&str, Vec<&Arc<TableDef>>> = BTreeMap::new();
    for table in dictionary.tables() {
        hierarchies.entry(&table.root).or_default().push(table);
    }
    let mut tables = fixed_tables();
    for (root, mut classes) in hierarchies {
        if EVENT_TABLES.contains(&root) {
            continue;
        }
        classes.sort_by(|l, r| (l.lineage.len(), &l.name).cmp(&(r.lineage.len(), &r.name)));
        let fields = columns(root, &classes, kind_name)?;
        let key = fields.iter().position(|field| &*field.column == "sys_id");
        let columns = fields.iter().map(|field| (field.column.to_string(), kind(field))).collect();
        tables.push(DumpTable {
            name: root.to_owned(),
            columns,
            key: key.into_iter().collect(),
            is_records: true,
        });
    }
    Ok(tables)
}

fn kind(field: &FieldDef) -> DumpKind {
    match field.storage {
        ColumnStorage::Text | ColumnStorage::None => DumpKind::Text,
        ColumnStorage::Integer | ColumnStorage::EpochMillis => DumpKind::Integer,
        ColumnStorage::Boolean => DumpKind::Flag,
        ColumnStorage::Real => DumpKind::Real,
    }
}

fn kind_name(field: &FieldDef) -> &'static str {
    match kind(field) {
        DumpKind::Text => "text",
        DumpKind::Integer => "integer",
        DumpKind::Flag => "boolean",
        DumpKind::Real => "real",
    }
}

/// Reads the rows of `table` behind `after`.
pub(crate) fn page(
    dialect: Dialect,
    table: &DumpTable,
    after: &[DumpValue],
    rows_max: usize,
) -> Statement {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    let mut statement = Statement::new(dialect, "SELECT ");
    statement.push(&names.join(", ")).push(" FROM ").name(&table.name).push(" WHERE ");
    if table.name == "campanile_meta" {
        // Nothing else begins so.
        statement.push(&format!("NOT (key >= '{COPY_KEYS}' AND key < 'copy;') AND "));
    }
    let keys: Vec<String> = table
        .key
        .iter()
        .map(|at| match dialect {
            // The index that tells keys apart stands on their small letters.
            Dialect::Postgres if table.is_records => dialect.no_case(&names[*at]),
            // The column's own collation is that of its index.
            _ => names[*at].clone(),
        })
        .collect();
    if after.is_empty() {
        statement.push("TRUE");
    } else {
        statement.push("(").push(&keys.join(", ")).push(") > (");
        for (at, value) in after.iter().enumerate() {
            statement.push(if at == 0 { "" } else { ", " });
            match value {
                DumpValue::Text(text) if table.is_records => {
                    statement.bind_as(dialect.no_case_param(text), ColumnStorage::Text)
                }
                DumpValue::Integer(number) => {
                    statement.bind_as(Param::Integer(*number), ColumnStorage::Integer)
                }
                other => statement.bind_as(param(other), ColumnStorage::Text),
            };
        }
        statement.push(")");
    }
    let order = keys.iter().map(|key| match table.is_records {
        true => dialect.order_key(key, false),
        false => key.clone(),
    });
    let order: Vec<String> = order.collect();
    statement.push(" ORDER BY ").push(&order.join(", ")).push(&format!(" LIMIT {rows_max}"));
    statement
}

/// The value as it is bound.
pub(crate) fn param(value: &DumpValue) -> Param {
    match value {
        DumpValue::Null => Param::Null,
        DumpValue::Text(text) => Param::Text(Arc::clone(text)),
        DumpValue::Integer(number) => Param::Integer(*number),
        DumpValue::Flag(flag) => Param::Integer(i64::from(*flag)),
        DumpValue::Real(number) => Param::Real(*number),
    }
}

/// The refusal of a value that is not of its column's kind.
pub(crate) fn other_kind(table: &DumpTable, column: usize, row: &str, found: &str) -> StoreError {
    let (name, kind) =
        table.columns.get(column).map_or(("", None), |(n, k)| (n.as_str(), Some(*k)));
    StoreError::Statement {
        reason: format!(
            "column '{name}' of table '{}' holds {found} in row {row}, expected {kind:?}: mend the value first",
            table.name
        ),
    }
}
