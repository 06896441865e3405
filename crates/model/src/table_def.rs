//! What the dictionary says about a table: its columns, own and inherited.

use std::collections::HashMap;
use std::sync::Arc;

/// Position of a field in [`TableDef::fields`]; also of its value in a [`crate::Record`] of that table.
pub type FieldIndex = usize;

/// Positions of fields by name: asked for several times by each row that is read or written.
pub type FieldNames = HashMap<Arc<str>, FieldIndex, foldhash::fast::RandomState>;

/// A column's dictionary type (business-rules §12.3), as far as its behaviour differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `string` and the text types that behave as it does.
    String,
    /// `html`.
    Html,
    /// `script`, `script_plain`, `script_server`, `email_script`, `condition_string`.
    Script,
    /// `conditions`: an encoded query.
    Conditions,
    /// `integer`, `longint`, `order_index`.
    Integer,
    /// `decimal` (scale 2 unless the attribute `scale` says otherwise).
    Decimal,
    /// `float` (scale 7).
    Float,
    /// `boolean`.
    Boolean,
    /// `reference`.
    Reference,
    /// `glide_list`.
    GlideList,
    /// `glide_date_time`, `due_date`.
    DateTime,
    /// `glide_date`.
    Date,
    /// `glide_time`.
    Time,
    /// `glide_duration`.
    Duration,
    /// `journal`, `journal_input`: entries stand in `sys_journal_field`, there is no column.
    Journal,
    /// `journal_list`: a merged view, never stored.
    JournalList,
    /// `sys_class_name`, `table_name`.
    TableName,
    /// `GUID`: the row's own key.
    Guid,
    /// `password`: a one-way hash, never returned.
    Password,
    /// `password2`: ciphertext, never returned without the right role.
    Password2,
}

/// The names of types that `sys_dictionary.internal_type` may have (§12.3); `collection` is that of the table's own row.
pub const INTERNAL_TYPES: &[&str] = &[
    "string",
    "multi_two_lines",
    "multi_small",
    "wide_text",
    "html",
    "script",
    "script_plain",
    "script_server",
    "email_script",
    "condition_string",
    "conditions",
    "email",
    "url",
    "ph_number",
    "ip_addr",
    "css",
    "json",
    "xml",
    "integer",
    "longint",
    "order_index",
    "decimal",
    "float",
    "boolean",
    "choice",
    "reference",
    "glide_list",
    "glide_date_time",
    "due_date",
    "glide_date",
    "glide_time",
    "glide_duration",
    "journal",
    "journal_input",
    "journal_list",
    "sys_class_name",
    "table_name",
    "field_name",
    "document_id",
    "GUID",
    "password",
    "password2",
    "user_roles",
    "domain_id",
    "domain_path",
    "translated_text",
    "translated_field",
    "simple_name_values",
    "name_values",
    "template_value",
    "variables",
    "workflow",
    "collection",
];

impl FieldType {
    /// The behaviour of a dictionary type name; an unknown name behaves as `string`.
    #[must_use]
    pub fn from_internal_type(name: &str) -> Self {
        match name {
            "html" => Self::Html,
            "script" | "script_plain" | "script_server" | "email_script" | "condition_string" => {
                Self::Script
            }
            "conditions" => Self::Conditions,
            "integer" | "longint" | "order_index" => Self::Integer,
            "decimal" => Self::Decimal,
            "float" => Self::Float,
            "boolean" => Self::Boolean,
            "reference" => Self::Reference,
            "glide_list" => Self::GlideList,
            "glide_date_time" | "due_date" => Self::DateTime,
            "glide_date" => Self::Date,
            "glide_time" => Self::Time,
            "glide_duration" => Self::Duration,
            "journal" | "journal_input" => Self::Journal,
            "journal_list" => Self::JournalList,
            "sys_class_name" | "table_name" => Self::TableName,
            "GUID" => Self::Guid,
            "password" => Self::Password,
            "password2" => Self::Password2,
            _ => Self::String,
        }
    }

    /// Whether values of this type are told to nobody: not shown, compared, copied, audited or kept in snapshots.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::Password2)
    }

    /// Whether values of this type are compared as numbers.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal | Self::Float)
    }

    /// Whether values of this type are dates or times; their stored texts order as the times do.
    #[must_use]
    pub const fn is_temporal(self) -> bool {
        matches!(self, Self::DateTime | Self::Date | Self::Time | Self::Duration)
    }

    /// `max_length` when the dictionary gives none (§12.3).
    #[must_use]
    pub const fn default_max_length(self) -> usize {
        match self {
            Self::Html | Self::Script => 65_536,
            Self::Conditions | Self::Journal => 4_000,
            Self::Reference | Self::Guid => 32,
            Self::GlideList => 1_024,
            Self::TableName => 80,
            Self::Password | Self::Password2 => 255,
            _ => 40,
        }
    }
}

/// How a column is kept in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnStorage {
    /// Text. Dates, times and durations are text too: `yyyy-MM-dd HH:mm:ss` orders as time does.
    Text,
    /// 64-bit integer.
    Integer,
    /// Floating-point number, shown with the column's scale.
    Real,
    /// Integer 0 or 1.
    Boolean,
    /// Milliseconds since the epoch (events and handler runs keep milliseconds); read as glide text.
    EpochMillis,
    /// No column: journals.
    None,
}

/// Who may not change a read-only column (`sys_dictionary.read_only_option`, business-rules §12.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadOnlyOption {
    /// Nothing said: callers from outside may not, scripts may.
    #[default]
    Unset,
    /// Forms alone: callers and scripts may.
    Display,
    /// Callers from outside and background scripts may not, rules and handlers may.
    ClientScriptModifiable,
    /// Nobody may but the product itself.
    Strict,
}

impl ReadOnlyOption {
    /// The option of this name; an unknown one says nothing.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name {
            "display_read_only" => Self::Display,
            "client_script_modifiable" => Self::ClientScriptModifiable,
            "strict_read_only" => Self::Strict,
            _ => Self::Unset,
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDef {
    /// Column name: lower-case letters, digits, underscores.
    pub name: Arc<str>,
    /// Label for people.
    pub label: Arc<str>,
    /// Behaviour.
    pub field_type: FieldType,
    /// The dictionary's own type name, e.g. `order_index`.
    pub internal_type: Arc<str>,
    /// How the database keeps it.
    pub storage: ColumnStorage,
    /// Name of the column in the physical table of the hierarchy's root; differs from `name` only where two
    /// classes use one name for different types.
    pub column: Arc<str>,
    /// Longest value in characters.
    pub max_length: usize,
    /// Target table of a reference or list; empty otherwise.
    pub reference: Arc<str>,
    /// Constant, or text beginning `javascript:`; empty for none. The class's override is already applied.
    pub default_value: Arc<str>,
    /// Required over REST.
    pub mandatory: bool,
    /// Read-only; `read_only_option` tells for whom.
    pub read_only: bool,
    /// For whom it is, when it is.
    pub read_only_option: ReadOnlyOption,
    /// No two rows with the same non-nil value.
    pub unique: bool,
    /// Display field of its table.
    pub display: bool,
    /// The column has a choice list (dictionary `choice` 1, 2 or 3).
    pub has_choices: bool,
    /// `name[=value]` attributes, comma-separated.
    pub attributes: Arc<str>,
    /// Decimal digits behind the point, for decimals and floats.
    pub scale: u8,
    /// Inactive columns stay readable and writable by scripts but are not listed over REST.
    pub active: bool,
    /// Table that defines the column.
    pub defined_on: Arc<str>,
}

impl FieldDef {
    /// The text of attribute `name`; a bare name gives `Some("true")`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.split(',').find_map(|item| {
            let (key, value) = item.trim().split_once('=').unwrap_or((item.trim(), "true"));
            (key == name).then_some(value)
        })
    }
}

/// One table (class): all its fields, inherited ones first, in dictionary order.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    /// Table name.
    pub name: Arc<str>,
    /// Label for people.
    pub label: Arc<str>,
    /// Plural label.
    pub plural: Arc<str>,
    /// Direct parent; empty for a root.
    pub parent: Arc<str>,
    /// Root of the hierarchy: the name of the physical table that holds the rows.
    pub root: Arc<str>,
    /// Itself, its parent, … up to the root.
    pub lineage: Vec<Arc<str>>,
    /// This class and every class below it.
    pub subtree: Vec<Arc<str>>,
    /// Rows of the physical table carry `sys_class_name` (the hierarchy is extensible).
    pub has_class: bool,
    /// All fields, inherited first.
    pub fields: Vec<FieldDef>,
    /// Position of each field by name.
    pub by_name: FieldNames,
    /// Display field by business-rules §12.4.
    pub display_field: FieldIndex,
    /// Changes are written to `sys_audit`.
    pub audit: bool,
    /// Table-level attributes from the collection row.
    pub attributes: Arc<str>,
}

impl TableDef {
    /// The field called `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldDef> {
        self.by_name.get(name).map(|i| &self.fields[*i])
    }

    /// Position of the field called `name`.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<FieldIndex> {
        self.by_name.get(name).copied()
    }

    /// Whether this class is `ancestor` or extends it.
    #[must_use]
    pub fn extends(&self, ancestor: &str) -> bool {
        self.lineage.iter().any(|name| &**name == ancestor)
    }
}
