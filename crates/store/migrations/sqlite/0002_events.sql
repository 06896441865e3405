-- Why: events. What waits and what is done are two places: only the small live table churns, and the log is
-- written once, at completion. No index on a random value (instance, parameters) stands in the way of an append.
-- Times are milliseconds since the epoch; an empty text is NULL.

CREATE TABLE sysevent_live (
    sequence INTEGER PRIMARY KEY,
    sys_id TEXT NOT NULL COLLATE NOCASE,
    -- A claim is not stored: the lock on the data folder proves that a claim from before a crash is dead.
    state TEXT NOT NULL DEFAULT 'ready' CHECK (state = 'ready'),
    queue TEXT NOT NULL,
    derived_priority REAL NOT NULL,
    process_on INTEGER NOT NULL,
    sys_created_on INTEGER NOT NULL,
    name TEXT NOT NULL,
    "table" TEXT,
    instance TEXT COLLATE NOCASE,
    parm1 TEXT,
    parm2 TEXT,
    descriptive_name TEXT,
    user_id TEXT COLLATE NOCASE,
    user_name TEXT,
    uri TEXT,
    snapshot TEXT,
    "partition" INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    cause_event TEXT COLLATE NOCASE,
    cause_handler TEXT,
    dedupe_key TEXT,
    source TEXT NOT NULL,
    queue_from_call INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    coalesce_seconds INTEGER NOT NULL,
    -- What follows has its default at the append.
    origin_id TEXT COLLATE NOCASE,
    epoch INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    lapses INTEGER NOT NULL DEFAULT 0,
    only_failed INTEGER NOT NULL DEFAULT 0,
    coalesced INTEGER NOT NULL DEFAULT 0,
    processed INTEGER,
    processing_duration INTEGER,
    error_code TEXT,
    error_message TEXT,
    sys_updated_on INTEGER,
    sys_updated_by TEXT,
    sys_mod_count INTEGER NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX sysevent_live_key ON sysevent_live (sys_id);
-- The rowid, which is the sequence, is the last column of every index.
CREATE INDEX sysevent_live_claim ON sysevent_live (queue, derived_priority, process_on);
CREATE INDEX sysevent_live_coalesce ON sysevent_live (name, instance, parm1) WHERE coalesce_seconds > 0;

CREATE TABLE sysevent_log (
    sequence INTEGER PRIMARY KEY,
    sys_id TEXT NOT NULL COLLATE NOCASE,
    -- OR, not IN: SQLite fills a temporary table for a list of more than two, at every insert.
    state TEXT NOT NULL CHECK (
        state = 'processed' OR state = 'error' OR state = 'transferred' OR state = 'cancelled'
    ),
    queue TEXT NOT NULL,
    derived_priority REAL NOT NULL,
    process_on INTEGER NOT NULL,
    sys_created_on INTEGER NOT NULL,
    name TEXT NOT NULL,
    "table" TEXT,
    instance TEXT COLLATE NOCASE,
    parm1 TEXT,
    parm2 TEXT,
    descriptive_name TEXT,
    user_id TEXT COLLATE NOCASE,
    user_name TEXT,
    uri TEXT,
    snapshot TEXT,
    "partition" INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    cause_event TEXT COLLATE NOCASE,
    cause_handler TEXT,
    dedupe_key TEXT,
    source TEXT NOT NULL,
    queue_from_call INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    coalesce_seconds INTEGER NOT NULL,
    origin_id TEXT COLLATE NOCASE,
    epoch INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    lapses INTEGER NOT NULL,
    only_failed INTEGER NOT NULL,
    coalesced INTEGER NOT NULL,
    processed INTEGER,
    processing_duration INTEGER,
    error_code TEXT,
    error_message TEXT,
    sys_updated_on INTEGER,
    sys_updated_by TEXT,
    sys_mod_count INTEGER NOT NULL
);

CREATE UNIQUE INDEX sysevent_log_key ON sysevent_log (sys_id);
-- Rises with time, so its end alone is written to.
CREATE INDEX sysevent_log_created ON sysevent_log (sys_created_on);
CREATE INDEX sysevent_log_name ON sysevent_log (name COLLATE NOCASE);
CREATE INDEX sysevent_log_error ON sysevent_log (sequence) WHERE state = 'error';

-- One event log for readers. The connections of the program itself shadow this view with a temporary one that
-- shows claimed events as queued; other tools see them as ready.
CREATE VIEW sysevent AS
SELECT sys_id, name, parm1, parm2, "table", instance, descriptive_name, queue, state, process_on, processed,
       processing_duration, NULL AS claimed_by, derived_priority, user_id, user_name, uri, "partition",
       NULL AS rollback_context_id, sequence, COALESCE(origin_id, sys_id) AS origin_id, epoch, attempts, lapses,
       registered, scheduled, snapshot, depth, cause_event, cause_handler, dedupe_key, source, error_code,
       error_message, coalesced, sys_created_on, COALESCE(user_name, 'system') AS sys_created_by,
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on,
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count
FROM sysevent_live
UNION ALL
SELECT sys_id, name, parm1, parm2, "table", instance, descriptive_name, queue, state, process_on, processed,
       processing_duration, NULL AS claimed_by, derived_priority, user_id, user_name, uri, "partition",
       NULL AS rollback_context_id, sequence, COALESCE(origin_id, sys_id) AS origin_id, epoch, attempts, lapses,
       registered, scheduled, snapshot, depth, cause_event, cause_handler, dedupe_key, source, error_code,
       error_message, coalesced, sys_created_on, COALESCE(user_name, 'system') AS sys_created_by,
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on,
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count
FROM sysevent_log;

-- What each handler did.
CREATE TABLE sysevent_run (
    run INTEGER PRIMARY KEY,
    sys_id TEXT NOT NULL COLLATE NOCASE,
    event TEXT NOT NULL COLLATE NOCASE,
    origin_id TEXT COLLATE NOCASE,
    epoch INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    handler_kind TEXT NOT NULL,
    handler TEXT NOT NULL COLLATE NOCASE,
    handler_name TEXT,
    "order" INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome = 'succeeded' OR outcome = 'failed' OR outcome = 'skipped'),
    reason TEXT,
    sentence TEXT,
    started_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    error_message TEXT,
    error_line INTEGER NOT NULL,
    error_stack TEXT,
    log TEXT,
    fired_events INTEGER NOT NULL,
    fired_event_refs TEXT,
    written_records INTEGER NOT NULL,
    written_record_refs TEXT,
    definition_version INTEGER NOT NULL
);

CREATE INDEX sysevent_run_event ON sysevent_run (event);
CREATE INDEX sysevent_run_key ON sysevent_run (sys_id);

CREATE VIEW sysevent_handler_run AS
SELECT sys_id, event, COALESCE(origin_id, event) AS origin_id, epoch, attempt, handler_kind, handler, handler_name,
       "order", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, error_stack, log,
       fired_events, fired_event_refs, written_records, written_record_refs, 0 AS sent_messages,
       NULL AS sent_message_refs, definition_version, started_at AS sys_created_on, 'system' AS sys_created_by,
       started_at AS sys_updated_on, 'system' AS sys_updated_by, 0 AS sys_mod_count
FROM sysevent_run;

-- Who did something to events by hand.
CREATE TABLE sysevent_action (
    id INTEGER PRIMARY KEY,
    sys_id TEXT NOT NULL COLLATE NOCASE UNIQUE,
    action TEXT NOT NULL,
    user TEXT NOT NULL,
    at INTEGER NOT NULL,
    sys_ids TEXT,
    count INTEGER NOT NULL,
    reason TEXT
);

CREATE TABLE sysevent_action_event (
    event TEXT NOT NULL COLLATE NOCASE,
    action INTEGER NOT NULL REFERENCES sysevent_action (id),
    PRIMARY KEY (event, action)
) WITHOUT ROWID;

CREATE VIEW sysevent_action_log AS
SELECT sys_id, action, user, at, NULL AS query, sys_ids, count, reason, at AS sys_created_on,
       user AS sys_created_by, at AS sys_updated_on, user AS sys_updated_by, 0 AS sys_mod_count
FROM sysevent_action;

-- Callers' idempotency keys of the last 24 hours.
CREATE TABLE sysevent_dedupe (
    key TEXT PRIMARY KEY,
    content_hash INTEGER NOT NULL,
    sys_id TEXT NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX sysevent_dedupe_created ON sysevent_dedupe (created);

-- Keys of what handlers fired, kept until the epoch of the causing event ends. They begin with that event's
-- key, which rises with time, so new ones stand side by side.
CREATE TABLE sysevent_fired (
    key TEXT PRIMARY KEY,
    sys_id TEXT NOT NULL
) WITHOUT ROWID;
