//! Columns that hide a method of record objects: told when one is made, by packs, and by `doctor`.

use campanile_script::method_hidden_by;

/// What such a column does, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HidingColumn {
    /// The column and what is hidden.
    pub(crate) what: String,
    /// What scripts call instead, and how the column would be called better.
    pub(crate) fix: String,
}

/// Whether a column `element` of `table` hides a method from scripts.
#[must_use]
pub(crate) fn hiding(table: &str, element: &str) -> Option<HidingColumn> {
    let hidden = method_hidden_by(element)?;
    let class = hidden.class;
    let what =
        format!("column '{table}.{element}' hides the method {element}() of {class} in scripts");
    let fix = match hidden.spare {
        Some(spare) => {
            format!("scripts on '{table}' call {spare}() instead; or name the column 'u_{element}'")
        }
        None => format!(
            "scripts on '{table}' call {class}.prototype.{element}.call(…) instead; or name the column 'u_{element}'"
        ),
    };
    Some(HidingColumn { what, fix })
}
