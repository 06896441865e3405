//! System properties: the rows of `sys_properties` over the shipped defaults.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;

/// A property that means something to the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownProperty {
    /// Name.
    pub name: &'static str,
    /// Type as in `sys_properties.type`.
    pub kind: &'static str,
    /// Value when there is no row.
    pub default: &'static str,
    /// What it does.
    pub description: &'static str,
}

const fn known(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    description: &'static str,
) -> KnownProperty {
    KnownProperty { name, kind, default, description }
}

/// Every property with a meaning here, with its default; a new database gets a row for each. Limits whose
/// default depends on the kind of script (`campanile.script.max_ms`) and overrides that name a queue
/// (`com.glide.event_manager.<queue>.claim_limit`) have no row until somebody makes one.
pub const KNOWN: &[KnownProperty] = &[
    known(
        "com.glide.sysevent.priority.enabled",
        "boolean",
        "true",
        "Processors take events by priority; false: by time and order of arrival alone.",
    ),
    known(
        "campanile.events.require_registration",
        "boolean",
        "false",
        "Refuse events whose name is not registered, instead of storing and flagging them.",
    ),
    known(
        "campanile.events.max_depth",
        "integer",
        "50",
        "Longest chain of events that cause each other before a loop is suspected.",
    ),
    known(
        "campanile.queues.unknown",
        "choicelist",
        "provision",
        "What happens to an event for an unknown queue: provision, default or hold.",
    ),
    known(
        "campanile.queues.wake",
        "boolean",
        "true",
        "Wake an idle processor when an event arrives or becomes due; false: poll only.",
    ),
    known(
        "glide.invalid_query.returns_no_rows",
        "boolean",
        "false",
        "A query with an invalid term finds nothing, instead of ignoring the term.",
    ),
    known(
        "glide.db.max_view_records",
        "integer",
        "10000",
        "Most rows that one script query reads.",
    ),
    known(
        "glide.businessrule.callstack",
        "boolean",
        "false",
        "Log the start and the end of every business rule.",
    ),
    known(
        "glide.script.log_level",
        "choicelist",
        "all",
        "Where gs.log writes: all, print (process log only) or none.",
    ),
    known("glide.sys.default.tz", "timezone", "", "System time zone (IANA name); empty means UTC."),
    known("glide.sys.date_format", "string", "yyyy-MM-dd", "How dates are shown."),
    known("glide.sys.time_format", "string", "HH:mm:ss", "How times of day are shown."),
    known(
        "glide.servlet.uri",
        "string",
        "",
        "Address of this server, for links, with a final slash.",
    ),
    known("instance_name", "string", "campanile", "Name of this installation."),
    known(
        "glide.record.display_value_default",
        "string",
        "",
        "Field that gives a row its display value when its table names none.",
    ),
    known(
        "glide.itil.assign.number.on.insert",
        "boolean",
        "true",
        "Take a record's number when it is inserted, not when its form is opened.",
    ),
    known(
        "glide.db.audit.ignore.delete",
        "string",
        "",
        "Tables (comma-separated) whose deleted rows are not kept in sys_audit_delete.",
    ),
    known(
        "glide.ui.audit_deleted_tables",
        "string",
        "",
        "System tables (comma-separated) whose deleted rows are kept in sys_audit_delete.",
    ),
    known(
        "campanile.audit.inserts",
        "boolean",
        "true",
        "Write audit rows for the values that a new record starts with.",
    ),
    known(
        "campanile.enforce_mandatory_in_scripts",
        "boolean",
        "false",
        "Refuse script writes that leave a mandatory field empty; writes over HTTP are always refused.",
    ),
    known(
        "campanile.log.level",
        "choicelist",
        "info",
        "Lowest level that is kept in syslog: debug, info, warning or error.",
    ),
    known(
        "campanile.rest.partial_on_timeout",
        "boolean",
        "false",
        "Answer 200 with what was read so far when a call passes its time limit, instead of 504.",
    ),
    known("campanile.script.memory_mb", "integer", "128", "Memory of one script run, in MiB."),
    known("campanile.script.stack_kb", "integer", "1024", "Stack of one script run, in KiB."),
    known(
        "campanile.script.max_string_mb",
        "integer",
        "16",
        "Longest string that a script hands to the product, in MiB.",
    ),
    known(
        "campanile.script.max_db_statements",
        "integer",
        "20000",
        "Reads and writes that one execution may do.",
    ),
    known(
        "campanile.script.max_rows_written",
        "integer",
        "50000",
        "Rows that one execution may write.",
    ),
    known("campanile.script.max_events", "integer", "10000", "Events that one execution may fire."),
    known(
        "campanile.script.max_log_rows",
        "integer",
        "5000",
        "Log lines that one execution may write before the rest is suppressed.",
    ),
    known(
        "campanile.script.max_log_chars",
        "integer",
        "32768",
        "Longest log message; the rest is cut and marked.",
    ),
    known(
        "campanile.script.max_nested_operations",
        "integer",
        "32",
        "How deep writes may stand inside writes.",
    ),
    known(
        "campanile.script.max_rule_recursion",
        "integer",
        "3",
        "How often one rule may stand on the stack for one record.",
    ),
    known(
        "campanile.script.max_writer_ms",
        "integer",
        "5000",
        "How long the scripts of one operation may hold the writer, in milliseconds.",
    ),
];

/// All properties at one moment.
#[derive(Debug)]
pub struct Properties {
    rows: HashMap<Arc<str>, Arc<str>>,
}

impl Properties {
    /// The value: the row's (the empty text when the row has none), else the shipped default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let shipped = || KNOWN.iter().find(|p| p.name == name).map(|p| p.default);
        self.rows.get(name).map(|value| &**value).or_else(shipped)
    }

    /// The value as a boolean; `None` when there is none or it is not one.
    #[must_use]
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// The value as a whole number; `None` when there is none or it is not one.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }
}

impl Load for Properties {
    const TABLES: &'static [&'static str] = &["sys_properties"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let table = lookup::table(&dictionary, "sys_properties")?;
        let read = Arc::clone(engine.store()).read()?;
        // Several rows of one name: the last in order of making counts, wherever the rows came from.
        let select = lookup::ordered(lookup::equal(table, &[]), &["sys_created_on"]);
        let rows = read.select(&select)?;
        let pair = |row: &campanile_model::Record| {
            (Arc::from(row.text("name")), Arc::from(row.text("value")))
        };
        Ok(Self { rows: rows.iter().map(pair).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(rows: &[(&str, &str)]) -> Properties {
        Properties { rows: rows.iter().map(|(n, v)| (Arc::from(*n), Arc::from(*v))).collect() }
    }

    #[test]
    fn a_row_wins_over_the_shipped_default_even_when_it_is_empty() {
        assert_eq!(properties(&[]).int("campanile.events.max_depth"), Some(50));
        let set = properties(&[("campanile.events.max_depth", "7"), ("glide.sys.date_format", "")]);
        assert_eq!(set.int("campanile.events.max_depth"), Some(7));
        assert_eq!(set.get("glide.sys.date_format"), Some(""));
        assert_eq!(set.get("no.such.property"), None);
    }

    #[test]
    fn a_value_of_another_type_is_no_value() {
        let set = properties(&[("a", "TRUE "), ("b", "perhaps"), ("c", "12.5")]);
        assert_eq!(set.bool("a"), Some(true));
        assert_eq!(set.bool("b"), None);
        assert_eq!(set.int("c"), None);
    }

    #[test]
    fn no_property_is_shipped_twice_and_each_is_described() {
        for (i, property) in KNOWN.iter().enumerate() {
            assert!(KNOWN[i + 1..].iter().all(|p| p.name != property.name), "{}", property.name);
            assert!(property.description.ends_with('.'), "{}", property.name);
        }
    }
}
