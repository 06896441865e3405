//! The rows of `sys_properties` over the shipped values.

use std::collections::HashMap;
use std::sync::Arc;

use super::kind::boolean;
use super::known::{find, shipped};
use super::secrets;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;
use crate::session::User;

/// All properties at one moment.
#[derive(Debug)]
pub struct Properties {
    rows: HashMap<Arc<str>, Arc<str>>,
    /// The roles that may read each secret among them.
    secrets: HashMap<Arc<str>, Arc<str>>,
}

impl Properties {
    /// The value: the row's (the empty text when the row has none), else the shipped one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.rows.get(name).map(|value| &**value).or_else(|| shipped(name))
    }

    /// Whether the value is a secret that `user` may not have.
    #[must_use]
    pub fn hides(&self, name: &str, user: &User) -> bool {
        self.secrets.get(name).is_some_and(|readers| !secrets::is_reader(readers, user))
    }

    /// The value as a boolean; the shipped one when the row's is empty or does not fit; `None` when there is neither.
    #[must_use]
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.fitting(name, |text| boolean(text.trim()))
    }

    /// The value as a whole number, in the same way.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.fitting(name, |text| text.trim().parse().ok())
    }

    /// Rows are checked when they are saved, but some came before the check, or another way.
    fn fitting<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let fits = |text: &str| find(name).is_none_or(|known| known.kind.judge(text).is_ok());
        let row = self.rows.get(name).filter(|text| fits(text));
        row.and_then(|text| read(text)).or_else(|| read(shipped(name)?))
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
        let secret = |row: &campanile_model::Record| {
            secrets::readers(row).map(|readers| (Arc::from(row.text("name")), Arc::from(readers)))
        };
        Ok(Self {
            rows: rows.iter().map(pair).collect(),
            secrets: rows.iter().filter_map(secret).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(rows: &[(&str, &str)]) -> Properties {
        let rows = rows.iter().map(|(n, v)| (Arc::from(*n), Arc::from(*v))).collect();
        Properties { rows, secrets: HashMap::new() }
    }

    #[test]
    fn a_row_wins_over_the_shipped_value_and_its_text_is_kept_even_when_empty() {
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
    fn a_value_out_of_bounds_counts_as_the_shipped_one() {
        let set = properties(&[
            ("campanile.events.max_depth", "-5"),
            ("campanile.queues.wake", "perhaps"),
            ("campanile.script.background.memory_mb", "99999999"),
        ]);
        assert_eq!(set.int("campanile.events.max_depth"), Some(50));
        assert_eq!(set.bool("campanile.queues.wake"), Some(true));
        assert_eq!(set.int("campanile.script.background.memory_mb"), None);
        assert_eq!(set.get("campanile.events.max_depth"), Some("-5"), "scripts see what is stored");
    }
}
