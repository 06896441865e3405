//! What the engine answers when it cannot do what was asked. Knows no HTTP: `server/src/errors.rs` maps kinds.

use std::sync::Arc;

use campanile_script::LimitKind;
use campanile_store::StoreError;

/// A refusal or failure, by kind. `code` is stable, for programs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The table is not in the dictionary.
    #[error("Invalid table {0}")]
    TableUnknown(String),
    /// No such row, or the caller may not read it: the two are not told apart.
    #[error("no record {sys_id} in {table}")]
    RecordUnknown {
        /// Table as addressed.
        table: String,
        /// Key as addressed.
        sys_id: String,
    },
    /// The caller may not use the table at all.
    #[error("'{user}' may not use {what}: expected role {expected}")]
    NotAllowed {
        /// Login.
        user: String,
        /// What was refused.
        what: String,
        /// Roles that would do.
        expected: String,
    },
    /// The gate refused the operation on this table.
    #[error("{operation} on {table} failed due to security constraints")]
    OperationDenied {
        /// `Insert`, `Update`, `Delete`.
        operation: &'static str,
        /// Table.
        table: String,
    },
    /// A business rule aborted the operation.
    #[error("operation on '{table}' was aborted by business rule '{rule}'")]
    Aborted {
        /// Table.
        table: String,
        /// Name of the rule that set the flag.
        rule: String,
        /// Its sys_id.
        rule_id: String,
        /// Rules on the stack, innermost first.
        stack: Vec<String>,
        /// Messages that rules added.
        messages: Vec<String>,
    },
    /// A mandatory field is empty.
    #[error("{}", mandatory_text(.labels))]
    Mandatory {
        /// Labels of the fields.
        labels: Vec<String>,
    },
    /// Unique key, length or another integrity rule. `code` tells which.
    #[error("{detail}")]
    Integrity {
        /// `duplicate`, `too_long`, `bad_sys_id`, `definition_invalid`, `last_administrator`, …
        code: &'static str,
        /// Operation: `insert`, `update`, `delete`.
        operation: &'static str,
        /// Table.
        table: String,
        /// Display value of the row.
        display: String,
        /// What is wrong and how to mend it.
        detail: String,
    },
    /// A parameter is malformed.
    #[error("`{parameter}`: {detail}")]
    BadParameter {
        /// Its name.
        parameter: String,
        /// `expected a number, got 'ten'`.
        detail: String,
    },
    /// An event could not be fired. `code` is one of rest-api §17.1's 422 codes.
    #[error("{detail}")]
    FireRefused {
        /// `name_invalid`, `name_unregistered`, `table_unknown`, `queue_invalid`, `value_too_long`, `key_reused`,
        /// `registration_inactive`, `loop_suspected`.
        code: &'static str,
        /// What is wrong, where, and how to mend it.
        detail: String,
    },
    /// One or more events of a batch could not be fired; nothing was stored.
    #[error("{} refused", campanile_model::counted(.items.len(), "of the events was", "of the events were"))]
    BatchRefused {
        /// Index, code and detail of each.
        items: Vec<(usize, &'static str, String)>,
    },
    /// The first call with this idempotency key is still running.
    #[error("the first call with idempotency key '{key}' is still running")]
    KeyInUse {
        /// The key as the caller gave it.
        key: String,
    },
    /// An optimistic lock failed.
    #[error("the record has changed: expected version {expected}, it has {present}")]
    VersionConflict {
        /// What the caller had.
        expected: String,
        /// What it is.
        present: String,
    },
    /// A pack, a map or a file could not be used. Path and fix are in the text.
    #[error("{path}: {detail}")]
    BadInput {
        /// Where: `packs/itsm/pack.yaml: business_rules[3].table`.
        path: String,
        /// What is wrong and how to mend it.
        detail: String,
    },
    /// What a copy has brought over is not what the source has.
    #[error(
        "table '{table}' is not the same on both sides ({expected} rows in {from}, {found} in {to}): one of them was changed \
         since the copy began; empty the target and copy again"
    )]
    CopyDiffers {
        /// The table.
        table: String,
        /// The source.
        from: String,
        /// The target.
        to: String,
        /// Rows of the source.
        expected: u64,
        /// Rows of the target.
        found: u64,
    },
    /// Credentials were refused.
    #[error("wrong user name or password")]
    Unauthenticated,
    /// A script passed one of its limits; the operation that it belonged to was rolled back.
    #[error("{}", .0.detail)]
    LimitReached(Box<LimitReached>),
    /// The server is stopping or overloaded.
    #[error("{0}")]
    Unavailable(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which limit ended the work, and in which script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// The limit.
    pub limit: LimitKind,
    /// What sets it: a property, or a field of the definition.
    pub set_by: &'static str,
    /// Where; `None` for work that no script asked for.
    pub script: Option<ScriptPlace>,
    /// Name of the limit, in words, and the property that sets it.
    pub detail: String,
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPlace {
    /// Table of the row that holds it; empty for one that is stored nowhere.
    pub table: Arc<str>,
    /// That row.
    pub sys_id: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Line in the stored text, as far as it is known.
    pub line: Option<u32>,
    /// Column.
    pub column: Option<u32>,
}

fn mandatory_text(labels: &[String]) -> String {
    match labels {
        [one] => format!("{one} is mandatory"),
        many => format!("The following fields are mandatory: {}", many.join(", ")),
    }
}
