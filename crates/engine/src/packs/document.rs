//! The form of a pack: `campanile: pack/v1` (scenarios §0.1), as far as its sections exist.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::source::PackSource;
use super::yaml::{self, bad_input};
use crate::error::EngineError;
use crate::records::seed::{ChoiceListSpec, OverrideSpec, TableSpec};

/// The only form that there is.
const FORM: &str = "pack/v1";

/// Sections of the form that this version does not know yet: refused, not ignored.
const WAITING_SECTIONS: [&str; 13] = [
    "schedules",
    "notifications",
    "mail_scripts",
    "inbound_actions",
    "scheduled_jobs",
    "inactivity_monitors",
    "sla_definitions",
    "connections",
    "flows",
    "script_includes",
    "access_controls",
    "webhooks",
    "tests",
];

/// A pack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackDocument {
    /// `pack/v1`.
    pub campanile: String,
    /// Lower-case name: with section and key it makes the `sys_id` of every row.
    pub name: String,
    /// Version, for people.
    pub version: String,
    /// What it is, in one line.
    pub title: String,
    /// Packs that must be installed.
    pub requires: Vec<String>,
    /// Tables with their columns; a table that exists gets the columns that it lacks.
    pub tables: Vec<TableSpec>,
    /// Choice lists of inherited columns.
    pub choices: Vec<ChoiceListSpec>,
    /// What classes change of inherited columns.
    pub overrides: Vec<OverrideSpec>,
    /// Numbering.
    pub numbers: Vec<Row>,
    /// Roles.
    pub roles: Vec<Row>,
    /// Groups.
    pub groups: Vec<Row>,
    /// Users; without passwords.
    pub users: Vec<Row>,
    /// Event queues.
    pub queues: Vec<Row>,
    /// Event registrations.
    pub events: Vec<Row>,
    /// Business rules.
    pub business_rules: Vec<Row>,
    /// Script actions.
    pub script_actions: Vec<Row>,
    /// Properties.
    pub properties: Properties,
    /// Data rows, written only when absent.
    pub records: Vec<RecordSpec>,
    /// Data rows that are written only when asked for.
    pub demo: Vec<RecordSpec>,
}

/// One row of any table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSpec {
    /// Table.
    pub table: String,
    /// A name by which other rows of the pack refer to this one.
    #[serde(default, rename = "as")]
    pub handle: Option<String>,
    /// Values by column.
    pub values: Row,
}

/// A definition: column names (or their short forms) and values, in the order of the document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row(pub Vec<(String, Item)>);

impl Row {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, item)| item)
    }

    /// The text of `key`; empty when it is missing or a list.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Item::Text(text)) => text,
            _ => "",
        }
    }
}

/// A value: numbers and truth values as the text that they are written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// One value; empty for `null`.
    Text(String),
    /// Several, for lists of names.
    List(Vec<String>),
}

impl Item {
    /// The members of a list; a text is split at its commas.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        match self {
            Self::List(members) => members.clone(),
            Self::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|m| !m.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// One text: a list is joined by commas.
    #[must_use]
    pub fn joined(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(members) => members.join(","),
        }
    }
}

/// Properties: `{name: value, …}`, or a list of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties(pub Vec<Row>);

/// Reads and checks the form of a pack; what it names is resolved when it is applied.
///
/// # Errors
/// [`EngineError::BadInput`] with file, path and fix.
pub fn parse(source: &PackSource) -> Result<PackDocument, EngineError> {
    let file = &source.name_or_path;
    let sections: serde_yaml_ng::Value = yaml::read(file, &source.text)?;
    let Some(sections) = sections.as_mapping() else {
        return Err(bad_input(
            file,
            "",
            "expected a pack: keys and values, beginning with 'campanile: pack/v1'",
        ));
    };
    match sections.get("campanile").and_then(serde_yaml_ng::Value::as_str) {
        Some(FORM) => {}
        Some(other) => {
            return Err(bad_input(file, "campanile", format!("expected '{FORM}', got '{other}'")));
        }
        None => return Err(bad_input(file, "campanile", format!("is missing: expected '{FORM}'"))),
    }
    let waiting = |key: &&serde_yaml_ng::Value| {
        key.as_str().is_some_and(|key| WAITING_SECTIONS.contains(&key))
    };
    if let Some(section) = sections.keys().find(waiting).and_then(serde_yaml_ng::Value::as_str) {
        return Err(bad_input(
            file,
            section,
            "this section waits for a later release: take it out of the pack",
        ));
    }
    let document: PackDocument = yaml::read(file, &source.text)?;
    check_name(file, &document.name)?;
    for (place, role) in document.users.iter().enumerate() {
        for key in ["password", "user_password"] {
            if role.get(key).is_some() {
                return Err(bad_input(
                    file,
                    format!("users[{place}].{key}"),
                    "packs hold no credentials: set the password with 'campanile user set-password'",
                ));
            }
        }
    }
    Ok(document)
}

fn check_name(file: &str, name: &str) -> Result<(), EngineError> {
    let fits =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if name.is_empty() {
        return Err(bad_input(file, "name", "is missing: every pack needs a name"));
    }
    if name.len() > 100 || !name.chars().all(fits) {
        let detail = format!("'{name}' is no name: expected up to 100 of a-z, 0-9, '_', '-', '.'");
        return Err(bad_input(file, "name", detail));
    }
    if name == "system" {
        return Err(bad_input(
            file,
            "name",
            "'system' is the product's own pack: choose another name",
        ));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut entries: Vec<(String, Item)> = Vec::new();
                while let Some((key, item)) = map.next_entry::<String, Item>()? {
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(de::Error::custom(format!("key '{key}' stands there twice")));
                    }
                    entries.push((key, item));
                }
                Ok(Row(entries))
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Item, E> {
                Ok(Item::Text(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Item, E> {
                Ok(Item::Text(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Item, E> {
                Ok(Item::Text(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Item, E> {
                Ok(Item::Text(value.to_string()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Item, E> {
                Ok(Item::Text(String::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = seq.next_element::<String>()? {
                    members.push(member);
                }
                Ok(Item::List(members))
            }
        }
        deserializer.deserialize_any(Items)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Properties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("property names with their values, or a list of {name, value}")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Properties, E> {
                Ok(Properties::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut rows = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Item>()? {
                    let name = ("name".to_owned(), Item::Text(name));
                    rows.push(Row(vec![name, ("value".to_owned(), value)]));
                }
                Ok(Properties(rows))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Properties, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = seq.next_element::<Row>()? {
                    rows.push(row);
                }
                Ok(Properties(rows))
            }
        }
        deserializer.deserialize_any(Both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PackDocument, EngineError> {
        parse(&PackSource { name_or_path: "mine.yaml".to_owned(), text: text.to_owned() })
    }

    fn refusal(text: &str) -> String {
        read(&format!("campanile: pack/v1\nname: mine\n{text}")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_packs_have_the_form() {
        for name in super::super::source::embedded_names() {
            let pack = parse(&super::super::source::find(name).unwrap()).unwrap();
            assert_eq!(pack.name, name);
        }
    }

    #[test]
    fn rows_keep_numbers_truth_values_and_lists() {
        let pack = read(
            "{campanile: pack/v1, name: mine, version: 1.10, users: [{user_name: a, vip: true, n: 7, x: null, \
             roles: [itil, admin], groups: \"A, B\"}], properties: {a.b: 5}}",
        )
        .unwrap();
        let user = &pack.users[0];
        assert_eq!(pack.version, "1.10");
        assert_eq!((user.text("vip"), user.text("n"), user.text("x")), ("true", "7", ""));
        assert_eq!(user.get("roles").unwrap().members(), ["itil", "admin"]);
        assert_eq!(user.get("groups").unwrap().members(), ["A", "B"]);
        assert_eq!(pack.properties.0[0].text("value"), "5");
    }

    #[test]
    fn what_is_no_pack_is_told() {
        for (text, told) in [
            ("[1]", "mine.yaml: expected a pack"),
            ("name: a", "mine.yaml: campanile: is missing"),
            ("campanile: pack/v9", "mine.yaml: campanile: expected 'pack/v1', got 'pack/v9'"),
            ("campanile: pack/v1", "mine.yaml: name: is missing"),
            ("{campanile: pack/v1, name: My Pack}", "mine.yaml: name: 'My Pack' is no name"),
            (
                "{campanile: pack/v1, name: system}",
                "mine.yaml: name: 'system' is the product's own",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn sections_that_wait_are_refused_and_unknown_ones_are_told() {
        assert_eq!(
            refusal("flows: []"),
            "mine.yaml: flows: this section waits for a later release: take it out of the pack"
        );
        assert_eq!(refusal("tabels: []"), "mine.yaml: tabels: unknown key; did you mean 'tables'?");
        assert!(
            refusal("records: [{table: a, value: {}}]").contains("records[0].value: unknown key")
        );
        assert!(refusal("records: [{table: a}]").contains("records[0]: missing field `values`"));
        assert!(
            refusal("users: [{a: {b: c}}]").starts_with("mine.yaml: users[0].a: invalid type: map")
        );
        assert!(
            refusal("users: [{a: b, a: c}]").contains("twice")
                || refusal("users: [{a: b, a: c}]").contains("duplicate")
        );
    }

    #[test]
    fn credentials_are_refused() {
        let told = refusal("users: [{user_name: a, password: secret}]");
        assert!(
            told.starts_with("mine.yaml: users[0].password: packs hold no credentials"),
            "{told}"
        );
    }
}
