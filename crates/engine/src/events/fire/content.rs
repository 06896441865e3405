//! What is kept of a call beside its values: a snapshot of its record, a masked address.

use campanile_model::limits::EVENT_SNAPSHOT_BYTES_MAX;
use campanile_model::{Record, TableDef};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

use crate::records::properties::secrets;

/// Member of a snapshot that names the fields that were too large to be kept.
const LEFT_OUT: &str = "$left_out";

/// The stored values of `record` as JSON, passwords and values of secret properties left out. Fields that would take it over 256 KiB are
/// named in `$left_out` instead of being kept.
#[must_use]
pub fn snapshot(record: &Record) -> String {
    // Quotes, colon, comma; escapes are counted when the text is made.
    const OVERHEAD: usize = 6;
    let mut kept = Map::new();
    let mut left_out = Vec::new();
    let mut bytes = 64;
    for (index, (field, value)) in record.table().fields.iter().zip(record.values()).enumerate() {
        let secret = field.field_type.is_secret() || secrets::is_secret(record, index);
        let Some(text) = value.as_option().filter(|_| !secret) else { continue };
        let json = Json::from(text);
        let cost = json.to_string().len() + field.name.len() + OVERHEAD;
        if bytes + cost > EVENT_SNAPSHOT_BYTES_MAX {
            left_out.push(Json::from(&*field.name));
        } else {
            bytes += cost;
            kept.insert(field.name.to_string(), json);
        }
    }
    if !left_out.is_empty() {
        kept.insert(LEFT_OUT.to_owned(), Json::Array(left_out));
    }
    Json::Object(kept).to_string()
}

/// The record that a snapshot holds, as a row of `table`: fields that the table no longer has are ignored.
/// `None` when the text is no snapshot.
#[must_use]
pub fn record_of_snapshot(snapshot: &str, table: &Arc<TableDef>) -> Option<Record> {
    let Ok(Json::Object(values)) = serde_json::from_str(snapshot) else { return None };
    let mut record = Record::empty(Arc::clone(table));
    for (name, value) in &values {
        if let Json::String(text) = value {
            record.set(name, text.as_str());
        }
    }
    Some(record)
}

/// `uri` with the values of query parameters that look like secrets replaced by `***`, at most 1,024 characters.
#[must_use]
pub fn mask_uri(uri: &str) -> String {
    const URI_CHARS_MAX: usize = 1_024;
    const SECRETS: [&str; 8] =
        ["password", "passwd", "pwd", "secret", "token", "key", "credential", "signature"];
    let masked = match uri.split_once('?') {
        None => uri.to_owned(),
        Some((path, query)) => {
            let parts = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, _))
                    if SECRETS.iter().any(|s| name.to_ascii_lowercase().contains(s)) =>
                {
                    format!("{name}=***")
                }
                _ => pair.to_owned(),
            });
            format!("{path}?{}", parts.collect::<Vec<_>>().join("&"))
        }
    };
    if masked.chars().count() > URI_CHARS_MAX {
        masked.chars().take(URI_CHARS_MAX).collect()
    } else {
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_an_address_are_masked_and_the_rest_is_kept() {
        assert_eq!(mask_uri("/api/now/table/incident/1"), "/api/now/table/incident/1");
        assert_eq!(
            mask_uri("/api/events?name=a&Access_Token=abc&x=1&apiKey=9"),
            "/api/events?name=a&Access_Token=***&x=1&apiKey=***"
        );
        assert_eq!(mask_uri(&mask_uri("/a?pwd=1")), "/a?pwd=***", "masking twice changes nothing");
        assert_eq!(mask_uri(&"ä".repeat(2_000)).chars().count(), 1_024);
    }
}
