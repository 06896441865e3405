//! The form of a map: `campanile: map/v1`, which columns of a file are which fields of a table.

use std::collections::{BTreeMap, HashMap};

use campanile_model::Instant;
use serde::Deserialize;

use crate::error::EngineError;
use crate::packs::yaml::{self, bad_input};

/// The only form that there is.
const FORM: &str = "map/v1";

/// A map.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayMap {
    /// `map/v1`.
    campanile: String,
    /// Table of the records.
    pub table: String,
    /// Column that tells records apart.
    pub key: String,
    /// Columns that say in which order the rows happened.
    #[serde(default)]
    pub order: Vec<OrderKey>,
    /// What stands in the file for no value, besides nothing.
    #[serde(default)]
    pub empty: String,
    /// How dates are written (`strftime`); as the platform writes them when missing.
    #[serde(default)]
    date_format: Option<String>,
    /// Zone of the dates: `UTC`, or an offset such as `+01:00`.
    #[serde(default)]
    time_zone: Option<String>,
    /// Columns by name.
    pub columns: BTreeMap<String, ColumnSpec>,
    #[serde(skip)]
    zone: Zone,
    #[serde(skip)]
    file: String,
}

/// One column that orders rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderKey {
    /// Its name.
    pub column: String,
    /// How its values compare.
    #[serde(default, rename = "type")]
    pub kind: OrderKind,
}

/// How values of an ordering column compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// As dates in the map's format.
    DateTime,
    /// As whole numbers.
    Integer,
    /// As texts.
    #[default]
    Text,
}

/// What one column is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Field of the table.
    pub field: String,
    /// Stored values of labels in the file.
    #[serde(default)]
    pub labels: HashMap<String, String>,
    /// Field of the other table by which a reference is found, when it is not its display field.
    #[serde(default)]
    pub find_by: Option<String>,
}

#[derive(Debug, Clone)]
struct Zone(jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

/// Longest part of a cell that a message shows, in characters.
const CELL_SHOWN_CHARS_MAX: usize = 60;

/// A cell as a message shows it: on one line, and not more of it than is needed to find it.
pub(super) fn shown(cell: &str) -> String {
    let chars = cell.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.take(CELL_SHOWN_CHARS_MAX).collect();
    if cell.chars().nth(CELL_SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl ReplayMap {
    /// Reads and checks the form of a map; what it names in the dictionary is checked when rows come.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] with file, path and fix.
    pub fn parse(file: &str, text: &str) -> Result<Self, EngineError> {
        if text.trim().is_empty() {
            let detail =
                format!("the file is empty: expected a map, beginning with 'campanile: {FORM}'");
            return Err(bad_input(file, "", detail));
        }
        let mut map: Self = yaml::read(file, text)?;
        file.clone_into(&mut map.file);
        if map.campanile != FORM {
            let detail = format!("expected '{FORM}', got '{}'", map.campanile);
            return Err(map.refuse("campanile", detail));
        }
        if !map.columns.contains_key(&map.key) {
            let detail = format!("'{}' is none of the columns of the map", map.key);
            return Err(map.refuse("key", detail));
        }
        if let Some(name) = &map.time_zone {
            map.zone = zone(name).ok_or_else(|| {
                map.refuse(
                    "time_zone",
                    format!("'{name}' is not known: expected UTC or an offset such as +01:00"),
                )
            })?;
        }
        map.check_columns()?;
        Ok(map)
    }

    fn check_columns(&self) -> Result<(), EngineError> {
        let mut fields: HashMap<&str, &str> = HashMap::new();
        for (column, spec) in &self.columns {
            if let Some(other) = fields.insert(&spec.field, column) {
                let detail = format!("'{}' is the field of column '{other}' already", spec.field);
                return Err(self.refuse(format!("columns.{column}.field"), detail));
            }
            let mut values: BTreeMap<&str, &str> = BTreeMap::new();
            let mut labels: Vec<_> = spec.labels.iter().collect();
            labels.sort();
            for (label, value) in labels {
                if let Some(other) = values.insert(value, label) {
                    let detail = format!(
                        "'{label}' and '{other}' have one value, '{value}': give each its own"
                    );
                    return Err(self.refuse(format!("columns.{column}.labels"), detail));
                }
            }
        }
        Ok(())
    }

    /// A refusal of what stands at `path` of the map.
    pub(super) fn refuse(&self, path: impl AsRef<str>, detail: impl Into<String>) -> EngineError {
        bad_input(&self.file, path, detail)
    }

    /// The value of a cell; nothing for the marker of empty ones.
    #[must_use]
    pub fn cell<'a>(&self, text: &'a str) -> &'a str {
        if text == self.empty { "" } else { text }
    }

    /// The instant that a cell means.
    ///
    /// # Errors
    /// In words, what was expected.
    pub fn instant(&self, text: &str) -> Result<Instant, String> {
        let Some(format) = &self.date_format else {
            return Instant::parse_glide_text(text).ok_or_else(|| {
                format!("'{}' is no date: expected yyyy-MM-dd HH:mm:ss", shown(text))
            });
        };
        let refuse = || format!("'{}' is no date: expected {format}", shown(text));
        let parsed = jiff::fmt::strtime::parse(format, text).map_err(|_error| refuse())?;
        if let Ok(at) = parsed.to_timestamp() {
            return Ok(Instant::from_millis(at.as_millisecond()));
        }
        let civil = parsed
            .to_datetime()
            .or_else(|_no_time| parsed.to_date().map(|date| date.at(0, 0, 0, 0)))
            .map_err(|_error| refuse())?;
        let at =
            self.zone.0.to_ambiguous_timestamp(civil).compatible().map_err(|_error| refuse())?;
        Ok(Instant::from_millis(at.as_millisecond()))
    }

    /// Names of the columns that a file must have.
    pub fn needed_columns(&self) -> impl Iterator<Item = &str> {
        let order = self.order.iter().map(|key| key.column.as_str());
        self.columns.keys().map(String::as_str).chain(order)
    }
}

fn zone(name: &str) -> Option<Zone> {
    if name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Some(Zone::default());
    }
    if let Ok(zone) = jiff::tz::TimeZone::get(name) {
        return Some(Zone(zone));
    }
    let (sign, rest) = match name.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let offset = jiff::tz::Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some(Zone(jiff::tz::TimeZone::fixed(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "campanile: map/v1\ntable: incident\nkey: number\n";

    fn parse(rest: &str) -> Result<ReplayMap, EngineError> {
        ReplayMap::parse("my.map.yaml", &format!("{HEAD}{rest}"))
    }

    fn refusal(rest: &str) -> String {
        parse(rest).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_map_has_the_form() {
        let text = include_str!("../../../../../packs/itsm/incident_event_log.map.yaml");
        let map = ReplayMap::parse("map", text).unwrap();
        assert_eq!(map.columns.len(), 24);
        assert_eq!(map.cell("?"), "");
        assert_eq!(map.cell("x"), "x");
        assert_eq!(map.instant("29-02-2016 01:16").unwrap().to_glide_text(), "2016-02-29 01:16:00");
        assert!(map.instant("30-02-2016 01:16").is_err());
        assert!(map.instant("2016-02-29 01:16").unwrap_err().contains("expected %d-%m-%Y %H:%M"));
    }

    #[test]
    fn offsets_move_dates_to_utc() {
        let columns = "columns: {number: {field: number}}\n";
        let map = parse(&format!("{columns}time_zone: '+02:00'\ndate_format: '%d.%m.%Y'")).unwrap();
        assert_eq!(map.instant("01.03.2024").unwrap().to_glide_text(), "2024-02-29 22:00:00");
        let plain = parse(columns).unwrap();
        assert_eq!(
            plain.instant("2024-03-01 05:00:00").unwrap().to_glide_text(),
            "2024-03-01 05:00:00"
        );
        assert!(
            refusal(&format!("{columns}time_zone: Mars/Base")).contains("time_zone: 'Mars/Base'")
        );
    }

    #[test]
    fn what_is_no_map_is_told_with_its_path() {
        for (rest, told) in [
            ("columns: {a: {field: number}}", "my.map.yaml: key: 'number' is none of the columns"),
            (
                "columns: {number: {feld: number}}",
                "my.map.yaml: columns.number.feld: unknown key; did you mean 'field'?",
            ),
            (
                "columns: {number: {field: number}, other: {field: number}}",
                "my.map.yaml: columns.other.field: 'number' is the field of column 'number' already",
            ),
            (
                "columns: {number: {field: number}, s: {field: state, labels: {New: '1', Fresh: '1'}}}",
                "my.map.yaml: columns.s.labels: 'New' and 'Fresh' have one value, '1'",
            ),
            (
                "columns: {number: {field: number}}\norder: [{column: a, type: float}]",
                "my.map.yaml: order[0].type: unknown variant",
            ),
        ] {
            let error = refusal(rest);
            assert!(error.starts_with(told), "{rest}: {error}");
        }
    }
}
