//! Records for callers from outside: the gate, then the same operation that scripts use.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::{
    BindMode, BindOptions, BoundQuery, InvalidTerm, Operator, ParseLimits, Query, bind, parse,
};
use campanile_model::{Record, SysId, TableDef};
use campanile_script::MessageKind;
use campanile_store::{CommitMark, Select};

use super::execution::Execution;
use super::gate::{self, Operation};
use super::if_match::IfMatch;
pub use super::input::InputValue;
use super::input::{class_of, text_of, values_of};
use super::operation::{self, Change, Door, Kind, Options, Outcome};
use super::{lookup, name_values, syslog, withheld};
use crate::error::EngineError;
use crate::session::Channel;

/// Rows of a page when the caller names no limit (rest-api §6).
const PAGE_ROWS: u64 = 10_000;

/// Which rows of a table.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Table.
    pub table: String,
    /// Encoded query; when it is given, `name_values` are not used.
    pub query: Option<String>,
    /// `field=value` filters: equality, joined by AND; display values of choices and references match too.
    pub name_values: Vec<(String, String)>,
    /// Fields (of the table) whose values are needed; `None` reads all. The key is always read.
    pub fields: Option<Vec<String>>,
    /// Most rows; 0 gives none. `None` takes 10,000; more than 100,000 is taken as 100,000.
    pub limit: Option<u64>,
    /// Rows to leave out first.
    pub offset: u64,
    /// Whether to count all rows that satisfy the query.
    pub count: bool,
}

/// One page of rows.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The rows, as rows of the table that was asked for.
    pub records: Vec<Record>,
    /// Rows that satisfy the query, when they were counted.
    pub total: Option<u64>,
    /// Terms of the query that were dropped.
    pub dropped: Vec<InvalidTerm>,
    /// No row satisfies the query because terms were dropped (`glide.invalid_query.returns_no_rows`).
    pub nothing_by_invalid_terms: bool,
}

/// A row to insert or the changes of one.
#[derive(Debug, Clone, Default)]
pub struct WriteRequest {
    /// Table.
    pub table: String,
    /// The row to change; on insert the key is among `values`.
    pub sys_id: Option<String>,
    /// Field names and values, in the order they were sent. Unknown names are ignored.
    pub values: Vec<(String, InputValue)>,
    /// Values are display values (rest-api §7.5).
    pub input_display: bool,
    /// `If-Match`: the versions that the row may have; `None` is any.
    pub if_match: Option<IfMatch>,
    /// The caller's idempotency key, for tables whose rows have one of their own (events).
    pub idempotency_key: Option<String>,
}

/// What became of a write.
#[derive(Debug, Clone)]
pub struct Written {
    /// The row after all rules have run, of its real class.
    pub record: Record,
    /// Whether anything was written.
    pub changed: bool,
    /// Wait for this before telling anybody.
    pub mark: CommitMark,
    /// What was accepted but will surprise: an async rule that does not run, an unknown queue.
    pub warnings: Vec<String>,
    /// Messages that rules added.
    pub messages: Vec<(MessageKind, String)>,
    /// The row was written by an earlier call with the same idempotency key; nothing was written now.
    pub repeated: bool,
}

/// The rows of `request` that the session may read.
///
/// # Errors
/// [`EngineError::TableUnknown`]; [`EngineError::NotAllowed`]; [`EngineError::BadParameter`] for a query beyond
/// its limits.
pub fn list(execution: &Rc<Execution>, request: &ListRequest) -> Result<ListPage, EngineError> {
    let table = table_of(execution, &request.table)?;
    gate::check(execution.session(), &table, Operation::Read)?;
    settle_log(execution, &table);
    let query = query_of(execution, &table, request)?;
    let dropped = query.dropped.clone();
    let nothing_by_invalid_terms = query.never && !dropped.is_empty();
    let limit =
        request.limit.unwrap_or(PAGE_ROWS).min(campanile_model::limits::TABLE_PAGE_ROWS_MAX);
    let total = match request.count {
        true => Some(execution.with_read(|tx| tx.count(&query))?),
        false => None,
    };
    let mut records = Vec::new();
    if limit > 0 {
        let fields = request.fields.as_ref().map(|names| {
            // The key is always read; so is what the row's class and display value are made of, and what says
            // whether it shows all of itself.
            let needed = ["sys_id", "sys_class_name", "sys_mod_count"].into_iter();
            let needed = needed.chain(withheld::deciding_columns(&table).iter().copied());
            let mut indexes: Vec<usize> = names
                .iter()
                .map(String::as_str)
                .chain(needed)
                .filter_map(|name| table.index(name.split('.').next().unwrap_or(name)))
                .chain([table.display_field])
                .collect();
            indexes.sort_unstable();
            indexes.dedup();
            indexes
        });
        let select = Select { query, limit: Some(limit), offset: request.offset, fields };
        records = execution.with_read(|tx| tx.select(&select))?;
        if gate::sees_own_row_only(execution.session(), &table) {
            records.retain(|record| gate::may_see_row(execution.session(), record));
        }
    }
    Ok(ListPage { records, total, dropped, nothing_by_invalid_terms })
}

/// One row, as a row of `table`.
///
/// # Errors
/// [`EngineError::TableUnknown`]; [`EngineError::RecordUnknown`], also for a row that may not be read.
pub fn get(execution: &Rc<Execution>, table: &str, sys_id: &str) -> Result<Record, EngineError> {
    let table = table_of(execution, table)?;
    settle_log(execution, &table);
    let found = execution.read_row(&table, sys_id)?;
    let record = found.ok_or_else(|| gate::unknown(&table, sys_id))?;
    gate::check_row(execution.session(), &record, Operation::Read)?;
    Ok(record)
}

/// Inserts a row.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::OperationDenied`], [`EngineError::Aborted`],
/// [`EngineError::Mandatory`], [`EngineError::Integrity`].
pub fn insert(execution: &Rc<Execution>, request: &WriteRequest) -> Result<Written, EngineError> {
    let addressed = table_of(execution, &request.table)?;
    if let Some(special) = execution.engine().special_tables.of(&addressed.name) {
        gate::check(execution.session(), &addressed, Operation::Create)?;
        return (special.insert)(execution, request);
    }
    let table = class_of(execution, &addressed, &request.values)?;
    gate::check(execution.session(), &table, Operation::Create)?;
    let given = request.values.iter().find(|(name, _)| name == "sys_id");
    let sys_id = given
        .and_then(|(_, input)| text_of(input, request.input_display))
        .filter(|id| !id.is_empty());
    if let Some(sys_id) = sys_id.filter(|id| !SysId::is_valid(id)) {
        return Err(EngineError::BadParameter {
            parameter: "sys_id".to_owned(),
            detail: format!("expected 32 letters or digits, got '{sys_id}'"),
        });
    }
    let (values, journals) = values_of(execution, &table, request, None)?;
    let change = Change {
        kind: Kind::Insert,
        table: Arc::clone(&table),
        sys_id: sys_id.map(Arc::from),
        values,
        journals,
        fresh: None,
        reason: Arc::from(""),
        options: Options::plain(door(execution)),
    };
    perform(execution, &change)
}

/// Changes a row. What changes nothing runs no rule and answers with the row.
///
/// # Errors
/// As [`insert`]; [`EngineError::RecordUnknown`], [`EngineError::VersionConflict`].
pub fn update(execution: &Rc<Execution>, request: &WriteRequest) -> Result<Written, EngineError> {
    let addressed = table_of(execution, &request.table)?;
    let sys_id = request.sys_id.as_deref().unwrap_or_default();
    let found = execution.read_real_row(&addressed, sys_id)?;
    let stored = found.ok_or_else(|| gate::unknown(&addressed, sys_id))?;
    gate::check_row(execution.session(), &stored, Operation::Write)?;
    let if_match = version(request.if_match.as_ref(), &stored)?;
    if let Some(special) = execution.engine().special_tables.of(&addressed.name) {
        return (special.update)(execution, request, if_match);
    }
    let table = Arc::clone(stored.table());
    let (values, journals) = values_of(execution, &table, request, Some(&stored))?;
    let change = Change {
        kind: Kind::Update,
        table,
        sys_id: Some(Arc::from(stored.text("sys_id"))),
        values,
        journals,
        fresh: Some(stored),
        reason: Arc::from(""),
        options: Options { if_match, ..Options::plain(door(execution)) },
    };
    perform(execution, &change)
}

/// Deletes a row with its cascades. Whoever tells somebody waits for the mark first.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::RecordUnknown`], [`EngineError::OperationDenied`],
/// [`EngineError::Aborted`], [`EngineError::Integrity`].
pub fn delete(
    execution: &Rc<Execution>,
    table: &str,
    sys_id: &str,
) -> Result<CommitMark, EngineError> {
    delete_as(execution, table, sys_id, Deletion::default())
}

/// How a row is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deletion {
    /// `If-Match`: the versions that the row may have; `None` is any.
    pub if_match: Option<IfMatch>,
    /// Also when definitions name the row, where that may be insisted on (registrations).
    pub insists: bool,
}

/// As [`delete`], in the way that `deletion` says.
///
/// # Errors
/// As [`delete`]; [`EngineError::VersionConflict`].
pub fn delete_as(
    execution: &Rc<Execution>,
    table: &str,
    sys_id: &str,
    deletion: Deletion,
) -> Result<CommitMark, EngineError> {
    let Deletion { if_match, insists } = deletion;
    let addressed = table_of(execution, table)?;
    let found = execution.read_real_row(&addressed, sys_id)?;
    let stored = found.ok_or_else(|| gate::unknown(&addressed, sys_id))?;
    gate::check_row(execution.session(), &stored, Operation::Delete)?;
    let if_match = version(if_match.as_ref(), &stored)?;
    if execution.engine().special_tables.of(&addressed.name).is_some() {
        return Err(EngineError::OperationDenied {
            operation: "Delete",
            table: addressed.name.to_string(),
        });
    }
    let change = Change {
        kind: Kind::Delete,
        table: Arc::clone(stored.table()),
        sys_id: Some(Arc::from(stored.text("sys_id"))),
        values: Vec::new(),
        journals: Vec::new(),
        fresh: None,
        reason: Arc::from(""),
        options: Options { if_match, insists, ..Options::plain(door(execution)) },
    };
    match operation::run(execution, &change).map_err(operation::Failure::into_error)? {
        Outcome::Done { .. } => Ok(execution.commit_mark()),
        Outcome::Refused(error) => Err(error),
    }
}

/// The version that the row must still have when it is written, if the caller said anything of it.
fn version(if_match: Option<&IfMatch>, stored: &Record) -> Result<Option<i64>, EngineError> {
    if_match.map(|if_match| if_match.version_of(stored)).transpose()
}

/// Whoever reads the system log from outside sees every line that was written before: lines are stored a moment later,
/// by a thread of their own. Nobody from outside holds the writer, which that thread needs.
fn settle_log(execution: &Execution, table: &TableDef) {
    if &*table.name == "syslog" && door(execution) == Door::Http {
        syslog::flush(execution.engine());
    }
}

pub(super) fn table_of(execution: &Execution, name: &str) -> Result<Arc<TableDef>, EngineError> {
    let dictionary = execution.dictionary()?;
    Ok(Arc::clone(lookup::table(&dictionary, name)?))
}

fn door(execution: &Execution) -> Door {
    match execution.session().channel {
        Channel::Http => Door::Http,
        Channel::Script => Door::Script,
        Channel::System => Door::System,
    }
}

fn perform(execution: &Rc<Execution>, change: &Change) -> Result<Written, EngineError> {
    let messages = execution.message_count();
    let outcome = operation::run(execution, change).map_err(operation::Failure::into_error)?;
    let (record, changed, written_again) = match outcome {
        Outcome::Done { record, changed, written_again } => (record, changed, written_again),
        Outcome::Refused(error) => return Err(error),
    };
    Ok(Written {
        record: settled(execution, record, written_again)?,
        changed,
        mark: execution.commit_mark(),
        warnings: execution.take_warnings(),
        messages: execution.messages().split_off(messages),
        repeated: false,
    })
}

/// The row as it stands at the end: after rules may have written it once more, or deleted it.
pub(super) fn settled(
    execution: &Execution,
    record: Record,
    written_again: bool,
) -> Result<Record, EngineError> {
    Ok(match written_again {
        true => execution.read_row(record.table(), record.text("sys_id"))?.unwrap_or(record),
        false => record,
    })
}

fn query_of(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    request: &ListRequest,
) -> Result<BoundQuery, EngineError> {
    let dictionary = execution.dictionary()?;
    let mut query = match request.query.as_deref().filter(|query| !query.is_empty()) {
        Some(text) => {
            parse(text, ParseLimits::HTTP).map_err(|error| EngineError::BadParameter {
                parameter: "sysparm_query".to_owned(),
                detail: error.to_string(),
            })?
        }
        None => name_values::query(execution, table, &request.name_values)?,
    };
    if execution.session().channel == Channel::Http {
        drop_expressions(&mut query);
    } else {
        execution.evaluate_values(&mut query);
    }
    let strict = execution.engine().bool_property("glide.invalid_query.returns_no_rows", false);
    let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: strict };
    let mut bound = bind(&query, table, &dictionary, options);
    gate::restrict(execution.session(), &mut bound, strict);
    Ok(bound)
}

/// `javascript:` values from outside never run (scripting §1.5): such a term is invalid.
fn drop_expressions(query: &mut Query) {
    let invalid = &mut query.invalid;
    for alternative in &mut query.alternatives {
        for group in &mut alternative.groups {
            group.terms.retain(|term| {
                let scripted = term.value.split('@').any(|part| part.starts_with("javascript:"));
                if scripted {
                    invalid.push(InvalidTerm {
                        text: format!(
                            "{}{}{}",
                            term.path,
                            Operator::word(term.operator),
                            term.value
                        ),
                        reason: "expressions are not evaluated in queries from outside".to_owned(),
                    });
                }
                !scripted
            });
        }
        alternative.groups.retain(|group| !group.terms.is_empty());
    }
}
