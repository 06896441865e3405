//! What happens to references when the row that they point to is deleted (business-rules §12.8).

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, Record, TableDef, Value};

use super::change::{Change, Door, Failure, Kind, Options, Outcome};
use super::{audit, integrity, outermost};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::execution::Execution;
use crate::records::lookup;

/// Tables whose rows tell what was: a reference in them stays when its row goes.
const HISTORY: &[&str] = &[
    "sysevent",
    "sysevent_handler_run",
    "sysevent_action_log",
    "sys_audit",
    "sys_audit_delete",
    "sys_journal_field",
    "syslog",
];

/// What a reference does when its row is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Clear,
    Delete,
    Restrict,
}

/// The rules that dictionary rows set; a column without one clears.
#[derive(Debug)]
struct CascadeRules {
    by_column: HashMap<(Arc<str>, Arc<str>), Option<Rule>>,
}

impl Load for CascadeRules {
    const TABLES: &'static [&'static str] = &["sys_dictionary"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let mut by_column = HashMap::new();
        let Some(table) = dictionary.table("sys_dictionary") else { return Ok(Self { by_column }) };
        if table.index("reference_cascade_rule").is_none() {
            return Ok(Self { by_column });
        }
        let read = Arc::clone(engine.store()).read()?;
        for row in read.select(&lookup::equal(table, &[("internal_type", "reference")]))? {
            let rule = match row.text("reference_cascade_rule") {
                "" | "clear" => continue,
                "delete" => Some(Rule::Delete),
                "restrict" => Some(Rule::Restrict),
                _ => None,
            };
            by_column.insert((Arc::from(row.text("name")), Arc::from(row.text("element"))), rule);
        }
        Ok(Self { by_column })
    }
}

/// One column that may point to the deleted row.
pub(super) struct Reference {
    table: Arc<TableDef>,
    field: FieldIndex,
    rule: Rule,
}

/// Columns that may point to rows of `class`.
pub(super) fn rules_for(
    execution: &Execution,
    class: &TableDef,
) -> Result<Vec<Reference>, Failure> {
    let dictionary = execution.dictionary()?;
    let rules = execution.engine().definitions::<CascadeRules>()?;
    let mut references = Vec::new();
    for table in dictionary.tables().filter(|table| !HISTORY.contains(&&*table.root)) {
        for (field, def) in table.fields.iter().enumerate() {
            if def.reference.is_empty()
                || def.defined_on != table.name
                || def.field_type != campanile_model::FieldType::Reference
                || !class.extends(&def.reference)
            {
                continue;
            }
            let key = (Arc::clone(&table.name), Arc::clone(&def.name));
            if let Some(rule) = rules.by_column.get(&key).copied().unwrap_or(Some(Rule::Clear)) {
                references.push(Reference { table: Arc::clone(table), field, rule });
            }
        }
    }
    Ok(references)
}

fn rows(
    execution: &Execution,
    deleted: &Record,
    reference: &Reference,
) -> Result<Vec<Record>, Failure> {
    let field = &reference.table.fields[reference.field].name;
    let select = lookup::equal(&reference.table, &[(field, deleted.text("sys_id"))]);
    Ok(execution.with_read(|tx| tx.select(&select))?)
}

/// Refuses the delete while a `restrict` reference exists.
pub(super) fn restricted(
    execution: &Execution,
    deleted: &Record,
    references: &[Reference],
) -> Result<Option<EngineError>, Failure> {
    for reference in references.iter().filter(|reference| reference.rule == Rule::Restrict) {
        let count = rows(execution, deleted, reference)?.len();
        if count > 0 {
            let field = &reference.table.fields[reference.field].name;
            let detail = format!(
                "{count} rows of {} still refer to it in '{field}': change or delete them first",
                reference.table.name
            );
            return Ok(Some(integrity::refusal_of("restricted", Kind::Delete, deleted, detail)));
        }
    }
    Ok(None)
}

/// Clears references, and deletes referencing rows through their own pipelines. A refusal of one of those refuses
/// the whole delete.
pub(super) fn apply(
    execution: &Rc<Execution>,
    deleted: &Record,
    references: &[Reference],
) -> Result<Option<EngineError>, Failure> {
    for reference in references {
        for row in rows(execution, deleted, reference)? {
            match reference.rule {
                Rule::Restrict => {}
                Rule::Clear => clear(execution, &row, reference.field)?,
                Rule::Delete => {
                    let change = Change {
                        kind: Kind::Delete,
                        table: Arc::clone(&reference.table),
                        sys_id: Some(Arc::from(row.text("sys_id"))),
                        values: Vec::new(),
                        journals: Vec::new(),
                        fresh: None,
                        reason: Arc::from(""),
                        options: Options::plain(Door::Script),
                    };
                    match outermost::run(execution, &change)? {
                        // A row that the cascade of another one took with it is gone already.
                        Outcome::Done { .. }
                        | Outcome::Refused(EngineError::RecordUnknown { .. }) => {}
                        Outcome::Refused(refusal) => return Ok(Some(refusal)),
                    }
                }
            }
        }
    }
    Ok(None)
}

/// Empties one reference: no rules, but audited.
fn clear(execution: &Execution, row: &Record, field: FieldIndex) -> Result<(), Failure> {
    let class = row.table();
    let mut cleared = row.clone();
    cleared.set_at(field, Value::Nil);
    execution.with_writer(|writer| Ok(writer.update(&cleared, &[field])?))?;
    execution.budget().count_row_written();
    let key: Arc<str> = Arc::from(row.text("sys_id").to_ascii_lowercase());
    execution.transaction(|tx| tx.note_write(class, &key));
    audit::changes(execution, &cleared, Some(row), &[field], &[], "")
}
