//! The three shapes of a field (rest-api §5.2).

use campanile_engine::records::projection::Cell;
use serde_json::{Map, Value, json};

use crate::extract::caller::Caller;
use crate::extract::params::DisplayMode;
use crate::extract::segments::path_segment;

/// How the members of an answer look.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    mode: DisplayMode,
    links: bool,
    table_base: String,
}

impl Shape {
    /// The shape that the caller's parameters ask for.
    ///
    /// # Errors
    /// E13 for a malformed parameter.
    pub(crate) fn of(caller: &Caller) -> Result<Self, crate::errors::ApiError> {
        Ok(Self {
            mode: caller.params.display_mode()?,
            links: !caller.params.flag("sysparm_exclude_reference_link"),
            table_base: format!("{}/api/now{}/table", caller.base, caller.version),
        })
    }

    /// Whether display values are needed.
    pub(crate) fn needs_display(&self) -> bool {
        self.mode != DisplayMode::Values
    }

    /// One row.
    pub(crate) fn row(&self, cells: Vec<Cell>) -> Value {
        let mut members = Map::with_capacity(cells.len());
        for cell in cells {
            members.insert(cell.name.to_string(), self.member(&cell));
        }
        Value::Object(members)
    }

    fn member(&self, cell: &Cell) -> Value {
        let link =
            || format!("{}/{}/{}", self.table_base, self.target(cell), path_segment(&cell.value));
        let linked = self.links && cell.reference.is_some() && !cell.value.is_empty();
        match (self.mode, linked) {
            (DisplayMode::Values, false) => json!(cell.value),
            (DisplayMode::Values, true) => json!({"link": link(), "value": cell.value}),
            (DisplayMode::Display, false) => json!(cell.display),
            (DisplayMode::Display, true) => json!({"display_value": cell.display, "link": link()}),
            (DisplayMode::All, false) => {
                json!({"display_value": cell.display, "value": cell.value})
            }
            (DisplayMode::All, true) => {
                json!({"display_value": cell.display, "link": link(), "value": cell.value})
            }
        }
    }

    fn target<'a>(&self, cell: &'a Cell) -> &'a str {
        cell.reference.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(value: &str, display: &str, reference: bool) -> Cell {
        Cell {
            name: "caller_id".into(),
            value: value.into(),
            display: display.into(),
            reference: reference.then(|| "sys_user".into()),
        }
    }

    fn shape(mode: DisplayMode, links: bool) -> Shape {
        Shape { mode, links, table_base: "http://h/api/now/table".into() }
    }

    #[test]
    fn the_link_of_a_value_that_is_no_key_is_an_address() {
        let link = shape(DisplayMode::Values, true).member(&cell("Abel/T\u{fc}ter?", "", true));
        let expected = "http://h/api/now/table/sys_user/Abel%2FT%C3%BCter%3F";
        assert_eq!(link, json!({"link": expected, "value": "Abel/T\u{fc}ter?"}));
    }

    #[test]
    fn every_cell_of_the_table_of_shapes_is_exact() {
        let full = cell("62", "Abel", true);
        let empty = cell("", "", true);
        let plain = cell("1", "New", false);
        let link = "http://h/api/now/table/sys_user/62";
        let cases = [
            (
                DisplayMode::Values,
                true,
                json!({"link": link, "value": "62"}),
                json!(""),
                json!("1"),
            ),
            (DisplayMode::Values, false, json!("62"), json!(""), json!("1")),
            (
                DisplayMode::Display,
                true,
                json!({"display_value": "Abel", "link": link}),
                json!(""),
                json!("New"),
            ),
            (DisplayMode::Display, false, json!("Abel"), json!(""), json!("New")),
            (
                DisplayMode::All,
                true,
                json!({"display_value": "Abel", "link": link, "value": "62"}),
                json!({"display_value": "", "value": ""}),
                json!({"display_value": "New", "value": "1"}),
            ),
            (
                DisplayMode::All,
                false,
                json!({"display_value": "Abel", "value": "62"}),
                json!({"display_value": "", "value": ""}),
                json!({"display_value": "New", "value": "1"}),
            ),
        ];
        for (mode, links, reference, nothing, other) in cases {
            let shape = shape(mode, links);
            assert_eq!(shape.member(&full), reference, "{mode:?} {links}");
            assert_eq!(shape.member(&empty), nothing, "{mode:?} {links}");
            assert_eq!(shape.member(&plain), other, "{mode:?} {links}");
        }
    }
}
