//! Which methods a column hides: a field goes before a method of the same name (§3.1).

use super::native::Method;
use super::{element_methods, record_methods, record_query, record_write};

/// A method that scripts do not reach, because a column has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenMethod {
    /// Class that has the method. One of `GlideElement` is hidden on elements of references to the table.
    pub class: &'static str,
    /// Name of the method, and of the column.
    pub method: &'static str,
    /// Another name of the same method, which no column can have.
    pub spare: Option<&'static str>,
}

/// The method that a column called `column` hides; `None` for nearly all names.
#[must_use]
pub fn method_hidden_by(column: &str) -> Option<HiddenMethod> {
    let on_records = [record_methods::METHODS, record_query::METHODS, record_write::METHODS];
    let find = |methods: &[&'static [Method]], name: &str| {
        methods.iter().copied().flatten().map(|(method, ..)| *method).find(|method| *method == name)
    };
    if let Some(method) = find(&on_records, column) {
        let spare = find(&on_records, &format!("_{column}"));
        return Some(HiddenMethod { class: "GlideRecord", method, spare });
    }
    let method = find(&[element_methods::METHODS], column)?;
    Some(HiddenMethod { class: "GlideElement", method, spare: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_whose_names_a_column_can_have_are_known_with_their_spare_names() {
        let told = |column: &str| method_hidden_by(column).map(|h| (h.class, h.spare));
        assert_eq!(told("next"), Some(("GlideRecord", Some("_next"))));
        assert_eq!(told("query"), Some(("GlideRecord", Some("_query"))));
        for method in ["get", "insert", "update", "initialize", "operation", "changes"] {
            assert_eq!(told(method), Some(("GlideRecord", None)), "{method}");
        }
        assert_eq!(told("nil"), Some(("GlideElement", None)));
        for column in ["", "u_next", "number", "state", "next_step"] {
            assert_eq!(told(column), None, "{column}");
        }
    }
}
