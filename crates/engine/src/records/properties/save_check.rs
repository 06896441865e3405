//! What is checked when a property is saved: that its value fits, and that its name means something.

use std::rc::Rc;

use campanile_model::Record;

use super::kind::PropertyKind;
use super::known::{find, hint};
use super::secrets;
use crate::error::EngineError;
use crate::records::execution::Execution;

/// Names that begin so are the product's own.
const OWN: &str = "campanile.";

/// Checks a row of `sys_properties` before it is written: refuses a value that does not fit; warns of a name of the
/// product's own that means nothing.
///
/// # Errors
/// [`EngineError::BadParameter`] naming the field and what was expected.
pub(crate) fn save(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let name = record.text("name").to_owned();
    if name.is_empty() {
        return Err(misfit("name", "it is empty: a property needs a name".to_owned()));
    }
    if let Some(before) = before {
        keep_secret(execution, record, before)?;
    }
    let known = find(&name);
    if let (Some(known), true) = (known, matches!(record.text("type"), "" | "string")) {
        record.set("type", known.kind.type_name());
    }
    judge(record).map_err(|reason| misfit("value", format!("of '{name}': {reason}")))?;
    if before.is_some_and(|before| before.text("name") == name) {
        return Ok(Vec::new());
    }
    let mut warnings = Vec::new();
    if known.is_none() && name.starts_with(OWN) {
        warnings.push(format!("property '{name}' means nothing to this version{}", hint(&name)));
    }
    Ok(warnings)
}

/// Whoever may not read a secret does not make it readable: a new type or new readers need a new value.
fn keep_secret(execution: &Execution, record: &Record, before: &Record) -> Result<(), EngineError> {
    let opens = ["type", "read_roles"].iter().find(|field| before.get(field) != record.get(field));
    let Some(field) = opens else { return Ok(()) };
    let same = before.get("value") == record.get("value");
    if same && secrets::hides(before, &execution.session().user) {
        let name = before.text("name");
        return Err(misfit(
            field,
            format!(
                "of the secret '{name}' is changed by those who may read it (admin, its read_roles), or with a new value"
            ),
        ));
    }
    Ok(())
}

/// Whether the value of a row of `sys_properties` fits.
///
/// # Errors
/// What was expected and what there is.
pub(crate) fn judge(record: &Record) -> Result<(), String> {
    let known = find(record.text("name"));
    let kind = known.map_or_else(|| PropertyKind::of_type(record.text("type")), |known| known.kind);
    kind.judge(record.text("value"))?;
    judge_choice(record, known.is_some())
}

/// A choice list that somebody made: `choices` holds its values, separated by commas.
fn judge_choice(record: &Record, is_known: bool) -> Result<(), String> {
    let (value, choices) = (record.text("value"), record.text("choices"));
    if is_known || record.text("type") != "choicelist" || value.is_empty() || choices.is_empty() {
        return Ok(());
    }
    // `label=value` is a choice with a label of its own.
    let values =
        choices.split(',').map(|choice| choice.rsplit('=').next().unwrap_or(choice).trim());
    if values.clone().any(|choice| choice == value) {
        return Ok(());
    }
    let expected: Vec<&str> = values.collect();
    Err(format!("expected {}, got '{value}'", expected.join(", ")))
}

fn misfit(field: &str, detail: String) -> EngineError {
    EngineError::BadParameter { parameter: field.to_owned(), detail }
}
