//! One layer of settings over the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use campanile_model::nearest::{is_slip, nearest};
use campanile_store::{Connections, DatabaseUrl, Lease};
use toml::Value;

use super::postgres;

const DEFAULTS: &str = include_str!("../../campanile.default.toml");

/// The setting that names the database.
const DATABASE: &str = "database";

/// What the variable for it is called elsewhere.
const DATABASE_ELSEWHERE: [&str; 4] =
    ["CAMPANILE_DATABASE_URL", "CAMPANILE_DATABASE_URI", "CAMPANILE_DB_URL", "CAMPANILE_DB"];

/// A shorter lease would lapse in every pause of a busy machine; after a longer one nobody waits for a dead node.
const LEASE_MS: RangeInclusive<i64> = 1_000..=3_600_000;

/// Beats in a lease: one or two that come late or are lost cost nothing.
const BEATS_MIN: i64 = 3;

/// More often would be a load for the database.
const BEAT_MS_MIN: i64 = 100;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Data folder.
    pub(crate) data: PathBuf,
    /// URL of a PostgreSQL database that is used instead; may be empty.
    pub(crate) database: DatabaseUrl,
    /// Its variable is set and says nothing.
    pub(crate) database_is_blank: bool,
    /// The way to it.
    pub(crate) database_connections: Connections,
    /// In how many partitions it keeps events; `None` leaves it to the database.
    pub(crate) partitions: Option<u16>,
    /// `host:port`.
    pub(crate) listen: String,
    /// Connections at once; 0 leaves it to the machine.
    pub(crate) connections: usize,
    /// Name of this node.
    pub(crate) node: String,
    /// How it proves to the other nodes that it lives.
    pub(crate) lease: Lease,
    /// Script threads; never 0.
    pub(crate) script_workers: usize,
    /// Log filter.
    pub(crate) log_level: String,
}

/// A setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: could not be read: {reason}")]
    Unreadable { path: String, reason: String },
    /// The file is no TOML.
    #[error("{place}: {reason}")]
    Malformed { place: String, reason: String },
    /// A key that does not exist.
    #[error("{place}: there is no setting '{key}'{suggestion}")]
    Unknown { place: String, key: String, suggestion: String },
    /// A number that makes no sense.
    #[error("'{key}' expected a number from {least} to {most}, got {got}")]
    OutOfRange { key: String, least: i64, most: i64, got: i64 },
    /// A word that is none of those that it may be.
    #[error("'{key}' expected one of {choices}, got '{got}'")]
    NoSuchChoice { key: String, choices: String, got: String },
    /// A value of the wrong kind.
    #[error("{place}: '{key}' expected {expected}, got {got}")]
    WrongKind { place: String, key: String, expected: &'static str, got: String },
    /// A variable with something else than text.
    #[error("{name} is no UTF-8 text")]
    NoText { name: String },
}

/// Reads the layers. `variables` are those of the environment that begin with `CAMPANILE_`.
///
/// # Errors
/// [`SettingsError`] that names file, key and fix.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, OsString)>,
) -> Result<Settings, SettingsError> {
    let mut values = flat("the embedded defaults", DEFAULTS)?;
    if let Some(path) = file {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable {
            path: place.clone(),
            reason: error.to_string(),
        })?;
        for (key, value) in flat(&place, &text)? {
            overlay(&mut values, &place, &key, value)?;
        }
    }
    let known: Vec<String> = values.keys().cloned().collect();
    let mut database_is_blank = false;
    for (name, text) in variables {
        let Some(key) = known.iter().find(|key| variable_of(key) == name) else {
            if is_meant(&name, &known) {
                return Err(unknown_variable(&name, &known));
            }
            // Other CAMPANILE_ variables (passwords, test settings) are not settings.
            continue;
        };
        let text =
            text.into_string().map_err(|_bytes| SettingsError::NoText { name: name.clone() })?;
        if key == DATABASE && text.trim().is_empty() {
            database_is_blank = true;
            continue;
        }
        let value = match values.get(key) {
            Some(Value::Integer(_)) => text.parse().map_or(Value::String(text), Value::Integer),
            _ => Value::String(text),
        };
        overlay(&mut values, &name, key, value)?;
    }
    Ok(Settings {
        data: PathBuf::from(text(&values, "server.data")),
        database: text(&values, DATABASE).into(),
        database_is_blank,
        database_connections: postgres::connections(&values)?,
        partitions: postgres::partitions(&values)?,
        listen: text(&values, "server.listen"),
        node: text(&values, "node.name"),
        lease: lease(&values)?,
        connections: usize::try_from(integer(&values, "server.connections")).unwrap_or(0),
        script_workers: workers(integer(&values, "scripts.workers")),
        log_level: text(&values, "log.level"),
    })
}

fn variable_of(key: &str) -> String {
    format!("CAMPANILE_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Whether a variable is meant as a setting: it begins like a section of them, or is nearly one that stands in none.
fn is_meant(name: &str, known: &[String]) -> bool {
    known.iter().any(|key| match key.split_once('.') {
        Some((section, _)) => {
            name.strip_prefix(&variable_of(section)).is_some_and(|rest| rest.starts_with('_'))
        }
        None => is_slip(name, &variable_of(key)),
    }) || DATABASE_ELSEWHERE.contains(&name)
}

fn unknown_variable(name: &str, known: &[String]) -> SettingsError {
    let variables: Vec<String> = known.iter().map(|key| variable_of(key)).collect();
    let near = match DATABASE_ELSEWHERE.contains(&name) {
        true => Some(variable_of(DATABASE)),
        false => nearest(name, variables.iter().map(String::as_str)).map(str::to_owned),
    };
    let suggestion = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    SettingsError::Unknown { place: "the environment".to_owned(), key: name.to_owned(), suggestion }
}

fn workers(wanted: i64) -> usize {
    match usize::try_from(wanted) {
        Ok(number) if number > 0 => number,
        _ => std::thread::available_parallelism().map_or(4, |n| (n.get() * 2).max(4)),
    }
}

/// The lease and its beat, both within what makes sense.
fn lease(values: &BTreeMap<String, Value>) -> Result<Lease, SettingsError> {
    let time = |key: &str, range: RangeInclusive<i64>| -> Result<Duration, SettingsError> {
        Ok(Duration::from_millis(within(values, key, range)?))
    };
    let lasts = time("node.lease_ms", LEASE_MS)?;
    let a_third = integer(values, "node.lease_ms") / BEATS_MIN;
    Ok(Lease { lasts, beat: time("node.beat_ms", BEAT_MS_MIN..=a_third)? })
}

/// A number with bounds, none of them below 0.
pub(super) fn within(
    values: &BTreeMap<String, Value>,
    key: &str,
    range: RangeInclusive<i64>,
) -> Result<u64, SettingsError> {
    let got = integer(values, key);
    match u64::try_from(got) {
        Ok(number) if range.contains(&got) => Ok(number),
        _ => Err(SettingsError::OutOfRange {
            key: key.to_owned(),
            least: *range.start(),
            most: *range.end(),
            got,
        }),
    }
}

pub(super) fn text(values: &BTreeMap<String, Value>, key: &str) -> String {
    values.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn integer(values: &BTreeMap<String, Value>, key: &str) -> i64 {
    values.get(key).and_then(Value::as_integer).unwrap_or(0)
}

/// The leaves of a TOML text by dotted key.
fn flat(place: &str, text: &str) -> Result<BTreeMap<String, Value>, SettingsError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        SettingsError::Malformed { place: place.to_owned(), reason: told(text, &error) }
    })?;
    let mut leaves = BTreeMap::new();
    let mut open = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) => open.push((key, inner)),
                leaf => {
                    leaves.insert(key, leaf);
                }
            }
        }
    }
    Ok(leaves)
}

/// Where a text is no TOML, and why; not what stands there, which may be a password.
fn told(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
    format!(
        "line {line} is no TOML: {} (texts stand in quotes)",
        error.message().replace('\n', ", ")
    )
}

/// A value as it is told: one that may hold a password is not.
pub(super) fn shown(value: String) -> String {
    if value.contains(['@', '=']) || value.contains("//") {
        "a text that may hold a password".to_owned()
    } else {
        value
    }
}

fn overlay(
    values: &mut BTreeMap<String, Value>,
    place: &str,
    key: &str,
    value: Value,
) -> Result<(), SettingsError> {
    let Some(present) = values.get(key) else {
        let suggestion = nearest(key, values.keys().map(String::as_str))
            .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        return Err(SettingsError::Unknown {
            place: place.to_owned(),
            key: shown(key.to_owned()),
            suggestion,
        });
    };
    if present.type_str() != value.type_str() {
        return Err(SettingsError::WrongKind {
            place: place.to_owned(),
            key: key.to_owned(),
            expected: present.type_str(),
            got: shown(value.to_string()),
        });
    }
    values.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> (String, OsString) {
        (name.to_owned(), value.into())
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_the_defaults() {
        let (_folder, path) = file("[server]\nlisten = \"0.0.0.0:1\"\n[scripts]\nworkers = 3\n");
        let variables = [variable("CAMPANILE_SERVER_LISTEN", "127.0.0.1:2")];
        let settings = load(Some(&path), variables).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:2");
        assert_eq!(settings.script_workers, 3);
        assert_eq!(settings.data, Path::new("./campanile-data"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let (_folder, path) = file("[server]\nlisten_on = \"x\"\n");
        let error = load(Some(&path), []).unwrap_err().to_string();
        assert!(error.contains("there is no setting 'server.listen_on'"), "{error}");
        assert!(error.contains("did you mean 'server.listen'"), "{error}");
    }

    #[test]
    fn a_variable_of_a_section_that_is_no_setting_is_refused_and_others_are_left_alone() {
        let variable = |name: &str| [variable(name, "x")];
        let error = load(None, variable("CAMPANILE_SERVER_LISTN")).unwrap_err().to_string();
        assert!(error.contains("did you mean 'CAMPANILE_SERVER_LISTEN'"), "{error}");
        assert!(load(None, variable("CAMPANILE_ADMIN_PASSWORD")).is_ok());
        assert!(load(None, variable("CAMPANILE_LOGBOOK")).is_ok());
        for other in ["PASSWORD", "TEST_DATA", "TEST_POSTGRES", "TEST_ENGINE", "TEST_SKIPS", "USER"]
        {
            let name = format!("CAMPANILE_{other}");
            assert!(load(None, variable(&name)).is_ok(), "{name}");
        }
        for other in ["DATABASE_PORT", "DATABASE_NAME", "STORAGE", "DATE", "STATE"] {
            let name = format!("CAMPANILE_{other}");
            assert!(load(None, variable(&name)).is_ok(), "{name}");
        }
        for slip in ["DATABSE", "DATABASES", "DATABASE_URL", "DB", "DB_URL"] {
            let slip = &format!("CAMPANILE_{slip}");
            let error = load(None, variable(slip)).unwrap_err().to_string();
            assert!(error.contains("did you mean 'CAMPANILE_DATABASE'"), "{error}");
        }
    }

    #[test]
    fn a_database_that_is_set_and_empty_is_noted() {
        for (value, is_blank) in [("", true), (" ", true), ("postgres://h/c", false)] {
            let settings = load(None, [variable("CAMPANILE_DATABASE", value)]).unwrap();
            assert_eq!(settings.database_is_blank, is_blank, "{value:?}");
        }
        let (_folder, path) = file("[postgres]\ndirect_url = \"postgres://h/c\"\n");
        let none = [variable("CAMPANILE_POSTGRES_DIRECT_URL", "")];
        assert!(load(Some(&path), none).unwrap().database_connections.direct_url.is_none());
    }

    #[test]
    fn no_error_tells_a_password() {
        for text in [
            "database = postgres://u:geheim@h/c\n",
            "database = \"postgres://u:geheim@h/c\n",
            "database = [\"postgres://u:geheim@h/c\"]\n",
            "[postgres]\nreaders = \"postgres://u:geheim@h/c\"\n",
            "[postgres]\nprepared_statements = \"postgres://u:geheim@h/c\"\n",
            "\"postgres://u:geheim@h/c\" = 1\n",
            "database = [\"host=h password=geheim\"]\n",
            "[postgres]\npartitions = \"postgres://u:geheim@h/c\"\n",
        ] {
            let (_folder, path) = file(text);
            let error = load(Some(&path), []).unwrap_err().to_string();
            assert!(!error.contains("geheim") && !error.contains('\n'), "{error}");
        }
        for value in ["postgres://u:geheim@h/c", "host=h password=geheim", "//u:geheim@h/c"] {
            let given = [variable("CAMPANILE_POSTGRES_READERS", value)];
            let error = load(None, given).unwrap_err().to_string();
            let told = "'postgres.readers' expected integer, got a text that may hold a password";
            assert!(error.contains(told), "{error}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let value = OsString::from_vec(b"postgres://u:geheim\xff@h/c".to_vec());
            let error = load(None, [("CAMPANILE_DATABASE".to_owned(), value)]).unwrap_err();
            assert_eq!(error.to_string(), "CAMPANILE_DATABASE is no UTF-8 text");
        }
        let (_folder, path) = file("[server]\nlisten = \"x\"\ndatabase = h/c\n");
        let error = load(Some(&path), []).unwrap_err().to_string();
        assert!(error.contains("line 3 is no TOML: "), "{error}");
    }

    #[test]
    fn a_lease_needs_several_beats_and_has_bounds() {
        let variables = |lease: &str, beat: &str| {
            load(
                None,
                [
                    variable("CAMPANILE_NODE_LEASE_MS", lease),
                    variable("CAMPANILE_NODE_BEAT_MS", beat),
                ],
            )
        };
        assert_eq!(load(None, []).unwrap().lease, Lease::default());
        let short = variables("3000", "500").unwrap().lease;
        assert_eq!((short.lasts.as_millis(), short.beat.as_millis()), (3_000, 500));
        for (lease, beat, told) in [
            ("3000", "1001", "'node.beat_ms' expected a number from 100 to 1000, got 1001"),
            ("3000", "-1", "'node.beat_ms' expected a number from 100 to 1000, got -1"),
            ("999", "100", "'node.lease_ms' expected a number from 1000 to 3600000, got 999"),
            ("3600001", "100", "'node.lease_ms' expected"),
        ] {
            let error = variables(lease, beat).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        let (_folder, path) = file("[scripts]\nworkers = \"many\"\n");
        let error = load(Some(&path), []).unwrap_err().to_string();
        assert!(error.contains("'scripts.workers' expected integer"), "{error}");
        let variables = [variable("CAMPANILE_SCRIPTS_WORKERS", "many")];
        assert!(load(None, variables).is_err());
    }
}
