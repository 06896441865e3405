//! What is checked when a column, a choice or a numbering is saved, besides what the dictionary itself refuses.

use std::rc::Rc;

use campanile_model::nearest::suggestion;
use campanile_model::table_def::INTERNAL_TYPES;
use campanile_model::{Dictionary, FieldType, Record};
use campanile_script::ScriptKind;

use super::hidden_methods::hiding;
use super::save_checks::check_script;
use crate::error::EngineError;
use crate::records::conversion;
use crate::records::execution::Execution;
use crate::records::numbers::DIGITS_MAX;

/// Longest value that a column may allow.
const MAX_LENGTH_MAX: i64 = 16 * 1024 * 1024;
/// What a row that is deleted may do to the references to it.
const CASCADE_RULES: [&str; 5] = ["", "clear", "delete", "restrict", "none"];
/// Who may change a read-only column (§12.7).
const READ_ONLY_OPTIONS: [&str; 5] = [
    "",
    "display_read_only",
    "client_script_modifiable",
    "strict_read_only",
    "instance_configured",
];
/// Largest base of a numbering: counters are 64-bit numbers, and go on from here.
const BASE_MAX: i64 = 1_000_000_000_000_000;

/// Checks a row of `sys_dictionary` before it is written. Names and targets are the dictionary's own business.
///
/// # Errors
/// [`EngineError::BadParameter`] naming the field and what was expected; [`EngineError::Integrity`] for a default
/// that does not parse.
pub(super) fn column(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let changed = |field: &str| before.is_none_or(|before| before.get(field) != record.get(field));
    if record.text("element").is_empty() {
        return default_value(execution, record, before);
    }
    let written = record.text("internal_type");
    if changed("internal_type") && !written.is_empty() && !INTERNAL_TYPES.contains(&written) {
        let hint = suggestion(written, INTERNAL_TYPES.iter().copied());
        return Err(misfit("internal_type", format!("'{written}' is no type of column{hint}")));
    }
    if let Some(length) = record.get("max_length").as_i64()
        && changed("max_length")
        && !(1..=MAX_LENGTH_MAX).contains(&length)
    {
        let detail = format!("expected 1 to {MAX_LENGTH_MAX} characters, got {length}");
        return Err(misfit("max_length", detail));
    }
    for (field, words) in
        [("reference_cascade_rule", &CASCADE_RULES), ("read_only_option", &READ_ONLY_OPTIONS)]
    {
        let word = record.text(field);
        if changed(field) && !words.contains(&word) {
            let expected = words[1..].join(", ");
            return Err(misfit(field, format!("expected one of {expected}, got '{word}'")));
        }
    }
    if record.get("choice").as_i64().is_some_and(|n| !(0..=3).contains(&n)) {
        return Err(misfit("choice", "expected 0, 1, 2 or 3".to_owned()));
    }
    let mut warnings = default_value(execution, record, before)?;
    warnings.extend(unfitting_default(record));
    let made =
        if before.is_none() { hiding(record.text("name"), record.text("element")) } else { None };
    warnings.extend(made.map(|column| format!("{}: {}", column.what, column.fix)));
    Ok(warnings)
}

/// Refuses a default value that is a script and does not parse.
///
/// # Errors
/// [`EngineError::Integrity`] naming line and column.
pub(super) fn default_value(
    _execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let value = record.get("default_value");
    if let Some(script) = value.as_str().strip_prefix("javascript:")
        && before.is_none_or(|before| before.get("default_value") != value)
    {
        check_script(record, "default_value", ScriptKind::DefaultValue, script)?;
    }
    Ok(Vec::new())
}

/// A constant that no value of the column's type is.
fn unfitting_default(record: &Record) -> Option<String> {
    let (text, of_type) = (record.text("default_value"), record.text("internal_type"));
    if text.is_empty() || text.starts_with("javascript:") {
        return None;
    }
    (!is_value_of(FieldType::from_internal_type(of_type), text)).then(|| {
        format!(
            "default of {}.{} will be left out: '{text}' is no {of_type}",
            record.text("name"),
            record.text("element")
        )
    })
}

fn is_value_of(kind: FieldType, text: &str) -> bool {
    match kind {
        FieldType::Integer => text.trim().parse::<i64>().is_ok(),
        FieldType::Decimal | FieldType::Float => text.trim().parse::<f64>().is_ok(),
        FieldType::Boolean => {
            matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "1" | "0")
        }
        _ => true,
    }
}

/// Checks a row of `sys_choice` before it is written: a list that belongs to no column has no effect.
///
/// # Errors
/// What the store answers.
pub(super) fn choice(
    execution: &Rc<Execution>,
    record: &mut Record,
    _before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let dictionary = execution.dictionary()?;
    let (name, element, value) =
        (record.text("name"), record.text("element"), record.text("value"));
    let place = format!("choice '{value}' of {name}.{element} has no effect");
    let Some(table) = dictionary.table(name) else {
        return Ok(vec![format!(
            "{place}: there is no table '{name}'{}",
            table_hint(&dictionary, name)
        )]);
    };
    let Some(field) = table.field(element) else {
        let hint = suggestion(element, table.fields.iter().map(|field| &*field.name));
        return Ok(vec![format!("{place}: table '{name}' has no column '{element}'{hint}")]);
    };
    Ok(match conversion::from_text(field, value) {
        Ok(_) => Vec::new(),
        Err(reason) => vec![format!("{place}: {reason}")],
    })
}

/// Checks a row of `sys_number` before it is written.
///
/// # Errors
/// [`EngineError::BadParameter`] for a table that does not exist and for numbers out of range.
pub(super) fn number(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let changed = |field: &str| before.is_none_or(|before| before.get(field) != record.get(field));
    let table = record.text("category");
    if changed("category") {
        let dictionary = execution.dictionary()?;
        if dictionary.table(table).is_none() {
            let hint = table_hint(&dictionary, table);
            return Err(misfit("category", format!("there is no table '{table}'{hint}")));
        }
    }
    let digits_max = i64::try_from(DIGITS_MAX).unwrap_or(i64::MAX);
    for (field, range) in [("maximum_digits", 1..=digits_max), ("number", 0..=BASE_MAX)] {
        if let Some(number) = record.get(field).as_i64()
            && changed(field)
            && !range.contains(&number)
        {
            let detail = format!("expected {} to {}, got {number}", range.start(), range.end());
            return Err(misfit(field, detail));
        }
    }
    Ok(Vec::new())
}

/// `; did you mean 'x'?` for the name of a table.
fn table_hint(dictionary: &Dictionary, name: &str) -> String {
    suggestion(name, dictionary.tables().map(|table| &*table.name))
}

fn misfit(field: &str, detail: String) -> EngineError {
    EngineError::BadParameter { parameter: field.to_owned(), detail }
}
