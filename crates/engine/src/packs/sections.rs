//! Sections whose entries are rows of one table: short forms of column names, defaults, what stands beside columns.

/// A section.
#[derive(Debug)]
pub(super) struct Section {
    /// Name in the document.
    pub(super) name: &'static str,
    /// Table of its rows.
    pub(super) table: &'static str,
    /// Column that identifies a row: it makes the `sys_id`, and a row that a person made before is not made twice.
    pub(super) key: &'static str,
    /// Short form → column.
    pub(super) aliases: &'static [(&'static str, &'static str)],
    /// Values of columns that an entry does not name.
    pub(super) defaults: &'static [(&'static str, &'static str)],
    /// Keys that are no columns: rows of other tables come of them.
    pub(super) beside: &'static [&'static str],
    /// A row that the product ships and nobody has changed may get another value.
    pub(super) takes_over: bool,
}

impl Section {
    /// The column that `key` stands for.
    pub(super) fn column<'a>(&self, key: &'a str) -> &'a str {
        self.aliases.iter().find(|(short, _)| *short == key).map_or(key, |(_, column)| column)
    }

    /// The key that an entry writes for `column`.
    pub(super) fn key_of<'a>(&self, column: &'a str) -> &'a str {
        self.aliases.iter().find(|(_, c)| *c == column).map_or(column, |(short, _)| short)
    }
}

const PLAIN: Section = Section {
    name: "",
    table: "",
    key: "",
    aliases: &[],
    defaults: &[],
    beside: &[],
    takes_over: false,
};

pub(super) const NUMBERS: Section = Section {
    name: "numbers",
    table: "sys_number",
    key: "category",
    aliases: &[("table", "category"), ("digits", "maximum_digits"), ("base", "number")],
    ..PLAIN
};

pub(super) const ROLES: Section = Section {
    name: "roles",
    table: "sys_user_role",
    key: "name",
    aliases: &[("elevated", "elevated_privilege")],
    beside: &["contains"],
    ..PLAIN
};

pub(super) const GROUPS: Section =
    Section { name: "groups", table: "sys_user_group", key: "name", beside: &["roles"], ..PLAIN };

pub(super) const USERS: Section = Section {
    name: "users",
    table: "sys_user",
    key: "user_name",
    beside: &["roles", "groups"],
    ..PLAIN
};

pub(super) const QUEUES: Section =
    Section { name: "queues", table: "sysevent_queue", key: "queue", ..PLAIN };

pub(super) const EVENTS: Section =
    Section { name: "events", table: "sysevent_register", key: "event_name", ..PLAIN };

pub(super) const BUSINESS_RULES: Section = Section {
    name: "business_rules",
    table: "sys_script",
    key: "name",
    aliases: &[
        ("table", "collection"),
        ("insert", "action_insert"),
        ("update", "action_update"),
        ("delete", "action_delete"),
        ("query", "action_query"),
    ],
    defaults: &[("active", "true")],
    ..PLAIN
};

pub(super) const SCRIPT_ACTIONS: Section = Section {
    name: "script_actions",
    table: "sysevent_script_action",
    key: "name",
    aliases: &[("condition", "condition_script")],
    // As on the platform: an action that a package brings runs only when the package says so.
    defaults: &[("active", "false")],
    ..PLAIN
};

pub(super) const PROPERTIES: Section =
    Section { name: "properties", table: "sys_properties", key: "name", takes_over: true, ..PLAIN };

/// Columns whose text is the name of a row elsewhere: table, column, table of the row, its column, and the section
/// that would bring it.
pub(super) const NAMES_IN_TEXT: [(&str, &str, &str, &str, &str); 2] = [
    ("sysevent_script_action", "event_name", "sysevent_register", "event_name", "events"),
    ("sysevent_register", "queue", "sysevent_queue", "queue", "queues"),
];

/// Column that names a row in packs, besides its display column.
pub(super) fn name_column(table: &str) -> Option<&'static str> {
    match table {
        "sys_user" => Some("user_name"),
        _ => None,
    }
}
