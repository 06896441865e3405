//! How an event stands in a row: the columns that the live table and the log share, and the way in and out.

use std::collections::HashSet;
use std::sync::Arc;

use campanile_model::limits::IDEMPOTENCY_KEY_MS;
use campanile_model::{Event, EventSource, EventState, Instant, NewEvent, SysId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::claims::Claims;
use crate::contract::StoreError;

/// The columns that both tables have, in the order in which [`read_event`] takes them.
pub(super) const COLUMNS: &str = "sequence, sys_id, state, queue, derived_priority, process_on, sys_created_on, \
     name, \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", \
     depth, cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, \
     coalesce_seconds, origin_id, epoch, attempts, lapses, only_failed, coalesced, processed, \
     processing_duration, error_code, error_message";

/// The view `sysevent` that our own connections see: a claimed event reads `queued`, with its processor.
///
/// The casts give a column the same affinity in both halves; else SQLite would write out the whole view before it
/// filters or orders.
const OWN_VIEW: &str = "CREATE TEMP VIEW IF NOT EXISTS sysevent AS \
     SELECT sys_id, name, parm1, parm2, \"table\", instance, descriptive_name, queue, \
       CAST(CASE WHEN campanile_claimed_by(sequence) IS NULL THEN state ELSE 'queued' END AS TEXT) AS state, \
       process_on, processed, processing_duration, CAST(campanile_claimed_by(sequence) AS TEXT) AS claimed_by, \
       derived_priority, user_id, user_name, uri, \"partition\", NULL AS rollback_context_id, sequence, \
       COALESCE(origin_id, sys_id) AS origin_id, epoch, attempts, lapses, registered, scheduled, snapshot, depth, \
       cause_event, cause_handler, dedupe_key, source, error_code, error_message, coalesced, sys_created_on, \
       COALESCE(user_name, 'system') AS sys_created_by, \
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on, \
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count \
     FROM main.sysevent_live \
     UNION ALL \
     SELECT sys_id, name, parm1, parm2, \"table\", instance, descriptive_name, queue, state, process_on, processed, \
       processing_duration, CAST(NULL AS TEXT) AS claimed_by, derived_priority, user_id, user_name, uri, \
       \"partition\", NULL AS rollback_context_id, sequence, COALESCE(origin_id, sys_id) AS origin_id, epoch, \
       attempts, lapses, registered, scheduled, snapshot, depth, cause_event, cause_handler, dedupe_key, source, \
       error_code, error_message, coalesced, sys_created_on, COALESCE(user_name, 'system') AS sys_created_by, \
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on, \
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count \
     FROM main.sysevent_log";

/// Lets `connection` see claims: as the SQL function `campanile_claimed_by(sequence)` and in the view `sysevent`; and,
/// as `campanile_not_indexed(generation)`, where the log is not in its index.
///
/// # Errors
/// [`StoreError::Unavailable`] when SQLite refuses.
pub(super) fn show_claims(connection: &Connection, of: &Arc<Claims>) -> Result<(), StoreError> {
    use rusqlite::functions::FunctionFlags;
    let claims = Arc::clone(of);
    connection.create_scalar_function(
        "campanile_claimed_by",
        1,
        FunctionFlags::SQLITE_UTF8,
        move |context| Ok(claims.claimed_by(context.get(0)?).map(|by| by.to_string())),
    )?;
    let not_indexed = Arc::clone(of);
    connection.create_scalar_function(
        "campanile_not_indexed",
        1,
        FunctionFlags::SQLITE_UTF8,
        move |context| Ok(not_indexed.log_index().missing(context.get(0)?)),
    )?;
    // A reader's `query_only` would refuse even a temporary view.
    let query_only: bool = connection.pragma_query_value(None, "query_only", |row| row.get(0))?;
    connection.pragma_update(None, "query_only", false)?;
    connection.execute_batch(OWN_VIEW)?;
    connection.pragma_update(None, "query_only", query_only)?;
    Ok(())
}

/// An empty text is no value.
pub(super) fn nil(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Texts that repeat from row to row (names, tables, users) are kept once.
#[derive(Debug, Default)]
pub(super) struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// The shared text equal to `text`.
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&new));
        new
    }

    /// The text of a column that repeats; empty for NULL.
    fn shared(&mut self, row: &Row<'_>, index: usize) -> rusqlite::Result<Arc<str>> {
        let text = row.get_ref(index)?.as_str_or_null()?.unwrap_or_default();
        Ok(self.share(text))
    }

    /// The text of a column that differs from row to row; empty for NULL.
    fn own(&mut self, row: &Row<'_>, index: usize) -> rusqlite::Result<Arc<str>> {
        match row.get_ref(index)?.as_str_or_null()? {
            None | Some("") => Ok(self.share("")),
            Some(text) => Ok(Arc::from(text)),
        }
    }
}

/// A `sys_id` column.
pub(super) fn sys_id(row: &Row<'_>, index: usize) -> rusqlite::Result<SysId> {
    let text = row.get_ref(index)?.as_str()?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// A `sys_id` column that may be NULL.
pub(super) fn sys_id_or_none(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<SysId>> {
    match row.get_ref(index)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => sys_id(row, index).map(Some),
    }
}

/// The event in a row of [`COLUMNS`]. A content hash is not kept with the event and reads 0.
pub(super) fn read_event(row: &Row<'_>, texts: &mut Texts) -> rusqlite::Result<Event> {
    let key = sys_id(row, 1)?;
    let state: EventState = row.get_ref(2)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let fired = NewEvent {
        sys_id: key,
        name: texts.shared(row, 7)?,
        parm1: texts.own(row, 10)?,
        parm2: texts.own(row, 11)?,
        table: texts.shared(row, 8)?,
        instance: texts.own(row, 9)?,
        descriptive_name: texts.own(row, 12)?,
        queue: texts.shared(row, 3)?,
        queue_from_call: row.get(23)?,
        priority: row.get(4)?,
        process_on: Instant::from_millis(row.get(5)?),
        created: Instant::from_millis(row.get(6)?),
        scheduled: row.get(25)?,
        registered: row.get(24)?,
        user_id: texts.shared(row, 13)?,
        user_name: texts.shared(row, 14)?,
        uri: texts.shared(row, 15)?,
        snapshot: texts.own(row, 16)?,
        depth: row.get(18)?,
        cause_event: sys_id_or_none(row, 19)?,
        cause_handler: texts.shared(row, 20)?,
        dedupe_key: texts.own(row, 21)?,
        key_life_ms: IDEMPOTENCY_KEY_MS,
        content_hash: 0,
        source: EventSource::from_word(row.get_ref(22)?.as_str()?),
        coalesce_seconds: row.get(27)?,
        max_attempts: row.get(26)?,
    };
    Ok(Event {
        fired,
        sequence: row.get(0)?,
        origin_id: sys_id_or_none(row, 28)?.unwrap_or(key),
        state,
        processed: row.get::<_, Option<i64>>(34)?.map(Instant::from_millis),
        processing_duration_ms: row.get(35)?,
        claimed_by: texts.share(""),
        epoch: row.get(29)?,
        attempts: row.get(30)?,
        lapses: row.get(31)?,
        only_failed: row.get(32)?,
        coalesced: row.get(33)?,
        error_code: texts.shared(row, 36)?,
        error_message: texts.own(row, 37)?,
    })
}

/// Which of the two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Waiting and claimed.
    Live,
    /// Done.
    Log,
}

/// The event with key `sys_id` in `place`, as the transaction of `connection` sees it. A claim does not show.
///
/// # Errors
/// What SQLite said.
pub(super) fn find(
    connection: &Connection,
    place: Place,
    sys_id: &SysId,
) -> Result<Option<Event>, StoreError> {
    let sql = match place {
        Place::Live => format!("SELECT {COLUMNS} FROM sysevent_live WHERE sys_id = ?1"),
        Place::Log => format!("SELECT {COLUMNS} FROM sysevent_log WHERE sys_id = ?1"),
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let event = statement
        .query_row([sys_id.as_str()], |row| read_event(row, &mut Texts::default()))
        .optional()?;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::super::handling::Handling;
    use super::*;
    use crate::migrate::migrate_sqlite;

    fn database() -> (Connection, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_sqlite(&mut connection, std::path::Path::new("memory")).unwrap();
        (connection, folder)
    }

    fn columns(connection: &Connection, view: &str) -> Vec<String> {
        let statement = connection.prepare(&format!("SELECT * FROM {view}")).unwrap();
        statement.column_names().map(str::to_owned).collect()
    }

    #[test]
    fn our_view_has_the_columns_of_the_lasting_one() {
        let (connection, folder) = database();
        let lasting = columns(&connection, "main.sysevent");
        let claims = Arc::new(Claims::new(Handling::open(folder.path()).unwrap().0));
        connection.pragma_update(None, "query_only", true).unwrap();
        show_claims(&connection, &claims).unwrap();
        assert_eq!(columns(&connection, "temp.sysevent"), lasting);
        assert!(connection.execute("DELETE FROM sysevent_live", []).is_err(), "still a reader");
    }

    #[test]
    fn both_tables_have_the_columns_that_rows_are_read_from() {
        let (connection, _folder) = database();
        for table in ["sysevent_live", "sysevent_log"] {
            let names = columns(&connection, table);
            for column in COLUMNS.split(", ") {
                assert!(
                    names.iter().any(|name| name == column.trim().trim_matches('"')),
                    "{table}.{column}"
                );
            }
        }
    }

    /// The plans of the statements on the hot path: none may scan a table or sort.
    #[test]
    fn what_runs_often_reads_by_an_index() {
        let (connection, folder) = database();
        let claims = Arc::new(Claims::new(Handling::open(folder.path()).unwrap().0));
        show_claims(&connection, &claims).unwrap();
        let statements = [
            "SELECT * FROM sysevent_live WHERE queue = 'q' AND derived_priority = 1 AND process_on = 5 \
             AND sequence >= 7 AND process_on <= 9 ORDER BY sequence",
            "SELECT * FROM sysevent_live WHERE queue = 'q' AND derived_priority = 1 AND process_on > 5 \
             AND process_on <= 9 ORDER BY process_on, sequence",
            "SELECT count(*) FROM sysevent_live WHERE queue = 'q' AND derived_priority = 1 AND process_on > 5",
            "SELECT sequence FROM sysevent_live WHERE coalesce_seconds > 0 AND name = 'a' AND instance IS 'b' \
             AND parm1 IS 'c' AND parm2 IS 'd' AND \"table\" IS 'e' AND sys_created_on >= 5 ORDER BY sequence",
            "SELECT * FROM sysevent WHERE sys_id = 'x'",
            "SELECT * FROM sysevent WHERE sys_id = 'x' COLLATE NOCASE",
            "SELECT * FROM sysevent ORDER BY sequence DESC LIMIT 10",
            "SELECT * FROM sysevent_log WHERE sys_created_on >= 5 AND sys_created_on < 9",
            "SELECT * FROM sysevent_log WHERE name COLLATE NOCASE = 'a'",
            "SELECT * FROM sysevent_log WHERE state = 'error' ORDER BY sequence DESC LIMIT 10",
            "DELETE FROM sysevent_fired WHERE key >= 'h:1:' AND key < 'h:1;'",
            "SELECT * FROM sysevent_run WHERE event = 'x' AND (5 IS NULL OR epoch = 5) ORDER BY run",
        ];
        for sql in statements {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: Vec<String> =
                statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            let is_ordered_scan = sql.contains("LIMIT 10");
            for step in &plan {
                assert!(!step.contains("TEMP B-TREE"), "{sql}: {plan:?}");
                // The view itself is walked as far as its two halves bring rows.
                assert!(
                    is_ordered_scan || !step.starts_with("SCAN") || step == "SCAN sysevent",
                    "{sql}: {plan:?}"
                );
            }
        }
    }
}
