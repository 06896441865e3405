//! The properties that mean something to the product: one table with their types, bounds and shipped values.

use campanile_model::limits::PROVISIONAL_QUEUES_CEILING;
use campanile_model::nearest::suggestion;

use super::kind::PropertyKind;
use crate::records::budget::script_kinds;

/// A property that means something to the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownProperty {
    /// Name. `<queue>` stands for the name of any queue.
    pub name: &'static str,
    /// Which values fit.
    pub kind: PropertyKind,
    /// Value when there is no row; `None` when that depends on where it is used: a new database has no row for it.
    pub default: Option<&'static str>,
    /// What it does.
    pub description: &'static str,
}

const fn known(
    name: &'static str,
    kind: PropertyKind,
    default: &'static str,
    description: &'static str,
) -> KnownProperty {
    KnownProperty { name, kind, default: Some(default), description }
}

const fn unset(name: &'static str, kind: PropertyKind, description: &'static str) -> KnownProperty {
    KnownProperty { name, kind, default: None, description }
}

const fn whole(min: i64, max: i64) -> PropertyKind {
    PropertyKind::Whole { min, max }
}

/// Every property with a meaning here. Stack and depth are bounded together: all levels share one native stack.
pub const KNOWN: &[KnownProperty] = &[
    known(
        "com.glide.sysevent.priority.enabled",
        PropertyKind::Boolean,
        "true",
        "Processors take events by priority; false: by time and order of arrival alone.",
    ),
    known(
        "campanile.events.require_registration",
        PropertyKind::Boolean,
        "false",
        "Refuse events whose name is not registered, instead of storing and flagging them.",
    ),
    known(
        "campanile.events.max_depth",
        whole(1, 10_000),
        "50",
        "Longest chain of events that cause each other before a loop is suspected.",
    ),
    known(
        "campanile.queues.unknown",
        PropertyKind::Choice(&["provision", "default", "hold"]),
        "provision",
        "What happens to an event for an unknown queue: provision, default or hold.",
    ),
    known(
        "campanile.queues.provisional_max",
        whole(0, PROVISIONAL_QUEUES_CEILING),
        "100",
        "Queues that are made because an event named them, at most; then the default queue takes such events.",
    ),
    known(
        "campanile.queues.wake",
        PropertyKind::Boolean,
        "true",
        "Wake an idle processor when an event arrives or becomes due; false: poll only.",
    ),
    known(
        "glide.invalid_query.returns_no_rows",
        PropertyKind::Boolean,
        "false",
        "A query with an invalid term finds nothing, instead of ignoring the term.",
    ),
    known(
        "glide.db.max_view_records",
        whole(1, 1_000_000),
        "10000",
        "Most rows that one script query reads.",
    ),
    known(
        "glide.businessrule.callstack",
        PropertyKind::Boolean,
        "false",
        "Log the start and the end of every business rule.",
    ),
    known(
        "glide.script.log_level",
        PropertyKind::Choice(&["all", "print", "none"]),
        "all",
        "Where gs.log writes: all, print (process log only) or none.",
    ),
    known(
        "glide.sys.default.tz",
        PropertyKind::TimeZone,
        "",
        "System time zone (IANA name); empty means UTC.",
    ),
    known("glide.sys.date_format", PropertyKind::DateFormat, "yyyy-MM-dd", "How dates are shown."),
    known(
        "glide.sys.time_format",
        PropertyKind::TimeFormat,
        "HH:mm:ss",
        "How times of day are shown.",
    ),
    known(
        "glide.servlet.uri",
        PropertyKind::Address,
        "",
        "Address of this server, for links, with a final slash.",
    ),
    known("instance_name", PropertyKind::Text, "campanile", "Name of this installation."),
    known(
        "glide.record.display_value_default",
        PropertyKind::Text,
        "",
        "Field that gives a row its display value when its table names none.",
    ),
    known(
        "glide.itil.assign.number.on.insert",
        PropertyKind::Boolean,
        "true",
        "Take a record's number when it is inserted, not when its form is opened.",
    ),
    known(
        "glide.db.audit.ignore.delete",
        PropertyKind::Text,
        "",
        "Tables (comma-separated) whose deleted rows are not kept in sys_audit_delete.",
    ),
    known(
        "glide.ui.audit_deleted_tables",
        PropertyKind::Text,
        "",
        "System tables (comma-separated) whose deleted rows are kept in sys_audit_delete.",
    ),
    known(
        "campanile.audit.inserts",
        PropertyKind::Boolean,
        "true",
        "Write audit rows for the values that a new record starts with.",
    ),
    known(
        "campanile.enforce_mandatory_in_scripts",
        PropertyKind::Boolean,
        "false",
        "Refuse script writes that leave a mandatory field empty; writes over HTTP are always refused.",
    ),
    known(
        "campanile.log.level",
        PropertyKind::Choice(&["debug", "info", "warning", "error"]),
        "info",
        "Lowest level that is kept in syslog: debug, info, warning or error.",
    ),
    known(
        "campanile.rest.partial_on_timeout",
        PropertyKind::Boolean,
        "false",
        "Answer 200 with what was read so far when a call passes its time limit, instead of 504.",
    ),
    known(
        "campanile.script.memory_mb",
        whole(1, 4_096),
        "128",
        "Memory of one script run, in MiB.",
    ),
    known(
        "campanile.script.stack_kb",
        whole(64, 2_048),
        "1024",
        "Stack of one script run, in KiB.",
    ),
    known(
        "campanile.script.max_string_mb",
        whole(1, 1_024),
        "16",
        "Longest string that a script hands to the product, in MiB.",
    ),
    known(
        "campanile.script.max_db_statements",
        whole(1, 1_000_000_000),
        "20000",
        "Reads and writes that one execution may do.",
    ),
    known(
        "campanile.script.max_rows_written",
        whole(1, 1_000_000_000),
        "50000",
        "Rows that one execution may write.",
    ),
    known(
        "campanile.script.max_events",
        whole(1, 1_000_000_000),
        "10000",
        "Events that one execution may fire.",
    ),
    known(
        "campanile.script.max_log_rows",
        whole(0, 1_000_000),
        "5000",
        "Log lines that one execution may write before the rest is suppressed.",
    ),
    known(
        "campanile.script.max_log_chars",
        whole(1, 1_048_576),
        "32768",
        "Longest log message; the rest is cut and marked.",
    ),
    known(
        "campanile.script.max_nested_operations",
        whole(1, 64),
        "32",
        "How deep writes may stand inside writes.",
    ),
    known(
        "campanile.script.max_rule_recursion",
        whole(1, 100),
        "3",
        "How often one rule may stand on the stack for one record.",
    ),
    known(
        "campanile.script.max_writer_ms",
        whole(1, 600_000),
        "5000",
        "How long the scripts of one operation may hold the writer, in milliseconds.",
    ),
    known(
        "campanile.allow_bulk_on_invalid_query",
        PropertyKind::Boolean,
        "false",
        "Let updateMultiple and deleteMultiple go on without a condition that is invalid.",
    ),
    known(
        "glide.rest.choice.allow_non_existing_value",
        PropertyKind::Boolean,
        "true",
        "Store a value over HTTP that no choice of its field has.",
    ),
    known(
        "glide.rest.max_content_length",
        whole(1, 25),
        "10",
        "Longest body of a request, unpacked, in MB.",
    ),
    known(
        "glide.rest.replace_request_host_with_property",
        PropertyKind::Boolean,
        "true",
        "Begin links with glide.servlet.uri when it is set.",
    ),
    known(
        "campanile.http.idempotency_hours",
        whole(1, 720),
        "24",
        "How long an idempotency key is remembered after its first use, in hours.",
    ),
    known(
        "campanile.http.max_waiters",
        whole(0, 1_000_000),
        "10000",
        "Calls that may wait for the end of their event at one time.",
    ),
    known(
        "com.glide.processing.framework.max_thread_utilization_percentage",
        whole(1, 75),
        "30",
        "Share of a node's worker threads that one queue may have, in percent.",
    ),
    unset(
        "campanile.script.max_ms",
        whole(1, 14_400_000),
        "Wall time of one script run, in milliseconds; the shipped value depends on the kind of script.",
    ),
    unset(
        "com.glide.event_manager.<queue>.claim_limit",
        whole(1, 10_000),
        "Most events that a processor of the queue takes in one claim; overrides the queue.",
    ),
];

/// What the names of most limits begin with.
const LIMITS: &str = "campanile.script.";
/// Limits that may be set for one kind of script: `campanile.script.<kind>.<name>`.
const BY_KIND: [&str; 8] = [
    "max_ms",
    "memory_mb",
    "stack_kb",
    "max_string_mb",
    "max_db_statements",
    "max_rows_written",
    "max_events",
    "max_log_rows",
];
const OF_QUEUE: (&str, &str) = ("com.glide.event_manager.", ".claim_limit");

/// What the property called `name` is: of the table, or one of a queue, or a limit for one kind of script.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static KnownProperty> {
    let listed = |name: &str| KNOWN.iter().find(|property| property.name == name);
    if let Some(property) = listed(name) {
        return Some(property);
    }
    let (before, after) = OF_QUEUE;
    if let Some(queue) = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
        let of_any = format!("{before}<queue>{after}");
        return if queue.is_empty() { None } else { listed(&of_any) };
    }
    let (kind, limit) = name.strip_prefix(LIMITS)?.split_once('.')?;
    let is_known = BY_KIND.contains(&limit) && script_kinds().any(|word| word == kind);
    if is_known { listed(&format!("{LIMITS}{limit}")) } else { None }
}

/// The shipped value of the property called `name`.
#[must_use]
pub(super) fn shipped(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|property| property.name == name)?.default
}

/// `; did you mean 'x'?` for a name that is near to a known one, else nothing.
#[must_use]
pub(super) fn hint(name: &str) -> String {
    let by_kind = script_kinds()
        .flat_map(|kind| BY_KIND.iter().map(move |limit| format!("{LIMITS}{kind}.{limit}")));
    let names: Vec<String> =
        KNOWN.iter().map(|property| property.name.to_owned()).chain(by_kind).collect();
    suggestion(name, names.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_property_is_listed_twice_each_is_described_and_its_shipped_value_fits() {
        for (i, property) in KNOWN.iter().enumerate() {
            assert!(KNOWN[i + 1..].iter().all(|p| p.name != property.name), "{}", property.name);
            assert!(property.description.ends_with('.'), "{}", property.name);
            let shipped = property.default.unwrap_or_default();
            assert_eq!(property.kind.judge(shipped), Ok(()), "{}", property.name);
        }
    }

    #[test]
    fn a_limit_of_one_kind_of_script_and_of_one_queue_are_known() {
        let name = |name: &str| find(name).map(|property| property.name);
        assert_eq!(
            name("campanile.script.background.memory_mb"),
            Some("campanile.script.memory_mb")
        );
        assert_eq!(
            name("com.glide.event_manager.text_index.claim_limit"),
            Some("com.glide.event_manager.<queue>.claim_limit")
        );
        for unknown in [
            "campanile.script.backgrond.memory_mb",
            "campanile.script.background.max_writer_ms",
            "com.glide.event_manager..claim_limit",
            "campanile.script",
            "",
        ] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
        assert_eq!(shipped("campanile.script.background.memory_mb"), None, "only the general one");
    }

    #[test]
    fn a_misspelt_name_is_told_the_one_that_was_meant() {
        assert_eq!(
            hint("campanile.event.max_depth"),
            "; did you mean 'campanile.events.max_depth'?"
        );
        assert_eq!(
            hint("campanile.script.backgruond.max_ms"),
            "; did you mean 'campanile.script.background.max_ms'?"
        );
        assert_eq!(hint("x"), "");
    }
}
