//! The row in which a thread of this program writes down how far it is (`campanile_node_writer`), found again where it stood last.
//!
//! Differs because each change leaves a dead version of the row, and an index leads past all of them: with a snapshot held open for
//! five minutes that took 2 ms of every group of appends and of every batch of completions. Its place leads to the row itself, and
//! to nothing when somebody else has changed or moved it: then it is looked up. So it is in distributed mode each time: a table that
//! stands on several servers has other places on each.

/// Where the row of a token stood when it was changed last, as PostgreSQL writes it (`ctid`).
#[derive(Debug, Default)]
pub(super) struct OwnRow {
    known: Option<(i64, String)>,
}

/// The row of `$1` and `$2` at `$4`, or wherever it is when that is NULL.
macro_rules! at_its_place {
    () => {
        "WHERE ctid = COALESCE($4::text::tid, \
         (SELECT own.ctid FROM campanile_node_writer AS own WHERE own.token = $1 AND own.writer = $2)) \
         AND token = $1 AND writer = $2 RETURNING ctid::text"
    };
}

/// Writes down, for a token and a writer, the number of the group that is written, and gives the row's new place.
pub(super) const NUMBER_GROUP: &str =
    concat!("UPDATE campanile_node_writer SET last_group = $3 ", at_its_place!());

/// The same, looked up.
pub(super) const NUMBER_GROUP_BY_KEY: &str =
    "UPDATE campanile_node_writer SET last_group = $3 WHERE token = $1 AND writer = $2";

/// The same behind the parameters of the events, unless the number was used up meanwhile.
pub(super) const NUMBER_GROUP_TOO: &str = "UPDATE campanile_node_writer SET last_group = $29 \
     WHERE ctid = COALESCE($30::text::tid, \
     (SELECT own.ctid FROM campanile_node_writer AS own WHERE own.token = $27 AND own.writer = $28)) \
     AND token = $27 AND writer = $28 AND last_group < $29 RETURNING ctid::text AS place";

/// Writes down, for a token and a writer, which events are being handled, and gives the row's new place.
pub(super) const WRITE_HANDLING: &str =
    concat!("UPDATE campanile_node_writer SET handling = $3 ", at_its_place!());

/// The same, looked up.
pub(super) const WRITE_HANDLING_BY_KEY: &str =
    "UPDATE campanile_node_writer SET handling = $3 WHERE token = $1 AND writer = $2";

impl OwnRow {
    /// The place of the row of `token`; `None` when it has to be looked up.
    pub(super) fn place(&self, token: i64) -> Option<&str> {
        self.known.as_ref().filter(|(of, _)| *of == token).map(|(_, place)| place.as_str())
    }

    /// The row of `token` was changed for good and stands at `place`; `None` when that is not known.
    pub(super) fn at(token: i64, place: Option<String>) -> Self {
        Self { known: place.map(|place| (token, place)) }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::{Admin, PostgresOptions, PostgresStore};
    use crate::testing::TestDatabase;

    #[test]
    fn a_row_is_changed_at_its_place_without_a_look_through_an_index_and_only_there() {
        let database = TestDatabase::create();
        let _store = PostgresStore::open(&PostgresOptions::new(database.url())).unwrap();
        let admin = Admin::open(database.url()).unwrap();
        let token = admin.texts("SELECT max(token)::text FROM campanile_node").unwrap().remove(0);
        let scans = "SELECT (pg_stat_get_xact_numscans('campanile_node_writer'::regclass) \
             + pg_stat_get_xact_numscans('campanile_node_writer_pkey'::regclass))::text";
        for (at, (sql, kind, values)) in [
            (NUMBER_GROUP, "bigint", ["7", "8", "9"]),
            (WRITE_HANDLING, "bigint[]", ["'{7}'", "'{8}'", "'{9}'"]),
        ]
        .into_iter()
        .enumerate()
        {
            admin.run(&format!("PREPARE s{at} (bigint, smallint, {kind}, text) AS {sql}")).unwrap();
            let change = |value: &str, place: &str| {
                admin.texts(&format!("EXECUTE s{at} ({token}, 1, {value}, {place})")).unwrap()
            };
            admin.run("BEGIN").unwrap();
            let first = change(values[0], "NULL").remove(0);
            let before = admin.texts(scans).unwrap();
            let second = change(values[1], &format!("'{first}'"));
            assert_eq!(second.len(), 1, "{sql}");
            assert_eq!(admin.texts(scans).unwrap(), before, "{sql}");
            assert_eq!(
                change(values[2], &format!("'{first}'")).len(),
                0,
                "it stands elsewhere by now"
            );
            admin.run("COMMIT").unwrap();
        }
    }
}
