//! The section `postgres`: the way to the database, how many connections are taken on it, and how events are spread in it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use campanile_store::{Connections, PARTITIONS, StatementNames};
use toml::Value;

use super::layers::{SettingsError, shown, text, within};

/// Fewer of a kind, and one operation would wait for another for no reason; a server with more connections spends its
/// time on changing between them.
const CONNECTIONS: RangeInclusive<i64> = 2..=1_000;

/// What `prepared_statements` may be.
const NAMES: [(&str, StatementNames); 3] = [
    ("auto", StatementNames::WherePossible),
    ("always", StatementNames::Always),
    ("never", StatementNames::Never),
];

/// The section.
///
/// # Errors
/// [`SettingsError`] that names the setting and what it may be.
pub(super) fn connections(values: &BTreeMap<String, Value>) -> Result<Connections, SettingsError> {
    let count = |key: &str| -> Result<usize, SettingsError> {
        Ok(usize::try_from(within(values, key, CONNECTIONS)?).unwrap_or(usize::MAX))
    };
    let direct_url = text(values, "postgres.direct_url");
    Ok(Connections {
        readers_max: count("postgres.readers")?,
        writers_max: count("postgres.writers")?,
        statement_names: names(values)?,
        direct_url: (!direct_url.is_empty()).then(|| direct_url.into()),
    })
}

/// In how many partitions events are kept; `None` leaves it to the database.
///
/// # Errors
/// As [`connections`].
pub(super) fn partitions(values: &BTreeMap<String, Value>) -> Result<Option<u16>, SettingsError> {
    let key = "postgres.partitions";
    let count = within(values, key, 0..=i64::from(*PARTITIONS.end()))?;
    let count = u16::try_from(count).unwrap_or(0);
    if count == 0 {
        return Ok(None);
    }
    if !count.is_power_of_two() || !PARTITIONS.contains(&count) {
        return Err(SettingsError::NoSuchChoice {
            key: key.to_owned(),
            choices: "0, 2, 4, 8, 16, 32, 64, 128, 256".to_owned(),
            got: count.to_string(),
        });
    }
    Ok(Some(count))
}

fn names(values: &BTreeMap<String, Value>) -> Result<StatementNames, SettingsError> {
    let key = "postgres.prepared_statements";
    let got = text(values, key);
    let found = NAMES.iter().find(|(word, _)| *word == got).map(|(_, names)| *names);
    found.ok_or_else(|| SettingsError::NoSuchChoice {
        key: key.to_owned(),
        choices: NAMES.map(|(word, _)| word).join(", "),
        got: shown(got),
    })
}

#[cfg(test)]
mod tests {
    use super::super::layers::load;
    use super::*;

    fn with(name: &str, value: &str) -> Result<Connections, String> {
        let variable = (format!("CAMPANILE_POSTGRES_{name}"), value.into());
        load(None, [variable])
            .map(|settings| settings.database_connections)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        assert_eq!(load(None, []).unwrap().database_connections, Connections::default());
    }

    #[test]
    fn each_setting_of_the_section_is_taken() {
        assert_eq!(with("READERS", "3").unwrap().readers_max, 3);
        assert_eq!(with("WRITERS", "4").unwrap().writers_max, 4);
        for (word, names) in NAMES {
            assert_eq!(with("PREPARED_STATEMENTS", word).unwrap().statement_names, names);
        }
        let direct = with("DIRECT_URL", "postgres://u:geheim@h/c").unwrap();
        assert_eq!(direct.direct_url.as_ref().unwrap().to_string(), "postgres://h/c");
    }

    #[test]
    fn partitions_are_none_or_a_power_of_two() {
        let with = |value: &str| {
            let variable = ("CAMPANILE_POSTGRES_PARTITIONS".to_owned(), value.into());
            load(None, [variable]).map(|settings| settings.partitions).map_err(|e| e.to_string())
        };
        assert_eq!(with("0").unwrap(), None);
        for count in [2, 16, 256] {
            assert_eq!(with(&count.to_string()).unwrap(), Some(count));
        }
        assert_eq!(
            with("12").unwrap_err(),
            "'postgres.partitions' expected one of 0, 2, 4, 8, 16, 32, 64, 128, 256, got '12'"
        );
        assert_eq!(
            with("512").unwrap_err(),
            "'postgres.partitions' expected a number from 0 to 256, got 512"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        let told = with("READERS", "1").unwrap_err();
        assert_eq!(told, "'postgres.readers' expected a number from 2 to 1000, got 1");
        let told = with("PREPARED_STATEMENTS", "maybe").unwrap_err();
        assert_eq!(
            told,
            "'postgres.prepared_statements' expected one of auto, always, never, got 'maybe'"
        );
        let told = with("REDERS", "7").unwrap_err();
        assert!(told.contains("did you mean 'CAMPANILE_POSTGRES_READERS'"), "{told}");
    }
}
