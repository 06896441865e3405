//! Every statement of the mode on the tables that are spread.
//!
//! Each names one partition by equality, the first parameter: then it is answered where that partition is. None is of a form
//! that Citus cannot send there (`forms`), and none reads another partition (`plan_tests`); a new one is tested by being in
//! [`ALL`]. What asks all partitions is not here: it stands in the folder above, and is not of the hot path.

use crate::postgres::events::columns;

/// A statement, and parameters with which it can be explained.
#[cfg(all(test, feature = "testing"))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Routed {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// For partition 3.
    pub(super) example: &'static str,
}

macro_rules! statements {
    ($($(#[$what:meta])* $name:ident = $example:expr => $text:expr;)+) => {
        $($(#[$what])* pub(in crate::postgres) const $name: &str = $text;)+

        /// All of them.
        #[cfg(all(test, feature = "testing"))]
        pub(super) const ALL: &[Routed] =
            &[$(Routed { name: stringify!($name), text: $text, example: $example }),+];
    };
}

/// What gives a claim up.
macro_rules! unclaimed {
    () => {
        "state = 'ready', claimed_by = NULL, claim_token = NULL"
    };
}

/// Columns of a row that are not of the event, behind `claimed_by`.
macro_rules! kept_columns {
    () => {
        "sys_updated_on, sys_updated_by, sys_mod_count"
    };
}

/// Inserts whole rows; `$1` is the partition, the others are arrays in the order of the columns: those that both tables have,
/// and what else this one has.
macro_rules! insert_rows {
    ($table:literal) => {
        insert_rows!($table, "", "", "")
    };
    ($table:literal, $columns:literal, $values:literal, $arrays:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (\"partition\", sequence, sys_id, state, queue, derived_priority, process_on, sys_created_on, name, \
             \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, depth, cause_event, \
             cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds, \
             origin_id, epoch, attempts, lapses, only_failed, coalesced, processed, processing_duration, error_code, \
             error_message, ",
            kept_columns!(),
            $columns,
            ") SELECT $1::bigint, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, \
             c20, c21, c22, c23, c24, c25, c26, c27, c28, c29, c30, c31, c32, c33, c34, c35, c36, c37, c38, c39, c40",
            $values,
            " FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bigint[], $8::bigint[], \
             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], \
             $17::text[], $18::text[], $19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[], \
             $24::boolean[], $25::boolean[], $26::boolean[], $27::bigint[], $28::bigint[], $29::text[], $30::bigint[], \
             $31::bigint[], $32::bigint[], $33::boolean[], $34::bigint[], $35::bigint[], $36::bigint[], $37::text[], \
             $38::text[], $39::bigint[], $40::text[], $41::bigint[]",
            $arrays,
            ") AS new (c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20, c21, c22, \
             c23, c24, c25, c26, c27, c28, c29, c30, c31, c32, c33, c34, c35, c36, c37, c38, c39, c40",
            $values,
            ")"
        )
    };
}

statements! {
    /// Appends events: the values of the ordinary append, and the partition behind them.
    APPEND = "'{0198}', '{q}', '{100}', '{0}', '{0}', '{n}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', \
              '{NULL}', '{NULL}', '{NULL}', '{0}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{api}', '{f}', '{t}', '{f}', \
              '{0}', '{0}', 3" =>
        "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"table\", \
         instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", depth, cause_event, \
         cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
         SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, $27::bigint, q, r, s, t, u, v, w, x, y, z \
         FROM unnest($1::text[], $2::text[], $3::float8[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], \
         $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], \
         $16::bigint[], $17::bigint[], $18::text[], $19::text[], $20::text[], $21::text[], $22::boolean[], \
         $23::boolean[], $24::boolean[], $25::bigint[], $26::bigint[]) WITH ORDINALITY \
         AS new (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, place) ORDER BY place \
         ON CONFLICT (lower(sys_id), \"partition\") DO NOTHING RETURNING sys_id, sequence";
    /// An equal event that waits, held, to count another one on it.
    FIND_EQUAL = "3, 'n', NULL, NULL, NULL, NULL, 0" =>
        "SELECT sequence FROM sysevent_live WHERE \"partition\" = $1 AND coalesce_seconds > 0 AND state = 'ready' \
         AND name = $2 AND instance IS NOT DISTINCT FROM $3 AND parm1 IS NOT DISTINCT FROM $4 \
         AND parm2 IS NOT DISTINCT FROM $5 AND \"table\" IS NOT DISTINCT FROM $6 AND sys_created_on >= $7 \
         ORDER BY sequence LIMIT 1 FOR UPDATE SKIP LOCKED";
    /// Counts another one on it.
    COUNT_ON = "3, 1" =>
        "UPDATE sysevent_live SET coalesced = coalesced + 1 WHERE \"partition\" = $1 AND sequence = $2 RETURNING sys_id";
    /// Causes of events that are claimed under this token, held until the commit.
    HOLD_CAUSES = "3, '{0198}', 1" =>
        "SELECT lower(sys_id) FROM sysevent_live WHERE \"partition\" = $1 AND lower(sys_id) = ANY ($2) \
         AND claim_token = $3 FOR KEY SHARE";

    /// The first priority behind another one that has waiting events, and when the first of them is due: the next due time
    /// too.
    NEXT_LANE = "3, 'q', '-Infinity'" =>
        "SELECT derived_priority, process_on FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' \
         AND queue = $2 AND derived_priority > $3 ORDER BY derived_priority, process_on LIMIT 1";
    /// The first queue with waiting events, from a name on.
    NEXT_QUEUE = "3, ''" =>
        "SELECT queue FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' AND queue >= $2 ORDER BY queue LIMIT 1";
    /// Due events of one priority, held.
    HOLD_DUE = "3, 'q', 100, 10, 5" =>
        "SELECT sequence, lapses, process_on FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' \
         AND queue = $2 AND derived_priority = $3 AND process_on <= $4 ORDER BY process_on, sequence LIMIT $5 \
         FOR UPDATE SKIP LOCKED";
    /// The same behind one of them, with their keys.
    HOLD_STRAYS = "3, 'q', 100, 10, 0, 0, 5" =>
        "SELECT sequence, process_on, sys_id FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' \
         AND queue = $2 AND derived_priority = $3 AND process_on <= $4 AND (process_on, sequence) > ($5, $6) \
         ORDER BY process_on, sequence LIMIT $7 FOR UPDATE SKIP LOCKED";
    /// When the first waiting event of one priority is due, but these.
    FIRST_BUT = "3, 'q', 100, '{1,2}'" =>
        "SELECT process_on FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' AND queue = $2 \
         AND derived_priority = $3 AND NOT (sequence = ANY ($4)) ORDER BY process_on, sequence LIMIT 1";
    /// Which of these keys stand here.
    STAND = "3, '{0198}'" =>
        "SELECT lower(sys_id) FROM sysevent_live WHERE \"partition\" = $1 AND lower(sys_id) = ANY ($2)";
    /// The same in the log.
    STAND_IN_LOG = "3, '{0197}'" =>
        "SELECT lower(sys_id) FROM sysevent_log WHERE \"partition\" = $1 AND lower(sys_id) = ANY ($2)";
    /// The first due events of one priority, only looked at.
    LOOK_AT_DUE = "3, 'q', 100, 10, 5" =>
        "SELECT sequence, lapses, process_on FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' \
         AND queue = $2 AND derived_priority = $3 AND process_on <= $4 ORDER BY process_on, sequence LIMIT $5";
    /// Of those that were looked at, the ones that are still there, held. Asked without the words of the claim index, which would
    /// be a bad way to what is known by its sequence.
    HOLD_THESE = "3, '{1,2}', 'q', 10" =>
        "SELECT sequence, lapses, process_on FROM sysevent_live WHERE \"partition\" = $1 AND sequence = ANY ($2) \
         AND state <> 'queued' AND queue = $3 AND process_on <= $4 ORDER BY process_on, sequence FOR UPDATE SKIP LOCKED";
    /// Claims what is held. What comes back is what this claim took: nothing that another one has.
    CLAIM = "3, '{1,2}', 'node/q/1', 1" =>
        concat!("UPDATE sysevent_live SET state = 'queued', claimed_by = $3, claim_token = $4 \
         WHERE \"partition\" = $1 AND sequence = ANY ($2) AND state <> 'queued' RETURNING ", columns!(), ", claimed_by");
    /// The same where their turn may not be written yet.
    CLAIM_IN_TURN = "3, '{1,2}', 'node/q/1', 1, 0" =>
        concat!("UPDATE sysevent_live SET state = 'queued', claimed_by = $3, claim_token = $4, turn = coalesce(turn, $5) \
         WHERE \"partition\" = $1 AND sequence = ANY ($2) AND state <> 'queued' RETURNING ", columns!(), ", claimed_by");

    /// Events arrive in a queue that keeps an order: numbers and turns in the places of those that they had, and when they are
    /// due if they are for now.
    ARRIVE = "3, '{1,2}', '{1001,1002}', 0, '{7,8}', 'q'" =>
        "UPDATE sysevent_live SET sequence = ($3::bigint[])[array_position($2::bigint[], sequence)], \
         process_on = CASE WHEN scheduled THEN process_on ELSE $4 END, \
         turn = ($5::bigint[])[array_position($2::bigint[], sequence)] \
         WHERE \"partition\" = $1 AND sequence = ANY ($2) AND queue = $6";
    /// Due events of one priority with their turns.
    LOOK_IN_TURN = "3, 'q', 100, 10, 5" =>
        "SELECT sequence, derived_priority, process_on, turn, attempts, lapses, \"table\", instance, sys_id \
         FROM sysevent_live WHERE \"partition\" = $1 AND state = 'ready' AND queue = $2 AND derived_priority = $3 \
         AND process_on <= $4 ORDER BY process_on, sequence LIMIT $5";
    /// What is being handled, or was begun and waits for its next attempt, of these turns.
    BEGUN_OF_TURNS = "3, 'q', '{0}'" =>
        "SELECT turn, sequence, state, process_on FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 \
         AND turn = ANY ($3) AND turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0)";
    /// The first of them in a queue that has one turn.
    BEGUN = "3, 'q'" =>
        "SELECT sequence, state, process_on FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 \
         AND turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0) \
         ORDER BY state = 'queued' DESC, process_on, sequence LIMIT 1";
    /// When the next one that was begun is to be tried again.
    NEXT_RETRY = "3, 'q', 0" =>
        "SELECT process_on FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 AND turn IS NOT NULL \
         AND state = 'ready' AND (attempts > 0 OR lapses > 0) AND process_on > $3 ORDER BY process_on LIMIT 1";
    /// The first event of a turn.
    FIRST_OF_TURN = "3, 'q', 0" =>
        "SELECT sequence FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 AND turn = $3 \
         ORDER BY process_on, sequence LIMIT 1";
    /// Those that follow one in its turn.
    FOLLOWERS = "3, 'q', 0, 0, 0, 5" =>
        "SELECT sequence, process_on FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 AND turn = $3 \
         AND (process_on, sequence) > ($4, $5) ORDER BY process_on, sequence LIMIT $6";
    /// Events of the turns behind one, turn by turn.
    TURNS_BEHIND = "3, 'q', -1, 5" =>
        "SELECT turn, sequence, process_on, attempts, lapses FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 \
         AND turn > $3 ORDER BY turn, process_on, sequence LIMIT $4";
    /// Gives events their turns, in the places of their numbers.
    GIVE_TURNS = "3, '{1,2}', '{7,8}'" =>
        "UPDATE sysevent_live SET turn = ($3::bigint[])[array_position($2::bigint[], sequence)] \
         WHERE \"partition\" = $1 AND sequence = ANY ($2)";
    /// What is being handled, or was begun, in a queue that keeps no order yet, held; not from record operations of its handlers.
    HOLD_BEGUN = "3, 'q'" =>
        concat!("SELECT ", columns!(), ", claimed_by FROM sysevent_live WHERE \"partition\" = $1 AND queue = $2 \
         AND (claim_token IS NOT NULL OR attempts > 0 OR lapses > 0) FOR NO KEY UPDATE");
    /// Events that have no turn, in the order of their numbers.
    WITHOUT_TURN = "3, 'q', 0, 5" =>
        "SELECT sequence, \"table\", instance, sys_id FROM sysevent_live WHERE \"partition\" = $1 AND sequence > $3 \
         AND queue = $2 AND turn IS NULL ORDER BY sequence LIMIT $4";

    /// Gives claims back.
    GIVE_BACK = "3, '{1,2}', 1" =>
        concat!("UPDATE sysevent_live SET ", unclaimed!(), " WHERE \"partition\" = $1 AND sequence = ANY ($2) \
         AND claim_token = $3 RETURNING sequence");
    /// Gives back what was claimed for a processor that was not told.
    GIVE_BACK_OTHERS = "3, 1, 'node/q/1', '{1,2}'" =>
        concat!("UPDATE sysevent_live SET ", unclaimed!(), " WHERE \"partition\" = $1 AND claim_token = $2 \
         AND claimed_by = $3 AND NOT (sequence = ANY ($4))");

    /// Events that are still claimed under this token, held until the commit.
    HOLD_OWN = "3, '{1,2}', 1" =>
        "SELECT sequence FROM sysevent_live WHERE \"partition\" = $1 AND sequence = ANY ($2) AND claim_token = $3 FOR SHARE";
    /// Takes out what ends.
    TAKE_ENDED = "3, '{1,2}', 1" =>
        concat!("DELETE FROM sysevent_live WHERE \"partition\" = $1 AND sequence = ANY ($2) AND claim_token = $3 RETURNING ",
            columns!(), ", claimed_by, ", kept_columns!());
    /// The same, whoever has claimed it.
    TAKE = "3, '{1,2}'" =>
        concat!("DELETE FROM sysevent_live WHERE \"partition\" = $1 AND sequence = ANY ($2) RETURNING ",
            columns!(), ", claimed_by, ", kept_columns!());
    /// The same in the log.
    TAKE_FROM_LOG = "3, '{1,2}'" =>
        concat!("DELETE FROM sysevent_log WHERE \"partition\" = $1 AND sequence = ANY ($2) RETURNING ",
            columns!(), ", NULL::text AS claimed_by, ", kept_columns!());
    /// Puts rows into the log.
    PUT_INTO_LOG = "3, '{7}', '{0197}', '{processed}', '{q}', '{100}', '{0}', '{0}', '{n}', '{NULL}', '{NULL}', '{NULL}', \
              '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{api}', \
              '{f}', '{t}', '{f}', '{0}', '{0}', '{NULL}', '{0}', '{1}', '{0}', '{f}', '{0}', '{0}', '{0}', '{NULL}', \
              '{NULL}', '{0}', '{NULL}', '{1}'" =>
        insert_rows!("sysevent_log");
    /// Puts rows among those that wait.
    PUT_BACK = "3, '{8}', '{0196}', '{ready}', '{q}', '{100}', '{0}', '{0}', '{n}', '{NULL}', '{NULL}', '{NULL}', \
              '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{api}', \
              '{f}', '{t}', '{f}', '{0}', '{0}', '{NULL}', '{0}', '{1}', '{0}', '{f}', '{0}', '{0}', '{0}', '{NULL}', \
              '{NULL}', '{0}', '{NULL}', '{1}', '{NULL}'" =>
        insert_rows!("sysevent_live", ", turn", ", c41", ", $42::bigint[]");
    /// The event waits for its next attempt.
    RETRY = "3, 1, 5, 1, 1, 1, 0" =>
        concat!("UPDATE sysevent_live SET ", unclaimed!(), ", process_on = $3, attempts = attempts + 1, processed = $4, \
         processing_duration = $5, sys_updated_on = $4::bigint + $5::bigint, sys_updated_by = 'system', \
         sys_mod_count = sys_mod_count + 1 WHERE \"partition\" = $1 AND sequence = $2 AND claim_token = $6 AND attempts = $7");
    /// Records runs: the values of the ordinary statement, and the partition behind them.
    RECORD_RUNS = "'{0195}', '{0198}', '{NULL}', '{0}', '{1}', '{script_action}', '{0194}', '{NULL}', '{1}', '{succeeded}', \
              '{NULL}', '{NULL}', '{0}', '{0}', '{NULL}', '{0}', '{NULL}', '{NULL}', '{0}', '{NULL}', '{0}', '{NULL}', '{1}', 3" =>
        "INSERT INTO sysevent_run (sys_id, event, origin_id, epoch, attempt, handler_kind, handler, handler_name, \
         \"order\", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, error_stack, log, \
         fired_events, fired_event_refs, written_records, written_record_refs, definition_version, \"partition\") \
         SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, $24::bigint FROM unnest($1::text[], \
         $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bigint[], \
         $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[], $16::bigint[], $17::text[], \
         $18::text[], $19::bigint[], $20::text[], $21::bigint[], $22::text[], $23::bigint[]) WITH ORDINALITY \
         AS new (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, place) ORDER BY place \
         ON CONFLICT (lower(sys_id), \"partition\") DO NOTHING";
    /// Takes out the runs of events that go to another partition; behind their columns the number that orders them.
    TAKE_RUNS = "3, '{0198}'" =>
        "DELETE FROM sysevent_run WHERE \"partition\" = $1 AND lower(event) = ANY ($2) RETURNING sys_id, event, origin_id, \
         epoch, attempt, handler_kind, handler, handler_name, \"order\", outcome, reason, sentence, started_at, duration_ms, \
         error_message, error_line, error_stack, log, fired_events, fired_event_refs, written_records, \
         written_record_refs, definition_version, run";
    /// The runs of an event that is at hand.
    RUNS_OF_EVENT = "3, '0198', NULL" =>
        "SELECT sys_id, event, origin_id, epoch, attempt, handler_kind, handler, handler_name, \"order\", outcome, reason, \
         sentence, started_at, duration_ms, error_message, error_line, error_stack, log, fired_events, fired_event_refs, \
         written_records, written_record_refs, definition_version FROM sysevent_run WHERE \"partition\" = $1 \
         AND lower(event) = $2 AND ($3::bigint IS NULL OR epoch = $3) ORDER BY run";

    /// What was claimed under these tokens, held.
    HOLD_LAPSED = "3, '{1}'" =>
        concat!("SELECT ", columns!(), ", claimed_by, claim_token FROM sysevent_live WHERE \"partition\" = $1 \
         AND claim_token = ANY ($2) ORDER BY derived_priority, process_on, sequence FOR UPDATE SKIP LOCKED");
    /// Attempts at these events of which runs are recorded.
    ATTEMPTS_RECORDED = "3, '{0198}'" =>
        "SELECT DISTINCT lower(event), epoch, attempt FROM sysevent_run WHERE \"partition\" = $1 AND lower(event) = ANY ($2)";
    /// Gives back what a dead program held, and counts lapses.
    LAPSE = "3, '{1,2}', 1" =>
        concat!("UPDATE sysevent_live SET ", unclaimed!(), ", lapses = lapses + $3, sys_mod_count = sys_mod_count + $3 \
         WHERE \"partition\" = $1 AND sequence = ANY ($2)");

    /// An event by its key, where it is known to stand.
    BY_KEY = "3, '0198'" =>
        concat!("SELECT ", columns!(), ", claimed_by FROM sysevent_live WHERE \"partition\" = $1 AND lower(sys_id) = $2 \
         FOR UPDATE");
    /// The same in the log.
    BY_KEY_IN_LOG = "3, '0197'" =>
        concat!("SELECT ", columns!(), " FROM sysevent_log WHERE \"partition\" = $1 AND lower(sys_id) = $2 FOR UPDATE");
    /// Another queue, which keeps no order, for events that stay where they are.
    CHANGE_QUEUE = "3, '{1}', 'r'" =>
        "UPDATE sysevent_live SET queue = $3, turn = NULL, sys_mod_count = sys_mod_count + 1 \
         WHERE \"partition\" = $1 AND sequence = ANY ($2)";
    /// Another time for an event that waits.
    CHANGE_TIME = "3, 1, 0, 0, 'fred'" =>
        "UPDATE sysevent_live SET process_on = $3, sys_updated_on = $4, sys_updated_by = $5, \
         sys_mod_count = sys_mod_count + 1 WHERE \"partition\" = $1 AND sequence = $2";
    /// Waiting events of a kind that are in another queue, held.
    HOLD_KIND = "3, 'n', 'r', 0, 5" =>
        "SELECT sequence, process_on, instance, sys_id, coalesce_seconds FROM sysevent_live WHERE \"partition\" = $1 AND sequence > $4 AND name = $2 \
         AND NOT queue_from_call AND queue <> $3 AND state = 'ready' ORDER BY sequence LIMIT $5 FOR UPDATE SKIP LOCKED";
}
