//! What a script may reach outside the sandbox. The engine implements these traits; nothing else does.
//!
//! Everything here is single-threaded (`Rc`, `&self`): one run, with all runs nested in it, lives on one thread.

use std::rc::Rc;

use campanile_model::Instant;

use crate::run::LimitKind;

/// A record object that scripts hold. Cloning shares it: `current` is the same object for every rule.
pub type RecordRef = Rc<dyn HostRecord>;

/// A field of a record object, or one reached through references; interned per record object, stable for its
/// life, so that `gr.a.b` is the same element each time.
pub type PathId = u32;

/// A condition object that `addQuery` returned; an index within its record object.
pub type ConditionId = u32;

/// What ends or disturbs a host call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HostError {
    /// An exception that the script may catch: class (`Error`, `TypeError`, `RangeError` …) and message.
    #[error("{class}: {message}")]
    Throw {
        /// Constructor name of the error.
        class: &'static str,
        /// Its message.
        message: String,
    },
    /// The run is over: the script cannot catch it (scripting §16).
    #[error("terminated: {0}")]
    Terminated(LimitKind),
}

/// A value that crosses from JavaScript to the host, already freed of engine types (scripting §2.4, §3.4 of
/// events-and-jobs). Elements arrive as `Element`, so that the host copies the stored value.
#[derive(Clone)]
pub enum ExternalValue {
    /// `undefined`.
    Undefined,
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A string.
    Text(Rc<str>),
    /// An element of a record object.
    Element(RecordRef, PathId),
    /// A record object.
    Record(RecordRef),
    /// A `GlideDateTime` (`None` when it is invalid or has no date).
    DateTime(Option<Instant>),
    /// An array; used by `IN` conditions and list fields.
    List(Vec<ExternalValue>),
    /// Any other object: its `String(v)` and its JSON text.
    Object {
        /// `String(v)`.
        text: Rc<str>,
        /// `JSON.stringify(v)`.
        json: Rc<str>,
    },
}

/// How an element behaves in expressions (scripting §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// Text of any kind.
    Text,
    /// Integer, decimal, float.
    Number,
    /// Boolean: script text `true`/`false`, stored text `1`/`0`.
    Boolean,
    /// Reference: may be dot-walked.
    Reference,
    /// `glide_list`.
    List,
    /// Date-time, date, time.
    Temporal,
    /// Duration.
    Duration,
    /// Journal.
    Journal,
}

/// Dictionary facts about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMeta {
    /// Column name.
    pub name: String,
    /// Column label.
    pub label: String,
    /// Table that defines the column.
    pub table: String,
    /// Root of that hierarchy.
    pub base_table: String,
    /// Referenced table; empty when the field is no reference.
    pub reference: String,
    /// Dictionary type name.
    pub internal_type: String,
    /// Longest value.
    pub max_length: usize,
    /// Required over REST.
    pub mandatory: bool,
    /// `name[=value]`, comma-separated.
    pub attributes: String,
    /// Choice values of the base table, in order.
    pub choices: Vec<String>,
}

/// One record object: a query, a cursor over its rows, and the field values of the current row (scripting §5).
///
/// Methods that the reference says never throw return `Ok`; `Err` is a termination, or an exception that the
/// table of errors (§17) promises. A "warning" is the host's to log.
pub trait HostRecord {
    // --- identity -------------------------------------------------------------------------------------------

    /// The host's own object behind this one.
    fn as_any(&self) -> &dyn std::any::Any;
    /// Table given to the constructor.
    fn table_name(&self) -> String;
    /// Real class of the row; the table when not on a row.
    fn record_class(&self) -> String;
    /// Label of the table.
    fn table_label(&self, plural: bool) -> String;
    /// The table exists, and after `get` the row was found.
    fn is_valid(&self) -> bool;
    /// On a row (`isValidRecord`).
    fn is_valid_record(&self) -> bool;
    /// A new row that is not stored yet.
    fn is_new_record(&self) -> bool;
    /// The null-like `current` of scripting §1.2: `== null` is true, `if` is false.
    fn is_null_like(&self) -> bool;
    /// The row's class is `class` or extends it.
    fn instance_of(&self, class: &str) -> bool;
    /// `insert`, `update`, `delete` …, `None` when no operation was done.
    fn operation(&self) -> Option<String>;
    /// sys_id; `None` when there is none.
    fn unique_value(&self) -> Option<String>;
    /// Text of the last refusal on this object.
    fn last_error(&self) -> Option<String>;

    // --- fields ---------------------------------------------------------------------------------------------

    /// All field names, inherited ones first.
    fn field_names(&self) -> Vec<String>;
    /// The field called `name`; `None` when the table has none.
    fn field(&self, name: &str) -> Option<PathId>;
    /// The field `name` of the record that `parent` refers to; `None` when `parent` is no reference or the
    /// referenced table (or, when loaded, the row's real class) has no such field, or the walk is too deep.
    fn sub_field(&self, parent: PathId, name: &str) -> Option<PathId>;
    /// Dictionary facts.
    fn meta(&self, path: PathId) -> FieldMeta;
    /// How it behaves in expressions.
    fn kind(&self, path: PathId) -> ElementKind;

    // --- reading --------------------------------------------------------------------------------------------

    /// Script text (§3.2); empty when nil.
    fn script_text(&self, path: PathId) -> Rc<str>;
    /// No value.
    fn is_nil(&self, path: PathId) -> bool;
    /// Stored text; `None` when nil (`getValue`).
    fn stored_text(&self, path: PathId) -> Option<Rc<str>>;
    /// Display value; empty when nil.
    fn display_value(&self, path: PathId) -> String;
    /// Display value of the row.
    fn record_display_value(&self) -> String;
    /// The referenced row as a record object of its own (`getRefRecord`): an empty one for a nil reference,
    /// `None` when the field is no reference.
    fn referenced_record(&self, path: PathId) -> Option<RecordRef>;
    /// Milliseconds since the epoch of a temporal field (of the span, for a duration); `None` when nil.
    fn temporal_millis(&self, path: PathId) -> Option<i64>;
    /// The newest `count` journal entries, −1 for all (scripting §6).
    fn journal_entries(&self, path: PathId, count: i64) -> String;

    // --- writing in memory ----------------------------------------------------------------------------------

    /// Direct assignment `gr.f = v` (§3.1, §3.8, §4, §6).
    fn assign(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError>;
    /// `setValue`: as assignment, but `null` has no effect and journals are refused with a warning.
    fn set_value(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError>;
    /// `setDisplayValue` (§4).
    fn set_display_value(&self, path: PathId, text: &str) -> Result<(), HostError>;
    /// `setJournalEntry`.
    fn set_journal_entry(&self, path: PathId, text: &str, user_name: Option<&str>);
    /// An unknown name was assigned: logged once per script at debug level.
    fn note_unknown_assignment(&self, name: &str);
    /// `setError` on the field.
    fn set_field_error(&self, path: PathId, message: &str);
    /// `getError` of the field; empty when none.
    fn field_error(&self, path: PathId) -> String;

    // --- changes --------------------------------------------------------------------------------------------

    /// Any field changed in this operation.
    fn any_changes(&self) -> bool;
    /// The field changed in this operation.
    fn changes(&self, path: PathId) -> bool;
    /// Text of the field before this operation as script text, to be compared by §3.5; `None` when it did not change.
    fn previous_script_text(&self, path: PathId) -> Option<Rc<str>>;

    // --- query building -------------------------------------------------------------------------------------

    /// `addQuery(field, operator, value)`.
    fn add_query(&self, field: &str, operator: &str, value: &ExternalValue) -> ConditionId;
    /// `addOrCondition` on a condition of this object; returns the same group.
    fn add_or_condition(
        &self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId;
    /// `addCondition` on a condition of this object.
    fn add_and_condition(
        &self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId;
    /// `addEncodedQuery`, `addQuery(text)`.
    fn add_encoded_query(&self, query: &str) -> ConditionId;
    /// `addActiveQuery` / `addInactiveQuery`: no condition when the table has no `active`.
    fn add_active_query(&self, active: bool) -> ConditionId;
    /// `orderBy`, `orderByDesc`.
    fn order_by(&self, field: &str, descending: bool);
    /// `setLimit`: zero or negative means none; overrides a window.
    fn set_limit(&self, rows: i64);
    /// `chooseWindow`: zero-based, last exclusive; overrides a limit.
    fn choose_window(&self, first: i64, last: i64);
    /// Canonical encoded form.
    fn encoded_query(&self) -> String;
    /// Every term of `query` names a real field and operator; empty is false.
    fn is_valid_encoded_query(&self, query: &str) -> bool;

    // --- executing and moving -------------------------------------------------------------------------------

    /// `query()`.
    fn query(&self) -> Result<(), HostError>;
    /// `next()`.
    fn next(&self) -> Result<bool, HostError>;
    /// `hasNext()`.
    fn has_next(&self) -> Result<bool, HostError>;
    /// `get(value)`: by sys_id, else by display value.
    fn get(&self, value: &ExternalValue) -> Result<bool, HostError>;
    /// `get(field, value)`.
    fn get_by(&self, field: &str, value: &ExternalValue) -> Result<bool, HostError>;
    /// `getRowCount()`.
    fn row_count(&self) -> Result<i64, HostError>;

    // --- operations -----------------------------------------------------------------------------------------

    /// `initialize()`.
    fn initialize(&self);
    /// `newRecord()`.
    fn new_record(&self) -> Result<(), HostError>;
    /// `insert()`: the sys_id, `None` when refused.
    fn insert(&self) -> Result<Option<String>, HostError>;
    /// `update(reason)`: the sys_id, `None` when refused.
    fn update(&self, reason: &str) -> Result<Option<String>, HostError>;
    /// `deleteRecord()`.
    fn delete(&self) -> Result<bool, HostError>;
    /// `updateMultiple()`.
    fn update_multiple(&self) -> Result<(), HostError>;
    /// `deleteMultiple()`.
    fn delete_multiple(&self) -> Result<(), HostError>;
    /// `setNewGuidValue`: only 32 hex digits are accepted.
    fn set_new_guid(&self, sys_id: Option<&str>);
    /// `setWorkflow`.
    fn set_workflow(&self, on: bool);
    /// `autoSysFields`.
    fn auto_sys_fields(&self, on: bool);
    /// `setForceUpdate`.
    fn set_force_update(&self, on: bool);
    /// `setAbortAction`.
    fn set_abort_action(&self, abort: bool);
    /// `isActionAborted`.
    fn is_action_aborted(&self) -> bool;
    /// `canRead` … `canDelete`: `operation` is `read`, `write`, `create`, `delete`; `path` for one field.
    fn can(&self, operation: &str, path: Option<PathId>) -> bool;
    /// The next number of the table's sequence (`getNextObjNumberPadded` in a default value); empty when it has none.
    fn next_number(&self) -> String;
}

/// Level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `gs.print`: the process log and the run's own log, not `syslog`.
    Print,
    /// −1
    Debug,
    /// 0
    Info,
    /// 1
    Warn,
    /// 2
    Error,
}

/// Kind of a session message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// `gs.addInfoMessage`
    Info,
    /// `gs.addErrorMessage`
    Error,
}

/// The acting user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// sys_id; empty for `system` when it has no row.
    pub sys_id: String,
    /// Login.
    pub user_name: String,
    /// Name.
    pub display_name: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Mail address.
    pub email: String,
    /// All effective roles.
    pub roles: Vec<String>,
}

/// `gs.eventQueue(name, record, parm1, parm2, queue)`, arguments as given.
pub struct EventCall<'a> {
    /// Event name.
    pub name: &'a str,
    /// The record it is about.
    pub record: Option<RecordRef>,
    /// First value.
    pub parm1: &'a ExternalValue,
    /// Second value.
    pub parm2: &'a ExternalValue,
    /// Queue argument; empty when not given.
    pub queue: &'a str,
}

/// `gs.eventQueueScheduled(name, record or sys_id, parm1, parm2, when)`.
pub struct ScheduledEventCall<'a> {
    /// Event name.
    pub name: &'a str,
    /// A record object, a sys_id text, or nothing.
    pub subject: &'a ExternalValue,
    /// First value.
    pub parm1: &'a ExternalValue,
    /// Second value.
    pub parm2: &'a ExternalValue,
    /// A date-time object, element or UTC text; empty means now.
    pub when: &'a ExternalValue,
}

/// The session side of the Glide API.
pub trait Host {
    /// The present instant.
    fn now(&self) -> Instant;
    /// Why the script that calls now must end, if it must: a limit of the host's own is passed. Asked where a script may come to
    /// hold more by a call that cannot fail.
    fn must_end(&self) -> Option<LimitKind> {
        None
    }
    /// `new GlideRecord(table)`; an unknown table gives an object whose `is_valid()` is false, and a warning.
    fn new_record(&self, table: &str) -> RecordRef;
    /// `gs.tableExists`.
    fn table_exists(&self, table: &str) -> bool;
    /// One log line; `source` empty means `*** Script`. Bounded by `max_log_rows` and `max_log_chars`.
    fn log(&self, level: LogLevel, source: &str, message: &str);
    /// Whether debug lines are stored.
    fn is_debugging(&self) -> bool;
    /// Adds a session message.
    fn add_message(&self, kind: MessageKind, text: &str);
    /// The session's messages of one kind.
    fn messages(&self, kind: MessageKind) -> Vec<String>;
    /// Forgets all messages.
    fn flush_messages(&self);
    /// `gs.getMessage` without the arguments put in: the text for `key`, else the key.
    fn message_text(&self, key: &str) -> String;
    /// The acting user.
    fn user(&self) -> UserInfo;
    /// Any of the comma-separated roles; always true for admin.
    fn has_role(&self, roles: &str) -> bool;
    /// A person at a user interface.
    fn is_interactive(&self) -> bool;
    /// `sys_properties.value`; `None` when there is no such property.
    fn property(&self, name: &str) -> Option<String>;
    /// Creates or updates a property; visible to the next [`Host::property`].
    fn set_property(&self, name: &str, value: &str, description: &str) -> Result<(), HostError>;
    /// `gs.eventQueue`.
    fn event_queue(&self, call: &EventCall<'_>) -> Result<(), HostError>;
    /// `gs.eventQueueScheduled`.
    fn event_queue_scheduled(&self, call: &ScheduledEventCall<'_>) -> Result<(), HostError>;
    /// `global_events(current)`.
    fn global_events(&self, record: &RecordRef) -> Result<(), HostError>;
    /// Blocks for `millis`, counting toward the time limit; at most 5,000 per call.
    fn sleep(&self, millis: u64) -> Result<(), HostError>;
    /// `gs.generateGUID`.
    fn generate_guid(&self) -> String;
    /// `gs.getDisplayColumn`.
    fn display_column(&self, table: &str) -> String;
}
