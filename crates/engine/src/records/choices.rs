//! Choice lists as people write and read them (business-rules §14.1).

use campanile_model::{Choice, Dictionary, FieldDef};

/// The choices that a person may pick for `field` on a row of `class`, in their order; inactive ones only give
/// labels and are left out.
pub fn offered<'a>(
    dictionary: &'a Dictionary,
    class: &str,
    field: &FieldDef,
) -> impl Iterator<Item = &'a Choice> {
    let list: &[Choice] =
        if field.has_choices { dictionary.choices(class, &field.name) } else { &[] };
    list.iter().filter(|choice| !choice.inactive)
}

/// The label of `value`; the value itself when no choice has it.
#[must_use]
pub fn label(dictionary: &Dictionary, class: &str, field: &FieldDef, value: &str) -> String {
    dictionary
        .choice_label(class, &field.name, value)
        .map_or_else(|| value.to_owned(), ToString::to_string)
}

/// The value whose label is `text`, exactly or else ignoring case; `None` when no label is.
#[must_use]
pub fn value_of_label(
    dictionary: &Dictionary,
    class: &str,
    field: &FieldDef,
    text: &str,
) -> Option<String> {
    dictionary.choice_value(class, &field.name, text).map(ToString::to_string)
}
