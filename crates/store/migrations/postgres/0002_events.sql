-- Why: events. What waits and what is done are two places: only the small live table churns, and the log is
-- written once, at completion. No index on a random value (instance, parameters) stands in the way of an append.
-- Times are milliseconds since the epoch; an empty text is NULL.

-- The order of arrival. Cache 1: a node that kept some numbers for later would mix the order.
CREATE SEQUENCE sysevent_sequence CACHE 1;

CREATE TABLE sysevent_live (
    sequence BIGINT PRIMARY KEY DEFAULT nextval('sysevent_sequence'),
    sys_id TEXT COLLATE "C" NOT NULL,
    -- Differs because a claim is stored: with many nodes no lock tells that its owner is dead, the lease does.
    state TEXT COLLATE "C" NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'queued')),
    queue TEXT COLLATE "C" NOT NULL,
    derived_priority DOUBLE PRECISION NOT NULL,
    process_on BIGINT NOT NULL,
    sys_created_on BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    "table" TEXT COLLATE "C",
    instance TEXT COLLATE "C",
    parm1 TEXT COLLATE "C",
    parm2 TEXT COLLATE "C",
    descriptive_name TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    user_name TEXT COLLATE "C",
    uri TEXT COLLATE "C",
    snapshot TEXT COLLATE "C",
    "partition" BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    cause_event TEXT COLLATE "C",
    cause_handler TEXT COLLATE "C",
    dedupe_key TEXT COLLATE "C",
    source TEXT COLLATE "C" NOT NULL,
    queue_from_call BOOLEAN NOT NULL,
    registered BOOLEAN NOT NULL,
    scheduled BOOLEAN NOT NULL,
    max_attempts BIGINT NOT NULL,
    coalesce_seconds BIGINT NOT NULL,
    -- What follows has its default at the append.
    origin_id TEXT COLLATE "C",
    epoch BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    lapses BIGINT NOT NULL DEFAULT 0,
    only_failed BOOLEAN NOT NULL DEFAULT false,
    coalesced BIGINT NOT NULL DEFAULT 0,
    processed BIGINT,
    processing_duration BIGINT,
    error_code TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    sys_updated_on BIGINT,
    sys_updated_by TEXT COLLATE "C",
    sys_mod_count BIGINT NOT NULL DEFAULT 0,
    claimed_by TEXT COLLATE "C",
    -- Lease of the node that holds the claim.
    claim_token BIGINT,
    CHECK ((state = 'queued') = (claim_token IS NOT NULL))
) WITH (
    -- Every event dies here: dead rows are taken away early, and by count, not by share.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000
);

-- Keys are compared ignoring the case of ASCII letters.
CREATE UNIQUE INDEX sysevent_live_key ON sysevent_live (lower(sys_id));
CREATE INDEX sysevent_live_claim ON sysevent_live (queue, derived_priority, process_on, sequence)
    WHERE state = 'ready';
CREATE INDEX sysevent_live_claimed ON sysevent_live (claim_token) WHERE claim_token IS NOT NULL;
CREATE INDEX sysevent_live_coalesce ON sysevent_live (name, instance, parm1) WHERE coalesce_seconds > 0;

CREATE TABLE sysevent_log (
    sequence BIGINT PRIMARY KEY,
    sys_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('processed', 'error', 'transferred', 'cancelled')),
    queue TEXT COLLATE "C" NOT NULL,
    derived_priority DOUBLE PRECISION NOT NULL,
    process_on BIGINT NOT NULL,
    sys_created_on BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    "table" TEXT COLLATE "C",
    instance TEXT COLLATE "C",
    parm1 TEXT COLLATE "C",
    parm2 TEXT COLLATE "C",
    descriptive_name TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    user_name TEXT COLLATE "C",
    uri TEXT COLLATE "C",
    snapshot TEXT COLLATE "C",
    "partition" BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    cause_event TEXT COLLATE "C",
    cause_handler TEXT COLLATE "C",
    dedupe_key TEXT COLLATE "C",
    source TEXT COLLATE "C" NOT NULL,
    queue_from_call BOOLEAN NOT NULL,
    registered BOOLEAN NOT NULL,
    scheduled BOOLEAN NOT NULL,
    max_attempts BIGINT NOT NULL,
    coalesce_seconds BIGINT NOT NULL,
    origin_id TEXT COLLATE "C",
    epoch BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    lapses BIGINT NOT NULL,
    only_failed BOOLEAN NOT NULL,
    coalesced BIGINT NOT NULL,
    processed BIGINT,
    processing_duration BIGINT,
    error_code TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    sys_updated_on BIGINT,
    sys_updated_by TEXT COLLATE "C",
    sys_mod_count BIGINT NOT NULL
);

CREATE UNIQUE INDEX sysevent_log_key ON sysevent_log (lower(sys_id));
-- Rises with time, so its end alone is written to.
CREATE INDEX sysevent_log_created ON sysevent_log (sys_created_on);
CREATE INDEX sysevent_log_name ON sysevent_log (lower(name));
CREATE INDEX sysevent_log_error ON sysevent_log (sequence) WHERE state = 'error';

-- One event log for readers.
CREATE VIEW sysevent AS
SELECT sys_id, name, parm1, parm2, "table", instance, descriptive_name, queue, state, process_on, processed,
       processing_duration, claimed_by AS claimed_by, derived_priority, user_id, user_name, uri, "partition",
       NULL::text COLLATE "C" AS rollback_context_id, sequence, COALESCE(origin_id, sys_id) AS origin_id, epoch,
       attempts, lapses, registered, scheduled, snapshot, depth, cause_event, cause_handler, dedupe_key, source,
       error_code, error_message, coalesced, sys_created_on, COALESCE(user_name, 'system') AS sys_created_by,
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on,
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count
FROM sysevent_live
UNION ALL
SELECT sys_id, name, parm1, parm2, "table", instance, descriptive_name, queue, state, process_on, processed,
       processing_duration, NULL::text COLLATE "C" AS claimed_by, derived_priority, user_id, user_name, uri, "partition",
       NULL::text COLLATE "C" AS rollback_context_id, sequence, COALESCE(origin_id, sys_id) AS origin_id, epoch,
       attempts, lapses, registered, scheduled, snapshot, depth, cause_event, cause_handler, dedupe_key, source,
       error_code, error_message, coalesced, sys_created_on, COALESCE(user_name, 'system') AS sys_created_by,
       COALESCE(sys_updated_on, sys_created_on) AS sys_updated_on,
       COALESCE(sys_updated_by, user_name, 'system') AS sys_updated_by, sys_mod_count
FROM sysevent_log;

-- What each handler did.
CREATE TABLE sysevent_run (
    run BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sys_id TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    origin_id TEXT COLLATE "C",
    epoch BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    handler_kind TEXT COLLATE "C" NOT NULL,
    handler TEXT COLLATE "C" NOT NULL,
    handler_name TEXT COLLATE "C",
    "order" BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'skipped')),
    reason TEXT COLLATE "C",
    sentence TEXT COLLATE "C",
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    error_message TEXT COLLATE "C",
    error_line BIGINT NOT NULL,
    error_stack TEXT COLLATE "C",
    log TEXT COLLATE "C",
    fired_events BIGINT NOT NULL,
    fired_event_refs TEXT COLLATE "C",
    written_records BIGINT NOT NULL,
    written_record_refs TEXT COLLATE "C",
    definition_version BIGINT NOT NULL
);

CREATE INDEX sysevent_run_event ON sysevent_run (lower(event));
-- Differs because it is unique: a batch whose answer was lost is written again, and must not record a run twice.
CREATE UNIQUE INDEX sysevent_run_key ON sysevent_run (lower(sys_id));

CREATE VIEW sysevent_handler_run AS
SELECT sys_id, event, COALESCE(origin_id, event) AS origin_id, epoch, attempt, handler_kind, handler, handler_name,
       "order", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, error_stack, log,
       fired_events, fired_event_refs, written_records, written_record_refs, 0::bigint AS sent_messages,
       NULL::text COLLATE "C" AS sent_message_refs, definition_version, started_at AS sys_created_on,
       'system'::text COLLATE "C" AS sys_created_by, started_at AS sys_updated_on,
       'system'::text COLLATE "C" AS sys_updated_by, 0::bigint AS sys_mod_count
FROM sysevent_run;

-- Who did something to events by hand.
CREATE TABLE sysevent_action (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sys_id TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    "user" TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    sys_ids TEXT COLLATE "C",
    count BIGINT NOT NULL,
    reason TEXT COLLATE "C"
);

CREATE UNIQUE INDEX sysevent_action_key ON sysevent_action (lower(sys_id));

CREATE TABLE sysevent_action_event (
    event TEXT COLLATE "C" NOT NULL,
    action BIGINT NOT NULL REFERENCES sysevent_action (id),
    PRIMARY KEY (event, action)
);

CREATE VIEW sysevent_action_log AS
SELECT sys_id, action, "user", at, NULL::text COLLATE "C" AS query, sys_ids, count, reason, at AS sys_created_on,
       "user" AS sys_created_by, at AS sys_updated_on, "user" AS sys_updated_by, 0::bigint AS sys_mod_count
FROM sysevent_action;

-- Callers' idempotency keys of the last 24 hours.
CREATE TABLE sysevent_dedupe (
    key TEXT COLLATE "C" PRIMARY KEY,
    content_hash BIGINT NOT NULL,
    sys_id TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL
);

CREATE INDEX sysevent_dedupe_created ON sysevent_dedupe (created);

-- Keys of what handlers fired, kept until the epoch of the causing event ends. They begin with that event's
-- key, which rises with time, so new ones stand side by side.
CREATE TABLE sysevent_fired (
    key TEXT COLLATE "C" PRIMARY KEY,
    sys_id TEXT COLLATE "C" NOT NULL
);

-- Differs because many programs work on one database. Each has a row here under a token of its own, and beats: when
-- the last beat is older than its lease, the program counts as dead, and others take its events over. A row that was
-- taken over stays for a while, for whoever comes back and asks what became of his last group.
CREATE TABLE campanile_node (
    token BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    beat_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    lease_ms BIGINT NOT NULL,
    gone_at TIMESTAMPTZ
);

-- What a program's connections that write have done. Apart from the lease, so that a beat never waits for a group.
CREATE TABLE campanile_node_writer (
    token BIGINT NOT NULL REFERENCES campanile_node (token) ON DELETE CASCADE,
    -- Number of the last group of appends that was committed: the answer to a commit whose answer was lost.
    last_group BIGINT NOT NULL DEFAULT 0,
    -- Sequences of the events that its processors are handling.
    handling BIGINT[] NOT NULL DEFAULT '{}',
    writer SMALLINT NOT NULL,
    PRIMARY KEY (token, writer)
);

-- Claims due events in their order, and returns them in none. A priority is a lane, read by itself, so that what is
-- not due yet in one lane costs nothing in the next. An event that lapsed before comes alone.
--
-- The settings keep the plans good when the table was analysed while it was empty.
CREATE FUNCTION campanile_claim(
    a_queue text, a_limit bigint, a_by text, a_token bigint, a_now bigint, a_by_priority boolean
) RETURNS SETOF sysevent_live
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    lane double precision;
    picked bigint[];
    have_lapsed boolean[];
    lapsed_at int;
    got bigint[] := '{}';
BEGIN
    IF NOT EXISTS (SELECT FROM campanile_node WHERE token = a_token AND gone_at IS NULL) THEN
        RAISE EXCEPTION 'the lease % has lapsed', a_token USING ERRCODE = 'CP001';
    END IF;
    SELECT derived_priority INTO lane FROM sysevent_live
        WHERE state = 'ready' AND queue = a_queue ORDER BY derived_priority LIMIT 1;
    WHILE lane IS NOT NULL AND cardinality(got) < a_limit LOOP
        IF a_by_priority THEN
            SELECT array_agg(sequence), array_agg(lapses > 0) INTO picked, have_lapsed FROM (
                SELECT sequence, lapses FROM sysevent_live
                WHERE state = 'ready' AND queue = a_queue AND derived_priority = lane AND process_on <= a_now
                ORDER BY process_on, sequence LIMIT a_limit - cardinality(got) FOR UPDATE SKIP LOCKED) AS due;
        ELSE
            -- All lanes at once: the first of each, in the order of arrival.
            SELECT array_agg(sequence), array_agg(lapses > 0) INTO picked, have_lapsed FROM (
                SELECT sequence, lapses FROM sysevent_live
                WHERE sequence = ANY (ARRAY (
                    WITH RECURSIVE lanes AS (
                        SELECT lane AS p
                        UNION ALL
                        SELECT (SELECT derived_priority FROM sysevent_live
                                WHERE state = 'ready' AND queue = a_queue AND derived_priority > lanes.p
                                ORDER BY derived_priority LIMIT 1)
                        FROM lanes WHERE lanes.p IS NOT NULL)
                    SELECT first.sequence FROM lanes CROSS JOIN LATERAL (
                        SELECT sequence, process_on FROM sysevent_live
                        WHERE state = 'ready' AND queue = a_queue AND derived_priority = lanes.p
                          AND process_on <= a_now
                        ORDER BY process_on, sequence LIMIT a_limit) AS first
                    ORDER BY first.process_on, first.sequence LIMIT a_limit))
                  AND state = 'ready' AND queue = a_queue AND process_on <= a_now
                ORDER BY process_on, sequence FOR UPDATE SKIP LOCKED) AS due;
        END IF;
        lapsed_at := array_position(have_lapsed, true);
        IF lapsed_at = 1 AND cardinality(got) = 0 THEN
            got := picked[1:1];
            EXIT;
        ELSIF lapsed_at IS NOT NULL THEN
            got := got || picked[1:lapsed_at - 1];
            EXIT;
        END IF;
        got := got || picked;
        EXIT WHEN NOT a_by_priority;
        SELECT derived_priority INTO lane FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority > lane
            ORDER BY derived_priority LIMIT 1;
    END LOOP;
    IF cardinality(got) > 0 THEN
        RETURN QUERY UPDATE sysevent_live SET state = 'queued', claimed_by = a_by, claim_token = a_token
            WHERE sequence = ANY (got) RETURNING *;
    END IF;
END
$$;

-- When the first waiting event of a queue is or was due; NULL when nothing waits.
CREATE FUNCTION campanile_next_due(a_queue text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    RETURN (
        WITH RECURSIVE lanes AS (
            (SELECT derived_priority AS p FROM sysevent_live
             WHERE state = 'ready' AND queue = a_queue ORDER BY derived_priority LIMIT 1)
            UNION ALL
            SELECT (SELECT derived_priority FROM sysevent_live
                    WHERE state = 'ready' AND queue = a_queue AND derived_priority > lanes.p
                    ORDER BY derived_priority LIMIT 1)
            FROM lanes WHERE lanes.p IS NOT NULL)
        SELECT min((SELECT process_on FROM sysevent_live
                    WHERE state = 'ready' AND queue = a_queue AND derived_priority = lanes.p
                    ORDER BY process_on LIMIT 1))
        FROM lanes WHERE lanes.p IS NOT NULL);
END
$$;
